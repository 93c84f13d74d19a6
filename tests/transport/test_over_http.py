from __future__ import annotations

import contextlib
import gzip
import logging
import socket
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
import requests
from hypothesis import given, settings
from hypothesis import strategies as st

from intdash_frames.client.credentials import EdgeToken, SessionCredentials
from intdash_frames.errors import (
    ApiError,
    ConnectFailed,
    ConnectionLost,
    IntdashError,
    NotFound,
    RateLimited,
    RemoteProtocolError,
    TimedOut,
    TransportError,
    Unauthorized,
    UsageError,
)
from intdash_frames.protocol.call import Request
from intdash_frames.transport.over_http import USER_AGENT, HttpTransport, checked_url
from intdash_frames.transport.retry import RetryPolicy
from intdash_frames.transport.seam import Response
from tests.transport.loopback import Answer, Loopback, answer, chunked

GET = Request("GET", "/api/v1/x")
POST = Request("POST", "/api/v1/x", body=b"body", content_type="text/plain", idempotent=False)
TOKEN = "s3cr3t-t0k3n"


@contextlib.contextmanager
def transport(
    url: str, *, retries: int = 0, waits: list[float] | None = None, token: str = TOKEN, **options: Any
) -> Iterator[HttpTransport]:
    policy = RetryPolicy(retries, sleep=(waits if waits is not None else []).append)
    made = HttpTransport(url, credentials=EdgeToken(token), retries=policy, **{"timeout": (5, 5), **options})
    try:
        yield made
    finally:
        made.close()


def test_a_request_arrives_as_it_was_built(peer: Loopback) -> None:
    peer.answers = [answer(201, b"made")]
    with transport(f"{peer.url}/prefix//") as ours:
        got = ours.send(Request("POST", "/api/v1/x", (("idq", "1:*/a b"),), b"\x00body", "application/protobuf", "application/x"))
    assert got == Response(201, got.headers, b"made")
    (seen,) = peer.seen
    assert (seen.method, seen.path, seen.body) == ("POST", "/prefix/api/v1/x?idq=1%3A%2A%2Fa+b", b"\x00body")
    assert seen.headers["X-Edge-Token"] == TOKEN
    assert seen.headers["Content-Type"] == "application/protobuf"
    assert seen.headers["Accept"] == "application/x"
    assert seen.headers["User-Agent"] == USER_AGENT
    assert seen.headers["Authorization"] is None


@pytest.mark.parametrize("status", [200, 201, 202, 204, 206, 299])
def test_every_2xx_is_success_and_may_have_no_body(peer: Loopback, status: int) -> None:
    peer.answers = [answer(status)]
    with transport(peer.url) as ours:
        assert ours.send(GET).body == b""


def test_a_connection_is_used_again(peer: Loopback) -> None:
    peer.answers = [answer(200, b"x" * 100_000), answer(204), answer(404, b"no"), chunked(b"a", b"b")]
    with transport(peer.url) as ours:
        ours.send(GET)
        ours.send(GET)
        with pytest.raises(NotFound):
            ours.send(GET)
        with ours.stream(GET) as stream:
            while stream.read(1):
                pass
        ours.send(GET)
    assert len({seen.connection for seen in peer.seen}) == 1


@pytest.mark.parametrize(
    ("status", "error"),
    [(400, ApiError), (401, Unauthorized), (403, Unauthorized), (404, NotFound), (405, ApiError), (409, ApiError)],
)
def test_an_error_status_is_an_error_of_ours_with_what_the_server_said(
    peer: Loopback, status: int, error: type[ApiError]
) -> None:
    peer.answers = [answer(status, b'{"error": "e", "error_description": "it is  so"}')]
    with transport(peer.url, retries=3) as ours:
        for ask in (ours.send, lambda request: ours.stream(request).__enter__()):
            with pytest.raises(ApiError) as caught:
                ask(GET)
            assert type(caught.value) is error
            assert str(caught.value) == f"GET /api/v1/x answered {status}: it is so"
            assert (caught.value.status, caught.value.detail, caught.value.retry_after_s) == (status, "it is so", None)
    assert len(peer.seen) == 2


def test_a_long_error_body_is_shortened(peer: Loopback) -> None:
    peer.answers = [answer(400, b"<p>" * 100_000)]
    with transport(peer.url) as ours, pytest.raises(ApiError) as caught:
        ours.send(GET)
    assert len(caught.value.detail) == 200


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_a_passing_status_is_retried_until_it_passes(peer: Loopback, status: int) -> None:
    waits: list[float] = []
    peer.answers = [answer(status), answer(status), answer(200, b"ok")]
    with transport(peer.url, retries=2, waits=waits) as ours:
        got = ours.send(GET)
    assert (got.body, got.retries) == (b"ok", 2)
    assert len(waits) == 2


