from __future__ import annotations

from collections.abc import Iterator

import pytest

from intdash_frames.client.connection import Connection
from intdash_frames.model import Edge, Measurement
from intdash_frames.server.app import Server, serve

BASETIME = "2020-07-09T08:34:10.832607123Z"


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with serve(edges={"demo": "token", "other": "other-token"}, users={"alice": "pass word"}) as running:
        yield running


@pytest.fixture
def connection(server: Server) -> Iterator[Connection]:
    with Connection(server.url, "token") as made:
        yield made


@pytest.fixture
def me(connection: Connection) -> Edge:
    return connection.edges.me()


@pytest.fixture
def measurement(connection: Connection, me: Edge) -> Measurement:
    return connection.measurements.create(me.uuid, BASETIME)
