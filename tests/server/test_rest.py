from __future__ import annotations

import re
import zlib
from typing import Any

import pytest
import requests
from hypothesis import given, settings
from hypothesis import strategies as st

from intdash_frames.server.app import Server, serve
from tests.server.conftest import BASETIME, BASETIME_NS, EVER, Caller, golden
from tests.server.samples import body_of, can_row, int_row

RFC3339_NANO = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z")
UNKNOWN = "00112233-4455-6677-8899-aabbccddeeff"
STORES = golden("store_requests.json")
ACK = "aafa0100%02x000000"


def test_the_version_needs_no_credentials(server: Server) -> None:
    answer = requests.get(server.url + "/api/v1/version", timeout=10)
    assert (answer.status_code, answer.json()) == (200, {"version": "1.17.0"})


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/v1/edges/me"),
        ("GET", "/api/v1/data"),
        ("POST", "/api/v1/measurements"),
        ("POST", "/api/v1/measurements/data"),
    ],
)
def test_other_calls_without_credentials_are_refused(server: Server, method: str, path: str) -> None:
    answer = requests.request(method, server.url + path, timeout=10)
    assert answer.status_code == 401
    assert "X-Edge-Token" in answer.json()["error_description"]


def test_objects_have_the_fields_that_the_reference_needs(call: Caller) -> None:
    measurement = call("POST", "/api/v1/measurements", json={"edge_uuid": call.edge_uuid, "basetime": BASETIME}).json()
    edge = call.json("/api/v1/edges/me")
    base_time = call.json(f"/api/v1/measurements/{measurement['uuid']}/basetimes/manual")
    cases = {case["name"]: case.get("response_json") for case in golden("rest_requests.json")["cases"]}
    for ours, theirs in (
        (measurement, cases["measurements_get"]),
        (edge, cases["edges_me"]),
        (base_time, cases["basetimes_get"]),
    ):
        assert set(ours) == set(theirs)
        for name, value in theirs.items():
            if isinstance(value, bool | int):
                assert type(ours[name]) in (type(value), float), name
            if name.endswith("_at") and ours[name] is not None:
                assert RFC3339_NANO.fullmatch(ours[name])
    assert measurement["basetime"] == BASETIME
    assert edge["last_login_at"] is None


def test_measurements_are_made_read_changed_and_deleted(call: Caller) -> None:
    uuid = call.create(name="first", description="d", basetime_type="ntp")
    assert call("PUT", f"/api/v1/measurements/{uuid}", json={"name": "second", "ended": True}).status_code == 204
    assert call("PUT", f"/api/v1/measurements/{uuid}", json={}).status_code == 204
    found = call.json(f"/api/v1/measurements/{uuid.upper()}")
    assert {name: found[name] for name in ("name", "description", "ended", "processed_ratio", "basetime_type")} == {
        "name": "second",
        "description": "d",
        "ended": True,
        "processed_ratio": 1,
        "basetime_type": "ntp",
    }
    assert call("DELETE", f"/api/v1/measurements/{uuid}").status_code == 204
    assert call("GET", f"/api/v1/measurements/{uuid}").status_code == 404
    assert call("DELETE", f"/api/v1/measurements/{uuid}").status_code == 404


@pytest.mark.parametrize(
    ("protect", "unprotect", "statuses"),
    [
        (("PUT", "protect"), ("PUT", "unprotect"), (200, 200)),
        (("PUT", "protected"), ("DELETE", "protected"), (204, 204)),
    ],
)
def test_a_protected_measurement_is_not_deleted(
    call: Caller, protect: tuple[str, str], unprotect: tuple[str, str], statuses: tuple[int, int]
) -> None:
    path = f"/api/v1/measurements/{call.create()}"
    assert call(protect[0], f"{path}/{protect[1]}").status_code == statuses[0]
    assert call.json(path)["protected"] is True
    refusal = call("DELETE", path)
    assert refusal.status_code == 409
    assert "unprotect" in refusal.json()["error_description"]
    assert call(unprotect[0], f"{path}/{unprotect[1]}").status_code == statuses[1]
    assert call("DELETE", path).status_code == 204


