"""One payload at a time, from the same rows of the table as whole columns: for the data classes and units of a stream."""

from __future__ import annotations

import functools
import struct
from dataclasses import dataclass
from typing import Any

from intdash_frames.codecs.layout import MAX_NAME_BYTES, IdRule, Tail
from intdash_frames.codecs.table import layout_of
from intdash_frames.errors import PayloadError
from intdash_frames.model import DataType

__all__ = ["pack", "unpack"]

# numpy's names of the fixed fields, as `struct` calls them.
_STRUCT_CODES = {"<u1": "B", "<u2": "H", "<u4": "I", "<i8": "q", "<f8": "d"}


@dataclass(frozen=True, slots=True)
class _Plan:
    """A row of the table, made ready for one payload at a time: a column of one would cost twenty times as much."""

    head: struct.Struct
    names: tuple[str, ...]
    is_named: bool
    tail: Tail


@functools.cache
def _plan(data_type: DataType) -> _Plan:
    layout = layout_of(data_type)
    parts = [(column.name, part) for column in layout.head for part in column.format.split(",")]
    head = struct.Struct("<" + "".join(_STRUCT_CODES[part] for _, part in parts))
    return _Plan(head, tuple(name for name, _ in parts), layout.id_rule is IdRule.NAME, layout.tail)


def pack(data_type: DataType, row: tuple[Any, ...]) -> bytes:
    """Put one payload together.

    Parameters
    ----------
    data_type : DataType
        Which layout.
    row : tuple
        The inner id, if there is one, then the numbers of the fixed fields (two for an instant), then the tail.

    Raises
    ------
    PayloadError
        If a value does not fit its place.
    """
    plan = _plan(data_type)
    name, values = _packed_name(data_type, row[0]) if plan.is_named else b"", row[plan.is_named :]
    count = len(plan.names)
    try:
        head = plan.head.pack(*values[:count])
    except (struct.error, OverflowError) as error:
        given = ", ".join(f"{name}={value!r}" for name, value in zip(plan.names, values, strict=False))
        raise PayloadError(data_type.name, f"{given} does not fit the layout {plan.head.format!r}: {error}") from None
    return name + head + (_packed_tail(data_type, plan.tail, values[count]) if len(values) > count else b"")


def _packed_name(data_type: DataType, name: str) -> bytes:
    text = _packed_tail(data_type, Tail.TEXT, name)
    if len(text) > MAX_NAME_BYTES:
        raise PayloadError(
            data_type.name,
            f"the data id has {len(text)} bytes of UTF-8; the limit is {MAX_NAME_BYTES}",
            data_id=name[:40] + "...",
        )
    return bytes((len(text),)) + text


def _packed_tail(data_type: DataType, kind: Tail, value: Any) -> bytes:
    try:
        # Through a memoryview, because bytes(5) would be five zeros.
        return value.encode() if kind is Tail.TEXT else bytes(memoryview(value))
    except (AttributeError, TypeError, UnicodeEncodeError) as error:
        raise PayloadError(data_type.name, f"{_head_of(value)} is not {kind.value}: {error}") from None


def unpack(data_type: DataType, payload: bytes) -> tuple[Any, ...]:
    """Take one payload apart.

    Returns
    -------
    tuple
        As `pack` takes it.

    Raises
    ------
    PayloadError
        If the payload does not fit its layout.
    """
    plan, payload = _plan(data_type), _packed_tail(data_type, Tail.BYTES, payload)
    row: list[Any] = []
    start = 0
    if plan.is_named:
        start = 1 + payload[0] if payload else 1
        if start > len(payload):
            raise PayloadError(data_type.name, f"an inner id of {start - 1} bytes runs past the end of {len(payload)} bytes")
        row.append(_text(data_type, payload[1:start]))
    end = start + plan.head.size
    if len(payload) < end or (plan.tail is Tail.NOTHING and len(payload) > end):
        expected = f"{end}" if plan.tail is Tail.NOTHING else f"at least {end}"
        raise PayloadError(data_type.name, f"{len(payload)} bytes; expected {expected}", data_id=row[0] if row else None)
    row += plan.head.unpack_from(payload, start)
    if plan.tail is not Tail.NOTHING:
        row.append(_text(data_type, payload[end:]) if plan.tail is Tail.TEXT else payload[end:])
    return tuple(row)


def _text(data_type: DataType, raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise PayloadError(data_type.name, f"{_head_of(raw)} is not UTF-8: {error.reason} at byte {error.start}") from None


def _head_of(value: object) -> str:
    text = repr(value[:20] if isinstance(value, bytes | str) else value)
    return text if len(text) < 100 else f"{text[:100]}..."
