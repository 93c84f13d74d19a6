"""What users make first, and which client is the default."""

from __future__ import annotations

import gc
import pickle
from collections.abc import Iterator

import pandas as pd
import pytest

import intdash_frames as idf
from intdash_frames import Unauthorized, UsageError
from intdash_frames.client import newest

FRAME = pd.DataFrame({"a": [1.0, 2.0]}, index=pd.date_range("2024-01-01", periods=2, freq="s", tz="UTC"))


@pytest.fixture(scope="module")
def server() -> Iterator[idf.LocalServer]:
    with idf.LocalServer(edges={"demo": "token", "other": "secret-of-other"}, users={"alice": "pass-word"}) as running:
        yield running


@pytest.fixture(autouse=True)
def _no_client(monkeypatch: pytest.MonkeyPatch) -> None:
    """No client of another test, and none from the environment."""
    monkeypatch.delenv("INTDASH_URL", raising=False)
    monkeypatch.delenv("INTDASH_EDGE_TOKEN", raising=False)
    monkeypatch.setattr(newest, "_newest", [])
    monkeypatch.setattr(newest, "_older", [])


def test_the_newest_client_is_the_default(server: idf.LocalServer) -> None:
    first, second = server.client(), server.client("other")
    assert idf.default_client() is second
    assert FRAME.intdash.store().measurement.edge_uuid == second.edges.me().uuid
    second.close()
    assert idf.default_client() is first
    assert FRAME.intdash.store().measurement.edge_uuid == first.edges.me().uuid
    first.close()
    first.close()
    with pytest.raises(UsageError, match="INTDASH_URL"):
        idf.default_client()


def test_closing_an_older_client_leaves_the_newest(server: idf.LocalServer) -> None:
    first, second, third = server.client(), server.client(), server.client()
    second.close()
    assert idf.default_client() is third
    third.close()
    assert idf.default_client() is first
    first.close()


def test_the_newest_client_is_kept_alive_and_older_ones_are_not(server: idf.LocalServer) -> None:
    url = server.client().url
    gc.collect()
    assert idf.default_client().url == url
    newer = server.client()
    gc.collect()
    newer.close()
    with pytest.raises(UsageError):
        idf.default_client()


def test_leaving_a_with_block_closes_the_client(server: idf.LocalServer) -> None:
    with server.client() as client:
        assert idf.default_client() is client
    with pytest.raises(UsageError, match="INTDASH_URL"):
        FRAME.intdash.store()


def test_without_a_client_the_environment_says_how_to_make_one(server: idf.LocalServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INTDASH_URL", server.url)
    monkeypatch.setenv("INTDASH_EDGE_TOKEN", "token")
    assert FRAME.intdash.store().points == 2
    with idf.default_client() as client:
        assert client.edges.me().name == "demo"
        assert idf.default_client() is client


def test_a_client_shows_its_server_and_no_credentials(server: idf.LocalServer) -> None:
    with server.client("other") as client:
        assert repr(client) == f"Client({server.url!r})"
        assert client.url == server.url
        assert client.version == "1.17.0"
        assert b"secret-of-other" not in pickle.dumps(client.connection)
        stored = FRAME.intdash.store()
        frame = client.frames(stored.measurement).to_pandas()
        for shown in (repr(client.frames(stored.measurement)), repr(stored), repr(frame.attrs), repr(vars(client))):
            assert "secret-of-other" not in shown


def test_a_client_may_log_in_with_a_name(server: idf.LocalServer) -> None:
    with idf.Client(server.url, username="alice", password="pass-word") as client:
        assert {edge.name for edge in client.edges.list()} >= {"demo", "other"}
    with idf.Client(server.url, username="alice", password="wrong") as client, pytest.raises(Unauthorized):
        client.edges.list()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"url": "ftp://x"}, "url"),
        ({"url": "http://x", "retries": -1}, "retries"),
        ({"url": "http://x", "tz": "Mars"}, "tz="),
        ({"url": "http://x", "timeout": 0}, "timeout"),
        ({"url": "http://x", "edge_token": ""}, "edge_token"),
        ({"url": "http://x", "edge_token": "a", "username": "b", "password": "c"}, "edge_token"),
    ],
)
def test_a_client_that_cannot_work_is_refused(options: dict[str, object], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        idf.Client(**{"edge_token": "token", **options})
    with pytest.raises(UsageError):
        idf.default_client()


def test_a_local_server_knows_its_edges(server: idf.LocalServer) -> None:
    assert repr(server) == f"LocalServer({server.url!r})"
    with server.client() as demo, server.client("other", tz="Asia/Tokyo") as other:
        assert (demo.edges.me().name, other.edges.me().name) == ("demo", "other")
        assert str(other.connection.tz) == "Asia/Tokyo"
    with pytest.raises(UsageError, match="edge 'nobody' is not one of this server's: 'demo', 'other'"):
        server.client("nobody")


def test_an_injected_fault_happens(server: idf.LocalServer) -> None:
    server.inject(idf.Fault.status(404, path="/api/v1/edges/me"))
    with server.client() as client:
        with pytest.raises(idf.NotFound):
            client.edges.me()
        assert client.edges.me().name == "demo"


def test_two_servers_share_nothing() -> None:
    with idf.LocalServer() as first, idf.LocalServer() as second:
        assert first.url != second.url
        with first.client() as client:
            uuid = FRAME.intdash.store().measurement.uuid
            assert client.frames(uuid).report.points == 2
        with second.client() as client, pytest.raises(idf.NotFound):
            client.frames(uuid).to_arrow()
