"""Frames become the points they came from, and frames that were never ours become one signal a column."""

from __future__ import annotations

import decimal
import struct
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import intdash_frames as idf
from intdash_frames import DataType, PayloadError, UsageError
from intdash_frames.codecs.series import SeriesTable
from intdash_frames.codecs.table import SENSORS
from intdash_frames.frames.attributes import freeze
from intdash_frames.frames.columns import points_of
from intdash_frames.frames.sheet import sheet_of
from tests.frames.stored import BASETIME_NS, Row, contents, float_row, int_row, named, sensor_row

FORMS: dict[str, Callable[[idf.Frames], Any]] = {
    "arrow": lambda f: f.to_arrow(),
    "frames": lambda f: f,
    "stream": lambda f: f.to_reader(),
    "batches": lambda f: [pa.Table.from_batches([batch]) for batch in f.to_batches(50)],
    "by_type": lambda f: f.by_type(),
    "by_signal": lambda f: f.by_signal(),
    "pandas": lambda f: f.to_pandas(),
    "polars": lambda f: f.to_polars(),
    "polars envelope": pl.DataFrame,
    "pandas envelope": lambda f: f.to_arrow().to_pandas().set_index("time"),
    "arrow of pandas": lambda f: pa.Table.from_pandas(f.to_pandas()),
    "shuffled": lambda f: f.to_pandas().sample(frac=1, random_state=1).sort_index(kind="stable"),
}


def stored_back(client: idf.Client, data: Any) -> list[tuple[Any, ...]]:
    result = idf.store(data, client=client)
    assert result.measurement is not None
    return contents(client.frames(result.measurement).to_arrow())


@pytest.mark.parametrize("form", FORMS)
def test_everything_goes_back_bit_for_bit(client: idf.Client, everything: str, form: str) -> None:
    f = client.frames(everything)
    assert stored_back(client, FORMS[form](f)) == contents(f.to_arrow())


@pytest.mark.parametrize("library", ["pandas", "polars"])
@pytest.mark.parametrize("data_type", [*DataType, 200], ids=lambda each: getattr(each, "name", str(each)))
def test_a_frame_of_one_data_type_goes_back(client: idf.Client, everything: str, data_type: int, library: str) -> None:
    f = client.frames(everything, f"{int(data_type)}:*/*")
    if f.report.points == 0:
        pytest.fail(f"there is nothing of {data_type} to try")
    frame = f.to_pandas() if library == "pandas" else f.to_polars()
    assert stored_back(client, frame) == contents(f.to_arrow())


def test_a_wide_union_goes_back_bit_for_bit(client: idf.Client, make: Callable[..., str]) -> None:
    rows = [
        float_row(0, 1.5),
        float_row(0, 2.5),  # several values at one instant
        float_row(0, 1.5),
        Row(1, DataType.float, 1, named("speed", struct.pack("<Q", 0x7FF8_0000_DEAD_BEEF))),
        Row(1, DataType.float, 2, named("speed", struct.pack("<Q", 0xFFF4_0000_0000_0001))),
        float_row(2, -0.0, ""),
        float_row(2, float("inf"), "time"),
        int_row(2, -(2**63)),
        int_row(5, 2**53 + 1),
        int_row(5, -1, "float:1/speed"),
        *(
            sensor_row(7 + i, sensor_id, [2**31 - 1, -(2**31), -1][: len(SENSORS[sensor_id].fields)])
            for i, sensor_id in enumerate(SENSORS)
        ),
        sensor_row(7, 1, [1, 2, 3], channel=2),
        sensor_row(7, 1, [4, 5, 6], channel=2),
    ]
    f = client.frames(make(rows))
    wide = f.wide()
    assert wide.columns.is_unique
    assert stored_back(client, wide) == contents(f.to_arrow())
    one = client.frames(make(rows[3:4]))  # a column of nothing but a NaN
    assert stored_back(client, one.wide()) == contents(one.to_arrow())


def test_some_rows_of_a_frame_are_stored_as_they_were(client: idf.Client, everything: str) -> None:
    f = client.frames(everything)
    odd = f.to_pandas().iloc[::2]
    assert stored_back(client, odd) == sorted(contents(f.to_arrow().take(list(range(0, f.report.points, 2)))))


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(sorted(SENSORS)), st.lists(st.integers(-(2**31), 2**31 - 1), min_size=3, max_size=3))
def test_every_raw_sensor_value_comes_back_from_its_physical_one(sensor_id: int, raw: list[int]) -> None:
    sensor = SENSORS[sensor_id]
    raw = raw[: len(sensor.fields)]
    frame = pd.DataFrame(
        {field: [value * sensor.scale] for field, value in zip(sensor.fields, raw, strict=True)},
        index=pd.to_datetime([0], utc=True),
    )
    signal = f"general_sensor:1/{sensor_id:04x}"
    columns = {field: {"signal": signal, "field": field} for field in sensor.fields}
    frame.attrs["intdash"] = freeze({"shape": "wide", "columns": columns})
    (points,) = points_of(sheet_of(frame), SeriesTable(), channel=1, signals=None)
    assert points.payload(0) == sensor_row(0, sensor_id, raw).payload


