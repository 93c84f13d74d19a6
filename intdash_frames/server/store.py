"""Points and what describes them, in one DuckDB database: a file that survives ``kill -9``, or memory.

A point is a row (measurement, series, elapsed time, payload), appended in order of arrival; the payload stays as it came and
nothing is unique, so a point that comes twice is there twice. Absolute times are not stored: they follow from the base time in
use, so that changing it moves them all.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import duckdb
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from intdash_frames.codecs.payload import unpack
from intdash_frames.codecs.points import Points
from intdash_frames.codecs.series import Series
from intdash_frames.errors import IntdashError, PayloadError, UsageError
from intdash_frames.model import BasetimeType, DataType
from intdash_frames.timebase import INT64_MAX

if TYPE_CHECKING:
    from intdash_frames.server.recordings import Recordings

__all__ = ["Refused", "SeriesId", "Store", "one"]

# DuckDB keeps other processes out of a file, but opens it as often as one likes in its own. Two stores would both be the one
# writer and give the same numbers to different series.
_opening = threading.Lock()
_open_files: set[Path | None] = set()

# No keys and no indexes: DuckDB's scans skip by the range of each row group, an index would only slow the appends, and the one
# writer checks what must be unique. Strings of an account or a measurement are never used to find points; the small ids are.
SCHEMA = """
CREATE TABLE IF NOT EXISTS settings(name VARCHAR, value BLOB);
CREATE TABLE IF NOT EXISTS edges(
    uuid VARCHAR, name VARCHAR, description VARCHAR, nickname VARCHAR, type VARCHAR, disabled BOOLEAN,
    created_ns BIGINT, updated_ns BIGINT, last_login_ns BIGINT, token_digest BLOB);
CREATE TABLE IF NOT EXISTS users(edge_uuid VARCHAR, salt BLOB, digest BLOB);
CREATE TABLE IF NOT EXISTS measurements(
    id INTEGER, uuid VARCHAR, name VARCHAR, description VARCHAR, edge_uuid VARCHAR, basetime_type VARCHAR,
    last_elapsed_ns BIGINT, ended BOOLEAN, protected BOOLEAN, created_ns BIGINT, updated_ns BIGINT,
    in_order BOOLEAN, largest_payload BIGINT);
CREATE TABLE IF NOT EXISTS basetimes(
    measurement_id INTEGER, type VARCHAR, basetime_ns BIGINT, created_ns BIGINT, updated_ns BIGINT);
CREATE TABLE IF NOT EXISTS series(series_id INTEGER, measurement_id INTEGER, data_type INTEGER, channel INTEGER, data_id VARCHAR);
CREATE TABLE IF NOT EXISTS points(measurement_id INTEGER, series_id INTEGER, elapsed_ns BIGINT, payload BLOB);
CREATE TABLE IF NOT EXISTS markers(
    uuid VARCHAR, measurement_id INTEGER, name VARCHAR, description VARCHAR, type VARCHAR, start_us BIGINT,
    end_us BIGINT, tag VARCHAR, created_ns BIGINT, created_by VARCHAR, updated_ns BIGINT, updated_by VARCHAR);
CREATE TABLE IF NOT EXISTS signals(
    uuid VARCHAR, label VARCHAR, description VARCHAR, data_type INTEGER, data_id VARCHAR, channel INTEGER,
    conversion VARCHAR, display VARCHAR, hash VARCHAR, created_ns BIGINT, updated_ns BIGINT);
CREATE TABLE IF NOT EXISTS captures(
    uuid VARCHAR, name VARCHAR, description VARCHAR, start_ns BIGINT, duration_ns BIGINT, edge_uuid VARCHAR, shared BOOLEAN,
    created_ns BIGINT, updated_ns BIGINT);