def test_a_measurement_can_be_made_with_a_chosen_uuid_once(call: Caller) -> None:
    fields = {"edge_uuid": call.edge_uuid, "basetime": BASETIME}
    assert call("POST", f"/api/v1/measurements/{UNKNOWN}", json=fields).json()["uuid"] == UNKNOWN
    assert call("POST", f"/api/v1/measurements/{UNKNOWN}", json=fields).status_code == 409
    assert call("POST", "/api/v1/measurements/not-a-uuid", json=fields).status_code == 400


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"basetime": "2020-07-09T08:34:10"}, "basetime: '2020-07-09T08:34:10' is not RFC 3339"),
        ({"basetime": None}, "basetime is missing"),
        ({"basetime_type": "moon"}, "basetime_type"),
        ({"edge_uuid": UNKNOWN[:-1] + "0"}, "no such edge"),
        ({"edge_uuid": "demo"}, "edge_uuid"),
        ({"name": 5}, "name: 5 is int"),
        ({"protected": "yes"}, "protected"),
    ],
)
def test_a_measurement_with_bad_fields_is_refused(call: Caller, fields: dict[str, Any], said: str) -> None:
    before = call.json("/api/v1/measurements")["page"]["total_count"]
    answer = call("POST", "/api/v1/measurements", json={"edge_uuid": call.edge_uuid, "basetime": BASETIME} | fields)
    assert answer.status_code == 400
    assert said in answer.json()["error_description"]
    assert call.json("/api/v1/measurements")["page"]["total_count"] == before


@pytest.mark.parametrize("body", [b"", b"{", b"[1]", b"\xff"])
def test_a_body_that_is_no_json_object_is_refused(call: Caller, body: bytes) -> None:
    assert call("POST", "/api/v1/measurements", data=body).status_code == 400


class TestLists:
    """Over a server of their own, with three measurements and edges that nobody else adds to."""

    @pytest.fixture(scope="class")
    @staticmethod
    def listed() -> Any:
        with serve(edges={"sp_one": "token", "sp_two": "b", "three": "c"}, users={"anna": "p"}) as running:
            caller = Caller(running.url)
            for second, name in enumerate(["run b", "run a", "other"]):
                uuid = caller.create(name=name, basetime=f"2020-01-01T00:00:0{second}Z", description="x" * second)
                caller.store(body_of(uuid, [int_row(1_500_000_999)], final=name == "other"))
            yield caller
            caller.session.close()

    @staticmethod
    def names(listed: Caller, **query: Any) -> list[str]:
        return [item["name"] for item in listed.json("/api/v1/measurements", **query)["items"]]

    @pytest.mark.parametrize(
        ("query", "names"),
        [
            ({}, ["other", "run a", "run b"]),
            ({"order": "desc"}, ["run b", "run a", "other"]),
            ({"sort": "base_time"}, ["run b", "run a", "other"]),
            ({"sort": "description", "order": "desc"}, ["other", "run a", "run b"]),
            ({"name": "run"}, ["run a", "run b"]),
            ({"name": "un"}, []),
            ({"name": '"run a"'}, ["run a"]),
            ({"name": '"run"'}, []),
            ({"ended": "true"}, ["other"]),
            ({"ended": "False"}, ["run a", "run b"]),
            ({"start": 1577836801000000}, ["other", "run a"]),
            ({"end": 1577836801000000}, ["run b"]),
            ({"start": "2020-01-01T00:00:01Z", "end": "2020-01-01T00:00:02Z"}, ["run a"]),
            ({"start": 1577836801000000, "partial_match": "true"}, ["other", "run a", "run b"]),
            ({"start": 1577836801500001, "partial_match": "true"}, ["other", "run a"]),
            ({"edge_uuid": UNKNOWN}, []),
            ({"limit": 2, "page": 2}, ["run b"]),
            ({"limit": 0}, ["other", "run a", "run b"]),
        ],
    )
    def test_measurements_are_filtered_and_sorted(self, listed: Caller, query: dict[str, Any], names: list[str]) -> None:
        assert self.names(listed, **query) == names

    @pytest.mark.parametrize(
        ("query", "names"),
        [
            ({"disabled": "False"}, ["anna", "sp_one", "sp_two", "three"]),
            ({"disabled": "True"}, []),
            ({"name": "sp"}, ["sp_one", "sp_two"]),
            ({"type": "user"}, ["anna"]),
            ({"type": "device", "order": "desc", "limit": 1}, ["three"]),
            ({"email": "a@b.c"}, []),
            ({"nickname": "th"}, ["three"]),
        ],
    )
    def test_edges_are_filtered_and_sorted(self, listed: Caller, query: dict[str, Any], names: list[str]) -> None:
        assert [item["name"] for item in listed.json("/api/v1/edges", **query)["items"]] == names

    def test_following_the_links_gives_every_item_once(self, listed: Caller) -> None:
        path, names, pages = "/api/v1/measurements?sort=name&order=desc&limit=1&page=1&partial_match=false", [], []
        while path:
            answer = listed.json(path)
            names += [item["name"] for item in answer["items"]]
            pages.append(answer["page"])
            path = answer["page"]["next"]
        assert names == ["run b", "run a", "other"]
        assert [(page["first"], page["last"], page["total_count"]) for page in pages] == [
            (True, False, 3),
            (False, False, 3),
            (False, True, 3),
        ]
        assert listed.json(pages[1]["previous"])["items"][0]["name"] == "run b"
        assert pages[0]["previous"] == ""

    @pytest.mark.parametrize(
        ("query", "said"),
        [
            ({"sort": "colour"}, "sort 'colour'"),
            ({"order": "up"}, "order"),
            ({"limit": "many"}, "limit"),
            ({"limit": -1}, "limit"),
            ({"page": 0}, "page"),
            ({"ended": "maybe"}, "ended"),
            ({"start": "2020-01-01"}, "start"),
        ],
    )
    def test_a_bad_query_is_refused_by_name(self, listed: Caller, query: dict[str, Any], said: str) -> None:
        answer = listed("GET", "/api/v1/measurements", params=query)
        assert answer.status_code == 400
        assert said in answer.json()["error_description"]


