"""Files of an export -> points: part by part in order of time, with no more in memory than one part and the next."""

from __future__ import annotations

import contextlib
import hashlib
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final, TypeVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from intdash_frames.codecs.layout import Values
from intdash_frames.codecs.points import Points
from intdash_frames.codecs.series import Series, SeriesTable, number_distinct
from intdash_frames.errors import UsageError
from intdash_frames.folder.manifest import File, Part
from intdash_frames.folder.names import number_of
from intdash_frames.timebase import INT64_MAX, INT64_MIN

__all__ = ["Verified", "one_ahead", "read_part", "read_parts", "series_in"]

# The decoded columns are left alone: what a payload says is for the reader to find out, by the same code as anywhere.
COLUMNS: Final = ("time", "channel", "data_id", "payload")
# Channels are bytes; the number behind them stands for none, so nine bits hold either.
NO_CHANNEL: Final = 256
CHANNEL_BITS: Final = 9

# By the path of a file: its size and its time of change when its digest was right.
Verified = dict[str, tuple[int, int]]

Item = TypeVar("Item")
Read = TypeVar("Read")


def read_parts(
    folder: Path,
    parts: Sequence[Part],
    keys: SeriesTable,
    *,
    start_ns: int = INT64_MIN,
    end_ns: int = INT64_MAX,
    selects: Callable[[Series], bool] | None = None,
    verified: Verified | None = None,
    ahead: bool = True,
) -> Generator[Points]:
    """Give the points of a range, in order of time; while one part is looked at, the next one is read.

    Parameters
    ----------
    folder : Path
    parts : sequence of Part
        Of one measurement, in order of time.
    keys : SeriesTable
        Where series get their codes.
    start_ns, end_ns : int
        Half open range [ns since the epoch].
    selects, verified
        As for `read_part`; called in a thread.
    ahead : bool
        False reads the next part only when it is asked for: for who may well end before.

    Yields
    ------
    Points
        Those of a part, if it has any. What shares an instant is in the order in which it was exported within a data type, and
        in the order of the names of data types among them: the folder does not keep more.

    Raises
    ------
    UsageError
        If a file is not as it was exported.
    """

    def read(part: Part) -> Points:
        # A table of its own: those that are shared know nothing of threads.
        return read_part(folder, part, SeriesTable(), start_ns=start_ns, end_ns=end_ns, selects=selects, verified=verified)

    due = [part for part in parts if any(file.reaches_into(start_ns, end_ns) for file in part.files)]
    if not ahead or len(due) == 1:  # a thread would have nothing to do
        for part in due:
            yield from _named(read(part), keys)
        return
    with ThreadPoolExecutor(1, "intdash-frames-folder-read") as reader:
        for _, waiting in one_ahead(reader, due, read):
            yield from _named(waiting.result(), keys)


def _named(points: Points, keys: SeriesTable) -> Iterator[Points]:
    """Give points the codes of another table, if there are any."""
    if len(points):
        codes = np.asarray([keys.code(key) for key in points.keys], np.int32)
        yield Points(points.time_ns, codes[points.series], points.data, points.offsets, keys)


def series_in(folder: Path, file: File, *, start_ns: int = INT64_MIN, end_ns: int = INT64_MAX) -> frozenset[Series]:
    """Find the series that have a point in a range of a file, by its columns of ids.

    Raises
    ------
    UsageError
        If the file cannot be read. Whether it is as it was exported is for those to check who read the points.
    """
    keys, is_cut = SeriesTable(), file.first_ns < start_ns or file.last_ns >= end_ns
    if file.reaches_into(start_ns, end_ns):
        with _told(file):
            table = _table_of(folder / file.path, ["channel", "data_id", *(["time"] if is_cut else [])])
        if is_cut:
            start, stop = _bounds(table, start_ns, end_ns)
            table = table.slice(start, stop - start)
        _codes_of(file, table, keys, None)
    return frozenset(keys)


