from __future__ import annotations

import random
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from intdash_frames.server import answers
from intdash_frames.server.answers import data_answer
from intdash_frames.server.catalogue import delete_measurement, put_basetime, update_measurement
from intdash_frames.server.selection import DataQuery, find_sources
from intdash_frames.server.store import Store
from tests.server.conftest import read_points
from tests.server.reading import T0, ask, edge_uuid, flat, new_measurement, new_store
from tests.server.samples import Row, int_row, points_of


@pytest.fixture
def store() -> Iterator[Store]:
    store = new_store()
    yield store
    store.close()


def test_start_is_inclusive_and_end_exclusive_to_the_nanosecond(store: Store) -> None:
    uuid = new_measurement(store, [int_row(elapsed) for elapsed in (0, 1, 2, 3)])
    assert [time_ns - T0 for time_ns, _, _ in flat(store, uuid, T0 + 1, T0 + 3)] == [1, 2]
    assert flat(store, uuid, T0 + 3, T0 + 3) == []
    assert flat(store, uuid, T0 + 3, T0) == []


def test_rows_ascend_by_time_then_by_arrival(store: Store) -> None:
    uuid = new_measurement(store, [int_row(7, 1), int_row(3, 2), int_row(7, 3)])
    store.append(uuid, points_of([int_row(3, 4), int_row(0, 5)]), final=True)
    values = [int.from_bytes(payload[-8:], "little") for _, _, payload in flat(store, uuid)]
    assert values == [5, 2, 4, 1, 3]


def test_the_rows_of_an_edge_come_from_all_its_measurements_merged(store: Store) -> None:
    first = new_measurement(store, [int_row(0), int_row(10), int_row(20)])
    second = new_measurement(store, [int_row(0), int_row(5)], basetime_ns=T0 + 10)
    new_measurement(store, [int_row(0)], edge="other")
    for name in ("demo", edge_uuid(store)):
        found = [(time_ns - T0, uuid) for time_ns, uuid, _ in flat(store, name)]
        assert found == [(0, first), (10, first), (10, second), (15, second), (20, first)]


def test_another_base_time_moves_absolute_times_only(store: Store) -> None:
    uuid = new_measurement(store, [int_row(5)])
    put_basetime(store, uuid, "gps", T0 + 1_000)
    assert [time_ns for time_ns, _, _ in flat(store, uuid)] == [T0 + 5]
    update_measurement(store, uuid, {"basetime_type": "gps"})
    assert [time_ns for time_ns, _, _ in flat(store, uuid)] == [T0 + 1_005]


