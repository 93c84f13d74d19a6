"""Who may open a socket, and how all of them end when the server closes."""

from __future__ import annotations

import asyncio
import threading

import pytest
import requests
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from intdash_frames.protocol.elements import DataFilter, DownstreamSpec
from intdash_frames.protocol.wire import NULL_UUID
from intdash_frames.server import stream
from intdash_frames.server.app import Server, serve
from intdash_frames.server.store import Store
from tests.server.conftest import Caller
from tests.server.samples import int_row
from tests.server.streaming import Peer, opened, run, socket_url

INTS = [DataFilter(1, 12)]


@pytest.mark.parametrize(
    "headers",
    [{}, {"X-Edge-Token": "wrong"}, {"Authorization": "Bearer x.y.z"}, {"X-Edge-Token": "wrong", "Authorization": "ok"}],
)
def test_a_handshake_without_good_credentials_is_refused_before_the_upgrade(server: Server, headers: dict[str, str]) -> None:
    async def test() -> None:
        with pytest.raises(InvalidStatus) as refusal:
            async with connect(socket_url(server), additional_headers=headers):
                pass
        assert refusal.value.response.status_code == 401
        assert refusal.value.response.headers["www-authenticate"] == "Bearer"
        assert b"error_description" in refusal.value.response.body

    run(test)


def test_a_login_opens_a_socket_too_under_any_prefix(server: Server, call: Caller) -> None:
    login = {"username": "somebody", "password": "pass word"}
    token = requests.post(server.url + "/api/v1/authn", json=login, timeout=10).json()["token"]

    async def test() -> None:
        url = socket_url(server, "/some/prefix/")
        async with connect(url, additional_headers={"Authorization": f"Bearer {token}"}) as socket:
            assert await Peer(socket).upstream(call.edge_uuid)

    run(test)


def test_a_server_that_closes_says_goodbye_keeps_what_came_and_leaves_no_thread() -> None:
    before = {thread.name for thread in threading.enumerate()}

    async def test() -> None:
        server = serve()
        call = Caller(server.url)
        edge_uuid = call.edge_uuid
        call.session.close()
        async with opened(server) as reader, opened(server) as stuck, opened(server) as sender:
            await reader.downstream(edge_uuid, INTS)
            await stuck.downstream(edge_uuid, [DataFilter(1, 9)])
            up = await sender.upstream(edge_uuid)
            stuck.socket.transport.pause_reading()
            for n in range(20):
                await sender.write(up, [(n, 9, 1, "jpeg", bytes(2**20))], end=True)
            await sender.acked(20)
            await asyncio.to_thread(server.close)
            for peer in (reader, sender):
                assert await peer.closed() == (1001, "the server is closing")
            stuck.socket.transport.abort()

    run(test)
    assert {thread.name for thread in threading.enumerate() if thread.name.startswith("intdash-frames")} <= before


def test_the_last_acknowledgements_leave_before_the_server_closes(monkeypatch: pytest.MonkeyPatch) -> None:
    closing, append = threading.Event(), Store.append

    def late(*arguments: object, **options: object) -> None:
        closing.wait()
        append(*arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(Store, "append", late)
    stop = stream.Connection.stop
    monkeypatch.setattr(stream.Connection, "stop", lambda each: (stop(each), closing.set()))

    async def test() -> None:
        server = serve()
        call = Caller(server.url)
        uuid, edge_uuid = call.create(), call.edge_uuid
        call.session.close()
        async with opened(server) as peer:
            up = await peer.upstream(edge_uuid, uuid)
            await peer.write(up, [int_row(1)], end=True)
            # The server has read the section once it has answered what came behind it.
            peer.session.open_downstreams([DownstreamSpec(0, edge_uuid, NULL_UUID)])
            await peer.answered()
            closed = asyncio.create_task(asyncio.to_thread(server.close))
            assert await peer.acked() == [True]
            assert (await peer.closed())[0] == 1001
            await closed

    run(test)
