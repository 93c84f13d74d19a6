"""Primitive fields of the stream protocol, and the records made of them.

A *kind* (`Unsigned`, `Varint`, `Uuid`, `Text`, `Fixed`, `Blob`, `Record`) knows how one value looks on the wire. A *part*
(`Field`, `Flags`, `Count`, `Items`) places a value of a record at its place on the wire. A `Record` is a list of parts, so that
the tables in `intdash_frames.protocol.elements` read like the protocol page, and every record is read and written by the same
two functions.

Reading checks every length against the bytes that are there and raises `RemoteProtocolError`. Writing checks every bound and
raises `LocalProtocolError`. Nothing here does I/O.

Source: protocol 0 (conventions), 5.2 (variable length integers), 5.3.
"""

from __future__ import annotations

import operator
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

from intdash_frames.errors import LocalProtocolError, RemoteProtocolError
from intdash_frames.model.streams import NULL_UUID

__all__ = [
    "NULL_UUID",
    "U8",
    "U16",
    "U32",
    "VARINTS",
    "Blob",
    "BytesLike",
    "Count",
    "Field",
    "Fixed",
    "Flags",
    "Items",
    "Kind",
    "Part",
    "Reader",
    "Record",
    "Text",
    "Unsigned",
    "Uuid",
    "Varint",
    "whole_number",
]

BytesLike: TypeAlias = bytes | bytearray | memoryview


class Reader:
    """A position in a message that only moves forward and never leaves it.

    Parameters
    ----------
    message : bytes-like
        Not copied: what is taken are views, valid as long as the message is not changed.
    """

    __slots__ = ("_end", "_view", "position")

    def __init__(self, message: BytesLike) -> None:
        self._view = memoryview(message).cast("B")
        self._end = len(self._view)
        self.position = 0

    @property
    def left(self) -> int:
        """How many bytes have not been taken [byte]."""
        return self._end - self.position

    def take(self, size: int, what: str) -> memoryview:
        """The next `size` bytes; `RemoteProtocolError` naming `what` if fewer are left."""
        if size > self.left:
            raise RemoteProtocolError(f"cut inside {what}: {size} bytes expected at byte {self.position}, {self.left} left")
        start, self.position = self.position, self.position + size
        return self._view[start : self.position]

    def part(self, size: int, what: str) -> Reader:
        """A reader of the next `size` bytes alone, which counts positions from the start of the whole message."""
        start = self.position
        self.take(size, what)
        inner = Reader(self._view)
        inner.position, inner._end = start, self.position
        return inner


class Kind(Protocol):
    """How one value looks on the wire. `what` names the value in error messages."""

    def read(self, reader: Reader, what: str) -> Any:
        """Take one value; `RemoteProtocolError` if it is cut or not allowed."""

    def write(self, out: bytearray, value: Any, what: str) -> None:
        """Append one value; `LocalProtocolError` if it does not fit."""


def whole_number(value: Any, largest: int, what: str) -> int:
    """`value` as an int from 0 to `largest`, else `LocalProtocolError`; numpy's integers are welcome, floats and text are not."""
    try:
        number = operator.index(value)
    except TypeError:
        raise LocalProtocolError(f"{what} is {value!r}, expected a whole number") from None
    if not 0 <= number <= largest:
        raise LocalProtocolError(f"{what} is {number}, expected 0 to {largest}")
    return number


@dataclass(frozen=True, slots=True)
class Unsigned:
    """A little-endian unsigned integer of `size` bytes."""

    size: int

    @property
    def largest(self) -> int:
        """The largest value that fits."""
        return (1 << 8 * self.size) - 1

    def read(self, reader: Reader, what: str) -> int:
        return int.from_bytes(reader.take(self.size, what), "little")

    def write(self, out: bytearray, value: int, what: str) -> None:
        out += whole_number(value, self.largest, what).to_bytes(self.size, "little")


U8, U16, U32 = Unsigned(1), Unsigned(2), Unsigned(4)


