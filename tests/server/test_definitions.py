from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from intdash_frames.model import dump
from intdash_frames.server.app import serve
from intdash_frames.server.definitions import create_signal, delete_signal, signal, signals_with_labels, update_signal
from intdash_frames.server.store import Refused, Store
from tests.server.conftest import Caller
from tests.server.replaying import CASES, replay

PATH = "/api/v1/signals"
UNKNOWN = "00112233-4455-6677-8899-aabbccddeeff"
FIXED_POINT = {
    "type": "num_fixed_point",
    "options": {"startbit": 0, "bitsize": 32, "endian": "little", "sign": "signed", "scale": 1e-06, "offset": 0},
}
DEFINITION: dict[str, Any] = {
    "label": "speed",
    "description": "of the car",
    "data_type": 1,
    "data_id": "0000014A",
    "channel": 1,
    "conversion": FIXED_POINT,
    "display": {"unit": "km/h", "min": 0, "max": 99.5, "format": "%.1f"},
}


@pytest.fixture
def clean(call: Caller) -> Iterator[Caller]:
    """A server without signals, before and after."""
    yield call
    for each in call.json(PATH)["items"]:
        assert call("DELETE", f"{PATH}/{each['uuid']}").status_code == 204


def define(call: Caller, **fields: Any) -> dict[str, Any]:
    answer = call("POST", PATH, json=DEFINITION | fields)
    assert answer.status_code == 200, answer.text
    made: dict[str, Any] = answer.json()
    return made


def changed(path: str, value: Any) -> dict[str, Any]:
    """The definition with one value of it set, or taken away if `value` is ``...``."""
    definition = copy.deepcopy(DEFINITION)
    *way, last = path.split(".")
    place = definition
    for key in way:
        place = place[key]
    if value is ...:
        del place[last]
    else:
        place[last] = value
    return definition


@pytest.mark.parametrize("name", [name for name in CASES if name.startswith("signals_create")])
def test_golden_definitions_come_back_as_they_were_made(clean: Caller, name: str) -> None:
    made = replay(clean, name)
    sent = CASES[name]["json"]
    assert {key: made[key] for key in sent} == sent
    assert clean.json(f"{PATH}/{made['uuid']}") == made


def test_golden_calls_read_change_list_and_delete_a_signal(clean: Caller) -> None:
    uuid = replay(clean, "signals_create_sub_string")["uuid"]
    replay(clean, "signals_get", uuid)
    assert [each["uuid"] for each in replay(clean, "signals_list_defaults")["items"]] == [uuid]
    replay(clean, "signals_update", uuid)
    updated = clean.json(f"{PATH}/{uuid}")
    sent = CASES["signals_update"]["json"]
    assert {key: updated[key] for key in sent} == sent
    replay(clean, "signals_update_label", uuid)
    assert clean.json(f"{PATH}/{uuid}")["label"] == "a"
    replay(clean, "signals_delete", uuid)
    assert clean("GET", f"{PATH}/{uuid}").status_code == 404


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_a_signal_that_is_not_there_is_not_found(call: Caller, method: str) -> None:
    answer = call(method, f"{PATH}/{UNKNOWN}", json={})
    assert answer.status_code == 404
    assert UNKNOWN in answer.json()["error_description"]


def test_a_label_is_that_of_one_signal(clean: Caller) -> None:
    first, second = define(clean), define(clean, label="other")
    for method, path, fields in (("POST", PATH, DEFINITION), ("PUT", f"{PATH}/{second['uuid']}", {"label": "speed"})):
        refusal = clean(method, path, json=fields)
        assert refusal.status_code == 409
        assert first["uuid"] in refusal.json()["error_description"]
    assert clean("PUT", f"{PATH}/{first['uuid']}", json={"label": "speed", "channel": 2}).status_code == 204
    assert clean.json(f"{PATH}/{second['uuid']}") == second