@pytest.mark.parametrize("limit", [1, 3, 999, 1000, 5000])
@pytest.mark.parametrize("in_order", [True, False])
def test_a_limit_gives_the_first_rows(store: Store, limit: int, in_order: bool) -> None:
    rows = [int_row(i // 7, i) for i in range(1000)]
    uuid = new_measurement(store, rows if in_order else rows[490:] + rows[:490])
    assert [payload for _, _, payload in flat(store, uuid, limit=limit)] == [row[4] for row in rows[:limit]]


@given(
    times=st.lists(st.one_of(st.integers(0, 40), st.integers(0, 10**6), st.integers(0, 2**62)), min_size=1, max_size=60),
    split=st.integers(0, 60),
    range_ns=st.tuples(st.integers(-5, 10**6), st.integers(-5, 2**62)),
    second_ns=st.integers(-(10**6), 10**6),
)
@settings(deadline=None, max_examples=40)
def test_windows_lose_nothing_and_keep_the_order_wherever_they_fall(
    times: list[int], split: int, range_ns: tuple[int, int], second_ns: int
) -> None:
    """Parts of three points and few buckets, so that crowded buckets and crowded instants happen all the time."""
    store = new_store()
    rows = [int_row(elapsed_ns, value) for value, elapsed_ns in enumerate(times)]
    kept: list[tuple[int, int]] = []
    for part, basetime_ns in ((rows[:split], T0), (rows[split:], T0 + second_ns)):
        if part:
            new_measurement(store, part, basetime_ns)
            kept += [(basetime_ns + row[0], row[4]) for row in part]  # type: ignore[misc]
    start_ns, end_ns = T0 + range_ns[0], T0 + range_ns[1]
    expected = sorted((row for row in kept if start_ns <= row[0] < end_ns), key=lambda row: row[0])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(answers, "PART_POINTS", 3)
        patch.setattr(answers, "BUCKETS", 4)
        pieces = ask(store, DataQuery("demo", start_ns, end_ns))
    assert [(time_ns, payload) for piece in pieces for time_ns, _, payload in piece] == expected
    assert all(len(piece) <= 6 for piece in pieces)
    store.close()


@given(
    steps=st.lists(st.lists(st.integers(0, 3), min_size=1, max_size=12), min_size=1, max_size=4),
    gaps_ns=st.lists(st.integers(-2, 4), min_size=4, max_size=4),
    range_ns=st.tuples(st.integers(-2, 20), st.integers(0, 80)),
    limit=st.integers(0, 30),
)
@settings(deadline=None, max_examples=40)
def test_measurements_in_order_give_the_same_rows_whether_they_follow_each_other_or_overlap(
    steps: list[list[int]], gaps_ns: list[int], range_ns: tuple[int, int], limit: int
) -> None:
    """Each begins some nanoseconds after the last point of the one before; equal times within and between them are common."""
    store = new_store()
    kept: list[tuple[int, int, bytes]] = []
    basetimes_ns = [T0]
    for number, (each, gap_ns) in enumerate(zip(steps, gaps_ns, strict=False)):
        elapsed = np.cumsum(each).tolist()
        rows = [int_row(elapsed_ns, len(kept) + i) for i, elapsed_ns in enumerate(elapsed)]
        new_measurement(store, rows, basetimes_ns[-1])
        kept += [(basetimes_ns[-1] + row[0], number, row[4]) for row in rows]
        basetimes_ns.append(basetimes_ns[-1] + elapsed[-1] + gap_ns)
    start_ns, end_ns = T0 + range_ns[0], T0 + range_ns[1]
    expected = sorted((row for row in kept if start_ns <= row[0] < end_ns), key=lambda row: row[0])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(answers, "PART_POINTS", 5)
        found = flat(store, "demo", start_ns, end_ns, limit=limit)
    assert [(row[0], row[2]) for row in found] == [(row[0], row[2]) for row in expected[: limit or None]]
    store.close()


def can_stream(store: Store, name: str) -> bool:
    with store.read() as cursor:
        sources = find_sources(cursor, DataQuery(name, 0, 2**62))
    return answers.can_stream(sorted(sources, key=lambda source: source.basetime_ns))


def test_only_small_points_in_order_are_streamed(store: Store) -> None:
    uuid = new_measurement(store, [int_row(0), int_row(5), int_row(5)])
    assert can_stream(store, uuid)
    new_measurement(store, [int_row(0)], basetime_ns=T0 + 6)
    assert can_stream(store, "demo")  # one begins after the other ends
    new_measurement(store, [int_row(0)], basetime_ns=T0 + 6)
    assert not can_stream(store, "demo")
    assert can_stream(store, uuid)
    store.append(uuid, points_of([(6, 9, 1, "jpeg", bytes(2**16))]), final=True)
    assert not can_stream(store, uuid)


def test_a_stream_comes_in_small_parts_so_that_the_reader_may_begin_early(store: Store) -> None:
    uuid = new_measurement(store, [int_row(i, i) for i in range(100_000)])
    answer = data_answer(store, DataQuery(uuid, 0, 2**62))
    first = answer.next()
    answer.close()
    assert first is not None
    assert 0 < len(read_points(bytes(first))) <= 20_000


def test_an_edge_without_measurements_has_an_empty_answer(store: Store) -> None:
    assert ask(store, DataQuery("demo", 0, 2**62)) == []


def test_an_answer_that_streams_goes_on_showing_the_store_as_it_was(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "PART_POINTS", 10_000)
    uuid = new_measurement(store, [int_row(i, i) for i in range(200_000)])
    answer = data_answer(store, DataQuery(uuid, 0, 2**62))
    bodies = [answer.next()]
    store.append(uuid, points_of([int_row(1), int_row(300_000)]), final=True)
    delete_measurement(store, uuid)
    while (piece := answer.next()) is not None:
        bodies.append(piece)
    answer.close()
    points = read_points(b"".join(bodies))  # type: ignore[arg-type]
    assert np.array_equal(points.time_ns, T0 + np.arange(200_000))


def test_a_stream_that_is_abandoned_lets_go_of_the_database(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "PART_POINTS", 2048)
    uuid = new_measurement(store, [int_row(i, i) for i in range(200_000)])
    for _ in range(20):
        answer = data_answer(store, DataQuery(uuid, 0, 2**62))
        assert answer.next() is not None
        answer.close()
        assert answer.next() is None
    store.append(uuid, points_of([int_row(200_000)]), final=True)
    assert len(flat(store, uuid, T0 + 199_999)) == 2


def test_windows_are_also_cut_by_bytes(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "PART_BYTES", 10_000)
    rows: list[Row] = [(elapsed_ns, 9, 1, "jpeg", random.Random(elapsed_ns).randbytes(4_000)) for elapsed_ns in range(20)]
    same_instant: list[Row] = [(30, 9, 1, "jpeg", bytes([i]) * 4_000) for i in range(20)]
    uuid = new_measurement(store, rows + same_instant)
    pieces = ask(store, DataQuery(uuid, 0, 2**62))
    assert [payload for piece in pieces for _, _, payload in piece] == [row[4] for row in rows + same_instant]
    assert max(len(piece) for piece in pieces) <= 5


def test_times_from_1677_to_2262_are_read(store: Store) -> None:
    earliest_ns = -(2**63 // 10**9) * 10**9
    first = new_measurement(store, [int_row(0), int_row(2**62)], basetime_ns=earliest_ns)
    second = new_measurement(store, [int_row(2**63 - 10**9)], basetime_ns=0)
    found = flat(store, "demo", -(2**63), 2**63 - 1)
    assert [(time_ns, uuid) for time_ns, uuid, _ in found] == [
        (earliest_ns, first),
        (earliest_ns + 2**62, first),
        (2**63 - 10**9, second),
    ]


def test_a_deleted_measurement_leaves_no_rows_behind(store: Store) -> None:
    uuid = new_measurement(store, [int_row(0)])
    delete_measurement(store, uuid)
    assert flat(store, "demo") == []
    again = new_measurement(store, [int_row(9)])
    assert [(time_ns - T0, found) for time_ns, found, _ in flat(store, "demo")] == [(9, again)]
