"""A recording as live data again: what `Client.replay` does."""

from __future__ import annotations

import contextlib
import gc
import math
import os
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np
import pyarrow as pa

from intdash_frames import timebase
from intdash_frames.codecs.merging import merged
from intdash_frames.codecs.points import Points
from intdash_frames.codecs.series import Series, SeriesTable
from intdash_frames.errors import ApiError, TransportError, UsageError
from intdash_frames.folder.manifest import read_manifest
from intdash_frames.folder.read import read_parts
from intdash_frames.frames import envelope
from intdash_frames.frames.progress import Progress, ProgressOption, check_progress
from intdash_frames.frames.query import Frames, frames
from intdash_frames.frames.store import points_in
from intdash_frames.live.ahead import ReadAhead
from intdash_frames.live.ledger import UpstreamStats
from intdash_frames.live.upstream import LiveUpstream, upstream
from intdash_frames.model import DataType, Measurement

if TYPE_CHECKING:
    from intdash_frames.client.connection import Connection

__all__ = ["Replay", "ReplayResult", "checked_speed", "replay"]

# What is due within this time goes with what is due now: a point is early by so much at most [ns].
TICK_NS: Final = 2 * 10**6
# Points of a batch that is read, and of one write.
BATCH_ROWS: Final = 16384


@dataclass(frozen=True, slots=True)
class ReplayResult:
    """What a replay did.

    Attributes
    ----------
    measurement : Measurement or None
        Where it is stored.
    points : int
        Points sent [count].
    skipped : int
        Recorded base times, which are not sent: live data have their own; and what no stream can carry, since it has no channel
        or no numeric data type [count].
    seconds : float
        From the first point to the last [s].
    lateness_s : float
        How much later than its time a point was on its way, at most [s]; 0 at speed "max".
    complete : bool
        Whether it was played to the end, and not stopped.
    stats : UpstreamStats
        What became of the points.
    """

    measurement: Measurement | None
    points: int
    skipped: int
    seconds: float
    lateness_s: float
    complete: bool
    stats: UpstreamStats


def replay(
    connection: Connection,
    source: Any,
    *,
    edge: Any = None,
    speed: float | Literal["max"] = 1.0,
    measurement: Any = None,
    store: bool = True,
    progress: ProgressOption = "auto",
) -> ReplayResult:
    """Play a recording; see `Client.replay`, and `Replay` for one that can be stopped."""
    made = Replay(connection, source, edge=edge, speed=speed, measurement=measurement, store=store, progress=progress)
    return made.run()


