"""Tables of points in polars keep nanoseconds, and take the zone where polars has it."""

from __future__ import annotations

import datetime as dt
import zoneinfo

import polars as pl
import pyarrow as pa
import pytest

from intdash_frames.frames.polars_frame import to_polars

TABLE = pa.table({"time": pa.array([1, 1_700_000_000_123_456_789], pa.timestamp("ns", "UTC")), "value": [1.0, None]})


@pytest.mark.parametrize(
    ("tz", "zone"),
    [
        (dt.UTC, "UTC"),
        (zoneinfo.ZoneInfo("Asia/Tokyo"), "Asia/Tokyo"),
        (dt.timezone(dt.timedelta(hours=9)), "UTC"),  # polars knows named zones only
    ],
)
def test_times_are_nanoseconds_in_the_zone(tz: dt.tzinfo, zone: str) -> None:
    frame = to_polars(TABLE, tz)
    assert frame.schema["time"] == pl.Datetime("ns", zone)
    assert frame["time"].dt.timestamp("ns").to_list() == [1, 1_700_000_000_123_456_789]
    assert frame["value"].to_list() == [1.0, None]
