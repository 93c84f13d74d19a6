"""Data points through `connect_iscp`, written and called back one by one: the same lines for the package and the vendor's SDK."""

from __future__ import annotations

import asyncio
import time
import zlib
from collections.abc import Callable
from typing import Any

import pandas as pd

CAN, CHANNEL = 1, 1
ACROSS_TYPE = (CAN, CHANNEL)
LONGEST_WAIT_S = 60

clock = time.perf_counter_ns


class Tally:
    """Counts calls, and wakes who waits for them."""

    def __init__(self) -> None:
        self.calls = 0
        self.more = asyncio.Event()

    def count(self) -> None:
        self.calls += 1
        self.more.set()


async def wait_until(done: Callable[[], bool], more: asyncio.Event) -> None:
    """Wait until something is so, or for so long that it never will be: what is lost does not come."""
    try:
        async with asyncio.timeout(LONGEST_WAIT_S):
            while not done():
                more.clear()
                await more.wait()
    except TimeoutError:
        return


def made_points(data_point: Callable[..., Any], points: int) -> list[Any]:
    """CAN frames of eight bytes, a microsecond apart, as objects of either side."""
    frames = [
        (0x100 + i % 80).to_bytes(4, "little") + b"\x08" + (i * 2654435761 % 2**64).to_bytes(8, "little") for i in range(points)
    ]
    return [
        data_point(elapsed_time=pd.Timedelta(i * 1000, unit="ns"), data_type=CAN, channel=CHANNEL, data_payload=frame)
        for i, frame in enumerate(frames)
    ]


async def through(client: Any, up_spec: Any, down_spec: Any, points: list[Any]) -> dict[str, Any]:
    """Write all points and wait until the callback had all of them.

    Returns
    -------
    dict
        ``times``: wall and processor time from the first write to the last call [s]; ``digest`` of what the callback was given.
    """
    came, tally = [], Tally()

    async def on_msg(point: Any) -> None:
        came.append(point)
        tally.count()

    down_conn, up_conn = await client.connect_iscp(), await client.connect_iscp()
    await down_conn.open_downstream(down_spec, on_msg)
    up = await up_conn.open_upstream(up_spec)
    wall, cpu = time.perf_counter(), time.process_time()
    for point in points:
        await up.write(point)
    await wait_until(lambda: tally.calls >= len(points), tally.more)
    times = {"wall_s": time.perf_counter() - wall, "cpu_s": time.process_time() - cpu}
    await up_conn.close()
    await down_conn.close()
    contents = zlib.crc32(b"".join(point.data_payload for point in came))
    elapsed_ns = sum(point.elapsed_time.value for point in came)
    return {"times": [times], "digest": {"points": len(came), "elapsed_ns": elapsed_ns, "contents": contents}}
