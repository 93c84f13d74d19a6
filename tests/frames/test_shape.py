"""Columns that are known before the points are those that the points have."""

from __future__ import annotations

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import intdash_frames as idf
from intdash_frames import DataType
from intdash_frames.codecs.series import Series
from intdash_frames.frames.shape import Shape, shape_of


def series(kind: int | None, data_id: str = "x", text: str = "") -> Series:
    return Series("", kind, 1, data_id, text or str(kind))


def test_types_stand_in_order_of_their_numbers_and_texts_last() -> None:
    shape = shape_of([series(None, text="float64"), series(200), series(11), series(1), series(11, "y")])
    assert shape.kinds == (DataType.can, DataType.float, 200, "float64")
    assert shape.schema.names[4:] == [
        "data_type",
        "can.can_id",
        "can.dlc",
        "can.data",
        "float.value",
        "200.payload",
        "float64.payload",
    ]


def test_one_type_has_no_prefix_and_its_name_only_if_its_columns_do_not_tell_it() -> None:
    assert shape_of([series(11)]).schema.names[3:] == ["data_id", "value"]
    assert shape_of([series(13)]).schema.names[4:] == ["data_type", "type_id", "data"]
    assert shape_of([series(200)]).schema.names[4:] == ["data_type", "payload"]
    assert shape_of([]).schema.names == ["time", "measurement_uuid", "channel", "data_id"]


def test_sensors_have_their_fields_in_order_of_their_numbers() -> None:
    shape = shape_of([series(3, "0007"), series(3, "0001"), series(3, "00ff")])
    assert shape.schema.names[4:] == ["sensor_id", "data", "ax", "ay", "az", "alt"]
    assert shape.nullable == ["ax", "ay", "az", "alt"]
    assert shape_of([series(3, "0007")]).nullable == []


@pytest.mark.parametrize("signals", [None, "float:*/*", "can:*/*", "string:*/*", "general_sensor:*/*"])
def test_tables_and_frames_have_the_types_of_the_schema(client: idf.Client, everything: str, signals: str | None) -> None:
    f = client.frames(everything, signals)
    parts = f._points()
    shape = shape_of(parts[0].keys)
    table, undecodable = shape.table(parts)
    assert table.schema.equals(shape.schema)
    wanted = f.to_pandas()
    assert undecodable == f.report.undecodable > 0
    raw = [name for name in wanted if name == "payload" or name.endswith(".payload")]
    kept = [name for name in wanted if name in shape.schema.names]
    assert [name for name in wanted if name not in kept] == [name for name in raw if name not in kept]
    pd.testing.assert_frame_equal(shape.frame(parts, f.meta, "UTC"), wanted[kept])


def test_a_choice_of_columns_is_decoded_no_further(client: idf.Client, everything: str) -> None:
    parts = client.frames(everything)._points()
    shape = shape_of(parts[0].keys)
    table, undecodable = shape.table(parts, {"time", "channel"})
    assert (table.column_names, len(table), undecodable) == (["time", "channel"], sum(map(len, parts)), 0)
    table, undecodable = shape.table(parts, {"nmea.sentence", "time"})
    assert table.column_names == ["time", "nmea.sentence"]
    assert table["nmea.sentence"].equals(shape.table(parts)[0]["nmea.sentence"])
    assert 0 < undecodable < shape.table(parts)[1]


def test_points_of_another_type_are_not_in_the_columns_of_one(client: idf.Client, everything: str) -> None:
    parts = client.frames(everything)._points()
    shape = Shape((DataType.float,))
    wanted = client.frames(everything, "float:*/*").to_polars()
    for columns in (None, {"time", "data_id"}):
        got = pl.DataFrame(pl.from_arrow(shape.table(parts, columns)[0]))
        assert got.equals(wanted.select(got.columns))


def test_nothing_has_the_same_columns_as_something(client: idf.Client, everything: str) -> None:
    shape = shape_of(client.frames(everything)._points()[0].keys)
    assert shape.table([])[0].schema.equals(shape.schema)
    assert isinstance(shape.table([])[0], pa.Table)
    something = shape.frame(client.frames(everything)._points(), {}, "UTC")
    nothing = shape.frame([], {}, "UTC")
    assert list(nothing) == list(something)
    assert [str(each) for each in nothing.dtypes[4:]] == [str(each) for each in something.dtypes[4:]]
