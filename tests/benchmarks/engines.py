"""The engines part: Dask with two workers against one, and what one signal of a hundred costs polars."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from tests.benchmarks.table import Row, seconds
from tests.benchmarks.workers import OURS, Worker, medians

SIGNALS = 100
SIGNAL_POINTS = 10_000
RUNS = 3


def engines(url: str, folder: Path, *, points: int) -> Iterator[Row]:
    """Read a recording with Dask, by turns with one worker and with two, and one signal of a hundred with polars.

    Parameters
    ----------
    url : str
        Of a server in a process of its own, which nothing else uses.
    folder : Path
        Where the recording is exported to.
    points : int
        Of the recording [count].
    """
    with Worker(OURS, "tests.benchmarks.ours_engines") as ours:
        uuid = ours.ask("fill", url=url, points=min(points, 1_000_000), repeats=max(1, points // 1_000_000))
        ours.ask("export", url=url, uuid=uuid, path=str(folder))
        yield with_dask(ours, "Dask over a server, one worker / two", url, uuid)
        yield with_dask(ours, "Dask over a folder, one worker / two", str(folder), uuid)
        answer = ours.ask("one_signal", url=url, signals=SIGNALS, points=SIGNAL_POINTS)
        more = 100 * (answer["bytes"] / answer["own_bytes"] - 1)
        shown = (f"{answer[name] / 1e3:.1f} kB" for name in ("bytes", "own_bytes"))
        yield Row("polars, one signal of 100 [% more bytes]", SIGNAL_POINTS, *shown, more, "<= 2")


def with_dask(ours: Worker, what: str, source: str, uuid: str) -> Row:
    turns: dict[int, list[dict[str, float]]] = {1: [], 2: []}
    sums = set()
    for _ in range(RUNS):
        for workers in turns:
            answer = ours.ask("with_dask", source=source, uuid=uuid, workers=workers)
            turns[workers] += answer["times"]
            sums.add((answer["points"], answer["sum"]))
    if len(sums) != 1:
        raise SystemExit(f"one worker and two did not make the same of it: {sums}")
    one, two = medians(turns[1]), medians(turns[2])
    return Row(
        what,
        sums.pop()[0],
        seconds(two["wall_s"]),
        seconds(one["wall_s"]),
        one["wall_s"] / two["wall_s"],
        ">= 1.6",
        one["cpu_s"] / two["cpu_s"],
    )
