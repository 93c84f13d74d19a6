from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from intdash_frames.client.connection import Connection
from intdash_frames.client.credentials import StaticTokenSource, TokenSource
from intdash_frames.client.stream import open_socket
from intdash_frames.errors import (
    ConnectFailed,
    ISCPConnClosedException,
    LocalProtocolError,
    RemoteProtocolError,
    ResultNGException,
    TimedOut,
    Unauthorized,
)
from intdash_frames.protocol.elements import (
    DownstreamSpecRequest,
    DownstreamSpecResponse,
    SectionAck,
    UpstreamSpecRequest,
    UpstreamSpecResponse,
)
from intdash_frames.protocol.framing import write_elements
from intdash_frames.server.app import Server, serve
from tests.client.stream_peer import (
    connected,
    downstream_spec,
    row,
    run,
    string_point,
    upstream_spec,
)


@pytest.mark.parametrize("kind", [UpstreamSpecRequest, DownstreamSpecRequest])
def test_a_refused_spec_raises_with_the_spec_and_leaves_the_connection_good(kind: type) -> None:
    async def test() -> None:
        async with connected() as (connection, peer):
            peer.refuses = kind

            async def ask() -> Any:
                if kind is UpstreamSpecRequest:
                    return await connection.open_upstream(upstream_spec())
                return await connection.open_downstream(downstream_spec(), on_points=lambda _: None)

            with pytest.raises(ResultNGException) as caught:
                await ask()
            assert caught.value.request == (upstream_spec() if kind is UpstreamSpecRequest else downstream_spec())
            assert peer.session.streams == connection.session.streams == {}
            peer.refuses = None
            await (await ask()).close()

    run(test())


def test_a_request_without_answer_times_out_and_the_stream_is_given_back() -> None:
    async def test() -> None:
        async with connected(timeout_s=0.02) as (connection, peer):
            peer.socket.hold()
            with pytest.raises(TimedOut, match=r"no answer to UpstreamSpecRequest within 0\.02 s"):
                await connection.open_upstream(upstream_spec())
            await peer.until(lambda peer: len(peer.asked) == 2 and not peer.session.streams)
            peer.socket.release()  # the answers come late
            stream = await connection.open_upstream(upstream_spec())
            assert list(connection.session.streams) == list(peer.session.streams) == [stream.stream_id]

    run(test())


def test_streams_of_both_directions_get_their_ids_from_one_counter_up_to_all_there_are() -> None:
    async def test() -> None:
        async with connected() as (connection, peer):
            peer.echoes = False
            streams: list[Any] = [
                await connection.open_upstream(upstream_spec())
                if number % 2
                else await connection.open_downstream(downstream_spec(), on_points=lambda _: None)
                for number in range(256)
            ]
            assert [stream.stream_id for stream in streams] == [*range(1, 256), 0]
            with pytest.raises(LocalProtocolError, match="256 streams are open"):
                await connection.open_upstream(upstream_spec())
            for stream in streams[1::2]:
                await stream.write(string_point(stream.stream_id))
            await connection.close()
            assert sorted(peer.written) == sorted([row(number) for number in range(2, 256, 2)] + [row(0)])

    run(test())


def test_streams_may_be_opened_at_the_same_time() -> None:
    async def test() -> None:
        async with connected() as (connection, _):
            streams = await asyncio.gather(*(connection.open_upstream(upstream_spec()) for _ in range(20)))
            assert [stream.stream_id for stream in streams] == list(range(1, 21))
            await connection.close()
            assert all(stream.is_closed for stream in streams)

    run(test())


@pytest.mark.parametrize("is_coroutine", [False, True])
@pytest.mark.parametrize("ends", ["closed", "lost", "both"])
def test_on_close_is_called_once_however_the_connection_ends(ends: str, is_coroutine: bool) -> None:
    calls: list[bool] = []

    async def test() -> None:
        def plain() -> None:
            calls.append(connection.is_closed)

        async def coroutine() -> None:
            await asyncio.sleep(0)
            plain()
            await connection.close()

        async with connected(on_close=coroutine if is_coroutine else plain) as (connection, peer):
            if ends != "closed":
                peer.socket.cut("the cable")
            if ends != "lost":
                await connection.close()
            await connection.wait_closed()

    run(test())
    assert calls == [True]


def test_an_on_close_that_raises_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    def broken() -> None:
        raise KeyError("broken on_close")

    async def test() -> None:
        async with connected(on_close=broken) as (connection, _):
            await connection.close()

    run(test())
    assert "broken on_close" in caplog.text


