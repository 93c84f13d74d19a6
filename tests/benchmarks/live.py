"""The live part: a window that fills from one connection, against the vendor's SDK with a callback and a list; looks; ages."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from intdash_frames.model import DataType
from tests.benchmarks.progress import Progress
from tests.benchmarks.table import Row
from tests.benchmarks.workers import OURS, REFERENCE, Worker

PACE = 200_000
LEAST = 2_000  # points of a write at that pace: what comes in a hundredth of a second
WINDOW_POINTS = 1_000_000
# Of a run at full speed, for each second that a run at a pace takes.
FULL_SPEED_POINTS = 1_000_000
TURNS = 3
LOOK_ROWS = 150_000
LOOK_PACE = AGE_PACE = 10_000


def live(url: str, folder: Path, *, seconds: float, looks: int, reference_points: int) -> Iterator[Row]:
    """Follow an edge that sends from another process, one way after the other.

    Parameters
    ----------
    url : str
        Of a server in a process of its own, which nothing else uses.
    folder : Path
        For what processes tell each other.
    seconds : float
        How long points are sent at a pace [s].
    looks : int
        How often a full window is looked at in each way.
    reference_points : int
        Points that the vendor's SDK is sent at a time [count].
    """
    with Worker(OURS, "tests.benchmarks.live_sender") as sender:
        with Worker(OURS, "tests.benchmarks.ours_live") as ours:
            yield from at_a_pace(url, ours, sender, seconds)
            yield from look_rows(url, ours, sender, looks)
            yield from ages(url, ours, sender, min(seconds, 20))
        with Worker(OURS, "tests.benchmarks.ours_live") as ours, Worker(REFERENCE, "tests.benchmarks.peer_live") as reference:
            yield ceiling(url, folder / "progress", (ours, reference, sender), seconds, reference_points)


def at_a_pace(url: str, ours: Worker, sender: Worker, seconds: float) -> Iterator[Row]:
    """A stream that is stored, into a window that is full after a while."""
    points = int(PACE * seconds)
    full = min(WINDOW_POINTS, points // 2)
    ours.ask("open_live", url=url, window="60s", max_points=full)
    came = ours.begin("watch", points=points + 1, full=full)
    sent = sender.ask("send", url=url, points=points, per_second=PACE, least=LEAST, store=True)
    answer = came()
    grown = max(answer["end_bytes"], answer["most_bytes"]) / answer["full_bytes"] - 1
    cpu = f"{answer['cpu_s'] / points * 1e9:.0f} ns/pt"
    # The first of it comes a flush interval late, and what is measured begins there.
    yield Row(f"live window at {PACE:,}/s [1/s]", points, f"{answer['rate']:,.0f}", cpu, answer["rate"], f">= {0.98 * PACE:.0f}")
    yield Row("the same, points lost", points, "", "", lost(sent["points"], answer), "<= 0")
    yield Row(
        "the same, memory since full [% more]",
        points,
        f"{answer['end_bytes'] / 1e6:.0f} MB",
        f"{answer['full_bytes'] / 1e6:.0f} MB",
        100 * grown,
        "<= 1",
    )


def lost(sent: int, answer: dict[str, Any]) -> int:
    """Points that were sent and not shown; the counts must add up, and what is lost on the way must not be a gap besides."""
    stats = answer["stats"]
    if stats["received"] + stats["recovered"] != stats["shown"] + stats["dropped"] + stats["waiting"]:
        raise SystemExit(f"the counts of a live view do not add up: {stats}")
    if answer["gaps"]:
        raise SystemExit(f"a live view whose connection was never lost has {answer['gaps']} gaps")
    return int(sent - stats["shown"])


def look_rows(url: str, ours: Worker, sender: Worker, looks: int) -> Iterator[Row]:
    """How long a look at a full window of one type takes while more comes."""
    for data_type in (DataType.float, DataType.can):
        signal = next(each for each in sender.ask("signals") if each[0] == data_type)
        name = f"{data_type.name}:{signal[1]}/{signal[2]}"
        for what, key in (("frame()", None), ("[signal]", name)):
            # Sends somewhat longer than all looks take, so that each meets new points.
            more = looks * LOOK_PACE // 25 + LOOK_PACE // 2
            arguments = {"points": LOOK_ROWS + more, "per_second": LOOK_PACE, "behind": LOOK_ROWS, "signal": signal}
            ours.ask("open_live", url=url, window="600s", max_points=LOOK_ROWS, signals=name)
            sent = sender.begin("send", url=url, **arguments)
            answer = ours.ask("looks", rows=LOOK_ROWS, count=looks, signal=key)
            sent()
            yield Row(
                f"look at {data_type.name}s, {what} [ms]",
                answer["rows"],
                f"{answer['median_ms']:.1f} ms",
                f"{answer['least_ms']:.1f} ms",
                answer["median_ms"],
                "<= 5",
            )


def ages(url: str, ours: Worker, sender: Worker, seconds: float) -> Iterator[Row]:
    """How old the newest row is."""
    # A second of points: looking at them must not take longer than what is to be measured.
    ours.ask("open_live", url=url, window="1s", max_points=WINDOW_POINTS)
    sent = sender.begin("send", url=url, points=int((seconds + 1) * AGE_PACE), per_second=AGE_PACE, store=True)
    answer = ours.ask("ages", seconds=seconds)
    sent()
    yield Row(
        "p99 age of the newest row [ms]",
        answer["points"],
        f"{answer['p99_ms']:.1f} ms",
        f"{answer['p50_ms']:.1f} ms",
        answer["p99_ms"],
        "<= 50",
    )


def ceiling(url: str, progress: Path, workers: tuple[Worker, Worker, Worker], seconds: float, reference_points: int) -> Row:
    """As many points as either side can take in; by turns."""
    ours, reference, sender = workers
    points = int(FULL_SPEED_POINTS * seconds / 6)
    signals = sender.ask("signals")
    mine, theirs = [], []
    take_in(url, progress, ours, sender, points)  # loads what is compiled, takes the memory of the window
    for _ in range(TURNS):
        mine.append(take_in(url, progress, ours, sender, points))
        reference.ask("open_live", url=url, signals=signals)
        came = reference.begin("watch", points=reference_points)
        sender.ask("send", url=url, points=reference_points)
        answer = came()
        if answer["points"] != reference_points:
            raise SystemExit(f"the reference took {answer['points']} points of {reference_points}")
        theirs.append({"rate": answer["rate"], "cpu_s": answer["cpu_s"] / reference_points})
    rate, other_rate = (statistics.median(each["rate"] for each in side) for side in (mine, theirs))
    cpu_s, other_cpu_s = (statistics.median(each["cpu_s"] for each in side) for side in (mine, theirs))
    return Row(
        "live at full speed, ours / reference",
        points,
        f"{rate:,.0f}/s",
        f"{other_rate:,.0f}/s",
        rate / other_rate,
        ">= 20",
        other_cpu_s / cpu_s,
    )


def take_in(url: str, progress: Path, ours: Worker, sender: Worker, points: int) -> dict[str, float]:
    Progress(progress, create=True)
    ours.ask("open_live", url=url, window="600s", max_points=WINDOW_POINTS)
    came = ours.begin("watch", points=points + 1, full=WINDOW_POINTS, progress=str(progress))
    sent = sender.ask("send", url=url, points=points, progress=str(progress))
    answer = came()
    if missing := lost(sent["points"], answer):
        raise SystemExit(f"{missing} points of {points} were lost at full speed, so the time says nothing")
    return {"rate": answer["rate"], "cpu_s": answer["cpu_s"] / points}
