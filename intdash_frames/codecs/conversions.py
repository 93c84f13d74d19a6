"""Bodies of payloads -> values: what each kind of signal conversion makes of a column, null where it cannot be done.

What a server of the vendor does in cases that are not documented (protocol 7 and 8) is decided here, in one place and for all:

- big-endian bits are numbered from the most significant bit of byte 0 unless the caller says otherwise;
- the cells of an NMEA sentence are counted from behind its address field unless the caller says otherwise;
- of delimiters that could both match, the longer one does;
- a number in text is decimal, with sign, fraction and exponent as one likes and blanks around it; it must be finite;
- in JSON, `num` takes numbers and `str` takes texts; dots go down into objects, and into arrays by position.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any, Final, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from intdash_frames.codecs import kernels
from intdash_frames.codecs.layout import IdRule, Tail, Values
from intdash_frames.codecs.points import INT32_MAX, Points
from intdash_frames.codecs.table import layout_of
from intdash_frames.model import (
    Conversion,
    ConversionCSV,
    ConversionJSON,
    ConversionNone,
    ConversionNumFixedPoint,
    ConversionNumFloatingPoint,
    ConversionSubBytes,
    ConversionSubString,
    DataType,
)

__all__ = ["BigEndianBits", "Bodies", "Conventions", "NmeaCells", "refusal", "values_of"]

# Which bit of a big-endian field `startbit` names: its first one counted from the most significant bit of byte 0, or its most or
# least significant one in the numbering of DBC files, where bit 0 is the least significant one of byte 0 (protocol 7, a to c).
BigEndianBits = Literal["sequential", "motorola_msb", "motorola_lsb"]
# What the cells of an NMEA sentence are counted from: behind the address field (``$GPRMC,``), as published evidence reads, or the
# start of the sentence.
NmeaCells = Literal["after_address", "from_start"]


@dataclass(frozen=True, slots=True)
class Conventions:
    """How to read what the protocol leaves open; see `BigEndianBits` and `NmeaCells`."""

    big_endian_bits: BigEndianBits = "sequential"
    nmea_cells: NmeaCells = "after_address"


# --- definitions ---


def _is_whole(value: Any, least: int = 0) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def _is_number(value: Any) -> bool:
    try:
        return not isinstance(value, bool) and isinstance(value, (int, float)) and math.isfinite(value)
    except OverflowError:
        return False


_FROM_0: Final = (_is_whole, "a whole number from 0")
_NUMBER: Final = (_is_number, "a finite number")
# What an option may be, whichever conversion has it (protocol 2.6).
_OPTIONS: Final[Mapping[str, tuple[Callable[[Any], bool], str]]] = {
    "startbit": _FROM_0,
    "startbyte": _FROM_0,
    "bytesize": _FROM_0,
    "index": _FROM_0,
    "bitsize": (lambda value: _is_whole(value, 1) and value <= 64, "1 to 64"),
    "endian": (lambda value: value in ("little", "big"), "'little' or 'big'"),
    "sign": (lambda value: value in ("signed", "unsigned"), "'signed' or 'unsigned'"),
    "precision": (lambda value: value in (32, 64), "32 or 64"),
    "scale": _NUMBER,
    "offset": _NUMBER,
    "value_type": (lambda value: value in ("str", "num"), "'str' or 'num'"),
    "fieldpath": (lambda value: isinstance(value, str), "text"),
    "delimiters": (
        lambda value: isinstance(value, (list, tuple)) and all(isinstance(each, str) and each for each in value),
        "a list of texts that are not empty",
    ),
}


def refusal(conversion: Conversion) -> str | None:
    """Say why a conversion cannot be carried out; None if it can.

    Returns
    -------
    str or None
        What was seen and what was expected.
    """
    if type(conversion) not in _READERS:
        return f"conversion is {conversion!r}; expected one of {', '.join(each.type.value for each in _READERS)}"
    for each in fields(conversion):  # type: ignore[arg-type]
        fits, expected = _OPTIONS[each.name]
        value = getattr(conversion, each.name)
        if not fits(value):
            return f"conversion {conversion.type.value}: {each.name} is {value!r}; expected {expected}"
    return None


# --- the bytes that a conversion sees ---


class Bodies:
    """What follows the header and id of some payloads (protocol 7), all of one series.

    Attributes
    ----------
    payloads : Points
        Of which `rows` are meant.
    starts, ends : ndarray of int64
        Body i is ``data[starts[i]:ends[i]]``.
    found : ndarray of bool
        False for a payload too short for its own header, which has no body.
    """

    def __init__(self, payloads: Points, rows: NDArray[np.int64], data_type: int) -> None:
        self.rows, self.data_type = rows, data_type
        # Kernels are compiled anew for memory that may be written; what comes from a database may not.
        self.data, self.offsets = _read_only(payloads.data), _read_only(payloads.offsets)
        self.ends = self.offsets[rows + 1].astype(np.int64)
        layout = layout_of(data_type)
        # Fixed fields are a header where something follows them; where nothing does, they are the value.
        head = layout.head_dtype.itemsize if layout.tail is not Tail.NOTHING else 0
        if layout.id_rule is IdRule.NAME:
            names = Values.of([key.data_id.encode() for key in payloads.keys])
            starts, marks = np.empty(len(rows), np.int64), np.empty(len(rows), np.uint8)
            kernels.locate_heads(
                self.data, self.offsets, rows, payloads.series, True, names.data, names.offsets, head, False, starts, marks
            )
            self.found = marks != kernels.UNDECODABLE
        else:
            starts = self.offsets[rows].astype(np.int64)
            self.found = starts + head <= self.ends
        self.starts = starts + head

    def __len__(self) -> int:
        return len(self.rows)

    def cut(self, start: int, size: int) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        """Cut the same bytes out of each body: (an array of `size` bytes for each body that has them, which ones those are)."""
        if start + size > INT32_MAX:  # before numpy would have to hold it
            return np.empty((0, size), np.uint8), np.zeros(len(self), np.bool_)
        has_them = self.found & (self.ends - self.starts >= start + size)
        at = (self.starts if has_them.all() else self.starts[has_them]) + start
        if not len(at) or not size:
            return np.empty((len(at), size), np.uint8), has_them
        # One record of `size` bytes from every byte of the data on: to take some of them copies no more than those.
        records: NDArray[Any] = np.ndarray((len(self.data) - size + 1,), f"V{size}", self.data, strides=(1,))
        return records[at].view(np.uint8).reshape(len(at), size), has_them

    def texts(self, starts: NDArray[np.int64], found: NDArray[np.bool_]) -> pa.Array:
        """Give what stands from `starts` to the ends as text; null where it is not UTF-8 or `found` says no."""
        marks = np.where(found, kernels.CANONICAL, kernels.UNDECODABLE).astype(np.uint8)
        kernels.find_undecodable_text(self.data, self.offsets, self.rows, starts, 0, marks)
        valid = marks != kernels.UNDECODABLE
        out, out_offsets = np.empty(int((self.ends - starts)[valid].sum()), np.uint8), np.empty(len(self) + 1, np.int32)
        kernels.gather_tails(self.data, self.offsets, self.rows, starts, marks, 0, out, out_offsets)
        return Values(out, out_offsets).to_arrow(pa.string(), valid)

    @cached_property
    def whole_texts(self) -> pa.Array:
        """All bodies as text."""
        return self.texts(self.starts, self.found)

    @cached_property
    def fields(self) -> pa.Array:
        """What follows the first comma of each body, for NMEA sentences."""
        first, last = (int(self.starts.min()), int(self.ends.max())) if len(self) else (0, 0)
        commas = np.append(np.flatnonzero(self.data[first:last] == ord(",")) + first, INT32_MAX)
        behind = commas[np.searchsorted(commas, self.starts)] + 1
        found = self.found & (behind <= self.ends)
        return self.texts(np.where(found, behind, self.starts), found)

    @cached_property
    def documents(self) -> list[Any]:
        """All bodies as JSON values, `_NOTHING` where one is not JSON; read once for all signals that look into them."""
        return [_NOTHING if text is None else _document(text) for text in self.whole_texts.to_pylist()]


_NOTHING: Final = object()


def _document(text: str) -> Any:
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        return _NOTHING


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _read_only(array: NDArray[Any]) -> NDArray[Any]:
    view = array.view()
    view.setflags(write=False)
    return view


# --- conversions: bodies -> values, null where it cannot be done ---


def _none(bodies: Bodies, conversion: ConversionNone, _: Conventions) -> pa.Array:
    sizes = bodies.ends - bodies.offsets[bodies.rows]
    data, offsets = np.empty(int(sizes.sum()), np.uint8), np.empty(len(bodies) + 1, np.int32)
    kernels.copy_rows(bodies.data, bodies.offsets, bodies.rows, data, offsets)
    return Values(data, offsets).to_arrow(pa.binary())


def _fixed_point(bodies: Bodies, conversion: ConversionNumFixedPoint, conventions: Conventions) -> pa.Array:
    """Cut bits out as up to nine bytes: all but one of them in a word of 64 bits, which then gives way to the ninth."""
    bits, is_big = conversion.bitsize, conversion.endian == "big"
    first = _first_bit(conversion, conventions.big_endian_bits) if is_big else conversion.startbit
    if first < 0:
        return pa.nulls(len(bodies), pa.float64())
    start, skipped = divmod(first, 8)
    size = (skipped + bits + 7) // 8
    cells, valid = bodies.cut(start, size)
    words, in_word = np.zeros((len(cells), 8), np.uint8), min(size, 8)
    if is_big:
        words[:, 8 - in_word :] = cells[:, size - in_word :]
        below, ninth = 8 * size - skipped - bits, 0
    else:
        words[:, :in_word] = cells[:, :in_word]
        below, ninth = skipped, 8
    raw = words.view(">u8" if is_big else "<u8")[:, 0].astype(np.uint64) >> np.uint64(below)
    if size > 8:
        raw |= cells[:, ninth].astype(np.uint64) << np.uint64(64 - below)
    raw &= np.uint64(2**bits - 1)
    if conversion.sign == "signed":
        sign = np.uint64(2 ** (bits - 1))
        values = ((raw ^ sign) - sign).view(np.int64).astype(np.float64)  # two's complement; the subtraction wraps
    else:
        values = raw.astype(np.float64)
    with np.errstate(over="ignore"):
        values *= float(conversion.scale)
        values += float(conversion.offset)
    return _spread(values, valid)


def _first_bit(conversion: ConversionNumFixedPoint, convention: BigEndianBits) -> int:
    """Position of the most significant bit of a big-endian field, counted from the most significant bit of byte 0."""
    if convention == "sequential":
        return conversion.startbit
    position = conversion.startbit // 8 * 8 + 7 - conversion.startbit % 8
    return position if convention == "motorola_msb" else position - conversion.bitsize + 1


def _floating_point(bodies: Bodies, conversion: ConversionNumFloatingPoint, _: Conventions) -> pa.Array:
    size = int(conversion.precision) // 8
    cells, valid = bodies.cut(conversion.startbyte, size)
    values = cells.view(f"{'<' if conversion.endian == 'little' else '>'}f{size}")[:, 0]
    with np.errstate(invalid="ignore"):  # a signalling NaN of 32 bits becomes a quiet one
        return _spread(values.astype(np.float64), valid)


def _spread(values: NDArray[np.float64], valid: NDArray[np.bool_]) -> pa.Array:
    """Put values in the rows that are valid; null in the others."""
    if len(values) == len(valid):
        return pa.array(values)
    spread = np.zeros(len(valid))
    spread[valid] = values
    return pa.array(spread, mask=~valid)


def _sub_bytes(bodies: Bodies, conversion: ConversionSubBytes, _: Conventions) -> pa.Array:
    cells, valid = bodies.cut(conversion.startbyte, conversion.bytesize)
    return _pieces(cells, valid).to_arrow(pa.binary(), valid)


def _sub_string(bodies: Bodies, conversion: ConversionSubString, _: Conventions) -> pa.Array:
    cells, valid = bodies.cut(conversion.startbyte, conversion.bytesize)
    every = _pieces(cells, np.ones(len(cells), np.bool_))
    marks = np.zeros(len(cells), np.uint8)
    data, offsets = _read_only(every.data), _read_only(every.offsets)
    kernels.find_undecodable_text(data, offsets, np.arange(len(cells)), every.offsets[:-1].astype(np.int64), 0, marks)
    is_text = marks != kernels.UNDECODABLE
    valid = valid.copy()
    valid[valid] = is_text
    return _pieces(cells[is_text], valid).to_arrow(pa.string(), valid)


def _pieces(cells: NDArray[np.uint8], valid: NDArray[np.bool_]) -> Values:
    """Cells of one size as byte strings of the rows that are valid; the others are empty."""
    ends = np.cumsum(valid, dtype=np.int64) * cells.shape[1]
    return Values(np.ascontiguousarray(cells).reshape(-1), np.concatenate([[0], ends]).astype(np.int32))


def _csv(bodies: Bodies, conversion: ConversionCSV, conventions: Conventions) -> pa.Array:
    from_fields = bodies.data_type == DataType.nmea and conventions.nmea_cells == "after_address"
    cells = _cells(bodies.fields if from_fields else bodies.whole_texts, conversion.delimiters, conversion.index)
    return _numbers(cells) if conversion.value_type == "num" else cells


def _cells(texts: pa.Array, delimiters: Sequence[str], index: int) -> pa.Array:
    """Split texts and give one cell of each; null where there are fewer."""
    if not delimiters:
        return texts if index == 0 else pa.nulls(len(texts), pa.string())
    if index >= INT32_MAX:
        return pa.nulls(len(texts), pa.string())
    if len(delimiters) == 1:
        cells = pc.split_pattern(texts, delimiters[0], max_splits=index + 1)
    else:
        longest_first = sorted(delimiters, key=len, reverse=True)
        pattern = "|".join("".join(f"\\x{{{ord(character):x}}}" for character in each) for each in longest_first)
        cells = pc.split_pattern_regex(texts, pattern, max_splits=index + 1)
    has_it = pc.fill_null(pc.greater(pc.list_value_length(cells), index), False).to_numpy(zero_copy_only=False)
    chosen = pc.list_element(cells.filter(pa.array(has_it)), index)
    return chosen.take(pa.array(np.cumsum(has_it) - 1, mask=~has_it))


_DECIMAL: Final = r"^[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?$"


def _numbers(cells: pa.Array) -> pa.Array:
    """Read decimal numbers; null where there is none."""
    trimmed = pc.ascii_trim_whitespace(cells)
    decimal = pc.if_else(pc.match_substring_regex(trimmed, _DECIMAL), trimmed, pa.scalar(None, pa.string()))
    try:
        values = pc.cast(decimal, pa.float64())
    except pa.ArrowInvalid:  # releases of Arrow differ in whether a number beyond f64 is an infinity or an error
        values = pa.array([None if text is None else float(text) for text in decimal.to_pylist()], pa.float64())
    return pc.if_else(pc.is_finite(values), values, pa.scalar(None, pa.float64()))


def _json(bodies: Bodies, conversion: ConversionJSON, _: Conventions) -> pa.Array:
    read, type_ = (_json_number, pa.float64()) if conversion.value_type == "num" else (_json_text, pa.string())
    steps = conversion.fieldpath.split(".")
    return pa.array([read(_field(document, conversion.fieldpath, steps)) for document in bodies.documents], type_)


def _field(document: Any, path: str, steps: Sequence[str]) -> Any:
    """Find a field; a key that is spelled like the whole path goes before what the path's dots mean."""
    if isinstance(document, dict) and path in document:
        return document[path]
    for step in steps:
        if isinstance(document, dict):
            document = document.get(step, _NOTHING)
        elif isinstance(document, list) and re.fullmatch("[0-9]{1,9}", step) and int(step) < len(document):
            document = document[int(step)]
        else:
            return _NOTHING
    return document


def _json_number(value: Any) -> float | None:
    return float(value) if _is_number(value) else None


def _json_text(value: Any) -> str | None:
    # JSON can spell half a character ("\ud800"), which is no text
    return value if isinstance(value, str) and not re.search("[\ud800-\udfff]", value) else None


_READERS: Final[dict[type[Conversion], Callable[[Bodies, Any, Conventions], pa.Array]]] = {
    ConversionNone: _none,
    ConversionNumFixedPoint: _fixed_point,
    ConversionNumFloatingPoint: _floating_point,
    ConversionCSV: _csv,
    ConversionJSON: _json,
    ConversionSubBytes: _sub_bytes,
    ConversionSubString: _sub_string,
}


def values_of(bodies: Bodies, conversion: Conversion, conventions: Conventions) -> pa.Array:
    """Convert a column.

    Returns
    -------
    pyarrow.Array
        A value for each body: float64, string or binary; null where the body is too short or cannot be read, and everywhere if
        `refusal` has something to say. Whole payloads for a conversion of kind `none`.

    Notes
    -----
    Source: protocol 7.
    """
    if refusal(conversion) is not None:
        return pa.nulls(len(bodies), pa.float64())
    return _READERS[type(conversion)](bodies, conversion, conventions)
