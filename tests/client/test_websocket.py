from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Iterator
from typing import Any

import pandas as pd
import pytest

from intdash_frames import data
from intdash_frames.client import websocket as module
from intdash_frames.client.connection import Connection
from intdash_frames.client.credentials import TokenSource
from intdash_frames.client.websocket import WebSocketConn
from intdash_frames.connect import Client
from intdash_frames.errors import (
    ConnectionLost,
    ISCPConnClosedException,
    PayloadError,
    ResultNGException,
    Unauthorized,
    UsageError,
)
from intdash_frames.model import DataFilter, DownstreamSpec, Edge, Measurement, Unit, UpstreamSpec
from intdash_frames.server.app import Server, serve
from intdash_frames.server.faults import Fault

NOWHERE = "00000000-1111-2222-3333-444444444444"
BASETIME = "2020-07-09T08:34:10.832607123Z"


def unit(number: int, channel: int = 1) -> Unit:
    return Unit(pd.Timedelta(number, unit="us"), channel, data.Int("number", number))


def up(edge: Edge, measurement: Measurement | None = None) -> UpstreamSpec:
    return UpstreamSpec(edge.uuid) if measurement is None else UpstreamSpec(edge.uuid, None, False, True, measurement.uuid)


def down(edge: Edge, *channels: int) -> DownstreamSpec:
    return DownstreamSpec(edge.uuid, [DataFilter("int", channel) for channel in channels or (1,)])


def numbers(connection: Connection, measurement: Measurement) -> list[int]:
    stored = connection.data_points.list("1970-01-01T00:00:00Z", "2200-01-01T00:00:00Z", measurement.uuid)
    return [data.Int.from_payload(each.data_payload).value for each in stored]


def threads() -> set[str]:
    return {thread.name for thread in threading.enumerate() if thread.name.startswith("intdash-frames-live")}


def join_threads() -> None:
    """Wait for the threads of iterators that a closed connection left to themselves."""
    for thread in threading.enumerate():
        if thread.name.startswith("intdash-frames-live"):
            thread.join(10)


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    before = threads()
    yield
    assert threads() <= before


class Inbox:
    """A callback that waits for what it expects."""

    def __init__(self) -> None:
        self.units: list[Unit] = []
        self._arrived = threading.Condition()

    def __call__(self, given: Unit) -> None:
        with self._arrived:
            self.units.append(given)
            self._arrived.notify_all()

    def wait(self, count: int) -> list[Unit]:
        with self._arrived:
            assert self._arrived.wait_for(lambda: len(self.units) >= count, 20), len(self.units)
            return list(self.units)


def test_units_go_up_are_stored_and_come_down_decoded(connection: Connection, me: Edge, measurement: Measurement) -> None:
    inbox = Inbox()
    with WebSocketConn(connection) as conn:
        conn.open_downstreams([down(me)], [inbox])
        conn.open_upstreams([up(me, measurement)], [map(unit, range(3000))])
        assert conn.join(20)
        units = inbox.wait(3000)
    assert units == [unit(number) for number in range(3000)]
    assert numbers(connection, measurement) == list(range(3000))
    assert threads() == set()


def test_several_streams_each_have_their_iterator_and_their_callback(connection: Connection, me: Edge) -> None:
    inboxes = [Inbox(), Inbox()]
    with WebSocketConn(connection, 0) as conn:
        conn.open_downstreams([down(me, 1), down(me, 2, 3)], inboxes)
        conn.open_upstreams(
            specs=[up(me)] * 3, iterators=[[unit(1, 1)], [unit(2, 2)], iter([None, unit(3, 3)])], marker_interval=1
        )
        assert inboxes[0].wait(1) == [unit(1, 1)]
        assert sorted(each.data.value for each in inboxes[1].wait(2)) == [2, 3]


def test_what_is_being_given_is_sent_while_the_iterator_waits_for_more(connection: Connection, me: Edge) -> None:
    given: queue.Queue[Unit | None] = queue.Queue()
    inbox = Inbox()
    with WebSocketConn(connection) as conn:
        conn.open_downstreams([down(me)], [inbox])
        conn.open_upstreams([up(me)], [iter(given.get, None)])
        for number in range(3):
            given.put(unit(number))
            assert inbox.wait(number + 1)[-1] == unit(number)
        assert not conn.join(0)
        given.put(None)
        assert conn.join(20)


