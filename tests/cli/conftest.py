"""Ways to run the command: in this process where nothing depends on the process, as a process of its own where it does."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import NamedTuple

import pytest

from intdash_frames import Client, LocalServer
from intdash_frames.cli.main import main

COMMAND = [sys.executable, "-m", "intdash_frames.cli.main"]


class Ran(NamedTuple):
    code: int
    out: str
    err: str


Run = Callable[..., Ran]
Start = Callable[..., AbstractContextManager["subprocess.Popen[str]"]]


@pytest.fixture(autouse=True)
def _no_server_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("INTDASH_URL", raising=False)
    monkeypatch.delenv("INTDASH_EDGE_TOKEN", raising=False)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run the command line in this process, with the given arguments."""
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)  # put back afterwards

    def _run(*arguments: object) -> Ran:
        monkeypatch.setattr(sys, "argv", ["intdash-frames", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        assert ended.value.code is None or isinstance(ended.value.code, int)
        return Ran(ended.value.code or 0, *capsys.readouterr())

    return _run


@pytest.fixture
def ask(run: Run, server: LocalServer, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a command against the server of these tests."""
    monkeypatch.setenv("INTDASH_URL", server.url)
    monkeypatch.setenv("INTDASH_EDGE_TOKEN", "s3cret")
    return run


@pytest.fixture
def start() -> Start:
    """Run the command line in a process that is gone at the end of the block."""

    @contextlib.contextmanager
    def _start(*arguments: object) -> Iterator[subprocess.Popen[str]]:
        with subprocess.Popen(
            [*COMMAND, *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, encoding="utf-8"
        ) as process:
            try:
                yield process
            finally:
                process.kill()

    return _start


EDGES = {"demo": "s3cret", "日本": "other"}


@pytest.fixture(scope="session")
def server() -> Iterator[LocalServer]:
    with LocalServer(edges=EDGES) as running:
        yield running


@pytest.fixture(scope="session")
def client(server: LocalServer) -> Iterator[Client]:
    with server.client() as made:
        yield made