def test_a_newer_client_may_choose_the_uuid_once(clean: Caller) -> None:
    assert define(clean, uuid=UNKNOWN.upper())["uuid"] == UNKNOWN
    assert clean("POST", PATH, json=DEFINITION | {"uuid": UNKNOWN, "label": "other"}).status_code == 409
    assert clean("POST", PATH, json=DEFINITION | {"uuid": "mine", "label": "other"}).status_code == 400


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("label", ..., "label is missing"),
        ("label", "", "label has 0 bytes"),
        ("label", "x" * 256, "label has 256 bytes"),
        ("label", "\ud800", "surrogate"),
        ("data_type", 256, "data_type: 256 is outside"),
        ("data_type", 99, "data_type is 99; expected one of 1, 2"),
        ("data_type", 17, "data_type is 17"),
        ("data_type", True, "data_type: True"),
        ("channel", -1, "channel: -1"),
        ("channel", "1", "channel: '1'"),
        ("conversion", [], "conversion: []"),
        ("conversion.type", "magic", "conversion: type is 'magic'; expected one of none, json"),
        ("conversion.type", {}, "conversion: type is {}"),
        ("conversion.type", "none", "conversion.options: 'startbit' is not known; expected no keys"),
        ("conversion.options", None, "conversion.options is None"),
        ("conversion.options", ..., "conversion: options is missing"),
        ("conversion.more", 1, "conversion: 'more' is not known"),
        ("conversion.options.scale", ..., "conversion.options: scale is missing; expected startbit, bitsize"),
        ("conversion.options.startbit", -1, "startbit is -1"),
        ("conversion.options.startbit", 1.5, "startbit is 1.5"),
        ("conversion.options.bitsize", 65, "bitsize is 65; expected 1 to 64"),
        ("conversion.options.bitsize", 0, "bitsize is 0"),
        ("conversion.options.endian", "middle", "endian is 'middle'; expected 'little' or 'big'"),
        ("conversion.options.sign", "none", "sign is 'none'"),
        ("conversion.options.scale", "1", "scale is '1'"),
        ("conversion.options.offset", float("inf"), "Infinity is no JSON number"),
        (
            "conversion",
            {"type": "num_floating_point", "options": {"startbyte": 0, "endian": "big", "precision": 16}},
            "precision",
        ),
        ("conversion", {"type": "csv", "options": {"delimiters": ",", "index": 0, "value_type": "num"}}, "delimiters"),
        ("conversion", {"type": "csv", "options": {"delimiters": [","], "index": -1, "value_type": "num"}}, "index is -1"),
        ("conversion", {"type": "json", "options": {"fieldpath": "a", "value_type": "int"}}, "value_type is 'int'"),
        ("conversion", {"type": "sub_bytes", "options": {"startbyte": 0, "bytesize": "2"}}, "bytesize is '2'"),
        ("display", None, "display is missing"),
        ("display.unit", 1, "display: unit is 1, expected text"),
        ("display.min", "0", "display: min is '0', expected a finite number"),
        ("display.max", 10**400, "display: max is 1000"),
        ("display.max", False, "display: max is False"),
        ("display.format", ..., "display: format is missing"),
        ("display.colour", "red", "display: 'colour' is not known"),
    ],
)
def test_a_definition_that_the_protocol_does_not_know_is_refused(clean: Caller, path: str, value: Any, said: str) -> None:
    body = json.dumps(changed(path, value))
    answer = clean("POST", PATH, data=body)
    assert answer.status_code == 400
    assert said in answer.json()["error_description"]
    assert clean.json(PATH)["page"]["total_count"] == 0


def test_a_refused_change_changes_nothing(clean: Caller) -> None:
    made = define(clean)
    assert clean("PUT", f"{PATH}/{made['uuid']}", json={"label": "new", "conversion": {"type": "none"}}).status_code == 400
    assert clean.json(f"{PATH}/{made['uuid']}") == made


def test_a_change_keeps_the_rest_and_when_it_was_made(clean: Caller) -> None:
    made = define(clean)
    assert clean("PUT", f"{PATH}/{made['uuid']}", json={"channel": 7}).status_code == 204
    found = clean.json(f"{PATH}/{made['uuid']}")
    assert found["updated_at"] > made["updated_at"]
    assert found == made | {name: found[name] for name in ("updated_at", "hash")} | {"channel": 7}


