from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pandas as pd
import pytest

from intdash_frames.client.connection import Connection
from intdash_frames.errors import ApiError, NotFound, UsageError
from intdash_frames.model import (
    Display,
    Measurement,
    MeasurementMarker,
    MeasurementMarkerDetailPoint,
    MeasurementMarkerDetailRange,
    MeasurementMarkerType,
)
from tests.client.conftest import BASETIME
from tests.client.recorded import CASES, cases_of, repeat
from tests.transport.loopback import Loopback, answer

UUID, MARKER = "414c343c-1e2f-7ed4-c2ce-78e57311d8a3", "a6cecc1b-612e-c9e9-35bf-7ce418072e8c"


def us(number: int, *, ns: int = 0) -> pd.Timedelta:
    return pd.Timedelta(1000 * number + ns, unit="ns")


def point(number: int, *, ns: int = 0) -> MeasurementMarkerDetailPoint:
    return MeasurementMarkerDetailPoint(us(number, ns=ns))


def stretch(start: int, end: int) -> MeasurementMarkerDetailRange:
    return MeasurementMarkerDetailRange(us(start), us(end))


CALLS: dict[str, tuple[Callable[[Connection], Any], Any]] = {
    # nanoseconds are cut off
    "markers_create_point": (lambda c: c.measurement_markers.create(UUID, "point", point(48068660, ns=999)), point(48068660)),
    "markers_create_range": (
        lambda c: c.measurement_markers.create(UUID, MeasurementMarkerType.range, stretch(1, 5000000), "n", "d", {"k": "v"}),
        stretch(3, 7),
    ),
    "markers_get": (lambda c: c.measurement_markers.get(MARKER), point(48068660)),
    "markers_update": (lambda c: c.measurement_markers.update(MARKER, name="z", tag={"a": "b"}), point(48068660)),
    "markers_update_in_measurement": (
        lambda c: c.measurement_markers.update(MARKER, UUID, None, "", "point", point(5), {}),
        point(48068660),
    ),
    "markers_delete": (lambda c: c.measurement_markers.delete(MARKER), None),
    "markers_delete_in_measurement": (lambda c: c.measurement_markers.delete(MARKER, UUID), None),
    "markers_list": (lambda c: c.measurement_markers.list(UUID), [point(48068660), stretch(3, 7)]),
}


@pytest.mark.parametrize("name", sorted(cases_of("markers")))
def test_a_call_is_the_recorded_one(peer: Loopback, name: str) -> None:
    call, detail = CALLS[name]
    found = repeat(peer, name, call)
    if isinstance(found, MeasurementMarker):
        assert (found.uuid, found.tag) == (CASES[name]["response_json"]["uuid"], {"sp_ACCZ": "Exceeds threshold"})
        assert (found.created_at, found.type) == (pd.Timestamp("2020-07-21T11:41:10.992034Z"), detail.type)
        found = found.detail
    assert ([each.detail for each in found] if isinstance(found, list) else found) == detail


def test_a_marker_that_was_changed_without_an_answer_is_asked_for(peer: Loopback) -> None:
    peer.answers = [answer(204), answer(200, b'{"version": "1.17.0"}'), answer(200, b'{"name": "z"}')]
    with Connection(peer.url, "token") as connection:
        assert connection.measurement_markers.update(MARKER, name="z").name == "z"
    assert [(seen.method, seen.path.rpartition("/")[2]) for seen in peer.seen if "version" not in seen.path] == [
        ("PUT", MARKER),
        ("GET", MARKER),
    ]


EVERY_CALL: list[Callable[[Connection], Any]] = [
    lambda c: c.measurement_markers.create(UUID, "point", point(1)),
    lambda c: c.measurement_markers.get(MARKER),
    lambda c: c.measurement_markers.update(MARKER, name="x"),
    lambda c: c.measurement_markers.update(MARKER, UUID, name="x"),
    lambda c: c.measurement_markers.delete(MARKER),
    lambda c: c.measurement_markers.delete(MARKER, UUID),
    lambda c: c.measurement_markers.list(UUID),
    lambda c: c.measurement_markers.frame(UUID),
]


@pytest.mark.parametrize("number", range(len(EVERY_CALL)))
def test_a_server_that_is_too_old_is_said_to_be(peer: Loopback, number: int) -> None:
    peer.answers = [answer(404), answer(200, b'{"version": "1.9.9"}'), answer(404)]
    with (
        Connection(peer.url, "token") as connection,
        pytest.raises(ApiError, match=r"not supported by this server: it is 1\.9\.9, this call came with 1\.10\.0") as caught,
    ):
        EVERY_CALL[number](connection)
    assert not isinstance(caught.value, NotFound)


