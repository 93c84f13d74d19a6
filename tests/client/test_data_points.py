from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from intdash_frames import data
from intdash_frames.client.connection import Connection
from intdash_frames.client.data_points import points_of, responses_of, without_failed
from intdash_frames.codecs.points import Points
from intdash_frames.codecs.series import Series, SeriesTable
from intdash_frames.errors import ApiError, IntdashError, NotFound, PayloadError, UsageError
from intdash_frames.model import (
    ConversionNumFixedPoint,
    DataPoint,
    DataResponse,
    DataType,
    Display,
    IdQuery,
    Measurement,
)
from intdash_frames.model.signals import ERROR_ID
from intdash_frames.server.app import Server
from intdash_frames.server.faults import Fault
from tests.client.conftest import BASETIME

START, END = pd.Timestamp(BASETIME), pd.Timestamp(BASETIME) + pd.Timedelta("1h")
UUID = "414c343c-1e2f-7ed4-c2ce-78e57311d8a3"


def text_point(elapsed_ns: int, text: str, *, channel: int = 1) -> DataPoint:
    return DataPoint(pd.Timedelta(elapsed_ns, unit="ns"), DataType.string, channel, b"\x01s" + text.encode())


def test_what_was_stored_is_read(connection: Connection, measurement: Measurement) -> None:
    connection.data_points.store(
        measurement_uuid=measurement.uuid,
        data_points=[text_point(0, "test1"), DataPoint(pd.Timedelta("1s"), DataType.can, 255, b"\x4a\x01\x00\x00\x02\x02\xff")],
    )
    first, second = connection.data_points.list(START, END, measurement_uuid=measurement.uuid)
    assert first == DataResponse(START, measurement.uuid, DataType.string, "s", 1, b"\x01stest1")
    assert second.time == START + pd.Timedelta("1s")
    assert (second.data_type, second.data_id, second.channel) == (DataType.can, "0000014a", 255)
    assert "data_payload: b'\\x01stest1'" in str(first).splitlines()
    ended = connection.measurements.get(measurement.uuid)
    assert (ended.ended, ended.duration) == (True, pd.Timedelta("1s"))


def test_a_section_that_is_not_final_leaves_the_measurement_open(connection: Connection, measurement: Measurement) -> None:
    for serial_number in range(2):
        points = (text_point(serial_number, str(serial_number)) for _ in range(1))
        connection.data_points.store(measurement.uuid, points, serial_number=serial_number, final=False)
    assert not connection.measurements.get(measurement.uuid).ended
    connection.data_points.store(measurement.uuid, [], serial_number=2)
    assert connection.measurements.get(measurement.uuid).ended
    assert len(connection.data_points.list(START, END, measurement.uuid)) == 2