def test_base_times_are_listed_put_used_and_deleted(call: Caller) -> None:
    path = f"/api/v1/measurements/{call.create()}"
    assert call("PUT", f"{path}/basetimes/gps", json={"basetime": "2021-01-01T00:00:00Z"}).status_code == 204
    assert [each["type"] for each in call.json(f"{path}/basetimes")["items"]] == ["manual", "gps"]
    assert call.json(path)["basetime"] == BASETIME
    assert call("PUT", path, json={"basetime_type": "ntp"}).status_code == 400
    assert call("PUT", path, json={"basetime_type": "gps"}).status_code == 204
    assert call.json(path)["basetime"] == "2021-01-01T00:00:00.000000000Z"
    assert call("DELETE", f"{path}/basetimes/gps").status_code == 409
    assert call("DELETE", f"{path}/basetimes/manual").status_code == 204
    assert call("DELETE", f"{path}/basetimes/manual").status_code == 404
    assert call("GET", f"{path}/basetimes/manual").status_code == 404
    assert call("GET", f"{path}/basetimes/moon").status_code == 400


@pytest.mark.parametrize("case", STORES["protobuf"], ids=lambda case: case["name"])
def test_golden_store_bodies_are_kept_and_read_back(call: Caller, case: dict[str, Any]) -> None:
    uuid = case["measurement_uuid"]
    fields = {"edge_uuid": call.edge_uuid, "basetime": "1970-01-01T00:00:00Z"}
    assert call("POST", f"/api/v1/measurements/{uuid}", json=fields).status_code == 201
    body = bytes.fromhex(case["body_hex"])
    if case["name"] == "negative_elapsed":
        assert call("POST", "/api/v1/measurements/data", data=body).status_code == 400
        assert call.rows(uuid) == []
        return
    ack = bytes.fromhex(f"aafa0100{case['serial_number'].to_bytes(4, 'little').hex()}")
    assert call.store(body) == ack
    points = sorted(case["data_points"], key=lambda point: point["elapsed_ns"])
    # An end at the last instant of 64 bits is exclusive, so the very last nanosecond cannot be asked for.
    expected = [
        (each["elapsed_ns"], each["data_type"], each["channel"], each["payload_hex"])
        for each in points
        if each["elapsed_ns"] < 2**63 - 1
    ]
    found = [(time_ns + BASETIME_NS, kind, channel, payload.hex()) for time_ns, kind, channel, _, payload in call.rows(uuid)]
    assert found == expected
    state = call.json(f"/api/v1/measurements/{uuid}")
    assert (state["ended"], state["processed_ratio"]) == (case["final"], 1 if case["final"] else 0)
    assert state["duration"] == max((each["elapsed_ns"] for each in points), default=0) // 1000
    assert call.store(body) == ack  # a second store, with the same serial and into a measurement that has ended
    assert len(call.rows(uuid)) == 2 * len(expected)


