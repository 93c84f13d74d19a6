from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any
from unittest.mock import patch
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from intdash_frames.client import history
from intdash_frames.client.connection import Connection
from intdash_frames.client.history import PointsQuery, Tally
from intdash_frames.codecs.points import Points, response_frames, store_body
from intdash_frames.errors import ApiError, ConnectionLost, RemoteProtocolError, TimedOut
from intdash_frames.protocol.endpoints import DATA_STORE
from intdash_frames.server.app import Server
from intdash_frames.server.faults import Fault
from intdash_frames.timebase import to_iso
from intdash_frames.transport.retry import RetryPolicy
from tests.client.conftest import BASETIME
from tests.server.conftest import BASETIME_NS
from tests.server.samples import int_row, points_of
from tests.transport.loopback import Answer, Loopback, answer, chunked

READ = "/api/v1/data"
RETRIES = 3
UUID = "414c343c-1e2f-7ed4-c2ce-78e57311d8a3"

Pair = tuple[int, int]  # elapsed time [ns] and the value of an Int


@pytest.fixture
def waits(connection: Connection) -> list[float]:
    """What the connection would have waited; it does not."""
    waits: list[float] = []
    connection.transport.policy = RetryPolicy(RETRIES, sleep=waits.append)
    return waits


@pytest.fixture(autouse=True)
def disarmed(server: Server) -> Iterator[None]:
    yield
    server._faults._armed.clear()


def columns(pairs: Sequence[Pair], *, since_ns: int = 0) -> Points:
    points = points_of([int_row(*pair) for pair in pairs], UUID)
    points.time_ns[:] += since_ns
    return points


def frames(pairs: Sequence[Pair]) -> bytes:
    """The body of an answer."""
    return bytes(response_frames(columns(pairs, since_ns=BASETIME_NS)))


def stored(connection: Connection, pairs: Sequence[Pair]) -> PointsQuery:
    """Store points in a new measurement; the question for all of them."""
    uuid = connection.measurements.create(connection.edges.me().uuid, BASETIME).uuid
    connection.transport.send(DATA_STORE.request(body=store_body(columns(pairs), measurement_uuid=uuid)))
    return PointsQuery(uuid, BASETIME_NS, BASETIME_NS + 10**9)


def pairs_of(*batches: Points) -> list[Pair]:
    return [
        (int(batch.time_ns[row]) - BASETIME_NS, int.from_bytes(batch.payload(row)[-8:], "little"))
        for batch in batches
        for row in range(len(batch))
    ]


def in_time_order(pairs: Sequence[Pair]) -> list[Pair]:
    return sorted(pairs, key=lambda pair: pair[0])


EVER = PointsQuery(UUID, BASETIME_NS, BASETIME_NS + 10**9)
PAIRS = [(5, 1), (5, 2), (6, 3), (9, 4), (9, 4), (9, 5)]


def questions(peer: Loopback) -> list[dict[str, list[str]]]:
    return [parse_qs(urlsplit(seen.path).query) for seen in peer.seen]


@contextlib.contextmanager
def client_of(peer: Loopback, **options: Any) -> Iterator[Connection]:
    with Connection(peer.url, "token", **options) as made:
        made.transport.policy = RetryPolicy(RETRIES, sleep=lambda _: None)
        yield made


# --- one answer ---


def test_a_range_is_read_in_the_order_of_time_and_of_arrival(connection: Connection) -> None:
    query = stored(connection, [(9, 0), (5, 1), (9, 2), (5, 3)])
    tally = Tally()
    assert pairs_of(*history.points(connection, query, tally=tally)) == [(5, 1), (5, 3), (9, 0), (9, 2)]
    assert (tally.points, tally.pages, tally.requests) == (4, 1, 1)
    assert (tally.retries, tally.duplicates, tally.untimed, tally.disordered) == (0, 0, 0, False)
    assert tally.bytes > 4 * 50


def test_start_is_in_the_range_and_end_is_not(connection: Connection) -> None:
    query = stored(connection, PAIRS)
    part = PointsQuery(query.name, BASETIME_NS + 6, BASETIME_NS + 9)
    assert pairs_of(*history.points(connection, part)) == [(6, 3)]


def test_nothing_is_asked_about_an_empty_range() -> None:
    with Connection("http://127.0.0.1:1", "token") as nowhere:
        assert list(history.points(nowhere, PointsQuery(UUID, 5, 5))) == []


