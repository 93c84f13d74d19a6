"""Windows of numbers, for tests of what is drawn of them."""

from __future__ import annotations

from typing import Any

from intdash_frames import data
from intdash_frames.codecs.points import Points
from intdash_frames.codecs.series import Series
from intdash_frames.live.rolling import RollingFrame
from intdash_frames.model import DataType
from tests.codecs.some_points import points_of

START_NS = 1_594_283_650_000_000_000


def window() -> RollingFrame:
    return RollingFrame(window_ns=60 * 10**9, max_points=100_000, meta={})


def floats(rolling: RollingFrame, name: str, values: Any, *, first_ns: int = START_NS, step_ns: int = 10**6) -> Points:
    """Points of ``float:1/name``, with the keys of the window."""
    series = Series("m", int(DataType.float), 1, name, "11")
    rows = [
        (first_ns + number * step_ns, series, data.Float(data_id=name, value=float(value)).to_payload())
        for number, value in enumerate(values)
    ]
    return points_of(rows, rolling.keys)
