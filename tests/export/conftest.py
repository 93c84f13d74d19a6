"""One embedded server for all tests of exports, and a measurement with every kind of payload there is."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import intdash_frames as idf
from tests.frames.conftest import CountingSession
from tests.frames.stored import BASETIME_NS, golden_rows, store_rows


@pytest.fixture(scope="session")
def server() -> Iterator[idf.LocalServer]:
    with idf.LocalServer(edges={"demo": "token", "other": "other-token"}) as running:
        yield running


@pytest.fixture(scope="session")
def client(server: idf.LocalServer) -> Iterator[idf.Client]:
    with server.client() as made:
        yield made


@pytest.fixture
def counting(server: idf.LocalServer) -> Iterator[tuple[idf.Client, list[str]]]:
    """A client, and the paths of the requests it sends."""
    with CountingSession() as session, idf.Client(server.url, "token", session=session) as made:
        yield made, session.sent


@pytest.fixture(scope="session")
def everything(client: idf.Client) -> str:
    """A measurement with every golden payload, malformed ones, unknown types and duplicates."""
    return store_rows(client, golden_rows(), basetime_ns=BASETIME_NS)
