from __future__ import annotations

import asyncio
import socket
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests
from starlette.types import Message

from intdash_frames.codecs.points import response_frames
from intdash_frames.server import answers, asgi, rest
from intdash_frames.server.answers import Answer
from intdash_frames.server.app import Server, serve
from intdash_frames.server.store import Store
from tests.server.conftest import EVER, Caller
from tests.server.samples import body_of, can_row, int_row


def test_a_base_url_may_have_a_prefix_and_a_slash_at_its_end(server: Server) -> None:
    for base in ("/", "/intdash", "/a/b/", "//"):
        for path in ("/api/v1/version", "//api/v1/version"):
            assert requests.get(server.url + base + path, timeout=10).json() == {"version": "1.17.0"}


def test_two_stores_at_once_are_both_kept(call: Caller) -> None:
    uuid = call.create()
    bodies = [body_of(uuid, [int_row(i, i, data_id=f"n{number}") for i in range(5_000)]) for number in range(4)]
    with ThreadPoolExecutor(4) as pool:
        acks = list(pool.map(lambda body: Caller(call.url).store(body), bodies))
    assert acks == [bytes.fromhex("aafa010000000000")] * 4
    rows = call.rows(uuid)
    assert len(rows) == 20_000
    assert sorted(rows) == sorted(int_row(i, i, data_id=f"n{number}") for number in range(4) for i in range(5_000))


def test_a_request_that_ends_before_its_length_keeps_nothing(call: Caller) -> None:
    uuid = call.create()
    body = body_of(uuid, [int_row(0), int_row(1)])
    whole_points = body[: len(body) // 2 + 10]
    head = f"POST /api/v1/measurements/data HTTP/1.1\r\nHost: x\r\nX-Edge-Token: token\r\nContent-Length: {len(body)}\r\n\r\n"
    host, port = call.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(head.encode() + whole_points)
        connection.shutdown(socket.SHUT_WR)
        assert connection.recv(100) == b""
    assert call.rows(uuid) == []


def test_every_answer_is_closed_whether_read_or_abandoned(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[Answer] = []
    closed: list[Answer] = []
    open_answer, close = rest.data_answer, Answer.close
    monkeypatch.setattr(rest, "data_answer", lambda *arguments: opened.append(open_answer(*arguments)) or opened[-1])
    monkeypatch.setattr(Answer, "close", lambda answer: closed.append(answer) or close(answer))
    with serve() as server:
        call = Caller(server.url)
        uuid = call.create()
        call.store(body_of(uuid, [can_row(i, 1) for i in range(200_000)]))
        for _ in range(10):  # more than there are workers
            answer = call("GET", "/api/v1/data", params={"name": uuid} | EVER, stream=True)
            assert answer.raw.read(8)
            answer.close()
        assert len(call.rows(uuid, limit=5)) == 5
        call.session.close()
    assert len(opened) == 11
    assert set(map(id, opened)) <= set(map(id, closed))  # an answer of another test may close late


def test_a_failure_in_a_handler_is_a_500_and_is_logged(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("broken on purpose")

    monkeypatch.setattr("intdash_frames.server.catalogue.measurements", broken)
    with serve() as server:
        call = Caller(server.url)
        answer = call("GET", "/api/v1/measurements")
        assert answer.status_code == 500
        assert "broken on purpose" not in answer.text
        call.session.close()
    assert "broken on purpose" in caplog.text


def test_a_failure_in_mid_answer_ends_the_connection_and_not_the_body(monkeypatch: pytest.MonkeyPatch) -> None:
    with serve() as server:
        call = Caller(server.url)
        uuid = call.create()
        call.store(body_of(uuid, [can_row(i, 1) for i in range(200_000)]))
        original, calls = response_frames, []

        def fails_at_the_second(*arguments: object) -> object:
            calls.append(1)
            if len(calls) == 2:
                raise RuntimeError("broken on purpose")
            return original(*arguments)  # type: ignore[arg-type]

        monkeypatch.setattr(answers, "response_frames", fails_at_the_second)
        with pytest.raises(requests.exceptions.ChunkedEncodingError):
            call("GET", "/api/v1/data", params={"name": uuid} | EVER)
        assert len(call.rows(uuid)) == 200_000
        call.session.close()


def test_pieces_are_made_one_ahead_of_what_is_sent_in_small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asgi, "CHUNK_BYTES", 100)
    pieces = [bytes([i]) * size for i, size in enumerate((250, 100, 1, 1000, 99))]
    made: list[bytes] = []

    def make() -> Generator[memoryview]:
        for piece in pieces:
            made.append(piece)
            yield memoryview(piece)

    sent: list[bytes] = []

    async def send(message: Message) -> None:
        sent.append(message.get("body", b""))
        await asyncio.sleep(0)
        whole = sum(len(b"".join(sent)) >= len(b"".join(pieces[: i + 1])) for i in range(len(pieces)))
        assert len(made) <= whole + 2

    async def receive() -> Message:
        await asyncio.Event().wait()
        raise AssertionError

    store = Store()
    with ThreadPoolExecutor(2) as pool:
        answer = Answer(store.snapshot(), make())
        scope = {"type": "http", "method": "GET"}
        asyncio.run(asgi.StreamedAnswer(answer, answer.next(), pool)(scope, receive, send))
    store.close()
    assert b"".join(sent) == b"".join(pieces)
    assert max(map(len, sent)) == 100
    assert answer.next() is None


def test_several_answers_stream_at_once(call: Caller) -> None:
    uuid = call.create()
    call.store(body_of(uuid, [can_row(i, 1) for i in range(100_000)]))
    with ThreadPoolExecutor(6) as pool:
        bodies = list(
            pool.map(lambda _: Caller(call.url)("GET", "/api/v1/data", params={"name": uuid} | EVER).content, range(12))
        )
    assert len(set(bodies)) == 1
    assert bodies[0].count(b"00000001") == 100_000
