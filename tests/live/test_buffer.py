"""Memory that slides: what is in it is what was added and not dropped, and it stops growing."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from intdash_frames.live import buffer
from intdash_frames.live.buffer import Buffer, Payloads

steps = st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), max_size=30)


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(buffer, "FIRST_ITEMS", 4)


@pytest.mark.parametrize("most", [None, 60])
@settings(deadline=None, max_examples=60)
@given(steps)
def test_a_buffer_holds_what_was_added_and_not_dropped(most, steps):
    held, expected, number = Buffer(np.int64, most), [], 0
    for most_added, most_dropped in steps:
        added = min(most_added, 60 - len(expected))
        held.room(added)[:] = range(number, number + added)
        expected += range(number, number + added)
        number += added
        dropped = min(most_dropped, len(expected))
        held.drop(dropped)
        del expected[:dropped]
        assert held.items.tolist() == expected
        assert len(held) == len(expected)


def test_memory_of_a_full_window_never_changes():
    held = Buffer(np.int64, 1000)
    for _ in range(10):
        held.room(100)
    full = held.held_bytes
    for sway in range(300):
        held.drop(100 + sway % 7 - 3)
        held.room(min(100, 1000 - len(held)))
        assert held.held_bytes == full
    assert full <= 1000 * 3 // 2 * 8


def test_a_window_that_sways_by_a_tenth_does_not_grow():
    held = Buffer(np.uint8)
    while held.held_bytes == 4 or len(held) < held.held_bytes * 2 // 3 - 1:  # as full as it gets without growing
        held.room(1)
    full = held.held_bytes
    for _ in range(20):
        held.drop(1)
        held.room(1 + full // 10)
        held.drop(full // 10)
        assert held.held_bytes == full


def test_memory_that_is_scarce_when_the_first_items_go_is_taken_then():
    held = Buffer(np.uint8)
    while len(held) < 1000 or len(held) < held.held_bytes * 19 // 20:
        held.room(1)
    held.drop(20)
    full = held.held_bytes
    for _ in range(300):
        held.room(20)
        held.drop(20)
        assert held.held_bytes == full


def test_records_without_fields_take_no_memory():
    held = Buffer(np.dtype([]))
    held.room(9)
    held.drop(2)
    assert len(held.items) == 7
    assert held.held_bytes == 0


strings = st.lists(st.binary(max_size=9), max_size=6)


@pytest.mark.parametrize("most_bytes", [buffer.MOST_PIECE_BYTES, 12])
@settings(deadline=None, max_examples=60)
@given(data=st.data())
def test_payloads_are_those_added_and_not_dropped_in_any_number_of_pieces(most_bytes, data):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(buffer, "MOST_PIECE_BYTES", most_bytes)
        held, expected = Payloads(100), []
        for added in data.draw(st.lists(strings, max_size=8)):
            rows = data.draw(st.lists(st.integers(0, len(added) - 1), max_size=6) if added else st.just([]))
            offsets = np.cumsum([0, *map(len, added)]).astype(np.int32)
            held.append(np.frombuffer(b"".join(added), np.uint8), offsets, np.array(rows, np.int64))
            expected += [added[row] for row in rows]
            dropped = data.draw(st.integers(0, len(expected)))
            held.drop(dropped)
            del expected[:dropped]
            first = data.draw(st.integers(0, len(expected)))
            order = data.draw(st.permutations(range(len(expected) - first)))
            held.reorder(first, np.array(order, np.int64))
            expected[first:] = [expected[first + place] for place in order]
        found = []
        for start, stop in held.pieces():
            own = strings_of(*held.copy(start, stop))
            some = data.draw(st.lists(st.integers(0, stop - start - 1), max_size=4))
            assert strings_of(*held.copy(start, stop, np.array(some, np.int64))) == [own[row] for row in some]
            assert sum(map(len, own)) <= most_bytes
            found += own
        assert found == expected


def strings_of(data, offsets):
    assert offsets.dtype == np.int32
    return [data[start:stop].tobytes() for start, stop in itertools.pairwise(offsets)]
