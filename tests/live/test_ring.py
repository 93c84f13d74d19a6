"""Rows in any order come out sorted, the oldest go first."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from intdash_frames.codecs.series import Series, SeriesTable
from intdash_frames.live import buffer, ring
from intdash_frames.live.ring import Ring
from tests.codecs.some_points import points_of

KEYS = [Series("", 9, channel, "jpeg", "9") for channel in range(3)]
TABLE = SeriesTable()
CODES = [TABLE.code(key) for key in KEYS]

batches = st.lists(st.lists(st.tuples(st.integers(-9, 9), st.sampled_from(CODES)), max_size=6), max_size=8)


@pytest.mark.parametrize("most_unsorted", [0, 3, 8192])
@settings(deadline=None, max_examples=80)
@given(batches=batches, data=st.data())
def test_a_ring_is_a_stable_sort_of_what_was_added_without_the_oldest(most_unsorted, batches, data):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ring, "MOST_UNSORTED", most_unsorted)
        patch.setattr(buffer, "FIRST_ITEMS", 2)
        held, expected, number = Ring(100, {"number": np.int64}, has_payloads=True), [], 0
        for batch in batches:
            rows = [(time, code, number + i) for i, (time, code) in enumerate(batch)]
            number += len(rows)
            points = points_of([(time, KEYS[code], b"%d" % own) for time, code, own in rows], TABLE)
            held.append(points, np.arange(len(rows)), number=np.array([own for _, _, own in rows], np.int64))
            expected = sorted(expected + rows, key=lambda row: row[0])
            instant = data.draw(st.integers(-9, 9))
            assert held.count_before(instant) == sum(time < instant for time, _, _ in expected)
            dropped = data.draw(st.integers(0, len(expected)))
            assert held.drop_oldest(dropped).tolist() == [code for _, code, _ in expected[:dropped]]
            del expected[:dropped]
            assert len(held) == len(expected)
        assert contents(held.copy()) == expected
        wanted = np.array(data.draw(st.lists(st.booleans(), min_size=len(CODES), max_size=len(CODES))))
        assert contents(held.copy(wanted)) == [row for row in expected if wanted[row[1]]]


def contents(copied):
    found = []
    for rows in copied:
        payloads = [rows.data[rows.offsets[i] : rows.offsets[i + 1]].tobytes() for i in range(len(rows))]
        numbers = rows.columns["number"].tolist()
        assert payloads == [b"%d" % number for number in numbers]
        found += zip(rows.time_ns.tolist(), rows.series.tolist(), numbers, strict=True)
    return found


def some(*times):
    return points_of([(time, KEYS[0], b"xyz") for time in times], TABLE)


def test_a_copy_shares_no_memory_with_the_ring():
    held = Ring(100, has_payloads=True)
    held.append(some(1, 2, 3), np.arange(3))
    (rows,) = held.copy()
    (part,) = held.copy(np.array([True]))
    for copied in (rows, part):
        assert not np.shares_memory(copied.time_ns, held["time_ns"])
        assert not np.shares_memory(copied.series, held["series"])
    again = held.copy()[0]
    held.drop_oldest(3)
    held.append(some(9, 9, 9), np.arange(3))
    assert again.time_ns.tolist() == rows.time_ns.tolist() == [1, 2, 3]


def test_payloads_that_are_not_asked_for_are_not_copied():
    held = Ring(100, has_payloads=True)
    held.append(some(1, 2), np.arange(2))
    (rows,) = held.copy(payloads=False)
    assert (len(rows.data), rows.offsets.tolist()) == (0, [0, 0, 0])
    assert len(held.copy()[0].data) == 6


def test_a_ring_without_payloads_takes_whole_batches():
    held = Ring(100)
    held.append(some(5, 7))
    held.append(some(6))
    assert held.copy()[0].time_ns.tolist() == [5, 6, 7]