def test_closing_sends_and_acknowledges_what_was_written_and_closes_every_stream() -> None:
    async def test() -> None:
        async with connected(flush_interval_s=3600) as (connection, peer):
            async with connection:
                up = await connection.open_upstream(upstream_spec())
                down = await connection.open_downstream(downstream_spec(), on_points=lambda _: None)
                await up.write(string_point(1))
            assert peer.sections == {0: [row(1)]}
            assert (up.is_closed, down.is_closed, connection.is_closed) == (True, True, True)
            assert peer.session.streams == {}

    run(test())


def test_nothing_can_be_opened_on_a_connection_that_has_ended() -> None:
    async def test() -> None:
        async with connected() as (connection, peer):
            peer.socket.cut("the cable")
            assert "the cable" in str(await connection.wait_closed())
            with pytest.raises(ISCPConnClosedException, match="the cable"):
                await connection.open_upstream(upstream_spec())
            with pytest.raises(ISCPConnClosedException, match="the cable"):
                await connection.open_downstream(downstream_spec(), on_points=lambda _: None)

    run(test())


def test_a_request_that_waits_when_the_connection_is_lost_ends() -> None:
    async def test() -> None:
        async with connected() as (connection, peer):
            peer.answers = False
            opening = asyncio.ensure_future(connection.open_upstream(upstream_spec()))
            await peer.until(lambda peer: peer.asked)
            peer.socket.cut("the cable")
            with pytest.raises(ISCPConnClosedException, match="the cable"):
                await opening

    run(test())


def test_a_cancelled_opening_gives_the_stream_back() -> None:
    async def test() -> None:
        async with connected() as (connection, peer):
            peer.socket.hold()
            opening = asyncio.ensure_future(connection.open_upstream(upstream_spec()))
            await peer.until(lambda peer: peer.asked)
            opening.cancel()
            with pytest.raises(asyncio.CancelledError):
                await opening
            await peer.until(lambda peer: len(peer.asked) == 2 and not peer.session.streams)

    run(test())


def test_the_first_failure_of_closing_is_raised_after_everything_is_closed() -> None:
    async def test() -> None:
        async with connected(timeout_s=0.02) as (connection, peer):
            peer.acks = False
            for number in range(2):
                await (await connection.open_upstream(upstream_spec())).write(string_point(number))
            with pytest.raises(TimedOut, match="not acknowledged"):
                await connection.close()
            assert connection.is_closed
            assert peer.session.streams == {}

    run(test())


def test_an_error_inside_the_block_is_not_replaced_by_one_of_closing(caplog: pytest.LogCaptureFixture) -> None:
    async def test() -> None:
        async with connected(timeout_s=0.02) as (connection, peer):
            peer.acks = False

            async def block() -> None:
                async with connection:
                    await (await connection.open_upstream(upstream_spec())).write(string_point(1))
                    raise ZeroDivisionError

            with pytest.raises(ZeroDivisionError):
                await block()

    run(test())
    assert "what was written last may be lost" in caplog.text


def test_a_callback_may_close_the_connection() -> None:
    calls: list[str] = []

    async def test() -> None:
        async with connected(on_close=lambda: calls.append("closed")) as (connection, _):

            async def close(_: Any) -> None:
                await connection.close()
                calls.append("callback")

            await connection.open_downstream(downstream_spec(), on_msg=close)
            stream = await connection.open_upstream(upstream_spec())
            await stream.write(string_point(1))
            await connection.wait_closed()

    run(test())
    assert calls == ["callback", "closed"]