def test_an_axis_without_its_others_is_refused(client: idf.Client, make: Callable[..., str]) -> None:
    wide = client.frames(make([sensor_row(0, 1, [1, 2, 3])])).wide()
    with pytest.raises(UsageError, match=r"\['az'\] is not among the columns"):
        idf.store(wide[["ax", "ay"]], client=client)
    result = idf.store(wide[["ax", "ay"]], client=client, signals={"ax": "float:1/ax", "ay": "float:1/ay"})
    assert result.points == 2


# --- frames that were never ours ---

INDEX = pd.date_range("2024-01-01", periods=3, freq="s", tz="Asia/Tokyo")


def stored(client: idf.Client, data: Any, **options: Any) -> dict[str, list[Any]]:
    """Values by signal after a round trip."""
    result = idf.store(data, client=client, **options)
    frames = client.frames(result.measurement).by_signal()
    return {str(key): frame["value"].tolist() for key, frame in frames.items()}


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.array([0.1, 0.2, 0.3], "f4"), {"float:1/c": [float(np.float32(each)) for each in (0.1, 0.2, 0.3)]}),
        (np.array([0.5, -0.0, 2.0], "f2"), {"float:1/c": [0.5, -0.0, 2.0]}),
        (np.array([0.1, np.nan, 0.3]), {"float:1/c": [0.1, 0.3]}),
        (pd.array([1.5, None, 2.5], "Float64"), {"float:1/c": [1.5, 2.5]}),
        *((np.array([0, 1, 100], dtype), {"int:1/c": [0, 1, 100]}) for dtype in ("i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8")),
        (np.array([-(2**63), 0, 2**63 - 1]), {"int:1/c": [-(2**63), 0, 2**63 - 1]}),
        (pd.array([1, None, 3], "Int64"), {"int:1/c": [1, 3]}),
        ([True, False, True], {"int:1/c": [1, 0, 1]}),
        (pd.array([True, None, False], "boolean"), {"int:1/c": [1, 0]}),
        (["a", "é", ""], {"string:1/c": ["a", "é", ""]}),
        (pd.Series(["a", None, "c"], dtype=object), {"string:1/c": ["a", "c"]}),
        (pd.array(["a", None, "c"], "string"), {"string:1/c": ["a", "c"]}),
        (pd.Categorical(["x", "y", "x"]), {"string:1/c": ["x", "y", "x"]}),
        (pd.Categorical([3, 4, 3]), {"int:1/c": [3, 4, 3]}),
        (pd.Categorical(["x", None, "x"]), {"string:1/c": ["x", "x"]}),
        ([b"a", b"", b"\xff"], {"bytes:1/c": [b"a", b"", b"\xff"]}),
        (pd.Series([b"a", None, b"c"], dtype=object), {"bytes:1/c": [b"a", b"c"]}),
        (pd.array([1, None, 3], pd.ArrowDtype(pa.int16())), {"int:1/c": [1, 3]}),
        ([None, None, None], {}),
    ],
    ids=lambda each: getattr(getattr(each, "dtype", None), "name", None),
)
def test_a_column_becomes_a_signal_of_its_kind(client: idf.Client, values: Any, expected: dict[str, list[Any]]) -> None:
    frame = pd.DataFrame({"c": values if not isinstance(values, pd.Series) else values.to_numpy()}, index=INDEX)
    assert stored(client, frame) == expected


@pytest.mark.parametrize(
    ("values", "says"),
    [
        (pd.date_range("2024", periods=3), r"column 'c' is timestamp.*expected numbers, booleans, text or bytes"),
        (pd.to_timedelta([1, 2, 3]), "column 'c' is duration"),
        ([decimal.Decimal("1.5")] * 3, "column 'c' is decimal128"),
        ([1, "x", b""], "column 'c' holds bytes and int and str; expected one type"),
        (np.array([1j, 2, 3]), "column 'c' holds complex"),
        ([[1], [2], [3]], "column 'c' is list"),
        ([{"a": 1}] * 3, "column 'c' is struct"),
    ],
)
def test_a_column_of_another_kind_is_refused(counting: tuple[idf.Client, list[str]], values: Any, says: str) -> None:
    client, sent = counting
    with pytest.raises(UsageError, match=says):
        idf.store(pd.DataFrame({"c": values}, index=INDEX), client=client)
    assert sent == []


