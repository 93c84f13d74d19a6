"""A hole: everything comes out once, whatever was shown before, is stored, and waits."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from intdash_frames.codecs.points import Points
from intdash_frames.codecs.series import Series, SeriesTable
from intdash_frames.live.hole import Hole
from tests.codecs.some_points import points_of, rows_of

KEYS = [Series("m", 9, channel, "jpeg", "9") for channel in range(3)]


def table():
    keys = SeriesTable()
    for key in KEYS:
        keys.code(key)
    return keys


@st.composite
def streams(draw):
    """A stream in order of time: (everything, how many were shown before the hole, first one behind it, overlap)."""
    count = draw(st.integers(1, 30))
    steps = draw(st.lists(st.integers(0, 3), min_size=count, max_size=count))
    times = np.cumsum(steps).tolist()
    rows = [(time, KEYS[draw(st.integers(0, 2))], draw(st.sampled_from([b"", b"a", b"b"]))) for time in times]
    lost = draw(st.integers(0, count))
    again = draw(st.integers(lost, count))
    return rows, lost, again, draw(st.integers(0, 5))


@settings(deadline=None, max_examples=300)
@given(streams(), st.data())
def test_a_stream_with_a_hole_is_shown_whole_and_nothing_twice(stream, data):
    rows, lost, again, overlap = stream
    keys = table()
    shown = rows[:lost]
    start_ns = (shown[-1][0] if shown else 0) - overlap
    hole = Hole(start_ns, points_of([row for row in shown if row[0] >= start_ns], keys))
    for row in rows[again:]:
        hole.hold(points_of([row], keys))
    found = list(shown)
    for _ in range(data.draw(st.integers(0, 3))):  # what is stored so far
        stored = data.draw(st.integers(0, len(rows)))
        found += rows_of(hole.read_back(points_of([row for row in rows[:stored] if row[0] >= start_ns], keys)))
    found += rows_of(hole.read_back(points_of([row for row in rows if row[0] >= start_ns], keys)))
    assert hole.is_closed == (again < len(rows))
    found += rows_of(hole.close())
    assert sorted(found) == sorted(rows)
    assert hole.recovered == again - lost


def test_a_hole_stays_open_until_the_first_live_point_of_each_series_is_stored():
    keys = table()
    hole = Hole(0, Points.empty(keys))
    live = [(5, KEYS[0], b"a"), (6, KEYS[1], b"b"), (7, KEYS[0], b"c")]
    hole.hold(points_of(live, keys))
    assert not hole.is_closed
    hole.read_back(points_of([(4, KEYS[0], b"x"), live[0]], keys))
    assert not hole.is_closed
    hole.read_back(points_of([(4, KEYS[0], b"x"), live[0], live[1]], keys))
    assert hole.is_closed
    assert rows_of(hole.close()) == [live[2]]
    assert hole.recovered == 1


def test_a_second_loss_needs_a_point_behind_it():
    keys = table()
    hole = Hole(0, Points.empty(keys))
    hole.hold(points_of([(5, KEYS[0], b"a")], keys))
    hole.lost_again()
    hole.read_back(points_of([(5, KEYS[0], b"a"), (6, KEYS[0], b"b")], keys))
    assert not hole.is_closed
    assert hole.first_held_ns is None
    hole.hold(points_of([(7, KEYS[0], b"c")], keys))
    assert (hole.is_closed, hole.first_held_ns) == (False, 7)
    hole.read_back(points_of([(5, KEYS[0], b"a"), (6, KEYS[0], b"b"), (7, KEYS[0], b"c")], keys))
    assert hole.is_closed


def test_the_oldest_that_wait_are_given_up_beyond_a_bound():
    keys = table()
    hole = Hole(0, Points.empty(keys))
    for time in range(6):
        hole.hold(points_of([(time, KEYS[0], b"x")], keys))
    assert [time for time, _, _ in rows_of(hole.drop_oldest(4))] == [0, 1]
    assert hole.held == 4
    assert [time for time, _, _ in rows_of(hole.close())] == [2, 3, 4, 5]


def test_a_base_time_closes_no_hole_and_waits_with_the_others():
    keys = table()
    basetime = Series("m", 135, 0, "basetime", "135")
    hole = Hole(100, Points.empty(keys))
    hole.hold(points_of([(3, basetime, b"t")], keys))  # elapsed 0, long before the hole
    assert (hole.is_closed, hole.first_held_ns, hole.held) == (False, None, 1)
    hole.hold(points_of([(105, KEYS[0], b"a")], keys))
    hole.read_back(points_of([(104, KEYS[0], b"x"), (105, KEYS[0], b"a")], keys))
    assert (hole.is_closed, hole.first_held_ns) == (True, 105)
    assert rows_of(hole.close()) == [(3, basetime, b"t")]
    assert hole.recovered == 1


def test_what_comes_live_once_more_is_counted_as_repeated_and_not_as_recovered():
    keys = table()
    before = [(1, KEYS[0], b"a"), (2, KEYS[0], b"b")]
    hole = Hole(0, points_of(before, keys))
    hole.hold(points_of([before[1], (4, KEYS[0], b"d")], keys))
    assert rows_of(hole.read_back(points_of([*before, (3, KEYS[0], b"c"), (4, KEYS[0], b"d")], keys))) == [
        (3, KEYS[0], b"c"),
        (4, KEYS[0], b"d"),
    ]
    assert rows_of(hole.close()) == []
    assert (hole.recovered, hole.repeated) == (1, 1)