def test_an_element_of_an_unknown_type_is_counted_and_the_next_message_is_read(caplog: pytest.LogCaptureFixture) -> None:
    async def test() -> None:
        async with connected() as (connection, peer):
            ack = write_elements([SectionAck(1, 0, 5)])
            for message in (ack + b"\xaa\x77rest", write_elements([UpstreamSpecResponse(9, 0)])):
                await peer.socket.send(message)
            await (await connection.open_upstream(upstream_spec())).close()
            skipped = connection.session.skipped
            assert skipped["unknown element type 0x77 at byte 8"] == 1
            assert skipped["SectionAck of a section that waits for none"] == 1
            assert skipped["UpstreamSpecResponse to a request that waits for none"] == 1

    with caplog.at_level(logging.WARNING):
        run(test())
    assert "the rest of its message, 6 bytes, is skipped" in caplog.text


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (b"junk", "element at byte 0 begins with 0x6a, expected 0xaa"),
        (write_elements([SectionAck(1, 0, 5)])[:-1], "cut inside serial_number"),
        (
            write_elements([DownstreamSpecResponse(0, 0)]),
            "was a UpstreamSpecRequest and was answered by a DownstreamSpecResponse",
        ),
    ],
)
def test_a_message_that_breaks_the_protocol_ends_the_connection_and_what_waits_hears_why(
    message: bytes, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    calls: list[str] = []

    async def test() -> None:
        async with connected(on_close=lambda: calls.append("closed")) as (connection, peer):
            peer.answers = False
            opening = asyncio.ensure_future(connection.open_upstream(upstream_spec()))
            await peer.until(lambda peer: peer.asked)
            await peer.socket.send(message)
            with pytest.raises(ISCPConnClosedException, match=f"the server broke the protocol: .*{reason}"):
                await opening
            assert isinstance(await connection.wait_closed(), RemoteProtocolError)

    with caplog.at_level(logging.WARNING):
        run(test())
    assert calls == ["closed"]
    assert reason in caplog.text


def test_a_fault_of_ours_in_a_task_ends_the_connection_loudly(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def test() -> None:
        async with connected() as (connection, peer):

            def fail(*_: Any) -> None:
                raise RuntimeError("a fault")

            monkeypatch.setattr(connection.session, "receive", fail)
            await peer.socket.send(write_elements([SectionAck(1, 0, 5)]))
            assert str(await connection.wait_closed()) == "a fault"

    run(test())
    assert "RuntimeError: a fault" in caplog.text


# --- over a socket ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def users_server() -> Iterator[Server]:
    with serve(edges={"demo": "token"}, users={"alice": "pass word"}) as running:
        yield running


class Renewing(TokenSource):
    """Gives tokens one after the other."""

    def __init__(self, *tokens: str) -> None:
        self.tokens = list(tokens)
        self.asked = 0

    def token(self) -> str:
        self.asked += 1
        return self.tokens.pop(0)


def _jwt(server: Server) -> str:
    with Connection(server.url, username="alice", password="pass word") as connection:
        return connection.transport.credential_headers()["Authorization"].removeprefix("Bearer ")


async def _opens(connection: Connection, token_source: TokenSource | None = None) -> None:
    await (await open_socket(connection, token_source)).close()


def test_every_kind_of_credentials_opens_a_socket(users_server: Server) -> None:
    url, jwt = users_server.url, _jwt(users_server)
    for options in (
        {"edge_token": "token"},
        {"username": "alice", "password": "pass word"},
        {"token_source": StaticTokenSource(jwt)},
    ):
        with Connection(url, **options) as connection:  # type: ignore[arg-type]
            run(_opens(connection))


def test_wrong_credentials_are_unauthorized_and_not_shown(users_server: Server) -> None:
    for options in ({"edge_token": "wrong-secret"}, {"token_source": StaticTokenSource("wrong-secret")}):
        with Connection(users_server.url, **options) as connection:  # type: ignore[arg-type]
            with pytest.raises(Unauthorized) as caught:
                run(_opens(connection))
            assert "wrong-secret" not in str(caught.value)


def test_a_refused_client_that_has_only_a_session_hears_what_would_work(users_server: Server) -> None:
    with requests.Session() as session, Connection(users_server.url, session=session) as connection:
        session.headers["X-Edge-Token"] = "token"
        with pytest.raises(Unauthorized, match="session= is for REST calls; give token_source= here, or to Client beside it"):
            run(_opens(connection))
        run(_opens(connection, StaticTokenSource(_jwt(users_server))))


def test_a_token_source_takes_the_place_of_the_clients_credentials_and_is_asked_each_time(users_server: Server) -> None:
    jwt = _jwt(users_server)
    with Connection(users_server.url, "wrong") as connection:
        source = Renewing(jwt, jwt)
        for _ in range(2):
            run(_opens(connection, source))
    assert source.asked == 2


def test_credentials_that_were_refused_are_asked_for_once_more(users_server: Server) -> None:
    with Connection(users_server.url, "wrong") as connection:
        source = Renewing("expired", _jwt(users_server))
        run(_opens(connection, source))
        assert source.asked == 2
        with pytest.raises(Unauthorized):
            run(_opens(connection, Renewing("expired", "expired", "never asked")))


def test_a_url_with_a_prefix_works(users_server: Server) -> None:
    with Connection(f"{users_server.url}/some/prefix/", "token") as connection:
        run(_opens(connection))


def test_a_server_that_is_not_there_cannot_be_connected() -> None:
    with serve(edges={"demo": "token"}) as server, Connection(server.url, "token") as connection:
        server.close()
        with pytest.raises(ConnectFailed):
            run(_opens(connection))
