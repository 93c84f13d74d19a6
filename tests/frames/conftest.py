"""One embedded server for all tests of frames, and a measurement with every kind of payload there is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests

import intdash_frames as idf
from tests.frames.stored import BASETIME_NS, Row, golden_rows, store_rows


@pytest.fixture(scope="session")
def server() -> Iterator[idf.LocalServer]:
    with idf.LocalServer(edges={"demo": "token", "other": "other-token"}) as running:
        yield running


@pytest.fixture(scope="session")
def client(server: idf.LocalServer) -> Iterator[idf.Client]:
    with server.client() as made:
        yield made


@pytest.fixture
def make(client: idf.Client) -> Callable[..., str]:
    """Store rows in a new measurement and give its uuid."""
    return lambda rows, **options: store_rows(client, rows, **options)


class CountingSession(requests.Session):
    """Counts the requests that go out."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[str] = []

    def send(self, request: requests.PreparedRequest, **options: Any) -> requests.Response:
        self.sent.append(str(request.path_url))
        return super().send(request, **options)


@pytest.fixture
def counting(server: idf.LocalServer) -> Iterator[tuple[idf.Client, list[str]]]:
    """A client, and the paths of the requests it sends."""
    with CountingSession() as session, idf.Client(server.url, "token", session=session) as made:
        yield made, session.sent


@pytest.fixture(scope="session")
def golden() -> list[Row]:
    return golden_rows()


@pytest.fixture(scope="session")
def everything(client: idf.Client, golden: list[Row]) -> str:
    """A measurement with every golden payload, malformed ones, unknown types and duplicates."""
    return store_rows(client, golden, basetime_ns=BASETIME_NS)
