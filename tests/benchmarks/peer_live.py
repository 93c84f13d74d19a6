"""The vendor's SDK on its side of the live benchmark: a callback that appends time and contents of each point to a list."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from typing import Any

import intdash

from tests.benchmarks.peer import READERS, TOKEN
from tests.benchmarks.through import Tally, wait_until
from tests.benchmarks.workers import work

loop = asyncio.new_event_loop()
running: list[Any] = []


class Gathered:
    """Every point with its contents, and when the first and the last of them came."""

    def __init__(self) -> None:
        self.rows: list[tuple[Any, Any]] = []
        self.tally = Tally()
        self.first_s = self.first_cpu_s = self.last_s = self.last_cpu_s = 0.0

    async def on_msg(self, point: Any) -> None:
        if point.data_type not in READERS:  # base times come without being asked for
            return
        if not self.rows:
            self.first_s, self.first_cpu_s = time.perf_counter(), time.process_time()
        self.rows.append((point.elapsed_time, READERS[point.data_type](point.data_payload)))
        self.last_s = time.perf_counter()
        self.tally.count()


def open_live(url: str, signals: list[tuple[int, int, str]]) -> None:
    """Begin to follow these signals of the edge."""
    loop.run_until_complete(_open(url, signals))


async def _open(url: str, signals: list[tuple[int, int, str]]) -> None:
    gathered, client = Gathered(), intdash.Client(url, edge_token=TOKEN)
    by_channel = defaultdict(list)
    for data_type, channel, data_id in signals:
        by_channel[data_type, channel].append(data_id)
    filters = [intdash.DataFilter(*where, data_id) for where, ids in by_channel.items() for data_id in ids]
    connection = await client.connect_iscp()
    await connection.open_downstream(intdash.DownstreamSpec(client.edges.me().uuid, filters), gathered.on_msg)
    running.append((gathered, connection))


def watch(points: int) -> dict[str, Any]:
    """Wait until so many points have come, and end: how many, their ``rate`` [1/s], and ``cpu_s`` of this process."""
    return loop.run_until_complete(_watch(points))


async def _watch(points: int) -> dict[str, Any]:
    gathered, connection = running.pop()
    await wait_until(lambda: gathered.tally.calls >= points, gathered.tally.more)
    cpu_s = time.process_time() - gathered.first_cpu_s
    await connection.close()
    rate = (len(gathered.rows) - 1) / (gathered.last_s - gathered.first_s)
    return {"points": len(gathered.rows), "rate": rate, "cpu_s": cpu_s}


if __name__ == "__main__":
    work({each.__name__: each for each in (open_live, watch)})
