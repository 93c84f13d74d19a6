from __future__ import annotations

import re

import pytest

from intdash_frames.server.rest import HANDLERS
from intdash_frames.server.routing import ROUTES, match

UUID = "414c343c-1e2f-7ed4-c2ce-78e57311d8a3"


@pytest.mark.parametrize(("endpoint", "handler"), HANDLERS)
def test_every_call_finds_its_handler_and_what_the_path_says(endpoint: object, handler: object) -> None:
    path = re.sub(r"\{[^}]*\}", UUID, endpoint.path)  # type: ignore[attr-defined]
    found = match(endpoint.method, path)  # type: ignore[attr-defined]
    assert found is not None
    assert found.handler is handler
    assert set(found.path.values()) <= {UUID}
    assert len(found.path) == endpoint.path.count("{")  # type: ignore[attr-defined]


def test_a_fixed_word_is_no_placeholder() -> None:
    found = match("POST", "/api/v1/measurements/data")
    assert found is not None
    assert found.path == {}


@pytest.mark.parametrize(("method", "path"), [("GET", "/api/v1/nothing"), ("PATCH", "/api/v1/edges"), ("GET", "/"), ("GET", "")])
def test_what_is_no_call_has_no_handler(method: str, path: str) -> None:
    assert match(method, path) is None


def test_no_handler_is_left_out() -> None:
    assert sorted(map(repr, ROUTES)) == sorted(map(repr, HANDLERS))
