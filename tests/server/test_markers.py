from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from intdash_frames.model import dump
from intdash_frames.server.app import serve
from intdash_frames.server.markers import create_marker, marker, markers
from intdash_frames.server.store import Refused, Store
from intdash_frames.timebase import INT64_MAX
from tests.server.conftest import Caller
from tests.server.reading import edge_uuid, new_measurement, new_store
from tests.server.replaying import CASES, assert_same_shape, replay

UNKNOWN = "00112233-4455-6677-8899-aabbccddeeff"
POINT = {"type": "point", "detail": {"occurred_elapsed_time": 5}}
RANGE = {"type": "range", "detail": {"start_elapsed_time": 1, "end_elapsed_time": 7}}
MOST_US = INT64_MAX // 1000


def of(measurement_uuid: str) -> str:
    return f"/api/v1/measurements/{measurement_uuid}/markers"


def alone(marker_uuid: str) -> str:
    return f"/api/v1/measurements/markers/{marker_uuid}"


def mark(call: Caller, measurement_uuid: str, **fields: Any) -> dict[str, Any]:
    answer = call("POST", of(measurement_uuid), json=POINT | fields)
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


@pytest.mark.parametrize("name", ["markers_create_point", "markers_create_range"])
def test_golden_markers_come_back_as_they_were_made(call: Caller, name: str) -> None:
    measurement = call.create()
    made = replay(call, name, measurement)
    sent = CASES[name]["json"]
    assert {key: made[key] for key in sent} == sent
    assert call.json(alone(made["uuid"])) == made
    assert call.json(f"{of(measurement)}/{made['uuid']}") == made


def test_golden_calls_read_change_list_and_delete_markers(call: Caller) -> None:
    measurement = call.create()
    first, second = (replay(call, f"markers_create_{kind}", measurement)["uuid"] for kind in ("point", "range"))
    replay(call, "markers_get", first)
    assert [each["uuid"] for each in replay(call, "markers_list", measurement)["items"]] == [first, second]
    updated = replay(call, "markers_update", first)
    assert (updated["name"], updated["tag"], updated["detail"]) == ("z", {"a": "b"}, {"occurred_elapsed_time": 48068660})
    updated = replay(call, "markers_update_in_measurement", measurement, second)
    assert (updated["type"], updated["detail"], updated["name"]) == ("point", {"occurred_elapsed_time": 5}, "n")
    assert call.json(alone(second)) == updated
    replay(call, "markers_delete", first)
    replay(call, "markers_delete_in_measurement", measurement, second)
    assert call.json(of(measurement)) == {"items": []}


def test_measurements_carry_their_markers_and_are_found_by_them(call: Caller) -> None:
    marked, plain = call.create(name="with markers"), call.create(name="with markers, none")
    made = [mark(call, marked, **RANGE, name="a"), mark(call, marked)]
    found = replay(call, "measurements_get_by_marker", made[1]["uuid"].upper())
    assert (found["uuid"], found["markers"]) == (marked, made)
    assert_same_shape(call.json(f"/api/v1/measurements/{marked}"), CASES["measurements_get"]["response_json"], "get")
    listed = call.json("/api/v1/measurements", name="with markers")
    assert_same_shape(listed, CASES["measurements_list_defaults"]["response_json"], "list")
    assert {each["uuid"]: each["markers"] for each in listed["items"]} == {marked: made, plain: []}


def test_a_marker_says_who_made_and_who_changed_it(call: Caller, second: Caller) -> None:
    made = mark(call, call.create())
    assert (made["created_by"], made["updated_by"]) == (call.edge_uuid, call.edge_uuid)
    assert made["created_at"] == made["updated_at"]
    changed = second("PUT", alone(made["uuid"]), json={"name": "n"}).json()
    assert (changed["created_by"], changed["updated_by"]) == (call.edge_uuid, second.edge_uuid)
    assert changed["created_at"] == made["created_at"] < changed["updated_at"]


def test_a_marker_goes_with_its_measurement(call: Caller) -> None:
    other, measurement = call.create(), call.create()
    made, kept = mark(call, measurement), mark(call, other)
    assert call("DELETE", f"/api/v1/measurements/{measurement}").status_code == 204
    assert call("GET", alone(made["uuid"])).status_code == 404
    assert call("GET", of(measurement)).status_code == 404
    assert call.json(of(other)) == {"items": [kept]}
    # The next one takes the place of the last in the store, and must not find what was left there.
    assert call.json(of(call.create())) == {"items": []}


