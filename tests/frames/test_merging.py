"""Streams that overlap come out in the order of time, and nothing is asked of a stream before it is needed."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from intdash_frames.codecs.points import Points
from intdash_frames.codecs.series import Series, SeriesTable
from intdash_frames.frames.build import in_time_order
from intdash_frames.frames.merging import merged, overlapping
from intdash_frames.frames.sources import Range

KEYS = SeriesTable()
for number in range(4):
    KEYS.code(Series(str(number), 1, 1, "x", "1"))


def batch(stream: int, times: list[int]) -> Points:
    count = len(times)
    payloads = np.arange(count, dtype=np.uint8)
    return Points(
        np.asarray(times, np.int64), np.full(count, stream, np.int32), payloads, np.arange(count + 1, dtype=np.int32), KEYS
    )


def cut(times: list[int], sizes: list[int]) -> list[list[int]]:
    parts = []
    for size in sizes:
        parts.append(times[:size])
        times = times[size:]
    return [part for part in [*parts, times] if part]


streams_of_times = st.lists(
    st.builds(cut, st.lists(st.integers(0, 12), max_size=20).map(sorted), st.lists(st.integers(1, 6), max_size=5)),
    min_size=1,
    max_size=4,
)


@given(streams_of_times)
def test_streams_are_merged_as_if_all_was_sorted_at_once(streams: list[list[list[int]]]) -> None:
    batches = [[batch(number, times) for times in parts] for number, parts in enumerate(streams)]
    everything = [each for stream in batches for each in stream]
    got = Points.concat(list(merged([iter(stream) for stream in batches])), KEYS)
    wanted = Points.concat(in_time_order(everything), KEYS)
    assert got.time_ns.tolist() == wanted.time_ns.tolist()
    assert got.series.tolist() == wanted.series.tolist()
    assert [got.payload(row) for row in range(len(got))] == [wanted.payload(row) for row in range(len(wanted))]


def test_what_is_known_comes_before_the_rest_is_read() -> None:
    read: list[str] = []

    def stream(number: int, *parts: list[int]) -> Iterator[Points]:
        for times in parts:
            read.append(f"{number}:{times[0]}")
            yield batch(number, times)

    out = merged([stream(0, [1, 2], [5, 6]), stream(1, [1, 9])])
    assert [next(out).time_ns.tolist(), next(out).time_ns.tolist()] == [[1], [1]]
    assert "0:5" in read
    assert len(read) == 3


def test_only_ranges_that_overlap_are_read_together() -> None:
    ranges = [Range("a", 0, 5), Range("b", 3, 4), Range("c", 4, 8), Range("d", 8, 9), Range("e", 20, 30)]
    assert [[each.name for each in group] for group in overlapping(ranges)] == [["a", "b", "c"], ["d"], ["e"]]
    assert list(overlapping([])) == []
