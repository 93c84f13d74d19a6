"""Sections on their way into a store that a test can stop, fail and look into."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from intdash_frames.codecs.points import Points
from intdash_frames.protocol.server_session import SectionEnded
from intdash_frames.server import sections as sections_module
from intdash_frames.server.sections import Sections
from intdash_frames.server.store import Refused
from tests.server.samples import Row, int_row, points_of
from tests.server.streaming import rows_of, run


class Desk:
    """Takes what is to be kept and what is acknowledged."""

    def __init__(self) -> None:
        self.kept: list[tuple[str, list[Row], bool]] = []
        self.acks: list[tuple[int, int, bool]] = []
        self.failures: list[Exception] = []
        self.refusals = 0
        self.goes_on = asyncio.Event()
        self.goes_on.set()

    async def append(self, measurement_uuid: str, points: Points, final: bool) -> None:
        await self.goes_on.wait()
        if self.failures:
            raise self.failures.pop()
        self.kept.append((measurement_uuid, rows_of(points), final))

    def acknowledge(self, stream_id: int, serial_number: int, ok: bool) -> None:
        self.acks.append((stream_id, serial_number, ok))

    def refuses(self) -> bool:
        self.refusals -= 1
        return self.refusals >= 0


@contextlib.asynccontextmanager
async def working() -> AsyncIterator[tuple[Desk, Sections]]:
    desk = Desk()
    sections = Sections(desk.append, desk.acknowledge, desk.refuses)
    task = asyncio.create_task(sections.run())
    sections.open(1, "a")
    sections.open(2, None)
    yield desk, sections
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def test_a_section_is_acknowledged_when_it_is_kept_and_not_before() -> None:
    async def test() -> None:
        async with working() as (desk, sections):
            desk.goes_on.clear()
            sections.add(1, points_of([int_row(1), int_row(2)]))
            sections.end(SectionEnded(1, 7, final=False))
            await asyncio.sleep(0)
            assert (desk.kept, desk.acks) == ([], [])
            desk.goes_on.set()
            await sections.drained()
            assert desk.kept == [("a", [int_row(1), int_row(2)], False)]
            assert desk.acks == [(1, 7, True)]

    run(test)


def test_sections_are_kept_in_order_and_the_last_ends_the_measurement() -> None:
    async def test() -> None:
        async with working() as (desk, sections):
            for n in range(3):
                sections.add(1, points_of([int_row(n)]))
                sections.end(SectionEnded(1, n, final=n == 2))
            sections.end(SectionEnded(1, 3, final=False))
            sections.end(SectionEnded(1, 4, final=True))
            await sections.drained()
            rows = [("a", [int_row(n)], n == 2) for n in range(3)]
            assert desk.kept == [*rows, ("a", [], True)]
            assert desk.acks == [(1, n, True) for n in range(5)]

    run(test)


def test_points_of_several_messages_are_kept_at_once_if_they_share_a_table() -> None:
    async def test() -> None:
        async with working() as (desk, sections):
            first, other = points_of([int_row(1), int_row(2)]), points_of([int_row(3, data_id="other")])
            for points in (first.slice(0, 1), first.slice(1, 2), other):
                sections.add(1, points)
            sections.end(SectionEnded(1, 0, final=True))
            await sections.drained()
            assert desk.kept == [("a", [int_row(1), int_row(2)], False), ("a", [int_row(3, data_id="other")], True)]

    run(test)


def test_a_large_section_is_kept_in_parts_and_acknowledged_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test() -> None:
        monkeypatch.setattr(sections_module, "PART_BYTES", 40)
        async with working() as (desk, sections):
            points = points_of([int_row(n) for n in range(4)])
            for n in range(4):
                sections.add(1, points.slice(n, n + 1))
            await sections.drained()
            assert (len(desk.kept), desk.acks) == (2, [])
            sections.end(SectionEnded(1, 0, final=False))
            await sections.drained()
            assert [row for _, rows, _ in desk.kept for row in rows] == [int_row(n) for n in range(4)]
            assert desk.acks == [(1, 0, True)]

    run(test)


@pytest.mark.parametrize("failure", [Refused(404, "no such measurement"), OSError("the disk is full")])
def test_a_section_of_which_anything_could_not_be_kept_is_refused_and_the_next_is_not(
    monkeypatch: pytest.MonkeyPatch, failure: Exception
) -> None:
    async def test() -> None:
        monkeypatch.setattr(sections_module, "PART_BYTES", 1)
        async with working() as (desk, sections):
            desk.failures.append(failure)
            for n in range(3):
                sections.add(1, points_of([int_row(n)]))
            sections.end(SectionEnded(1, 0, final=True))
            sections.add(1, points_of([int_row(9)]))
            sections.end(SectionEnded(1, 1, final=False))
            await sections.drained()
            assert desk.kept == [("a", [int_row(9)], False)]
            assert desk.acks == [(1, 0, False), (1, 1, True)]

    run(test)


def test_what_came_of_an_open_section_is_kept_without_an_acknowledgement() -> None:
    async def test() -> None:
        async with working() as (desk, sections):
            sections.add(1, points_of([int_row(1)]))
            desk.refusals = 1
            sections.close(1)
            sections.close(2)
            await sections.drained()
            assert (desk.kept, desk.acks) == ([("a", [int_row(1)], False)], [])
            assert desk.refusals == 1

    run(test)


def test_a_stream_that_does_not_store_is_acknowledged_and_not_kept() -> None:
    async def test() -> None:
        async with working() as (desk, sections):
            sections.add(2, points_of([int_row(1)]))
            sections.end(SectionEnded(2, 5, final=True))
            await sections.drained()
            assert (desk.kept, desk.acks) == ([], [(2, 5, True)])

    run(test)


def test_a_refusal_on_demand_meets_one_section_and_nothing_of_it_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test() -> None:
        monkeypatch.setattr(sections_module, "PART_BYTES", 1)
        async with working() as (desk, sections):
            desk.refusals = 1
            for serial_number in range(2):
                for n in range(2):
                    sections.add(1, points_of([int_row(n)]))
                sections.end(SectionEnded(1, serial_number, final=False))
            await sections.drained()
            assert desk.kept == [("a", [int_row(0)], False), ("a", [int_row(1)], False)]
            assert desk.acks == [(1, 0, False), (1, 1, True)]

    run(test)


def test_there_is_no_room_while_much_waits_for_the_store(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test() -> None:
        monkeypatch.setattr(sections_module, "WAITING_BYTES", 10)
        async with working() as (desk, sections):
            desk.goes_on.clear()
            sections.add(1, points_of([int_row(1)]))
            await sections.room()
            sections.end(SectionEnded(1, 0, final=False))
            waiting = asyncio.create_task(sections.room())
            await asyncio.sleep(0)
            assert not waiting.done()
            desk.goes_on.set()
            await waiting
            assert len(desk.kept) == 1

    run(test)
