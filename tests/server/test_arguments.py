from __future__ import annotations

from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.datastructures import QueryParams

from intdash_frames.protocol import endpoints
from intdash_frames.protocol.call import Endpoint
from intdash_frames.server.arguments import read_fields, read_query
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


@given(name=st.text(), basetime=NS, protected=st.booleans())
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
