"""`RollingFrame`: the newest points of a stream as columns, bounded by time and number, to be looked at while more come."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from intdash_frames import timebase
from intdash_frames.codecs import kernels
from intdash_frames.codecs.layout import Layout, Run, Tail, Values
from intdash_frames.codecs.points import Points
from intdash_frames.codecs.series import SeriesTable
from intdash_frames.codecs.table import layout_of
from intdash_frames.errors import UsageError
from intdash_frames.frames import build, envelope
from intdash_frames.frames.attributes import FrozenDict, freeze
from intdash_frames.frames.build import Kind
from intdash_frames.live.interleave import interleaved
from intdash_frames.live.look import Look, data_type_of, look
from intdash_frames.live.ring import Ring, Rows
from intdash_frames.model import DataType, SignalKey
from intdash_frames.model.kinds import member

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["MAX_AHEAD_NS", "Counts", "RollingFrame"]

MAX_AHEAD_NS = 86_400 * 10**9
# Points that are taken in at once: there is room for so many beyond the bounds, and a look never waits for more.
MOST_AT_ONCE = 65_536
INT64 = np.iinfo(np.int64)

Meta = Mapping[str, Any] | Callable[[tuple[str, ...]], Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Counts:
    """What became of the points that came; ``received == shown + evicted + late + ahead`` at any time.

    Attributes
    ----------
    received : int
        All that came.
    shown : int
        In the window now.
    evicted : int
        Were taken in, and had to go for newer ones.
    late : int
        Left out: they were older than the window when they came.
    ahead : int
        Left out: their time was too far in the future, and would have emptied the window.
    out_of_order : int
        Of those taken in: came after one that is newer.
    """

    received: int = 0
    shown: int = 0
    evicted: int = 0
    late: int = 0
    ahead: int = 0
    out_of_order: int = 0


class RollingFrame:
    """A window of the newest points, shown as `Frames` would show the same points.

    One thread gives points with `append`; any thread may look at them. What a look gives is a copy in ascending time that is
    consistent in itself and never changes.

    A point is in the window while it is no older than `window_ns` before the newest, and among the `max_points` newest. Points of
    one instant are in the order they came, and the first of them goes first. Nothing is unique: what comes twice is there twice.

    Parameters
    ----------
    window_ns : int
        Span of time [ns].
    max_points : int
        Points, whatever their time [count].
    meta : mapping or callable
        For ``df.attrs["intdash"]``, as `Frames.meta`; or a function that makes it of the measurements in the window.
    tz : str or tzinfo
        Zone of the index.
    keys : SeriesTable, optional
        Of all points that will come; a new one by default.
    max_ahead_ns : int
        A point that is further ahead of the present is left out, where `append` is told the present [ns].
    data_type : int, optional
        If only this type can come: what `frame` shows while there are no points.

    Attributes
    ----------
    keys : SeriesTable

    Raises
    ------
    UsageError
        If a bound or the zone cannot be.
    """

    def __init__(
        self,
        *,
        window_ns: int,
        max_points: int,
        meta: Meta,
        tz: Any = "UTC",
        keys: SeriesTable | None = None,
        max_ahead_ns: int = MAX_AHEAD_NS,
        data_type: int | None = None,
    ) -> None:
        self.keys = keys if keys is not None else SeriesTable()
        self._window_ns = _bound("window_ns", window_ns, 1)
        self._max_points = _bound("max_points", max_points, 1)
        self._max_ahead_ns = _bound("max_ahead_ns", max_ahead_ns, 0)
        self._meta, self._tz, self._data_type = meta, timebase.zone(tz), data_type
        self._lock = threading.Lock()
        self._counts = Counts()
        self._newest_ns = int(INT64.min)
        # Each point is in two rings: in one for its kind, with what is decoded of it, and in that which says the order of all.
        self._most = self._max_points + MOST_AT_ONCE
        self._order, self._kinds = Ring(self._most), dict[Kind, Ring]()
        # By series code: position in `_kinds`, and the id, for decoding.
        self._kind_numbers: NDArray[np.int32] = np.empty(0, np.int32)
        self._ids = Values.of([])

    def __repr__(self) -> str:
        return f"<RollingFrame: {len(self):,} of at most {self._max_points:,} points in {timebase.timedelta(self._window_ns)}>"

    def __len__(self) -> int:
        return self._counts.shown

    @property
    def counts(self) -> Counts:
        """What became of the points so far."""
        return self._counts

    @property
    def held_bytes(self) -> int:
        """Memory of the columns [byte]."""
        with self._lock:
            return sum(ring.held_bytes for ring in (self._order, *self._kinds.values()))

    # --- in ---

    def append(self, points: Points, *, now_ns: int | None = None) -> None:
        """Take points in, and let those go that are out of bounds then.

        Parameters
        ----------
        points : Points
            Times since the epoch, in any order; with the `keys` of the window.
        now_ns : int, optional
            The present [ns since the epoch]. Without it, no point is too far ahead.

        Raises
        ------
        UsageError
            If they have other keys.
        """
        if points.keys is not self.keys:
            raise UsageError("these points have a table of series of their own; expected the keys of the window, for all of it")
        limit_ns = INT64.max if now_ns is None else min(now_ns + self._max_ahead_ns, INT64.max)
        for start in range(0, len(points), MOST_AT_ONCE):
            self._take_in(points.slice(start, start + MOST_AT_ONCE), limit_ns)

    def _take_in(self, points: Points, limit_ns: int) -> None:
        fate = _judge(points.time_ns, self._newest_ns, self._window_ns, limit_ns)
        kept = points if fate.kept is None else points.take(np.flatnonzero(fate.kept))
        self._learn_series()
        decoded = list(self._decode(kept))
        with self._lock:
            self._newest_ns = fate.newest_ns
            self._order.append(kept)
            for ring, rows, columns in decoded:
                ring.append(kept, rows, **columns)
            evicted = self._evict()
            before = self._counts
            self._counts = Counts(
                before.received + len(points),
                len(self._order),
                before.evicted + evicted,
                before.late + fate.late,
                before.ahead + fate.ahead,
                before.out_of_order + fate.out_of_order,
            )

    def _learn_series(self) -> None:
        """Look at the series that have come up since the last time; more may come up meanwhile."""
        known, count = len(self._kind_numbers), len(self.keys)
        if known == count:
            return
        fresh = [self.keys[code] for code in range(known, count)]
        with self._lock:
            for key in fresh:
                if (kind := build.kind_of(key)) not in self._kinds:
                    self._kinds[kind] = _ring(kind, self._most)
            numbers = {kind: number for number, kind in enumerate(self._kinds)}
            more = np.asarray([numbers[build.kind_of(key)] for key in fresh], np.int32)
            self._kind_numbers = np.concatenate([self._kind_numbers, more])
        self._ids = Values.of([self.keys[code].data_id.encode() for code in range(count)])

    def _decode(self, points: Points) -> Iterator[tuple[Ring, NDArray[np.int64], dict[str, NDArray[Any]]]]:
        """For each ring, which points it gets, and what decoding says of them."""
        bounds, order = np.empty(len(self._kinds) + 1, np.int64), np.empty(len(points), np.int64)
        kernels.group_rows(self._kind_numbers, points.series, bounds, order)
        for (kind, ring), start, stop in zip(self._kinds.items(), bounds.tolist(), bounds[1:].tolist(), strict=False):
            if start < stop:
                rows = order[start:stop]
                heads = _layout(kind).read_heads(Run(points.data, points.offsets, rows, points.series), self._ids)
                yield (
                    ring,
                    rows,
                    {"record": heads.records, "mark": heads.marks, "head_at": heads.starts - points.offsets[rows]},
                )

    def _evict(self) -> int:
        """Take away what is out of bounds; gives how many."""
        oldest_ns = max(self._newest_ns - self._window_ns, INT64.min)
        count = max(self._order.count_before(oldest_ns), len(self._order) - self._max_points)
        if count <= 0:
            return 0
        series = self._order.drop_oldest(count)
        by_kind = np.bincount(self._kind_numbers[series], minlength=len(self._kinds))
        for ring, its_count in zip(self._kinds.values(), by_kind.tolist(), strict=True):
            ring.drop_oldest(its_count)
        return count

    # --- out: what is needed is copied under the lock, and made into something without it ---

    @property
    def signals(self) -> list[SignalKey]:
        """The signals in the window, in order of appearance."""
        return [build.signal_key(key) for key in self._look(()).signal_codes()[1]]

    def points(self) -> list[Points]:
        """Give the window as it came, in order of time.

        Returns
        -------
        list of Points
            With `keys`; one, or several where payloads come to 2 GiB, none if there are no points.
        """
        with self._lock:
            pieces = [rows for ring in self._kinds.values() for rows in ring.copy()]
            series, kind_numbers = self._series(), self._kind_numbers
        return list(interleaved([self._as_points(rows) for rows in pieces], series, kind_numbers))

    def to_arrow(self) -> pa.Table:
        """Give the window as one table of the envelope, as `Frames.to_arrow`."""
        parts = self.points()
        named = look(np.concatenate([np.empty(0, np.int32), *(part.series for part in parts)]), self.keys, {})
        return envelope.to_table(map(named.renamed, parts))

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return self.to_arrow().__arrow_c_stream__(requested_schema)

    def frame(self) -> pd.DataFrame:
        """Give one frame, as `Frames.to_pandas`: the typed one of a single data type, or a long one of several."""
        with self._lock:
            copied, order = self._copy_kinds(), self._order.copy()
        named = look(order[0].series if order else np.empty(0, np.int32), self.keys, copied)
        tables, meta = named.typed(), self._meta_of(named)
        if not tables and self._data_type is not None:
            nothing = build.typed([], named.table, np.zeros(0, np.bool_), self._data_type)
            tables[member(DataType, self._data_type)] = nothing
        if len(tables) == 1:
            kind, typed = tables.popitem()
            return build.to_frame(typed, kind, meta, self._tz)
        return build.long_frame([named.renamed(self._as_points(rows)) for rows in order], tables, meta, self._tz)

    def by_type(self) -> dict[DataType | int | str, pd.DataFrame]:
        """Give a typed frame for each data type in the window, as `Frames.by_type`."""
        seen = self._look()
        meta = self._meta_of(seen)
        return {kind: build.to_frame(typed, kind, meta, self._tz) for kind, typed in seen.typed().items()}

    def by_signal(self) -> dict[SignalKey, pd.DataFrame]:
        """Give a typed frame for each signal in the window, as `Frames.by_signal`."""
        seen = self._look()
        (codes, keys), meta = seen.signal_codes(), self._meta_of(seen)
        split = build.by_signal(seen.typed(), codes)
        return {
            build.signal_key(key): build.to_frame(split[number], build.kind_of(key), meta, self._tz)
            for number, key in enumerate(keys)
        }

    def __getitem__(self, signal: str | SignalKey) -> pd.DataFrame:
        """Give the typed frame of one signal, as `Frames`.

        Parameters
        ----------
        signal : str or SignalKey
            ``"can:1/000001a0"``, or the data id alone where only one signal has it.

        Raises
        ------
        UsageError
            If no signal in the window, or more than one, is called so; says which are near.
        """
        with self._lock:
            named = look(self._series(), self.keys, {})
            signals, keys = named.signal_codes()
            number = build.find_signal(signal, keys)
            kind = build.kind_of(keys[number])
            # The last place is for -1, a series that does not occur.
            rows = self._copy_kind(kind, np.append(signals == number, False)[named.codes])
        (typed,) = dataclasses.replace(named, kinds={kind: rows}).typed().values()
        return build.to_frame(typed.slice(0, len(typed)), kind, self._meta_of(named), self._tz)

    def wide(
        self,
        every: Any = None,
        *,
        on: str | SignalKey | None = None,
        method: Literal["last", "nearest", "mean", "interpolate"] = "last",
        tolerance: Any = None,
        max_memory: str | int = "2GiB",
    ) -> pd.DataFrame:
        """Put the numeric columns of the window side by side on one time axis.

        Parameters
        ----------
        every, on, method, tolerance, max_memory
            See `Frames.wide`.

        Raises
        ------
        UsageError
            If there are no numbers, or an argument cannot work.
        """
        from intdash_frames.frames.wide import NUMERIC, numeric_columns, read_axis, wide

        axis = read_axis(every, on=on, method=method, tolerance=tolerance, max_memory=max_memory)
        seen = self._look(NUMERIC)
        codes, keys = seen.signal_codes()
        split = build.by_signal(seen.typed(), codes)
        columns = numeric_columns([(key, split[number].table) for number, key in enumerate(keys) if number in split])
        return wide(columns, axis, tz=self._tz, meta=self._meta_of(seen))

    def summary(self) -> pd.DataFrame:
        """Give a row a signal of the window, as `Frames.summary`."""
        from intdash_frames.frames.summary import summary

        with self._lock:
            order = self._order.copy()
        named = look(order[0].series if order else np.empty(0, np.int32), self.keys, {})
        parts = [named.renamed(self._as_points(rows)) for rows in order]
        return summary(parts, *named.signal_codes(), labels=(), tz=self._tz)

    def _look(self, wanted: Collection[Kind] | None = None) -> Look:
        with self._lock:
            copied, series = self._copy_kinds(wanted), self._series()
        return look(series, self.keys, copied)

    def _copy_kinds(self, wanted: Collection[Kind] | None = None) -> dict[Kind, list[Rows]]:
        """Copy all kinds that occur, or those of them that are wanted."""
        occurring = [kind for kind, ring in self._kinds.items() if len(ring)]
        return {kind: self._copy_kind(kind) for kind in occurring if wanted is None or kind in wanted}

    def _copy_kind(self, kind: Kind, wanted: NDArray[np.bool_] | None = None) -> list[Rows]:
        ring = self._kinds[kind]
        # Typed columns hold bytes of payloads only where something follows the head, and of payloads that are odd.
        return ring.copy(wanted, payloads=_layout(kind).tail is not Tail.NOTHING or bool(ring["mark"].any()))

    def _series(self) -> NDArray[np.int32]:
        """Copy the series of all points, in order."""
        self._order.sort()
        return self._order["series"].copy()

    def _meta_of(self, seen: Look) -> FrozenDict:
        meta = self._meta(seen.measurement_uuids) if callable(self._meta) else self._meta
        frozen: FrozenDict = freeze(dict(meta))
        return frozen

    def _as_points(self, rows: Rows) -> Points:
        return Points(rows.time_ns, rows.series, rows.data, rows.offsets, self.keys)


@dataclass(frozen=True, slots=True)
class _Fate:
    """Which of the points that come are taken in, None for all, and the newest then."""

    kept: NDArray[np.bool_] | None
    newest_ns: int
    late: int = 0
    ahead: int = 0
    out_of_order: int = 0


def _judge(time_ns: NDArray[np.int64], newest_ns: int, window_ns: int, limit_ns: int) -> _Fate:
    """Judge points one after the other, each by the newest before it."""
    ascending = time_ns[0] >= newest_ns and (time_ns[1:] >= time_ns[:-1]).all()
    if ascending and time_ns[-1] <= limit_ns:
        return _Fate(None, int(time_ns[-1]))
    near = time_ns <= limit_ns
    newest = np.empty(len(time_ns) + 1, np.int64)
    newest[0], newest[1:] = newest_ns, np.where(near, time_ns, INT64.min)
    np.maximum.accumulate(newest, out=newest)
    behind = near & (time_ns < newest[:-1])
    # How far two int64 are apart may be beyond int64, but not beyond uint64.
    late = behind & (newest[:-1].view(np.uint64) - time_ns.view(np.uint64) > np.uint64(window_ns))
    kept = near & ~late
    return _Fate(
        kept,
        int(newest[-1]),
        int(late.sum()),
        len(near) - int(near.sum()),
        int((behind & ~late).sum()),
    )


def _bound(name: str, value: int, least: int) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or not least <= value <= INT64.max:
        raise UsageError(f"{name}={value!r}; expected a whole number from {least} to 2**63 - 1")
    return int(value)


def _layout(kind: Kind) -> Layout:
    return layout_of(data_type_of(kind))


def _ring(kind: Kind, most: int) -> Ring:
    # Before the head of a payload stands a counted id of 255 bytes at most.
    return Ring(most, {"record": _layout(kind).head_dtype, "mark": np.uint8, "head_at": np.uint16}, has_payloads=True)
