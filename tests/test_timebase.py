from __future__ import annotations

import datetime as dt
import zoneinfo
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from intdash_frames import timebase
from intdash_frames.errors import UsageError

INT64 = st.integers(timebase.INT64_MIN, timebase.INT64_MAX)
T = 1594283650832607123  # 2020-07-09T08:34:10.832607123Z


@given(INT64)
@settings(deadline=None)
def test_every_int64_survives_the_text(time_ns: int) -> None:
    text = timebase.to_iso(time_ns)
    assert timebase.from_iso(text) == time_ns
    assert len(text) == len("2020-07-09T08:34:10.832607123Z")


@given(INT64, st.integers(-23 * 60 - 59, 23 * 60 + 59))
@settings(deadline=None)
def test_the_same_moment_in_any_zone_reads_the_same(time_ns: int, offset_min: int) -> None:
    sign, offset = "-" if offset_min < 0 else "+", abs(offset_min)
    local = timebase.to_iso(time_ns + offset_min * 60 * 10**9)[:-1]
    assert timebase.from_iso(f"{local}{sign}{offset // 60:02d}:{offset % 60:02d}") == time_ns


@given(INT64)
@settings(deadline=None)
def test_microseconds_cut_the_last_three_digits_of_the_text(time_ns: int) -> None:
    kept = timebase.from_micro(timebase.to_micro(time_ns))
    if kept >= timebase.INT64_MIN:
        assert timebase.to_iso(kept)[:-4] == timebase.to_iso(time_ns)[:-4]
        assert timebase.to_iso(kept).endswith("000Z")


@given(st.text())
@settings(deadline=None)
def test_any_text_reads_as_a_moment_or_none(text: str) -> None:
    found = timebase.from_iso(text)
    assert found is None or timebase.INT64_MIN <= found <= timebase.INT64_MAX


@pytest.mark.parametrize(
    ("text", "time_ns"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01t00:00:00.1z", 100_000_000),
        ("1970-01-01 09:00:00.000000001+09:00", 1),
        ("1969-12-31T19:30:00-0430", 0),
        (None, None),
        ("", None),
        ("undefined", None),
        ("0001-01-01T00:00:00Z", None),  # Go's zero time
        ("9999-12-31T23:59:59Z", None),
        ("2020-02-30T00:00:00Z", None),
        ("2020-01-01T00:00:60Z", None),
        ("2020-01-01T00:00:00", None),
        ("2020-01-01T00:00:00.1234567891Z", None),
        ("2020-01-01T00:00:00Z\n", None),
        ("٢٠٢٠-01-01T00:00:00Z", None),
    ],
)
def test_texts_of_servers(text: str | None, time_ns: int | None) -> None:
    assert timebase.from_iso(text) == time_ns


@pytest.mark.parametrize(
    "value",
    [
        "2020-07-09T08:34:10.832607123Z",
        "2020-07-09 17:34:10.832607123+09:00",
        pd.Timestamp(T, unit="ns", tz="UTC"),
        pd.Timestamp(T, unit="ns", tz="UTC").tz_convert("Asia/Tokyo"),
    ],
)
def test_a_moment_with_a_zone_reads_to_the_nanosecond(value: Any) -> None:
    assert timebase.moment_ns(value) == T


def test_a_moment_of_a_coarser_unit_is_counted_in_nanoseconds() -> None:
    assert timebase.moment_ns(pd.Timestamp("2020-01-01", tz="UTC").as_unit("s")) == 1577836800 * 10**9
    assert timebase.moment_ns(dt.datetime(2020, 1, 1, tzinfo=dt.UTC)) == 1577836800 * 10**9


@pytest.mark.parametrize(
    "value",
    [
        "2020-07-09 08:34:10",
        dt.datetime(2020, 7, 9),
        pd.Timestamp("2020-07-09"),
        np.datetime64("2020-07-09"),
        dt.date(2020, 7, 9),
    ],
)
def test_a_moment_without_a_zone_is_refused_unless_the_zone_is_said(value: Any) -> None:
    with pytest.raises(UsageError, match=r"start=.* has no time zone; write '2020-07-09"):
        timebase.moment_ns(value, name="start")
    utc, tokyo = timebase.moment_ns(value, tz="UTC"), timebase.moment_ns(value, tz=zoneinfo.ZoneInfo("Asia/Tokyo"))
    assert utc - tokyo == 9 * 3600 * 10**9


@pytest.mark.parametrize("value", [5, 5.0, True, np.int64(5), np.float32(1), "1594283650832607123"])
def test_a_number_is_no_moment_and_no_duration(value: Any) -> None:
    with pytest.raises(UsageError, match="unit"):
        timebase.moment_ns(value)
    with pytest.raises(UsageError, match="unit"):
        timebase.duration_ns(value)


@pytest.mark.parametrize("value", [None, pd.NaT, "", "soon", "9999-01-01T00:00:00Z", [], object()])
def test_what_is_no_moment_is_refused(value: Any) -> None:
    with pytest.raises(UsageError, match="is no moment"):
        timebase.moment_ns(value)


def test_a_moment_that_a_clock_change_skipped_is_refused() -> None:
    with pytest.raises(UsageError):
        timebase.moment_ns("2024-03-31 02:30", tz="Europe/Berlin")


@pytest.mark.parametrize(
    ("value", "duration"),
    [
        ("10ms", 10_000_000),
        (dt.timedelta(microseconds=-3), -3000),
        (pd.Timedelta(7, unit="ns"), 7),
        (np.timedelta64(5, "ms"), 5_000_000),
    ],
)
def test_durations_read_to_the_nanosecond(value: Any, duration: int) -> None:
    assert timebase.duration_ns(value) == duration


@pytest.mark.parametrize("value", [None, pd.NaT, "", "long", dt.timedelta(days=200_000)])
def test_what_is_no_duration_is_refused(value: Any) -> None:
    with pytest.raises(UsageError, match="is no duration"):
        timebase.duration_ns(value)


@given(INT64.filter(lambda value: value > timebase.INT64_MIN))
@settings(deadline=None)
def test_pandas_objects_hold_every_nanosecond(value: int) -> None:
    stamp, delta = timebase.timestamp(value), timebase.timedelta(value)
    assert (stamp.value, stamp.unit, str(stamp.tz)) == (value, "ns", "UTC")
    assert (delta.value, delta.unit) == (value, "ns")


@pytest.mark.parametrize("tz", ["Mars/Olympus", "", 9, "../etc/passwd"])
def test_an_unknown_zone_is_refused(tz: Any) -> None:
    with pytest.raises(UsageError, match="is no time zone"):
        timebase.zone(tz)
