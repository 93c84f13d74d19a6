"""Signal definitions applied here instead of by the server: to what was read, or is still to be read, as it is stored.

Source: protocol 7. It does what the embedded server does; what another server does in cases that are not documented may differ.
"""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from intdash_frames.codecs.conversions import BigEndianBits, NmeaCells
from intdash_frames.codecs.points import Points
from intdash_frames.codecs.series import SeriesTable
from intdash_frames.codecs.signals import Converted, convert, converted_points, error_of, in_slices, refusal
from intdash_frames.errors import UsageError
from intdash_frames.frames import build
from intdash_frames.frames.columns import points_of
from intdash_frames.frames.query import Frames
from intdash_frames.frames.reading import MOST_ERRORS, Pass, Query
from intdash_frames.frames.report import Report
from intdash_frames.frames.selection import Selection
from intdash_frames.frames.sheet import sheet_of
from intdash_frames.frames.sources import Source
from intdash_frames.model import Signal

if TYPE_CHECKING:
    from intdash_frames.client.connection import Connection

__all__ = ["apply", "apply_labels"]


def apply_labels(
    connection: Connection,
    data: Any,
    labels: str | Iterable[str] | None = None,
    *,
    errors: Literal["collect", "raise"] = "collect",
    big_endian_bits: BigEndianBits = "sequential",
    nmea_cells: NmeaCells = "after_address",
) -> Frames:
    """Apply definitions that the server has; see `apply`.

    Parameters
    ----------
    connection : Connection
    data : Frames, or a frame or table
    labels : str or iterable of str, optional
        Which definitions. Default: all.

    Raises
    ------
    UsageError
        If nobody defined a label, or its definition cannot be carried out.
    """
    signals: list[Signal] = [each for page in connection.signals.list(iterator=True) for each in page]
    if labels is not None:
        wanted = [labels] if isinstance(labels, str) else list(labels)
        by_label = {each.label: each for each in signals}
        for label in wanted:
            if label not in by_label:
                near = difflib.get_close_matches(str(label), by_label, n=3, cutoff=0.5) or list(by_label)[:5]
                raise UsageError(
                    f"no signal is labelled {label!r}; near or present: {', '.join(map(repr, near)) or 'none at all'}"
                )
        signals = [by_label[label] for label in dict.fromkeys(wanted)]
        _check(signals)
    return _applied(connection, data, signals, errors, big_endian_bits, nmea_cells)


def apply(
    data: Any,
    signals: Sequence[Signal],
    *,
    connection: Connection | None = None,
    errors: Literal["collect", "raise"] = "collect",
    big_endian_bits: BigEndianBits = "sequential",
    nmea_cells: NmeaCells = "after_address",
) -> Frames:
    """Convert points here as ``client.frames(..., labels=[...])`` has the server do it.

    Parameters
    ----------
    data : Frames, or a frame or table
        Points as they are stored. A `Frames` is read when a sink of the result is called, if it was not read before. Of a frame
        or table, what `idf.store` would store of it.
    signals : sequence of Signal
    connection : Connection, optional
        Needed for a frame or table, which has none of its own.
    errors : {"collect", "raise"}
        A value that cannot be converted is null and counted in ``report.error_points``; with "raise" it also makes the result
        incomplete, as does whatever could not be read.
    big_endian_bits : {"sequential", "motorola_msb", "motorola_lsb"}
        Which bit of a big-endian field `startbit` names; see `codecs.signals.convert`.
    nmea_cells : {"after_address", "from_start"}
        What the cells of an NMEA sentence are counted from.

    Returns
    -------
    Frames
        Of the converted points only, with the same keys, values and types as those that a server converts. A null is a point
        whose payload is empty: it counts as undecodable too, and its column is an Arrow one, which tells a null from a NaN.

    Raises
    ------
    UsageError
        If a definition cannot be carried out, or `data` has no moments.
    """
    signals = list(signals)
    _check(signals)
    return _applied(connection, data, signals, errors, big_endian_bits, nmea_cells)


def _check(signals: Sequence[Signal]) -> None:
    for each in signals:
        reason = refusal(each)
        if reason is not None:
            raise UsageError(f"signal {each.label!r} cannot be carried out: {reason}")


