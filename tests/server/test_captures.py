from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from intdash_frames.server.accounts import Accounts
from intdash_frames.server.app import Server, serve
from intdash_frames.server.captures import capture, create_capture, update_capture
from intdash_frames.server.store import Refused, Store
from intdash_frames.timebase import INT64_MAX, INT64_MIN
from tests.server.conftest import BASETIME, BASETIME_NS, Caller
from tests.server.replaying import CASES, replay

PATH = "/api/v1/captures"
UNKNOWN = "00112233-4455-6677-8899-aabbccddeeff"
SECOND_US = 10**6
START_US = 1577836800 * SECOND_US  # 2020-01-01


def make(call: Caller, **fields: Any) -> dict[str, Any]:
    answer = call("POST", PATH, json={"name": "c", "start": "2020-01-01T00:00:00Z"} | fields)
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


def names(call: Caller, **query: Any) -> list[str]:
    query = {"start": START_US - SECOND_US, "end": START_US + 100 * SECOND_US} | query
    return [each["name"] for each in call.json(PATH, **query)["items"]]


class User(Caller):
    """Calls a server as a user who has logged in."""

    def __init__(self, url: str, name: str) -> None:
        super().__init__(url)
        del self.session.headers["X-Edge-Token"]
        token = self("POST", "/api/v1/authn", json={"username": name, "password": "p"}).json()["token"]
        self.session.headers["Authorization"] = f"Bearer {token}"


@pytest.mark.parametrize("name", ["captures_create_defaults", "captures_create_all"])
def test_golden_captures_come_back_as_they_were_made(call: Caller, name: str) -> None:
    made = replay(call, name)
    sent = CASES[name]["json"]
    assert {key: made[key] for key in sent} == sent
    assert made["edge_uuid"] == call.edge_uuid
    assert call.json(f"{PATH}/{made['uuid']}") == made


def test_golden_calls_read_change_list_and_delete_a_capture(call: Caller) -> None:
    uuid = replay(call, "captures_create_all")["uuid"]
    replay(call, "captures_get", uuid)
    assert uuid in [each["uuid"] for each in replay(call, "captures_list")["items"]]
    replay(call, "captures_update", uuid)
    updated = call.json(f"{PATH}/{uuid}")
    sent = CASES["captures_update"]["json"]
    assert {key: updated[key] for key in sent} == sent
    replay(call, "captures_delete", uuid)
    assert call("GET", f"{PATH}/{uuid}").status_code == 404


def test_what_is_not_said_has_its_default(call: Caller) -> None:
    made = make(call, start=BASETIME)
    assert {name: made[name] for name in ("description", "duration", "shared", "start")} == {
        "description": "",
        "duration": 0,
        "shared": True,
        "start": BASETIME,
    }


def test_a_change_keeps_the_rest_and_when_it_was_made(call: Caller) -> None:
    made = make(call, duration=5, shared=False)
    assert call("PUT", f"{PATH}/{made['uuid']}", json={"duration": 7}).status_code == 204
    found = call.json(f"{PATH}/{made['uuid']}")
    assert found["updated_at"] > made["updated_at"]
    assert found == made | {"duration": 7, "updated_at": found["updated_at"]}


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_a_capture_that_is_not_there_is_not_found(call: Caller, method: str) -> None:
    answer = call(method, f"{PATH}/{UNKNOWN}", json={})
    assert answer.status_code == 404
    assert UNKNOWN in answer.json()["error_description"]


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"name": None}, "name is missing"),
        ({"start": None}, "start is missing"),
        ({"start": "2020-01-01T00:00:00"}, "start: '2020-01-01T00:00:00' is not RFC 3339"),
        ({"start": 0}, "start: 0 is not RFC 3339"),
        ({"duration": -1}, "duration is -1 us, expected 0 or more"),
        ({"duration": 1.5}, "duration: 1.5 is float"),
        ({"duration": "1s"}, "duration: '1s' is str"),
        ({"duration": 2**63}, "beyond the year 2262"),
        ({"start": "2262-01-01T00:00:00Z", "duration": 366 * 86400 * SECOND_US}, "beyond the year 2262"),
        ({"shared": "yes"}, "shared: 'yes' is str"),
    ],
)
def test_a_capture_with_bad_fields_is_refused(call: Caller, fields: dict[str, Any], said: str) -> None:
    before = call.json(PATH, start=0, end=2 * START_US)["page"]["total_count"]
    answer = call("POST", PATH, json={"name": "c", "start": "2020-01-01T00:00:00Z"} | fields)
    assert answer.status_code == 400
    assert said in answer.json()["error_description"]
    assert call.json(PATH, start=0, end=2 * START_US)["page"]["total_count"] == before


def test_a_refused_change_changes_nothing(call: Caller) -> None:
    made = make(call, start="2262-01-01T00:00:00Z")
    refusal = call("PUT", f"{PATH}/{made['uuid']}", json={"name": "new", "duration": 366 * 86400 * SECOND_US})
    assert refusal.status_code == 400
    assert call.json(f"{PATH}/{made['uuid']}") == made


@pytest.mark.parametrize("missing", ["start", "end"])
def test_a_list_needs_a_range(call: Caller, missing: str) -> None:
    query = {"start": "0", "end": "1"}
    del query[missing]
    answer = call("GET", PATH, params=query)
    assert answer.status_code == 400
    assert f"{missing} is missing" in answer.json()["error_description"]


