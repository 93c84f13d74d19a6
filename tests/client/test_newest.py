from __future__ import annotations

import gc
from dataclasses import dataclass
from typing import Any

import pytest

from intdash_frames.client import newest
from intdash_frames.errors import UsageError
from intdash_frames.server.app import Server

A, B = "connection of a", "connection of b"


@dataclass(eq=False)
class SomeClient:
    connection: Any


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """No client of another test counts, and none of these stays behind."""
    monkeypatch.setattr(newest, "_newest", [])
    monkeypatch.setattr(newest, "_older", [])
    monkeypatch.delenv("INTDASH_URL", raising=False)
    monkeypatch.delenv("INTDASH_EDGE_TOKEN", raising=False)


def test_the_client_made_last_is_the_newest() -> None:
    assert newest.newest() is None
    for connection in (A, B):
        client = SomeClient(connection)
        newest.remember(client)
        assert newest.newest() is client
        assert newest.newest_connection() is connection


def test_the_newest_client_is_kept_alive() -> None:
    newest.remember(SomeClient(A))
    gc.collect()
    assert newest.newest_connection() is A


def test_when_the_newest_is_closed_the_one_before_takes_its_place() -> None:
    first, second = SomeClient(A), SomeClient(B)
    newest.remember(first)
    newest.remember(second)
    newest.forget(second)
    assert newest.newest() is first
    newest.forget(first)
    assert newest.newest() is None


def test_closing_an_older_client_changes_nothing_but_that_it_never_comes_back() -> None:
    first, second = SomeClient(A), SomeClient(B)
    newest.remember(first)
    newest.remember(second)
    newest.forget(first)
    assert newest.newest() is second
    newest.forget(second)
    newest.forget(second)
    assert newest.newest() is None


def test_an_older_client_that_nobody_holds_is_gone() -> None:
    second = SomeClient(B)
    newest.remember(SomeClient(A))
    newest.remember(second)
    gc.collect()
    newest.forget(second)
    assert newest.newest() is None


def test_without_a_client_the_environment_says_where(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INTDASH_URL", server.url)
    monkeypatch.setenv("INTDASH_EDGE_TOKEN", "token")
    with newest.newest_connection() as made:
        assert made.edges.me().name == "demo"
    assert newest.newest() is None


def test_with_neither_a_client_nor_an_environment_it_is_said_what_is_missing() -> None:
    with pytest.raises(UsageError, match="INTDASH_URL"):
        newest.newest_connection()
