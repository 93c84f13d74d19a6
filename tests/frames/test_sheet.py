"""What a frame of any library must have before a byte of it is sent."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import intdash_frames as idf
from intdash_frames import UsageError
from intdash_frames.frames.sheet import sheet_of

UTC = pd.date_range("2024-01-01", periods=3, freq="s", tz="UTC", unit="ns")
FRAME = pd.DataFrame({"a": [1, 2, 3]}, index=UTC)
TABLE = pa.table({"time": pa.array(UTC.asi8, pa.timestamp("ns", "UTC")), "a": [1, 2, 3]})


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("library", ["pandas", "polars", "arrow"])
def test_stamps_become_nanoseconds_whatever_their_unit(library: str, unit: str) -> None:
    frame = FRAME.set_axis(UTC.as_unit(unit).tz_convert("Asia/Tokyo"))
    table = pa.table({"time": pa.array(frame.index), "a": [1, 2, 3]})
    sheet = sheet_of({"pandas": frame, "polars": pl.DataFrame(table), "arrow": table}[library])
    assert sheet.time_ns.tolist() == UTC.asi8.tolist()
    assert not sheet.elapsed
    assert sheet.columns["a"].to_pylist() == [1, 2, 3]


@pytest.mark.parametrize(
    "data",
    [
        FRAME.set_axis(pd.to_timedelta([1, 2, 3], unit="ms")),
        pa.table({"time": pa.array([1, 2, 3], pa.duration("ms")), "a": [1, 2, 3]}),
        pl.DataFrame({"time": pd.to_timedelta([1, 2, 3], unit="ms"), "a": [1, 2, 3]}),
    ],
    ids=["pandas", "arrow", "polars"],
)
def test_durations_count_from_the_base_time(data: Any) -> None:
    sheet = sheet_of(data)
    assert sheet.elapsed
    assert sheet.time_ns.tolist() == [1_000_000, 2_000_000, 3_000_000]


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (FRAME.reset_index(drop=True), "RangeIndex of int64; expected a DatetimeIndex with a time zone or a TimedeltaIndex"),
        (FRAME.set_axis(["a", "b", "c"]), "the index is a Index"),
        (FRAME.set_axis(UTC.tz_localize(None)), r"no time zone; say which it is, such as df.tz_localize\('Asia/Tokyo'\)"),
        (FRAME.set_axis(UTC.where([True, False, True])), "no stamp at row 1"),
        (pd.DataFrame([[1, 2]] * 3, columns=["a", "a"], index=UTC), r"columns are named twice: \['a'\]"),
        (pd.DataFrame([[1, 2]] * 3, columns=[1, "1"], index=UTC), r"columns are named twice: \['1'\]"),
        (FRAME.set_axis(pd.DatetimeIndex(np.array([0, 1, 10**13], "M8[s]")).tz_localize("UTC")), "beyond nanoseconds"),
        (FRAME["a"].reset_index(drop=True), "RangeIndex"),
        (TABLE.drop_columns(["time"]), "no column 'time' among"),
        (TABLE.append_column("a", pa.array([1, 2, 3])), r"columns are named twice: \['a'\]"),
        (TABLE.set_column(0, "time", pa.array([1, 2, 3])), "column 'time' is int64"),
        (TABLE.set_column(0, "time", pa.array(UTC.asi8, pa.timestamp("ns"))), "no time zone"),
        (TABLE.set_column(0, "time", pa.array([1, None, 3], pa.timestamp("ns", "UTC"))), "1 nulls"),
        (TABLE.set_column(0, "time", pa.array([1, 10**13, 3], pa.timestamp("s", "UTC"))), "beyond nanoseconds"),
        (pl.DataFrame(TABLE).drop("time"), "no column 'time'"),
        (pl.DataFrame({"time": [1.0], "a": [1]}), "column 'time' is double"),
        (5, "int cannot be stored"),
        ("text", "str cannot be stored"),
        (object(), "object cannot be stored"),
        (UTC, "DatetimeIndex cannot be stored"),
    ],
)
def test_data_without_a_usable_time_axis_are_refused_before_anything_is_sent(
    counting: tuple[idf.Client, list[str]], data: Any, says: str
) -> None:
    client, sent = counting
    with pytest.raises(UsageError, match=says):
        idf.store(data, client=client)
    assert sent == []


def test_a_subclass_of_a_pandas_frame_is_one() -> None:
    class Own(pd.DataFrame):
        @property
        def _constructor(self) -> type[Own]:
            return Own

    Own.__module__ = "somewhere.else"
    assert sheet_of(Own(FRAME)).time_ns.tolist() == UTC.asi8.tolist()


@pytest.mark.parametrize("dictionary", [pa.array(["x", "y"]), pa.array([10, 20])], ids=["text", "numbers"])
def test_dictionaries_of_text_stay_and_those_of_numbers_are_spelled_out(dictionary: pa.Array) -> None:
    coded = pa.DictionaryArray.from_arrays(pa.array([0, 1, 0], pa.int8()), dictionary)
    column = sheet_of(TABLE.append_column("c", coded)).columns["c"]
    assert column.to_pylist() == [dictionary[i].as_py() for i in (0, 1, 0)]
    assert pa.types.is_dictionary(column.type) == pa.types.is_string(dictionary.type)


@pytest.mark.parametrize("values", [["b", None, "a"], ["b", "a", "b"], [2, None, 1], [None, None, None]])
def test_categories_keep_their_values_and_what_is_missing(values: list[Any]) -> None:
    column = sheet_of(pd.DataFrame({"a": pd.Categorical(values)}, index=UTC)).columns["a"]
    assert pa.types.is_dictionary(column.type)
    assert column.to_pylist() == values


@pytest.mark.parametrize("type_", [pa.string_view(), pa.large_string(), pa.binary_view(), pa.large_binary()])
def test_other_layouts_of_text_and_bytes_are_taken(type_: pa.DataType) -> None:
    column = sheet_of(TABLE.append_column("c", pa.array(["a", None, "c"]).cast(type_))).columns["c"]
    assert column.type in (pa.string(), pa.binary())
    assert column.is_valid().to_pylist() == [True, False, True]


def test_several_chunks_become_one() -> None:
    sheet = sheet_of(pa.concat_tables([TABLE, TABLE.slice(0, 0), TABLE]))
    assert len(sheet) == 6
    assert sheet.columns["a"].to_pylist() == [1, 2, 3, 1, 2, 3]
    assert sheet_of(TABLE.slice(0, 0)).columns["a"].to_pylist() == []


def test_rows_and_masks_keep_columns_together() -> None:
    sheet = sheet_of(TABLE)
    assert sheet.rows(1, 3).columns["a"].to_pylist() == [2, 3]
    assert sheet.rows(1, 3).time_ns.tolist() == UTC.asi8.tolist()[1:]
    some = sheet.where(np.array([True, False, True]), ["a"])
    assert (some.columns["a"].to_pylist(), some.time_ns.tolist()) == ([1, 3], UTC.asi8.tolist()[::2])


def test_a_parquet_file_brings_the_attributes_that_pandas_wrote(tmp_path: Path) -> None:
    frame = FRAME.rename_axis("time")
    frame.attrs["intdash"] = {"shape": "wide", "columns": {"a": {"signal": "int:3/b", "field": "value"}}}
    frame.to_parquet(tmp_path / "frame.parquet")
    assert sheet_of(pq.read_table(tmp_path / "frame.parquet")).meta == frame.attrs["intdash"]
    assert sheet_of(TABLE).meta == {}


@pytest.mark.parametrize("attributes", ["{}", '{"intdash": 3}', '{"other": {}}'])
def test_attributes_of_somebody_else_mean_nothing(attributes: str) -> None:
    assert sheet_of(TABLE.replace_schema_metadata({"PANDAS_ATTRS": attributes})).meta == {}