@given(
    elapsed=st.lists(st.integers(0, 3) | st.integers(0, 10**9), max_size=25),
    limit=st.integers(1, 7),
)
@settings(deadline=None, max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_pages_lose_and_repeat_nothing(connection: Connection, elapsed: list[int], limit: int) -> None:
    measurement = connection.measurements.create(connection.edges.me().uuid, BASETIME)
    connection.data_points.store(measurement.uuid, [text_point(each, str(number)) for number, each in enumerate(elapsed)])
    everything = connection.data_points.list(START, END, measurement.uuid)
    pages = list(connection.data_points.list(START, END, measurement.uuid, limit=limit, iterator=True))
    assert all(len(page) <= limit for page in pages)
    key = repr
    assert sorted((each for page in pages for each in page), key=key) == sorted(everything, key=key)
    assert [(each.time - START).value for each in everything] == sorted(elapsed)
    assert connection.data_points.list(START, END, measurement.uuid, limit=limit) == everything[:limit]


def test_a_selection_is_made_by_id_and_by_edge(connection: Connection, measurement: Measurement) -> None:
    connection.data_points.store(measurement.uuid, [text_point(0, "a"), text_point(1, "b", channel=2)])
    find = connection.data_points.list
    assert [each.channel for each in find(START, END, measurement.uuid, id_queries=[IdQuery(DataType.string, 2)])] == [2]
    assert find(START, END, measurement.uuid, id_queries=[IdQuery(DataType.float)]) == []
    assert [each.channel for each in find(START, START + pd.Timedelta(1, unit="ns"), measurement.uuid)] == [1]
    by_edge = [find(START, END, edge_uuid=measurement.edge_uuid), find(START, END, edge_name="demo")]
    assert by_edge[0] == by_edge[1]
    assert {each.measurement_uuid for each in by_edge[0]} >= {measurement.uuid}


def test_an_empty_range_is_empty(connection: Connection, measurement: Measurement) -> None:
    assert connection.data_points.list(START, START, measurement.uuid) == []
    assert list(connection.data_points.list(START, START, measurement.uuid, iterator=True)) == []


def test_a_name_that_is_nothing_is_not_found(connection: Connection) -> None:
    with pytest.raises(NotFound):
        connection.data_points.list(START, END, edge_name="nobody")


def test_a_section_that_the_server_does_not_take_is_an_error(
    server: Server, connection: Connection, measurement: Measurement
) -> None:
    server.inject(Fault.nack(path="/api/v1/measurements/data"))
    with pytest.raises(ApiError, match="section 3 was not taken"):
        connection.data_points.store(measurement.uuid, [text_point(0, "x")], serial_number=3)
    assert connection.data_points.list(START, END, measurement.uuid) == []


def test_a_store_is_not_sent_twice(server: Server, connection: Connection, measurement: Measurement) -> None:
    server.inject(Fault.status(503, path="/api/v1/measurements/data"))
    with pytest.raises(ApiError):
        connection.data_points.store(measurement.uuid, [text_point(0, "x")])
    assert connection.data_points.list(START, END, measurement.uuid) == []


OK = {"elapsed_time": pd.Timedelta(0), "data_type": 10, "channel": 1, "data_payload": b""}


@pytest.mark.parametrize(
    ("changed", "error", "said"),
    [
        ({"channel": 256}, UsageError, "row 1: channel=256"),
        ({"channel": -1}, UsageError, "row 1: channel=-1"),
        ({"channel": None}, UsageError, "row 1: channel=None"),
        ({"channel": True}, UsageError, "row 1: channel=True"),
        ({"data_type": 256}, UsageError, "row 1: data_type=256"),
        ({"data_type": "string"}, UsageError, "row 1: data_type='string'"),
        ({"elapsed_time": pd.Timedelta(-1, unit="ns")}, UsageError, "row 1: elapsed_time=.* is before the base time"),
        (
            {"elapsed_time": pd.Timedelta(np.timedelta64(150_000, "D"))},
            UsageError,
            "row 1: elapsed_time=.* is no duration",
        ),
        ({"elapsed_time": 5}, UsageError, "row 1: elapsed_time=5 has no unit"),
        ({"elapsed_time": None}, UsageError, "row 1: elapsed_time=None"),
        ({"data_payload": "text"}, PayloadError, "string, row 1: data_payload is str, expected bytes"),
        ({"data_payload": None}, PayloadError, "data_payload is NoneType"),
    ],
)
def test_a_point_that_cannot_be_stored_is_named_by_its_row(changed: dict[str, Any], error: type[IntdashError], said: str) -> None:
    nowhere = Connection("http://127.0.0.1:1", "token", retries=0)
    bad = DataPoint(**{**OK, "data_type": DataType.string, **changed})
    with pytest.raises(error, match=said):
        nowhere.data_points.store(UUID, [DataPoint(**OK), bad])  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"measurement_uuid": "x"}, "is no UUID"),
        ({"data_points": [OK]}, "row 0 is dict, expected DataPoint"),
        ({"data_points": DataPoint(**OK)}, "expected a list of DataPoint"),  # type: ignore[arg-type]
        ({"data_points": 5}, "data_points is int"),
        ({"serial_number": -1}, "serial_number=-1"),
        ({"serial_number": 2**32}, "serial_number=4294967296"),
        ({"final": 1}, "final=1"),
    ],
)
def test_a_store_that_cannot_work_is_refused_before_anything_is_sent(arguments: dict[str, Any], said: str) -> None:
    nowhere = Connection("http://127.0.0.1:1", "token", retries=0)
    with pytest.raises(UsageError, match=said):
        nowhere.data_points.store(**{"measurement_uuid": UUID, "data_points": [], **arguments})


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"measurement_uuid": None}, "give measurement_uuid=, edge_uuid= or edge_name="),
        ({"measurement_uuid": "x"}, "is no UUID"),
        ({"measurement_uuid": None, "edge_uuid": "x"}, "is no UUID"),
        ({"measurement_uuid": None, "edge_name": 5}, "expected text"),
        ({"start": "2020-01-01"}, "start='2020-01-01' has no time zone"),
        ({"end": 5}, "end=5 is a number"),
        ({"end": "2019-01-01T00:00:00Z"}, "is before start="),
        ({"id_queries": [IdQuery(channel=256)]}, "channel=256"),
        ({"id_queries": [5]}, "expected text"),
        ({"labels": 5}, "expected a list"),
        ({"limit": -1}, "limit=-1"),
        ({"limit": 1.5}, "limit=1.5"),
        ({"iterator": 1}, "iterator=1"),
        ({"exit_on_error": "no"}, "exit_on_error='no'"),
    ],
)
def test_a_read_that_cannot_work_is_refused_before_anything_is_sent(arguments: dict[str, Any], said: str) -> None:
    nowhere = Connection("http://127.0.0.1:1", "token", retries=0)
    with pytest.raises(UsageError, match=said):
        nowhere.data_points.list(**{"start": START, "end": END, "measurement_uuid": UUID, **arguments})


def points(*series: Series) -> Points:
    keys = SeriesTable()
    found = points_of(UUID, [text_point(row, str(row)) for row in range(len(series))])
    for row, each in enumerate(series):
        found.series[row] = keys.code(each)
    return Points(found.time_ns, found.series, found.data, found.offsets, keys)


