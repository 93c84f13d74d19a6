"""What is left of points when those are taken away that are known."""

from collections import Counter

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from intdash_frames.codecs.points import Points
from intdash_frames.codecs.series import Series, SeriesTable
from intdash_frames.live.merge import without
from tests.codecs.some_points import points_of, rows_of

KEYS = [Series("", 9, channel, "jpeg", "9") for channel in range(2)]
rows = st.lists(st.tuples(st.integers(-3, 3), st.sampled_from(KEYS), st.sampled_from([b"", b"a", b"ab", b"b"])), max_size=14)


def left(points, known):
    """The same, one row after the other."""
    budget = Counter(known)
    kept = []
    for row in points:
        if budget[row]:
            budget[row] -= 1
        else:
            kept.append(row)
    return kept


@settings(deadline=None, max_examples=300)
@given(rows, rows)
def test_each_point_is_taken_away_as_often_as_it_is_known(some, known):
    keys = SeriesTable()
    for key in KEYS:
        keys.code(key)
    found = rows_of(without(points_of(some, keys), points_of(known, keys)))
    assert found == left(some, known)


def test_slices_of_larger_columns_are_compared_by_their_own_payloads():
    keys = SeriesTable()
    every = points_of([(time, KEYS[0], bytes([time])) for time in range(9)], keys)
    found = without(every.slice(2, 8), every.slice(4, 6))
    assert [time for time, _, _ in rows_of(found)] == [2, 3, 6, 7]


def test_without_anything_known_nothing_is_copied():
    keys = SeriesTable()
    some = points_of([(1, KEYS[0], b"x")], keys)
    assert without(some, Points.empty(keys)) is some
    assert without(some, points_of([(5, KEYS[0], b"x")], keys)) is some
    assert np.shares_memory(without(some, points_of([(1, KEYS[0], b"y")], keys)).data, some.data)
