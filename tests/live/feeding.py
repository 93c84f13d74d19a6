"""A server, an edge that sends to it, and a feed that follows: what the tests of live data share."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import numpy as np
import pandas as pd

import intdash_frames as idf
from intdash_frames import data
from intdash_frames.client.stream import StreamConnection, open_socket
from intdash_frames.client.upstream import Upstream
from intdash_frames.codecs.points import Points
from intdash_frames.codecs.series import Series, SeriesTable
from intdash_frames.errors import ISCPConnClosedException
from intdash_frames.frames.selection import select
from intdash_frames.live.feed import Feed, FeedOptions
from intdash_frames.model import BasetimeType, DataType, UpstreamSpec

WAIT_S = 20


def floats(first: int, count: int, name: str = "n", channel: int = 1) -> Points:
    """Numbers that count: value and elapsed milliseconds are the number."""
    keys = SeriesTable()
    series = keys.code(Series("", int(DataType.float), channel, name, "11"))
    payloads = [data.Float(data_id=name, value=float(number)).to_payload() for number in range(first, first + count)]
    return Points(
        np.arange(first, first + count, dtype=np.int64) * 10**6,
        np.full(count, series, np.int32),
        np.frombuffer(b"".join(payloads), np.uint8),
        (np.arange(count + 1) * len(payloads[0])).astype(np.int32),
        keys,
    )


def basetime_point(moment: pd.Timestamp, kind: BasetimeType = BasetimeType.ntp) -> idf.DataPoint:
    payload = data.Basetime(kind, moment).to_payload()
    return idf.DataPoint(pd.Timedelta(0), DataType.basetime, 0, payload)


class Sender:
    """An edge that sends to a measurement of its own, or to nobody's."""

    def __init__(self, client: idf.Client, *, store: bool = True) -> None:
        self.client, self.edge = client, client.edges.me().uuid
        self.basetime = pd.Timestamp.now("UTC").floor("us")
        self.measurement = client.measurements.create(self.edge, self.basetime, "ntp").uuid if store else None
        self.sent = 0
        self._connection: StreamConnection | None = None
        self._stream: Upstream | None = None

    @property
    def stream(self) -> Upstream:
        assert self._stream is not None
        return self._stream

    async def __aenter__(self) -> Sender:
        self._connection = StreamConnection(await open_socket(self.client.connection))
        spec = UpstreamSpec(self.edge, None, False, self.measurement is not None, self.measurement or idf.model.NULL_UUID)
        self._stream = await self._connection.open_upstream(spec, marker_interval_s=0.05)
        await self._stream.write(basetime_point(self.basetime))
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._connection is not None
        with contextlib.suppress(ISCPConnClosedException):  # a fault may have cut it
            await self._connection.close()

    async def send(self, count: int) -> None:
        await self.stream.write_points(floats(self.sent, count))
        self.sent += count


class Shown:
    """What a feed has shown."""

    def __init__(self) -> None:
        self.keys = SeriesTable()
        self.numbers: list[int] = []
        self.time_ns: list[int] = []
        self.measurements: set[str] = set()
        self._changed = asyncio.Event()

    def __call__(self, points: Points) -> dict[str, int]:
        for row in range(len(points)):
            key = points.keys[int(points.series[row])]
            if key.data_type == DataType.float:
                self.numbers.append(int(data.Float.from_payload(points.payload(row)).value))
                self.time_ns.append(int(points.time_ns[row]))
                self.measurements.add(key.measurement_uuid)
        self._changed.set()
        return {}

    async def until(self, count: int) -> None:
        async with asyncio.timeout(WAIT_S):
            while len(self.numbers) < count:
                self._changed.clear()
                await self._changed.wait()


@contextlib.asynccontextmanager
async def following(
    client: idf.Client, shown: Shown, signals: str | None = "float:1/n", **options: object
) -> AsyncIterator[Feed]:
    """A feed of the client's own edge."""
    feed = Feed(client.connection, client.edges.me().uuid, select(signals), shown.keys, shown, FeedOptions(**options))  # type: ignore[arg-type]
    await feed.start()
    try:
        yield feed
    finally:
        await feed.close()
