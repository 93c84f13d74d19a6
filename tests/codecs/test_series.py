"""Codes of series: one a key, stable while the dictionary grows, whatever the hashes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from intdash_frames.codecs import kernels
from intdash_frames.codecs.points import ResponseReader, response_frames
from intdash_frames.codecs.series import Interner, Series, SeriesTable, number_distinct
from tests.codecs.some_points import points_of

SERIES = Series("uuid", 12, 1, "x", "12")


def frame(*parts):
    """A frame of a data answer whose key has these three parts, each under 128 bytes."""
    message = b"".join(bytes([tag, len(part)]) + part for tag, part in zip(b"\x12\x1a\x2a", parts, strict=True))
    return len(message).to_bytes(8, "little") + message


def codes_of(interner, keys):
    """Codes that the reading kernel gives to keys, growing the dictionary as needed, and how often it grew."""
    body = np.frombuffer(b"".join(frame(*key) for key in keys), np.uint8)
    codes, offsets = np.empty(len(keys), np.int32), np.zeros(len(keys) + 1, np.int32)
    times, data, untimed = np.empty(len(keys), np.int64), np.empty(len(body), np.uint8), np.zeros(1, np.int64)
    rows = at = grown = 0
    while True:
        rows, at, status = kernels.read_response_frames(
            body, at, len(body), rows, times, codes, offsets, data, interner.state, untimed
        )
        if status != kernels.NEED_SPACE:
            assert (status, rows) == (kernels.DONE, len(keys))
            return list(codes), grown
        interner.grow(512)
        grown += 1


def test_twelve_thousand_keys_keep_their_codes_while_the_dictionary_grows():
    keys = [(b"%d" % (i % 7), b"%d/%x" % (i % 255, i), b"m" * (i % 40)) for i in range(12_000)]
    interner = Interner(keys=4, key_bytes=16)
    first, grown = codes_of(interner, keys)
    assert first == list(range(12_000))
    assert grown > 8
    assert codes_of(interner, keys[::-1]) == (first[::-1], 0)
    assert len(interner) == 12_000
    assert [interner.key(code) for code in range(12_000)] == [(0, *key) for key in keys]


def test_keys_that_differ_only_in_a_border_between_parts_are_different():
    text = b"abcdefghijklmnopqrst"
    keys = [(text[:i], text[i:j], text[j:]) for i in range(len(text) + 1) for j in range(i, len(text) + 1)]
    assert codes_of(Interner(), keys)[0] == list(range(len(keys)))


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(*[st.binary(max_size=3) | st.binary(min_size=7, max_size=18)] * 3), max_size=30))
def test_equal_keys_and_only_they_have_equal_codes(keys):
    interner = Interner(keys=1, key_bytes=1)
    codes, _ = codes_of(interner, keys)
    order = list(dict.fromkeys(keys))
    assert codes == [order.index(key) for key in keys]
    assert [interner.key(code)[1:] for code in range(len(interner))] == order


def hash_before(key, part):
    """The hash of a key when the parts before `part` have gone in."""
    mixed = np.int64(len(key[0]) * 31 + len(key[1]))
    for each in key[:part]:
        mixed = kernels._mix(mixed, np.frombuffer(each, np.uint8), 0, len(each))
    return int(mixed)


def word(number):
    return (number & 2**64 - 1).to_bytes(8, "little")


def hash_with(mixed, octets):
    return int(kernels._mix(np.int64(mixed), np.frombuffer(octets, np.uint8), 0, len(octets)))


@pytest.mark.parametrize("part", range(3))
def test_keys_of_equal_hash_that_differ_in_one_part_are_told_apart(part):
    keys = []
    for i in range(5):
        key = [b"first", b"second", b"third"]
        key[part] = bytes(16)
        first = b"%08d" % i
        key[part] = first + word(hash_with(hash_before(key, part), first) ^ 42)  # cancels what the first word did
        keys.append(tuple(key))
    interner = Interner(keys=1, key_bytes=1)
    assert codes_of(interner, keys + keys)[0] == [0, 1, 2, 3, 4] * 2
    assert len(set(interner.state[2][:5])) == 1


@pytest.mark.parametrize("part", range(2))
def test_key_of_equal_hash_that_only_begins_like_another_is_told_apart(part):
    short, long = [b"first", b"second", b"third"], [b"first", b"second", b"third"]
    short[part], long[part] = b"8 bytes!", bytes(16)
    before = int.from_bytes(short[part], "little") ^ hash_before(short, part)
    long[part] = short[part] + word(hash_with(hash_before(long, part), short[part]) ^ before)
    interner = Interner()
    assert codes_of(interner, [tuple(short), tuple(long)])[0] == [0, 1]
    assert len(set(interner.state[2][:2])) == 1


def test_third_parts_of_equal_ends_are_told_apart():
    parts = [b"8 bytes!" + middle + b"8 bytes!" for middle in (b"", b"a", b"b", b"8 bytes!", b"b" * 20)]
    parts += [b"", b"\0", b"\0\0"]
    assert codes_of(Interner(), [(b"", b"", part) for part in parts])[0] == list(range(len(parts)))


def test_table_numbers_series_in_order_of_appearance():
    table = SeriesTable()
    other = SERIES._replace(channel=2)
    assert [table.code(series) for series in (SERIES, other, SERIES)] == [0, 1, 0]
    assert (len(table), list(table), table[1]) == (2, [SERIES, other], other)


def test_answer_of_many_series_is_read_with_all_of_them():
    rows = [(i, SERIES._replace(data_id=f"signal {i}"), b"") for i in range(3000)]
    reader = ResponseReader()
    points = reader.feed(response_frames(points_of(rows)))
    assert list(reader.keys) == [series for _, series, _ in rows]
    assert points.series.tolist() == list(range(3000))


@settings(deadline=None, max_examples=60)
@given(st.lists(st.integers(0, 9) | st.integers(0, 2**40)))
def test_distinct_values_are_numbered_in_ascending_order(values):
    distinct, numbers = number_distinct(np.asarray(values, np.int64))
    assert distinct.tolist() == sorted(set(values))
    assert [distinct[number] for number in numbers] == values