def _applied(
    connection: Connection | None,
    data: Any,
    signals: list[Signal],
    errors: str,
    big_endian_bits: BigEndianBits,
    nmea_cells: NmeaCells,
) -> Frames:
    for name, value, allowed in (
        ("errors", errors, ("collect", "raise")),
        ("big_endian_bits", big_endian_bits, ("sequential", "motorola_msb", "motorola_lsb")),
        ("nmea_cells", nmea_cells, ("after_address", "from_start")),
    ):
        if value not in allowed:
            raise UsageError(f"{name}={value!r}; expected one of {', '.join(map(repr, allowed))}")
    labels = tuple(each.label for each in signals)

    def conversion(points: Points) -> list[Converted]:
        return convert(points, signals, big_endian_bits=big_endian_bits, nmea_cells=nmea_cells)

    def reader(source: Frames | list[Points]) -> Callable[[Any, Query], Pass]:
        return lambda _, __: _Converting(source, signals, conversion, strict=errors == "raise")

    if isinstance(data, Frames):
        query = dataclasses.replace(data._query, selection=Selection((), labels), head=None)
        collect = data._collect and errors == "collect"
        return Frames(data._connection, query, tz=data._tz, collect=collect, read=reader(data))
    if connection is None:
        raise UsageError(f"data is {type(data).__name__}; give connection= with it, or a Frames, which has one")
    parts = _points_of(data)
    names = list(dict.fromkeys(key.measurement_uuid for part in parts[:1] for key in part.keys))
    query = Query(Source(tuple(names)), Selection((), labels), None, None, None, False)
    return Frames(connection, query, tz=connection.tz, collect=errors == "collect", read=reader(parts))


def _points_of(data: Any) -> list[Points]:
    """Read a frame or table; the column ``measurement_uuid`` says which measurement its points are of."""
    sheet = sheet_of(data)
    if sheet.elapsed:
        raise UsageError("the frame has times since a base time; expected moments: add the base time to its index")
    uuids = sheet.columns.get("measurement_uuid", pa.nulls(len(sheet), pa.string()))
    if pa.types.is_dictionary(uuids.type):
        uuids = uuids.dictionary_decode()
    uuids = uuids.cast(pa.string()).fill_null("")
    keys, parts = SeriesTable(), list[Points]()
    for uuid in pc.unique(uuids).to_pylist():
        mask = pc.equal(uuids, uuid).to_numpy(zero_copy_only=False)
        own = sheet.where(mask, [name for name in sheet.columns if name != "measurement_uuid"])
        for part in points_of(own, SeriesTable(), channel=1, signals=None):
            codes = [keys.code(key._replace(measurement_uuid=uuid)) for key in part.keys]
            if len(part):
                parts.append(dataclasses.replace(part, series=np.asarray(codes, np.int32)[part.series], keys=keys))
    return build.in_time_order(parts)


def _recoded(points: Points, keys: SeriesTable) -> Points:
    """Give the series that occur codes of another table, new ones in order of appearance as a reader of an answer does."""
    first = np.full(len(points.keys), len(points), np.int64)
    first[points.series[::-1]] = np.arange(len(points))[::-1]  # of several values for one place, the last one stays
    codes = np.zeros(len(points.keys), np.int32)
    for code in np.argsort(first)[: np.count_nonzero(first < len(points))].tolist():
        codes[code] = keys.code(points.keys[code])
    return dataclasses.replace(points, series=codes[points.series], keys=keys)


class _Converting:
    """One pass over points that others read; for `Frames`, instead of a `Reading`."""

    def __init__(
        self,
        source: Frames | list[Points],
        signals: Sequence[Signal],
        conversion: Callable[[Points], list[Converted]],
        *,
        strict: bool,
    ) -> None:
        self._source, self._signals, self._conversion, self._strict = source, signals, conversion, strict
        self._points = 0
        self._failed = [0] * len(signals)

    def batches(self) -> Iterator[Points]:
        """Convert everything, batch by batch."""
        # The source's own table gets no series that it has not read, and that of the result none that was only converted.
        working, keys = SeriesTable(), SeriesTable()
        for part in self._source if isinstance(self._source, list) else self._source._passing():
            codes = np.asarray([working.code(key) for key in part.keys], np.int32)
            whole = dataclasses.replace(part, series=codes[part.series], keys=working)
            for piece in in_slices(whole, self._signals):
                converted = self._conversion(piece)
                self._failed = [count + each.failures for count, each in zip(self._failed, converted, strict=True)]
                made = converted_points(piece, converted, failures="empty")
                if len(made):
                    self._points += len(made)
                    yield _recoded(made, keys)

    @property
    def _reading(self) -> Pass | None:
        return None if isinstance(self._source, list) else self._source._reading

    @property
    def failures(self) -> list[Exception]:
        """What ended the reading of a range early."""
        return [] if self._reading is None else self._reading.failures

    @property
    def report(self) -> Report:
        """What was read, and what of it could not be converted."""
        read = Report() if self._reading is None else self._reading.report
        failed = sum(self._failed)
        said = [error_of(each) | {"points": count} for each, count in zip(self._signals, self._failed, strict=True) if count]
        return dataclasses.replace(
            read,
            points=self._points,
            error_points=read.error_points + failed,
            errors=(*read.errors, *said)[:MOST_ERRORS],
            complete=read.complete and not (failed and self._strict),
        )

    def unmatched_error(self) -> UsageError:
        """Make the error for a signal that is nowhere."""
        assert self._reading is not None
        return self._reading.unmatched_error()
