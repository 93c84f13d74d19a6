from __future__ import annotations

import json
import os
import pickle
from typing import Any

import pytest
import requests

from intdash_frames.client.connection import Connection, version_number
from intdash_frames.client.credentials import StaticTokenSource
from intdash_frames.errors import ApiError, ConnectFailed, NotFound, RemoteProtocolError, Unauthorized, UsageError
from intdash_frames.protocol import endpoints
from intdash_frames.server.app import Server
from intdash_frames.server.faults import Fault
from intdash_frames.transport.retry import RetryPolicy
from tests.transport.loopback import Answer, Loopback, answer

UUID = "414c343c-1e2f-7ed4-c2ce-78e57311d8a3"
VERSION = answer(200, b'{"version": "1.17.0"}')


def as_json(value: Any, status: int = 200) -> Answer:
    return answer(status, json.dumps(value).encode())


def test_a_token_in_the_environment_is_enough(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INTDASH_URL", f"{server.url}/")
    monkeypatch.setenv("INTDASH_EDGE_TOKEN", "token")
    with Connection() as connection:
        assert connection.edges.me().name == "demo"
        assert connection.url == server.url
    with Connection(edge_token="other-token") as connection:
        assert connection.edges.me().name == "other"
    with Connection(username="alice", password="pass word") as connection:
        assert connection.edges.me().name == "alice"


def test_a_login_is_renewed_when_the_server_forgot_it(server: Server) -> None:
    with Connection(server.url, username="alice", password="pass word") as connection:
        assert connection.edges.me().name == "alice"
        server.inject(Fault.status(401, path="/api/v1/edges/me"))
        assert connection.edges.me().name == "alice"


def test_tries_of_a_login_do_not_multiply_with_those_of_the_call(peer: Loopback) -> None:
    peer.answers = [answer(503)]
    waits: list[float] = []
    with Connection(peer.url, username="alice", password="pass word") as connection:
        connection.transport.policy = RetryPolicy(2, sleep=waits.append)
        with pytest.raises(ApiError, match="authn answered 503"):
            connection.edges.me()
        assert len(peer.seen) == 3
        with pytest.raises(ApiError, match="authn answered 503"):
            connection.measurements.create(UUID, "2020-01-01T00:00:00Z")
        assert len(peer.seen) == 6
    assert {seen.path for seen in peer.seen} == {"/api/v1/authn"}


def test_a_wrong_password_or_token_is_unauthorized(server: Server) -> None:
    for credentials in (
        {"username": "alice", "password": "wrong"},
        {"edge_token": "wr0ng"},
        {"token_source": StaticTokenSource("wr0ng")},
    ):
        with Connection(server.url, **credentials) as connection, pytest.raises(Unauthorized) as caught:
            connection.edges.me()
        assert "wr0ng" not in str(caught.value)


def test_a_session_brings_its_own_credentials(server: Server) -> None:
    with requests.Session() as session:
        session.headers["X-Edge-Token"] = "other-token"
        with Connection(server.url, session=session) as connection:
            assert connection.edges.me().name == "other"


class OAuthSession(requests.Session):
    """Adds its token as the sessions of OAuth libraries do, and renews it when it has run out."""

    def __init__(self, tokens: list[str]) -> None:
        super().__init__()
        self.tokens = tokens

    def request(self, method: str, url: str, *arguments: Any, **options: Any) -> requests.Response:  # type: ignore[override]
        headers = {**(options.pop("headers", None) or {}), "Authorization": f"Bearer {self.tokens[0]}"}
        found = super().request(method, url, *arguments, headers=headers, **options)
        if found.status_code == 401 and len(self.tokens) > 1:
            self.tokens.pop(0)
            return self.request(method, url, *arguments, headers=headers, **options)
        return found


def jwt_of(server: Server) -> str:
    answered = requests.post(f"{server.url}/api/v1/authn", json={"username": "alice", "password": "pass word"}, timeout=30)
    return str(answered.json()["token"])


def test_a_session_of_an_oauth_library_is_used_by_its_own_ways(server: Server) -> None:
    tokens = ["run out", jwt_of(server)]
    with OAuthSession(tokens) as session, Connection(server.url, session=session) as connection:
        assert connection.edges.me().name == "alice"
        assert len(tokens) == 1


def test_a_token_source_is_asked_again_when_its_token_has_run_out(server: Server) -> None:
    class Source:
        tokens = ("run-out", jwt_of(server))
        asked = 0

        def token(self) -> str:
            self.asked += 1
            return self.tokens[min(self.asked, 2) - 1]

    source = Source()
    with Connection(server.url, token_source=source) as connection:  # type: ignore[arg-type]
        assert connection.edges.me().name == "alice"
        assert source.asked == 2
    with Connection(server.url, token_source=StaticTokenSource(Source.tokens[1])) as connection:
        assert connection.edges.me().name == "alice"


def test_two_connections_share_no_credentials(server: Server) -> None:
    with requests.Session() as bare, Connection(server.url, "token") as first, Connection(server.url, session=bare) as second:
        assert first.edges.me().name == "demo"
        with pytest.raises(Unauthorized):
            second.edges.me()


def test_a_call_is_retried_through_passing_faults(server: Server, connection: Connection) -> None:
    waits: list[float] = []
    connection.transport.policy = RetryPolicy(connection.retries, sleep=waits.append)
    server.inject(Fault.status(503, times=2, path="/api/v1/edges/me"))
    server.inject(Fault.retry_after(0, path="/api/v1/edges/me"))
    assert connection.edges.me().name == "demo"
    assert len(waits) == 3
    assert waits[2] == 0


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"url": None}, "INTDASH_URL"),
        ({"url": "localhost:8080"}, "expected http"),
        ({"edge_token": None}, "INTDASH_EDGE_TOKEN"),
        ({"edge_token": ""}, "edge_token is empty"),
        ({"username": "u", "password": "p"}, "given together"),
        ({"verify": 1}, "verify=1"),
        ({"timeout": 0}, "timeout=0"),
        ({"timeout": None}, "timeout=None"),
        ({"timeout": (5, -1)}, "timeout="),
        ({"timeout": (1, 2, 3)}, "timeout="),
        ({"timeout": float("inf")}, "timeout=inf"),
        ({"retries": -1}, "retries=-1"),
        ({"retries": 1.5}, "retries=1.5"),
        ({"max_workers": 0}, "max_workers=0"),
        ({"tz": "Mars/Olympus"}, "tz='Mars/Olympus' is no time zone"),
    ],
)
def test_an_argument_that_cannot_work_is_refused(given: dict[str, Any], said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("INTDASH_URL", raising=False)
    monkeypatch.delenv("INTDASH_EDGE_TOKEN", raising=False)
    with pytest.raises(UsageError, match=said):
        Connection(**{"url": "http://host", "edge_token": "token", **given})


def test_nothing_is_sent_before_the_first_call() -> None:
    connection = Connection("http://127.0.0.1:1", "token", retries=0, timeout=3)
    assert connection.timeout == (3.0, 3.0)
    with pytest.raises(ConnectFailed):
        connection.edges.me()


class FromTheEnvironment:
    """A token source that can travel: it has no token with it."""

    def token(self) -> str:
        return os.environ["ISSUED"]


def test_a_token_source_may_travel_with_a_pickle(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("INTDASH_EDGE_TOKEN", raising=False)
    connection = Connection("http://127.0.0.1:1", "s3cr3t", retries=3).travelling(FromTheEnvironment())
    again = pickle.loads(pickle.dumps(pickle.loads(pickle.dumps(connection))))
    assert b"s3cr3t" not in pickle.dumps(again)
    monkeypatch.setenv("ISSUED", "of-the-moment")
    assert again.transport.credential_headers() == {"Authorization": "Bearer of-the-moment"}
    assert (again.url, again.retries) == ("http://127.0.0.1:1", 3)
    with pytest.raises(UsageError, match="StaticTokenSource, whose token would stand in every pickle"):
        connection.travelling(StaticTokenSource("s3cr3t"))


def test_no_secret_shows_in_a_repr_or_a_pickle(monkeypatch: pytest.MonkeyPatch) -> None:
    connection = Connection("http://127.0.0.1:1/prefix", "s3cr3t", retries=3, tz="Asia/Tokyo", timeout=(1, 2))
    assert repr(connection) == "Connection('http://127.0.0.1:1/prefix')"
    pickled = pickle.dumps(connection)
    assert b"s3cr3t" not in pickled
    monkeypatch.delenv("INTDASH_EDGE_TOKEN", raising=False)
    with pytest.raises(UsageError, match="set INTDASH_EDGE_TOKEN"):
        pickle.loads(pickled)
    monkeypatch.setenv("INTDASH_EDGE_TOKEN", "token")
    again = pickle.loads(pickled)
    assert (again.url, again.retries, again.timeout, again.tz) == (connection.url, 3, (1.0, 2.0), connection.tz)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("1.17.0", (1, 17, 0)),
        ("v2.3.0-next-946b424de", (2, 3, 0)),
        ("1.9", (1, 9, 0)),
        ("2", (2, 0, 0)),
        ("1.10.3.4", (1, 10, 3)),
        ("9" * 5000, (999999999, 0, 0)),
        ("\u0661.\u0669", None),
        (17, None),
        ("next", None),
        ("", None),
        (None, None),
    ],
)
def test_versions_are_read_leniently(text: object, number: tuple[int, int, int] | None) -> None:
    assert version_number(text) == number


