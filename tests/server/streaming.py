"""A client's end of a stream on a real socket: what it sent, what it got, and nothing else of ours but the protocol core."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any

import requests
from websockets.asyncio.client import ClientConnection, connect

from intdash_frames.codecs.messages import Unread, read_message
from intdash_frames.codecs.points import Points
from intdash_frames.codecs.series import SeriesTable
from intdash_frames.codecs.units import UnitRun, write_units
from intdash_frames.protocol.client_session import Acked, Answered, ClientSession
from intdash_frames.protocol.elements import DataFilter, DownstreamSpec, UpstreamSpec
from intdash_frames.protocol.wire import NULL_UUID
from intdash_frames.server.app import Server
from tests.server.samples import Row, points_of

STREAMS = "/api/v1/ws/measurements"
LONGEST_WAIT_S = 20


def run(test: Callable[[], Awaitable[None]]) -> None:
    """Run a test that is a coroutine; it never hangs."""

    async def bounded() -> None:
        async with asyncio.timeout(LONGEST_WAIT_S):
            await test()

    asyncio.run(bounded())


def eventually(holds: Callable[[], bool], server: Server) -> None:
    """What the server does after a connection has ended; a request gives it its turn."""
    for _ in range(2000):
        if holds():
            return
        requests.get(server.url + "/api/v1/version", timeout=10)
    assert holds()


def socket_url(server: Server, prefix: str = "") -> str:
    return server.url.replace("http", "ws") + prefix + STREAMS


@contextlib.asynccontextmanager
async def opened(
    server: Server, token: str = "token", *, headers: dict[str, str] | None = None, **options: Any
) -> AsyncIterator[Peer]:
    """A socket that is open for a block."""
    options = {"compression": None, "max_size": None, "additional_headers": {"X-Edge-Token": token}, **options}
    options["additional_headers"] |= headers or {}
    async with connect(socket_url(server), **options) as socket:
        yield Peer(socket)


class Peer:
    """One connection; reads until what was asked for has come and keeps everything else."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.session = ClientSession()
        self.rows: dict[int, list[Row]] = {}
        self.acks: list[Acked] = []
        self.answers: list[Answered] = []
        self.messages = 0
        self._keys = SeriesTable()

    async def send(self) -> None:
        """Send what the session has, as one message."""
        await self.socket.send(self.session.take())

    async def read(self) -> None:
        """Take one message."""
        message = await self.socket.recv()
        assert isinstance(message, bytes)
        self.messages += 1
        for part in read_message(message, self._keys):
            assert not isinstance(part, Unread)
            if isinstance(part, UnitRun):
                for stream_id, points in part.by_stream():
                    self.rows.setdefault(stream_id, []).extend(rows_of(points))
                continue
            got = self.session.receive(part)
            assert got is not None
            (self.acks if isinstance(got, Acked) else self.answers).append(got)

    async def until(self, done: Callable[[], bool]) -> None:
        while not done():
            await self.read()

    async def answered(self) -> Answered:
        """Send, and wait for the answers to everything asked so far; the last one."""
        await self.send()
        await self.until(lambda: not self.session._waiting)
        return self.answers[-1]

    async def upstream(self, edge_uuid: str, measurement_uuid: str = NULL_UUID, **more: Any) -> int:
        """Open an upstream, one that stores if a measurement is given."""
        spec = UpstreamSpec(0, measurement_uuid, edge_uuid, **{"store": measurement_uuid != NULL_UUID, **more})
        request = self.session.open_upstreams([spec])
        assert (await self.answered()).ok
        return request.specs[0].stream_id

    async def downstream(self, edge_uuid: str, filters: Sequence[DataFilter], dst_edge_uuid: str = NULL_UUID) -> int:
        """Open a downstream and set its filters."""
        request = self.session.open_downstreams([DownstreamSpec(0, edge_uuid, dst_edge_uuid)])
        stream_id = request.specs[0].stream_id
        self.session.set_filters({stream_id: filters})
        assert (await self.answered()).ok
        return stream_id

    async def write(self, stream_id: int, rows: Sequence[Row], *, end: bool = False, final: bool = False) -> None:
        """Send rows, and the end of the section if asked."""
        self.session.write(stream_id, write_units(points_of(rows), stream_id), len(rows))
        if end or final:
            self.session.end_section(stream_id, final=final)
        await self.send()

    async def acked(self, count: int = 1) -> list[bool]:
        """Wait for so many acknowledgements in all: whether each was a yes."""
        await self.until(lambda: len(self.acks) >= count)
        return [ack.ok for ack in self.acks]

    async def received(self, stream_id: int, count: int) -> list[Row]:
        """Wait for so many rows in all of a downstream."""
        await self.until(lambda: len(self.rows.get(stream_id, ())) >= count)
        return self.rows[stream_id]

    async def idle(self) -> None:
        """Wait until the server has done what the messages so far ask of it at once."""
        await (await self.socket.ping())

    async def closed(self) -> tuple[int | None, str | None]:
        """Wait until the server closes the connection: code and reason."""
        await self.socket.wait_closed()
        return self.socket.close_code, self.socket.close_reason


def rows_of(points: Points) -> list[Row]:
    """Points as rows (elapsed ns, data type, channel, data id, payload)."""
    found = []
    for row, (elapsed_ns, code) in enumerate(zip(points.time_ns.tolist(), points.series.tolist(), strict=True)):
        key = points.keys[code]
        assert key.data_type is not None
        assert key.channel is not None
        found.append((elapsed_ns, key.data_type, key.channel, key.data_id, points.payload(row)))
    return found


def ordered(*streams: tuple[int, Sequence[Row]]) -> bytes:
    """Units of several streams in one message, in turn."""
    turns = [
        (stream_id, row)
        for place in range(max(len(rows) for _, rows in streams))
        for stream_id, rows in streams
        for row in rows[place : place + 1]
    ]
    return b"".join(bytes(write_units(points_of([row]), stream_id)) for stream_id, row in turns)
