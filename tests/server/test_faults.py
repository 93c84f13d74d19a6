from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import requests
from websockets.exceptions import InvalidStatus

from intdash_frames.errors import UsageError
from intdash_frames.protocol.elements import DataFilter, UpstreamSpec
from intdash_frames.protocol.wire import NULL_UUID
from intdash_frames.server.app import Server, serve
from intdash_frames.server.faults import Fault
from tests.server.conftest import EVER, Caller
from tests.server.samples import body_of, can_row, int_row
from tests.server.streaming import eventually, opened, run


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
        lambda: Fault.drop_socket(after=0),
        lambda: Fault.slow_reader(0),
    ],
)
def test_a_fault_that_cannot_happen_is_refused(make: Callable[[], Fault]) -> None:
    with pytest.raises(UsageError, match="expected"):
        make()


# --- streams ---


def test_a_negative_acknowledgement_meets_a_section_and_nothing_of_it_is_kept(server: Server, call: Caller) -> None:
    uuid, edge_uuid = call.create(), call.edge_uuid

    async def test() -> None:
        server.inject(Fault.nack(times=2))
        async with opened(server) as peer:
            up = await peer.upstream(edge_uuid, uuid)
            for n in range(3):
                await peer.write(up, [int_row(n)], end=True)
            assert await peer.acked(3) == [False, False, True]

    run(test)
    assert call.rows(uuid) == [int_row(2)]


@pytest.mark.parametrize(("fault", "status"), [(Fault.status(503), 503), (Fault.retry_after(2), 429)])
def test_a_handshake_can_be_refused_on_demand(server: Server, fault: Fault, status: int) -> None:
    async def test() -> None:
        server.inject(fault)
        with pytest.raises(InvalidStatus) as refusal:
            async with opened(server):
                pass
        assert refusal.value.response.status_code == status
        assert (refusal.value.response.headers.get("retry-after") == "2") == (status == 429)
        server.inject(Fault.delay(0.01))
        async with opened(server) as peer:
            await peer.idle()

    run(test)


def test_a_socket_is_cut_after_as_many_messages_as_was_said(server: Server, call: Caller) -> None:
    uuid, edge_uuid = call.create(), call.edge_uuid

    async def test() -> None:
        async with opened(server) as peer:
            up = await peer.upstream(edge_uuid, uuid)  # 2 messages, before the fault
            await peer.idle()
            server.inject(Fault.drop_socket(after=3, times=2))
            for n in range(2):
                await peer.write(up, [int_row(n)])
            await peer.idle()
            await peer.write(up, [int_row(2)])
            assert (await peer.closed())[0] == 1006
        async with opened(server) as peer:
            await peer.upstream(edge_uuid)
            peer.session.open_upstreams([UpstreamSpec(0, NULL_UUID, edge_uuid)])
            await peer.send()
            assert (await peer.closed())[0] == 1006
        async with opened(server) as peer:
            for _ in range(5):
                await peer.upstream(edge_uuid)

    run(test)
    eventually(lambda: call.rows(uuid) == [int_row(n) for n in range(3)], server)


def test_messages_count_for_each_socket_by_itself(server: Server, call: Caller) -> None:
    edge_uuid = call.edge_uuid

    async def test() -> None:
        async with opened(server) as sender, opened(server) as reader:
            down, up = await reader.downstream(edge_uuid, [DataFilter(1, 12)]), await sender.upstream(edge_uuid)
            for peer in (sender, reader):
                await peer.idle()
            server.inject(Fault.drop_socket(after=4, times=2))
            for n in range(3):
                await sender.write(up, [int_row(n)])
                await reader.received(down, n + 1)
            await sender.write(up, [int_row(3)])
            assert (await sender.closed())[0] == 1006
            again = await reader.upstream(edge_uuid)
            await reader.write(again, [int_row(4)])
            assert (await reader.closed())[0] == 1006

    run(test)


def test_what_a_slow_reader_is_sent_meanwhile_waits_and_the_oldest_of_too_much_is_dropped(server: Server, call: Caller) -> None:
    rows = [(n, 9, 1, "jpeg", bytes([n]) * 2**20) for n in range(40)]

    async def test() -> None:
        async with opened(server) as sender, opened(server) as reader:
            await reader.downstream(call.edge_uuid, [DataFilter(1, 9)])
            up = await sender.upstream(call.edge_uuid)
            for peer in (sender, reader):
                await peer.idle()
            server.inject(Fault.slow_reader(100))
            for row in rows:
                await sender.write(up, [row])
            sender.session.end_section(up)
            await sender.send()
            await sender.acked()  # the sender is not held up
            (report,) = [each for each in server.streams() if each.direction == "down"]
            assert (report.dropped > 0, report.points) == (True, 1)  # one is on its way

    run(test)


def test_a_reader_that_was_slow_gets_what_waited(server: Server, call: Caller) -> None:
    async def test() -> None:
        async with opened(server) as sender, opened(server) as reader:
            down, up = await reader.downstream(call.edge_uuid, [DataFilter(1, 12)]), await sender.upstream(call.edge_uuid)
            for peer in (sender, reader):
                await peer.idle()
            server.inject(Fault.slow_reader(0.01, times=2))
            for n in range(5):
                await sender.write(up, [int_row(n)])
            assert await reader.received(down, 5) == [int_row(n) for n in range(5)]

    run(test)