def test_an_integer_that_does_not_fit_is_refused(client: idf.Client) -> None:
    frame = pd.DataFrame({"c": np.array([0, 1, 2**63], np.uint64)}, index=INDEX)
    with pytest.raises(PayloadError, match=r"int.*row 2.*9223372036854775808"):
        idf.store(frame, client=client)


def test_signals_says_what_a_column_is(client: idf.Client) -> None:
    frame = pd.DataFrame({"a": [1, 2, 3], "b": [1.5, np.nan, 2.5], "c": ["x", "y", "z"], "d": [1.0, 2.0, 3.0]}, index=INDEX)
    signals = {"a": "float:3/speed", "b": idf.SignalKey(DataType.float, 0, "über/all"), "c": "bytes:255/c"}
    with pytest.raises(PayloadError, match="bytes"):
        stored(client, frame, signals=signals)
    assert stored(client, frame.drop(columns="c"), signals={"a": signals["a"], "b": signals["b"]}, channel=7) == {
        "float:3/speed": [1.0, 2.0, 3.0],
        "float:0/über/all": [1.5, 2.5],
        "float:7/d": [1.0, 2.0, 3.0],
    }


@pytest.mark.parametrize(
    ("signals", "says"),
    [
        ({"nope": "float:1/x"}, r"names columns \['nope'\]"),
        ({"a": "float"}, "names no signal"),
        ({"a": "float:300/x"}, "channel of 0 to 255"),
        ({"a": "flaot:1/x"}, "cannot be stored as flaot"),
        ({"a": "can:1/000001a0"}, r"a can needs the columns \['can_id', 'dlc', 'data'\]"),
        ({"b": "int:1/b"}, "convert it to integers"),
    ],
)
def test_signals_that_cannot_be_stored_are_refused(client: idf.Client, signals: dict[str, str], says: str) -> None:
    frame = pd.DataFrame({"a": [1, 2, 3], "b": [1.5, 2.5, 3.5]}, index=INDEX)
    with pytest.raises(UsageError, match=says):
        idf.store(frame, client=client, signals=signals)


@pytest.mark.parametrize("library", ["pandas", "polars", "arrow"])
def test_libraries_store_the_same(client: idf.Client, library: str) -> None:
    frame = pd.DataFrame({"a": [1.5, 2.5, 3.5], "b": [1, 2, 3], "c": ["x", "é", "z"], "d": [True, False, True]}, index=INDEX)
    frame.index.name = "time"
    table = pa.Table.from_pandas(frame)
    data = {"pandas": frame, "polars": pl.from_arrow(table), "arrow": table}[library]
    expected = {"float:1/a": [1.5, 2.5, 3.5], "int:1/b": [1, 2, 3], "string:1/c": ["x", "é", "z"], "int:1/d": [1, 0, 1]}
    assert stored(client, data) == expected


def test_a_null_of_polars_is_not_stored_and_a_nan_is(client: idf.Client) -> None:
    frame = pl.DataFrame({"time": INDEX.to_list(), "a": [1.0, None, float("nan")]}).with_columns(
        pl.col("time").dt.cast_time_unit("us")
    )
    back = stored(client, frame)["float:1/a"]
    assert back[0] == 1.0
    assert len(back) == 2
    assert np.isnan(back[1])


def test_a_series_is_one_column(client: idf.Client) -> None:
    assert stored(client, pd.Series([1, 2, 3], index=INDEX, name="n")) == {"int:1/n": [1, 2, 3]}
    assert stored(client, pd.Series([1.5, 2.5, 3.5], index=INDEX)) == {"float:1/value": [1.5, 2.5, 3.5]}


def test_elapsed_times_count_from_the_base_time(client: idf.Client, make: Callable[..., str]) -> None:
    uuid = make([])
    frame = pd.DataFrame({"a": [1, 2]}, index=pd.to_timedelta([5, 7], unit="ns"))
    idf.store(frame, uuid, client=client)
    assert client.frames(uuid)["a"].index.asi8.tolist() == [BASETIME_NS + 5, BASETIME_NS + 7]
    idf.store(pl.DataFrame({"time": pd.to_timedelta([9], unit="ns"), "a": [3]}), uuid, client=client)
    assert client.frames(uuid)["a"].index.asi8.tolist()[-1] == BASETIME_NS + 9


