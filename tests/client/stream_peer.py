"""The server's side of a stream in memory: the real session and codecs, and answers that a test may turn to no, or to silence."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from typing import Any

import pandas as pd

from intdash_frames.client.point_buffer import PointBuffer
from intdash_frames.client.stream import StreamConnection
from intdash_frames.codecs.messages import Unread, read_message
from intdash_frames.codecs.points import Points
from intdash_frames.codecs.series import SeriesTable
from intdash_frames.codecs.units import UnitRun, write_units
from intdash_frames.errors import ConnectionLost
from intdash_frames.model import DataFilter, DataPoint, DataType, DownstreamSpec, UpstreamSpec
from intdash_frames.protocol.elements import UpstreamSpec as WireUpstreamSpec
from intdash_frames.protocol.server_session import Asked, SectionEnded, ServerSession
from intdash_frames.transport.in_memory import MemorySocket, joined_pair

EDGE = "11111111-2222-3333-4444-555555555555"
MEASUREMENT = "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee"

Row = tuple[int, int, int, bytes]


def upstream_spec(**fields: Any) -> UpstreamSpec:
    return UpstreamSpec(EDGE, **({"store": True, "measurement_uuid": MEASUREMENT} | fields))


def downstream_spec() -> DownstreamSpec:
    return DownstreamSpec(EDGE, [DataFilter("string", 1)])


def row(number: int) -> Row:
    """What becomes of `string_point`."""
    return number, 10, 1, b"\x01x" + str(number).encode()


def string_point(number: int, **fields: Any) -> DataPoint:
    payload = b"\x01x" + str(number).encode()
    return DataPoint(
        **({"elapsed_time": pd.Timedelta(number), "data_type": DataType.string, "channel": 1, "data_payload": payload} | fields)
    )


def columns(rows: Sequence[Row]) -> Points:
    buffer = PointBuffer()
    for elapsed_ns, data_type, channel, payload in rows:
        buffer.add_parts(pd.Timedelta(elapsed_ns, unit="ns"), data_type, channel, payload)
    return buffer.take()


def rows_of(points: Points) -> list[Row]:
    """Points as (elapsed ns, data type, channel, payload)."""
    keys = [points.keys[code] for code in points.series.tolist()]
    return [
        (time_ns, key.data_type or 0, key.channel or 0, points.payload(row))
        for row, (time_ns, key) in enumerate(zip(points.time_ns.tolist(), keys, strict=True))
    ]


class Peer:
    """Answers over one socket and remembers what came.

    Attributes
    ----------
    sections : dict of int to list
        Rows of sections that ended, by serial number; of one that came again, the last.
    open_rows : dict of int to list
        Rows of sections that are open, by stream id.
    written : list
        All rows, as they came.
    """

    def __init__(self, socket: MemorySocket) -> None:
        self.socket, self.session = socket, ServerSession()
        self.acks, self.answers, self.echoes = True, True, True
        self.refuses: type | None = None
        self.refusals = 0
        self.asked: list[Any] = []
        self.sections: dict[int, list[Row]] = {}
        self.ends: list[SectionEnded] = []
        self.open_rows: dict[int, list[Row]] = {}
        self.message_sizes: list[int] = []
        self.written: list[Row] = []
        self.changed, self.reads = asyncio.Event(), asyncio.Event()
        self.reads.set()
        self.keys = SeriesTable()

    async def run(self) -> None:
        with contextlib.suppress(ConnectionLost):
            while True:
                message = await self.socket.receive()
                await self.reads.wait()
                self.message_sizes.append(len(message))
                for item in read_message(message, self.keys):
                    self._take(item)
                await self.flush()
                self.changed.set()

    async def flush(self) -> None:
        if message := self.session.take():
            await self.socket.send(message)

    async def until(self, condition: Callable[[Peer], Any]) -> None:
        while not condition(self):
            self.changed.clear()
            await self.changed.wait()

    def acknowledge_all(self) -> None:
        for each in self.ends:
            self.session.acknowledge(each.stream_id, each.serial_number, ok=True)

    @property
    def rows(self) -> list[Row]:
        """Everything in sections that ended, then what is in open ones."""
        return [row for rows in [*self.sections.values(), *self.open_rows.values()] for row in rows]

    def _take(self, item: Any) -> None:
        assert not isinstance(item, Unread), item.reason
        if isinstance(item, UnitRun):
            for stream_id, points in item.by_stream():
                assert self.session.carries(stream_id, len(points))
                self.open_rows.setdefault(stream_id, []).extend(rows_of(points))
                self.written.extend(rows_of(points))
                if self.echoes:
                    self._echo(points)
            return
        event = self.session.receive(item)
        if isinstance(event, Asked):
            self.asked.append(event.request)
            if self.answers:
                self.session.answer(event, ok=self.refuses is None or not isinstance(event.request, self.refuses))
        elif isinstance(event, SectionEnded):
            self.ends.append(event)
            self.sections[event.serial_number] = self.open_rows.pop(event.stream_id, [])
            if self.acks:
                self.session.acknowledge(event.stream_id, event.serial_number, ok=self.refusals <= 0)
                self.refusals -= 1

    def _echo(self, points: Points) -> None:
        for stream in self.session.streams.values():
            if not isinstance(stream.spec, WireUpstreamSpec):
                self.session._outbox.put_bytes(bytes(write_units(points, stream.stream_id)))


@contextlib.asynccontextmanager
async def connected(*, capacity: int | None = None, **options: Any) -> AsyncIterator[tuple[StreamConnection, Peer]]:
    """A connection and its peer; whatever the test leaves open is ended."""
    ours, theirs = joined_pair(capacity=capacity)
    peer = Peer(theirs)
    serving = asyncio.create_task(peer.run())
    # What is written goes out with the next turn of the loop, and sections end when a test says so.
    connection = StreamConnection(ours, **({"flush_interval_s": 0.0, "timeout_s": 5.0} | options))
    try:
        yield connection, peer
    finally:
        theirs.cut("the test is over")
        await connection.wait_closed()
        await serving


def run(test: Coroutine[Any, Any, None], *, timeout_s: float = 20) -> None:
    """Run a test on a loop of its own; nothing is left running on it."""

    async def bounded() -> None:
        async with asyncio.timeout(timeout_s):
            await test
        left = asyncio.all_tasks() - {asyncio.current_task()}
        assert not left, left

    asyncio.run(bounded())
