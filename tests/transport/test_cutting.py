"""Connections that are cut while somebody waits for them."""

import threading

import pytest

import intdash_frames as idf
from intdash_frames.errors import ConnectionLost


@pytest.fixture(scope="module")
def server():
    with idf.LocalServer() as server:
        yield server


@pytest.mark.parametrize(
    "fault",
    [idf.Fault.delay(600, path="/api/v1/edges*"), idf.Fault.retry_after(60, path="/api/v1/edges*")],
    ids=["answer", "retry"],
)
def test_what_waits_for_a_server_fails_when_it_is_cut_and_nobody_elses_call_does(server, fault):
    client = server.client()
    apart = client.connection.apart()
    apart.edges.me()
    server.inject(fault)
    failures = []

    def ask():
        try:
            apart.edges.list()
        except ConnectionLost as exc:
            failures.append(exc)

    waiting = threading.Thread(target=ask)
    waiting.start()
    apart.transport.cut()
    waiting.join(20)
    assert not waiting.is_alive()
    assert len(failures) == 1
    with pytest.raises(ConnectionLost, match="nobody waits"):
        apart.edges.me()
    assert client.edges.me().name == "demo"
