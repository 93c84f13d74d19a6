"""The streaming part: columns at full speed and at a pace, objects against the vendor's SDK, and the latency of a point."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tests.benchmarks.table import Row, by_turns, versus
from tests.benchmarks.workers import OURS, REFERENCE, Worker

# Points of a write: at full speed large, at a pace what comes in a hundredth of a second.
LARGE, SMALL = 20_000, 2_000
PACE = 200_000
LATENCY_PACE = 10_000


def streams(url: str, *, seconds: float, callback_points: int) -> Iterator[Row]:
    """Stream to one server and back, one way after the other.

    Parameters
    ----------
    url : str
        Of a server in a process of its own, which nothing else uses.
    seconds : float
        How long each row of columns and the latency take [s].
    callback_points : int
        Points that are written one by one.
    """
    with Worker(OURS, "tests.benchmarks.ours_streaming") as ours:
        ours.ask("frames", url=url, seconds=0.1, batch=SMALL, per_second=None, store=True)  # loads what is compiled
        for what, batch, pace, store in (
            ("stream of frames, relayed", LARGE, None, False),
            ("stream of frames, stored", LARGE, None, True),
            (f"stream of frames at {PACE:,}/s", SMALL, PACE, True),
        ):
            answer = ours.ask("frames", url=url, seconds=seconds, batch=batch, per_second=pace, store=store)
            yield from frame_rows(what, answer, pace, store)
        with Worker(REFERENCE, "tests.benchmarks.peer_streaming") as reference:
            yield versus("stream of objects", callback_points, ">= 5", in_turns(ours, reference, url, callback_points))
        answer = ours.ask("latency", url=url, seconds=seconds, per_second=LATENCY_PACE)
        yield Row(
            "p99 from write to callback [ms]",
            answer["points"],
            f"{answer['p99_ms']:.1f} ms",
            f"{answer['p50_ms']:.1f} ms",
            answer["p99_ms"],
            "<= 50",
        )
        yield Row("the same, points lost", answer["points"], "", "", answer["lost"], "<= 0")


def frame_rows(what: str, answer: dict[str, Any], pace: int | None, store: bool) -> Iterator[Row]:
    """The rate of what came, and what did not come or was not kept."""
    points, lost = answer["points"], answer["lost"]
    if store:
        lost = max(lost, points - answer["stored"])
    if not lost and not answer["same"]:
        raise SystemExit(f"{what}: {points} points came, but not those that were sent")
    # At a pace nothing can come faster than it is written; the last of it is a flush interval late.
    target = PACE if pace is None else 0.98 * pace
    cpu = f"{answer['cpu_s'] / points * 1e9:.0f} ns/pt"
    yield Row(f"{what} [1/s]", points, f"{answer['rate']:,.0f}", cpu, answer["rate"], f">= {target:.0f}")
    yield Row("the same, points lost", points, "", "", lost, "<= 0")


def in_turns(ours: Worker, reference: Worker, url: str, points: int) -> Any:
    def asked(worker: Worker, runs: int) -> Any:
        answers = [worker.ask("callbacks", url=url, points=points) for _ in range(runs)]
        return {"times": [answer["times"][0] for answer in answers], "digest": {"callbacks": answers[-1]["digest"]}}

    return by_turns(lambda runs: asked(ours, runs), lambda runs: asked(reference, runs), our_runs=4, reference_runs=2)