def test_a_selection_goes_into_the_question(peer: Loopback) -> None:
    peer.answers = [answer(200, b"")]
    with client_of(peer) as connection:
        query = PointsQuery(UUID, BASETIME_NS, BASETIME_NS + 1, ("12:1/i", "1:*/*"), ("speed",), exit_on_error=True)
        assert list(history.points(connection, query)) == []
    assert questions(peer) == [
        {
            "name": [UUID],
            "start": [to_iso(BASETIME_NS)],
            "end": [to_iso(BASETIME_NS + 1)],
            "exit_on_error": ["true"],
            "label": ["speed"],
            "idq": ["12:1/i", "1:*/*"],
        }
    ]


# --- cuts ---


crowded = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 2)), max_size=40)


@given(
    pairs=crowded,
    cuts=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(1, RETRIES)), max_size=3),
    piece_bytes=st.sampled_from([1, 7, 64, 333, 1 << 21]),
    head=st.none() | st.integers(1, 45),
)
@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_read_that_is_cut_anywhere_loses_and_repeats_nothing(
    server: Server,
    connection: Connection,
    pairs: list[Pair],
    cuts: list[tuple[float, int]],
    piece_bytes: int,
    head: int | None,
) -> None:
    connection.transport.policy = RetryPolicy(len(cuts) * RETRIES, sleep=lambda _: None)
    query = stored(connection, pairs)
    for at, times in cuts:
        server.inject(Fault.cut_body(at, times, path=READ))
    tally = Tally()
    with patch.multiple(history, FIRST_PIECE_BYTES=piece_bytes, LARGEST_PIECE_BYTES=piece_bytes):
        found = pairs_of(*history.points(connection, query, head=head, tally=tally))
    server._faults._armed.clear()
    assert found == in_time_order(pairs)[:head]
    if head is None:
        assert tally.points == len(pairs)
        # A cut in an empty answer is one like any other: only what came tells.
        assert tally.retries == sum(times for _, times in cuts)
        assert tally.requests == 1 + tally.retries
        assert tally.pages == tally.requests
        assert not tally.disordered


def test_rows_that_come_again_after_a_cut_are_counted_and_not_given(peer: Loopback) -> None:
    whole = frames(PAIRS)
    peer.answers = [answer(200, whole, sent=len(frames(PAIRS[:4])) + 3), answer(200, frames(PAIRS[3:]))]
    tally = Tally()
    with client_of(peer) as connection, patch.multiple(history, FIRST_PIECE_BYTES=1, LARGEST_PIECE_BYTES=1):
        assert pairs_of(*history.points(connection, EVER, tally=tally)) == PAIRS
    assert [each["start"] for each in questions(peer)] == [[to_iso(BASETIME_NS)], [to_iso(BASETIME_NS + 9)]]
    assert (tally.points, tally.retries, tally.requests, tally.duplicates) == (6, 1, 2, 1)


@pytest.mark.parametrize("cut", ["length", "chunks", "end of the connection", "silence"])
def test_every_way_for_an_answer_to_end_early_is_a_cut(peer: Loopback, cut: str) -> None:
    whole = frames(PAIRS)
    part = whole[:-5]
    first = {
        "length": answer(200, whole, sent=len(part)),
        "chunks": chunked(part, ends=False),
        # without any length, the end of the connection is the end of the answer; only the last frame tells that it is not
        "end of the connection": Answer(b"HTTP/1.0 200 OK\r\n\r\n" + part, close=True),
        "silence": Answer(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(whole) + part),
    }[cut]
    peer.answers = [first, answer(200, frames(PAIRS[3:]))]
    tally = Tally()
    with (
        client_of(peer, timeout=(5, 0.5 if cut == "silence" else 30)) as connection,
        patch.multiple(history, FIRST_PIECE_BYTES=64, LARGEST_PIECE_BYTES=64),
    ):
        assert pairs_of(*history.points(connection, EVER, tally=tally)) == PAIRS
    assert (tally.retries, tally.requests) == (1, 2)


def test_when_the_tries_are_used_up_the_cut_is_raised_after_what_was_read(peer: Loopback) -> None:
    whole = frames(PAIRS)
    # the second answer brings something new, so counting starts again; what follows brings nothing
    peer.answers = [
        answer(200, whole, sent=len(frames(PAIRS[:2])) + 1),
        answer(200, whole, sent=len(frames(PAIRS[:3])) + 1),
        answer(200, whole, sent=0),
    ]
    found: list[Pair] = []
    tally = Tally()
    with client_of(peer) as connection, patch.multiple(history, FIRST_PIECE_BYTES=1, LARGEST_PIECE_BYTES=1):
        reading = history.points(connection, EVER, tally=tally)
        with pytest.raises(ConnectionLost, match="ended before the answer did"):
            found.extend(pair for batch in reading for pair in pairs_of(batch))
    assert found == PAIRS[:3]
    assert tally.points == 3
    assert len(peer.seen) == tally.requests == 2 + RETRIES


