"""The package's side of the live benchmark: `client.live` in a process of its own."""

from __future__ import annotations

import functools
import statistics
import time
from typing import Any

import numpy as np

import intdash_frames as idf
from intdash_frames.live.follow import Live
from tests.benchmarks.progress import Progress
from tests.benchmarks.workers import resident_bytes, work

TOKEN = "token"
SAMPLE_S = 0.25
LOOKS_APART_S = 0.02

running: list[Live] = []


def open_live(url: str, window: str, max_points: int, signals: str | None = None) -> None:
    """Begin to follow the edge."""
    client = idf.Client(url, TOKEN)
    running.append(client.live(edge=client.edges.me(), signals=signals, window=window, max_points=max_points).start())


def watch(points: int, full: int, progress: str | None = None, timeout_s: float = 120) -> dict[str, Any]:
    """Wait until so many points have come, or for so long that they never will, and end.

    Parameters
    ----------
    points : int
    full : int
        When so many have come, the window is full [count].
    progress : str, optional
        Where to tell how many have come.
    timeout_s : float

    Returns
    -------
    dict
        ``stats`` and ``gaps``; ``rate`` of what was shown [1/s]; ``cpu_s`` of this process; ``full_bytes``, ``most_bytes`` and
        ``end_bytes`` of memory: when the window was first full, at most after that, at the end.
    """
    live = running.pop()
    told = None if progress is None else Progress(progress)
    live.wait(1, timeout_s)
    start, cpu, seen, sampled = time.perf_counter(), time.process_time(), 0, 0.0
    begin, full_bytes, most_bytes = live.stats.shown, 0, 0
    while seen < points and time.perf_counter() - start < timeout_s and live.error is None:
        live.wait(min(points, seen + full // 20), SAMPLE_S)
        seen = live.stats.shown
        if told is not None:
            told.points = seen
        if seen > full and time.perf_counter() - sampled > SAMPLE_S:
            sampled = time.perf_counter()
            most_bytes = max(most_bytes, resident_bytes())
            full_bytes = full_bytes or most_bytes
    seconds, cpu_s, end_bytes = time.perf_counter() - start, time.process_time() - cpu, resident_bytes()
    stats = live.stats
    live.close()
    return {
        "stats": {name: getattr(stats, name) for name in stats.__slots__},
        "gaps": len(live.gaps),
        "rate": (stats.shown - begin) / seconds,
        "cpu_s": cpu_s,
        "full_bytes": full_bytes,
        "end_bytes": end_bytes,
        "most_bytes": most_bytes,
    }


def looks(rows: int, count: int, signal: str | None = None) -> dict[str, Any]:
    """Look at a full window again and again while more comes, and end.

    Parameters
    ----------
    rows : int
        What the window holds when it is full [count].
    count : int
    signal : str, optional
        To look at ``live[signal]``; ``live.frame()`` if not given.

    Returns
    -------
    dict
        ``median_ms`` and ``least_ms`` that it took [ms], ``rows`` of the smallest frame.
    """
    live = running.pop()
    live.wait(rows, 60)
    look = live.frame if signal is None else functools.partial(live.__getitem__, signal)
    begin, times, sizes = live.stats.shown, [], []
    look()
    for _ in range(count):
        start = time.perf_counter()
        frame = look()
        times.append((time.perf_counter() - start) * 1e3)
        sizes.append(len(frame))
        time.sleep(LOOKS_APART_S)
    newer = live.stats.shown - begin
    live.close()
    if not newer:
        raise RuntimeError("no points came while the window was looked at")
    return {"median_ms": statistics.median(times), "least_ms": min(times), "rows": min(sizes)}


def ages(seconds: float) -> dict[str, Any]:
    """Age of the newest row of the frame, by the stamp that the sender gave it [ms]."""
    live = running.pop()
    live.wait(1000, 60)
    live.frame()
    ages_ns, until = [], time.perf_counter() + seconds
    while time.perf_counter() < until:
        frame = live.frame()
        ages_ns.append(time.time_ns() - frame.index[-1].value)
        time.sleep(LOOKS_APART_S / 4)
    points = live.stats.shown
    live.close()
    p50, p99 = np.percentile(ages_ns, [50, 99]) / 1e6
    return {"p50_ms": float(p50), "p99_ms": float(p99), "looks": len(ages_ns), "points": points}


if __name__ == "__main__":
    work({each.__name__: each for each in (open_live, watch, looks, ages)})
