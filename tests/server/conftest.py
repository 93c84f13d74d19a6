"""A running server and a plain HTTP caller: these tests use no client of ours."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from intdash_frames.codecs.points import Points, ResponseReader
from intdash_frames.codecs.series import SeriesTable
from intdash_frames.server.app import Server, serve

BASETIME = "2020-07-09T08:34:10.832607123Z"
BASETIME_NS = 1594283650832607123
EVER = {"start": "1678-01-01T00:00:00.000000000Z", "end": "2262-04-11T23:47:16.854775807Z", "exit_on_error": "False"}
GOLDEN = Path(__file__).parents[2] / "fixtures" / "golden"


def golden(name: str) -> Any:
    return json.loads((GOLDEN / name).read_text())


class Caller:
    """Calls one server with an edge token."""

    def __init__(self, url: str, token: str = "token") -> None:
        self.url = url
        self.session = requests.Session()
        self.session.headers["X-Edge-Token"] = token

    def __call__(self, method: str, path: str, **options: Any) -> requests.Response:
        return self.session.request(method, self.url + path, timeout=30, **options)

    def json(self, path: str, **query: Any) -> Any:
        answer = self("GET", path, params=query)
        assert answer.status_code == 200, answer.text
        return answer.json()

    @property
    def edge_uuid(self) -> str:
        return str(self.json("/api/v1/edges/me")["uuid"])

    def create(self, **fields: Any) -> str:
        """Make a measurement and give its uuid."""
        answer = self("POST", "/api/v1/measurements", json={"edge_uuid": self.edge_uuid, "basetime": BASETIME} | fields)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["uuid"])

    def store(self, body: bytes, path: str = "/api/v1/measurements/data") -> bytes:
        """Store a body and give the acknowledgement."""
        answer = self("POST", path, data=body)
        assert answer.status_code == 200, answer.text
        return answer.content

    def points(self, name: str, **query: Any) -> Points:
        """The data answer for a name, read by the codec."""
        answer = self("GET", "/api/v1/data", params={"name": name} | EVER | query)
        assert answer.status_code == 200, answer.text
        return read_points(answer.content)

    def rows(self, name: str, **query: Any) -> list[tuple[int, int, int, str, bytes]]:
        """The data answer as rows (elapsed ns since `BASETIME`, data type, channel, data id, payload)."""
        points = self.points(name, **query)
        found = []
        for row, (time_ns, code) in enumerate(zip(points.time_ns.tolist(), points.series.tolist(), strict=True)):
            key = points.keys[code]
            assert key.data_type is not None
            assert key.channel is not None
            found.append((time_ns - BASETIME_NS, key.data_type, key.channel, key.data_id, points.payload(row)))
        return found


def read_points(body: bytes) -> Points:
    reader = ResponseReader(SeriesTable())
    points = reader.feed(body)
    reader.finish()
    return points if points is not None else Points.empty(reader.keys)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with serve(edges={"demo": "token", "second": "other token"}, users={"somebody": "pass word"}) as running:
        yield running


@pytest.fixture(scope="module")
def call(server: Server) -> Iterator[Caller]:
    caller = Caller(server.url)
    yield caller
    caller.session.close()


@pytest.fixture(scope="module")
def second(server: Server) -> Iterator[Caller]:
    """The same server for another edge."""
    caller = Caller(server.url, "other token")
    yield caller
    caller.session.close()
