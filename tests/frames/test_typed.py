"""Typed frames: what the golden payloads say, in columns of the right kind."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import intdash_frames as idf
from intdash_frames import DataType
from intdash_frames.codecs.table import LAYOUTS, SENSORS
from intdash_frames.frames.build import by_type, to_frame
from tests.frames.stored import BASETIME_NS, Row, bits, cases, column, float_row, int_row, sensor_row, string_row
from tests.server.samples import points_of

# What an input of a golden case is called as a column, and how it is written there.
RENAMED = {
    "can": {"decimal_id": "can_id"},
    "general_sensor": {"decimal_id": "sensor_id"},
    "controlpad": {"decimal_id": "pad_id"},
    "generic": {"decimal_id": "generic_id"},
    "nmea": {"string": "sentence"},
    "pcm": {"bit_per_sample": "bits_per_sample"},
    "basetime": {"type": "basetime_type", "basetime_ns": "basetime"},
}
NOT_COLUMNS = {"data_id", "raw_int32"}


def expected(case: dict[str, Any]) -> dict[str, Any]:
    """The columns of a golden case."""
    given_, names = case["input"], RENAMED.get(case["data_type_name"], {})
    found = {}
    for name, value in given_.items():
        if name == "value_f64_be_hex":
            found["value"] = bytes.fromhex(value)[::-1]
        elif name.endswith("_hex"):
            found[name.removesuffix("_hex")] = bytes.fromhex(value)
        elif name not in NOT_COLUMNS and not (name == "value" and case["data_type_name"] == "float"):
            found[names.get(name, name)] = value
    return found


@pytest.fixture(scope="module")
def typed(client: idf.Client, everything: str) -> dict[Any, pd.DataFrame]:
    return dict(client.frames(everything).by_type())


def row_of(typed: dict[Any, pd.DataFrame], golden: list[Row], name: str) -> pd.DataFrame:
    row = next(row for row in golden if row.name == name)
    frame = typed[DataType(row.data_type)]
    found = frame[frame.index.asi8 == BASETIME_NS + row.elapsed_ns]
    assert len(found) == 1
    return found


@pytest.mark.parametrize("case", cases(), ids=lambda case: case["name"])
def test_a_golden_payload_has_the_columns_it_was_made_of(
    typed: dict[Any, pd.DataFrame], golden: list[Row], case: dict[str, Any]
) -> None:
    row = row_of(typed, golden, case["name"])
    if case["data_id"] is not None:
        assert row["data_id"].tolist() == [case["data_id"]]
    for name, value in expected(case).items():
        assert column(row, name) == [value], name
    if "payload" in row:
        assert row["payload"].isna().all()


@pytest.mark.parametrize("case", cases("malformed"), ids=lambda case: case["name"])
def test_a_malformed_payload_has_null_columns_and_its_bytes(
    typed: dict[Any, pd.DataFrame], golden: list[Row], case: dict[str, Any]
) -> None:
    row = row_of(typed, golden, case["name"])
    if case["expect"] == "undecodable":
        for name in LAYOUTS[case["data_type"]].schema.names:
            assert row[name].isna().all(), name
        assert row["payload"].tolist() == [bytes.fromhex(case["payload_hex"])]
    else:
        for name, value in expected({**case, "input": case["expect"]}).items():
            assert column(row, name) == [value], name


def test_the_report_counts_what_could_not_be_decoded(client: idf.Client, everything: str) -> None:
    f = client.frames(everything)
    f.to_arrow()
    assert f.report.undecodable == 0  # nothing was decoded yet
    payloads = {data_type: frame.get("payload") for data_type, frame in f.by_type().items() if data_type in LAYOUTS}
    known = [case for case in cases("malformed") if case["expect"] == "undecodable"]
    assert f.report.undecodable >= len(known)
    kept = sum(
        int(column_.notna().sum())
        for data_type, column_ in payloads.items()
        if column_ is not None and "payload" not in LAYOUTS[data_type].schema.names
    )
    assert kept >= f.report.undecodable  # readable payloads may be kept too
    assert f.report.complete


def test_columns_are_of_the_promised_kinds(typed: dict[Any, pd.DataFrame]) -> None:
    for frame in typed.values():
        assert frame.index.name == "time"
        assert str(frame.index.dtype) == "datetime64[ns, UTC]"
        for name in ("measurement_uuid", "channel", "data_id"):
            assert isinstance(frame[name].dtype, pd.CategoricalDtype)
        assert frame["channel"].cat.categories.dtype == "int64"
    for data_type, layout in LAYOUTS.items():
        for field in layout.schema:
            if data_type in typed and (pa.types.is_binary(field.type) or pa.types.is_string(field.type)):
                series = typed[data_type][field.name]
                assert series.dtype == pd.ArrowDtype(field.type)
                assert isinstance(series.dropna().iloc[0], bytes if pa.types.is_binary(field.type) else str)


def test_categories_hold_only_what_occurs(client: idf.Client, make: Callable[..., str]) -> None:
    f = client.frames(make([float_row(0, 1.0, "a"), float_row(1, 1.0, "b", channel=2), int_row(2, 1, "c", channel=3)]))
    assert list(f.by_type()[DataType.float]["data_id"].cat.categories) == ["a", "b"]
    assert list(f["float:2/b"]["channel"].cat.categories) == [2]
    assert list(f.to_pandas()["channel"].cat.categories) == [1, 2, 3]


def test_numbers_are_numpy_columns_where_none_is_missing(client: idf.Client, make: Callable[..., str]) -> None:
    frames = client.frames(make([float_row(0, float("nan")), int_row(1, 2**62 + 1), sensor_row(2, 1, [1, 2, 3])])).by_type()
    assert frames[DataType.float]["value"].dtype == "float64"
    assert frames[DataType.int]["value"].tolist() == [2**62 + 1]
    assert frames[DataType.int]["value"].dtype == "int64"
    assert frames[DataType.general_sensor]["ax"].dtype == "float64"
    assert frames[DataType.general_sensor]["sensor_id"].dtype == "uint16"


def test_a_nan_that_was_measured_is_not_a_null(client: idf.Client, make: Callable[..., str]) -> None:
    odd = struct.pack("<Q", 0xFFF4_0000_0000_0001)
    rows = [float_row(0, 1.0), Row(1, DataType.float, 1, b"\x05speed" + odd), Row(2, DataType.float, 1, b"\x05speed")]
    value = client.frames(make(rows))["speed"]["value"]
    assert isinstance(value.dtype, pd.ArrowDtype)
    array = pa.array(value.array)
    assert array.is_valid().to_pylist() == [True, True, False]
    assert bits(array.to_pylist())[1] == odd
    plain = client.frames(make(rows[:2]))["speed"]["value"]
    assert plain.to_numpy().view("<u8")[1] == 0xFFF4_0000_0000_0001


def test_types_that_nobody_knows_stay_bytes(typed: dict[Any, pd.DataFrame], golden: list[Row]) -> None:
    for number in (0, 18, 200, 255):
        assert type(next(kind for kind in typed if kind == number)) is int
        assert list(typed[number].columns) == ["measurement_uuid", "channel", "data_id", "payload"]
        assert sorted(typed[number]["payload"]) == sorted(row.payload for row in golden if row.data_type == number)
    assert sorted(typed[DataType.mavlink]["payload"]) == [b"\x00opaque"]


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(sorted(SENSORS)), st.data())
def test_sensor_fields_are_raw_times_scale_bit_for_bit(sensor_id: int, data: st.DataObject) -> None:
    sensor = SENSORS[sensor_id]
    raws = data.draw(st.lists(st.tuples(*[st.integers(-(2**31), 2**31 - 1)] * len(sensor.fields)), min_size=1, max_size=5))
    points = points_of([(0, 3, 1, f"{sensor_id:04x}", sensor_row(0, sensor_id, raw).payload) for raw in raws])
    frame = to_frame(by_type([points])[DataType.general_sensor], DataType.general_sensor, {}, "UTC")
    for axis, field in enumerate(sensor.fields):
        assert bits(frame[field]) == bits(raw[axis] * sensor.scale for raw in raws)
        assert frame.attrs["intdash"]["units"][field] == sensor.unit


def test_sensors_of_another_length_or_id_have_no_fields(client: idf.Client, make: Callable[..., str]) -> None:
    rows = [sensor_row(0, 1, [1, 2, 3]), sensor_row(1, 1, [1, 2]), sensor_row(2, 0xFFFF, [1, 2, 3]), sensor_row(3, 0x0A, [5])]
    f = client.frames(make(rows))
    frame = f.to_pandas()
    assert frame["ax"].isna().tolist() == [False, True, True, True]
    assert frame["speed"].isna().tolist() == [True, True, True, False]
    assert list(f["general_sensor:1/000a"].columns[3:]) == ["sensor_id", "data", "speed"]
    assert list(f["general_sensor:1/ffff"].columns[3:]) == ["sensor_id", "data"]


def test_text_and_bytes_are_not_copied_per_value(client: idf.Client, make: Callable[..., str]) -> None:
    frame = client.frames(make([string_row(i, "é" * i) for i in range(5)])).to_pandas()
    array = pa.array(frame["value"].array)
    assert array.to_pylist() == ["é" * i for i in range(5)]
    assert frame["value"].str.len().tolist() == list(range(5))
    assert isinstance(frame["value"].iloc[1], str)
    assert np.array_equal(frame["value"].isna(), [False] * 5)
