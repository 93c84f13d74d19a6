"""Points as downstreams carry them: units side by side, cut into pieces that a message can hold and that every reader survives.

Source: protocol 5.5 (quirks), 5.8 and appendix B.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from intdash_frames.codecs.layout import IdRule, Tail
from intdash_frames.codecs.points import Points
from intdash_frames.codecs.table import LAYOUTS
from intdash_frames.codecs.units import write_units
from intdash_frames.model import DataType

__all__ = ["MESSAGE_BYTES", "REFERENCE_AGENT", "Packed", "Parcel", "pack"]

# Large enough that the cost of a message vanishes, small enough that a slow reader is sent little that has gone stale.
MESSAGE_BYTES: Final = 2**20
UNIT_BYTES: Final = 16  # of a unit without its payload, at most

# How the vendor's Python SDK names itself (protocol 1.3), and the types that it has no class for.
REFERENCE_AGENT: Final = "IntdashPythonClient"
NO_CLASS: Final = {DataType.mavlink, DataType.can_bulk, DataType.general_sensor_bulk, DataType.h265}

# By data type: bytes of the fixed fields; whether a counted name stands before them; whether they are all there is; whether the
# vendor's SDK has a class for it; whether what follows is text.
_HEADS = np.zeros(256, np.int64)
_NAMED, _WHOLE, _READABLE, _TEXT = (np.zeros(256, np.bool_) for _ in range(4))
for _number, _layout in LAYOUTS.items():
    _HEADS[_number] = _layout.head_dtype.itemsize
    _NAMED[_number] = _layout.id_rule is IdRule.NAME
    _WHOLE[_number] = _layout.tail is Tail.NOTHING
    _READABLE[_number] = _layout.data_type not in NO_CLASS
    _TEXT[_number] = _layout.tail is Tail.TEXT or _NAMED[_number]
_CAN_COUNT: Final = 4  # position of the count in a CAN payload, which the vendor's SDK believes (protocol 6.2)


@dataclass(frozen=True, slots=True)
class Parcel:
    """Units of one stream id as they travel, shared by all connections that they go to.

    Attributes
    ----------
    units : memoryview
    points : int
        How many [count].
    ends_message : bool
        Nothing may follow it in its message.
    basetime : memoryview or None
        The last base time in it, as a unit.
    """

    units: memoryview
    points: int
    ends_message: bool
    basetime: memoryview | None


@dataclass(frozen=True, slots=True)
class Packed:
    """Points ready to be sent.

    Attributes
    ----------
    parcels : list of Parcel
    withheld : int
        Points that are not sent [count].
    """

    parcels: list[Parcel]
    withheld: int


def pack(points: Points, stream_id: int, *, for_reference: bool = False) -> Packed:
    """Write points as units, in parcels of up to `MESSAGE_BYTES` unless one unit is larger.

    Parameters
    ----------
    points : Points
        Times since the base time [ns], at most the longest that a unit carries.
    stream_id : int
        Of the downstream.
    for_reference : bool
        The reader is the vendor's Python SDK. Units that would end its reading for good are withheld: a type without a class, a
        payload cut inside its own fields, text that is not UTF-8.

    Notes
    -----
    A unit with nothing behind its type's own fields ends its message, since the vendor's readers take it for the end of the
    message and drop what follows.
    """
    rest = _rest_bytes(points)
    withheld = 0
    if for_reference:
        readable = np.flatnonzero(_readable(points, rest))
        withheld = len(points) - len(readable)
        points, rest = (points.take(readable), rest[readable]) if withheld else (points, rest)
    ends, sizes = np.flatnonzero(rest <= 0), np.cumsum(np.diff(points.offsets) + np.int64(UNIT_BYTES))
    basetimes = np.flatnonzero(_types(points) == DataType.basetime)
    parcels, start = [], 0
    while start < len(points):
        before = int(sizes[start - 1]) if start else 0
        stop = max(start + 1, int(np.searchsorted(sizes, before + MESSAGE_BYTES, "right")))
        next_end = int(np.searchsorted(ends, start))
        is_end = next_end < len(ends) and int(ends[next_end]) < stop
        if is_end:
            stop = int(ends[next_end]) + 1
        units = write_units(points.slice(start, stop), stream_id)
        parcels.append(Parcel(units, stop - start, is_end, _last_of(basetimes, points, start, stop, stream_id)))
        start = stop
    return Packed(parcels, withheld)


def _last_of(rows: NDArray[np.int64], points: Points, start: int, stop: int, stream_id: int) -> memoryview | None:
    """The last of `rows` that is in a range, as a unit."""
    last = int(np.searchsorted(rows, stop)) - 1
    if last < 0 or rows[last] < start:
        return None
    row = int(rows[last])
    return write_units(points.slice(row, row + 1), stream_id)


def _types(points: Points) -> NDArray[np.uint8]:
    return np.asarray([key.data_type or 0 for key in points.keys], np.uint8)[points.series]


def _rest_bytes(points: Points) -> NDArray[np.int64]:
    """What stands behind the type's own fields of each payload [byte]: negative if they are cut, 1 if they are all there is."""
    sizes, types = np.diff(points.offsets).astype(np.int64), _types(points)
    needed, named = _HEADS[types], np.flatnonzero(_NAMED[types])
    if len(named):
        names = np.zeros(len(named), np.int64)
        there = sizes[named] > 0
        names[there] = points.data[points.offsets[named[there]]]
        needed[named] += 1 + names
    rest = sizes - needed
    rest[_WHOLE[types] & (rest >= 0)] = 1
    return rest


def _readable(points: Points, rest: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which points the vendor's SDK can read."""
    types = _types(points)
    readable: NDArray[np.bool_] = (rest >= 0) & _READABLE[types]
    cans = np.flatnonzero(readable & (types == DataType.can))
    readable[cans] = rest[cans] >= points.data[points.offsets[cans] + _CAN_COUNT]
    texts = np.flatnonzero(readable & _TEXT[types])
    if len(texts) and (points.take(texts).data > 0x7F).any():
        for row in texts:  # rare enough, and short
            readable[row] = _is_text(points.payload(int(row)), int(types[row]))
    return readable


def _is_text(payload: bytes, data_type: int) -> bool:
    """Tell whether the name of a payload, and what follows if that is text, are UTF-8."""
    name_end = 1 + payload[0] if _NAMED[data_type] else 0
    parts = [payload[1:name_end]] if name_end else []
    if LAYOUTS[data_type].tail is Tail.TEXT:
        parts.append(payload[name_end:])
    try:
        for part in parts:
            part.decode()
    except UnicodeDecodeError:
        return False
    return True