def test_retries_count_the_tries_after_the_first(peer: Loopback) -> None:
    waits: list[float] = []
    peer.answers = [answer(503)]
    with transport(peer.url, retries=3, waits=waits) as ours, pytest.raises(ApiError):
        ours.send(GET)
    assert (len(peer.seen), len(waits)) == (4, 3)


@pytest.mark.parametrize("failure", [answer(503), answer(200, b"body", sent=2), Answer(close=True)])
def test_a_post_is_sent_once(peer: Loopback, failure: Answer) -> None:
    peer.answers = [failure]
    with transport(peer.url, retries=3) as ours, pytest.raises(IntdashError):
        ours.send(POST)
    assert len(peer.seen) == 1


@pytest.mark.parametrize(("status", "error"), [(429, RateLimited), (503, ApiError)])
@pytest.mark.parametrize(
    ("value", "seconds"), [("7", 7.0), ("0", 0.0), ("-3", 0.0), ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0), ("soon", None)]
)
def test_the_server_is_given_the_time_it_asks_for(
    peer: Loopback, status: int, error: type[ApiError], value: str, seconds: float | None
) -> None:
    waits: list[float] = []
    peer.answers = [answer(status, Retry_After=value)]
    with transport(peer.url, retries=1, waits=waits) as ours, pytest.raises(error) as caught:
        ours.send(GET)
    assert caught.value.retry_after_s == seconds
    assert len(waits) == 1
    if seconds is not None:
        assert waits == [seconds]


def test_a_server_that_asks_for_an_hour_is_not_waited_for(peer: Loopback) -> None:
    waits: list[float] = []
    peer.answers = [answer(429, Retry_After="3600")]
    with transport(peer.url, retries=5, waits=waits) as ours, pytest.raises(RateLimited) as caught:
        ours.send(GET)
    assert (caught.value.retry_after_s, waits, len(peer.seen)) == (3600, [], 1)


CUTS = {
    "content-length": answer(200, b"0123456789", sent=4),
    "content-length, nothing of it": answer(200, b"0123456789", sent=0),
    "chunks": chunked(b"0123", b"45", ends=False),
    "inside a chunk": Answer(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\na\r\n0123", close=True),
    "no answer at all": Answer(close=True),
    "inside the head": Answer(b"HTTP/1.1 200 OK\r\nContent-Le", close=True),
}


@pytest.mark.parametrize("cut", CUTS.values(), ids=CUTS)
def test_a_cut_answer_is_asked_for_again(peer: Loopback, cut: Answer) -> None:
    peer.answers = [cut, answer(200, b"0123456789")]
    with transport(peer.url, retries=1) as ours:
        assert ours.send(GET).body == b"0123456789"


@pytest.mark.parametrize("cut", CUTS.values(), ids=CUTS)
@pytest.mark.parametrize("size", [1, 4, 1 << 20])
def test_a_cut_stream_gives_what_came_and_then_connection_lost(peer: Loopback, cut: Answer, size: int) -> None:
    peer.answers = [cut]
    got: list[bytes] = []

    def read_all(ours: HttpTransport) -> None:
        with ours.stream(GET) as stream:
            got.extend(iter(lambda: stream.read(size), b""))

    with transport(peer.url) as ours, pytest.raises(ConnectionLost):
        read_all(ours)
    assert b"0123456789".startswith(b"".join(got))


def test_opening_a_stream_is_retried_and_its_body_is_not(peer: Loopback) -> None:
    peer.answers = [answer(503), answer(200, b"0123456789", sent=4), answer(200)]
    with transport(peer.url, retries=5) as ours, ours.stream(GET) as stream:
        assert stream.retries == 1
        with pytest.raises(ConnectionLost):
            stream.read(100)
    assert len(peer.seen) == 2


@given(st.binary(max_size=300), st.lists(st.integers(1, 300), max_size=5), st.integers(1, 100), st.booleans(), st.booleans())
@settings(deadline=None, max_examples=60)
def test_a_body_arrives_whole_however_it_is_sent_and_read(
    body: bytes, cuts: list[int], size: int, in_chunks: bool, packed: bool
) -> None:
    sent = gzip.compress(body, mtime=0) if packed else body
    headers = {"Content_Encoding": "gzip"} if packed else {}
    ends = sorted({cut for cut in cuts if cut < len(sent)} | {len(sent)})
    chunks = [sent[start:end] for start, end in zip([0, *ends], ends, strict=False) if end > start]
    with (
        Loopback([chunked(*chunks, **headers) if in_chunks else answer(200, sent, **headers)]) as peer,
        transport(peer.url) as ours,
    ):
        assert ours.send(GET).body == body
        with ours.stream(GET) as stream:
            pieces = list(iter(lambda: stream.read(size), b""))
            assert stream.read(size) == b""
    assert b"".join(pieces) == body
    assert all(len(piece) == size for piece in pieces[:-1])


def test_a_body_that_cannot_be_unpacked_is_the_servers_fault(peer: Loopback) -> None:
    peer.answers = [answer(200, b"no gzip at all", Content_Encoding="gzip")]
    with transport(peer.url) as ours, pytest.raises(RemoteProtocolError):
        ours.send(GET)


def test_a_server_that_says_nothing_is_timed_out(peer: Loopback) -> None:
    peer.answers = [Answer(silent=True)]
    with transport(peer.url, timeout=(5, 0.1)) as ours, pytest.raises(TimedOut, match="timeout="):
        ours.send(GET)


def test_a_body_that_stops_is_timed_out(peer: Loopback) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        transport(f"http://127.0.0.1:{listener.getsockname()[1]}", timeout=(5, 0.1)) as ours,
    ):
        import threading

        def half_an_answer() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(answer(200, b"0123456789").raw[:-5])
                connection.recv(1)  # until the client gives up

        thread = threading.Thread(target=half_an_answer)
        thread.start()
        with ours.stream(GET) as stream, pytest.raises(TimedOut):
            stream.read(10)
        thread.join()


