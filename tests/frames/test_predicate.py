"""What a predicate says of times and ids is found, and never more than it says."""

from __future__ import annotations

import datetime as dt

import polars as pl
import pytest

from intdash_frames.frames.predicate import Narrowed, narrowed
from intdash_frames.timebase import INT64_MAX, INT64_MIN

IDS = ("channel", "data_id")
time = pl.col("time")
second = dt.datetime(1970, 1, 1, 0, 0, 1, tzinfo=dt.UTC)
SECOND_NS = 10**9
ALWAYS = INT64_MAX + 1


def lit(value: int, unit: str, zone: str = "UTC") -> pl.Expr:
    return pl.lit(value).cast(pl.Datetime(unit, zone))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("predicate", "span"),
    [
        (time >= second, (SECOND_NS, ALWAYS)),
        (time > second, (SECOND_NS, ALWAYS)),
        (time <= second, (INT64_MIN, SECOND_NS + 1)),
        (time < second, (INT64_MIN, SECOND_NS + 1)),
        (time == second, (SECOND_NS, SECOND_NS + 1)),
        (pl.lit(second) <= time, (SECOND_NS, ALWAYS)),
        (pl.lit(second) > time, (INT64_MIN, SECOND_NS + 1)),
        (pl.lit(second) == time, (SECOND_NS, SECOND_NS + 1)),
        (time.is_between(second, lit(2 * SECOND_NS, "ns")), (SECOND_NS, 2 * SECOND_NS + 1)),
        (time.is_between(second, lit(2000, "ms"), closed="none"), (SECOND_NS, 2 * SECOND_NS + 1)),
        (time >= lit(5, "ns"), (5, ALWAYS)),
        (time >= lit(-5, "ms"), (-5_000_000, ALWAYS)),
        (time >= pl.datetime(1970, 1, 1, 0, 0, 1, time_zone="UTC"), (SECOND_NS, ALWAYS)),
        (time >= pl.lit("1970-01-01T00:00:01").str.to_datetime().dt.replace_time_zone("UTC"), (SECOND_NS, ALWAYS)),
        ((time >= second) & (time < lit(2, "ms")), (SECOND_NS, 2_000_001)),
        ((time >= second) & (time >= lit(5, "ns")) & (pl.col("value") > 3), (SECOND_NS, ALWAYS)),
        (time.cast(pl.Datetime("us", "UTC")) >= second, (SECOND_NS - 1000, ALWAYS)),
        (time.cast(pl.Datetime("ms", "UTC")) == second, (SECOND_NS - 1_000_000, SECOND_NS + 1_000_001)),
        (time.is_in(pl.Series([7, 3], dtype=pl.Datetime("ns", "UTC")).implode()), (3, 8)),
    ],
)
def test_a_condition_on_the_time_is_a_range(predicate: pl.Expr, span: tuple[int, int]) -> None:
    assert narrowed(predicate, IDS, "UTC") == Narrowed(*span)


@pytest.mark.parametrize(
    "predicate",
    [
        (time >= second) | (pl.col("value") > 3),
        (time >= second) | (time < lit(5, "ns")),
        ~(time >= second),
        time != second,
        time >= pl.col("other"),
        time.is_not_null(),
        time.is_between(second, pl.col("other")),
        time.dt.offset_by("1d") >= second,
        time.dt.hour() >= 3,
        pl.lit(None, pl.Datetime("ns", "UTC")) <= time,
        lit(10**17, "us") <= time,  # polars may do as it likes with an instant that nanoseconds cannot hold
        pl.col("value") > 3,
        pl.col("data_id") == pl.col("other"),
        pl.lit(True),
    ],
)
def test_what_is_not_understood_narrows_nothing(predicate: pl.Expr) -> None:
    assert narrowed(predicate, IDS, "UTC") == Narrowed()


def test_conditions_on_ids_alone_are_handed_on_as_they_are() -> None:
    first, second = pl.col("channel").is_in([1, 2]), (pl.col("data_id") == "a") | (pl.col("channel") == 3)
    found = narrowed(first & (time > second) & second & (pl.col("value") > pl.col("channel")), IDS, "UTC")
    assert [any(each.meta.eq(wanted) for each in found.ids) for wanted in (first, second)] == [True, True]
    assert len(found.ids) == 2
    assert narrowed(pl.col("data_type") == "can", IDS, "UTC").ids == ()


def test_the_zone_of_a_cast_is_that_of_the_column() -> None:
    tokyo = time.cast(pl.Datetime("us", "Asia/Tokyo")) >= lit(1, "us", "Asia/Tokyo")
    assert narrowed(tokyo, IDS, "Asia/Tokyo") == Narrowed(0, ALWAYS)
    assert narrowed(tokyo, IDS, "UTC") == Narrowed()
