"""`make drops`: the connection of a live view is cut again and again while points come; all that is stored is shown, once.

Ends with 1 if a point is missing or repeated, the counts do not add up, or there is a gap.
"""

from __future__ import annotations

import argparse
import tempfile
import threading
import time
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import intdash_frames as idf
from intdash_frames.live.tally import LiveStats
from tests.benchmarks.live_sender import TOKEN
from tests.benchmarks.workers import OURS, Worker
from tests.live.differences import differences
from tests.live.proxy import Proxy

PER_SECOND = 5_000
BEHIND_S = 6
# How long the last points may take, with the last hole.
PATIENCE_S = 60


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a campaign has shown.

    Attributes
    ----------
    stored, missing, repeated : int
        Points that the measurement holds, that were not shown, that were shown again [count].
    stats : LiveStats
    gaps : int
        Rows of `Live.gaps`.
    cuts : int
    """

    stored: int
    missing: int
    repeated: int
    stats: LiveStats
    gaps: int
    cuts: int

    @property
    def is_whole(self) -> bool:
        """Whether everything was shown once, and said so."""
        stats = self.stats
        adds_up = stats.received + stats.recovered == stats.shown == self.stored and not stats.dropped and not stats.waiting
        return not self.missing and not self.repeated and not self.gaps and adds_up


def campaign(folder: Path, *, seconds: float, cuts: int, seed: int) -> Outcome:
    """Follow an edge through a proxy that cuts.

    Parameters
    ----------
    folder : Path
        For the server's data.
    seconds : float
        How long points come [s].
    cuts : int
        At moments spread over that time at random.
    seed : int
    """
    points = int(PER_SECOND * seconds)
    # Behind the last cut must come live points, or nothing says that what was read back is all.
    moments_s = np.sort(np.random.default_rng(seed).uniform(0, max(seconds / 2, seconds - BEHIND_S), cuts)).tolist()
    with (
        Worker(OURS, "tests.benchmarks.serving") as server,
        Worker(OURS, "tests.benchmarks.live_sender") as sender,
        Proxy(server.ask("start", data=str(folder / "drops.duckdb"))) as proxy,
    ):
        sender.ask("signals")  # makes what is sent, which takes a moment
        viewer = idf.Client(proxy.url, TOKEN)
        edge = viewer.edges.me()
        with viewer.live(edge=edge, window="1h", max_points=2 * points + 1000) as live:
            sent = sender.begin("send", url=proxy.server_url, points=points, per_second=PER_SECOND, store=True)
            live.wait(1, PATIENCE_S)
            start = time.monotonic()
            for moment_s in moments_s:
                threading.Event().wait(max(0.0, start + moment_s - time.monotonic()))
                proxy.cut()
            answer = sent()
            live.wait(answer["points"], PATIENCE_S)
        stored = idf.Client(proxy.server_url, TOKEN).frames(answer["measurement"], progress=False).to_arrow()
        missing, repeated = differences(stored, live.to_arrow())
        return Outcome(len(stored), missing, repeated, live.stats, len(live.gaps), len(moments_s))


def main(arguments: Collection[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Cut the connection of a live view again and again.")
    parser.add_argument("--seconds", type=float, default=300)
    parser.add_argument("--cuts", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args(None if arguments is None else list(arguments))
    with tempfile.TemporaryDirectory() as name:
        outcome = campaign(Path(name), seconds=chosen.seconds, cuts=chosen.cuts, seed=chosen.seed)
    print(f"{outcome.stored:,} points stored, {outcome.cuts} cuts, {outcome.stats.reconnects} reconnections")
    print(f"{outcome.missing} missing, {outcome.repeated} repeated, {outcome.gaps} gaps, {outcome.stats}")
    raise SystemExit(not outcome.is_whole)


if __name__ == "__main__":
    main()