@pytest.mark.parametrize("case", STORES["iscp"], ids=lambda case: case["name"])
def test_golden_unit_bodies_are_kept_and_read_back(call: Caller, case: dict[str, Any]) -> None:
    uuid = call.create(basetime="1970-01-01T00:00:00Z")
    ack = call.store(bytes.fromhex(case["body_hex"]), f"/api/v1/measurements/{uuid}/data")
    assert ack == bytes.fromhex(f"aafa0100{case['serial_number'].to_bytes(4, 'little').hex()}")
    units = sorted(case["units"], key=lambda unit: unit["elapsed_ns"])
    expected = [
        (each["elapsed_ns"], each["data_type"], each["channel"], each["data_id"] or "basetime", each["payload_hex"])
        for each in units
    ]
    found = [
        (time_ns + BASETIME_NS, kind, channel, name, payload.hex()) for time_ns, kind, channel, name, payload in call.rows(uuid)
    ]
    assert found == expected
    assert call.json(f"/api/v1/measurements/{uuid}")["ended"] is case["final"]


def test_a_stored_base_time_becomes_the_entry_of_its_type_and_is_not_used(call: Caller) -> None:
    uuid = call.create()
    stored = bytes.fromhex("0200e10b5e15cd5b07")  # protocol 6.12: ntp
    manual, unnamed, short = b"\xff" + stored[1:], b"\x07" + stored[1:], stored[:4]
    rows = [(i, 135, 0, "basetime", payload) for i, payload in enumerate([manual, unnamed, short, stored])]
    call.store(body_of(uuid, rows))
    kept = {each["type"]: each["basetime"] for each in call.json(f"/api/v1/measurements/{uuid}/basetimes")["items"]}
    assert kept == {"manual": BASETIME, "ntp": "2020-01-01T00:00:00.123456789Z"}
    assert call.json(f"/api/v1/measurements/{uuid}")["basetime_type"] == "manual"
    assert [row[4] for row in call.rows(uuid, idq="135:0/basetime")] == [manual, unnamed, short, stored]


def test_an_edge_may_store_for_another(call: Caller, second: Caller) -> None:
    uuid = call.create()
    second.store(body_of(uuid, [int_row(3)]))
    assert call.rows(uuid) == [int_row(3)]


@pytest.mark.parametrize("cut", [1, 50, -1])
def test_a_cut_store_body_keeps_nothing(call: Caller, cut: int) -> None:
    uuid = call.create()
    body = body_of(uuid, [int_row(i, i) for i in range(20)])
    answer = call("POST", "/api/v1/measurements/data", data=body[:cut])
    assert answer.status_code == 400
    assert "StoreProto" in answer.json()["error_description"]
    assert call.rows(uuid) == []
    assert call.json(f"/api/v1/measurements/{uuid}")["ended"] is False


def test_a_cut_unit_body_keeps_nothing(call: Caller) -> None:
    body = bytes.fromhex(next(case["body_hex"] for case in STORES["iscp"] if case["name"] == "fifty"))
    uuid = call.create()
    for cut in (1, 30, len(body) - 3):
        assert call("POST", f"/api/v1/measurements/{uuid}/data", data=body[:cut]).status_code == 400
    assert call.rows(uuid) == []


@given(st.one_of(st.binary(max_size=60), st.binary(max_size=40).map(lambda junk: b"\x32" + bytes([len(junk)]) + junk)))
@settings(deadline=None, max_examples=60)
def test_junk_bodies_are_refused_or_name_no_measurement(call: Caller, junk: bytes) -> None:
    assert call("POST", "/api/v1/measurements/data", data=junk).status_code in (400, 404)
    assert call("POST", f"/api/v1/measurements/{UNKNOWN}/data", data=junk).status_code in (400, 404)


def test_a_store_for_no_measurement_is_refused(call: Caller) -> None:
    answer = call("POST", "/api/v1/measurements/data", data=body_of("ffffffff-ffff-ffff-ffff-ffffffffffff", [int_row(0)]))
    assert answer.status_code == 404


