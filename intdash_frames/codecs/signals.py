"""Signals: which points a definition is about, and points of their own made of what it says.

The one implementation for a server's answers, its streams and its clients; `conversions` has the kinds of conversion.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from intdash_frames.codecs import conversions
from intdash_frames.codecs.conversions import BigEndianBits, Bodies, Conventions, NmeaCells, values_of
from intdash_frames.codecs.layout import MAX_NAME_BYTES, IdRule, Values
from intdash_frames.codecs.payload import pack
from intdash_frames.codecs.points import INT32_MAX, Points
from intdash_frames.codecs.series import Series
from intdash_frames.codecs.table import layout_of
from intdash_frames.errors import LocalProtocolError
from intdash_frames.model import ConversionNone, DataType, Signal
from intdash_frames.model.signals import ERROR_ID

__all__ = ["Converted", "convert", "converted_points", "error_of", "in_slices", "is_source", "refusal"]

# Labels multiply rows: so many rows, and bytes of payload to make them of, are converted at a time.
SLICE_POINTS = 131_072
SLICE_BYTES = 16 * 2**20
ERROR_NAME = "error"  # the inner id of an error row


@dataclass(frozen=True, slots=True)
class Converted:
    """What one signal makes of some points.

    Attributes
    ----------
    signal : Signal
    rows : ndarray of int64, shape (n,)
        Positions of the points that it is about, ascending.
    values : pyarrow.Array
        n values, float64, string or binary; null where the conversion failed. Whole payloads for a signal without conversion.
    """

    signal: Signal
    rows: NDArray[np.int64]
    values: pa.Array

    @property
    def failures(self) -> int:
        """Points that could not be converted [count]."""
        return int(self.values.null_count)


# --- definitions ---

_SourceKey = tuple[int | None, int | None, str]


def _source_key(data_type: int | None, channel: int | None, data_id: str) -> _SourceKey:
    """What a definition and the points it is about have in common; hexadecimal ids compare without regard to case."""
    is_hexadecimal = layout_of(data_type).id_rule is IdRule.NUMBER
    return data_type, channel, data_id.lower() if is_hexadecimal else data_id


def is_source(signal: Signal, data_type: int | None, channel: int | None, data_id: str) -> bool:
    """Tell whether a signal is made of the points of a series.

    Notes
    -----
    Source: protocol 3.1 and 7.
    """
    return _key_of(signal) == _source_key(data_type, channel, data_id)


def _key_of(signal: Signal) -> _SourceKey:
    return _source_key(int(signal.data_type), signal.channel, signal.data_id)


def refusal(signal: Signal) -> str | None:
    """Say why a definition cannot be carried out; None if it can.

    Returns
    -------
    str or None
        What was seen and what was expected. `convert` fails on every row of such a signal.
    """
    size = len(signal.label.encode("utf-8", "surrogatepass"))
    if not 0 < size <= MAX_NAME_BYTES:
        return f"label has {size} bytes of UTF-8; expected 1 to {MAX_NAME_BYTES}"
    return conversions.refusal(signal.conversion)


# --- points -> values ---


def convert(
    points: Points,
    signals: Sequence[Signal],
    *,
    big_endian_bits: BigEndianBits = "sequential",
    nmea_cells: NmeaCells = "after_address",
) -> list[Converted]:
    """Apply signal definitions to points.

    Parameters
    ----------
    points : Points
        n points of any series; those that no signal is about are left alone.
    signals : sequence of Signal
    big_endian_bits : {"sequential", "motorola_msb", "motorola_lsb"}
        Which bit of a big-endian field `startbit` names, which is not documented: its first one counted from the most significant
        bit of byte 0, or its most or least significant one in the numbering of DBC files.
    nmea_cells : {"after_address", "from_start"}
        What the cells of an NMEA sentence are counted from: behind ``$GPRMC,`` or from the dollar sign on.

    Returns
    -------
    list of Converted
        One for each signal. Numbers are ``raw * scale + offset`` in f64, multiplied first.

    Notes
    -----
    Source: protocol 7. A conversion sees the body after the type's own header and id: bit 0 of an accelerometer is in its X axis.
    """
    conventions = Conventions(big_endian_bits, nmea_cells)
    codes: dict[_SourceKey, list[int]] = {}
    for code, key in enumerate(points.keys):
        codes.setdefault(_source_key(key.data_type, key.channel, key.data_id), []).append(code)
    bodies: dict[_SourceKey, Bodies] = {}
    results = []
    for signal in signals:
        source = _key_of(signal)
        if source not in bodies:
            wanted = np.zeros(len(points.keys), np.bool_)
            wanted[codes.get(source, [])] = True
            bodies[source] = Bodies(points, np.flatnonzero(wanted[points.series]), int(signal.data_type))
        own = bodies[source]
        fits = refusal(signal) is None
        values = values_of(own, signal.conversion, conventions) if fits else pa.nulls(len(own), pa.float64())
        results.append(Converted(signal, own.rows, values))
    return results


# --- values -> points ---


def in_slices(
    points: Points, signals: Sequence[Signal], *, most_points: int = SLICE_POINTS, most_bytes: int = SLICE_BYTES
) -> Iterator[Points]:
    """Cut points so that what signals make of each piece, with the points themselves, stays within bounds.

    Parameters
    ----------
    points : Points
    signals : sequence of Signal
    most_points, most_bytes : int
        Of the result; a single point may come to more.
    """
    labels = Counter(map(_key_of, signals))
    copies = np.asarray([1 + labels[_source_key(key.data_type, key.channel, key.data_id)] for key in points.keys], np.int64)
    rows = np.cumsum(copies[points.series])
    sizes = np.cumsum(copies[points.series] * np.diff(points.offsets))
    start = 0
    while start < len(points):
        rows_before, size_before = (int(rows[start - 1]), int(sizes[start - 1])) if start else (0, 0)
        stop = min(
            int(np.searchsorted(rows, rows_before + most_points, "right")),
            int(np.searchsorted(sizes, size_before + most_bytes, "right")),
        )
        stop = max(stop, start + 1)
        yield points.slice(start, stop)
        start = stop


def converted_points(
    points: Points,
    converted: Sequence[Converted],
    *,
    kept: NDArray[np.bool_] | None = None,
    failures: Literal["rows", "stop", "empty"] = "rows",
) -> Points:
    """Make points of converted values as they travel.

    Parameters
    ----------
    points : Points
        What was converted; its `keys` get the series of the labels.
    converted : sequence of Converted
    kept : ndarray of bool, shape (n,), optional
        Points that are among the result as themselves, before what was made of them. Default: none.
    failures : {"rows", "stop", "empty"}
        A failed conversion becomes an error row, ends the result, or becomes a point with no payload, which reads as null.

    Returns
    -------
    Points
        In the order of the points that they come from, then of `converted`. Series are ``<channel>/<label>`` of the source's
        measurement: Float, String or Bytes with the label as inner id. A signal without conversion gives the payload as it is.

    Raises
    ------
    LocalProtocolError
        If the result comes to 2 GiB or more; see `in_slices`.

    Notes
    -----
    Source: protocol 7 and, for error rows, 3.5.
    """
    parts = []
    if kept is not None and kept.any():
        parts.append((np.flatnonzero(kept), points.take(np.flatnonzero(kept)), np.zeros(0, np.int64)))
    parts += [(each.rows, *_points_of(points, each, with_errors=failures != "empty")) for each in converted if len(each.rows)]
    if not parts:
        return Points.empty(points.keys)
    merged = Points.concat([part for _, part, _ in parts])
    starts = np.cumsum([0, *(len(part) for _, part, _ in parts)])
    failed = np.concatenate([start + rows for start, (_, _, rows) in zip(starts.tolist(), parts, strict=False)])
    order = np.argsort(np.concatenate([rows for rows, _, _ in parts]), kind="stable")
    if failures == "stop" and len(failed):
        order = order[: int(np.isin(order, failed).argmax())]
    return merged if len(parts) == 1 and len(order) == len(merged) else merged.take(order)


_RESULTS: Final = ((pa.float64(), DataType.float), (pa.string(), DataType.string), (pa.binary(), DataType.bytes))


def _points_of(points: Points, each: Converted, *, with_errors: bool) -> tuple[Points, NDArray[np.int64]]:
    """Give the points of one signal, and which of them are failures."""
    signal, rows, sources = each.signal, each.rows, points.series[each.rows]

    def named(data_type: int, data_id: str) -> NDArray[np.int32]:
        codes = np.zeros(len(points.keys), np.int32)
        for code in np.flatnonzero(np.bincount(sources)).tolist():
            uuid = points.keys[code].measurement_uuid
            codes[code] = points.keys.code(Series(uuid, data_type, signal.channel, data_id, str(data_type)))
        return codes[sources]

    if isinstance(signal.conversion, ConversionNone) and not each.failures:
        payloads = Values.of(each.values)
        series = named(int(signal.data_type), signal.label)
        return Points(points.time_ns[rows], series, payloads.data, payloads.offsets, points.keys), np.zeros(0, np.int64)
    data_type = next(result for type_, result in _RESULTS if type_ == each.values.type)
    failed = each.values.is_null().to_numpy(zero_copy_only=False)
    error = np.frombuffer(_error_payload(signal) if with_errors else b"", np.uint8)
    if each.failures * len(error) > INT32_MAX:
        raise LocalProtocolError(
            f"{each.failures} failures of {signal.label!r} in one batch; cut the points with in_slices before"
        )
    spoiled = Values(np.tile(error, each.failures), np.concatenate([[0], np.cumsum(failed) * len(error)]).astype(np.int32))
    given = each.values.fill_null(0.0).to_numpy() if data_type is DataType.float else Values.of(each.values)
    # A label too long to stand before a value never does: its definition fails on every row.
    names = Values.of([b"" if each.failures == len(rows) else signal.label.encode()])
    payloads = layout_of(data_type).encode(
        {"value": given}, np.zeros(len(rows), np.int32), names, kept=spoiled, is_kept=failed if each.failures else None
    )
    series = named(int(data_type), signal.label)
    if with_errors and each.failures:
        series = np.where(failed, named(int(DataType.string), ERROR_ID), series)
    return Points(points.time_ns[rows], series, payloads.data, payloads.offsets, points.keys), np.flatnonzero(failed)


def error_of(signal: Signal) -> dict[str, Any]:
    """What is said of a value that a signal could not convert (protocol 3.5)."""
    return {
        "error": "converted_error",
        "error_description": "Error occurred in signal conversion",
        "error_extra": {
            "signal_channel": signal.channel,
            "signal_data_id": signal.data_id,
            "signal_data_type": int(signal.data_type),
            "signal_label": signal.label,
        },
    }


def _error_payload(signal: Signal) -> bytes:
    return pack(DataType.string, (ERROR_NAME, json.dumps(error_of(signal), ensure_ascii=False, separators=(",", ":"))))