@dataclass(frozen=True, slots=True)
class Varint:
    """An integer whose lowest `count_bits` bits say how many bytes follow the `shortest` ones.

    The value is the whole little-endian integer shifted right by `count_bits`. Readers take any length, writers make the
    shortest one unless a `size` is asked for. Source: protocol 5.2.
    """

    name: str
    count_bits: int
    shortest: int
    longest: int

    def largest(self, size: int) -> int:
        """The largest value that fits in `size` bytes."""
        return (1 << 8 * size - self.count_bits) - 1

    def read(self, reader: Reader, what: str) -> int:
        return self.read_sized(reader, what)[0]

    def read_sized(self, reader: Reader, what: str) -> tuple[int, int]:
        """Take one value and tell how many bytes it had, which in kind C is a statement of its own."""
        head = bytes(reader.take(self.shortest, what))
        more = head[0] & ((1 << self.count_bits) - 1)
        size = self.shortest + more
        if size > self.longest:
            raise RemoteProtocolError(f"{what} claims {size} bytes, but kind {self.name} has {self.shortest} to {self.longest}")
        whole = int.from_bytes(head + reader.take(more, what), "little")
        return whole >> self.count_bits, size

    def write(self, out: bytearray, value: int, what: str, *, size: int | None = None) -> None:
        if size is not None and not self.shortest <= size <= self.longest:
            raise LocalProtocolError(f"{what} in {size} bytes, but kind {self.name} has {self.shortest} to {self.longest}")
        number = whole_number(value, self.largest(size or self.longest), what)
        if size is None:
            size = next(n for n in range(self.shortest, self.longest + 1) if number <= self.largest(n))
        out += (number << self.count_bits | size - self.shortest).to_bytes(size, "little")


VARINTS: Mapping[str, Varint] = {
    row.name: row
    for row in (
        Varint("A", count_bits=2, shortest=1, longest=4),
        Varint("B", count_bits=1, shortest=2, longest=3),
        Varint("C", count_bits=2, shortest=2, longest=4),
    )
}
"""The three kinds of protocol 5.2, by its letters."""


@dataclass(frozen=True, slots=True)
class Uuid:
    """Sixteen bytes in the order of the text; the value is the text."""

    def read(self, reader: Reader, what: str) -> str:
        return str(uuid.UUID(bytes=bytes(reader.take(16, what))))

    def write(self, out: bytearray, value: str, what: str) -> None:
        try:
            out += uuid.UUID(str(value)).bytes
        except ValueError:
            raise LocalProtocolError(f"{what} is {value!r}, expected a uuid such as {NULL_UUID}") from None


@dataclass(frozen=True, slots=True)
class Fixed:
    """Exactly `size` bytes."""

    size: int

    def read(self, reader: Reader, what: str) -> bytes:
        return bytes(reader.take(self.size, what))

    def write(self, out: bytearray, value: BytesLike, what: str) -> None:
        octets = _octets(value, what)
        if len(octets) != self.size:
            raise LocalProtocolError(f"{what} has {len(octets)} bytes, expected {self.size}")
        out += octets


@dataclass(frozen=True, slots=True)
class Blob:
    """A length, then that many bytes. What is read is a view of the message and not a copy."""

    length: Unsigned | Varint

    def read(self, reader: Reader, what: str) -> memoryview:
        return reader.take(self.length.read(reader, f"length of {what}"), what)

    def write(self, out: bytearray, value: BytesLike, what: str) -> None:
        octets = _octets(value, what)
        self.length.write(out, len(octets), f"length of {what}")
        out += octets


