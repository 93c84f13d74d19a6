"""The package's side of the streaming benchmark, a process of its own: up and down over two connections to one server."""

from __future__ import annotations

import asyncio
import dataclasses
import time
from typing import Any

import numpy as np
import pandas as pd

import intdash_frames as idf
from intdash_frames.client.stream import StreamConnection, open_socket
from intdash_frames.codecs.points import Points
from intdash_frames.timebase import timestamp
from tests.benchmarks.recording import BASETIME_NS, recording
from tests.benchmarks.through import ACROSS_TYPE, Tally, clock, made_points, through, wait_until
from tests.benchmarks.workers import work

TOKEN = "token"
# Points on their way at most at full speed. Where a reader falls far behind, a server drops the oldest; what is asked for here is
# what a reader can take.
WINDOW_POINTS = 200_000
NAP_S = 0.001


class Spot:
    """Where a benchmark streams to: a client, its edge, a new measurement."""

    def __init__(self, url: str, store: bool) -> None:
        self.client = idf.Client(url, TOKEN)
        edge = self.client.edges.me().uuid
        self.measurement = self.client.measurements.create(edge, timestamp(BASETIME_NS)).uuid
        kept = {"store": True, "measurement_uuid": self.measurement} if store else {}
        self.up = idf.UpstreamSpec(edge, **kept)
        self.edge = edge

    def down(self, points: Points | None = None) -> idf.DownstreamSpec:
        """A downstream of all series of these points, or of the one that `made_points` has."""
        keys = {ACROSS_TYPE} if points is None else {(key.data_type, key.channel) for key in points.keys}
        return idf.DownstreamSpec(self.edge, [idf.DataFilter(*each) for each in sorted(keys)])

    async def connect(self) -> StreamConnection:
        return StreamConnection(await open_socket(self.client.connection), timeout_s=60)


class Sums:
    """What tells columns that were sent from those that came, and when they did."""

    def __init__(self) -> None:
        self.points = self.elapsed_ns = self.payload_bytes = self.payload_sum = 0
        self.first_s = self.last_s = 0.0
        self.more = asyncio.Event()

    def add(self, points: Points) -> None:
        self.last_s = time.perf_counter()
        self.first_s = self.first_s or self.last_s
        self.points += len(points)
        self.elapsed_ns += int(points.time_ns.sum())
        data = points.data[points.offsets[0] : points.offsets[-1]]
        self.payload_bytes += len(data)
        self.payload_sum += int(data.sum(dtype=np.int64))
        self.more.set()

    def same_as(self, other: Sums) -> bool:
        names = ("points", "elapsed_ns", "payload_bytes", "payload_sum")
        return all(getattr(self, name) == getattr(other, name) for name in names)


def frames(url: str, seconds: float, batch: int, per_second: int | None, store: bool) -> dict[str, Any]:
    """Columns up and down at once, at full speed or at a pace.

    Returns
    -------
    dict
        ``points`` sent, ``lost`` on the way, ``stored``, ``same`` if what came is what was sent, ``rate`` of what came [1/s], and
        ``cpu_s`` of this process.
    """
    return asyncio.run(_frames(Spot(url, store), seconds, batch, per_second))


async def _frames(spot: Spot, seconds: float, batch: int, per_second: int | None) -> dict[str, Any]:
    piece = recording(batch, spot.measurement)
    span_ns = int(piece.time_ns[-1]) + 1
    sent, came = Sums(), Sums()
    async with await spot.connect() as down_conn, await spot.connect() as up_conn:
        down = await down_conn.open_downstream(spot.down(piece), on_points=came.add)
        up = await up_conn.open_upstream(spot.up)
        start, cpu, number = time.perf_counter(), time.process_time(), 0
        while (now := time.perf_counter() - start) < seconds:
            if per_second is None and sent.points - came.points > WINDOW_POINTS:
                came.more.clear()
                await came.more.wait()
                continue
            if per_second is not None and sent.points > now * per_second:
                await asyncio.sleep(NAP_S)
                continue
            points = dataclasses.replace(piece, time_ns=piece.time_ns + number % 1000 * span_ns)
            sent.add(points)
            await up.write_points(points)
            number += 1
        await wait_until(lambda: came.points >= sent.points, came.more)
        used = time.process_time() - cpu
        await up.close()
        await down.close()
    batches = spot.client.frames(spot.measurement, progress=False).to_batches() if spot.up.store else ()
    return {
        "points": sent.points,
        "lost": sent.points - came.points,
        "same": came.same_as(sent),
        "stored": sum(len(batch) for batch in batches),
        "rate": came.points / (came.last_s - start),
        "cpu_s": used,
    }


def callbacks(url: str, points: int) -> dict[str, Any]:
    """Objects up and down at once: see `through`."""
    spot = Spot(url, store=False)
    return asyncio.run(through(spot.client, spot.up, spot.down(), made_points(idf.DataPoint, points)))


def latency(url: str, seconds: float, per_second: int) -> dict[str, Any]:
    """Time from `write` to the callback, at a pace [ms]."""
    return asyncio.run(_latency(Spot(url, store=True), seconds, per_second))


async def _latency(spot: Spot, seconds: float, per_second: int) -> dict[str, Any]:
    came, taken_ns = Tally(), list[int]()
    wanted = int(seconds * per_second)
    payload = made_points(idf.DataPoint, 1)[0].data_payload
    data_type, channel = ACROSS_TYPE

    async def on_msg(point: idf.DataPoint) -> None:
        taken_ns.append(clock() - start_ns - point.elapsed_time.value)
        came.count()

    async with await spot.client.connect_iscp() as down_conn, await spot.client.connect_iscp() as up_conn:
        await down_conn.open_downstream(spot.down(), on_msg)
        up = await up_conn.open_upstream(spot.up)
        start_ns, written = clock(), 0
        while written < wanted:
            due = min(wanted, (clock() - start_ns) * per_second // 1_000_000_000)
            for _ in range(written, due):
                await up.write(idf.DataPoint(pd.Timedelta(clock() - start_ns, unit="ns"), data_type, channel, payload))
            written = max(written, due)
            await asyncio.sleep(NAP_S)
        await wait_until(lambda: came.calls >= wanted, came.more)
    p50, p99 = np.percentile(taken_ns, [50, 99]) / 1e6
    return {"points": wanted, "lost": wanted - came.calls, "p50_ms": float(p50), "p99_ms": float(p99)}


if __name__ == "__main__":
    work({each.__name__: each for each in (frames, callbacks, latency)})
