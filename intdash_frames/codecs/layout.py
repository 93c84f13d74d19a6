"""Payload layouts as data: one `Layout` gives decode, encode, Arrow schema, the docs table and the test strategies."""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from intdash_frames.codecs import kernels
from intdash_frames.errors import PayloadError
from intdash_frames.model import DataType

__all__ = ["INSTANT", "Decoded", "Field", "Heads", "IdRule", "Layout", "Run", "Tail", "Values"]

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

    def to_column(self, values: NDArray[Any], mask: NDArray[np.bool_] | None) -> Any:
        """Turn values as they stand in payloads into a column: numbers as they are, else Arrow, null where `mask` is set."""
        if self.format == INSTANT:
            values = (values["f0"].astype(np.int64) * NS + values["f1"]).view("M8[ns]")
        values = np.ascontiguousarray(values)
        if mask is None and self.format != INSTANT:
            return values
        return pa.chunked_array([pa.array(values, self.arrow_type, mask=mask)])

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


class Run(NamedTuple):
    """Payloads of one batch to decode.

    Attributes
    ----------
    data, offsets : ndarray
        Payload i is ``data[offsets[i]:offsets[i + 1]]``.
    rows : ndarray of int64
        Which payloads.
    codes : ndarray of int32
        Series code of every payload of the batch.
    """

    data: NDArray[np.uint8]
    offsets: NDArray[np.int32]
    rows: NDArray[np.int64]
    codes: NDArray[np.int32]


