"""Connections that are cut while somebody waits for them."""

import socket
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

import intdash_frames as idf
from intdash_frames.errors import ConnectionLost

PATIENCE_S = 20
LATER = b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 60\r\nContent-Length: 0\r\n\r\n"


@pytest.mark.parametrize("answer", [b"", LATER], ids=["no answer", "another try a minute later"])
def test_what_waits_for_a_server_fails_when_it_is_cut(answer):
    with socket.create_server(("127.0.0.1", 0)) as listening, ThreadPoolExecutor() as pool:
        listening.settimeout(PATIENCE_S)
        host, port = listening.getsockname()
        with idf.Client(f"http://{host}:{port}", "token") as client:
            apart = client.connection.apart()
            asking = pool.submit(apart.edges.me)
            accepted, _ = listening.accept()
            with accepted:
                accepted.recv(2**16)
                accepted.sendall(answer)
                apart.transport.cut()
                with pytest.raises(ConnectionLost):
                    asking.result(PATIENCE_S)
            with pytest.raises(ConnectionLost, match="nobody waits for an answer any more"):
                apart.edges.me()
            apart.close()


def test_nobody_elses_connection_is_cut():
    with idf.LocalServer() as server, server.client() as client:
        apart = client.connection.apart()
        assert apart.edges.me().name == "demo"
        apart.transport.cut()
        assert client.edges.me().name == "demo"
        with client.connection.apart() as another:
            assert another.edges.me().name == "demo"
        apart.close()


def test_a_connection_that_is_being_made_when_it_is_cut_is_not_used():
    with socket.create_server(("127.0.0.1", 0)) as listening:
        host, port = listening.getsockname()
        with idf.Client(f"http://{host}:{port}", "token", retries=0) as client:
            apart = client.connection.apart()
            adapter = apart.transport._cuttable
            made = threading.Event()
            opened = adapter._opened

            def cut_then_open(made_socket):
                made.set()
                apart.transport.cut()
                opened(made_socket)

            adapter._opened = cut_then_open
            with pytest.raises(ConnectionLost, match="it was cut"):
                apart.edges.me()
            assert made.is_set()
            apart.close()
