"""Payload layouts as data: one `Layout` gives decode, encode, Arrow schema, the docs table and the test strategies."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from intdash_frames.codecs import kernels
from intdash_frames.errors import PayloadError
from intdash_frames.model import DataType

__all__ = ["INSTANT", "Decoded", "Field", "IdRule", "Layout", "Tail", "Values"]

MAX_NAME_BYTES = 255  # one length byte stands before an inner id (protocol 6.6)


class Tail(enum.Enum):
    """What follows the fixed fields."""

    NOTHING = "nothing"
    BYTES = "bytes"
    TEXT = "text"


class IdRule(enum.IntEnum):
    """Where the data id of a payload stands (protocol 6.1)."""

    FIXED = kernels.FIXED_ID
    NUMBER = kernels.NUMBER_ID
    NAME = kernels.COUNTED_NAME
    NMEA = kernels.NMEA_ID


# The format of a field that holds an instant: whole seconds since the Unix epoch, then nanoseconds under 10**9 (protocol 6.12).
INSTANT = "<u4,<u4"
NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Field:
    """A fixed field of a payload.

    Attributes
    ----------
    name : str
        Column name.
    format : str
        numpy format, little-endian, such as ``"<u4"``, or `INSTANT`.
    """

    name: str
    format: str

    @property
    def arrow_type(self) -> pa.DataType:
        """Type of the column: the number itself, or nanoseconds UTC for an instant."""
        return pa.timestamp("ns", "UTC") if self.format == INSTANT else pa.from_numpy_dtype(np.dtype(self.format))

    def valid(self, values: NDArray[Any]) -> NDArray[np.bool_] | None:
        """Say which values may stand in this field; None if all bit patterns may."""
        return values["f1"] < NS if self.format == INSTANT else None

    def to_column(self, values: NDArray[Any], mask: NDArray[np.bool_] | None) -> pa.Array:
        """Turn values as they stand in payloads into a column, null where `mask` is set."""
        if self.format == INSTANT:
            values = (values["f0"].astype(np.int64) * NS + values["f1"]).view("M8[ns]")
        return pa.array(np.ascontiguousarray(values), self.arrow_type, mask=mask)

    def from_column(self, values: NDArray[Any]) -> NDArray[Any]:
        """Turn a column of whole numbers, floats or instants [ns] into values as they stand in payloads.

        Raises
        ------
        ValueError
            With the position of the first value that does not fit and a sentence about it.
        """
        wanted = np.dtype(self.format)
        if self.format == INSTANT:
            instants = values.astype("M8[ns]").astype(np.int64)
            _refuse(instants, 0, 2**32 * NS - 1, f"{self.name} in nanoseconds")
            fields = np.empty(len(values), wanted)
            fields["f0"], fields["f1"] = np.divmod(instants, NS)
            return fields
        if wanted.kind in "iu" and values.dtype != wanted:
            if values.dtype.kind not in "iub":
                raise ValueError(0, f"column {self.name!r} is {values.dtype}; expected integers")
            if values.dtype.kind != "b":
                _refuse(values, np.iinfo(wanted).min, np.iinfo(wanted).max, self.name)
        return values


def _refuse(values: NDArray[Any], low: int, high: int, name: str) -> None:
    """Refuse numbers that numpy would wrap in silence."""
    wrong = np.flatnonzero((values < low) | (values > high))
    if len(wrong):
        raise ValueError(int(wrong[0]), f"{name} is {values[wrong[0]]}; expected {low} to {high}")


@dataclass(frozen=True, slots=True)
class Values:
    """A column of byte strings back to back: value i is ``data[offsets[i]:offsets[i + 1]]``."""

    data: NDArray[np.uint8]
    offsets: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @classmethod
    def of(cls, values: pa.Array | list[bytes]) -> Values:
        """Take binary or text values, as an Arrow array without a copy of the bytes; a null becomes empty."""
        array = values if isinstance(values, pa.Array) else pa.array(values, pa.binary())
        if pa.types.is_dictionary(array.type):
            array = array.dictionary_decode()
        if not (pa.types.is_binary(array.type) or pa.types.is_string(array.type)):
            array = array.cast(pa.binary() if "binary" in str(array.type) else pa.string())
        if array.null_count:
            array = array.fill_null(b"" if pa.types.is_binary(array.type) else "")
        _, offsets, data = array.buffers()
        if offsets is None or len(array) == 0:
            return cls(np.empty(0, np.uint8), np.zeros(len(array) + 1, np.int32))
        bytes_ = np.frombuffer(data, np.uint8) if data is not None else np.empty(0, np.uint8)
        return cls(bytes_, np.frombuffer(offsets, np.int32)[array.offset : array.offset + len(array) + 1])

    def to_arrow(self, type_: pa.DataType, valid: NDArray[np.bool_] | None = None) -> pa.Array:
        """Give them as an Arrow array of `type_` (binary or string) over the same memory."""
        mask = None if valid is None or valid.all() else pa.py_buffer(np.packbits(valid, bitorder="little"))
        return pa.Array.from_buffers(type_, len(self), [mask, pa.py_buffer(self.offsets), pa.py_buffer(self.data)])


@dataclass(frozen=True, slots=True)
class Decoded:
    """Typed columns of the payloads of one data type.

    Attributes
    ----------
    columns : dict of str to pyarrow.Array
        The layout's columns, null where a payload is undecodable.
    payload : pyarrow.Array
        Binary: the raw bytes of the payloads that their columns would not give back bit for bit, null elsewhere.
    undecodable : int
        Payloads that do not fit the layout [count].
    """

    columns: dict[str, pa.Array]
    payload: pa.Array
    undecodable: int


@dataclass(frozen=True)
class Layout:
    """How the payload of one data type is laid out.

    Attributes
    ----------
    data_type : DataType
    head : tuple of Field
        Fixed fields, packed, after the inner id if there is one.
    tail : Tail
        What follows them.
    tail_name : str
        Column name of the tail.
    id_rule : IdRule
        Where the data id stands; with `IdRule.NAME` a counted inner id comes before the head.
    id_text : str
        The data id of a type with `IdRule.FIXED`.
    """

    data_type: DataType
    head: tuple[Field, ...] = ()
    tail: Tail = Tail.NOTHING
    tail_name: str = "data"
    id_rule: IdRule = IdRule.FIXED
    id_text: str = ""

    @cached_property
    def head_dtype(self) -> np.dtype[np.void]:
        """The fixed fields as a packed record."""
        return np.dtype([(field.name, field.format) for field in self.head])

    @cached_property
    def id_width(self) -> int:
        """Bytes of a numeric data id; it is always the first field."""
        return np.dtype(self.head[0].format).itemsize if self.id_rule is IdRule.NUMBER else 0

    @cached_property
    def schema(self) -> pa.Schema:
        """Arrow types of the columns."""
        fields = [pa.field(field.name, field.arrow_type) for field in self.head]
        if self.tail is not Tail.NOTHING:
            fields.append(pa.field(self.tail_name, pa.string() if self.tail is Tail.TEXT else pa.binary()))
        return pa.schema(fields)

    def data_id(self, raw: bytes) -> str:
        """Turn an id as it stands in a payload into text: hexadecimal for numbers, UTF-8 for names.

        Parameters
        ----------
        raw : bytes
            Empty for a type with a fixed id and for a payload too short to hold one.
        """
        if self.id_rule is IdRule.FIXED:
            return self.id_text
        if self.id_rule is IdRule.NUMBER:
            return raw[::-1].hex()
        return raw.decode("utf-8", "replace")

    def decode(
        self,
        data: NDArray[np.uint8],
        offsets: NDArray[np.int32],
        rows: NDArray[np.int64],
        codes: NDArray[np.int32],
        names: Values,
    ) -> Decoded:
        """Decode some payloads into columns.

        Parameters
        ----------
        data, offsets : ndarray
            Payload i is ``data[offsets[i]:offsets[i + 1]]``.
        rows : ndarray of int64, shape (m,)
            Which payloads.
        codes : ndarray of int32, shape (n,)
            Series code of every payload, a position in `names`.
        names : Values
            Data id of every series in UTF-8.

        Returns
        -------
        Decoded
            Columns of m values.
        """
        starts, marks = np.empty(len(rows), np.int64), np.empty(len(rows), np.uint8)
        size, exact = self.head_dtype.itemsize, self.tail is Tail.NOTHING
        named = self.id_rule is IdRule.NAME
        kernels.locate_heads(data, offsets, rows, codes, named, names.data, names.offsets, size, exact, starts, marks)
        if self.tail is Tail.TEXT:
            kernels.find_undecodable_text(data, offsets, rows, starts, size, marks)
        heads = np.empty(len(rows) * size, np.uint8)
        if size:
            kernels.gather_heads(data, starts, marks, size, heads)
        records: NDArray[Any] = heads.view(self.head_dtype) if size else np.empty(0)
        for field in self.head:
            allowed = field.valid(records[field.name])
            if allowed is not None:
                marks[~allowed] = kernels.UNDECODABLE
        valid = marks != kernels.UNDECODABLE
        all_valid = bool(valid.all())
        mask = None if all_valid else ~valid
        columns = {field.name: field.to_column(records[field.name], mask) for field in self.head}
        if self.tail is not Tail.NOTHING:
            bound = int((offsets[rows + 1].astype(np.int64) - offsets[rows]).sum()) if len(rows) else 0
            tail, tail_offsets = np.empty(bound, np.uint8), np.empty(len(rows) + 1, np.int32)
            used = kernels.gather_tails(data, offsets, rows, starts, marks, size, tail, tail_offsets)
            columns[self.tail_name] = Values(tail[:used], tail_offsets).to_arrow(self.schema.field(self.tail_name).type, valid)
        return Decoded(columns, _kept(data, offsets, rows, marks), int(len(rows) - valid.sum()))

    def encode(
        self,
        columns: Mapping[str, NDArray[np.generic] | Values],
        codes: NDArray[np.int32],
        names: Values,
        *,
        kept: Values | None = None,
        is_kept: NDArray[np.bool_] | None = None,
    ) -> Values:
        """Put payloads together from columns.

        Parameters
        ----------
        columns : mapping
            Every column of `schema`: numbers of shape (n,), or `Values` for the tail.
        codes : ndarray of int32, shape (n,)
            Series code of each row, a position in `names`.
        names : Values
            Data id of every series in UTF-8.
        kept : Values, optional
            Raw payloads to give back as they are, where `is_kept` says so.

        Returns
        -------
        Values
            n payloads.

        Raises
        ------
        PayloadError
            If a column is missing, a number does not fit its field or an id is over 255 bytes.
        """
        count = len(codes)
        missing = [name for name in self.schema.names if name not in columns]
        if missing:
            raise PayloadError(self.data_type.name, f"columns {missing} are missing; a payload needs {self.schema.names}")
        lengths = np.diff(names.offsets)
        named = self.id_rule is IdRule.NAME
        if named and len(lengths) and lengths.max() > MAX_NAME_BYTES:
            longest = int(lengths.argmax())
            text = names.data[names.offsets[longest] : names.offsets[longest + 1]].tobytes().decode("utf-8", "replace")
            raise PayloadError(
                self.data_type.name,
                f"a data id has {lengths.max()} bytes of UTF-8; the limit is {MAX_NAME_BYTES}",
                data_id=text[:40] + "...",
            )
        records = np.zeros(count, self.head_dtype)
        for field in self.head:
            try:
                records[field.name] = field.from_column(np.asarray(columns[field.name]))
            except ValueError as error:
                row, reason = error.args if len(error.args) == 2 else (None, f"column {field.name!r}: {error}")
                raise PayloadError(self.data_type.name, reason, row=row) from None
        tail = columns[self.tail_name] if self.tail is not Tail.NOTHING else Values(np.empty(0, np.uint8), np.empty(0, np.int32))
        if not isinstance(tail, Values):
            raise PayloadError(self.data_type.name, f"column {self.tail_name!r} is {type(tail).__name__}; expected Values")
        kept = kept if kept is not None else Values(np.empty(0, np.uint8), np.zeros(count + 1, np.int32))
        is_kept = is_kept if is_kept is not None else np.empty(0, np.bool_)
        lengths_seen = {len(kept), len(is_kept) or count, len(tail) if self.tail is not Tail.NOTHING else count}
        if lengths_seen != {count}:  # the kernel below has only this check
            raise PayloadError(self.data_type.name, f"columns have {sorted(lengths_seen)} rows; expected {count} as in codes")
        size = self.head_dtype.itemsize
        bound = count * size + _span(tail) + _span(kept) + (count + int(lengths[codes].sum()) if named and count else 0)
        if bound > np.iinfo(np.int32).max:
            raise PayloadError(self.data_type.name, f"{bound} bytes of payload in one piece; encode fewer than 2**31 at a time")
        out, offsets = np.empty(bound, np.uint8), np.empty(count + 1, np.int32)
        heads = records.view(np.uint8) if size else np.empty(0, np.uint8)
        used = kernels.join_payloads(
            named,
            names.data,
            names.offsets,
            codes,
            heads,
            size,
            tail.data,
            tail.offsets,
            kept.data,
            kept.offsets,
            is_kept,
            out,
            offsets,
        )
        return Values(out[:used], offsets)


def _span(values: Values) -> int:
    return int(values.offsets[-1]) - int(values.offsets[0]) if len(values.offsets) else 0


def _kept(data: NDArray[np.uint8], offsets: NDArray[np.int32], rows: NDArray[np.int64], marks: NDArray[np.uint8]) -> pa.Array:
    """Raw bytes of the payloads that their columns would not give back; null for all others."""
    odd = np.flatnonzero(marks != kernels.CANONICAL)
    if not len(odd):
        return pa.nulls(len(rows), pa.binary())
    sizes = np.zeros(len(rows), np.int64)
    sizes[odd] = offsets[rows[odd] + 1].astype(np.int64) - offsets[rows[odd]]
    out = np.empty(int(sizes.sum()), np.uint8)
    kernels.copy_rows(data, offsets, rows[odd], out, np.empty(len(odd) + 1, np.int32))
    bounds = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int32)
    return Values(out, bounds).to_arrow(pa.binary(), marks != kernels.CANONICAL)
