from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.datastructures import Headers

from intdash_frames.errors import UsageError
from intdash_frames.server.accounts import Accounts
from intdash_frames.server.store import Refused, Store


@pytest.fixture
def store() -> Iterator[Store]:
    store = Store()
    yield store
    store.close()


def caller(accounts: Accounts, **headers: str) -> str:
    return accounts.caller(Headers({name.replace("_", "-"): value for name, value in headers.items()}))


def name_of(store: Store, edge_uuid: str) -> str:
    with store.read() as cursor:
        return str(cursor.execute("SELECT name FROM edges WHERE uuid = ?", [edge_uuid]).fetchall()[0][0])


def test_a_token_names_its_edge(store: Store) -> None:
    accounts = Accounts(store, {"one": "1", "two": "2"}, {})
    assert name_of(store, caller(accounts, X_Edge_Token="2")) == "two"


def test_a_login_names_its_user_and_is_noted(store: Store) -> None:
    accounts = Accounts(store, {}, {"anna": "pass word"})
    token = accounts.login("anna", "pass word")
    edge_uuid = caller(accounts, Authorization=f"bearer {token}")
    assert name_of(store, edge_uuid) == "anna"
    with store.read() as cursor:
        assert cursor.execute("SELECT type, last_login_ns > created_ns FROM edges").fetchall() == [("user", True)]


def test_the_edge_token_decides_over_a_login(store: Store) -> None:
    accounts = Accounts(store, {"one": "1"}, {"anna": "p"})
    bearer = f"Bearer {accounts.login('anna', 'p')}"
    assert name_of(store, caller(accounts, Authorization=bearer, X_Edge_Token="1")) == "one"
    with pytest.raises(Refused) as refusal:
        caller(accounts, Authorization=bearer, X_Edge_Token="wrong")
    assert refusal.value.status == 401


@pytest.mark.parametrize("name", ["anna", "bert"])
def test_a_wrong_login_is_refused_in_the_same_words(store: Store, name: str) -> None:
    accounts = Accounts(store, {}, {"anna": "p"})
    with pytest.raises(Refused, match="wrong username or password") as refusal:
        accounts.login(name, "wrong")
    assert refusal.value.status == 401


@pytest.mark.parametrize("scheme", ["", "Basic abc", "Bearer", "Bearer x.y.z", "Bearer é", "Bearer ..", "Bearer a"])
def test_an_authorization_that_is_not_ours_is_refused(store: Store, scheme: str) -> None:
    with pytest.raises(Refused) as refusal:
        caller(Accounts(store, {"one": "1"}, {}), Authorization=scheme)
    assert refusal.value.status == 401


def test_a_login_with_changed_claims_is_refused(store: Store) -> None:
    accounts = Accounts(store, {"one": "1"}, {"anna": "p"})
    header, claims, signature = accounts.login("anna", "p").split(".")
    other = json.loads(base64.urlsafe_b64decode(claims + "==")) | {"exp": 2**40}
    forged = base64.urlsafe_b64encode(json.dumps(other).encode()).rstrip(b"=").decode()
    with pytest.raises(Refused, match="not signed"):
        caller(accounts, Authorization=f"Bearer {header}.{forged}.{signature}")


def test_a_login_of_another_database_is_refused(store: Store) -> None:
    elsewhere = Store()
    token = Accounts(elsewhere, {}, {"anna": "p"}).login("anna", "p")
    elsewhere.close()
    with pytest.raises(Refused, match="not signed"):
        caller(Accounts(store, {}, {"anna": "p"}), Authorization=f"Bearer {token}")


def test_a_login_outlives_a_restart_and_a_new_password_replaces_the_old(tmp_path: Path) -> None:
    store = Store(tmp_path / "data.duckdb")
    token = Accounts(store, {}, {"anna": "p"}).login("anna", "p")
    store.close()
    store = Store(tmp_path / "data.duckdb")
    accounts = Accounts(store, {}, {"anna": "q"})
    assert name_of(store, caller(accounts, Authorization=f"Bearer {token}")) == "anna"
    assert accounts.login("anna", "q")
    with pytest.raises(Refused):
        accounts.login("anna", "p")
    store.close()


def test_no_secret_stands_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "data.duckdb"
    store = Store(path)
    Accounts(store, {"one": "a-very-secret-token"}, {"anna": "a-very-secret-password"})
    store.close()
    assert b"a-very-secret" not in path.read_bytes()
    assert b"anna" in path.read_bytes()


@pytest.mark.parametrize(
    ("edges", "users", "said"),
    [
        ({"": "t"}, {}, "edge ''"),
        ({"one": ""}, {}, "edge 'one'"),
        ({}, {"anna": ""}, "user 'anna'"),
        ({"one": "same", "two": "same"}, {}, "the same token"),
    ],
)
def test_accounts_that_cannot_work_are_refused(store: Store, edges: dict[str, str], users: dict[str, str], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        Accounts(store, edges, users)
    with store.read() as cursor:
        assert cursor.execute("SELECT count(*) FROM edges").fetchall() == [(0,)]
