"""Streams that overlap come out in the order of time, and nothing is asked of a stream before it is needed."""

from __future__ import annotations

from collections.abc import Generator

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from intdash_frames.codecs.merging import merged
from intdash_frames.codecs.points import Points
from intdash_frames.codecs.series import Series, SeriesTable

KEYS = SeriesTable()
for number in range(5):
    KEYS.code(Series(str(number), 1, 1, "x", "1"))

Row = tuple[int, int, bytes]


def stream(number: int, *parts: list[int], log: list[str] | None = None) -> Generator[Points]:
    """Batches of one series; the payload of a point is its place in the stream."""
    place = 0
    for times in parts:
        if log is not None:
            log.append(f"{number}:{times[0]}")
        count = len(times)
        payloads = np.arange(place, place + count, dtype=np.uint8)
        series, offsets = np.full(count, number, np.int32), np.arange(count + 1, dtype=np.int32)
        yield Points(np.asarray(times, np.int64), series, payloads, offsets, KEYS)
        place += count


def rows(batch: Points) -> list[Row]:
    return [
        (time, code, batch.payload(row))
        for row, (time, code) in enumerate(zip(batch.time_ns.tolist(), batch.series.tolist(), strict=True))
    ]


def cut(times: list[int], sizes: list[int]) -> list[list[int]]:
    parts = []
    for size in sizes:
        parts.append(times[:size])
        times = times[size:]
    return [part for part in [*parts, times] if part]


@given(
    st.lists(
        st.tuples(
            st.integers(0, 4),
            st.builds(cut, st.lists(st.integers(0, 12), max_size=20).map(sorted), st.lists(st.integers(1, 6), max_size=5)),
        ),
        max_size=5,
    )
)
def test_streams_are_merged_as_if_all_was_sorted_at_once(streams: list[tuple[int, list[list[int]]]]) -> None:
    everything = [row for number, (_, parts) in enumerate(streams) for batch in stream(number, *parts) for row in rows(batch)]
    # The instant that a stream is announced for may be earlier than its first point.
    sources = [(parts[0][0] - early if parts else early, stream(number, *parts)) for number, (early, parts) in enumerate(streams)]
    batches = list(merged(sources))
    assert [row for batch in batches for row in rows(batch)] == sorted(everything, key=lambda row: row[0])
    assert all(len(batch) for batch in batches)


def test_what_is_known_comes_before_the_rest_is_read() -> None:
    read: list[str] = []
    out = merged([(0, stream(0, [1, 2], [5, 6], log=read)), (0, stream(1, [1, 9], log=read))])
    assert next(out).time_ns.tolist() == [1, 1]
    assert read == ["0:1", "1:1"]
    assert next(out).time_ns.tolist() == [2]


def test_a_stream_is_not_read_before_its_time_comes() -> None:
    read: list[str] = []
    out = merged([(100, stream(1, [100, 101], log=read)), (0, stream(0, [0, 1], log=read))])
    assert [next(out).time_ns.tolist(), next(out).time_ns.tolist(), read] == [[0], [1], ["0:0"]]
    assert [next(out).time_ns.tolist(), read] == [[100], ["0:0", "1:100"]]


def test_one_stream_alone_is_handed_on_without_a_copy() -> None:
    (batch,) = stream(0, [1, 2, 2, 3])
    out = merged([(1, (each for each in [batch]))])
    assert all(np.shares_memory(part.data, batch.data) for part in out)


def test_streams_are_closed_with_what_merges_them() -> None:
    ended: list[int] = []

    def endless(number: int) -> Generator[Points]:
        try:
            for time_ns in range(1000):
                yield from stream(number, [time_ns])
        finally:
            ended.append(number)

    out = merged([(0, endless(0)), (0, endless(1))])
    next(out)
    out.close()
    assert sorted(ended) == [0, 1]
