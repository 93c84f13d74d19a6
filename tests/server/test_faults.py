from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import requests

from intdash_frames.errors import UsageError
from intdash_frames.server.app import Server, serve
from intdash_frames.server.faults import Fault
from tests.server.conftest import EVER, Caller
from tests.server.samples import body_of, can_row, int_row


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """A server of our own: a fault that was left over must not meet the tests of others."""
    with serve() as running:
        yield running


def drain(answer: requests.Response, into: bytearray) -> None:
    for piece in answer.iter_content(1000):
        into += piece


def test_a_status_meets_as_many_requests_as_it_says(server: Server, call: Caller) -> None:
    server.inject(Fault.status(503, times=2))
    statuses = [call("GET", "/api/v1/edges/me").status_code for _ in range(3)]
    assert statuses == [503, 503, 200]


def test_a_fault_waits_for_its_path_and_method(server: Server, call: Caller) -> None:
    server.inject(Fault.status(500, path="/api/v1/measurements/*", method="DELETE"))
    uuid = call.create()
    assert call("GET", f"/api/v1/measurements/{uuid}").status_code == 200
    assert call("DELETE", f"/api/v1/measurements/{uuid}").status_code == 500
    assert call("DELETE", f"/api/v1/measurements/{uuid}").status_code == 204


def test_retry_after_tells_the_seconds(server: Server, call: Caller) -> None:
    server.inject(Fault.retry_after(2))
    answer = call("GET", "/api/v1/edges/me")
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "2")


@pytest.mark.parametrize("path", ["/api/v1/edges", "/api/v1/data"])
def test_a_cut_body_ends_early_and_is_noticed(server: Server, call: Caller, path: str) -> None:
    uuid = call.create()
    call.store(body_of(uuid, [can_row(i, 1) for i in range(100_000)]))
    query = {"name": uuid} | EVER if path.endswith("data") else {}
    whole = call("GET", path, params=query).content
    server.inject(Fault.cut_body(0.25, path=path))
    received = bytearray()
    with pytest.raises((requests.exceptions.ChunkedEncodingError, requests.exceptions.ConnectionError)):
        drain(call("GET", path, params=query, stream=True), received)
    assert len(received) <= len(whole) // 4
    assert whole.startswith(bytes(received))
    assert received or len(whole) < 10_000  # a short body may be dropped with the error
    assert call("GET", "/api/v1/edges/me").status_code == 200


def test_a_lost_answer_was_carried_out(server: Server, call: Caller) -> None:
    uuid = call.create()
    server.inject(Fault.lose_answer(path="/api/v1/measurements/data"))
    with pytest.raises(requests.exceptions.ConnectionError):
        call("POST", "/api/v1/measurements/data", data=body_of(uuid, [int_row(1)]))
    assert call.rows(uuid) == [int_row(1)]


def test_a_negative_acknowledgement_keeps_nothing(server: Server, call: Caller) -> None:
    uuid = call.create()
    server.inject(Fault.nack())
    body = body_of(uuid, [int_row(1)], serial_number=3)
    assert call.store(body) == bytes.fromhex("aafa010103000000")
    assert call.rows(uuid) == []
    assert call.store(body) == bytes.fromhex("aafa010003000000")


def test_a_delay_only_takes_time(server: Server, call: Caller) -> None:
    server.inject(Fault.delay(0.01))
    assert call("GET", "/api/v1/edges/me").status_code == 200


def test_a_page_comes_twice(server: Server, call: Caller) -> None:
    uuid = call.create()
    call.store(body_of(uuid, [int_row(i, i) for i in range(6)]))
    server.inject(Fault.duplicate_page(path="/api/v1/data"))
    first = call.rows(uuid, limit=2)
    later = {"start": "2020-07-09T08:34:10.832607125Z"}
    assert call.rows(uuid, limit=2, **later) == first == [int_row(0, 0), int_row(1, 1)]
    assert call.rows(uuid, limit=2, **later) == [int_row(2, 2), int_row(3, 3)]


def test_faults_happen_in_the_order_injected_one_a_request(server: Server, call: Caller) -> None:
    for code in (500, 502):
        server.inject(Fault.status(code))
    assert [call("GET", "/api/v1/edges/me").status_code for _ in range(3)] == [500, 502, 200]


@pytest.mark.parametrize(
    "make",
    [
        lambda: Fault.status(200),
        lambda: Fault.cut_body(1),
        lambda: Fault.delay(1, times=0),
        lambda: Fault.status(500, path="data"),
    ],
)
def test_a_fault_that_cannot_happen_is_refused(make: Callable[[], Fault]) -> None:
    with pytest.raises(UsageError, match="expected"):
        make()