def test_closing_sends_what_an_endless_generator_gave_and_closes_it(
    connection: Connection, me: Edge, measurement: Measurement
) -> None:
    given: list[int] = []
    closed: list[bool] = []
    enough = threading.Event()

    def forever() -> Iterator[Unit]:
        try:
            while True:
                given.append(len(given))
                yield unit(given[-1])
                if len(given) >= 100:
                    enough.set()
        finally:
            closed.append(True)

    with WebSocketConn(connection) as conn:
        conn.open_upstreams([up(me, measurement)], [forever()])
        assert enough.wait(20)
    assert closed == [True]
    assert numbers(connection, measurement) == given


def test_an_iterator_that_never_gives_anything_does_not_hold_up_closing_for_long(
    connection: Connection, me: Edge, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "PATIENCE_S", 0.05)
    waits, release, closed = threading.Event(), threading.Event(), threading.Event()

    def stuck() -> Iterator[Unit]:
        try:
            yield unit(1)
            waits.set()
            release.wait()
            yield unit(2)
        finally:
            closed.set()

    with WebSocketConn(connection) as conn:
        conn.open_upstreams([up(me)], [stuck()])
        assert waits.wait(20)
    assert "its iterator gives nothing and does not end" in caplog.text
    release.set()
    join_threads()
    assert closed.is_set()


def test_what_an_iterator_raises_comes_up_in_join_and_close_and_what_it_gave_before_is_sent(
    connection: Connection, me: Edge, measurement: Measurement, caplog: pytest.LogCaptureFixture
) -> None:
    def broken() -> Iterator[Unit]:
        yield unit(1)
        raise KeyError("broken iterator")

    conn = WebSocketConn(connection)
    conn.open_upstreams([up(me, measurement), up(me)], [broken(), []])
    with pytest.raises(KeyError, match="broken iterator"):
        conn.join(20)
    with pytest.raises(KeyError, match="broken iterator"):
        conn.close()
    conn.close()
    assert numbers(connection, measurement) == [1]
    assert "its iterator raised" in caplog.text


@pytest.mark.parametrize(
    ("given", "error", "said"),
    [
        (3, UsageError, "gave int, expected a Unit"),
        (Unit(pd.Timedelta(1), 1, b"raw"), UsageError, "a Unit with bytes"),
        (Unit(pd.Timedelta(-1), 1, data.Int("x", 1)), UsageError, "before the base time"),
        (Unit(pd.Timedelta(1), None, data.Int("x", 1)), UsageError, "channel=None"),
        (Unit(pd.Timedelta(1), 1, data.Int("x", 2**70)), PayloadError, "int"),
    ],
)
def test_a_unit_that_cannot_be_sent_ends_its_iterator_with_an_error(
    connection: Connection, me: Edge, measurement: Measurement, given: Any, error: type[Exception], said: str
) -> None:
    conn = WebSocketConn(connection)
    conn.open_upstreams([up(me, measurement)], [[unit(1), given, unit(2)]])
    for end in (lambda: conn.join(20), conn.close):
        with pytest.raises(error, match=said):
            end()
    assert numbers(connection, measurement) == [1]


def test_a_callback_that_raises_is_logged_and_the_stream_goes_on(
    connection: Connection, me: Edge, caplog: pytest.LogCaptureFixture
) -> None:
    inbox = Inbox()

    def broken(given: Unit) -> None:
        inbox(given)
        raise KeyError("broken callback")

    with WebSocketConn(connection) as conn:
        conn.open_downstreams([down(me)], [broken])
        conn.open_upstreams([up(me)], [[unit(1), unit(2)]])
        inbox.wait(2)
    assert caplog.text.count("of a downstream raised") == 2