def test_all_markers_of_one_measurement_are_deleted(call: Caller) -> None:
    measurement, other = call.create(), call.create()
    for each in (measurement, measurement, other):
        mark(call, each)
    assert call("DELETE", of(measurement)).status_code == 204
    assert call.json(of(measurement)) == {"items": []}
    assert len(call.json(of(other))["items"]) == 1


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_a_marker_of_another_measurement_is_not_found(call: Caller, method: str) -> None:
    measurement, other = call.create(), call.create()
    made = mark(call, measurement)
    for wrong in (other, UNKNOWN):
        refusal = call(method, f"{of(wrong)}/{made['uuid']}", json={"name": "x"})
        assert refusal.status_code == 404
        assert measurement in refusal.json()["error_description"]
    assert call.json(alone(made["uuid"])) == made


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", alone(UNKNOWN)),
        ("PUT", alone(UNKNOWN)),
        ("DELETE", alone(UNKNOWN)),
        ("GET", f"{alone(UNKNOWN)}/measurement"),
        ("POST", of(UNKNOWN)),
        ("GET", of(UNKNOWN)),
        ("DELETE", of(UNKNOWN)),
    ],
)
def test_what_is_not_there_is_not_found(call: Caller, method: str, path: str) -> None:
    answer = call(method, path, json=POINT)
    assert answer.status_code == 404
    assert UNKNOWN in answer.json()["error_description"]


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"type": None}, "type is missing"),
        ({"type": "line"}, "type: 'line' is not known; expected one of point, range"),
        ({"detail": None}, "detail is missing"),
        ({"detail": [5]}, "detail: [5] is list, expected a JSON object"),
        ({"detail": {}}, "detail of a point: occurred_elapsed_time is missing"),
        ({"detail": RANGE["detail"]}, "detail of a point: occurred_elapsed_time is missing"),
        ({"detail": {"occurred_elapsed_time": 5, "elapsed_time": 5}}, "detail of a point: 'elapsed_time' is not known"),
        ({"detail": {"occurred_elapsed_time": -1}}, "detail: occurred_elapsed_time: -1 is negative"),
        ({"detail": {"occurred_elapsed_time": 1.5}}, "detail: occurred_elapsed_time: 1.5 is float"),
        ({"detail": {"occurred_elapsed_time": "5"}}, "whole microseconds since the base time"),
        ({"detail": {"occurred_elapsed_time": True}}, "detail: occurred_elapsed_time: True is bool"),
        ({"detail": {"occurred_elapsed_time": MOST_US + 1}}, "64 bits of nanoseconds"),
        ({"type": "range"}, "detail of a range: start_elapsed_time is missing"),
        (
            {"type": "range", "detail": {"start_elapsed_time": 8, "end_elapsed_time": 7}},
            "start_elapsed_time is 8, expected no more than end_elapsed_time, which is 7",
        ),
        ({"type": "range", "detail": {"start_elapsed_time": 8}}, "end_elapsed_time is missing"),
        ({"tag": {"a": {"b": "c"}}}, "tag: a is {'b': 'c'}, expected text"),
        ({"tag": {"a": 1}}, "tag: a is 1, expected text"),
        ({"tag": ["a"]}, "tag: ['a'] is list"),
        ({"name": 5}, "name: 5 is int"),
    ],
)
def test_a_marker_with_bad_fields_is_refused_new_or_as_a_change(call: Caller, fields: dict[str, Any], said: str) -> None:
    measurement = call.create()
    refusal = call("POST", of(measurement), json=POINT | fields)
    assert refusal.status_code == 400
    assert said in refusal.json()["error_description"]
    assert call.json(of(measurement)) == {"items": []}
    if None in fields.values():
        return  # in a change, it is not said and stays
    made = mark(call, measurement)
    refusal = call("PUT", alone(made["uuid"]), json={"detail": POINT["detail"], "description": "new"} | fields)
    assert refusal.status_code == 400
    assert said in refusal.json()["error_description"]
    assert call.json(alone(made["uuid"])) == made


