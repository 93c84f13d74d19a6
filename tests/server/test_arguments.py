from __future__ import annotations

import json
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.datastructures import QueryParams

from intdash_frames.protocol import endpoints
from intdash_frames.protocol.call import Endpoint
from intdash_frames.server.arguments import exact_keys, finite, read_fields, read_query, texts_only
from intdash_frames.server.store import Refused

NS = st.integers(-(2**63), 2**63 - 1)


@given(
    name=st.text(min_size=1),
    start=NS,
    end=NS,
    limit=st.integers(0, 10**12),
    label=st.lists(st.text()),
    idq=st.lists(st.text()),
    exit_on_error=st.booleans(),
)
def test_a_data_query_is_read_as_it_was_written(**arguments: object) -> None:
    request = endpoints.DATA_LIST.request(**arguments)
    read = read_query(endpoints.DATA_LIST.query, QueryParams(urlencode(request.query)))
    assert read == {
        name: value for name, value in arguments.items() if value not in (0, []) or name not in ("limit", "label", "idq")
    }


@given(start=NS, partial_match=st.booleans(), ended=st.booleans(), limit=st.integers(0, 10**9))
def test_a_list_query_is_read_to_the_microsecond(start: int, partial_match: bool, ended: bool, limit: int) -> None:
    request = endpoints.MEASUREMENTS_LIST.request(start=start, partial_match=partial_match, ended=ended, limit=limit)
    read = read_query(endpoints.MEASUREMENTS_LIST.query, QueryParams(urlencode(request.query)))
    assert read == {
        "sort": "name",
        "order": "asc",
        "limit": limit,
        "page": 1,
        "partial_match": partial_match,
        "start": start // 1000 * 1000,
        "ended": ended,
    }


@given(name=st.text(), basetime=st.integers(-(2**63) + 1, 2**63 - 1), protected=st.booleans())
def test_json_fields_are_read_as_they_were_written(name: str, basetime: int, protected: bool) -> None:
    edge_uuid = "2265b1f5-91b7-d8f1-cd61-1027c386bbc4"
    call: Endpoint = endpoints.MEASUREMENTS_CREATE
    request = call.request(name=name, basetime=basetime, protected=protected, edge_uuid=edge_uuid)
    assert request.body is not None
    read = read_fields(call.body or (), request.body)
    assert read == {
        "name": name,
        "edge_uuid": edge_uuid,
        "description": "",
        "basetime_type": "manual",
        "basetime": basetime,
        "protected": protected,
    }


@given(start=st.integers(-(2**63) + 1, 2**63 - 1), duration=st.integers(0, 2**70))
def test_durations_are_read_to_the_microsecond(start: int, duration: int) -> None:
    request = endpoints.CAPTURES_CREATE.request(name="c", start=start, duration=duration)
    read = read_fields(endpoints.CAPTURES_CREATE.body or (), request.body or b"")
    assert read == {"name": "c", "description": "", "start": start, "duration": duration // 1000 * 1000, "shared": True}


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b'{"name": "c", "start": "1677-09-21T00:12:43.145224192Z"}', "stands for no time"),
        (b'{"name": "c", "start": "2020-01-01T00:00:00Z", "duration": true}', "duration: True is bool"),
        (b'{"name": "\\ud800", "start": "2020-01-01T00:00:00Z"}', "not JSON"),
        (b'{"name": "c", "colour": NaN}', "NaN is no JSON number"),
        (b"[" * 100_000, "not JSON"),
    ],
)
def test_what_could_not_be_kept_is_refused(body: bytes, said: str) -> None:
    with pytest.raises(Refused, match=said) as refusal:
        read_fields(endpoints.CAPTURES_CREATE.body or (), body)
    assert refusal.value.status == 400


@pytest.mark.parametrize("value", [5, "text", [1], True])
def test_where_an_object_belongs_nothing_else_is_read(value: object) -> None:
    with pytest.raises(Refused, match=r"detail: .* expected a JSON object"):
        read_fields(endpoints.MARKERS_CREATE.body or (), json.dumps({"type": "point", "detail": value}).encode())


@given(st.dictionaries(st.sampled_from("abc"), st.integers()))
def test_only_an_object_of_exactly_the_expected_keys_passes(value: dict[str, int]) -> None:
    if set(value) == {"a", "b"}:
        exact_keys("x", value, ("a", "b"))
        return
    with pytest.raises(Refused, match=r"x: .*; expected a, b") as refusal:
        exact_keys("x", value, ("a", "b"))
    assert refusal.value.status == 400


@pytest.mark.parametrize("value", [1, None, ["b"], {"c": "d"}])
def test_a_value_that_is_no_text_is_named(value: object) -> None:
    texts_only("tag", {"a": "b"})
    with pytest.raises(Refused, match=r"tag: k is .*, expected text"):
        texts_only("tag", {"a": "b", "k": value})


@pytest.mark.parametrize("value", ["1", None, True, float("nan"), float("inf"), -(10**400)])
def test_a_value_that_is_no_finite_number_is_named(value: object) -> None:
    finite("display", {"a": -1, "b": 1.5e308})
    with pytest.raises(Refused, match=r"display: k is .*, expected a finite number"):
        finite("display", {"k": value})


@given(st.binary())
def test_any_body_gives_fields_or_a_refusal(body: bytes) -> None:
    with pytest.raises(Refused) as refusal:
        read_fields(endpoints.AUTHN.body or (), body)
    assert refusal.value.status == 400


@pytest.mark.parametrize("text", ["True", "true", "TRUE"])
def test_both_spellings_of_booleans_are_read(text: str) -> None:
    assert read_query(endpoints.EDGES_LIST.query, QueryParams({"disabled": text}))["disabled"] is True


def test_parameters_that_newer_clients_send_are_ignored() -> None:
    read_query(endpoints.EDGES_LIST.query, QueryParams("since=5&order=asc&colour=red"))