def test_the_version_is_asked_for_once_after_the_first_call(peer: Loopback) -> None:
    peer.answers = [as_json({"name": "e"}), VERSION, as_json({"name": "f"})]
    with Connection(peer.url, "token") as connection:
        assert [connection.edges.me().name, connection.edges.me().name] == ["e", "f"]
        assert connection.version == "1.17.0"
    assert [seen.path for seen in peer.seen] == ["/api/v1/edges/me", "/api/v1/version", "/api/v1/edges/me"]
    assert peer.seen[1].headers["X-Edge-Token"] is None


@pytest.mark.parametrize(
    ("version", "said"),
    [
        (as_json({"version": "1.8.9"}), "is version '1.8.9'; supported are 1.9.0 and later"),
        (as_json({"version": "next"}), "is version 'next'"),
        (as_json({}), "is version None"),
        (answer(404), "does not say its version"),
        (answer(200, b"<html>"), "does not say its version"),
        (answer(200, b"\xff\xfe"), "does not say its version"),
        (answer(200, 100_000 * b"["), "does not say its version"),
        (answer(200, b'{"version": "1.17.0"}', sent=9), "does not say its version"),
        (answer(302, Location="https://login.example/"), "does not say its version"),
        (answer(204), "is version None"),
        (as_json(["1.17.0"]), "is version None"),
        (as_json("1.17.0"), "is version None"),
        (as_json({"version": 2.3}), "is version 2.3"),
        (as_json({"version": {"major": 1}}), "is version {'major': 1}"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_an_old_or_unknown_server_is_warned_about_and_used(peer: Loopback, version: Answer, said: str) -> None:
    peer.answers = [as_json({"name": "e"}), version, as_json({"name": "f"})]
    with Connection(peer.url, "token") as connection:
        with pytest.warns(UserWarning, match=said):
            assert connection.edges.me().name == "e"
        assert connection.edges.me().name == "f"


def test_a_call_that_is_younger_than_the_server_is_not_called_missing(peer: Loopback) -> None:
    peer.answers = [answer(404), as_json({"version": "1.9.3"}), answer(404)]
    with Connection(peer.url, "token") as connection:
        for _ in range(2):
            with pytest.raises(
                ApiError, match=r"not supported by this server: it is 1.9.3, this call came with 1.10.0"
            ) as caught:
                connection.measurements.get(marker_uuid=UUID)
            assert not isinstance(caught.value, NotFound)
        with pytest.raises(NotFound):
            connection.measurements.get(UUID)


def test_a_marker_that_is_not_there_is_not_found(peer: Loopback) -> None:
    peer.answers = [answer(404), VERSION, answer(404)]
    with Connection(peer.url, "token") as connection, pytest.raises(NotFound):
        connection.measurements.get(marker_uuid=UUID)


def test_protect_takes_the_path_of_newer_servers_when_the_old_one_is_gone(peer: Loopback) -> None:
    peer.answers = [answer(405), answer(204), VERSION, answer(404), answer(204)]
    with Connection(peer.url, "token") as connection:
        connection.measurements.protect(UUID)
        connection.measurements.unprotect(UUID)
    assert [(seen.method, seen.path.removeprefix(f"/api/v1/measurements/{UUID}")) for seen in peer.seen] == [
        ("PUT", "/protect"),
        ("PUT", "/protected"),
        ("GET", "/api/v1/version"),
        ("PUT", "/unprotect"),
        ("DELETE", "/protected"),
    ]


def test_protecting_what_is_not_there_is_not_found(peer: Loopback) -> None:
    peer.answers = [answer(404, b"no such measurement"), answer(404, b"no such path")]
    with Connection(peer.url, "token") as connection, pytest.raises(NotFound, match="/protect answered 404: no such measurement"):
        connection.measurements.protect(UUID)


def page(name: str, link: str) -> Answer:
    return as_json({"items": [{"name": name}], "page": {"first": False, "last": not link, "next": link, "previous": ""}})


def test_a_walk_follows_links_below_the_prefix(peer: Loopback) -> None:
    peer.answers = [page("a", "/api/v1/edges?page=2"), VERSION, page("b", "/api/v1/edges?page=3&x=%2A"), page("c", "")]
    with Connection(f"{peer.url}/prefix", "token") as connection:
        assert [edge.name for edges in connection.edges.list(iterator=True) for edge in edges] == ["a", "b", "c"]
    asked = [seen.path for seen in peer.seen if "version" not in seen.path]
    assert asked[1:] == ["/prefix/api/v1/edges?page=2", "/prefix/api/v1/edges?page=3&x=%2A"]
    assert {seen.headers["X-Edge-Token"] for seen in peer.seen if "version" not in seen.path} == {"token"}


def test_a_link_to_another_origin_is_refused_after_its_page_was_given(peer: Loopback) -> None:
    peer.answers = [page("a", "http://evil.example/edges"), VERSION]
    with Connection(peer.url, "token") as connection:
        pages = connection.edges.list(iterator=True)
        assert [edge.name for edge in next(pages)] == ["a"]
        with pytest.raises(RemoteProtocolError, match="link to the next page"):
            next(pages)


def test_what_a_row_of_ids_answers_is_given_as_json(connection: Connection, server: Server) -> None:
    measurement = connection.measurements.create(connection.edges.me().uuid, "2020-01-01T00:00:00Z")
    assert connection.call(endpoints.DATA_IDS, uuid=measurement.uuid) == []