@pytest.mark.parametrize("number", range(len(EVERY_CALL)))
def test_a_marker_that_is_not_there_is_not_found(peer: Loopback, number: int) -> None:
    peer.answers = [answer(404), answer(200, b'{"version": "1.10.0"}'), answer(404)]
    with Connection(peer.url, "token") as connection, pytest.raises(NotFound):
        EVERY_CALL[number](connection)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"type": "line"}, "type: 'line' is not known; expected one of point, range"),
        ({"type": None}, "needs type"),
        ({"type": "range"}, "type='range' and detail=.* do not go together; this is where a point stands"),
        ({"detail": None}, "needs detail"),
        ({"detail": 5}, "detail=5; expected a MeasurementMarkerDetailPoint"),
        ({"detail": Display("", 0, 1, "")}, "expected a MeasurementMarkerDetailPoint"),
        ({"detail": MeasurementMarkerDetailPoint(5)}, "duration=5 has no unit"),  # type: ignore[arg-type]
        ({"detail": point(-1)}, "detail=.*; expected elapsed times from 0 on, and an end that is not before its start"),
        (
            {"type": "range", "detail": stretch(2, 1)},
            "detail=.*; expected elapsed times from 0 on, and an end that is not before",
        ),
        ({"tag": {"a": {"b": "c"}}}, "tag=.*; expected a dict of text to text"),
        ({"tag": {"a": 1}}, "tag="),
        ({"tag": "a"}, "tag='a'"),
        ({"name": 5}, "name: 5 is int, expected text"),
        ({"measurement_uuid": "x"}, "uuid: 'x' is no UUID"),
    ],
)
def test_a_marker_that_cannot_work_is_refused_before_anything_is_sent(arguments: dict[str, Any], said: str) -> None:
    nowhere = Connection("http://127.0.0.1:1", "token", retries=0)
    with pytest.raises(UsageError, match=said):
        nowhere.measurement_markers.create(**{"measurement_uuid": UUID, "type": "point", "detail": point(1), **arguments})


def test_a_marker_is_made_changed_and_deleted(connection: Connection, measurement: Measurement) -> None:
    resource = connection.measurement_markers
    made = resource.create(measurement.uuid, "point", point(1), name="here", tag={"k": "v"})
    assert (made.name, made.detail, made.tag, made.created_by) == ("here", point(1), {"k": "v"}, measurement.edge_uuid)
    assert resource.get(made.uuid) == made
    assert connection.measurements.get(marker_uuid=made.uuid).uuid == measurement.uuid
    changed = resource.update(made.uuid, measurement.uuid, type="range", detail=stretch(1, 2))
    assert (changed.name, changed.type, changed.detail) == ("here", MeasurementMarkerType.range, stretch(1, 2))
    assert resource.list(measurement.uuid) == [changed]
    resource.delete(made.uuid)
    assert resource.list(measurement.uuid) == []
    with pytest.raises(NotFound):
        resource.get(made.uuid)


def test_a_marker_of_another_measurement_is_left_alone(connection: Connection, measurement: Measurement) -> None:
    other = connection.measurements.create(measurement.edge_uuid, BASETIME)
    made = connection.measurement_markers.create(measurement.uuid, "point", point(1))
    with pytest.raises(ApiError):
        connection.measurement_markers.update(made.uuid, other.uuid, name="x")
    with pytest.raises(ApiError):
        connection.measurement_markers.delete(made.uuid, measurement_uuid=other.uuid)
    assert connection.measurement_markers.get(made.uuid) == made


def test_all_markers_are_one_frame(connection: Connection, measurement: Measurement) -> None:
    resource = connection.measurement_markers
    empty = resource.frame(measurement.uuid)
    resource.create(measurement.uuid, "range", stretch(1, 3), name="first")
    resource.create(measurement.uuid, "point", point(2), name="second")
    frame = resource.frame(measurement.uuid).set_index("name").loc[["first", "second"]]
    parts = ["occurred_elapsed_time", "start_elapsed_time", "end_elapsed_time"]
    assert list(empty.columns) == [*(each.name for each in dataclasses.fields(MeasurementMarker)), *parts]
    assert frame["detail"].tolist() == [stretch(1, 3), point(2)]
    assert frame["start_elapsed_time"].tolist() == [us(1), pd.NaT]
    assert frame["end_elapsed_time"].tolist() == [us(3), pd.NaT]
    assert frame["occurred_elapsed_time"].tolist() == [pd.NaT, us(2)]
    assert {str(empty[name].dtype) for name in parts} == {str(frame[name].dtype) for name in parts} == {"timedelta64[ns]"}