class TestLists:
    """Captures from 0 to 1 s, from 2 to 5 s, and at 7 s, of devices and of two users."""

    @pytest.fixture(scope="class")
    @staticmethod
    def running() -> Iterator[Server]:
        with serve(edges={"demo": "token", "second": "other"}, users={"anna": "p", "bert": "p"}) as running:
            yield running

    @pytest.fixture(scope="class")
    @staticmethod
    def listed(running: Server) -> Iterator[Caller]:
        caller, other = Caller(running.url), Caller(running.url, "other")
        make(caller, name="run b", duration=SECOND_US, description="z")
        make(other, name="run a", start="2020-01-01T00:00:02Z", duration=3 * SECOND_US)
        make(caller, name="other", start="2020-01-01T00:00:07Z", shared=False)
        for name in ("anna", "bert"):
            user = User(running.url, name)
            make(user, name=f"of {name}")
            user.session.close()
        other.session.close()
        yield caller
        caller.session.close()

    @pytest.mark.parametrize(
        ("query", "expected"),
        [
            ({}, ["other", "run a", "run b"]),
            ({"order": "desc"}, ["run b", "run a", "other"]),
            ({"sort": "start"}, ["run b", "run a", "other"]),
            ({"sort": "duration", "order": "desc"}, ["run a", "run b", "other"]),
            ({"sort": "description", "order": "desc", "limit": 1}, ["run b"]),
            ({"sort": "created_at"}, ["run b", "run a", "other"]),
            ({"name": "run"}, ["run a", "run b"]),
            ({"name": "un"}, []),
            ({"name": '"run a"'}, ["run a"]),
            ({"limit": 2, "page": 2}, ["run b"]),
            ({"start": START_US + SECOND_US}, ["other", "run a", "run b"]),
            ({"start": START_US + SECOND_US + 1}, ["other", "run a"]),
            ({"end": START_US + 2 * SECOND_US}, ["run b"]),
            ({"end": START_US + 2 * SECOND_US + 1}, ["run a", "run b"]),
            ({"start": START_US + 3 * SECOND_US, "end": START_US + 4 * SECOND_US}, ["run a"]),
            ({"start": START_US + 7 * SECOND_US, "end": START_US + 7 * SECOND_US + 1}, ["other"]),
            ({"start": START_US + 7 * SECOND_US + 1}, []),
            ({"start": "2020-01-01T00:00:03Z", "end": "2020-01-01T00:00:04Z"}, ["run a"]),
        ],
    )
    def test_captures_of_devices_are_filtered_and_sorted(
        self, listed: Caller, query: dict[str, Any], expected: list[str]
    ) -> None:
        assert names(listed, **query) == expected

    def test_a_user_sees_and_changes_its_own_and_those_of_devices_only(self, running: Server, listed: Caller) -> None:
        anna, bert = User(running.url, "anna"), User(running.url, "bert")
        assert names(anna) == ["of anna", "other", "run a", "run b"]
        assert names(bert, name="of") == ["of bert"]
        (own,) = bert.json(PATH, start=0, end=2 * START_US, name="of")["items"]
        assert bert.json(f"{PATH}/{own['uuid']}") == own
        for other in (anna, listed):
            for method in ("GET", "PUT", "DELETE"):
                assert other(method, f"{PATH}/{own['uuid']}", json={"name": "mine"}).status_code == 404
        assert bert.json(f"{PATH}/{own['uuid']}") == own
        for user in (anna, bert):
            user.session.close()

    def test_following_the_links_gives_every_capture_once(self, listed: Caller) -> None:
        path, found, pages = f"{PATH}?start={START_US}&end={2 * START_US}&sort=start&limit=2", [], []
        while path:
            answer = listed.json(path)
            found += [each["name"] for each in answer["items"]]
            pages.append(answer["page"])
            path = answer["page"]["next"]
        assert found == ["run b", "run a", "other"]
        assert [(page["first"], page["last"], page["total_count"]) for page in pages] == [(True, False, 3), (False, True, 3)]
        assert [each["name"] for each in listed.json(pages[1]["previous"])["items"]] == ["run b", "run a"]


def test_captures_survive_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "data.duckdb"
    with serve(path) as running:
        caller = Caller(running.url)
        made = make(caller, duration=1, description="d", shared=False)
        caller.session.close()
    with serve(path) as running:
        caller = Caller(running.url)
        assert caller.json(PATH, start=0, end=2 * START_US)["items"] == [made]
        caller.session.close()


@pytest.fixture(scope="module")
def store() -> Iterator[Store]:
    store = Store()
    Accounts(store, {}, {})
    yield store
    store.close()


@given(start_ns=st.integers(INT64_MIN + 1, INT64_MAX), duration_us=st.integers(-(2**70), 2**70))
@settings(deadline=None, max_examples=60)
def test_any_stretch_is_kept_to_the_nanosecond_or_refused(store: Store, start_ns: int, duration_us: int) -> None:
    fields = {"name": "c", "description": "", "start": start_ns, "duration": duration_us * 1000, "shared": True}
    fits = duration_us >= 0 and start_ns + duration_us * 1000 <= INT64_MAX
    if not fits:
        with pytest.raises(Refused, match="duration") as refusal:
            create_capture(store, "me", fields)
        assert refusal.value.status == 400
        return
    uuid = create_capture(store, "me", fields)
    with store.read() as cursor:
        found = capture(cursor, uuid, "me")
    assert found.start is not None
    assert (found.start.value, found.duration.value) == (start_ns, duration_us * 1000)


def test_moving_the_start_is_checked_against_the_duration_that_stays(store: Store) -> None:
    fields = {"name": "c", "description": "", "start": BASETIME_NS, "duration": 10**9, "shared": True}
    uuid = create_capture(store, "me", fields)
    with pytest.raises(Refused, match="beyond the year 2262"):
        update_capture(store, uuid, "me", {"start": INT64_MAX - 10**9 + 1})
    update_capture(store, uuid, "me", {"start": INT64_MAX - 10**9})