def test_callbacks_run_one_at_a_time_in_one_thread_that_is_not_the_callers(connection: Connection, me: Edge) -> None:
    seen: list[threading.Thread] = []
    inbox = Inbox()

    def note(given: Unit) -> None:
        seen.append(threading.current_thread())
        inbox(given)

    with WebSocketConn(connection) as conn:
        conn.open_downstreams([down(me), down(me)], [note, note])
        conn.open_upstreams([up(me)], [map(unit, range(10))])
        inbox.wait(20)
    assert len(set(seen)) == 1
    assert seen[0] is not threading.current_thread()


def test_a_callback_and_an_iterator_may_close_the_connection(connection: Connection, me: Edge) -> None:
    for closes_in_callback in (True, False):
        conn = WebSocketConn(connection)

        def callback(_: Unit, conn: WebSocketConn = conn) -> None:
            conn.close()

        def iterator(conn: WebSocketConn = conn, closes: bool = not closes_in_callback) -> Iterator[Unit]:
            yield unit(1)
            if closes:
                conn.close()

        conn.open_downstreams([down(me)], [callback if closes_in_callback else print])
        conn.open_upstreams([up(me)], [iterator()])
        assert conn._closed.wait(20)


def test_it_works_while_a_loop_is_running(connection: Connection, me: Edge) -> None:
    inbox = Inbox()

    async def cell() -> None:
        with WebSocketConn(connection) as conn:
            conn.open_downstreams([down(me)], [inbox])
            conn.open_upstreams([up(me)], [[unit(1)]])
            inbox.wait(1)

    asyncio.run(cell())
    assert inbox.units == [unit(1)]


def test_a_type_without_a_class_comes_as_opaque_and_goes_back_the_same(connection: Connection, me: Edge) -> None:
    inbox = Inbox()
    opaque = data.Opaque(99, "", b"anything")
    with WebSocketConn(connection) as conn:
        conn.open_downstreams([DownstreamSpec(me.uuid, [DataFilter(99, 1)])], [inbox])
        conn.open_upstreams([up(me)], [[Unit(pd.Timedelta(5), 1, opaque)]])
        came = inbox.wait(1)
    assert came == [Unit(pd.Timedelta(5), 1, opaque)]


def test_wrong_credentials_are_unauthorized_and_leave_no_thread(server: Server) -> None:
    with Client(server.url, "wrong") as client, pytest.raises(Unauthorized):
        client.connect_websocket()
    assert threads() == set()


def test_a_refused_spec_raises_with_the_spec_and_none_of_its_call_stays_open(
    server: Server, connection: Connection, me: Edge
) -> None:
    with WebSocketConn(connection) as conn:
        for specs in ([up(me), UpstreamSpec(NOWHERE)], [UpstreamSpec(NOWHERE)]):
            with pytest.raises(ResultNGException) as caught:
                conn.open_upstreams(specs, [[] for _ in specs])
            assert caught.value.request == UpstreamSpec(NOWHERE)
        with pytest.raises(ResultNGException):
            conn.open_downstreams([down(me), DownstreamSpec(NOWHERE, [])], [print, print])
        assert "0 streams" in repr(conn)
        assert server.streams() == []
        conn.open_upstreams([up(me)], [[]])


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda conn, edge: conn.open_upstreams([up(edge)], []), "1 specs and 0 iterators"),
        (lambda conn, edge: conn.open_upstreams(up(edge), [[]]), "specs is UpstreamSpec, expected a list"),
        (lambda conn, edge: conn.open_upstreams([up(edge)], [7]), r"iterators\[0\] is int"),
        (lambda conn, edge: conn.open_upstreams([up(edge)], [[]], marker_interval=0), "marker_interval=0"),
        (lambda conn, edge: conn.open_upstreams(["x"], [[]]), "spec is str"),
        (lambda conn, edge: conn.open_downstreams([down(edge)], [None]), r"callbacks\[0\] is None"),
        (lambda conn, edge: conn.open_downstreams([down(edge)], [asyncio.sleep]), r"callbacks\[0\] is .*plain function"),
    ],
)
def test_arguments_that_cannot_work_are_refused(connection: Connection, me: Edge, call: Any, said: str) -> None:
    with WebSocketConn(connection) as conn, pytest.raises(UsageError, match=said):
        call(conn, me)