class Replay:
    """Sends a recording as live data, each point at its time.

    The times that points are due are counted from the beginning, so that a delay is made up for and none adds up.

    Parameters
    ----------
    connection : Connection
    source : str, Measurement, Frames, DataFrame, Table, path-like, or list of DataPoint
        Frames that are asked of a server are read while they are played, in bounded memory, unless they are of several
        measurements; so is the folder of an export, of however many.
    edge : str or Edge, optional
        Whose live data they become; the client's own edge if not given.
    speed : float or "max"
        2.0 is twice as fast as recorded; "max" does not wait.
    measurement : str or Measurement, optional
        Where they are stored; a new one if not given, with the base time that makes the first point one of now.
    store : bool
        False only sends them to those who follow.
    progress : "auto", bool or callable
    clock_ns : callable
        Nanoseconds that only grow.
    wait : callable
        Waits so many seconds; True if it is to stop.

    Raises
    ------
    UsageError
        If an argument cannot work; nothing is sent.
    """

    def __init__(
        self,
        connection: Connection,
        source: Any,
        *,
        edge: Any = None,
        speed: float | Literal["max"] = 1.0,
        measurement: Any = None,
        store: bool = True,
        progress: ProgressOption = "auto",
        clock_ns: Callable[[], int] = time.monotonic_ns,
        wait: Callable[[float], bool] | None = None,
    ) -> None:
        check_progress(progress)
        self._speed = checked_speed(speed)
        self._connection, self._progress = connection, progress
        self._source = _opened(connection, source)
        self._edge, self._measurement, self._store = edge, measurement, store
        self._stopped = threading.Event()
        self._clock_ns, self._wait = clock_ns, self._stopped.wait if wait is None else wait
        self._sent = self._skipped = 0
        self._late_ns = self._span_ns = 0

    def close(self) -> None:
        """Let `run` stop where it is and return; from any thread."""
        self._stopped.set()

    def run(self) -> ReplayResult:
        """Play it; returns when everything is acknowledged.

        Raises
        ------
        IntdashError
            If the source cannot be read to the end, or something was never acknowledged.
        """
        with ReadAhead(self._batches()) as batches:
            first = next(batches, None)
            if first is None:
                return ReplayResult(None, 0, self._skipped, 0.0, 0.0, not self._stopped.is_set(), UpstreamStats())
            begin_ns = int(first.time_ns[0])
            basetime_ns = None if self._measurement is not None else timebase.moment_ns("now") - begin_ns
            basetime = None if basetime_ns is None else timebase.timestamp(basetime_ns)
            with upstream(self._connection, self._measurement, edge=self._edge, store=self._store, basetime=basetime) as sending:
                began_ns = self._clock_ns()
                with _short_collections(self._speed != math.inf):
                    self._play(sending, first, batches, began_ns)
                seconds = (self._clock_ns() - began_ns) / 1e9
        measurement = sending.measurement
        with contextlib.suppress(ApiError, TransportError):  # everything is there; how it looks now is an extra
            measurement = None if measurement is None else self._connection.measurements.get(uuid=measurement.uuid)
        return ReplayResult(
            measurement,
            self._sent,
            self._skipped,
            seconds,
            self._late_ns / 1e9,
            not self._stopped.is_set(),
            sending.stats,
        )

    def _play(self, sending: LiveUpstream, first: Points, rest: Iterator[Points], began_ns: int) -> None:
        begin_ns = int(first.time_ns[0])
        batch: Points | None = first
        # A bar without an end tells nobody anything.
        option = self._progress if self._span_ns or callable(self._progress) else False
        with Progress(option, total=self._span_ns, label="replaying") as progress:
            while batch is not None and not self._stopped.is_set():
                due_ns = began_ns + ((batch.time_ns - begin_ns) / self._speed).astype(np.int64)
                self._play_batch(sending, batch, due_ns)
                progress.update(
                    int(batch.time_ns[-1]) - begin_ns, points=len(batch), size_bytes=int(batch.offsets[-1] - batch.offsets[0])
                )
                batch = next(rest, None)

    def _play_batch(self, sending: LiveUpstream, batch: Points, due_ns: Any) -> None:
        start = 0
        while start < len(batch):
            stop = len(batch)
            if self._speed != math.inf:
                if (left_ns := int(due_ns[start]) - self._clock_ns()) > 0 and self._wait(left_ns / 1e9):
                    break
                stop = max(start + 1, int(np.searchsorted(due_ns, self._clock_ns() + TICK_NS, side="right")))
            elif self._stopped.is_set():
                break
            self._sent += sending.write(batch.slice(start, stop))
            if self._speed != math.inf:
                self._late_ns = max(self._late_ns, self._clock_ns() - int(due_ns[start]))
            start = stop

    def _batches(self) -> Iterator[Points]:
        """Points in order of time, elapsed since the base time of the recording, none of them empty."""
        origin_ns: int | None = None
        for points, elapsed in _in_order(self._source):
            if not len(points):
                continue
            if origin_ns is None:
                self._span_ns = 0 if isinstance(self._source, (Frames, _Folder)) else int(points.time_ns[-1] - points.time_ns[0])
                origin_ns = 0 if elapsed else self._origin_ns(points)
            for part in _parts(points):
                unsent = np.asarray([_is_unsent(key) for key in part.keys], np.bool_)[part.series]
                self._skipped += int(unsent.sum())
                kept = part.take(np.flatnonzero(~unsent)) if unsent.any() else part
                if len(kept):
                    yield Points(kept.time_ns - origin_ns, kept.series, kept.data, kept.offsets, kept.keys)

    def _origin_ns(self, points: Points) -> int:
        """The base time of the measurement that the first point is of, where there is one; else the first stamp."""
        first_ns, recorded = int(points.time_ns[0]), points.keys[int(points.series[0])].measurement_uuid
        if isinstance(self._source, _Folder):
            self._span_ns = self._source.end_ns - first_ns
            basetime_ns = self._source.basetime_ns(recorded)
            return first_ns if basetime_ns is None else min(first_ns, basetime_ns)
        try:
            found = self._connection.measurements.get(uuid=recorded) if recorded else None
        except ApiError:  # it is of another server, or was deleted
            found = None
        if found is None or found.basetime is None:
            return first_ns
        begin_ns = int(found.basetime.as_unit("ns").value)
        if isinstance(self._source, Frames):
            self._span_ns = max(0, begin_ns + int(found.duration.as_unit("ns").value) - first_ns)
        return min(first_ns, begin_ns)