class Heads(NamedTuple):
    """The fixed fields of the payloads of a run, and where they stand.

    Attributes
    ----------
    records : ndarray of `Layout.head_dtype`, shape (n,)
        Zeros where a payload is undecodable.
    marks : ndarray of uint8, shape (n,)
        `kernels.CANONICAL`, `kernels.READABLE` or `kernels.UNDECODABLE`.
    starts : ndarray of int64, shape (n,)
        Position of each head in the data of the run.
    """

    records: NDArray[Any]
    marks: NDArray[np.uint8]
    starts: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Decoded:
    """Typed columns of the payloads of one data type.

    Attributes
    ----------
    columns : dict of str to ndarray or pyarrow array
        The layout's columns, null where a payload is undecodable.
    payload : pyarrow.Array or ChunkedArray
        Binary: the raw bytes of the payloads that their columns would not give back bit for bit, null elsewhere.
    undecodable : int
        Payloads that do not fit the layout [count].
    """

    columns: dict[str, Any]
    payload: Any
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
        decoded = self.decode_runs([Run(data, offsets, rows, codes)], names)
        columns = {name: _one_chunk(column) for name, column in decoded.columns.items()}
        return Decoded(columns, _one_chunk(decoded.payload), decoded.undecodable)

    def decode_runs(self, runs: Sequence[Run], names: Values) -> Decoded:
        """Decode payloads of several batches into the same columns.

        Parameters
        ----------
        runs : sequence of Run
        names : Values
            Data id of every series in UTF-8.

        Returns
        -------
        Decoded
            Numbers without nulls are numpy arrays that may be written, all else is Arrow.
        """
        bounds = np.cumsum([0, *(len(run.rows) for run in runs)]).tolist()
        size = self.head_dtype.itemsize
        heads, marks = np.empty(bounds[-1] * size, np.uint8), np.empty(bounds[-1], np.uint8)
        tails = []
        for run, at, end in zip(runs, bounds, bounds[1:], strict=False):
            starts, own = np.empty(end - at, np.int64), marks[at:end]
            tail_bytes = self._locate(run, names, starts, own)
            kernels.gather_heads(run.data, starts, own, size, heads[at * size : end * size])
            if self.tail is not Tail.NOTHING:
                tails.append(self._tail(run, starts, own, tail_bytes))
        return self._decoded(runs, self._records(heads, marks), marks, tails)

    def read_heads(self, run: Run, names: Values) -> Heads:
        """Do the part of decoding that needs the ids of the series; `to_columns` does the rest, now or later.

        Parameters
        ----------
        run : Run
        names : Values
            Data id of every series in UTF-8.

        Returns
        -------
        Heads
        """
        size, count = self.head_dtype.itemsize, len(run.rows)
        heads, marks, starts = np.empty(count * size, np.uint8), np.empty(count, np.uint8), np.empty(count, np.int64)
        self._locate(run, names, starts, marks)
        kernels.gather_heads(run.data, starts, marks, size, heads)
        return Heads(self._records(heads, marks), marks, starts)

    def to_columns(self, payloads: Sequence[Values], heads: Sequence[Heads]) -> Decoded:
        """Give payloads whose heads have been read the columns that `decode_runs` gives them.

        Parameters
        ----------
        payloads : sequence of Values
            Columns may be over the same memory.
        heads : sequence of Heads
            Of the payloads of each, all in order.

        Returns
        -------
        Decoded
        """
        size, is_tail = self.head_dtype.itemsize, self.id_rule is not IdRule.NAME and not self.head
        runs = [Run(each.data, each.offsets, np.arange(len(each)), np.empty(0, np.int32)) for each in payloads]
        tails = []
        for run, whole, (_, marks, starts) in zip(runs, payloads, heads, strict=True):
            if self.tail is Tail.NOTHING:
                break
            if is_tail and not marks.any():
                tails.append(whole.to_arrow(self.schema.field(self.tail_name).type))
            else:
                good = marks != kernels.UNDECODABLE if marks.any() else slice(None)
                tail_bytes = int((run.offsets[1:] - starts)[good].sum()) - size * len(starts[good])
                tails.append(self._tail(run, starts, marks, tail_bytes))
        if len(heads) == 1:
            return self._decoded(runs, heads[0].records, heads[0].marks, tails)
        records = np.concatenate([np.empty(0, self.head_dtype), *(each.records for each in heads)])
        return self._decoded(runs, records, np.concatenate([np.empty(0, np.uint8), *(each.marks for each in heads)]), tails)

    def _locate(self, run: Run, names: Values, starts: NDArray[np.int64], marks: NDArray[np.uint8]) -> int:
        """Find the heads and mark the payloads that do not fit; gives the bytes that follow the heads."""
        size, exact, named = self.head_dtype.itemsize, self.tail is Tail.NOTHING, self.id_rule is IdRule.NAME
        tail_bytes: int = kernels.locate_heads(
            run.data, run.offsets, run.rows, run.codes, named, names.data, names.offsets, size, exact, starts, marks
        )
        if self.tail is Tail.TEXT:
            kernels.find_undecodable_text(run.data, run.offsets, run.rows, starts, size, marks)
        return tail_bytes

    def _tail(self, run: Run, starts: NDArray[np.int64], marks: NDArray[np.uint8], tail_bytes: int) -> pa.Array:
        """What follows the heads of a run, as a column."""
        data, offsets = np.empty(tail_bytes, np.uint8), np.empty(len(starts) + 1, np.int32)
        used = kernels.gather_tails(run.data, run.offsets, run.rows, starts, marks, self.head_dtype.itemsize, data, offsets)
        valid = marks != kernels.UNDECODABLE if marks.any() else None
        return Values(data[:used], offsets).to_arrow(self.schema.field(self.tail_name).type, valid)

    def _records(self, heads: NDArray[np.uint8], marks: NDArray[np.uint8]) -> NDArray[Any]:
        """Give heads as records; those with a field that cannot be so become undecodable."""
        records: NDArray[Any] = heads.view(self.head_dtype) if self.head_dtype.itemsize else np.empty(len(marks), self.head_dtype)
        for field in self.head:
            allowed = field.valid(records[field.name])
            if allowed is not None:
                marks[~allowed] = kernels.UNDECODABLE
        return records

    def _decoded(
        self, runs: Sequence[Run], records: NDArray[Any], marks: NDArray[np.uint8], tails: Sequence[pa.Array]
    ) -> Decoded:
        odd = bool(marks.any())
        absent = marks == kernels.UNDECODABLE if odd else None
        undecodable = int(absent.sum()) if absent is not None else 0
        columns: dict[str, Any] = {
            field.name: field.to_column(records[field.name], absent if undecodable else None) for field in self.head
        }
        if self.tail is not Tail.NOTHING:
            columns[self.tail_name] = pa.chunked_array(tails, self.schema.field(self.tail_name).type)
        kept = [pa.nulls(len(marks), pa.binary())]
        if odd:
            bounds = np.cumsum([0, *(len(run.rows) for run in runs)]).tolist()
            kept = [_kept(run, marks[at:end]) for run, at, end in zip(runs, bounds, bounds[1:], strict=False)]
        return Decoded(columns, pa.chunked_array(kept, pa.binary()), undecodable)

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


def _kept(run: Run, marks: NDArray[np.uint8]) -> pa.Array:
    """Raw bytes of the payloads that their columns would not give back; null for all others."""
    odd = np.flatnonzero(marks != kernels.CANONICAL)
    sizes = np.zeros(len(marks), np.int64)
    sizes[odd] = run.offsets[run.rows[odd] + 1].astype(np.int64) - run.offsets[run.rows[odd]]
    out = np.empty(int(sizes.sum()), np.uint8)
    kernels.copy_rows(run.data, run.offsets, run.rows[odd], out, np.empty(len(odd) + 1, np.int32))
    bounds = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int32)
    return Values(out, bounds).to_arrow(pa.binary(), marks != kernels.CANONICAL)


def _one_chunk(column: Any) -> pa.Array:
    if isinstance(column, np.ndarray):
        return pa.array(column)
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
