from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from intdash_frames.codecs.points import Points
from intdash_frames.codecs.series import Series, SeriesTable
from intdash_frames.export.parts import Done, Limits, Track, Tracks, cut, days
from intdash_frames.folder.cell import DAY_NS, Cell

KEYS = SeriesTable()
CODE = KEYS.code(Series("m", 11, 1, "speed", "11"))
LIMITS = Limits(rows=5, size_bytes=40)


def points_at(times: list[int], sizes: list[int]) -> Points:
    offsets = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int32)
    series = np.full(len(times), CODE, np.int32)
    return Points(np.asarray(times, np.int64), series, np.zeros(int(offsets[-1]), np.uint8), offsets, KEYS)


def read(points: Points, start_ns: int, end_ns: int, size: int) -> Iterator[Points]:
    """What a server gives of a range, in batches."""
    low, high = np.searchsorted(points.time_ns, [start_ns, end_ns])
    for at in range(int(low), int(high), size):
        yield points.slice(at, min(at + size, int(high)))


def follow(track: Track, points: Points, size: int, limits: Limits = LIMITS) -> list[tuple[Cell, list[int]]]:
    """Read a track to its end."""
    found = []
    while (cell := track.next()) is not None:
        reach_ns = track.reach_ns(cell)
        batches = read(points, max(cell.start_ns, track.start_ns), reach_ns, size)
        for whole, parts in cut(track, cell, batches, reach_ns, limits):
            found.append((whole, [int(time) for part in parts for time in part.time_ns]))
    return found