def test_an_empty_frame_stores_nothing(client: idf.Client) -> None:
    assert stored(client, pd.DataFrame({"a": []}, index=INDEX[:0])) == {}
    assert stored(client, pd.DataFrame(index=INDEX)) == {}
    assert stored(client, client.frames(idf.store(pd.DataFrame(index=INDEX), client=client).measurement).to_pandas()) == {}


# --- typed frames made by hand ---


def test_a_typed_frame_made_by_hand_may_leave_out_what_its_ids_say(client: idf.Client) -> None:
    frame = pd.DataFrame(
        {"channel": [1, 2, 1], "data_id": ["000001a0", "1A0", "98fef100"], "data": [b"ab", b"", b"c"]}, index=INDEX
    )
    frame["data_type"] = "can"
    result = idf.store(frame, client=client)
    assert [row[1:] for row in contents(client.frames(result.measurement).to_arrow())] == [
        (1, 1, "000001a0", b"\xa0\x01\x00\x00\x02ab"),
        (1, 2, "000001a0", b"\xa0\x01\x00\x00\x00"),
        (1, 1, "98fef100", b"\x00\xf1\xfe\x98\x01c"),
    ]


@pytest.mark.parametrize(
    ("columns", "says"),
    [
        ({"channel": [1, 2, 300], "data_id": "a", "value": 1.0}, "column 'channel' holds 1 to 300"),
        ({"channel": 1.5, "data_id": "a", "value": 1.0}, "column 'channel' is double"),
        ({"channel": 1, "data_id": ["a", None, "c"], "value": 1.0}, "column 'data_id' has 1 nulls"),
        ({"channel": 1, "data_id": "a", "other": 1.0}, "fit no data type"),
        ({"channel": 1, "data_id": "a", "type_id": 1, "data": b"x"}, r"fit more than one data type, \['h264', 'h265'\]"),
        (
            {"channel": 1, "data_id": "a", "data_type": ["float", "int", "float"], "value": 1.0},
            "a typed frame is of one data type",
        ),
        ({"channel": 1, "data_id": "a", "data_type": "flaot", "value": 1.0}, "data type 'flaot' cannot be stored"),
        ({"channel": 1, "data_id": "zz", "data_type": "can", "data": b"x"}, "not hexadecimal"),
        (
            {"channel": 1, "data_id": "a", "data_type": ["float", None, "int"], "float.value": 1.0},
            "column 'data_type' has 1 nulls",
        ),
        ({"channel": 1, "data_id": "a", "data_type": "int", "float.value": 1.0}, "int"),
    ],
)
def test_a_typed_frame_that_makes_no_sense_is_refused(client: idf.Client, columns: dict[str, Any], says: str) -> None:
    with pytest.raises((UsageError, PayloadError), match=says):
        idf.store(pd.DataFrame(columns, index=INDEX), client=client)


@pytest.mark.parametrize("drop", ["payload", "data_type"])
def test_an_envelope_that_lacks_a_column_is_refused(client: idf.Client, everything: str, drop: str) -> None:
    table = client.frames(everything).to_arrow().drop_columns([drop])
    with pytest.raises((UsageError, PayloadError)):
        idf.store(table, client=client)


def test_an_envelope_with_nulls_is_refused(client: idf.Client, everything: str) -> None:
    table = client.frames(everything).to_arrow()
    table = table.set_column(3, "channel", pa.nulls(len(table), pa.uint8()))
    with pytest.raises(UsageError, match="column 'channel' has"):
        idf.store(table, client=client)


def test_a_typed_frame_of_payloads_alone_needs_its_data_type(golden: list[Row]) -> None:
    rows = [row for row in golden if row.data_type == DataType.can]
    table = pa.table(
        {
            "time": pa.array([row.elapsed_ns for row in rows], pa.timestamp("ns", "UTC")),
            "channel": [row.channel for row in rows],
            "data_id": ["000001a0"] * len(rows),
            "payload": [row.payload for row in rows],
        }
    )
    with pytest.raises(UsageError, match="add a column 'data_type'"):
        points_of(sheet_of(table), SeriesTable(), channel=1, signals=None)
    told = table.append_column("data_type", pa.array(["can"] * len(rows)))
    (points,) = points_of(sheet_of(told), SeriesTable(), channel=1, signals=None)
    assert [points.payload(row) for row in range(len(points))] == [row.payload for row in rows]
    missing = told.set_column(3, "payload", pa.array([None, *(row.payload for row in rows[1:])], pa.binary()))
    (points,) = points_of(sheet_of(missing), SeriesTable(), channel=1, signals=None)
    assert len(points) == len(rows) - 1
