"""The outbox of one connection: what is lost when its reader is slow, and what never is."""

from __future__ import annotations

import asyncio

import pytest

from intdash_frames.codecs.messages import read_message
from intdash_frames.codecs.series import SeriesTable
from intdash_frames.codecs.units import UnitRun
from intdash_frames.protocol.elements import SectionAck
from intdash_frames.protocol.server_session import ServerSession
from intdash_frames.server import outbox as outbox_module
from intdash_frames.server.outbox import PARCEL_BYTES, Lane, Outbox
from intdash_frames.server.parcels import pack
from tests.server.samples import Row, int_row, points_of
from tests.server.streaming import rows_of, run

EMPTY_JPEG: Row = (5, 9, 1, "jpeg", b"")
BASETIMES: list[Row] = [(0, 135, 1, "basetime", b"\2" + bytes([n]) + bytes(7)) for n in range(3)]


def made() -> tuple[ServerSession, Outbox, Lane]:
    session = ServerSession()
    return session, Outbox(session), Lane()


async def taken(outbox: Outbox) -> list[list[object]]:
    """All messages up to the end, as rows and elements."""
    outbox.finish()
    messages: list[list[object]] = []
    while (message := await outbox.next()) is not None:
        found: list[object] = []
        for part in read_message(bytes(message), SeriesTable()):
            found += rows_of(part.points) if isinstance(part, UnitRun) else [part]
        messages.append(found)
    return messages


def test_answers_go_first_and_what_waits_is_joined() -> None:
    async def test() -> None:
        session, outbox, lane = made()
        for n in range(3):
            outbox.put(lane, pack(points_of([int_row(n)]), 1))
        session.acknowledge(1, 4, ok=True)
        assert await taken(outbox) == [[SectionAck(1, 0, 4)], [int_row(0), int_row(1), int_row(2)]]
        assert (lane.sent, lane.dropped) == (3, 0)

    run(test)


def test_a_message_ends_where_it_is_full(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test() -> None:
        _, outbox, lane = made()
        one = pack(points_of([int_row(0)]), 1)
        monkeypatch.setattr(outbox_module, "MESSAGE_BYTES", 2 * len(one.parcels[0].units))
        for _ in range(5):
            outbox.put(lane, one)
        assert await taken(outbox) == [[int_row(0)] * 2, [int_row(0)] * 2, [int_row(0)]]

    run(test)


def test_a_message_ends_behind_a_unit_without_content() -> None:
    async def test() -> None:
        _, outbox, lane = made()
        for rows in ([int_row(0)], [EMPTY_JPEG], [EMPTY_JPEG, int_row(1)], [int_row(2)]):
            outbox.put(lane, pack(points_of(rows), 1))
        assert await taken(outbox) == [[int_row(0), EMPTY_JPEG], [EMPTY_JPEG], [int_row(1), int_row(2)]]

    run(test)


def test_the_oldest_units_give_way_and_are_counted_and_no_answer_does(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test() -> None:
        session, outbox, lane = made()
        other = Lane()
        cost = len(pack(points_of([int_row(0)]), 1).parcels[0].units) + PARCEL_BYTES
        monkeypatch.setattr(outbox_module, "UNITS_BYTES", 3 * cost)
        for n in range(2):
            outbox.put(other, pack(points_of([int_row(n)]), 2))
        session.acknowledge(1, 4, ok=True)
        for n in range(2, 6):
            outbox.put(lane, pack(points_of([int_row(n)]), 1))
        assert await taken(outbox) == [[SectionAck(1, 0, 4)], [int_row(n) for n in (3, 4, 5)]]
        assert (other.sent, other.dropped, lane.sent, lane.dropped) == (0, 2, 3, 1)

    run(test)


def test_the_newest_parcel_waits_however_large_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test() -> None:
        _, outbox, lane = made()
        monkeypatch.setattr(outbox_module, "UNITS_BYTES", 1)
        for n in range(3):
            outbox.put(lane, pack(points_of([int_row(n)]), 1))
        assert await taken(outbox) == [[int_row(2)]]

    run(test)


def test_the_last_base_time_that_was_dropped_is_sent_before_the_next_units_of_its_downstream(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def test() -> None:
        _, outbox, lane = made()
        other = Lane()
        outbox.put(lane, pack(points_of([BASETIMES[0], int_row(1), BASETIMES[1], int_row(2)]), 1))
        outbox.put(lane, pack(points_of([int_row(3)]), 1))
        monkeypatch.setattr(outbox_module, "UNITS_BYTES", 800)
        outbox.put(other, pack(points_of([int_row(4)]), 2))
        outbox.put(lane, pack(points_of([int_row(5), BASETIMES[2]]), 1))
        assert await taken(outbox) == [[int_row(4), BASETIMES[1], int_row(5), BASETIMES[2]]]
        assert lane.dropped == 5

    run(test)


def test_nothing_is_sent_to_a_downstream_that_was_closed() -> None:
    async def test() -> None:
        _, outbox, lane = made()
        other = Lane()
        outbox.put(lane, pack(points_of([int_row(1)]), 1))
        outbox.put(other, pack(points_of([int_row(2)]), 2))
        outbox.forget(lane)
        outbox.put(lane, pack(points_of([int_row(3)]), 1))
        assert await taken(outbox) == [[int_row(2)]]

    run(test)


def test_what_was_withheld_is_counted() -> None:
    async def test() -> None:
        _, outbox, lane = made()
        outbox.put(lane, pack(points_of([int_row(1), (1, 200, 1, "", b"x")]), 1, for_reference=True))
        assert await taken(outbox) == [[int_row(1)]]
        assert (lane.sent, lane.withheld) == (1, 1)

    run(test)


def test_next_waits_for_units_and_for_answers() -> None:
    async def test() -> None:
        session, outbox, lane = made()
        waiting = asyncio.create_task(outbox.next())
        await asyncio.sleep(0)
        assert not waiting.done()
        outbox.put(lane, pack(points_of([int_row(1)]), 1))
        assert await waiting
        waiting = asyncio.create_task(outbox.next())
        await asyncio.sleep(0)
        assert not waiting.done()
        session.acknowledge(1, 1, ok=True)
        outbox.wake()
        assert await waiting == bytes.fromhex("aafa010001000000")

    run(test)


def test_there_is_room_while_few_answers_wait_or_when_nobody_will_read_them(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test() -> None:
        monkeypatch.setattr(outbox_module, "MESSAGE_BYTES", 8)
        session, outbox, _ = made()
        session.acknowledge(1, 1, ok=True)
        await outbox.room()
        session.acknowledge(1, 2, ok=True)
        waiting = asyncio.create_task(outbox.room())
        await asyncio.sleep(0)
        assert not waiting.done()
        await outbox.next()
        await waiting
        for _ in range(3):
            session.acknowledge(1, 2, ok=True)
        waiting = asyncio.create_task(outbox.room())
        await asyncio.sleep(0)
        assert not waiting.done()
        outbox.abandon()
        await waiting

    run(test)