def test_a_channel_over_255_is_refused(call: Caller) -> None:
    body = body_of(uuid := call.create(), [int_row(0)])
    assert body.count(b"\x10\x01\x18\x0c") == 1
    wrong = body.replace(b"\x10\x01\x18\x0c", b"\x10\x80\x02\x18\x0c").replace(b"\x32\x10", b"\x32\x11")
    answer = call("POST", "/api/v1/measurements/data", data=wrong)
    assert answer.status_code == 400
    assert "channel 256" in answer.json()["error_description"]
    assert call.rows(uuid) == []


def test_the_data_query_of_the_reference_is_understood(call: Caller) -> None:
    uuid = call.create()
    call.store(body_of(uuid, [can_row(0, 0x14A), int_row(1, data_id="b c/d"), int_row(2, data_id="センサー/速度")]))
    times = "start=2020-01-01T00%3A00%3A00.000000000Z&end=2022-01-01T00%3A00%3A00.000000000Z"
    path = f"//api/v1/data?name={uuid}&{times}&exit_on_error=True"
    for query, count in (
        ("", 3),
        ("&limit=2", 2),
        ("&idq=1%3A%2A%2F%2A", 1),
        ("&idq=12%3A1%2Fb+c%2Fd&idq=1", 2),
        ("&label=nothing", 0),
    ):
        answer = call("GET", path + query)
        assert answer.headers["content-type"] == "application/protobuf"
        assert answer.content.count(b"\x2a\x24" + uuid.encode()) == count
    assert len(call.rows(uuid, idq="*:*/センサー/速度")) == 1


@pytest.mark.parametrize(
    ("query", "status", "said"),
    [
        ({"name": "nobody"}, 404, "'nobody'"),
        ({"start": "yesterday"}, 400, "start"),
        ({"end": None}, 400, "end is missing"),
        ({"limit": "-5"}, 400, "limit"),
        ({"idq": "can:1/x"}, 400, "idq"),
        ({"exit_on_error": "perhaps"}, 400, "exit_on_error"),
    ],
)
def test_a_bad_data_query_is_refused(call: Caller, query: dict[str, Any], status: int, said: str) -> None:
    answer = call("GET", "/api/v1/data", params={"name": "demo"} | EVER | query)
    assert answer.status_code == status
    assert said in answer.json()["error_description"]


def test_a_long_answer_is_the_bytes_that_were_stored(call: Caller) -> None:
    uuid = call.create()
    rows = [can_row(i // 3 * 1000, i % 50) for i in range(150_000)]
    call.store(body_of(uuid, rows[:70_000], final=False))
    call.store(body_of(uuid, rows[70_000:]))
    points = call.points(uuid)
    assert points.time_ns.tolist() == [BASETIME_NS + row[0] for row in rows]
    assert zlib.crc32(points.data.tobytes()) == zlib.crc32(b"".join(row[4] for row in rows))


def test_ids_are_listed(call: Caller, second: Caller) -> None:
    uuid = second.create()
    second.store(body_of(uuid, [can_row(0, 1, channel=2), int_row(2_000_000_000, data_id="late")]))
    can = {"data_type": 1, "channel": 2, "data_id": "00000001"}
    late = {"data_type": 12, "channel": 1, "data_id": "late"}
    assert call.json(f"/api/v1/measurements/{uuid}/getids") == {"items": [can, late]}
    first_second = {"start": BASETIME_NS // 1000, "end": BASETIME_NS // 1000 + 10**6}
    assert call.json("/api/v1/getids", edge_uuid=second.edge_uuid, **first_second) == {"items": [can]}
    assert second.json("/api/v1/getids", **first_second) == {"items": [can]}
    listed = call.json("/api/v1/data_ids", name="second")
    assert listed == {"items": [{"data_type": "1", "data_id": "2/00000001"}, {"data_type": "12", "data_id": "1/late"}]}


@pytest.mark.parametrize(
    ("method", "path", "status"), [("GET", "/api/v1/nothing", 404), ("PATCH", "/api/v1/edges/me", 405), ("GET", "/", 404)]
)
def test_a_call_that_is_not_there_is_said_in_json(call: Caller, method: str, path: str, status: int) -> None:
    answer = call(method, path)
    assert answer.status_code == status
    assert path in answer.json()["error_description"]
