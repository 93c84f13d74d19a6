"""Wide frames against a slow account of the same with pandas, and the rules of names, memory and exactness."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import intdash_frames as idf
from intdash_frames import UsageError
from intdash_frames.frames.wide import METHODS, NumericColumn, read_axis, wide
from tests.frames.stored import BASETIME_NS, float_row, int_row, sensor_row, string_row

T0 = 1_594_283_650_000_000_000

times = st.lists(st.integers(0, 60), min_size=1, max_size=15).map(sorted)
unique_times = st.lists(st.integers(0, 60), min_size=1, max_size=15, unique=True).map(sorted)
floats = st.floats(-1e6, 1e6) | st.integers(-3, 3).map(float)


@st.composite
def columns_of(draw: st.DrawFn, stamps: st.SearchStrategy[list[int]] = times) -> list[NumericColumn]:
    found = []
    for number in range(draw(st.integers(1, 3))):
        at = draw(stamps)
        numbers: Any = st.integers(-(2**62), 2**62) if draw(st.booleans()) else floats
        values = np.array(draw(st.lists(numbers, min_size=len(at), max_size=len(at))))
        found.append(NumericColumn(f"float:1/{number}", "value", str(number), T0 + np.array(at, np.int64), values, ""))
    return found


def made(columns: list[NumericColumn], every: Any = None, **options: Any) -> pd.DataFrame:
    axis = {"on": None, "method": "last", "tolerance": None, "max_memory": "1GiB"} | options
    return wide(columns, read_axis(every, **axis), tz="UTC", meta={})


def series(column: NumericColumn) -> pd.Series:
    return pd.Series(column.values, index=pd.DatetimeIndex(column.time_ns.view("M8[ns]")).tz_localize("UTC"))


def values_of(frame: pd.DataFrame, name: str) -> list[Any]:
    """Values with None for what is missing, whatever the kind of the column."""
    return [None if pd.isna(value) else value for value in frame[name].astype(object)]


def grid(columns: list[NumericColumn], step_ns: int) -> pd.DatetimeIndex:
    step = pd.Timedelta(step_ns, "ns")
    every = pd.concat([series(column) for column in columns]).index
    return pd.date_range(every.min().floor(step), every.max().floor(step), freq=step, unit="ns")


@settings(max_examples=40, deadline=None)
@given(columns_of(), st.integers(1, 20), st.none() | st.integers(1, 30))
def test_last_is_a_backward_join_as_of(columns: list[NumericColumn], step: int, tolerance: int | None) -> None:
    limit = None if tolerance is None else pd.Timedelta(tolerance, "ns")
    frame = made(columns, pd.Timedelta(step, "ns"), tolerance=limit)
    assert frame.index.equals(grid(columns, step))
    for column in columns:
        assert values_of(frame, column.short) == as_of(frame.index, column, "backward", limit)


@settings(max_examples=40, deadline=None)
@given(columns_of(unique_times), st.integers(1, 20), st.none() | st.integers(1, 30))
def test_nearest_is_a_nearest_join_as_of(columns: list[NumericColumn], step: int, tolerance: int | None) -> None:
    limit = None if tolerance is None else pd.Timedelta(tolerance, "ns")
    frame = made(columns, pd.Timedelta(step, "ns"), method="nearest", tolerance=limit)
    for column in columns:
        assert values_of(frame, column.short) == as_of(frame.index, column, "nearest", limit)


def as_of(index: pd.DatetimeIndex, column: NumericColumn, direction: str, limit: pd.Timedelta | None) -> list[Any]:
    """The same by `merge_asof`, over positions, so that integers stay exact."""
    right = pd.DataFrame({"time": series(column).index, "row": np.arange(len(column.values), dtype=float)})
    found = pd.merge_asof(pd.DataFrame({"time": index}), right, on="time", direction=direction, tolerance=limit)["row"]
    return [None if np.isnan(row) else column.values[int(row)] for row in found]


@settings(max_examples=40, deadline=None)
@given(columns_of(), st.integers(1, 20))
def test_mean_is_the_mean_of_each_step(columns: list[NumericColumn], step: int) -> None:
    frame = made(columns, pd.Timedelta(step, "ns"), method="mean")
    for column in columns:
        values = series(column).astype(float)
        expected = values.groupby(values.index.floor(pd.Timedelta(step, "ns"))).mean().reindex(frame.index)
        np.testing.assert_allclose(frame[column.short], expected, rtol=1e-12, atol=1e-6)
        assert frame[column.short].isna().equals(expected.isna())


@settings(max_examples=40, deadline=None)
@given(columns_of(unique_times), st.integers(1, 20), st.none() | st.integers(1, 30))
def test_interpolate_is_the_line_between_neighbours(columns: list[NumericColumn], step: int, tolerance: int | None) -> None:
    limit = None if tolerance is None else pd.Timedelta(tolerance, "ns")
    frame = made(columns, pd.Timedelta(step, "ns"), method="interpolate", tolerance=limit)
    for column in columns:
        # over small numbers: pandas interpolates on floats, and nanoseconds since 1970 are beyond their 53 bits
        stamps = pd.Index(frame.index.asi8 - T0)
        values = pd.Series(column.values.astype(float), index=column.time_ns - T0)
        union = values.reindex(values.index.union(stamps)).interpolate("index", limit_area="inside").reindex(stamps)
        if tolerance is not None:
            before = pd.Series(values.index, values.index).reindex(stamps, method="ffill")
            after = pd.Series(values.index, values.index).reindex(stamps, method="bfill")
            union[(stamps - before > tolerance) | (after - stamps > tolerance)] = np.nan
        scale = max(1.0, float(np.abs(values).max()))
        np.testing.assert_allclose(frame[column.short] / scale, union / scale, atol=1e-9)


@settings(max_examples=40, deadline=None)
@given(columns_of(), st.sampled_from(METHODS))
def test_on_takes_the_stamps_of_one_signal(columns: list[NumericColumn], method: str) -> None:
    frame = made(columns, on="0", method=method)
    assert frame.index.asi8.tolist() == sorted(set(columns[0].time_ns.tolist()))
    assert frame.columns.tolist() == [column.short for column in columns]
    if method == "last":
        for column in columns:
            assert values_of(frame, column.short) == as_of(frame.index, column, "backward", None)
    if method == "mean":
        for column in columns:
            values = series(column).astype(float)
            ends = [*frame.index[1:], pd.Timestamp.max.tz_localize("UTC")]
            expected = [values[(values.index >= a) & (values.index < b)].mean() for a, b in zip(frame.index, ends, strict=True)]
            np.testing.assert_allclose(frame[column.short], expected, rtol=1e-12, atol=1e-6)


@settings(max_examples=40, deadline=None)
@given(columns_of())
def test_the_union_holds_every_value_once_and_nothing_else(columns: list[NumericColumn]) -> None:
    frame = made(columns)
    assert sorted(set(frame.index.asi8.tolist())) == sorted({time for column in columns for time in column.time_ns.tolist()})
    assert frame.index.is_monotonic_increasing
    for column in columns:
        there = frame[column.short].dropna()
        assert there.index.asi8.tolist() == column.time_ns.tolist()
        assert there.tolist() == column.values.tolist()
    if all(len(set(column.time_ns.tolist())) == len(column.time_ns) for column in columns):
        assert frame.index.is_unique


def test_a_grid_stands_on_multiples_of_its_step(client: idf.Client, make: Callable[..., str]) -> None:
    rows = [float_row(0, 1.0), float_row(25_000_000, 2.0), float_row(31_000_000, 3.0)]
    frame = client.frames(make(rows)).wide("10ms")
    assert (frame.index.asi8 % 10_000_000 == 0).all()
    assert frame.index[0] == pd.Timestamp(BASETIME_NS, tz="UTC").floor("10ms")
    assert frame["speed"].isna().tolist() == [True, False, False, False]
    assert frame["speed"].tolist()[1:] == [1.0, 1.0, 2.0]
    assert frame.attrs["intdash"]["shape"] == "wide"
    assert frame.attrs["intdash"]["columns"] == {"speed": {"signal": "float:1/speed", "field": "value"}}


def test_integers_stay_exact(client: idf.Client, make: Callable[..., str]) -> None:
    f = client.frames(make([int_row(0, 2**53 + 1), int_row(10, -(2**63)), float_row(5, 1.0), float_row(-0, 1.0)]))
    assert f.wide()["gear"].dropna().tolist() == [2**53 + 1, -(2**63)]
    assert f.wide(pd.Timedelta(1, "ns"))["gear"].dropna().tolist()[-1] == -(2**63)
    assert f.wide(on="speed")["gear"].tolist() == [2**53 + 1, 2**53 + 1]
    assert f.wide(on="speed")["gear"].dtype == "int64"


def test_a_nan_that_was_measured_is_kept_apart_in_the_union(client: idf.Client, make: Callable[..., str]) -> None:
    f = client.frames(make([float_row(0, float("nan")), float_row(1, 1.0, "other")]))
    frame = f.wide()
    assert pa.array(frame["speed"].array).is_valid().to_pylist() == [True, False]


def test_only_numbers_are_put_side_by_side(client: idf.Client, make: Callable[..., str]) -> None:
    rows = [
        string_row(0, "x"),
        sensor_row(0, 1, [1, 2, 3]),
        sensor_row(0, 1, [1, 2]),
        sensor_row(0, 0xFF, [1]),
        float_row(1, 1.0),
    ]
    f = client.frames(make(rows))
    frame = f.wide()
    assert frame.columns.tolist() == ["ax", "ay", "az", "speed"]
    assert len(frame) == 2
    assert frame.attrs["intdash"]["units"] == dict.fromkeys(("ax", "ay", "az"), "m/s²")
    with pytest.raises(UsageError, match="no numeric columns"):
        client.frames(make(rows[:1])).wide()


def test_names_are_short_where_that_is_enough(client: idf.Client, make: Callable[..., str]) -> None:
    rows = [
        float_row(0, 1.0, "speed"),
        float_row(0, 1.0, "speed", channel=2),
        int_row(0, 1, "gear"),
        int_row(0, 1, "float:1/speed"),
        float_row(0, 1.0, ""),
        float_row(0, 1.0, "time"),
        sensor_row(0, 1, [1, 2, 3]),
        sensor_row(0, 1, [1, 2, 3], channel=2),
        sensor_row(0, 7, [1]),
    ]
    names = client.frames(make(rows)).wide().columns
    assert names.is_unique
    sensors = {f"general_sensor:{channel}/0001.{axis}" for channel in (1, 2) for axis in ("ax", "ay", "az")}
    floats_ = {"float:1/speed", "float:2/speed", "int:1/float:1/speed", "float:1/", "float:1/time"}
    assert set(names) == {"gear", "alt"} | sensors | floats_


@given(
    st.lists(
        st.tuples(st.sampled_from([1, 2]), st.sampled_from(["a", "float:1/a", "float:2/a", "", "time"])), min_size=1, unique=True
    )
)
@settings(max_examples=40, deadline=None)
def test_names_are_always_unique(keys: list[tuple[int, str]]) -> None:
    columns = [
        NumericColumn(f"float:{channel}/{name}", "value", name, np.array([T0]), np.array([1.0]), "") for channel, name in keys
    ]
    assert made(columns).columns.is_unique


def test_on_must_name_one_signal(client: idf.Client, make: Callable[..., str]) -> None:
    rows = [float_row(0, 1.0), float_row(5, 1.0, channel=2), sensor_row(3, 1, [1, 2, 3])]
    f = client.frames(make(rows))
    assert len(f.wide(on="float:2/speed")) == 1
    assert f.wide(on="general_sensor:1/0001").index.equals(f.wide(on="ay").index)
    with pytest.raises(UsageError, match=r"on='speed': more than one column.*float:1/speed, float:2/speed"):
        f.wide(on="speed")
    with pytest.raises(UsageError, match="on='sped': no numeric column is called so"):
        f.wide(on="sped")


@pytest.mark.parametrize("options", [{}, {"every": "1us"}, {"on": "speed"}])
def test_a_frame_that_would_be_too_large_is_refused_with_the_numbers(
    client: idf.Client, make: Callable[..., str], options: dict[str, Any]
) -> None:
    f = client.frames(make([float_row(1000 * i, float(i)) for i in range(200)]))
    needed = 200 * 2 * 8
    assert len(f.wide(max_memory=needed + 16, **options)) >= 200
    with pytest.raises(UsageError, match=r"has 20\d rows for 1 columns: 0.0 MiB, over max_memory of 0.0 MiB, for 200 values"):
        f.wide(max_memory=needed - 1, **options)


def test_a_huge_grid_is_refused_before_it_is_made(client: idf.Client, make: Callable[..., str]) -> None:
    f = client.frames(make([float_row(0, 1.0), float_row(10**15, 1.0)]))
    with pytest.raises(UsageError, match=r"1,000,000,000,000,00\d rows .* MiB, over max_memory of 2,048.0 MiB"):
        f.wide("1ns")


@pytest.mark.parametrize(
    ("text", "size"),
    [("2GiB", 2 << 30), ("1.5 kB", 1500), ("10M", 10**7), ("3 KiB", 3072), (17, 17), ("17B", 17), ("1TiB", 1 << 40)],
)
def test_sizes_may_have_units(text: str | int, size: int) -> None:
    assert read_axis(None, on=None, method="last", tolerance=None, max_memory=text).max_bytes == size