def test_a_silent_server_times_out(peer: Loopback) -> None:
    peer.answers = [Answer(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n")]
    waits: list[float] = []
    with client_of(peer, timeout=(5, 0.02)) as connection:
        connection.transport.policy = RetryPolicy(RETRIES, sleep=waits.append)
        with pytest.raises(TimedOut):
            list(history.points(connection, EVER))
    assert len(waits) == RETRIES  # a busy machine may give up a try before the peer has seen it


@pytest.mark.parametrize(
    ("fault", "error"),
    [(Fault.status(503, times=99, path=READ), ApiError), (Fault.lose_answer(times=99, path=READ), ConnectionLost)],
)
def test_tries_to_open_an_answer_are_not_multiplied(
    server: Server, connection: Connection, waits: list[float], fault: Fault, error: type[Exception]
) -> None:
    query = stored(connection, PAIRS)
    server.inject(fault)
    with pytest.raises(error):
        list(history.points(connection, query))
    assert len(waits) == RETRIES


def test_tries_to_open_an_answer_are_counted(server: Server, connection: Connection, waits: list[float]) -> None:
    query = stored(connection, PAIRS)
    server.inject(Fault.status(503, times=2, path=READ))
    server.inject(Fault.lose_answer(path=READ))
    tally = Tally()
    assert pairs_of(*history.points(connection, query, tally=tally)) == PAIRS
    assert (tally.retries, tally.requests) == (3, 1)


def test_bytes_that_are_no_answer_are_an_error_and_not_asked_for_again(peer: Loopback) -> None:
    peer.answers = [answer(200, frames(PAIRS) + b"\x05" + bytes(7) + b"\xff" * 5)]
    with client_of(peer) as connection, pytest.raises(RemoteProtocolError, match="corrupt at byte"):
        list(history.points(connection, EVER))
    assert len(peer.seen) == 1


# --- pages ---


@pytest.mark.parametrize("limit", range(1, 9))
def test_pages_of_any_length_lose_and_repeat_nothing(connection: Connection, limit: int) -> None:
    pairs = [(1, 0), (2, 1), (2, 2), (2, 1), (2, 1), (2, 3), (7, 1)]
    found = list(history.pages(connection, stored(connection, pairs), limit=limit))
    assert pairs_of(*found) == pairs
    assert all(0 < len(page) <= limit for page in found)


@given(pairs=crowded, limit=st.integers(1, 12), at=st.floats(0, 1, exclude_max=True), cuts=st.integers(0, 2))
@settings(deadline=None, max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_pages_of_crowded_instants_lose_and_repeat_nothing_even_when_cut(
    server: Server, connection: Connection, pairs: list[Pair], limit: int, at: float, cuts: int
) -> None:
    connection.transport.policy = RetryPolicy(2, sleep=lambda _: None)
    query = stored(connection, pairs)
    if cuts:
        server.inject(Fault.cut_body(at, cuts, path=READ))
    found = list(history.pages(connection, query, limit=limit))
    server._faults._armed.clear()
    assert pairs_of(*found) == in_time_order(pairs)


def test_without_limit_there_is_one_page_even_of_nothing(connection: Connection) -> None:
    query = stored(connection, PAIRS)
    assert [pairs_of(page) for page in history.pages(connection, query)] == [PAIRS]
    nothing = PointsQuery(query.name, BASETIME_NS + 100, BASETIME_NS + 200)
    assert [len(page) for page in history.pages(connection, nothing)] == [0]
    assert list(history.pages(connection, nothing, limit=3)) == []


def test_a_page_that_comes_twice_is_given_once(server: Server, connection: Connection) -> None:
    pairs = [(1, 0), (2, 1), (3, 2), (4, 3), (5, 4), (6, 5), (7, 6)]
    query = stored(connection, pairs)
    server.inject(Fault.duplicate_page(path=READ))
    found = list(history.pages(connection, query, limit=3))
    assert pairs_of(*found) == pairs


def test_a_short_page_of_converted_signals_is_not_the_last_one(peer: Loopback) -> None:
    peer.answers = [answer(200, frames([(1, 1)])), answer(200, frames([(1, 1), (2, 2)])), answer(200, frames([(2, 2)]))]
    query = PointsQuery(UUID, BASETIME_NS, BASETIME_NS + 10, labels=("speed",))
    with client_of(peer) as connection:
        assert pairs_of(*history.pages(connection, query, limit=4)) == [(1, 1), (2, 2)]
    # the third brings nothing new, so the fourth asks for all that is left
    assert [each.get("limit") for each in questions(peer)] == [["4"], ["4"], ["4"], None]


def test_the_first_points_are_asked_for_with_a_limit(connection: Connection) -> None:
    query = stored(connection, PAIRS)
    for head in range(1, 8):
        tally = Tally()
        assert pairs_of(*history.points(connection, query, head=head, tally=tally)) == PAIRS[:head]
        assert tally.requests == 1
        assert tally.points == min(head, len(PAIRS))


# --- servers that do not sort ---


def test_a_limited_answer_out_of_order_is_dropped_and_everything_asked_for(peer: Loopback) -> None:
    peer.answers = [answer(200, frames([(3, 1), (9, 2), (6, 3)])), answer(200, frames(PAIRS))]
    tally = Tally()
    with client_of(peer) as connection:
        assert pairs_of(*history.points(connection, EVER, head=3, tally=tally)) == PAIRS[:3]
    assert [each.get("limit") for each in questions(peer)] == [["3"], None]
    assert (tally.requests, tally.retries, tally.disordered) == (2, 0, False)


def test_points_of_a_dropped_answer_are_not_counted(peer: Loopback) -> None:
    peer.answers = [answer(200, frames([(3, 1), (9, 2), (6, 3)])), answer(200, frames(PAIRS))]
    tally = Tally()
    with client_of(peer) as connection, patch.multiple(history, FIRST_PIECE_BYTES=1, LARGEST_PIECE_BYTES=1):
        assert pairs_of(*history.points(connection, EVER, head=6, tally=tally)) == PAIRS
    assert tally.points == 6


def test_pages_of_a_server_that_does_not_sort_hold_everything_once(peer: Loopback) -> None:
    mixed = [(3, 1), (9, 2), (6, 3), (6, 3), (2, 0)]
    peer.answers = [answer(200, frames(mixed[:3])), answer(200, frames(mixed))]
    with client_of(peer) as connection:
        found = list(history.pages(connection, EVER, limit=3))
    assert Counter(pairs_of(*found)) == Counter(mixed)
    assert max(map(len, found)) <= 3


@pytest.mark.parametrize("piece_bytes", [1, 100, 1 << 21])
def test_an_answer_without_limit_out_of_order_is_given_and_said_to_be(peer: Loopback, piece_bytes: int) -> None:
    mixed = [(3, 1), (9, 2), (6, 3), (6, 3), (9, 9), (2, 0)]
    peer.answers = [answer(200, frames(mixed))]
    tally = Tally()
    with client_of(peer) as connection, patch.multiple(history, FIRST_PIECE_BYTES=piece_bytes, LARGEST_PIECE_BYTES=piece_bytes):
        batches = list(history.points(connection, EVER, tally=tally))
    assert Counter(pairs_of(*batches)) == Counter(mixed)
    assert all((np.diff(batch.time_ns) >= 0).all() for batch in batches)
    assert tally.disordered
    assert tally.points == len(mixed)


def test_an_answer_out_of_order_cannot_be_continued_after_a_cut(peer: Loopback) -> None:
    mixed = frames([(3, 1), (9, 2), (6, 3), (6, 3)])
    peer.answers = [answer(200, mixed, sent=len(mixed) - 1)]
    with (
        client_of(peer) as connection,
        patch.multiple(history, FIRST_PIECE_BYTES=1, LARGEST_PIECE_BYTES=1),
        pytest.raises(ConnectionLost),
    ):
        list(history.points(connection, EVER))
    assert len(peer.seen) == 1


# --- letting go ---


@pytest.mark.parametrize("limit", [None, 2])
def test_a_read_that_is_given_up_closes_its_answer(connection: Connection, monkeypatch: pytest.MonkeyPatch, limit: int) -> None:
    query = stored(connection, PAIRS)
    open_answers = 0
    stream = connection.transport.stream

    @contextlib.contextmanager
    def watched(request: Any) -> Iterator[Any]:
        nonlocal open_answers
        open_answers += 1
        try:
            with stream(request) as opened:
                yield opened
        finally:
            open_answers -= 1

    monkeypatch.setattr(connection.transport, "stream", watched)
    monkeypatch.setattr(history, "FIRST_PIECE_BYTES", 1)
    monkeypatch.setattr(history, "LARGEST_PIECE_BYTES", 1)
    reading = history.points(connection, query, head=limit)
    assert len(next(reading)) == 1
    assert open_answers == (1 if limit is None else 0)
    reading.close()
    assert open_answers == 0
    assert pairs_of(*history.points(connection, query)) == PAIRS


def test_reading_goes_on_while_the_measurement_is_read_again(connection: Connection) -> None:
    query = stored(connection, [(each, each) for each in range(1000)])
    with patch.multiple(history, FIRST_PIECE_BYTES=4096, LARGEST_PIECE_BYTES=4096):
        both = zip(history.points(connection, query), history.points(connection, query), strict=True)
        assert all(pairs_of(one) == pairs_of(other) for one, other in both)
