"""An edge in a process of its own: sends the mix of the benchmark, or one signal of it, stamped by the clock that all share."""

from __future__ import annotations

import asyncio
import dataclasses
import functools
import time
from typing import Any

import numpy as np
import pandas as pd

import intdash_frames as idf
from intdash_frames import data
from intdash_frames.client.stream import StreamConnection, open_socket
from intdash_frames.codecs.points import Points
from intdash_frames.model import BasetimeType, DataType
from intdash_frames.timebase import timestamp
from tests.benchmarks.progress import Progress
from tests.benchmarks.recording import recording
from tests.benchmarks.workers import work

TOKEN = "token"
PIECE_POINTS = 20_000
# Points on their way at most at full speed: a server gives up the oldest of a reader that falls behind further.
MOST_AHEAD = 200_000
NAP_S = 0.001
# At full speed points are stamped as if they came at this pace.
FULL_SPEED_STEP_NS = 1_000


@functools.cache
def everything() -> Points:
    return recording(10 * PIECE_POINTS, "")


def piece_of(signal: list[Any] | None) -> Points:
    """Points to send over and over: the mix, or those of one signal (data type, channel, id)."""
    points = everything()
    if signal is None:
        return points.slice(0, PIECE_POINTS)
    wanted = [(key.data_type, key.channel, key.data_id) == tuple(signal) for key in points.keys]
    return points.take(np.flatnonzero(np.asarray(wanted)[points.series]))


def signals() -> list[tuple[int | None, int | None, str]]:
    """Data type, channel and id of every signal of the mix, the most frequent first."""
    points = everything()
    order = np.argsort(-np.bincount(points.series, minlength=len(points.keys)), kind="stable")
    return [(key.data_type, key.channel, key.data_id) for key in (points.keys[code] for code in order.tolist())]


class Stamped:
    """A piece over and over, each point a step after the one before."""

    def __init__(self, piece: Points, step_ns: int) -> None:
        self._piece, self._step_ns, self.sent = piece, step_ns, 0

    def next(self, most: int) -> Points:
        start = self.sent % len(self._piece)
        part = self._piece.slice(start, min(start + most, len(self._piece)))
        time_ns = np.arange(self.sent, self.sent + len(part), dtype=np.int64) * self._step_ns
        self.sent += len(part)
        return dataclasses.replace(part, time_ns=time_ns)


def send(
    url: str,
    points: int,
    per_second: int | None = None,
    least: int = 1,
    behind: int = 0,
    store: bool = False,
    signal: list[Any] | None = None,
    progress: str | None = None,
) -> dict[str, Any]:
    """Send points, to a new measurement if they are to be stored.

    Parameters
    ----------
    url : str
    points : int
        How many, without the base time [count].
    per_second : int, optional
        Pace; each point is stamped with the moment when it is due. Full speed if not given.
    least : int
        Points that are written at once, at least [count].
    behind : int
        So many are due at the start, and sent as fast as they go [count].
    store : bool
    signal : list, optional
        Data type, channel and id of the only signal to send; everything if not given.
    progress : str, optional
        Path of a `Progress` that says how many have come, which a sender at full speed keeps to.

    Returns
    -------
    dict
        ``points`` sent with the base time, ``measurement`` or None, ``seconds`` that it took, ``cpu_s``.
    """
    return asyncio.run(_send(idf.Client(url, TOKEN), points, per_second, least, behind, store, piece_of(signal), progress))


async def _send(
    client: idf.Client,
    points: int,
    per_second: int | None,
    least: int,
    behind: int,
    store: bool,
    piece: Points,
    progress: str | None,
) -> dict[str, Any]:
    edge = client.edges.me().uuid
    step_ns = FULL_SPEED_STEP_NS if per_second is None else 10**9 // per_second
    source, came = Stamped(piece, step_ns), None if progress is None else Progress(progress)
    async with StreamConnection(await open_socket(client.connection), timeout_s=60) as connection:
        basetime = timestamp((time.time_ns() - behind * step_ns) // 1000 * 1000)
        measurement = client.measurements.create(edge, basetime, "ntp").uuid if store else None
        spec = idf.UpstreamSpec(edge, None, False, store, measurement or idf.model.NULL_UUID)
        up = await connection.open_upstream(spec)
        start, cpu = time.perf_counter(), time.process_time()
        payload = data.Basetime(BasetimeType.ntp, basetime).to_payload()
        await up.write(idf.DataPoint(pd.Timedelta(0), DataType.basetime, 0, payload))
        while (left := points - source.sent) > 0:
            if per_second is None:
                if came is not None and source.sent - came.points > MOST_AHEAD:
                    await asyncio.sleep(NAP_S)
                    continue
                due = left
            else:
                due = min(left, (time.time_ns() - basetime.value) // step_ns - source.sent)
                if due < min(least, left):
                    await asyncio.sleep(NAP_S)
                    continue
            await up.write_points(source.next(due))
        await up.close()
        seconds, cpu_s = time.perf_counter() - start, time.process_time() - cpu
    if measurement is not None:
        # As an edge does; while one runs, a live view looks for the next base time in it first.
        client.measurements.update(measurement, ended=True)
    return {"points": up.points, "measurement": measurement, "seconds": seconds, "cpu_s": cpu_s}


if __name__ == "__main__":
    work({each.__name__: each for each in (signals, send)})