def test_a_port_where_nobody_listens_is_connect_failed() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    waits: list[float] = []
    with transport(f"http://127.0.0.1:{port}", retries=2, waits=waits) as ours, pytest.raises(ConnectFailed, match="check url="):
        ours.send(GET)
    assert len(waits) == 2


def test_a_server_without_tls_is_told_apart_and_not_retried(peer: Loopback) -> None:
    peer.answers = [answer(200)]
    waits: list[float] = []
    with transport(peer.url.replace("http", "https"), retries=2, waits=waits) as ours, pytest.raises(TransportError, match="TLS"):
        ours.send(GET)
    assert waits == []


def test_a_delete_whose_first_answer_was_lost_is_done(peer: Loopback) -> None:
    peer.answers = [Answer(close=True), answer(404)]
    with transport(peer.url, retries=1) as ours:
        assert ours.send(Request("DELETE", "/api/v1/x")).retries == 1
        with pytest.raises(NotFound):
            ours.send(Request("DELETE", "/api/v1/x"))


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_to_the_same_origin_is_followed_with_credentials(peer: Loopback, status: int) -> None:
    peer.answers = [answer(status, Location="/other?a=1"), answer(200, b"here")]
    with transport(peer.url) as ours:
        assert ours.send(GET).body == b"here"
    assert peer.seen[1].path == "/other?a=1"
    assert peer.seen[1].headers["X-Edge-Token"] == TOKEN


def test_a_redirect_to_another_origin_carries_no_credentials(peer: Loopback, elsewhere: Loopback) -> None:
    peer.answers = [answer(302, Location=f"{elsewhere.url}/other")]
    elsewhere.answers = [answer(200, b"there"), answer(401, b"who?")]
    with transport(peer.url) as ours:
        assert ours.send(GET).body == b"there"
        with pytest.raises(
            Unauthorized, match=r"who.*redirected to http://127\.0\.0\.1:[0-9]+/other, where no credentials are sent"
        ):
            ours.send(GET)
    for seen in elsewhere.seen:
        assert TOKEN not in str(seen.headers)


def test_a_session_of_the_caller_is_not_led_to_another_origin(peer: Loopback, elsewhere: Loopback) -> None:
    peer.answers = [answer(302, Location=f"{elsewhere.url}/other")]
    with requests.Session() as session:
        session.headers["Authorization"] = "Bearer theirs"
        ours = HttpTransport(peer.url, credentials=SessionCredentials(), retries=0, session=session)
        with pytest.raises(TransportError, match="which is not followed"):
            ours.send(GET)
    assert elsewhere.seen == []


def test_a_post_keeps_its_body_or_is_not_redirected(peer: Loopback) -> None:
    peer.answers = [answer(307, Location="/other"), answer(200), answer(302, Location="/other")]
    with transport(peer.url) as ours:
        ours.send(POST)
        assert (peer.seen[1].method, peer.seen[1].path, peer.seen[1].body) == ("POST", "/other", b"body")
        with pytest.raises(ApiError, match=r"answered 302: redirected to http://.*/other; check url="):
            ours.send(POST)
    assert len(peer.seen) == 3


