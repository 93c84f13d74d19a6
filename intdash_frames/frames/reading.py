"""Reads what a query asks for: ranges one after the other, conversion errors set apart, what could not be read written down."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import time
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from intdash_frames.client import history
from intdash_frames.codecs.merging import merged
from intdash_frames.codecs.points import Points
from intdash_frames.codecs.series import Series, SeriesTable
from intdash_frames.errors import ApiError, ProtocolError, RemoteProtocolError, TransportError, UsageError
from intdash_frames.frames.build import nearest, signal_key
from intdash_frames.frames.progress import Progress, ProgressOption
from intdash_frames.frames.report import Report
from intdash_frames.frames.selection import Pattern, Selection
from intdash_frames.frames.sources import Bound, Range, Source, stored_series
from intdash_frames.model import DataType
from intdash_frames.model.signals import ERROR_ID

if TYPE_CHECKING:
    from intdash_frames.client.connection import Connection

__all__ = ["FAILURES", "MOST_ERRORS", "Pass", "Query", "Reading", "no_such_signal"]

# Failures of a server or of the way to it; anything else is a defect or the user's, and is not collected.
FAILURES = (ApiError, TransportError, ProtocolError)
MOST_ERRORS = 100


@dataclass(frozen=True, slots=True)
class Query:
    """What `client.frames` was asked."""

    source: Source
    selection: Selection
    start: Bound | None
    end: Bound | None
    head: int | None
    progress: ProgressOption


class Pass(Protocol):
    """What `Frames` needs of whatever reads for it, once."""

    @property
    def failures(self) -> list[Exception]:
        """What ended the reading of a range early."""
        ...

    @property
    def report(self) -> Report:
        """What has been read so far."""
        ...

    def batches(self) -> Iterator[Points]:
        """Read everything, batch by batch; data only."""
        ...

    def unmatched_error(self) -> UsageError:
        """Make the error for the first of ``report.unmatched``."""
        ...


@dataclass
class Reading:
    """One pass over a query.

    Attributes
    ----------
    ranges : list of Range, optional
        Read these, which somebody else has chosen, instead of all of the source; a signal that is not in them is no mistake.
    failures : list of Exception
        What ended the reading of a range early.
    """

    connection: Connection
    query: Query
    ranges: list[Range] | None = None
    keys: SeriesTable = field(default_factory=SeriesTable)
    failures: list[Exception] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._tally = history.Tally()
        self._gaps: list[dict[str, Any]] = []
        self._errors: list[dict[str, Any]] = []
        self._error_points = 0
        self._counts = np.zeros(0, np.int64)  # points kept, by series code
        self._kept: list[bool] = []  # by series code
        self._unmatched: tuple[str, ...] = ()
        self._seconds = 0.0

    def batches(self) -> Iterator[Points]:
        """Read everything, batch by batch.

        Yields
        ------
        Points
            Data only; in time order within each range.

        Raises
        ------
        UsageError, NotFound
            If the ranges cannot be placed in time.
        """
        began = time.perf_counter()
        try:
            ranges = self.ranges
            if ranges is None:
                ranges = self.query.source.ranges(self.connection, self.query.start, self.query.end)
            total = sum(each.end_ns - each.start_ns for each in ranges)
            before = 0
            with Progress(self.query.progress, total=total, label="reading") as progress:
                for range_ in ranges:
                    for batch in self.read_range(range_):
                        size = int(batch.offsets[-1]) - int(batch.offsets[0])
                        progress.update(before + int(batch.time_ns[-1]) - range_.start_ns, points=len(batch), size_bytes=size)
                        yield batch
                    before += range_.end_ns - range_.start_ns
                    progress.update(before, points=0, size_bytes=0)
            if self.ranges is None:
                self._unmatched = self._find_unmatched()
        finally:
            self._seconds += time.perf_counter() - began

    def in_order(self) -> Iterator[Points]:
        """Read `ranges` in the order of time, those that overlap at once; what is absent or cannot be placed is not looked at.

        Yields
        ------
        Points

        Raises
        ------
        RemoteProtocolError
            If the server does not send points in the order of time: what was given cannot be taken back.
        """
        began, last_ns = time.perf_counter(), None
        try:
            for points in merged((each.start_ns, self.read_range(each)) for each in self.ranges or []):
                if last_ns is not None and int(points.time_ns[0]) < last_ns:
                    raise RemoteProtocolError(
                        f"the times of points go back from {last_ns} to {int(points.time_ns[0])} ns; expected ascending "
                        "times. A sink that keeps what it reads, such as to_polars(), puts them in order"
                    )
                last_ns = int(points.time_ns[-1])
                yield points
        finally:
            self._seconds += time.perf_counter() - began

    def read_range(self, range_: Range) -> Generator[Points]:
        """Read one range, data only; what ended it early is the last of `failures`."""
        selection = self.query.selection
        asked = history.PointsQuery(range_.name, range_.start_ns, range_.end_ns, selection.idq, selection.labels)
        # What is narrowed here, the server cannot count for us; and it counts conversion errors, which are taken out here.
        narrow = bool(selection.labels) or any(pattern.is_narrower for pattern in selection.patterns)
        left, reached = self.query.head, range_.start_ns
        try:
            for batch in history.points(self.connection, asked, head=None if narrow else left, keys=self.keys, tally=self._tally):
                reached = max(reached, int(batch.time_ns[-1]))
                kept = self._sift(batch)
                if left is not None:
                    kept = kept.slice(0, min(left, len(kept)))
                    left -= len(kept)
                if len(kept):
                    self._count(kept)
                    yield kept
                if left == 0:
                    return
        except FAILURES as exc:
            self._failed(range_.name, reached, range_.end_ns, exc)

    def _sift(self, batch: Points) -> Points:
        """Take out conversion errors and what a glob does not mean."""
        for code in range(len(self._kept), len(self.keys)):
            key = self.keys[code]
            self._kept.append(not _is_error(key) and self.query.selection.keeps(key))
        kept = np.asarray(self._kept, np.bool_)[batch.series]
        if kept.all():
            return batch
        for row in np.flatnonzero(~kept).tolist():
            if _is_error(self.keys[int(batch.series[row])]):
                self._error_points += 1
                if len(self._errors) < MOST_ERRORS:
                    self._errors.append(_error_of(batch.payload(row)))
        return batch.take(np.flatnonzero(kept))

    def _find_unmatched(self) -> tuple[str, ...]:
        """Find the patterns without wildcards that gave no point and that the measurements know nothing of at any other time.

        An edge is not asked: its measurements of all times are too many.
        """
        query = self.query
        if query.source.edge or self._gaps:
            return ()
        absent = query.selection.absent(self.keys[code] for code in np.flatnonzero(self._counts).tolist())
        if absent and (query.start is not None or query.end is not None or query.head is not None):
            whole = query.source.ranges(self.connection, None, None)
            absent = [pattern for pattern in absent if not any(self._holds(range_, pattern) for range_ in whole)]
        return tuple(pattern.text for pattern in absent)

    def _holds(self, range_: Range, pattern: Pattern) -> bool:
        asked = history.PointsQuery(range_.name, range_.start_ns, range_.end_ns, pattern.idq)
        probe = history.Tally()
        try:
            return any(True for _ in history.points(self.connection, asked, head=1, tally=probe))
        except FAILURES as exc:  # what was read is whole, but whether the signal exists is not known
            self._failed(range_.name, range_.start_ns, range_.end_ns, exc)
            return True
        finally:
            self._tally.requests += probe.requests

    def unmatched_error(self) -> UsageError:
        """Make the error for a signal that is nowhere, with those that its name may be a slip of."""
        source, present = self.query.source, list[Series]()
        for name in source.names:
            with contextlib.suppress(ApiError, ProtocolError):  # not every server has this call (protocol 2.8)
                present += stored_series(self.connection, source, [Range(name, 0, 0)])
        return no_such_signal(self._unmatched[0], source, present)

    def _failed(self, name: str, start_ns: int, end_ns: int, exc: Exception) -> None:
        self.failures.append(exc)
        self._gaps.append({"source": name, "start_ns": start_ns, "end_ns": end_ns, "reason": f"{type(exc).__name__}: {exc}"})

    def _count(self, batch: Points) -> None:
        counts = np.bincount(batch.series, minlength=len(self.keys))
        counts[: len(self._counts)] += self._counts
        self._counts = counts

    @property
    def report(self) -> Report:
        """What has been read so far."""
        textual: dict[str, int] = {}
        for key, count in zip(self.keys, self._counts.tolist(), strict=False):
            if key.data_type is None and count:
                textual[key.type_text] = textual.get(key.type_text, 0) + count
        names = {each.name for each in dataclasses.fields(Report)} & {each.name for each in dataclasses.fields(history.Tally)}
        counts = {name: getattr(self._tally, name) for name in names} | {"points": int(self._counts.sum())}
        return Report(
            **counts,
            error_points=self._error_points,
            errors=tuple(self._errors),
            gaps=tuple(self._gaps),
            textual_types=tuple(textual.items()),
            unmatched=self._unmatched,
            seconds=self._seconds,
            complete=not self._gaps and not self._error_points,
        )


def no_such_signal(text: str, source: Source, present: Iterable[Series]) -> UsageError:
    """Make the error for a signal that a source does not hold."""
    near = nearest(text, list(dict.fromkeys(map(signal_key, present))))
    return UsageError(
        f"no signal {text!r} in {', '.join(source.names)}"
        + (f"; near or present: {', '.join(near)}" if near else "")
        + ". errors='collect' reads the rest"
    )


def _is_error(key: Series) -> bool:
    return key.data_type == DataType.string and key.data_id == ERROR_ID


def _error_of(payload: bytes) -> dict[str, Any]:
    """Read what a failed conversion says (protocol 3.5): a string payload whose value is JSON."""
    text = payload[1 + payload[0] :].decode("utf-8", "replace") if payload else ""
    try:
        said = json.loads(text)
    except ValueError:
        said = None
    return said if isinstance(said, dict) else {"error": "unexpected", "error_description": text}
