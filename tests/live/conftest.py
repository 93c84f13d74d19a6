from __future__ import annotations

from collections.abc import Iterator

import pytest

import intdash_frames as idf


@pytest.fixture(scope="module")
def server() -> Iterator[idf.LocalServer]:
    with idf.LocalServer() as server:
        yield server


@pytest.fixture(scope="module")
def client(server: idf.LocalServer) -> Iterator[idf.Client]:
    with server.client() as client:
        yield client
