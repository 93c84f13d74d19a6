"""Order of time, names of signals."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from intdash_frames import DataType, SignalKey, UsageError
from intdash_frames.codecs.points import Points
from intdash_frames.codecs.series import Series, SeriesTable
from intdash_frames.frames import build
from tests.server.samples import Row, points_of

batches = st.lists(st.lists(st.integers(0, 20), min_size=1, max_size=8), max_size=5)


@settings(max_examples=100, deadline=None)
@given(batches)
def test_batches_are_put_in_order_of_time_and_of_arrival(times: list[list[int]]) -> None:
    rows: list[Row] = [(time, 9, 1, "jpeg", b"%d.%d" % (i, j)) for i, part in enumerate(times) for j, time in enumerate(part)]
    whole = points_of(rows)
    bounds = [0]
    for part in times:
        bounds.append(bounds[-1] + len(part))
    parts = [whole.slice(start, stop) for start, stop in itertools.pairwise(bounds)]
    ordered = build.in_time_order(parts)
    found = [(int(part.time_ns[i]), part.payload(i)) for part in ordered for i in range(len(part))]
    assert found == sorted(((row[0], row[4]) for row in rows), key=lambda each: each[0])
    if [row[0] for row in rows] == sorted(row[0] for row in rows):
        assert ordered is parts  # nothing is copied that need not be


def key(kind: int | None, channel: int | None, data_id: str, text: str = "") -> Series:
    return Series("", kind, channel, data_id, text or str(kind))


@pytest.mark.parametrize(
    ("series", "expected", "text"),
    [
        (key(1, 2, "000001a0"), SignalKey(DataType.can, 2, "000001a0"), "can:2/000001a0"),
        (key(200, 1, "a/b"), SignalKey(200, 1, "a/b"), "200:1/a/b"),
        (key(None, None, "x", "float64"), SignalKey("float64", None, "x"), "float64:-/x"),
    ],
)
def test_a_series_is_called_by_its_signal(series: Series, expected: SignalKey, text: str) -> None:
    assert build.signal_key(series) == expected
    assert str(build.signal_key(series)) == text
    assert build.find_signal(text, [key(11, 1, "other"), series]) == 1
    assert build.find_signal(expected, [series]) == 0


def test_a_signal_that_was_not_read_is_named_with_those_near() -> None:
    keys = [key(11, 1, "speed"), key(12, 1, "gear")]
    with pytest.raises(UsageError, match="near or present: speed"):
        build.find_signal("spede", keys)
    with pytest.raises(UsageError, match="no points were read at all"):
        build.find_signal("speed", [])
    assert build.nearest("zzz", [SignalKey(DataType.float, 1, str(i)) for i in range(9)]) == [f"float:1/{i}" for i in range(5)]


def test_signals_are_numbered_across_measurements_in_order_of_appearance() -> None:
    keys = SeriesTable()
    for uuid, kind, data_id in (("m1", 11, "unused"), ("m1", 11, "a"), ("m2", 12, "a"), ("m2", 11, "a")):
        keys.code(Series(uuid, kind, 1, data_id, str(kind)))
    points = Points(np.arange(3), np.array([3, 2, 1], np.int32), np.empty(0, np.uint8), np.zeros(4, np.int32), keys)
    codes, signals = build.signal_codes([points])
    assert codes.tolist() == [-1, 0, 1, 0]
    assert [str(build.signal_key(each)) for each in signals] == ["float:1/a", "int:1/a"]
    assert build.signal_codes([])[1] == []
