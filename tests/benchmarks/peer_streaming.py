"""The vendor's SDK on its side of the streaming benchmark, in an environment of its own."""

from __future__ import annotations

import asyncio
from typing import Any

import intdash

from tests.benchmarks.through import ACROSS_TYPE, made_points, through
from tests.benchmarks.workers import work

TOKEN = "token"
# Of the points of `made_points`: the SDK has no filter for every id.
IDS = [f"{0x100 + i:08x}" for i in range(80)]


def callbacks(url: str, points: int) -> dict[str, Any]:
    """Objects up and down at once: see `through`."""
    client = intdash.Client(url, edge_token=TOKEN)
    edge = client.edges.me().uuid
    filters = [intdash.DataFilter(*ACROSS_TYPE, data_id) for data_id in IDS]
    up, down = intdash.UpstreamSpec(edge), intdash.DownstreamSpec(edge, filters)
    return asyncio.run(through(client, up, down, made_points(intdash.DataPoint, points)))


if __name__ == "__main__":
    work({"callbacks": callbacks})
