"""Frames as a `polars.LazyFrame`: polars says what it wants, and the server is asked for no more than that."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import pyarrow as pa
from polars.io.plugins import register_io_source

from intdash_frames.client import history
from intdash_frames.codecs.points import Points
from intdash_frames.codecs.series import Series
from intdash_frames.errors import IncompleteRead
from intdash_frames.frames import build
from intdash_frames.frames.envelope import ENVELOPE, TEXT_CODES
from intdash_frames.frames.polars_frame import to_polars
from intdash_frames.frames.predicate import Narrowed, narrowed
from intdash_frames.frames.reading import Query, Reading
from intdash_frames.frames.selection import Selection
from intdash_frames.frames.shape import Shape
from intdash_frames.frames.sources import Range
from intdash_frames.frames.survey import Survey, patterns_for

if TYPE_CHECKING:
    from intdash_frames.frames.query import Frames

__all__ = ["lazy"]

# Rows of a frame handed to polars, if it does not say how many it likes. The first one is small: it may be all that is needed.
FIRST_ROWS, MOST_ROWS = 4096, 100_000
MOST_BYTES = 1 << 24
ID_COLUMNS = ("measurement_uuid", "channel", "data_id", "data_type")


def lazy(frames: Frames) -> pl.LazyFrame:
    """Give frames as a lazy frame; see `Frames.lazy`."""
    surveys, wholes = list[Survey](), list[tuple[pl.DataFrame, IncompleteRead | None]]()

    @functools.cache
    def shape() -> Shape | None:
        if not frames._reads_a_server or frames._parts is not None:
            return None
        surveys.append(Survey(frames._connection, frames._query))
        return surveys[0].shape

    def whole() -> tuple[pl.DataFrame, IncompleteRead | None]:
        if not wholes:
            try:
                wholes.append((frames.to_polars(), None))
            except IncompleteRead as exc:  # the schema is needed all the same; polars passes on what the source raises
                wholes.append((exc.partial, exc))
        return wholes[0]

    def schema() -> pl.Schema:
        known = shape()
        return whole()[0].schema if known is None else _empty(known, frames).schema

    def source(
        with_columns: list[str] | None, predicate: pl.Expr | None, n_rows: int | None, batch_size: int | None
    ) -> Iterator[pl.DataFrame]:
        known = shape()
        if known is None:
            frame, failure = whole()
            if failure is not None:
                wholes.clear()  # the next one tries again
                raise failure
            frame = frame if n_rows is None else frame.head(n_rows)
            parts = iter([frame if predicate is None else frame.filter(predicate)])
        else:
            # What is learnt for the schema serves the first read; a later one asks anew, since a measurement may have grown.
            survey = surveys.pop() if surveys else Survey(frames._connection, frames._query)
            parts = _stream(frames, survey, known, with_columns, predicate, n_rows, batch_size)
        for part in parts:
            yield part if with_columns is None else part.select(with_columns)

    return register_io_source(source, schema=schema)


def _stream(
    frames: Frames,
    survey: Survey,
    shape: Shape,
    columns: list[str] | None,
    predicate: pl.Expr | None,
    n_rows: int | None,
    batch_size: int | None,
) -> Iterator[pl.DataFrame]:
    """Read what polars wants, and give it as it arrives."""
    query = frames._query
    if n_rows is not None:
        # polars counts these before it filters
        query = dataclasses.replace(query, head=n_rows if query.head is None else min(n_rows, query.head))
    ranges, selection = survey.ranges, query.selection
    if predicate is not None and query.head is None:
        ranges, selection = _narrow(survey, query, _narrowed(predicate, shape, frames))
    wanted = None if columns is None else {*columns, *(predicate.meta.root_names() if predicate is not None else ())}
    if query.head == 0:
        yield _empty(shape, frames, wanted)
        return
    reading = frames._reading = Reading(frames._connection, dataclasses.replace(query, selection=selection), ranges)
    frames._undecodable = 0
    for points in _sized(history.first(query.head, reading.in_order()), min(batch_size or MOST_ROWS, MOST_ROWS)):
        table, undecodable = shape.table([points], wanted)
        frames._undecodable += undecodable
        frame = to_polars(table, frames._tz)
        yield frame if predicate is None else frame.filter(predicate)
    yield _empty(shape, frames, wanted)  # polars wants a frame, even where there are no points
    frames._raise_if_hopeless(reading)
    frames._raise_if_incomplete(None)
    if not frames._collect:
        survey.check_names(reading.keys)


def _empty(shape: Shape, frames: Frames, wanted: Collection[str] | None = None) -> pl.DataFrame:
    return to_polars(shape.table([], wanted)[0], frames._tz)


def _narrowed(predicate: pl.Expr, shape: Shape, frames: Frames) -> Narrowed:
    hidden = {"measurement_uuid"} if frames._query.source.edge else set()
    ids = {name for name in ID_COLUMNS if name in shape.schema.names} - hidden
    zone = _empty(shape, frames).schema["time"].time_zone  # type: ignore[attr-defined]
    return narrowed(predicate, ids, zone)


def _narrow(survey: Survey, query: Query, bounds: Narrowed) -> tuple[list[Range], Selection]:
    """Say where to read, and which signals, for a predicate that keeps nothing outside of its bounds."""
    ranges = []
    for each in survey.ranges:
        start_ns, end_ns = max(each.start_ns, bounds.start_ns), min(each.end_ns, bounds.end_ns)
        if start_ns < end_ns:
            ranges.append(dataclasses.replace(each, start_ns=start_ns, end_ns=end_ns))
    if not (ranges and bounds.ids):
        return ranges, query.selection
    series, stored = survey.series, survey.stored
    if series is None or stored is None or any(each.data_type is None or each.channel is None for each in stored):
        return ranges, query.selection
    kept = _kept(series, bounds.ids)
    if not query.source.edge:
        uuids = {each.measurement_uuid for each in kept}
        ranges = [each for each in ranges if each.name in uuids]
    if not kept:
        return [], query.selection
    return ranges, query.selection if len(kept) == len(series) else Selection(tuple(patterns_for(kept, stored)))


def _kept(series: list[Series], conditions: Collection[pl.Expr]) -> list[Series]:
    """Apply conditions on ids to the series instead of to their points."""
    texts = {
        "measurement_uuid": [each.measurement_uuid for each in series],
        "data_id": [each.data_id for each in series],
        "data_type": [build.kind_name(build.kind_of(each)) for each in series],
    }
    table = pa.table(
        {name: pa.array(values, pa.string()).cast(TEXT_CODES) for name, values in texts.items()}
        | {
            "channel": pa.array([each.channel for each in series], ENVELOPE.field("channel").type),
            "number": pa.array(np.arange(len(series))),
        }
    )
    kept = pl.DataFrame(pl.from_arrow(table)).filter(*conditions)
    return [series[number] for number in kept["number"].to_list()]


def _sized(parts: Iterator[Points], most: int) -> Iterator[Points]:
    """Join and cut batches: small ones first, then of at most so many rows, and of payloads that fit into memory many times."""
    held, rows, size, wanted = list[Points](), 0, 0, min(FIRST_ROWS, most)
    for part in parts:
        held.append(part)
        rows, size = rows + len(part), size + int(part.offsets[-1]) - int(part.offsets[0])
        if rows >= wanted or size >= MOST_BYTES:
            whole = Points.concat(held)
            yield from (whole.slice(start, min(start + most, rows)) for start in range(0, rows, most))
            held, rows, size, wanted = [], 0, 0, min(2 * wanted, most)
    if held:
        yield Points.concat(held)