class TestLists:
    @pytest.fixture(scope="class")
    @staticmethod
    def listed() -> Iterator[Caller]:
        with serve() as running:
            caller = Caller(running.url)
            for channel, label in enumerate(["sp_ACCY", "sp_ACCX", "other", '"quoted"', "sp"]):
                define(caller, label=label, channel=channel, description="z" * channel)
            yield caller
            caller.session.close()

    @pytest.mark.parametrize(
        ("query", "labels"),
        [
            ({}, ['"quoted"', "other", "sp", "sp_ACCX", "sp_ACCY"]),
            ({"label": "sp"}, ["sp", "sp_ACCX", "sp_ACCY"]),
            ({"label": '"sp"'}, ["sp"]),
            ({"label": '""quoted""'}, ['"quoted"']),
            ({"label": "ACC"}, []),
            ({"label": "SP"}, []),
            ({"label": "sp_%"}, []),
            ({"label": ['"sp"', "oth"]}, ["other", "sp"]),
            ({"label": ""}, ['"quoted"', "other", "sp", "sp_ACCX", "sp_ACCY"]),
            ({"label": "sp_", "order": "desc"}, ["sp_ACCY", "sp_ACCX"]),
            ({"sort": "channel", "limit": 2, "page": 2}, ["other", '"quoted"']),
            ({"sort": "created_at", "order": "desc", "limit": 1}, ["sp"]),
            ({"sort": "updated_at", "label": "sp", "limit": 2}, ["sp_ACCY", "sp_ACCX"]),
            ({"sort": "description", "order": "desc", "limit": 1}, ["sp"]),
            ({"limit": 0, "page": 2}, []),
        ],
    )
    def test_signals_are_filtered_sorted_and_cut(self, listed: Caller, query: dict[str, Any], labels: list[str]) -> None:
        assert [each["label"] for each in listed.json(PATH, **query)["items"]] == labels

    def test_following_the_links_gives_every_signal_once(self, listed: Caller) -> None:
        path, labels, pages = f"{PATH}?label=sp&label=other&limit=3", [], []
        while path:
            answer = listed.json(path)
            labels += [each["label"] for each in answer["items"]]
            pages.append(answer["page"])
            path = answer["page"]["next"]
        assert labels == ["other", "sp", "sp_ACCX", "sp_ACCY"]
        assert [(page["first"], page["last"], page["total_count"]) for page in pages] == [(True, False, 4), (False, True, 4)]

    def test_a_golden_page_beyond_the_end_is_empty(self, listed: Caller) -> None:
        answer = replay(listed, "signals_list_all")
        assert (answer["items"], answer["page"]["total_count"], answer["page"]["last"]) == ([], 3, True)

    def test_an_unknown_sort_is_refused_by_name(self, listed: Caller) -> None:
        answer = listed("GET", PATH, params={"sort": "colour"})
        assert answer.status_code == 400
        assert "sort 'colour': expected one of label" in answer.json()["error_description"]


def test_signals_survive_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "data.duckdb"
    with serve(path) as running:
        caller = Caller(running.url)
        made = define(caller)
        caller.session.close()
    with serve(path) as running:
        caller = Caller(running.url)
        assert caller.json(PATH)["items"] == [made]
        caller.session.close()


@pytest.fixture(scope="module")
def store() -> Iterator[Store]:
    store = Store()
    yield store
    store.close()


def test_labels_find_their_signals_once_in_the_order_asked_for(store: Store) -> None:
    made = [create_signal(store, **DEFINITION | {"label": label}) for label in ("a", "A", "ab", '"a"', "it's")]
    with store.read() as cursor:
        for labels, found in (
            (["ab", "a"], ["ab", "a"]),
            (["it's", "nothing", '"a"', "it's"], ["it's", '"a"']),
            (["%", "", "A"], ["A"]),
            ([], []),
        ):
            assert [each.label for each in signals_with_labels(cursor, labels)] == found
    for uuid in made:
        delete_signal(store, uuid)


