"""What was shown last: where a hole would begin, and what of it is known."""

import numpy as np
import pytest

from intdash_frames.codecs.series import Series, SeriesTable
from intdash_frames.live.recent import Recent
from tests.codecs.some_points import points_of, rows_of

FAST, BEHIND, BASE = Series("m", 9, 1, "a", "9"), Series("m", 9, 2, "b", "9"), Series("m", 135, 0, "basetime", "135")
SECOND = 10**9


def recent(*batches, most=1000):
    """After batches of (when they came, rows of (time in seconds, series))."""
    keys = SeriesTable()
    made = Recent(keys, most)
    for now_s, rows in batches:
        made.add(points_of([(int(time * SECOND), series, b"x") for time, series in rows], keys), now_s)
    return made


def times(made, start_ns):
    return [time / SECOND for time, _, _ in rows_of(made.since(start_ns))]


def test_before_the_first_point_nothing_is_known():
    made = recent()
    assert (made.newest_ns, made.start_ns, len(made.since(0))) == (None, None, 0)


def test_a_hole_begins_two_seconds_before_the_last_point():
    made = recent((0, [(time, FAST) for time in range(10)]))
    assert (made.newest_ns, made.start_ns) == (9 * SECOND, 7 * SECOND)
    assert times(made, made.start_ns) == [7, 8, 9]


def test_a_hole_begins_where_the_series_that_is_furthest_behind_was_last():
    made = recent((0, [(100, BEHIND), (130, FAST), (101, BEHIND), (131, FAST)]))
    assert (made.newest_ns, made.start_ns) == (131 * SECOND, 99 * SECOND)
    assert times(made, made.start_ns) == [100, 101, 130, 131]


def test_a_series_that_has_fallen_silent_does_not_hold_the_beginning_back():
    made = recent((0, [(10, BEHIND), (10, FAST)]), *((now, [(10 + now, FAST)]) for now in range(1, 9)))
    assert made.start_ns == 16 * SECOND
    assert times(made, made.start_ns) == [16, 17, 18]


def test_a_stamp_of_the_far_future_is_forgotten_with_the_next_point_of_its_series():
    made = recent((0, [(10, FAST)]), (1, [(10**6, FAST)]), (2, [(12, FAST)]))
    assert (made.newest_ns, made.start_ns) == (12 * SECOND, 10 * SECOND + 1)


@pytest.mark.parametrize("order", [[BASE, FAST], [FAST, BASE]])
def test_base_times_say_nothing_of_where_a_stream_is(order):
    made = recent((0, [({BASE: 0, FAST: 50}[series], series) for series in order]))
    assert (made.newest_ns, made.start_ns) == (50 * SECOND, 48 * SECOND)
    assert recent((0, [(0, BASE)])).start_ns is None


def test_a_hole_begins_behind_what_is_no_longer_known():
    made = recent((0, [(time / 10, FAST) for time in range(100)]), most=5)
    assert made.start_ns == round(9.4 * SECOND) + 1
    assert times(made, made.start_ns) == [9.5, 9.6, 9.7, 9.8, 9.9]
    lately = recent((0, [(50, FAST)]), (1, [(53, FAST)]), (1, [(40, BEHIND)]))
    assert lately.start_ns == 50 * SECOND + 1  # what is older was let go before the other series came up


def test_what_is_given_is_a_copy():
    made = recent((0, [(1, FAST)]))
    before = made.since(0)
    made.add(points_of([(2 * SECOND, FAST, b"y")], made.since(0).keys), 0)
    assert np.array_equal(before.time_ns, [SECOND])