@st.composite
def recordings(draw: st.DrawFn) -> tuple[Points, int, int]:
    """Points over up to three days, dense in places, and a range that holds some of them."""
    base = draw(st.integers(-3 * DAY_NS, 3 * DAY_NS))
    step = draw(st.sampled_from([1, 10**3, 10**9, DAY_NS // 50]))
    times = sorted(base + step * each for each in draw(st.lists(st.integers(0, 60), max_size=60)))
    sizes = draw(st.lists(st.integers(0, 60), min_size=len(times), max_size=len(times)))
    start, end = sorted([draw(st.integers(base - step, base + 61 * step)) for _ in range(2)])
    return points_at(times, sizes), start, end


@given(recording=recordings(), size=st.integers(1, 70))
def test_every_point_of_the_range_is_in_one_part_and_the_parts_are_in_order(
    recording: tuple[Points, int, int], size: int
) -> None:
    points, start, end = recording
    found = follow(Track("m", start, end, Done()), points, size)
    assert [time for _, times in found for time in times] == [time for time in points.time_ns.tolist() if start <= time < end]
    assert all(cell.start_ns <= time < cell.end_ns for cell, times in found for time in times)
    assert all(before.end_ns <= after.start_ns for (before, _), (after, _) in itertools.pairwise(found))


@given(recording=recordings(), sizes=st.tuples(st.integers(1, 70), st.integers(1, 70)))
def test_parts_do_not_depend_on_how_the_bytes_came(recording: tuple[Points, int, int], sizes: tuple[int, int]) -> None:
    points, start, end = recording
    one, other = (follow(Track("m", start, end, Done()), points, size) for size in sizes)
    assert one == other


@given(recording=recordings(), size=st.integers(1, 70))
def test_a_part_keeps_the_limits_and_no_larger_one_would(recording: tuple[Points, int, int], size: int) -> None:
    points, start, end = recording
    lengths = np.diff(points.offsets)
    for cell, times in follow(Track("m", start, end, Done()), points, size):
        for within, keeps in ((cell, True), *([(next(cell.around), False)] if cell.level else [])):
            inside = (points.time_ns >= max(within.start_ns, start)) & (points.time_ns < min(within.end_ns, end))
            rows, size_bytes = int(inside.sum()), int(lengths[inside].sum())
            fits = rows <= 1 or (rows <= LIMITS.rows and size_bytes <= LIMITS.size_bytes)
            assert fits == keeps or len(set(times)) == 1


@given(recording=recordings(), size=st.integers(1, 70), data=st.data())
def test_parts_that_are_there_are_not_read_and_the_others_stay_the_same(
    recording: tuple[Points, int, int], size: int, data: st.DataObject
) -> None:
    points, start, end = recording
    whole = follow(Track("m", start, end, Done()), points, size)
    there = {cell for cell, _ in whole if data.draw(st.booleans())}
    rest = follow(Track("m", start, end, Done(there)), points, size)
    assert rest == [(cell, times) for cell, times in whole if cell not in there]


@given(recording=recordings(), size=st.integers(1, 20), data=st.data())
def test_parts_stay_the_same_whoever_takes_half_of_what_lies_ahead(
    recording: tuple[Points, int, int], size: int, data: st.DataObject
) -> None:
    points, start, end = recording
    whole = follow(Track("m", start, end, Done()), points, size)
    found, tracks = [], [Track("m", start, end, Done())]
    while tracks:
        track = tracks.pop(0)
        while (cell := track.next()) is not None:
            reach_ns = track.reach_ns(cell)
            batches = read(points, max(cell.start_ns, start), reach_ns, size)
            for part, parts in cut(track, cell, batches, reach_ns, LIMITS):
                found.append((part, [int(time) for each in parts for time in each.time_ns]))
                if data.draw(st.booleans()) and (half := track.give_half()) is not None:
                    tracks.append(half)
    assert sorted(found) == whole


def test_more_points_of_one_instant_than_a_part_may_hold_stay_together() -> None:
    found = follow(Track("m", 0, 10, Done()), points_at([7] * 50, [1] * 50), 8)
    assert [times for _, times in found if times] == [[7] * 50]


def test_the_days_of_a_range_are_those_it_has_an_instant_of() -> None:
    assert days(DAY_NS - 1, DAY_NS) == [Cell(0)]
    assert days(-1, DAY_NS + 1) == [Cell(-1), Cell(0), Cell(1)]
    assert days(5, 5) == []


def test_the_nearest_cell_is_never_given_away() -> None:
    track = Track("m", 0, 5 * DAY_NS, Done())
    half = track.give_half()
    assert half is not None
    assert [half.next(), half.next(), half.next()] == [Cell(3), Cell(4), None]
    assert Track("m", 0, DAY_NS, Done()).give_half() is None


def test_what_is_abandoned_ends_where_the_track_does() -> None:
    track = Track("m", 0, 3 * DAY_NS + 5, Done())
    assert track.abandon() == 3 * DAY_NS + 5
    assert (track.next(), track.abandon()) == (None, None)


def test_readers_take_tracks_then_halves_and_then_there_is_no_more() -> None:
    long, short = Track("long", 0, 8 * DAY_NS, Done()), Track("short", 0, 1, Done())
    tracks = Tracks([long, short])
    assert (tracks.take(), tracks.take()) == (long, short)
    half = tracks.take()
    assert half is not None
    assert half.next() == Cell(4)
    for track in (long, short, half):
        while track.next() is not None:
            pass
        tracks.finished(track)
    assert tracks.take() is None


@pytest.mark.parametrize("end", ["grew", "finished", "stop"])
def test_a_reader_waits_while_another_may_find_more(end: str) -> None:
    track = Track("m", 0, DAY_NS, Done())
    tracks = Tracks([track])
    assert tracks.take() is track
    taken: list[Track | None] = []
    waiting = threading.Thread(target=lambda: taken.append(tracks.take()))
    waiting.start()
    if end == "grew":
        cell = track.next()
        assert cell is not None
        track.halve(track.halve(cell))
        tracks.grew()
    elif end == "finished":
        tracks.finished(track)
    else:
        tracks.stop()
    waiting.join(10)
    assert [each is not None for each in taken] == [end == "grew"]
