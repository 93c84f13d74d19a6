"""A query cut into units of work that other engines carry out, in other processes and on other machines."""

from __future__ import annotations

import dataclasses
import functools
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from intdash_frames import timebase
from intdash_frames.client import history
from intdash_frames.codecs.points import Points
from intdash_frames.errors import UsageError
from intdash_frames.frames.query import Frames
from intdash_frames.frames.reading import FAILURES, Query, Reading
from intdash_frames.frames.report import Report
from intdash_frames.frames.sources import Range
from intdash_frames.frames.survey import Survey

if TYPE_CHECKING:
    from intdash_frames.client.connection import Connection
    from intdash_frames.client.credentials import TokenSource

__all__ = ["Partition", "planned"]

# How dense the points are is looked at in some places, by reading so many there: half a megabyte in all. A request costs more
# than that, so that a query of many short ranges is cut without.
PROBES, PROBE_POINTS = 32, 128
# Of a partition, where nobody says how many there should be: as many points as a worker decodes in a part of a second.
POINTS_A_PARTITION = 1_000_000
MOST_PARTITIONS = 10_000


class Partition:
    """A part of a query: a range of time with all points in it. Made by `Frames.partitions`; can be pickled.

    Attributes
    ----------
    start_ns, end_ns : int
        Half open range [ns since the epoch].

    Notes
    -----
    A pickle carries no credentials: where it is read they come from INTDASH_EDGE_TOKEN, or from the token source that
    `Frames.partitions` was given.
    """

    def __init__(
        self,
        connection: Any,
        query: Query,
        ranges: list[Range],
        span: tuple[int, int],
        place: tuple[int, int],
        options: dict[str, Any],
        points: Points | None = None,
        *,
        is_copy: bool = False,
    ) -> None:
        self._connection, self._query, self._ranges, self._place, self._options = connection, query, ranges, place, options
        self._points, self._is_copy = points, is_copy
        self.start_ns, self.end_ns = span

    def __reduce__(self) -> tuple[Any, ...]:
        span = self.start_ns, self.end_ns
        return _copy, (self._connection, self._query, self._ranges, span, self._place, self._options, self._points)

    def __repr__(self) -> str:
        number, count = self._place
        names = list(dict.fromkeys(each.name for each in self._ranges))
        what = f"{len(self._points):,} points of " if self._points is not None else ""
        sources = ", ".join(names[:2]) + (f" and {len(names) - 2} more" if len(names) > 2 else "")
        span = f"{timebase.to_iso(self.start_ns)} to {timebase.to_iso(self.end_ns)}"
        return f"<Partition {number + 1} of {count}: {what}{sources or 'nothing'}, {span}>"

    def read(self) -> pa.Table:
        """Read the points of this part; may be called again, and gives the same.

        Returns
        -------
        pyarrow.Table
            As `Frames.to_arrow`.

        Raises
        ------
        IncompleteRead
            If something could not be read, unless the query collects errors.
        """
        try:
            table: pa.Table = self.frames().to_arrow()
        finally:
            self.close()
        return table

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return self.read().__arrow_c_stream__(requested_schema)

    def frames(self) -> Frames:
        """Give the points of this part as `Frames`: for all other forms, and for ``report``."""
        read: Any = functools.partial(Reading, ranges=self._ranges)
        if self._points is not None:
            read = functools.partial(_Held, self._points)
        return Frames(self._connection, self._query, read=read, **self._options)

    def close(self) -> None:
        """Close the connections of a copy that came as a pickle; those of a client are left to it."""
        if self._is_copy and self._points is None:
            self._connection.close()


def _copy(*parts: Any) -> Partition:
    return Partition(*parts, is_copy=True)


@dataclass(frozen=True, slots=True)
class _Address:
    """What a part that has its points with it still needs of a connection."""

    url: str


@dataclass(frozen=True, slots=True)
class _Held:
    """One pass over points that are there already."""

    points: Points
    connection: Any
    query: Query

    @property
    def failures(self) -> list[Exception]:
        return []

    @property
    def report(self) -> Report:
        return Report(points=len(self.points))

    def batches(self) -> Iterator[Points]:
        if len(self.points):
            yield self.points

    def unmatched_error(self) -> UsageError:
        raise AssertionError("nothing is looked for")