def test_a_redirect_in_a_circle_ends(peer: Loopback) -> None:
    peer.answers = [answer(302, Location="/api/v1/x")]
    with transport(peer.url) as ours, pytest.raises(TransportError, match="not followed"):
        ours.send(GET)
    assert len(peer.seen) == 6


class Counting:
    """Credentials that count up each time they are refused."""

    def __init__(self, *, renewable: bool) -> None:
        self.number, self.renewable = 0, renewable

    def headers(self, send: Callable[[Request], Response]) -> Mapping[str, str]:
        return {"Authorization": f"Bearer {self.number}"}

    def renew(self, used: Mapping[str, str]) -> bool:
        self.number += 1
        return self.renewable

    def redact(self, text: str) -> str:
        return text


@pytest.mark.parametrize("request_", [GET, POST], ids=lambda request: request.method)
def test_credentials_are_renewed_once_after_a_401(peer: Loopback, request_: Request) -> None:
    peer.answers = [answer(401), answer(200, b"ok"), answer(401)]
    ours = HttpTransport(peer.url, credentials=Counting(renewable=True), retries=5)
    assert ours.send(request_).body == b"ok"
    assert [seen.headers["Authorization"] for seen in peer.seen] == ["Bearer 0", "Bearer 1"]
    with pytest.raises(Unauthorized):
        ours.send(request_)
    assert len(peer.seen) == 4
    ours.close()


def test_credentials_that_cannot_be_renewed_are_refused_at_once(peer: Loopback) -> None:
    peer.answers = [answer(401)]
    ours = HttpTransport(peer.url, credentials=Counting(renewable=False), retries=5)
    with pytest.raises(Unauthorized):
        ours.send(GET)
    assert len(peer.seen) == 1
    ours.close()


def test_no_secret_shows_anywhere(peer: Loopback, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    peer.answers = [answer(503), answer(400, f"the token {TOKEN} is bad".encode())]
    with transport(peer.url, retries=1) as ours:
        with pytest.raises(ApiError) as caught:
            ours.send(GET)
        assert "retry 1 of 1" in caplog.text
        for text in (repr(ours), str(caught.value), repr(caught.value), caplog.text):
            assert TOKEN not in text


def test_two_clients_share_no_headers(peer: Loopback) -> None:
    peer.answers = [answer(200)]
    with transport(peer.url, token="one") as first, transport(peer.url, token="two") as second:
        first.send(GET)
        second.send(GET)
        first.send(GET, credentials=False)
    assert [seen.headers["X-Edge-Token"] for seen in peer.seen] == ["one", "two", None]


def test_a_password_in_netrc_is_left_there(peer: Loopback, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login me password secret\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    peer.answers = [answer(200)]
    with transport(peer.url) as ours:
        ours.send(GET)
    assert peer.seen[0].headers["Authorization"] is None


def test_a_session_of_the_caller_adds_its_own_and_stays_open(peer: Loopback) -> None:
    peer.answers = [answer(200)]
    with requests.Session() as session:
        session.headers["Authorization"] = "Bearer theirs"
        ours = HttpTransport(peer.url, credentials=SessionCredentials(), session=session)
        ours.send(GET)
        ours.close()
        ours.send(GET)
    assert [seen.headers["Authorization"] for seen in peer.seen] == ["Bearer theirs"] * 2
    assert len({seen.connection for seen in peer.seen}) == 1


@pytest.mark.parametrize(
    ("url", "said"),
    [
        (None, "url=None"),
        ("", "expected http"),
        ("localhost:8080", "expected http"),
        ("example.com", "expected http"),
        ("ftp://host", "expected http"),
        ("http://", "expected http"),
        ("http://host:port", "malformed"),
        ("http://host:99999", "malformed"),
        ("http://[::1", "malformed"),
        ("http://ho st", "expected http"),
        ("http://host/?a=1", "expected http"),
        ("http://host/#a", "expected http"),
    ],
)
def test_a_url_that_cannot_work_is_refused(url: Any, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        checked_url(url)


def test_a_password_in_a_url_is_refused_and_not_shown() -> None:
    with pytest.raises(UsageError, match="leave them out") as caught:
        checked_url("http://me:hunter2@host")
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("url", ["http://host", "https://host:8443/prefix", "http://[::1]:80"])
def test_a_url_loses_its_trailing_slashes_and_keeps_its_prefix(url: str) -> None:
    assert checked_url(f"{url}//") == checked_url(url) == url
