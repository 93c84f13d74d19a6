"""The body of ``GET /api/v1/data``, made in parts so that memory stays bounded and the first bytes leave early.

Where points came in the order of time, one query streams them. Where they did not, or are large, the range is cut into windows of
time, and each window is a query of its own.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import pairwise

import duckdb
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from intdash_frames.codecs.points import Points, response_frames
from intdash_frames.codecs.series import Series, SeriesTable
from intdash_frames.server.labelled import labelled, with_signals
from intdash_frames.server.selection import DataQuery, Source, find_sources
from intdash_frames.server.store import Store
from intdash_frames.timebase import INT64_MAX

__all__ = ["Answer", "data_answer"]

# A window is a query of its own: some ten megabytes of body, since smaller ones pay more for each query.
PART_POINTS = 131_072
# Parts of large payloads (pictures) are cut by bytes instead, so that a few of them in flight stay far below 100 MB.
PART_BYTES = 16 * 2**20
# A part of a stream costs no query, so it is as small as its way through the threads allows: the reader works on the first ones
# while the last ones are made. A stream cannot be cut by bytes, and DuckDB reads up to eight parts ahead, so only a measurement
# whose payloads are all small is streamed.
STREAMED_POINTS = 16_384
STREAMED_BYTES = 8 * 2**20
# Enough for 250 million evenly spread points in one counting query; a crowded bucket is counted again by itself.
BUCKETS = 4096


@dataclass(frozen=True, slots=True)
class Window:
    """A part of an answer: a range of time, or `take` rows from `skip` on where one instant holds too many."""

    start_ns: int
    end_ns: int
    skip: int = 0
    take: int | None = None


class Answer:
    """Pieces of a body, made one after the other by whichever thread asks; `close` it.

    Parameters
    ----------
    cursor : DuckDBPyConnection
        What `pieces` reads from; closed with the answer.
    pieces : generator of memoryview
    """

    def __init__(self, cursor: duckdb.DuckDBPyConnection, pieces: Generator[memoryview]) -> None:
        self._cursor, self._pieces = cursor, pieces
        # Closing waits for the piece being made: neither a generator nor a cursor may be closed while it works.
        self._lock = threading.Lock()
        self._closed = False

    def next(self) -> memoryview | None:
        """Make the next piece; None at the end or after `close`."""
        with self._lock:
            return None if self._closed else next(self._pieces, None)

    def close(self) -> None:
        """Let go of the database."""
        with self._lock:
            self._closed = True
            self._pieces.close()
            self._cursor.close()


def data_answer(store: Store, query: DataQuery) -> Answer:
    """Find the measurements of a query and prepare its body.

    Parameters
    ----------
    store : Store
    query : DataQuery

    Returns
    -------
    Answer
        Pieces of whole response frames; rows ascend by absolute time, then by order of arrival. All pieces show the store as it
        was when this was called.

    Raises
    ------
    Refused
        404 if the name is no measurement uuid, edge uuid or edge name.
    """
    cursor = store.snapshot()
    try:
        query, keys = with_signals(cursor, query), SeriesTable()
        sources = find_sources(cursor, query)
        if store.recordings is None:
            parts = _parts(cursor, query, sources, keys)
        else:
            parts = store.recordings.parts(query, sources, keys, STREAMED_POINTS)
        return Answer(cursor, _pieces(parts, query, keys))
    except BaseException:
        cursor.close()
        raise


def _pieces(parts: Generator[Points], query: DataQuery, keys: SeriesTable) -> Generator[memoryview]:
    left = query.limit or INT64_MAX
    with closing(parts):
        for part in labelled(parts, query, keys) if query.signals else parts:
            points = part.slice(0, min(left, len(part)))
            left -= len(points)
            if len(points):
                yield response_frames(points)
            if not left:
                return


def _parts(cursor: duckdb.DuckDBPyConnection, query: DataQuery, sources: list[Source], keys: SeriesTable) -> Generator[Points]:
    codes = np.zeros(max((number for source in sources for number in source.series.values()), default=0) + 1, np.int32)
    for source in sources:
        for series, number in source.series.items():
            codes[number] = keys.code(
                Series(source.uuid, series.data_type, series.channel, series.data_id, str(series.data_type))
            )
    most = min(PART_POINTS, query.limit or PART_POINTS)
    alive = sorted(
        (source for source in sources if source.rows(query.start_ns, query.end_ns)), key=lambda source: source.basetime_ns
    )
    if can_stream(alive):
        for source in alive:
            yield from stream(cursor, source, query, min(most, STREAMED_POINTS), codes, keys)
    else:
        for window in plan(cursor, alive, query.start_ns, query.end_ns, most):
            yield fetch(cursor, alive, window, codes, keys)


def can_stream(sources: Collection[Source]) -> bool:
    """Tell whether the rows of measurements, one measurement after the other as stored, ascend by time and are small."""
    return all(source.in_order and source.largest_payload * STREAMED_POINTS <= STREAMED_BYTES for source in sources) and all(
        before.basetime_ns + before.last_elapsed_ns < after.basetime_ns for before, after in pairwise(sources)
    )


def stream(
    cursor: duckdb.DuckDBPyConnection, source: Source, query: DataQuery, most: int, codes: NDArray[np.int32], keys: SeriesTable
) -> Iterator[Points]:
    """Read the rows of a measurement as they are stored, in parts of at most `most` points."""
    sql = f"SELECT elapsed_ns + {source.basetime_ns} AS time_ns, series_id, payload {source.rows(query.start_ns, query.end_ns)}"
    # DuckDB gives rows in the order of insertion; a limit lets it stop early instead of reading ahead.
    if query.limit:
        sql += f" LIMIT {query.limit}"
    with cursor.sql(sql).to_arrow_reader(most) as reader:
        for batch in reader:
            time_ns, series_ids = batch.column("time_ns").to_numpy(), batch.column("series_id").to_numpy()
            yield Points(time_ns, codes[series_ids], *_data_and_offsets(batch.column("payload")), keys)


def plan(
    cursor: duckdb.DuckDBPyConnection, sources: Collection[Source], start_ns: int, end_ns: int, most: int = PART_POINTS
) -> Iterator[Window]:
    """Cut a range of time into windows of about `most` points and `PART_BYTES` bytes.

    One query counts points, and bytes where they can matter, in equal buckets of time. Neighbours are joined up to the wanted
    size; a bucket that is far too full is counted again by itself, and an instant that is (it cannot be cut by time) is read in
    slices.
    """
    alive = [source for source in sources if source.rows(start_ns, end_ns)]
    if not alive:
        return
    start_ns = max(start_ns, min(source.basetime_ns for source in alive))
    end_ns = min(end_ns, max(source.basetime_ns + source.last_elapsed_ns for source in alive) + 1)
    if end_ns - start_ns > 2**62:  # differences of times must stay within 64 bits in SQL
        middle_ns = (start_ns + end_ns) // 2
        yield from plan(cursor, alive, start_ns, middle_ns, most)
        yield from plan(cursor, alive, middle_ns, end_ns, most)
        return

    width_ns = -((start_ns - end_ns) // BUCKETS)
    with_sizes = max(source.largest_payload for source in alive) * most > PART_BYTES
    open_ns, points, size = start_ns, 0, 0
    for bucket, bucket_points, bucket_size in count(cursor, alive, start_ns, end_ns, width_ns, with_sizes=with_sizes):
        bucket_ns = start_ns + bucket * width_ns
        if points and (points + bucket_points > most or size + bucket_size > PART_BYTES):
            yield Window(open_ns, bucket_ns)
            open_ns, points, size = bucket_ns, 0, 0
        points, size = points + bucket_points, size + bucket_size
        if points > 2 * most or size > 2 * PART_BYTES:  # then this bucket is alone in its window
            after_ns = min(bucket_ns + width_ns, end_ns)
            if width_ns > 1:
                yield from plan(cursor, alive, bucket_ns, after_ns, most)
            else:
                take = max(1, min(most, points * PART_BYTES // max(size, 1)))
                yield from (Window(bucket_ns, after_ns, skip, take) for skip in range(0, points, take))
            open_ns, points, size = after_ns, 0, 0
    if points:
        yield Window(open_ns, end_ns)


def count(
    cursor: duckdb.DuckDBPyConnection,
    sources: Collection[Source],
    start_ns: int,
    end_ns: int,
    width_ns: int,
    *,
    with_sizes: bool,
) -> list[tuple[int, int, int]]:
    """Count points and payload bytes in buckets of `width_ns`: rows (bucket, points, bytes), ascending, empty ones left out.

    To count bytes takes three times as long; without `with_sizes` there are 0.
    """
    size = "octet_length(payload)" if with_sizes else "0"
    selects = [
        f"SELECT (elapsed_ns + {source.basetime_ns - start_ns}) // {width_ns} AS bucket, {size} AS size {rows}"
        for source in sources
        if (rows := source.rows(start_ns, end_ns))
    ]
    relation = " UNION ALL ".join(selects)
    return cursor.execute(
        f"SELECT bucket, count(*), sum(size)::BIGINT FROM ({relation}) GROUP BY bucket ORDER BY bucket"
    ).fetchall()


def fetch(
    cursor: duckdb.DuckDBPyConnection, sources: Collection[Source], window: Window, codes: NDArray[np.int32], keys: SeriesTable
) -> Points:
    """Read one window as columns: absolute times ascending, then order of arrival.

    `codes` turns series ids into codes of `keys`.
    """
    selects = [
        f"SELECT elapsed_ns + {source.basetime_ns} AS time_ns, series_id, payload, rowid AS arrival {rows}"
        for source in sources
        if (rows := source.rows(window.start_ns, window.end_ns))
    ]
    sql = " UNION ALL ".join(selects)
    if window.take is not None:
        sql = f"SELECT * FROM ({sql}) ORDER BY arrival LIMIT {window.take} OFFSET {window.skip}"
    table = cursor.sql(sql).to_arrow_table()
    time_ns, arrival = table.column("time_ns").to_numpy(), table.column("arrival").to_numpy()
    payload = table.column("payload").combine_chunks()
    points = Points(time_ns, codes[table.column("series_id").to_numpy()], *_data_and_offsets(payload), keys)
    # A scan gives rows in order of arrival, which mostly is the order of time: looking is cheaper than sorting in SQL.
    steps_ns, steps = np.diff(time_ns), np.diff(arrival)
    if bool(np.all((steps_ns > 0) | ((steps_ns == 0) & (steps > 0)))):
        return points
    return points.take(np.lexsort((arrival, time_ns)))


def _data_and_offsets(payload: pa.BinaryArray) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
    _, offsets, data = payload.buffers()
    rows = (
        np.frombuffer(offsets, np.int32)[payload.offset : payload.offset + len(payload) + 1]
        if len(payload)
        else np.zeros(1, np.int32)
    )
    return (np.frombuffer(data, np.uint8) if data is not None else np.empty(0, np.uint8)), rows