def test_a_closed_connection_opens_nothing(connection: Connection, me: Edge) -> None:
    conn = WebSocketConn(connection)
    conn.close()
    conn.close()
    with pytest.raises(ISCPConnClosedException):
        conn.open_upstreams([up(me)], [[]])
    with pytest.raises(ISCPConnClosedException):
        conn.open_downstreams([down(me)], [print])


# --- lost connections -------------------------------------------------------------------------------------------------


class CountingSource(TokenSource):
    def __init__(self, token: str) -> None:
        self.asked = 0
        self._token = token

    def token(self) -> str:
        self.asked += 1
        return self._token


@pytest.fixture
def own_server() -> Iterator[Server]:
    with serve(edges={"demo": "token"}, users={"alice": "pass word"}) as running:
        yield running


def test_without_reconnection_a_lost_connection_is_said(own_server: Server) -> None:
    with Connection(own_server.url, "token") as connection:
        edge = connection.edges.me()
        conn = WebSocketConn(connection)
        given: queue.Queue[Unit | None] = queue.Queue()
        conn.open_upstreams([up(edge)], [iter(given.get, None)])
        own_server.inject(Fault.drop_socket(after=1))
        given.put(unit(1))
        with pytest.raises(ConnectionLost):
            conn.join(20)
        with pytest.raises(ConnectionLost):
            conn.close()
        given.put(None)
        join_threads()


def test_after_a_lost_connection_everything_that_was_given_is_stored_under_growing_serials(own_server: Server) -> None:
    count = 5000
    with Connection(own_server.url, username="alice", password="pass word") as connection:
        edge = connection.edges.me()
        measurement = connection.measurements.create(edge.uuid, BASETIME)
        source = CountingSource(connection.transport.credential_headers()["Authorization"].removeprefix("Bearer "))
        gate = threading.Event()

        def given() -> Iterator[Unit]:
            for number in range(count):
                yield unit(number)
                if number == count // 2:
                    own_server.inject(Fault.drop_socket(after=1))
                    gate.wait(20)

        inbox = Inbox()
        with WebSocketConn(connection, auto_reconnect=True, token_source=source) as conn:
            conn.open_downstreams([down(edge)], [inbox])
            conn.open_upstreams([up(edge, measurement)], [given()], marker_interval=0.05)
            inbox.wait(count // 2)
            gate.set()
            assert conn.join(20)
        assert conn.reconnects == source.asked - 1 == 1
        stored = numbers(connection, measurement)
        assert sorted(set(stored)) == list(range(count))
        assert {each.data.value for each in inbox.units} >= set(range(count // 2))


def test_a_server_that_comes_back_is_found_again(tmp_path: Any) -> None:
    inbox = Inbox()
    given: queue.Queue[Unit | None] = queue.Queue()
    path = tmp_path / "data.duckdb"
    with serve(path, edges={"demo": "token"}) as server:
        port = int(server.url.rsplit(":", 1)[1])
        connection = Connection(server.url, "token")
        edge = connection.edges.me()
        conn = WebSocketConn(connection, auto_reconnect=True)
        conn.open_downstreams([down(edge)], [inbox])
        conn.open_upstreams([up(edge)], [iter(given.get, None)])
        given.put(unit(1))
        inbox.wait(1)
    given.put(unit(2))
    with serve(path, port=port, edges={"demo": "token"}):
        given.put(unit(3))
        while unit(3) not in inbox.units:
            inbox.wait(len(inbox.units) + 1)
        given.put(None)
        conn.close()
    connection.close()
    assert unit(2) in inbox.units


def test_credentials_that_are_refused_at_a_reconnection_end_it() -> None:
    given: queue.Queue[Unit | None] = queue.Queue()
    with serve(edges={"demo": "token"}) as server:
        port = int(server.url.rsplit(":", 1)[1])
        connection = Connection(server.url, "token")
        edge = connection.edges.me()
        conn = WebSocketConn(connection, auto_reconnect=True)
        conn.open_upstreams([up(edge)], [iter(given.get, None)])
    with serve(port=port, edges={"demo": "another token"}), pytest.raises(Unauthorized):
        conn.join(20)
    with pytest.raises(Unauthorized):
        conn.close()
    given.put(None)
    join_threads()
    connection.close()