WHOLE = st.integers(0, 2**70)
NUMBERS = st.integers(-(2**80), 2**80) | st.floats(allow_nan=False, allow_infinity=False)
ENDIAN, VALUE_TYPE = st.sampled_from(["little", "big"]), st.sampled_from(["str", "num"])
TEXT = st.text(st.characters(exclude_categories=["Cs"]))
OPTIONS: dict[str, dict[str, st.SearchStrategy[Any]]] = {
    "none": {},
    "num_fixed_point": {
        "startbit": WHOLE,
        "bitsize": st.integers(1, 64),
        "endian": ENDIAN,
        "sign": st.sampled_from(["signed", "unsigned"]),
        "scale": NUMBERS,
        "offset": NUMBERS,
    },
    "num_floating_point": {"startbyte": WHOLE, "endian": ENDIAN, "precision": st.sampled_from([32, 64])},
    "csv": {"delimiters": st.lists(TEXT.filter(len)), "index": WHOLE, "value_type": VALUE_TYPE},
    "json": {"fieldpath": TEXT, "value_type": VALUE_TYPE},
    "sub_bytes": {"startbyte": WHOLE, "bytesize": WHOLE},
    "sub_string": {"startbyte": WHOLE, "bytesize": WHOLE},
}
DEFINITIONS = st.fixed_dictionaries(
    {
        "label": TEXT.filter(lambda label: 0 < len(label.encode()) <= 255),
        "description": TEXT,
        "data_type": st.sampled_from([1, 2, 3, 10, 135]),
        "data_id": TEXT,
        "channel": st.integers(0, 255),
        "conversion": st.one_of(
            st.fixed_dictionaries({"type": st.just(kind), "options": st.fixed_dictionaries(options)})
            for kind, options in OPTIONS.items()
        ),
        "display": st.fixed_dictionaries({"unit": TEXT, "min": NUMBERS, "max": NUMBERS, "format": TEXT}),
    }
)


def kept(store: Store, definition: dict[str, Any]) -> dict[str, Any]:
    """What the store makes of a definition."""
    uuid = create_signal(store, **definition)
    with store.read() as cursor:
        found = dump(signal(cursor, uuid))
    delete_signal(store, uuid)
    return found


def as_floats(value: Any) -> Any:
    """Every number that a float holds exactly as one."""
    if isinstance(value, dict):
        return {name: as_floats(value[name]) for name in reversed(list(value))}
    return float(value) if isinstance(value, int) and abs(value) < 2**53 else value


@given(DEFINITIONS)
@settings(deadline=None, max_examples=60)
def test_any_definition_of_the_protocol_comes_back_as_it_was_made(store: Store, definition: dict[str, Any]) -> None:
    found = kept(store, definition)
    assert {name: found[name] for name in definition} == definition
    # 1 stays 1, and 1.0 stays 1.0
    assert json.dumps(found["display"], sort_keys=True) == json.dumps(definition["display"], sort_keys=True)


@given(DEFINITIONS, TEXT)
@settings(deadline=None, max_examples=30)
def test_the_same_definition_said_in_other_words_has_the_same_hash(store: Store, definition: dict[str, Any], said: str) -> None:
    display = as_floats(definition["display"])
    first, second = kept(store, definition), kept(store, definition | {"description": said, "display": display})
    assert first["hash"] == second["hash"]
    assert first["uuid"] != second["uuid"]


def test_the_hash_is_over_one_text_whatever_server_makes_it(store: Store) -> None:
    text = (
        '{"channel":1,"conversion":{"options":{"bitsize":32,"endian":"little","offset":0,"scale":1e-06,"sign":"signed","startbit":0},'
        '"type":"num_fixed_point"},"data_id":"0000014A","data_type":1,'
        '"display":{"format":"%.1f","max":99.5,"min":0,"unit":"km/h"},"label":"speed"}'
    )
    assert kept(store, DEFINITION)["hash"] == "sha256:" + hashlib.sha256(text.encode()).hexdigest()


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("label", "Speed"),
        ("data_type", 127),
        ("data_id", "0000014b"),
        ("channel", 2),
        ("conversion.options.scale", 1.1e-06),
        ("conversion", {"type": "none", "options": {}}),
        ("display.unit", "m/s"),
    ],
)
def test_another_definition_has_another_hash_also_after_a_change(store: Store, path: str, value: Any) -> None:
    definition = changed(path, value)
    hash_of_other = kept(store, definition)["hash"]
    uuid = create_signal(store, **DEFINITION)
    with store.read() as cursor:
        assert signal(cursor, uuid).hash != hash_of_other
    update_signal(store, uuid, {path.partition(".")[0]: definition[path.partition(".")[0]]})
    with store.read() as cursor:
        assert signal(cursor, uuid).hash == hash_of_other
    delete_signal(store, uuid)


def test_a_definition_is_refused_before_the_store_is_touched(store: Store) -> None:
    with pytest.raises(Refused, match="bitsize is 65"):
        create_signal(store, **changed("conversion.options.bitsize", 65))
    with store.read() as cursor:
        assert signals_with_labels(cursor, ["speed"]) == []
