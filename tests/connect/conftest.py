"""A server, the folder exported from it, and a client of each."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import intdash_frames as idf
from tests.connect.twin import Recorded, export_all, record


@pytest.fixture(scope="session")
def origin() -> Iterator[idf.Client]:
    """A client of the server that was exported from."""
    with idf.LocalServer(edges={"demo": "token", "other": "other-token"}) as server, server.client() as client:
        yield client


@pytest.fixture(scope="session")
def recorded(origin: idf.Client) -> Recorded:
    return record(origin)


@pytest.fixture(scope="session")
def folder(origin: idf.Client, recorded: Recorded, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("twin")
    export_all(origin, recorded, path)
    return path


@pytest.fixture(scope="session")
def opened(folder: Path) -> Iterator[idf.Client]:
    with idf.open(folder) as client:
        yield client
