from __future__ import annotations

import asyncio
import contextlib
import http
import logging
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.http11 import Request, Response

from intdash_frames.errors import (
    ApiError,
    ConnectFailed,
    ConnectionLost,
    NotFound,
    RateLimited,
    RemoteProtocolError,
    Unauthorized,
    UsageError,
)
from intdash_frames.transport.over_http import USER_AGENT
from intdash_frames.transport.over_websocket import WebSocketTransport, open_websocket, websocket_url

PATH = "/api/v1/ws/measurements"

Handler = Callable[[ServerConnection], Awaitable[None]]
Answer = Callable[[ServerConnection, Request], Response | None]


def run(test: Coroutine[Any, Any, None]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(20):
            await test

    asyncio.run(bounded())


@contextlib.asynccontextmanager
async def listening(handler: Handler, answer: Answer | None = None) -> AsyncIterator[str]:
    async with serve(handler, "127.0.0.1", 0, process_request=answer, max_size=None) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def echo(peer: ServerConnection) -> None:
    async for message in peer:
        await peer.send(message)


async def opened(url: str, **options: Any) -> WebSocketTransport:
    return await open_websocket(url, PATH, **({"headers": {}} | options))


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("http://host:8080", f"ws://host:8080{PATH}"),
        ("https://host/prefix/", f"wss://host/prefix{PATH}"),
        ("http://http.example/", f"ws://http.example{PATH}"),
    ],
)
def test_the_address_keeps_host_port_and_prefix(url: str, address: str) -> None:
    assert websocket_url(url, PATH) == address


def test_an_address_that_cannot_work_is_refused() -> None:
    with pytest.raises(UsageError, match="ftp://host"):
        websocket_url("ftp://host", PATH)


def test_messages_go_both_ways_up_to_a_size_beyond_the_default_of_the_library() -> None:
    async def test() -> None:
        async with listening(echo) as url:
            transport = await opened(url)
            for message in (b"abc", b"", bytes(3 * 2**20)):
                await transport.send(message)
                assert await transport.receive() == message
            await transport.close()

    run(test())


def test_the_handshake_says_who_asks_under_the_prefix_and_offers_no_extension() -> None:
    seen: list[Request] = []

    def look(_: ServerConnection, request: Request) -> None:
        seen.append(request)

    async def test() -> None:
        async with listening(echo, look) as url:
            await (await opened(f"{url}/prefix/", headers={"X-Edge-Token": "secret"})).close()

    run(test())
    assert seen[0].path == f"/prefix{PATH}"
    assert seen[0].headers["X-Edge-Token"] == "secret"
    assert seen[0].headers["User-Agent"] == USER_AGENT
    assert "Sec-WebSocket-Extensions" not in seen[0].headers


@pytest.mark.parametrize(
    ("status", "error"), [(401, Unauthorized), (403, Unauthorized), (404, NotFound), (429, RateLimited), (503, ApiError)]
)
def test_a_refused_handshake_is_the_error_of_its_status_with_what_the_server_said(status: int, error: type[ApiError]) -> None:
    def refuse(peer: ServerConnection, _: Request) -> Response:
        response = peer.respond(http.HTTPStatus(status), '{"error_description": "the token secret is wrong"}')
        response.headers["Retry-After"] = "3"
        return response

    async def test() -> None:
        async with listening(echo, refuse) as url:
            with pytest.raises(error, match=r"the token \*\*\* is wrong") as caught:
                await opened(url, headers={"X-Edge-Token": "secret"}, redact=lambda text: text.replace("secret", "***"))
            assert (caught.value.status, caught.value.endpoint) == (status, f"GET {PATH}")
            assert caught.value.retry_after_s == (3 if status in (429, 503) else None)

    run(test())


def test_a_redirect_to_another_origin_is_not_followed() -> None:
    seen: list[Request] = []

    async def test() -> None:
        async with listening(echo, lambda _, request: seen.append(request)) as elsewhere:

            def redirect(peer: ServerConnection, _: Request) -> Response:
                response = peer.respond(http.HTTPStatus.FOUND, "")
                response.headers["Location"] = elsewhere.replace("http", "ws") + PATH
                return response

            async with listening(echo, redirect) as url:
                with pytest.raises(ApiError, match=r"redirected to ws://127\.0\.0\.1:.*check url="):
                    await opened(url, headers={"X-Edge-Token": "secret"})

    run(test())
    assert seen == []


def test_a_redirect_inside_the_origin_is_followed() -> None:
    def redirect(peer: ServerConnection, request: Request) -> Response | None:
        if request.path != PATH:
            return None
        response = peer.respond(http.HTTPStatus.FOUND, "")
        response.headers["Location"] = "/elsewhere"
        return response

    async def test() -> None:
        async with listening(echo, redirect) as url:
            transport = await opened(url)
            await transport.send(b"here")
            assert await transport.receive() == b"here"
            await transport.close()

    run(test())


def test_nobody_listening_is_a_failed_connection() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(ConnectFailed, match="check url= and that the server runs"):
            run(opened(url))  # type: ignore[arg-type]


def test_a_listener_that_does_not_answer_is_a_failed_connection_after_the_time_out() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(ConnectFailed, match="no connection in time"):
            run(opened(url, connect_timeout_s=0.05))  # type: ignore[arg-type]


