"""A reader: what fits is handed over in order, what does not is told once."""

import pytest

from intdash_frames.codecs.series import Series, SeriesTable
from intdash_frames.errors import GapError
from intdash_frames.live.readers import Reader
from tests.codecs.some_points import points_of, rows_of

KEY = Series("m", 9, 0, "jpeg", "9")
KEYS = SeriesTable()


def some(*times):
    return points_of([(time, KEY, b"x") for time in times], KEYS)


def taken(reader):
    found = []
    while (points := reader.take()) is not None:
        found += [time for time, _, _ in rows_of(points)]
    return found


def test_points_come_in_order_and_each_gift_is_announced():
    told = []
    reader = Reader(10, lambda: told.append(1))
    reader.give(some(1, 2))
    reader.give(some(3))
    assert taken(reader) == [1, 2, 3]
    assert not reader.is_finished
    reader.end()
    assert (reader.is_finished, len(told)) == (True, 3)


def test_what_does_not_fit_is_told_once_behind_what_was_there_before():
    reader = Reader(3, lambda: None)
    for times in [(1, 2), (3, 4), (5,), (6, 7)]:
        reader.give(some(*times))
    reader.end()
    assert rows_of(reader.take())[0][0] == 1
    assert rows_of(reader.take())[0][0] == 5
    assert not reader.is_finished
    with pytest.raises(GapError, match="too slow: 4 points were left out when 3 waited") as caught:
        reader.take()
    assert (caught.value.start_ns, caught.value.end_ns) == (3, 8)
    assert reader.take() is None
    assert reader.is_finished


def test_a_batch_larger_than_the_bound_is_taken_by_a_reader_who_has_nothing():
    reader = Reader(1, lambda: None)
    reader.give(some(1, 2, 3))
    assert taken(reader) == [1, 2, 3]