def planned(
    frames: Frames,
    count: int | None,
    *,
    token_source: TokenSource | None = None,
    survey: Survey | None = None,
    held: bool = False,
) -> list[Partition]:
    """Cut frames into partitions; see `Frames.partitions`.

    Parameters
    ----------
    frames : Frames
    count : int, optional
        How many. Default: a million points each.
    token_source : TokenSource, optional
    survey : Survey, optional
        What is known of the query already.
    held : bool
        Read now, and give the points to the partitions, instead of having them read.
    """
    if count is not None and (isinstance(count, bool) or not isinstance(count, (int, np.integer)) or count < 1):
        raise UsageError(f"{count!r} partitions; expected a whole number, 1 or more")
    query = dataclasses.replace(frames._query, progress=False)
    options = {"tz": frames._tz, "collect": frames._collect}
    connection: Any = frames._connection
    if held or frames._read is not Reading:
        frames.to_arrow()  # raises if something is missing
        parts = _rows(frames._points(), count)
        if not parts:
            return [Partition(_Address(connection.url), query, [], (0, 0), (0, 1), options, Points.concat([]))]
        spans = [(int(part.time_ns[0]), int(part.time_ns[-1]) + 1) for part in parts]
        places = [(number, len(parts)) for number in range(len(parts))]
        named = [[Range(name, *span) for name in query.source.names] for span in spans]
        return [
            Partition(_Address(connection.url), query, ranges, span, place, options, part)
            for ranges, span, place, part in zip(named, spans, places, parts, strict=True)
        ]
    survey = survey or Survey(connection, query)
    if not frames._collect:
        survey.check_names()
    if token_source is not None:
        connection = connection.travelling(token_source)
    ranges = [dataclasses.replace(each, measurement=None) for each in survey.ranges]
    instants = [min((each.start_ns for each in ranges), default=0), max((each.end_ns for each in ranges), default=0)]
    if query.head is None and count != 1:
        bins = _density(frames._connection, query, ranges)
        count = count or min(MOST_PARTITIONS, max(1, round(sum(each.weight for each in bins) / POINTS_A_PARTITION)))
        instants[1:1] = _cuts(bins, count)
    spans = list(pairwise(instants))
    return [
        Partition(connection, query, _within(ranges, *span), span, (number, len(spans)), options)
        for number, span in enumerate(spans)
    ]


def _within(ranges: Sequence[Range], start_ns: int, end_ns: int) -> list[Range]:
    """What lies of each range in a span of time."""
    cut = [dataclasses.replace(each, start_ns=max(each.start_ns, start_ns), end_ns=min(each.end_ns, end_ns)) for each in ranges]
    return [each for each in cut if each.start_ns < each.end_ns]


def _rows(parts: Sequence[Points], count: int | None) -> list[Points]:
    """Cut points that ascend by time into so many, none of them inside an instant; each with no more memory than it needs."""
    whole = Points.concat(parts)
    count = count or max(1, round(len(whole) / POINTS_A_PARTITION))
    wanted = np.linspace(0, len(whole), count + 1).astype(np.int64)[1:-1]
    stops = np.searchsorted(whole.time_ns, whole.time_ns[wanted]) if len(whole) else wanted
    bounds = np.unique([0, *stops.tolist(), len(whole)]).tolist()
    return [whole.take(np.arange(start, stop)) for start, stop in pairwise(bounds)]


# --- where to cut ---


@dataclass(frozen=True, slots=True)
class Bin:
    """A span of time and about how many points are in it."""

    start_ns: int
    end_ns: int
    weight: float


def _density(connection: Connection, query: Query, ranges: Sequence[Range]) -> list[Bin]:
    """Estimate where the points are; where that is not to be learnt cheaply, all times count alike.

    Only the time that a range covers is in a bin.
    """
    edges = sorted({edge for each in ranges for edge in (each.start_ns, each.end_ns)})
    spans = [(span, _within(ranges, *span)) for span in pairwise(edges)]
    spans = [(span, active) for span, active in spans if active]
    covered = sum((span[1] - span[0]) * len(active) for span, active in spans)
    bins = []
    for span, active in spans:
        pieces = max(1, round(PROBES * (span[1] - span[0]) * len(active) / covered / len(active)))
        for start_ns, end_ns in pairwise(np.linspace(0, span[1] - span[0], pieces + 1).astype(np.int64).tolist()):
            if start_ns < end_ns:
                bins.append(((span[0] + start_ns, span[0] + end_ns), active))
    if sum(len(active) for _, active in bins) <= 2 * PROBES:
        try:
            return [
                Bin(*span, sum(_estimate(connection, query, each) for each in _within(active, *span))) for span, active in bins
            ]
        except FAILURES:  # it is only about balance; whoever reads will say what the matter is
            pass
    return [Bin(*span, float((span[1] - span[0]) * len(active))) for span, active in bins]


def _estimate(connection: Connection, query: Query, range_: Range) -> float:
    """Points in a range: exact if they are few, else as if they went on as dense as the first ones."""
    selection = query.selection
    asked = history.PointsQuery(range_.name, range_.start_ns, range_.end_ns, selection.idq, selection.labels)
    count, last_ns = 0, range_.start_ns
    for batch in history.points(connection, asked, head=PROBE_POINTS):
        count, last_ns = count + len(batch), int(batch.time_ns[-1])
    if count < PROBE_POINTS:
        return count
    return count * (range_.end_ns - range_.start_ns) / (last_ns - range_.start_ns + 1)


def _cuts(bins: Sequence[Bin], count: int) -> list[int]:
    """Choose instants that cut bins into parts of about the same weight, in whole microseconds, as a server may round to them."""
    if not bins:
        return []
    weights = np.asarray([each.weight for each in bins], np.float64)
    if not weights.sum():
        weights = np.asarray([each.end_ns - each.start_ns for each in bins], np.float64)
    sums = np.cumsum(weights).tolist()
    cuts = list[int]()
    for number in range(1, count):
        wanted = sums[-1] * number / count
        place = min(bisect_right(sums, wanted), len(bins) - 1)
        chosen, before = bins[place], sums[place] - weights[place]
        share = (wanted - before) / weights[place] if weights[place] else 0.0
        cut = (chosen.start_ns + int(share * (chosen.end_ns - chosen.start_ns))) // 1000 * 1000
        if bins[0].start_ns < cut < bins[-1].end_ns and (not cuts or cut > cuts[-1]):
            cuts.append(cut)
    return cuts