def read_part(
    folder: Path,
    part: Part,
    keys: SeriesTable,
    *,
    start_ns: int = INT64_MIN,
    end_ns: int = INT64_MAX,
    selects: Callable[[Series], bool] | None = None,
    verified: Verified | None = None,
) -> Points:
    """Read the points of a part, in order of time.

    Parameters
    ----------
    folder : Path
    part : Part
    keys : SeriesTable
        Where series get their codes.
    start_ns, end_ns : int
        Half open range [ns since the epoch].
    selects : callable, optional
        Says whether the points of a series are wanted; all if not given.
    verified : dict, optional
        Files whose digests are known to be right, each with its size and time of change; what is read is added. Without it, or
        where a file has changed meanwhile, a read checks the digest.

    Returns
    -------
    Points
        Times since the epoch, ids as they were exported.

    Raises
    ------
    UsageError
        If a file is not as it was exported.
    """
    batches = []
    for file in part.files:
        if file.reaches_into(start_ns, end_ns):
            with _told(file):
                table = _table_of(_checked(folder, file, verified), COLUMNS)
            points = _points_of(file, table, keys, start_ns, end_ns, selects)
            if len(points):
                batches.append(points)
    points = Points.concat(batches, keys)
    if len(batches) > 1:
        points = points.take(np.argsort(points.time_ns, kind="stable"))
    return points


def one_ahead(
    reader: ThreadPoolExecutor, items: Iterable[Item], read: Callable[[Item], Read]
) -> Iterator[tuple[Item, Future[Read]]]:
    """Give items with what is read of them; while one is looked at, the next one is being read, and no more than that."""
    waiting: deque[tuple[Item, Future[Read]]] = deque()
    for item in items:
        waiting.append((item, reader.submit(read, item)))
        if len(waiting) == 2:
            yield waiting.popleft()
    yield from waiting


def _checked(folder: Path, file: File, verified: Verified | None) -> Path | pa.BufferReader:
    """What to read a file from, if it is as it was written."""
    path = folder / file.path
    known = path.stat()
    state = known.st_size, known.st_mtime_ns
    if verified is not None and verified.get(file.path) == state:
        return path
    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != file.sha256:
        raise UsageError(f"{file.path} is not as it was exported; export it again into the same folder, which mends it")
    if verified is not None:
        verified[file.path] = state
    return pa.BufferReader(content)


@contextlib.contextmanager
def _told(file: File) -> Iterator[None]:
    """Make what the file system and Arrow say an error of ours, that says what to do."""
    try:
        yield
    except (OSError, pa.ArrowException) as exc:
        raise UsageError(f"{file.path} cannot be read: {exc}; export it again into the same folder, which mends it") from exc


def _table_of(source: Any, columns: Sequence[str]) -> pa.Table:
    import pyarrow.parquet as pq

    with pq.ParquetFile(source) as opened:
        return opened.read(columns=list(columns))


def _points_of(
    file: File, table: pa.Table, keys: SeriesTable, start_ns: int, end_ns: int, selects: Callable[[Series], bool] | None
) -> Points:
    if file.first_ns < start_ns or file.last_ns >= end_ns:
        start, stop = _bounds(table, start_ns, end_ns)
        table = table.slice(start, stop - start)
    time_ns = _times(table)
    codes, chosen = _codes_of(file, table, keys, selects)
    payloads = Values.of(table["payload"].combine_chunks())
    points = Points(time_ns, codes, payloads.data, payloads.offsets, keys)
    return points if chosen.all() else points.take(np.flatnonzero(chosen))


def _times(table: pa.Table) -> NDArray[np.int64]:
    times: NDArray[np.int64] = table["time"].cast(pa.int64()).combine_chunks().to_numpy()
    return times


def _bounds(table: pa.Table, start_ns: int, end_ns: int) -> tuple[int, int]:
    """The rows of a range."""
    start, stop = np.searchsorted(_times(table), [start_ns, max(start_ns, end_ns)]).tolist()
    return start, stop


def _codes_of(
    file: File, table: pa.Table, keys: SeriesTable, selects: Callable[[Series], bool] | None
) -> tuple[NDArray[np.int32], NDArray[np.bool_]]:
    """Series code of each row, and whether it is wanted; those that are not have none."""
    ids = table["data_id"].unify_dictionaries().combine_chunks()
    channels = table["channel"].combine_chunks().cast(pa.int64()).fill_null(NO_CHANNEL).to_numpy()
    distinct, which = number_distinct((ids.indices.to_numpy().astype(np.int64) << CHANNEL_BITS) | channels)
    codes, chosen = np.zeros(len(distinct), np.int32), np.zeros(len(distinct), np.bool_)
    kind = number_of(file.data_type)
    type_text = file.data_type.removeprefix("text:") if kind is None else str(kind)
    for place, each in enumerate(distinct.tolist()):
        channel, data_id = each & ((1 << CHANNEL_BITS) - 1), ids.dictionary[each >> CHANNEL_BITS].as_py()
        key = Series(file.measurement, kind, None if channel == NO_CHANNEL else channel, data_id, type_text)
        if selects is None or selects(key):
            codes[place], chosen[place] = keys.code(key), True
    return codes[which], chosen[which]
