from __future__ import annotations

import uuid
from urllib.parse import parse_qsl

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from intdash_frames.errors import RemoteProtocolError, UsageError
from intdash_frames.model import ConversionSubBytes, Display
from intdash_frames.protocol.call import (
    ABSENT,
    REQUIRED,
    Endpoint,
    Param,
    Request,
    conversion,
    record,
    text,
    texts,
    uuid_text,
)


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


@pytest.mark.parametrize("value", ["none", 5, Display, Display("", 0, 1, "%f")])
def test_what_is_no_conversion_is_refused(value: object) -> None:
    endpoint = Endpoint("POST", "/x", body=(Param("conversion", conversion, REQUIRED),))
    with pytest.raises(UsageError, match=r"^conversion: .* expected one of the Conversion classes$"):
        endpoint.request(conversion=value)


@pytest.mark.parametrize("value", ["text", 5, Display])
def test_what_is_no_record_is_refused(value: object) -> None:
    endpoint = Endpoint("POST", "/x", body=(Param("display", record, REQUIRED),))
    with pytest.raises(UsageError, match=r"^display: .* expected a record such as Display"):
        endpoint.request(display=value)


def test_records_are_written_by_their_fields_and_objects_as_they_are() -> None:
    endpoint = Endpoint("POST", "/x", body=(Param("display", record), Param("conversion", conversion)))
    sent = endpoint.request(display=Display("m", 0, 1, "%f"), conversion=ConversionSubBytes(1, 2)).body
    assert sent == (
        b'{"display":{"unit":"m","min":0,"max":1,"format":"%f"},'
        b'"conversion":{"type":"sub_bytes","options":{"startbyte":1,"bytesize":2}}}'
    )
    assert endpoint.request(display={"unit": "m"}, conversion={"type": "new"}).body == (
        b'{"display":{"unit":"m"},"conversion":{"type":"new"}}'
    )


@pytest.mark.parametrize("body", [b"<html>", b"\xff", 100_000 * b"["])
def test_what_is_no_json_is_the_servers_fault(body: bytes) -> None:
    with pytest.raises(RemoteProtocolError, match="expected JSON"):
        Endpoint("GET", "/x").parse(200, body)


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_an_answer_without_the_record_that_was_asked_for_is_the_servers_fault(method: str) -> None:
    with pytest.raises(RemoteProtocolError, match=f"{method} /x answered 200 without a body, expected JSON"):
        Endpoint(method, "/x", item=Display).parse(200, b"")


def test_a_change_may_be_answered_without_a_body() -> None:
    assert Endpoint("PUT", "/x", item=Display).parse(204, b"") is None
    assert Endpoint("DELETE", "/x").parse(204, b"") is None