def test_types_that_we_do_not_know_pass_through() -> None:
    newer = responses_of([points(Series(UUID, 99, 1, "x", "99"), Series(UUID, None, None, "a/b", "can_frame"))])
    assert [(each.data_type, each.channel, each.data_id) for each in newer] == [(99, 1, "x"), ("can_frame", None, "a/b")]


def test_points_of_a_slice_have_their_own_payloads() -> None:
    whole = points(*[Series(UUID, 10, 1, "s", "10")] * 3)
    assert [each.data_payload for each in responses_of([whole.slice(1, 3)])] == [b"\x01s1", b"\x01s2"]


def test_a_failed_conversion_is_no_data_but_a_users_own_error_is(connection: Connection, measurement: Measurement) -> None:
    failed = Series(UUID, 10, 1, ERROR_ID, "10")
    own = Series(UUID, 10, 1, "error", "10")
    assert [each.data_id for each in responses_of([without_failed(points(failed, own, failed))])] == ["error"]
    inner = bytes([len(ERROR_ID)]) + ERROR_ID.encode() + b"{}"
    connection.data_points.store(measurement.uuid, [DataPoint(pd.Timedelta(0), DataType.string, 1, inner), text_point(1, "x")])
    with pytest.warns(UserWarning, match="could not convert 1 points"):
        assert [each.data_id for each in connection.data_points.list(START, END, measurement.uuid)] == ["s"]


def test_all_points_of_a_range_are_one_frame(connection: Connection, measurement: Measurement) -> None:
    stored = [text_point(0, "a"), text_point(1, "b"), DataPoint(pd.Timedelta("1s"), DataType.can, 255, b"\x4a\x01\x00\x00\x00")]
    connection.data_points.store(measurement.uuid, stored)
    frame = connection.data_points.frame(START, END, measurement.uuid)
    listed = connection.data_points.list(START, END, measurement.uuid)
    assert list(frame.columns) == [each.name for each in dataclasses.fields(DataResponse)]
    for name in frame.columns:
        assert frame[name].tolist() == [getattr(each, name) for each in listed]
    dtypes = ["datetime64[ns, UTC]", "category", "Int64", "category", "Int64", "binary[pyarrow]"]
    assert list(map(str, frame.dtypes)) == dtypes
    assert len(connection.data_points.frame(START, END, edge_name="demo", id_queries=[IdQuery("can", 255, "0000014a")])) >= 1
    empty = connection.data_points.frame(START, START, measurement.uuid)
    assert empty.empty
    assert list(map(str, empty.dtypes)) == dtypes


def test_points_are_converted_by_the_labels_of_signals(connection: Connection, measurement: Measurement) -> None:
    display = Display("deg", 0.0, 1.0, "%f")
    for label, start in (("label x", 0), ("label z", 64)):
        conversion = ConversionNumFixedPoint(start, 32, "little", "signed", 1e-6, 0.0)
        connection.signals.create(label, DataType.general_sensor, "0001", 1, conversion, display)
    payloads = [b"\x01\x00" + np.asarray([raw, 0, -raw], "<i4").tobytes() for raw in (41493, -7)]
    short = b"\x01\x00\xff\xff\xff\xff"  # holds the first field and not the last
    stored = [
        DataPoint(pd.Timedelta(row, unit="ns"), DataType.general_sensor, 1, payload)
        for row, payload in enumerate([*payloads, short])
    ]
    connection.data_points.store(measurement.uuid, [*stored, text_point(9, "text")])
    find = connection.data_points.list
    found = find(START, END, measurement.uuid, labels=["label x"])
    assert [(each.data_type, each.channel, each.data_id) for each in found] == [(DataType.float, 1, "label x")] * 3
    values = [data.Float.from_payload(each.data_payload).value for each in found]
    assert values == [41493 * 1e-6, -7 * 1e-6, -1e-6]
    both = find(START, END, measurement.uuid, id_queries=[IdQuery(DataType.string)], labels=["label x"])
    assert [each.data_id for each in both] == ["label x"] * 3 + ["s"]
    pages = list(find(START, END, measurement.uuid, labels=["label x"], limit=2, iterator=True))
    assert [each for page in pages for each in page] == found
    assert find(START, END, measurement.uuid, labels=["nobody's"]) == []
    with pytest.warns(UserWarning, match="could not convert 1 points"):
        assert len(find(START, END, measurement.uuid, labels=["label z"])) == 2
    frame = connection.data_points.frame(START, END, measurement.uuid, labels=["label x"])
    assert frame["data_payload"].tolist() == [each.data_payload for each in found]
    units = connection.units.list(START, END, measurement.uuid, labels=["label x"])
    assert [(each.elapsed_time, each.data) for each in units[1:]] == [
        (each.time - START, data.Float("label x", value)) for each, value in zip(found, values, strict=True)
    ]