def test_something_else_than_a_websocket_is_a_failed_connection() -> None:
    async def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"SSH-2.0-OpenSSH\r\n")
        writer.close()

    async def test() -> None:
        async with await asyncio.start_server(hang_up, "127.0.0.1", 0) as server:
            with pytest.raises(ConnectFailed, match="check url="):
                await opened(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")

    run(test())


@pytest.mark.parametrize(("code", "reason"), [(1000, ""), (1001, "going away"), (1002, "what is this")])
def test_a_connection_that_the_server_closes_is_lost_with_code_and_reason(code: int, reason: str) -> None:
    async def close(peer: ServerConnection) -> None:
        await peer.send(b"last")
        await peer.close(code, reason)

    async def test() -> None:
        async with listening(close) as url:
            transport = await opened(url)
            assert await transport.receive() == b"last"
            for _ in range(2):
                with pytest.raises(ConnectionLost, match=rf"the server closed it with code {code} \({reason}\)"):
                    await transport.receive()
            with pytest.raises(ConnectionLost, match=str(code)):
                await transport.send(b"more")
            await transport.close()

    run(test())


def test_a_cut_connection_is_lost() -> None:
    async def cut(peer: ServerConnection) -> None:
        peer.transport.abort()

    async def test() -> None:
        async with listening(cut) as url:
            transport = await opened(url)
            with pytest.raises(ConnectionLost, match="it was cut"):
                await transport.receive()

    run(test())


def test_after_closing_here_it_is_lost_too() -> None:
    async def test() -> None:
        async with listening(echo) as url:
            transport = await opened(url)
            await transport.close()
            await transport.close()
            with pytest.raises(ConnectionLost):
                await transport.receive()

    run(test())


def test_a_goodbye_that_is_not_waited_for_leaves_no_socket_behind() -> None:
    async def test() -> None:
        answers = asyncio.Event()

        async def hang(peer: ServerConnection) -> None:
            peer.transport.pause_reading()  # type: ignore[attr-defined]
            await answers.wait()
            peer.transport.abort()

        async with listening(hang) as url:
            transport = await opened(url)
            closing = asyncio.ensure_future(transport.close())
            await asyncio.wait([closing], timeout=0)
            closing.cancel()
            with pytest.raises(asyncio.CancelledError):
                await closing
            with pytest.raises(ConnectionLost):
                await transport.receive()
            assert transport._socket.transport.is_closing()
            answers.set()

    run(test())


def test_a_text_message_is_refused() -> None:
    async def say(peer: ServerConnection) -> None:
        await peer.send("text")
        await peer.wait_closed()

    async def test() -> None:
        async with listening(say) as url:
            transport = await opened(url)
            with pytest.raises(RemoteProtocolError, match="text message of 4 characters"):
                await transport.receive()
            await transport.close()

    run(test())


def test_certificates_that_cannot_be_read_are_refused_before_anything_is_sent() -> None:
    with pytest.raises(UsageError, match=r"verify='/nowhere\.pem'"):
        run(opened("https://127.0.0.1:1", verify="/nowhere.pem"))  # type: ignore[arg-type]


@pytest.mark.parametrize(("verify", "mode", "names"), [(True, ssl.CERT_REQUIRED, True), (False, ssl.CERT_NONE, False)])
def test_tls_checks_certificates_as_verify_says(monkeypatch: pytest.MonkeyPatch, verify: bool, mode: int, names: bool) -> None:
    seen: list[ssl.SSLContext] = []

    async def no_connection(*_: Any, **options: Any) -> None:
        seen.append(options["ssl"])
        raise ConnectionRefusedError

    async def test() -> None:
        monkeypatch.setattr(asyncio.get_running_loop(), "create_connection", no_connection)
        with pytest.raises(ConnectFailed):
            await opened("https://127.0.0.1:1", verify=verify)

    run(test())
    assert (seen[0].verify_mode, seen[0].check_hostname) == (mode, names)


def test_repr_shows_the_address_only() -> None:
    async def test() -> None:
        async with listening(echo) as url:
            transport = await opened(url, headers={"X-Edge-Token": "secret"})
            assert repr(transport) == f"WebSocketTransport('{url.replace('http', 'ws')}{PATH}')"
            await transport.close()

    run(test())


@pytest.mark.parametrize("status", [http.HTTPStatus.SWITCHING_PROTOCOLS, http.HTTPStatus.UNAUTHORIZED])
def test_no_log_shows_who_is_asking(status: http.HTTPStatus, caplog: pytest.LogCaptureFixture) -> None:
    def answer(peer: ServerConnection, _: Request) -> Response | None:
        return None if status is http.HTTPStatus.SWITCHING_PROTOCOLS else peer.respond(status, "no")

    async def test() -> None:
        async with listening(echo, answer) as url:
            with contextlib.suppress(Unauthorized):
                socket = await opened(url, headers={"X-Edge-Token": "secret"})
                await socket.send(b"x")
                await socket.close()

    caplog.set_level(logging.INFO, logger="websockets.server")  # the other side's own
    caplog.set_level(logging.DEBUG)
    run(test())
    assert "secret" not in caplog.text
