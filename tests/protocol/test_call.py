from __future__ import annotations

import uuid
from urllib.parse import parse_qsl

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from intdash_frames.errors import UsageError
from intdash_frames.protocol.call import ABSENT, REQUIRED, Endpoint, Param, Request, text, texts, uuid_text


@given(st.uuids())
@settings(deadline=None, max_examples=30)
def test_every_uuid_is_taken_in_any_spelling(value: uuid.UUID) -> None:
    assert uuid_text(value) == uuid_text(str(value)) == uuid_text(str(value).upper()) == str(value)


@given(st.text(alphabet="0123456789abcdef-", max_size=40).filter(lambda value: len(value) != 36))
@settings(deadline=None, max_examples=50)
def test_what_is_almost_a_uuid_is_refused(value: str) -> None:
    with pytest.raises(UsageError, match="is no UUID"):
        uuid_text(value)


@given(st.lists(st.text()), st.text())
@settings(deadline=None)
def test_any_text_survives_the_query(values: list[str], name: str) -> None:
    endpoint = Endpoint("GET", "/x", query=(Param("name", text, REQUIRED), Param("label", texts)))
    sent = endpoint.request(name=name, label=values).target.partition("?")[2]
    assert parse_qsl(sent, keep_blank_values=True) == [("name", name), *(("label", value) for value in values)]


def test_a_default_is_sent_and_an_absent_argument_is_not() -> None:
    endpoint = Endpoint("GET", "/x", query=(Param("sort", text, "name"), Param("name", text, ABSENT)))
    assert endpoint.request().target == "/x?sort=name"
    assert endpoint.request(name=None, sort="x").target == "/x?sort=x"


@pytest.mark.parametrize(("method", "idempotent"), [("GET", True), ("PUT", True), ("DELETE", True), ("POST", False)])
def test_everything_but_a_post_may_be_sent_twice(method: str, idempotent: bool) -> None:
    assert Endpoint(method, "/x").request().idempotent is idempotent


def test_the_name_of_a_call_holds_no_query() -> None:
    assert Request("GET", "/x?token=1", (("name", "secret"),)).endpoint == "GET /x"


def test_an_error_names_the_argument() -> None:
    endpoint = Endpoint("GET", "/x", query=(Param("name", text),))
    with pytest.raises(UsageError, match=r"^name: 5 is int, expected text$"):
        endpoint.request(name=5)
