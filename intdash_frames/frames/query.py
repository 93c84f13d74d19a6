"""`Frames`: a question about data points that is asked when a sink is called, and the forms its answer takes."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Concatenate, Literal, ParamSpec, TypeVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from intdash_frames import timebase
from intdash_frames.codecs.points import Points
from intdash_frames.codecs.series import Series, SeriesTable
from intdash_frames.errors import ConnectionLost, IncompleteRead, TimedOut, UsageError
from intdash_frames.frames import build, envelope
from intdash_frames.frames.attributes import FrozenDict, freeze
from intdash_frames.frames.progress import ProgressOption, check_progress
from intdash_frames.frames.reading import Pass, Query, Reading
from intdash_frames.frames.report import Report
from intdash_frames.frames.selection import select
from intdash_frames.frames.sources import read_bound, read_source
from intdash_frames.model import DataType, SignalKey
from intdash_frames.model.kinds import member

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl

    from intdash_frames.client.connection import Connection
    from intdash_frames.client.credentials import TokenSource
    from intdash_frames.frames.partitions import Partition
    from intdash_frames.frames.shape import Shape
    from intdash_frames.frames.wide import Axis

__all__ = ["Frames", "frames"]


def frames(
    connection: Connection,
    source: Any = None,
    signals: Any = None,
    start: Any = None,
    end: Any = None,
    *,
    edge: Any = None,
    labels: Any = None,
    head: int | None = None,
    tz: Any = None,
    errors: Literal["raise", "collect"] = "raise",
    progress: ProgressOption = "auto",
    export: Callable[..., Any] | None = None,
) -> Frames:
    """Ask for data points; see `Client.frames`. What `Frames.to_parquet` does is a layer above and comes as `export`."""
    first, last = read_bound(start, tz=tz, name="start"), read_bound(end, tz=tz, name="end")
    if errors not in ("raise", "collect"):
        raise UsageError(f"errors={errors!r}; expected 'raise' or 'collect'")
    if head is not None and (isinstance(head, bool) or not isinstance(head, (int, np.integer)) or head < 1):
        raise UsageError(f"head={head!r}; expected a whole number of points, 1 or more")
    if first is not None and last is not None and first.origin == last.origin and first.value_ns > last.value_ns:
        raise UsageError(f"start={start!r} is after end={end!r}; expected a range [start, end)")
    check_progress(progress)
    query = Query(
        read_source(source, edge, first, last),
        select(signals, labels),
        first,
        last,
        None if head is None else int(head),
        progress,
    )
    tz = connection.tz if tz is None else timebase.zone(tz)
    return Frames(connection, query, tz=tz, collect=errors == "collect", export=export)


_Arguments = ParamSpec("_Arguments")
_Form = TypeVar("_Form")


def _sink(make: Callable[Concatenate[Frames, _Arguments], _Form]) -> Callable[Concatenate[Frames, _Arguments], _Form]:
    """Make a method a sink: what it makes of an incomplete read is the ``partial`` of the error."""

    @functools.wraps(make)
    def sink(self: Frames, /, *args: _Arguments.args, **kwargs: _Arguments.kwargs) -> _Form:
        parts = self._points()
        try:
            made = make(self, *args, **kwargs)
        except UsageError:
            # Too little was read to make it of; that something is missing is the error to report.
            self._raise_if_incomplete(envelope.to_table(parts))
            raise
        self._raise_if_incomplete(made)
        return made

    return sink


class Frames:
    """A question about data points, and its answer once a sink has been called.

    Nothing is read before that. What is read is kept, so that a second sink costs no request; the streaming sinks (`to_batches`,
    `to_reader`, ``__arrow_c_stream__``) keep nothing. Made by `Client.frames`.

    Attributes
    ----------
    report : Report
        What the last read did; reading is done first if it was not.
    """

    def __init__(
        self,
        connection: Connection,
        query: Query,
        *,
        tz: Any,
        collect: bool,
        read: Callable[[Connection, Query], Pass] = Reading,
        export: Callable[..., Any] | None = None,
    ) -> None:
        self._export = export
        self._connection, self._query, self._tz, self._collect, self._read = connection, query, tz, collect, read
        self._parts: list[Points] | None = None
        self._reading: Pass | None = None
        self._undecodable = 0

    def __repr__(self) -> str:
        state = "not read yet"
        if self._parts is not None:
            state = f"{self.report.points:,} points, {len(self._signal_codes()[1])} signals"
        return f"<Frames of {', '.join(self._query.source.names)}: {state}>"

    # --- reading ---

    @property
    def _reads_a_server(self) -> bool:
        """Whether a server can be asked for this, or for a part of it; not so if it was computed."""
        return self._read is Reading

    def _points(self) -> list[Points]:
        if self._parts is None:
            reading = self._reading = self._read(self._connection, self._query)
            parts = self._first(list(reading.batches()))
            self._raise_if_hopeless(reading)
            self._parts = parts
        return self._parts

    def _first(self, parts: list[Points]) -> list[Points]:
        """Put batches in order of time and cut them to the points asked for: each measurement gave as many."""
        parts, head = build.in_time_order(parts), self._query.head
        return parts if head is None or sum(map(len, parts)) <= head else [Points.concat(parts).slice(0, head)]

    def _raise_if_hopeless(self, reading: Pass) -> None:
        """Raise what the server says where nothing at all could be read, and what the user got wrong."""
        failures = reading.failures
        if self._collect:
            return
        if failures and not reading.report.points and not isinstance(failures[0], (ConnectionLost, TimedOut)):
            raise failures[0]
        if reading.report.unmatched:
            raise reading.unmatched_error()

    def _raise_if_incomplete(self, partial: Any) -> None:
        reading = self._reading
        assert reading is not None
        report = reading.report
        if report.complete or self._collect:
            return
        self._parts = None  # the next sink tries again
        failure = reading.failures[0] if reading.failures else None
        what = [f"{gap['source']}: {gap['reason']}" for gap in report.gaps]
        if report.error_points:
            what.append(f"{report.error_points} values could not be converted, first: {report.errors[0]}")
        gap = report.gaps[0] if report.gaps else {}
        raise IncompleteRead(
            f"read {report.points} points, but not all: {'; '.join(what)}. .partial has what was read, .report the details; "
            "errors='collect' returns it instead of raising",
            partial=partial,
            report=report,
            start_ns=gap.get("start_ns"),
            end_ns=gap.get("end_ns"),
        ) from failure

    @property
    def report(self) -> Report:
        """What the read did (a frozen record)."""
        if self._reading is None:
            self._points()
        assert self._reading is not None
        return dataclasses.replace(self._reading.report, undecodable=self._undecodable)

    @property
    @_sink
    def signals(self) -> list[SignalKey]:
        """The signals that were read, in order of appearance."""
        return [build.signal_key(key) for key in self._signal_codes()[1]]

    def _signal_codes(self) -> tuple[NDArray[np.int32], list[Series]]:
        return build.signal_codes(self._points())

    @property
    def meta(self) -> FrozenDict:
        """What `df.attrs` says of the source and the query."""
        query = self._query
        frozen: FrozenDict = freeze(
            {
                "source": {"url": self._connection.url, "names": query.source.names},
                "query": {
                    "signals": [pattern.text for pattern in query.selection.patterns],
                    "labels": query.selection.labels,
                    "start": build.bound_text(query.start),
                    "end": build.bound_text(query.end),
                    "head": query.head,
                },
            }
        )
        return frozen

    # --- Arrow ---

    @_sink
    def to_arrow(self) -> pa.Table:
        """Read everything as one table of the envelope.

        Returns
        -------
        pyarrow.Table
            Columns ``time`` [ns, UTC], ``measurement_uuid``, ``data_type``, ``channel``, ``data_id``, ``payload``.
        """
        return envelope.to_table(self._points())

    def to_batches(self, rows: int = 65536) -> Iterator[pa.RecordBatch]:
        """Read in bounded memory; several measurements one after the other, each in order of time.

        Parameters
        ----------
        rows : int
            Rows a batch, at most.

        Yields
        ------
        pyarrow.RecordBatch
            Of the schema of `to_arrow`.

        Raises
        ------
        IncompleteRead
            At the end, if something is missing; ``.partial`` is None, since nothing was kept.
        """
        if isinstance(rows, bool) or not isinstance(rows, (int, np.integer)) or rows < 1:
            raise UsageError(f"rows={rows!r}; expected a whole number, 1 or more")
        return self._stream(int(rows))

    def _stream(self, rows: int) -> Iterator[pa.RecordBatch]:
        fresh = self._parts is None
        for part in self._passing():
            for start in range(0, len(part), rows):
                yield envelope.to_batch(part.slice(start, min(start + rows, len(part))))
        if fresh:
            assert self._reading is not None
            self._raise_if_hopeless(self._reading)
            self._raise_if_incomplete(None)

    def _passing(self) -> Iterator[Points]:
        """Give what was read before; if nothing was, read it without keeping it, and leave it to the caller what is missing."""
        if self._parts is not None:
            source: Any = iter(self._parts)
        else:
            reading = self._reading = self._read(self._connection, self._query)
            source = reading.batches()
            if self._query.head is not None and len(self._query.source.names) > 1:
                source = self._first(list(source))  # bounded by head; the measurements may overlap
        left = self._query.head
        for part in source:
            whole = part if left is None else part.slice(0, min(left, len(part)))
            left = None if left is None else left - len(whole)
            yield whole

    def to_reader(self, rows: int = 65536) -> pa.RecordBatchReader:
        """Read in bounded memory, as a reader that DuckDB, polars and pyarrow take."""
        return pa.RecordBatchReader.from_batches(envelope.ENVELOPE, self.to_batches(rows))

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return self.to_reader().__arrow_c_stream__(requested_schema)

    def to_parquet(self, path: Any, *, decode: bool | None = None, resume: bool = True) -> Any:
        """Keep the answer as a folder of Parquet files; see `Client.export`, whose result this gives.

        Nothing that was read before is used, and nothing is kept in memory.

        Raises
        ------
        UsageError
            If these frames are not what a server was asked for, but were computed.
        """
        if self._export is None:
            raise UsageError(f"{self!r} are computed, not read; keep them with to_pandas().to_parquet(path)")
        return self._export(self._connection, self._query, path, decode=decode, resume=resume, collect=self._collect)

    # --- frames ---

    @_sink
    def by_type(self) -> dict[DataType | int | str, pd.DataFrame]:
        """Give a typed frame for each data type that occurs.

        Returns
        -------
        dict
            Keys are `DataType` members; plain numbers or texts for types that nobody knows.
        """
        return {kind: self._frame(typed, kind) for kind, typed in self._typed().items()}

    def _typed(self) -> dict[DataType | int | str, build.Typed]:
        tables = build.by_type(self._points())
        self._undecodable = sum(typed.undecodable for typed in tables.values())
        return tables

    def _frame(self, typed: build.Typed, kind: DataType | int | str) -> pd.DataFrame:
        return build.to_frame(typed, kind, self.meta, self._tz)

    @_sink
    def by_signal(self) -> dict[SignalKey, pd.DataFrame]:
        """Give a typed frame for each signal, in order of appearance."""
        return {build.signal_key(key): self._frame(typed, build.kind_of(key)) for key, typed in self._by_signal()}

    def _by_signal(self) -> list[tuple[Series, build.Typed]]:
        codes, keys = self._signal_codes()
        split = build.by_signal(self._typed(), codes)
        return [(key, split[number]) for number, key in enumerate(keys)]

    @_sink
    def __getitem__(self, signal: str | SignalKey) -> pd.DataFrame:
        """Give the typed frame of one signal.

        Parameters
        ----------
        signal : str or SignalKey
            ``"can:1/000001a0"``, or the data id alone where only one signal has it.

        Raises
        ------
        UsageError
            If no signal that was read, or more than one, is called so; says which are near.
        """
        codes, keys = self._signal_codes()
        code = build.find_signal(signal, keys)
        wanted = codes == code
        typed = build.typed(self._points(), self._points()[0].keys, wanted, keys[code].data_type)
        return self._frame(typed.slice(0, len(typed)), build.kind_of(keys[code]))

    @_sink
    def to_pandas(self) -> pd.DataFrame:
        """Give one frame: the typed one of a single data type, or a long one with columns ``type.column`` for several."""
        tables = self._tables()
        if len(tables) == 1:
            kind, typed = tables.popitem()
            return self._frame(typed, kind)
        return build.long_frame(self._points(), tables, self.meta, self._tz)

    @_sink
    def _shaped(self, shape: Shape) -> pd.DataFrame:
        return shape.frame(self._points(), self.meta, self._tz)

    @_sink
    def to_polars(self) -> pl.DataFrame:
        """The same as `to_pandas`, with ``time`` as a column.

        A polars frame cannot say of which data type it is; where its columns do not tell either, there is a column ``data_type``.
        """
        from intdash_frames.frames.polars_frame import to_polars

        tables = self._tables()
        if len(tables) == 1:
            kind, typed = tables.popitem()
            return to_polars(build.named_table(typed, kind), self._tz)
        return to_polars(build.long_table(self._points(), tables), self._tz)

    def lazy(self) -> pl.LazyFrame:
        """Give a lazy frame of polars: only the times, signals and columns that its query needs are read, when it is collected.

        Bounds of ``time``, conditions on ``measurement_uuid``, ``channel``, ``data_id`` and ``data_type``, and ``head`` go to the
        server. Columns and results are those of ``to_polars().lazy()`` but for ``payload``, which is not there: whether one needs
        its raw bytes is not known before it is read. Where the server does not say which ids it holds, and with `labels`, or
        `head` and several data types, everything is read for the schema; what was read before, or computed, is used as it is.

        Raises
        ------
        IncompleteRead
            When it is collected; before polars 2, as any error while columns are looked for, inside of its ComputeError.
        """
        from intdash_frames.frames.lazy import lazy

        return lazy(self)

    def partitions(self, n: int, *, token_source: TokenSource | None = None) -> list[Partition]:
        """Cut the query into units of work for any engine: picklable, without credentials, each with ``.read()``.

        Parameters
        ----------
        n : int
            How many; fewer where the time cannot be cut so often, and one where `head` was given.
        token_source : TokenSource, optional
            Gives the token where a unit is read, and travels with it. Default: INTDASH_EDGE_TOKEN there.

        Returns
        -------
        list of Partition
            One after the other the rows of `to_arrow`, each of a range of time of its own with about as many points. A unit of
            frames that were computed carries its points.
        """
        from intdash_frames.frames.partitions import planned

        return planned(self, n, token_source=token_source)

    def to_dask(self, npartitions: int | None = None, *, token_source: TokenSource | None = None) -> Any:
        """Give the frame of `to_pandas` as a ``dask.dataframe`` with known divisions, read and decoded by the workers.

        Columns are found out as for `lazy`, and `payload` is not among them. `npartitions` is by default one for about a million
        points, `token_source` as for `partitions`.

        Raises
        ------
        MissingDependency
            Without ``pip install 'intdash-frames[dask]'``.
        """
        from intdash_frames.frames.dask_frame import to_dask

        return to_dask(self, npartitions, token_source=token_source)

    def _tables(self) -> dict[DataType | int | str, build.Typed]:
        """Typed tables; an empty one where nothing was read but it is known what would have been."""
        tables = self._typed()
        data_type = self._query.selection.data_type
        if not tables and data_type is not None:
            nothing = build.typed([], SeriesTable(), np.zeros(0, np.bool_), data_type)
            tables[member(DataType, data_type)] = nothing
        return tables

    def wide(
        self,
        every: Any = None,
        *,
        on: str | SignalKey | None = None,
        method: Literal["last", "nearest", "mean", "interpolate"] = "last",
        tolerance: Any = None,
        max_memory: str | int = "2GiB",
    ) -> pd.DataFrame:
        """Put the numeric columns side by side on one time axis.

        Parameters
        ----------
        every : str or Timedelta, optional
            Step of a grid, such as ``"10ms"``, from the first point to the last; its stamps are multiples of the step.
        on : str, optional
            Take the stamps of this signal instead.
        method : {"last", "nearest", "mean", "interpolate"}
            What stands at a stamp: the last value at or before it, the nearest, the mean from the stamp up to the next, or the
            line between its neighbours.
        tolerance : str or Timedelta, optional
            How far away a value may be; null beyond it. Default: for "last", "nearest" and "interpolate" any distance.
        max_memory : str or int
            Refused when it would be larger than this. With neither `every` nor `on` the stamps are the union of all; one at which
            a signal has several values comes as often.

        Returns
        -------
        pandas.DataFrame
            Index ``time``; columns named by data id or field where that is unique, else ``"type:channel/data_id"``.
        """
        from intdash_frames.frames.wide import read_axis

        return self._wide(read_axis(every, on=on, method=method, tolerance=tolerance, max_memory=max_memory))

    @_sink
    def _wide(self, axis: Axis) -> pd.DataFrame:
        from intdash_frames.frames.wide import numeric_columns, wide

        columns = numeric_columns([(key, typed.table) for key, typed in self._by_signal()])
        return wide(columns, axis, tz=self._tz, meta=self.meta)

    @_sink
    def summary(self) -> pd.DataFrame:
        """Give a row a signal: type, channel, id, label, unit, points, first, last, rate_hz, gaps.

        A gap is a step between neighbours of more than ten times the median step.
        """
        from intdash_frames.frames.summary import summary

        codes, keys = self._signal_codes()
        return summary(self._points(), codes, keys, labels=self._query.selection.labels, tz=self._tz)