"""
# Columns that the first files lack. What such a file holds is taken for the worst, which is slower to answer and never wrong.
LATER_COLUMNS = """
ALTER TABLE measurements ADD COLUMN IF NOT EXISTS in_order BOOLEAN DEFAULT false;
ALTER TABLE measurements ADD COLUMN IF NOT EXISTS largest_payload BIGINT DEFAULT 2147483647;
"""


MOST_REMEMBERED = 1000

T = TypeVar("T")


class Refused(IntdashError):
    """A request that the server does not carry out; nothing was changed.

    Parameters
    ----------
    status : int
        HTTP status that says so.
    reason : str
        What was seen, what was expected, what would work.
    """

    def __init__(self, status: int, reason: str) -> None:
        self.status, self.reason = status, reason
        super().__init__(f"{status}: {reason}")


class SeriesId(NamedTuple):
    """What makes a series within one measurement.

    The table of series has numbers only; what was exported from a newer server may have none (protocol 3.3).
    """

    data_type: int | None
    channel: int | None
    data_id: str


class Store:
    """The database: schema, transactions, appending points.

    Parameters
    ----------
    path : str or Path, optional
        DuckDB file, made if absent. None keeps everything in memory.
    recordings : Recordings, optional
        Where the points are, if they are not in the table; nothing can be written then.

    Raises
    ------
    UsageError
        The file cannot be opened: in use by another process or store, not a file of ours, folder absent.
    """

    def __init__(self, path: str | Path | None = None, *, recordings: Recordings | None = None) -> None:
        self.recordings = recordings
        self._write_lock = threading.Lock()
        self._remembered: dict[Any, Any] = {}
        self._series: dict[int, dict[SeriesId, int]] = {}
        self._last_series = 0
        self._file = None if path is None else Path(path).resolve()
        with _opening:
            if self._file in _open_files:
                raise UsageError(f"the data file {str(path)!r} is open in this process already; close its server first")
            try:
                self._database = duckdb.connect(":memory:" if path is None else str(path))
                try:
                    self._prepare()
                except BaseException:
                    self._database.close()
                    raise
            except duckdb.Error as exc:
                raise UsageError(f"cannot open the data file {str(path)!r}: {exc}") from exc
            if self._file is not None:
                _open_files.add(self._file)

    def _prepare(self) -> None:
        # Order of insertion is order of arrival, which answers promise; names in SQL never mean Python variables.
        self._database.execute("SET preserve_insertion_order = true; SET python_enable_replacements = false")
        self._database.execute(SCHEMA + LATER_COLUMNS)
        for measurement_id, series_id, *key in self._database.execute(
            "SELECT measurement_id, series_id, data_type, channel, data_id FROM series"
        ).fetchall():
            self._series.setdefault(measurement_id, {})[SeriesId(*key)] = series_id
            self._last_series = max(self._last_series, series_id)

    def close(self) -> None:
        """Write everything into the file and let go of it. Cursors must be closed before; calling it again does nothing."""
        with self._write_lock, _opening:
            self._database.close()
            _open_files.discard(self._file)
            self._file = None  # whoever opens the file next has it

    def snapshot(self) -> duckdb.DuckDBPyConnection:
        """A cursor that goes on seeing the database as it is at its first statement; close it."""
        cursor = self._database.cursor()
        cursor.begin()
        return cursor

    @contextlib.contextmanager
    def read(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """A `snapshot` for a block."""
        cursor = self.snapshot()
        try:
            yield cursor
        finally:
            cursor.close()

    def recall(self, key: Hashable, find: Callable[[duckdb.DuckDBPyConnection], T]) -> T:
        """Give what was found before, if nothing was written since: a query costs half a millisecond, however little it finds.

        Parameters
        ----------
        key : hashable
            What is looked for.
        find : callable
            Looks for it.
        """
        # Taken before the snapshot, and replaced by whoever writes: what is found in an older state is put where nobody looks.
        remembered = self._remembered
        if key not in remembered:
            with self.read() as cursor:
                found = find(cursor)
            if len(remembered) < MOST_REMEMBERED:
                remembered[key] = found
            return found
        known: T = remembered[key]
        return known

    def check_writable(self) -> None:
        """Refuse to write where the points are those of a recording.

        Raises
        ------
        Refused
            403.
        """
        if self.recordings is not None:
            raise Refused(
                403,
                f"{str(self.recordings.folder)!r} is a recording and stays as it is; client.import_ makes its measurements again "
                "on a server that can be written to",
            )

    @contextlib.contextmanager
    def write(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """What `change` gives, for what clients want to have written.

        Raises
        ------
        Refused
            403 if this is a recording.
        """
        self.check_writable()
        with self.change() as cursor:
            yield cursor

    @contextlib.contextmanager
    def change(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """A cursor in a transaction, one at a time: committed (and on disk) on a normal end, undone on an exception."""
        with self._write_lock:
            cursor = self._database.cursor()
            try:
                cursor.begin()
                yield cursor
                cursor.commit()
            finally:
                cursor.close()  # undoes what was not committed
                self._remembered = {}

    def forget(self, measurement_id: int) -> None:
        """Drop what is remembered of a deleted measurement."""
        self._series.pop(measurement_id, None)

    def append(self, measurement_uuid: str, points: Points, *, final: bool) -> None:
        """Keep points; they are on disk when this returns.

        Parameters
        ----------
        measurement_uuid : str
            A measurement of this store. One that has ended takes more (protocol appendix B).
        points : Points
            Times are elapsed times [ns]; kept in the order given.
        final : bool
            True marks the measurement ended.

        Raises
        ------
        Refused
            404 for a measurement that is not there; 400 for a channel over 255, a negative elapsed time, or a time that with the
            base time leaves 64 bits. Nothing is kept then.
        """
        used = np.flatnonzero(np.bincount(points.series, minlength=len(points.keys)))
        keys = {int(code): series_id_of(points.keys[int(code)]) for code in used}
        with self.write() as cursor:
            row = one(
                cursor,
                "SELECT m.id, m.last_elapsed_ns, m.in_order, m.largest_payload, b.basetime_ns FROM measurements m"
                " LEFT JOIN basetimes b ON b.measurement_id = m.id AND b.type = m.basetime_type WHERE m.uuid = ?",
                [measurement_uuid],
            )
            if row is None:
                raise Refused(404, f"no measurement {measurement_uuid!r}; make it with POST /api/v1/measurements")
            measurement_id, last_elapsed_ns, in_order, largest_payload, basetime_ns = row
            added: dict[SeriesId, int] = {}
            if len(points):
                check_times(points.time_ns, basetime_ns or 0)
                in_order = in_order and is_ascending(points.time_ns, last_elapsed_ns)
                last_elapsed_ns = max(last_elapsed_ns, int(points.time_ns.max()))
                largest_payload = max(largest_payload, int(np.diff(points.offsets).max()))
                added = self._add_series(cursor, measurement_id, keys.values())
                known = self._series.get(measurement_id, {}) | added
                numbers = np.zeros(len(points.keys), np.int32)
                for code, key in keys.items():
                    numbers[code] = known[key]
                insert_points(cursor, measurement_id, points, numbers)
                add_basetimes(cursor, measurement_id, points)
            cursor.execute(
                "UPDATE measurements SET last_elapsed_ns = ?, in_order = ?, largest_payload = ?, ended = ended OR ?,"
                " updated_ns = ? WHERE id = ?",
                [last_elapsed_ns, in_order, largest_payload, final, time.time_ns(), measurement_id],
            )
        # Only after the commit: a transaction that is undone must leave no series behind here either.
        if added:
            self._series[measurement_id] = self._series.get(measurement_id, {}) | added

    def _add_series(
        self, cursor: duckdb.DuckDBPyConnection, measurement_id: int, keys: Iterable[SeriesId]
    ) -> dict[SeriesId, int]:
        known = self._series.get(measurement_id, {})
        added: dict[SeriesId, int] = {}
        for key in keys:
            if key not in known:
                self._last_series += 1
                added[key] = self._last_series
        if added:
            cursor.executemany(
                "INSERT INTO series VALUES (?, ?, ?, ?, ?)", [[n, measurement_id, *key] for key, n in added.items()]
            )
        return added


def one(cursor: duckdb.DuckDBPyConnection, sql: str, values: Sequence[Any] = ()) -> tuple[Any, ...] | None:
    """The first row of a query, read to its end: DuckDB keeps a connection busy while rows are left."""
    rows = cursor.execute(sql, list(values)).fetchall()
    return rows[0] if rows else None


def series_id_of(key: Series) -> SeriesId:
    """What names a series within its measurement, checked."""
    if key.channel is None or not 0 <= key.channel <= 255:
        raise Refused(400, f"channel {key.channel} of data type {key.type_text}: expected 0 to 255")
    if key.data_type is None:
        raise Refused(400, f"data type {key.type_text!r}: expected a number")
    return SeriesId(key.data_type, key.channel, key.data_id)


def check_times(elapsed_ns: NDArray[np.int64], basetime_ns: int) -> None:
    """Refuse elapsed times that are negative or leave 64 bits when added to the base time.

    Notes
    -----
    The field is signed on the wire, but units of a stream cannot carry a negative time (protocol 8, question 8).
    """
    low, high = int(elapsed_ns.min()), int(elapsed_ns.max())
    if low < 0:
        raise Refused(
            400, f"elapsed time {low} ns at point {int(elapsed_ns.argmin())}: expected 0 or more; move the base time back"
        )
    if basetime_ns + high > INT64_MAX:
        raise Refused(400, f"elapsed time {high} ns after the base time leaves 64 bits of nanoseconds (the year 2262)")


def is_ascending(elapsed_ns: NDArray[np.int64], last_elapsed_ns: int) -> bool:
    """Tell whether no time is before `last_elapsed_ns` or before the one in front of it."""
    return bool(elapsed_ns[0] >= last_elapsed_ns and np.all(elapsed_ns[1:] >= elapsed_ns[:-1]))


def insert_points(cursor: duckdb.DuckDBPyConnection, measurement_id: int, points: Points, numbers: NDArray[np.int32]) -> None:
    """Append rows to the open transaction; DuckDB reads the columns of `points` in place.

    `numbers` turns the codes of `points` into series ids.
    """
    payload = pa.Array.from_buffers(pa.binary(), len(points), [None, pa.py_buffer(points.offsets), pa.py_buffer(points.data)])
    table = pa.table({"series_id": numbers[points.series], "elapsed_ns": points.time_ns, "payload": payload})
    cursor.register("incoming", table)
    cursor.execute("INSERT INTO points SELECT ?::INTEGER, series_id, elapsed_ns, payload FROM incoming", [measurement_id])
    cursor.unregister("incoming")


def add_basetimes(cursor: duckdb.DuckDBPyConnection, measurement_id: int, points: Points) -> None:
    """Let stored base time points become the entry of their type where the measurement has none; the one in use stays.

    Source: protocol 2.4, 6.12. A point that is undecodable or of a type without a name stays a row like any other.
    """
    codes = [code for code, key in enumerate(points.keys) if key.data_type == DataType.basetime]
    found: dict[str, int] = {}
    for row in np.flatnonzero(np.isin(points.series, codes)) if codes else ():
        with contextlib.suppress(PayloadError, ValueError):
            number, seconds, nanoseconds = unpack(DataType.basetime, points.payload(int(row)))
            if nanoseconds < 10**9:
                found.setdefault(BasetimeType(number).name, seconds * 10**9 + nanoseconds)
    there = cursor.execute("SELECT type FROM basetimes WHERE measurement_id = ?", [measurement_id]).fetchall()
    now_ns = time.time_ns()
    for kind, basetime_ns in found.items():
        if (kind,) not in there:
            cursor.execute("INSERT INTO basetimes VALUES (?, ?, ?, ?, ?)", [measurement_id, kind, basetime_ns, now_ns, now_ns])