@dataclass(frozen=True, slots=True)
class Text:
    """A length in bytes, then that many bytes of UTF-8."""

    length: Unsigned | Varint

    def read(self, reader: Reader, what: str) -> str:
        octets = bytes(Blob(self.length).read(reader, what))
        try:
            return octets.decode()
        except UnicodeDecodeError as error:
            raise RemoteProtocolError(f"{what} is {octets!r}, expected UTF-8: {error.reason} at {error.start}") from error

    def write(self, out: bytearray, value: str, what: str) -> None:
        if not isinstance(value, str):
            raise LocalProtocolError(f"{what} is {value!r}, expected text")
        try:
            octets = value.encode()
        except UnicodeEncodeError as error:
            raise LocalProtocolError(f"{what} is {value!r}, which UTF-8 cannot hold: {error.reason}") from error
        Blob(self.length).write(out, octets, what)


def _octets(value: BytesLike, what: str) -> memoryview:
    """`value` as a view of single bytes: the length of a view of wider items would lie about the bytes it has."""
    try:
        return memoryview(value).cast("B")
    except TypeError:
        raise LocalProtocolError(f"{what} is {type(value).__name__}, expected contiguous bytes") from None


class Part(Protocol):
    """One place on the wire of a record. It reads into the values of the record, and writes from the record."""

    def read(self, reader: Reader, values: dict[str, Any]) -> None:
        """Take the part and add what it says to `values`."""

    def write(self, out: bytearray, record: Any) -> None:
        """Append the part."""


@dataclass(frozen=True, slots=True)
class Field:
    """One attribute of one kind."""

    name: str
    kind: Kind

    def read(self, reader: Reader, values: dict[str, Any]) -> None:
        values[self.name] = self.kind.read(reader, self.name)

    def write(self, out: bytearray, record: Any) -> None:
        self.kind.write(out, getattr(record, self.name), self.name)


@dataclass(frozen=True, slots=True)
class Flags:
    """One byte of booleans, lowest bit first. Other bits are ignored on reading and zero on writing."""

    names: tuple[str, ...]

    def read(self, reader: Reader, values: dict[str, Any]) -> None:
        bits = U8.read(reader, "flags")
        values.update({name: bool(bits >> bit & 1) for bit, name in enumerate(self.names)})

    def write(self, out: bytearray, record: Any) -> None:
        out.append(sum(bool(getattr(record, name)) << bit for bit, name in enumerate(self.names)))


@dataclass(frozen=True, slots=True)
class Count:
    """The number of items of the attribute `name`, whose `Items` follow, though not always at once."""

    name: str
    kind: Unsigned

    def read(self, reader: Reader, values: dict[str, Any]) -> None:
        values[self.name] = self.kind.read(reader, f"number of {self.name}")

    def write(self, out: bytearray, record: Any) -> None:
        items = getattr(record, self.name)
        if not isinstance(items, tuple | list):  # text would be taken apart into letters
            raise LocalProtocolError(f"{self.name} is {items!r}, expected a tuple")
        self.kind.write(out, len(items), f"number of {self.name}")


@dataclass(frozen=True, slots=True)
class Items:
    """The items that `Count` announced, as a tuple."""

    name: str
    kind: Kind

    def read(self, reader: Reader, values: dict[str, Any]) -> None:
        count: int = values[self.name]
        values[self.name] = tuple(self.kind.read(reader, f"{self.name}[{i}]") for i in range(count))

    def write(self, out: bytearray, record: Any) -> None:
        for i, item in enumerate(getattr(record, self.name)):
            self.kind.write(out, item, f"{self.name}[{i}]")


@dataclass(frozen=True, slots=True)
class Record:
    """Parts in the order of the wire that make one object of the class `form`.

    This is the only reader and the only writer of records; a record may be a kind of another record's items.
    """

    form: type
    parts: tuple[Part, ...]

    def read(self, reader: Reader, what: str) -> Any:
        values: dict[str, Any] = {}
        for part in self.parts:
            part.read(reader, values)
        return self.form(**values)

    def write(self, out: bytearray, value: Any, what: str) -> None:
        if not isinstance(value, self.form):
            raise LocalProtocolError(f"{what} is {value!r}, expected {self.form.__name__}")
        for part in self.parts:
            part.write(out, value)