def test_a_type_changes_only_with_its_detail(call: Caller) -> None:
    made = mark(call, call.create())
    refusal = call("PUT", alone(made["uuid"]), json={"type": "range"})
    assert refusal.status_code == 400
    assert "detail of a range" in refusal.json()["error_description"]
    assert call("PUT", alone(made["uuid"]), json={"type": "point", "name": "same type"}).status_code == 201
    assert call("PUT", alone(made["uuid"]), json=RANGE).json()["detail"] == RANGE["detail"]
    assert call("PUT", alone(made["uuid"]), json={"detail": POINT["detail"]}).status_code == 400
    assert call("PUT", alone(made["uuid"]), json=POINT).json()["detail"] == POINT["detail"]


def test_texts_and_tags_can_be_emptied(call: Caller) -> None:
    made = mark(call, call.create(), name="n", description="d", tag={"a": "b"})
    changed = call("PUT", alone(made["uuid"]), json={"name": "", "tag": {}}).json()
    assert (changed["name"], changed["description"], changed["tag"]) == ("", "d", {})


def test_a_protected_measurement_takes_markers(call: Caller) -> None:
    measurement = call.create(protected=True)
    made = mark(call, measurement)
    assert call.json(of(measurement)) == {"items": [made]}


def test_markers_survive_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "data.duckdb"
    with serve(path) as running:
        caller = Caller(running.url)
        measurement = caller.create()
        made = [mark(caller, measurement, tag={"a": "b"}), mark(caller, measurement, **RANGE)]
        caller.session.close()
    with serve(path) as running:
        caller = Caller(running.url)
        assert caller.json(of(measurement))["items"] == made
        caller.session.close()


def test_a_file_from_before_there_were_markers_takes_them(tmp_path: Path) -> None:
    path = tmp_path / "data.duckdb"
    store = Store(path)
    with store.write() as cursor:
        for table in ("markers", "signals", "captures"):
            cursor.execute(f"DROP TABLE {table}")
    store.close()
    with serve(path) as running:
        caller = Caller(running.url)
        measurement = caller.create()
        assert caller.json(of(measurement))["items"] == []
        mark(caller, measurement)
        caller.session.close()


@pytest.fixture(scope="module")
def store() -> Iterator[Store]:
    store = new_store()
    yield store
    store.close()


@pytest.fixture(scope="module")
def measurement(store: Store) -> str:
    return new_measurement(store, [])


TIMES = st.integers(-3, 10) | st.integers(MOST_US - 2, MOST_US + 2) | st.none() | st.just(1.0)
KEYS = st.sampled_from(["occurred_elapsed_time", "start_elapsed_time", "end_elapsed_time"])
DETAILS = st.one_of(
    st.fixed_dictionaries({"occurred_elapsed_time": TIMES}),
    st.fixed_dictionaries({"start_elapsed_time": TIMES, "end_elapsed_time": TIMES}),
    st.dictionaries(KEYS, TIMES),
)
TEXT = st.text(st.characters(exclude_categories=["Cs"]))


@given(
    kind=st.sampled_from(["point", "range"]),
    detail=DETAILS,
    name=TEXT,
    tag=st.dictionaries(TEXT, TEXT),
)
@settings(deadline=None, max_examples=150)
def test_any_detail_is_kept_as_it_is_or_refused(
    store: Store, measurement: str, kind: str, detail: dict[str, Any], name: str, tag: dict[str, str]
) -> None:
    keys = {"point": ["occurred_elapsed_time"], "range": ["start_elapsed_time", "end_elapsed_time"]}[kind]
    times = [detail[key] for key in keys if key in detail]
    fits = sorted(detail) == sorted(keys) and all(type(each) is int and 0 <= each <= MOST_US for each in times)
    fits = fits and times == sorted(times)
    caller = edge_uuid(store)
    if not fits:
        with pytest.raises(Refused, match="detail") as refusal:
            create_marker(store, measurement, caller, type=kind, detail=detail, name=name, tag=tag)
        assert refusal.value.status == 400
        return
    uuid = create_marker(store, measurement, caller, type=kind, detail=detail, name=name, tag=tag)
    with store.read() as cursor:
        found = dump(marker(cursor, uuid, measurement))
        assert markers(cursor, measurement)[-1].uuid == uuid
    assert (found["type"], found["detail"], found["name"], found["tag"]) == (kind, detail, name, tag)