@contextlib.contextmanager
def _short_collections(wanted: bool) -> Iterator[None]:
    """Keep the garbage collector to objects made from here on: a look at all that pandas and Arrow load takes 60 ms."""
    if not wanted or gc.get_freeze_count():  # somebody has done so already, and it is for them to end it
        yield
        return
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def checked_speed(speed: Any) -> float:
    """Read a speed; "max" is infinite.

    Raises
    ------
    UsageError
        If it is none.
    """
    if speed == "max":
        return math.inf
    if isinstance(speed, bool) or not isinstance(speed, (int, float, np.integer, np.floating)) or not 0 < speed < math.inf:
        raise UsageError(f"speed={speed!r}; expected a number above 0, such as 1.0 as recorded or 2.0 twice as fast, or 'max'")
    return float(speed)


def _is_unsent(key: Series) -> bool:
    return key.data_type in (DataType.basetime, None) or key.channel is None


def _opened(connection: Connection, source: Any) -> Any:
    """What names measurements becomes `Frames`, what names a folder is opened; everything else stays."""
    some = source if isinstance(source, (list, tuple)) and source else [source]
    if isinstance(source, os.PathLike) or (isinstance(source, str) and not _is_uuid(source)):
        return _Folder(Path(source))
    if all(isinstance(each, (str, uuid.UUID, Measurement)) for each in some):
        return frames(connection, source, progress=False)
    return source


class _Folder:
    """An exported folder: all that is in it, joined in order of time."""

    def __init__(self, path: Path) -> None:
        manifest = read_manifest(path)
        if manifest is None:
            raise UsageError(
                f"source={str(path)!r} is neither the UUID of a measurement nor the folder of an export that came to its end"
            )
        self._path, self._manifest = path, manifest
        self.end_ns = max((file.last_ns for file in manifest.files), default=0)

    def basetime_ns(self, measurement: str) -> int | None:
        """The base time of one of its measurements [ns since the epoch]."""
        return timebase.from_iso(self._manifest.measurements[measurement]["record"]["basetime"])

    def points(self) -> Iterator[Points]:
        keys, sources = SeriesTable(), []
        for measurement in self._manifest.measurements:
            parts = self._manifest.parts_of(measurement)
            first_ns = min((file.first_ns for part in parts for file in part.files), default=None)
            if first_ns is not None:
                sources.append((first_ns, read_parts(self._path, parts, keys)))
        return merged(sources)


def _is_uuid(text: str) -> bool:
    try:
        uuid.UUID(text)
    except ValueError:
        return False
    return True


def _in_order(source: Any) -> Iterator[tuple[Points, bool]]:
    """Points in order of time, and whether their times are elapsed ones."""
    if isinstance(source, _Folder):
        yield from ((points, False) for points in source.points())
        return
    if isinstance(source, Frames):
        keys = SeriesTable()
        several = len(source.meta["source"]["names"]) > 1  # which may overlap
        tables = [source.to_arrow()] if several else (pa.Table.from_batches([each]) for each in source.to_batches(BATCH_ROWS))
        for table in tables:
            for part in envelope.to_points(table, keys):
                yield part, False
        return
    points, elapsed = points_in(source, channel=1, signals=None)
    if (np.diff(points.time_ns) < 0).any():
        points = points.take(np.argsort(points.time_ns, kind="stable"))
    yield points, elapsed


def _parts(points: Points) -> Iterator[Points]:
    for start in range(0, len(points), BATCH_ROWS):
        yield points.slice(start, min(start + BATCH_ROWS, len(points)))
