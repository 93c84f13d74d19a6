from __future__ import annotations

import socket
import threading
from pathlib import Path

import pytest
import requests
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from intdash_frames.errors import UsageError
from intdash_frames.server.app import Server, serve
from tests.server.conftest import EVER, Caller
from tests.server.samples import body_of, can_row, int_row


def our_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("intdash-frames")]


def test_it_answers_as_soon_as_it_is_made_and_leaves_no_thread() -> None:
    before = our_threads()
    with serve() as server:
        assert server.port > 0
        assert server.url == f"http://127.0.0.1:{server.port}"
        assert requests.get(server.url + "/api/v1/version", timeout=10).status_code == 200
        assert len(our_threads()) > len(before)
    assert our_threads() == before
    with pytest.raises(requests.ConnectionError):
        requests.get(server.url + "/api/v1/version", timeout=10)
    server.close()  # again


def test_it_stops_though_a_connection_is_kept_and_an_answer_is_not_read() -> None:
    server = serve()
    call = Caller(server.url)
    uuid = call.create()
    call.store(body_of(uuid, [can_row(i, i % 9) for i in range(400_000)]))
    idle = requests.Session()
    assert idle.get(server.url + "/api/v1/version", timeout=10).status_code == 200
    unread = call("GET", "/api/v1/data", params={"name": uuid} | EVER, stream=True)
    assert unread.raw.read(8)
    stopped = threading.Thread(target=server.close)
    stopped.start()
    stopped.join(timeout=20)
    assert not stopped.is_alive()
    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        unread.content  # noqa: B018 - reading it is the act
    unread.close()
    idle.close()
    call.session.close()


def test_a_server_that_cannot_start_lets_go_of_its_file(tmp_path: Path) -> None:
    path = tmp_path / "data.duckdb"
    with pytest.raises(UsageError, match=r"cannot listen on 127\.0\.0\.1 port 70000"):
        serve(path, port=70000)
    with pytest.raises(UsageError, match="two edges have the same token"):
        serve(path, edges={"a": "same", "b": "same"})
    serve(path).close()


def test_a_taken_port_is_named() -> None:
    before = our_threads()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UsageError, match=str(port)):
            serve(port=port)
    assert our_threads() == before


def test_the_file_is_free_after_closing_and_holds_everything(tmp_path: Path) -> None:
    path = tmp_path / "data.duckdb"
    with serve(path) as server:
        call = Caller(server.url)
        uuid = call.create(name="kept")
        call.store(body_of(uuid, [int_row(1, 2)]))
        call.session.close()
    with serve(path, edges={"demo": "changed"}) as server:
        old, call = Caller(server.url), Caller(server.url, "changed")
        assert old("GET", "/api/v1/edges/me").status_code == 401
        assert call.json(f"/api/v1/measurements/{uuid}")["name"] == "kept"
        assert call.rows(uuid) == [int_row(1, 2)]
        call.store(body_of(uuid, [int_row(2, 3, data_id="more")]))
        assert len(call.rows(uuid)) == 2
        old.session.close()
        call.session.close()


def test_a_socket_elsewhere_is_refused_with_where_streams_are(server: Server) -> None:
    with pytest.raises(InvalidStatus) as refusal, connect(server.url.replace("http", "ws") + "/api/v1/ws/nothing"):
        pass
    assert refusal.value.response.status_code == 404
    assert b"/api/v1/ws/measurements" in refusal.value.response.body


def test_an_expired_login_is_refused() -> None:
    with serve(users={"anna": "p"}, token_lifetime_s=-1) as server:
        token = requests.post(server.url + "/api/v1/authn", json={"username": "anna", "password": "p"}, timeout=10).json()[
            "token"
        ]
        answer = requests.get(server.url + "/api/v1/edges/me", headers={"Authorization": f"Bearer {token}"}, timeout=10)
    assert answer.status_code == 401
    assert "expired" in answer.json()["error_description"]
