"""The vendor's SDK in a process of its own, and an embedded server for it to talk to."""

from __future__ import annotations

import json
import os
import subprocess
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import pytest

import intdash_frames as idf
from intdash_frames.server.app import serve
from tests.interop.ours import Ours
from tests.interop.rows import BASETIME_NS

ENVIRONMENT = Path(__file__).parents[2] / ".venv-interop"
DRIVER = Path(__file__).with_name("reference_driver.py")
HERE = Path(__file__).parent


class ReferenceFailed(Exception):
    """The vendor's SDK raised; the text is `TypeName: message`."""


class Reference:
    """One client object of the vendor's SDK. Calls go to it by name, see `reference_driver.py` for the marks in arguments."""

    def __init__(self, process: subprocess.Popen[str], **connect: Any) -> None:
        self._process = process
        self.api_version = self._ask({"connect": connect})["api_version"]

    def call(self, method: str, /, **arguments: Any) -> Any:
        return self._ask({"call": method, "args": arguments})

    def keep(self, method: str, /, **arguments: Any) -> Kept:
        """Call a method, and keep what it returns for calls on it."""
        return Kept("client", self).keep(method, **arguments)

    def gathered(self, name: str, count: int) -> Any:
        """The arguments of all calls of a callback, once there were so many."""
        return self._ask({"gathered": name, "count": count})

    def encode(self, value: Any) -> Any:
        return self._ask({"encode": value})

    def rewrite(self, message: bytes) -> tuple[list[str], str]:
        """What the SDK reads of a message, each element written anew, and the kind of exception that ended it."""
        answer = self._ask({"elements": message.hex()})
        return answer["written"], answer["ended_by"]

    def _ask(self, command: dict[str, Any]) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(command) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        assert line, "the vendor's SDK ended without an answer; its standard error says why"
        answer = json.loads(line)
        if "error" in answer:
            raise ReferenceFailed(answer["error"])
        return answer["result"]


class Kept(NamedTuple):
    """An object that lives in the process of a `Reference`."""

    name: str
    reference: Reference

    def call(self, method: str, /, **arguments: Any) -> Any:
        return self.reference._ask({"call": method, "on": self.name, "args": arguments})

    def each(self, method: str, many: list[dict[str, Any]]) -> Any:
        """Call a method once for each set of arguments."""
        return self.reference._ask({"call": method, "on": self.name, "each": many})

    def keep(self, method: str, /, **arguments: Any) -> Kept:
        name = uuid.uuid4().hex
        self.reference._ask({"call": method, "on": self.name, "args": arguments, "keep": name})
        return Kept(name, self.reference)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    # The stamp and not the interpreter: an installation that broke half way leaves an interpreter too.
    if (ENVIRONMENT / ".made").exists():
        return
    reason = f"the vendor's SDK is not installed in {ENVIRONMENT.name}: run `make interop`"
    if os.environ.get("REQUIRE_INTEROP"):
        raise pytest.UsageError(reason)
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(scope="module")
def server() -> Iterator[Any]:
    with serve(edges={"demo": "token"}, users={"someone": "password"}) as running:
        yield running


@pytest.fixture(scope="module")
def start_reference() -> Iterator[Callable[..., Reference]]:
    """Start the SDK with the arguments of its client: one process each, because its clients share a table of headers."""
    with ExitStack() as running:

        def start(**connect: Any) -> Reference:
            # A proxy named in the environment would get the loopback calls.
            environment = {key: value for key, value in os.environ.items() if not key.lower().endswith("_proxy")}
            process = subprocess.Popen(
                [ENVIRONMENT / "bin" / "python", DRIVER],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                encoding="utf-8",
                env=environment,
            )
            # Leaving closes its input, which ends it, and waits for that.
            running.enter_context(process)
            return Reference(process, **connect)

        yield start


@pytest.fixture(scope="module")
def reference(server: Any, start_reference: Callable[..., Reference]) -> Reference:
    return start_reference(url=server.url, edge_token="token")


@pytest.fixture(scope="module")
def client(server: Any) -> Iterator[idf.Client]:
    with idf.Client(server.url, "token") as ours:
        yield ours


@pytest.fixture(scope="module")
def ours(client: idf.Client) -> Ours:
    return Ours(client)


@pytest.fixture(scope="module")
def edge(client: idf.Client) -> str:
    return client.edges.me().uuid


@pytest.fixture
def measurement_uuid(client: idf.Client, edge: str) -> str:
    """Of a new measurement for a stream."""
    return client.measurements.create(edge_uuid=edge, basetime=pd.Timestamp(BASETIME_NS, tz="UTC"), name="stream").uuid
