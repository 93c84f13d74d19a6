"""Bodies of the data calls <-> columns. Every loop is in `kernels`; what is here sizes the columns and names the series."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from intdash_frames.codecs import kernels
from intdash_frames.codecs.layout import Values
from intdash_frames.codecs.series import Interner, Series, SeriesTable
from intdash_frames.codecs.table import ID_KINDS, ID_WIDTHS, layout_of
from intdash_frames.errors import LocalProtocolError, RemoteProtocolError
from intdash_frames.protocol.wire import U32, whole_number

__all__ = [
    "Points",
    "ResponseReader",
    "StoreSection",
    "check_storable",
    "name_points",
    "read_store",
    "response_frames",
    "series_of_wire_id",
    "store_body",
]

INT32_MAX = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Points:
    """Columns of n data points, in the order received.

    Attributes
    ----------
    time_ns : ndarray of int64, shape (n,)
        Nanoseconds since the Unix epoch (answers) or since the base time (stores and streams).
    series : ndarray of int32, shape (n,)
        Position in `keys`.
    data : ndarray of uint8
        Payloads back to back.
    offsets : ndarray of int32, shape (n + 1,)
        Payload i is ``data[offsets[i]:offsets[i + 1]]``.
    keys : SeriesTable
        Shared by all batches of one read.
    """

    time_ns: NDArray[np.int64]
    series: NDArray[np.int32]
    data: NDArray[np.uint8]
    offsets: NDArray[np.int32]
    keys: SeriesTable

    def __len__(self) -> int:
        return len(self.time_ns)

    def payload(self, row: int) -> bytes:
        """Payload of one point."""
        return self.data[self.offsets[row] : self.offsets[row + 1]].tobytes()

    def slice(self, start: int, stop: int) -> Points:
        """Points `start` to `stop` over the same memory."""
        return Points(self.time_ns[start:stop], self.series[start:stop], self.data, self.offsets[start : stop + 1], self.keys)

    def take(self, rows: NDArray[np.int64]) -> Points:
        """Copy of some points, in the order of `rows`."""
        sizes = self.offsets[rows + 1].astype(np.int64) - self.offsets[rows]
        data, offsets = np.empty(_bounded(int(sizes.sum())), np.uint8), np.empty(len(rows) + 1, np.int32)
        kernels.copy_rows(self.data, self.offsets, rows, data, offsets)
        return Points(self.time_ns[rows], self.series[rows], data, offsets, self.keys)

    @classmethod
    def concat(cls, parts: Sequence[Points], keys: SeriesTable | None = None) -> Points:
        """Points of several batches that share their keys, one after the other.

        Raises
        ------
        LocalProtocolError
            If their payloads come to 2 GiB or more.
        """
        if len(parts) == 1:
            return parts[0]
        if not parts:
            return cls.empty(keys if keys is not None else SeriesTable())
        spans = [part.data[part.offsets[0] : part.offsets[-1]] for part in parts]
        _bounded(sum(map(len, spans)))
        starts = np.cumsum([0, *map(len, spans)])
        moved = [part.offsets[1:] - part.offsets[0] + start for part, start in zip(parts, starts, strict=False)]
        return cls(
            np.concatenate([part.time_ns for part in parts]),
            np.concatenate([part.series for part in parts]),
            np.concatenate(spans),
            np.concatenate([np.zeros(1, np.int32), *moved]).astype(np.int32),
            parts[0].keys,
        )

    @classmethod
    def empty(cls, keys: SeriesTable) -> Points:
        """No points."""
        return cls(np.empty(0, np.int64), np.empty(0, np.int32), np.empty(0, np.uint8), np.zeros(1, np.int32), keys)


def _bounded(size: int) -> int:
    if size > INT32_MAX:
        raise LocalProtocolError(
            f"{size} bytes of payload in one batch; a batch holds fewer than 2**31, so take fewer points at a time"
        )
    return size


def series_of_wire_id(measurement_uuid: str, type_text: str, wire_id: str) -> Series:
    """Split the ids of a data answer (protocol 3.3).

    Parameters
    ----------
    measurement_uuid : str
    type_text : str
        Decimal digits, or a newer server's name for a type.
    wire_id : str
        ``<channel>/<id>``, or an id without a channel.

    Returns
    -------
    Series
        With no data type where the text is not a number, and no channel where the id does not start with one.
    """
    digits, slash, rest = wire_id.partition("/")
    has_channel = bool(slash) and digits.isascii() and digits.isdecimal() and len(digits) <= 9 and int(digits) <= 255
    number = int(type_text) if type_text.isascii() and type_text.isdecimal() and len(type_text) <= 9 else None
    channel = int(digits) if has_channel and number is not None else None
    return Series(measurement_uuid, number, channel, rest if channel is not None else wire_id, type_text)


# Columns of time, code and offset, then payloads.
_Room = tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.int32], NDArray[np.uint8]]
_NO_ROOM: _Room = (
    np.empty(0, np.int64),
    np.empty(0, np.int32),
    np.empty(0, np.int32),
    np.empty(0, np.uint8),
)
# One huge frame should not make a reader hold its size for the rest of the body.
LARGEST_KEPT_ROOM = 16 * 2**20


class ResponseReader:
    """Turns the body of a data answer into columns while it arrives (protocol 3.2).

    Parameters
    ----------
    keys : SeriesTable, optional
        Where series get their codes; shared by the pages of one read.

    Attributes
    ----------
    keys : SeriesTable
    untimed : int
        Points that carried no time; they are read as the epoch.
    position : int
        Bytes of the body that have been read as whole frames.
    """

    def __init__(self, keys: SeriesTable | None = None) -> None:
        self.keys = keys if keys is not None else SeriesTable()
        self.position = 0
        self._interner = Interner()
        self._codes: list[int] = []
        self._held: list[NDArray[np.uint8]] = []
        self._held_bytes = 0
        self._needed_bytes = 8  # until the next frame is whole, as far as is known
        self._kept_room: _Room = _NO_ROOM
        self._untimed = np.zeros(1, np.int64)

    @property
    def untimed(self) -> int:
        return int(self._untimed[0])

    def feed(self, piece: bytes | bytearray | memoryview) -> Points | None:
        """Take a piece of the body, cut anywhere, and give the points that it completes.

        Returns
        -------
        Points or None
            None if no frame ended in this piece.

        Raises
        ------
        RemoteProtocolError
            If the bytes are not what protocol 3.2 allows; the message has the position in the body.
        """
        buffer = np.frombuffer(piece, np.uint8)
        self._held_bytes += len(buffer)
        if self._held_bytes < self._needed_bytes:  # to join a large frame anew for every piece of it would take quadratic time
            self._held.append(buffer.copy())
            return None
        time_ns, codes, offsets, data = self._room(_bounded(self._held_bytes))
        offsets[0] = 0
        rows = 0
        for run in self._runs(buffer):
            run.setflags(write=False)  # numba would compile the reader anew for memory that may be written
            at = 0
            while True:
                rows, at, status = kernels.read_response_frames(
                    run, at, len(run), rows, time_ns, codes, offsets, data, self._interner.state, self._untimed
                )
                if status != kernels.NEED_SPACE:
                    break
                self._interner.grow(len(run))
            if status != kernels.DONE:
                raise RemoteProtocolError(f"the data answer is corrupt at byte {self.position + at}: {_REASONS[status]}")
            self.position += at
        self._held, self._held_bytes = [run[at:].copy()], len(run) - at
        self._needed_bytes = 8 + int(run[at : at + 8].view("<u8")[0]) if len(run) - at >= 8 else 8
        if rows == 0:
            return None
        self._name_series()
        series = np.asarray(self._codes, np.int32).take(codes[:rows])
        return Points(time_ns[:rows].copy(), series, data[: offsets[rows]].copy(), offsets[: rows + 1].copy(), self.keys)

    def _runs(self, buffer: NDArray[np.uint8]) -> list[NDArray[np.uint8]]:
        """Complete the frame that is held, and give what follows it as it came: only the one frame is copied."""
        held_bytes, needed_bytes = self._held_bytes - len(buffer), self._needed_bytes
        if not held_bytes:
            return [buffer]
        if held_bytes < 8:
            needed_bytes = 8 + int(np.concatenate([*self._held, buffer[:8]])[:8].view("<u8")[0])
        split = needed_bytes - held_bytes
        if split > len(buffer):
            return [np.concatenate([*self._held, buffer])]
        return [np.concatenate([*self._held, buffer[:split]]), buffer[split:]]

    def _room(self, size: int) -> _Room:
        """Working memory for pieces of up to `size` bytes, kept from piece to piece: fresh memory costs a fault a page."""
        if len(self._kept_room[-1]) >= size:
            return self._kept_room
        is_kept = size <= LARGEST_KEPT_ROOM
        size += size // 4 if is_kept else 0  # what is left of the last piece comes on top of the next
        # A frame has at least 8 bytes. Pages of these arrays that are never written cost nothing.
        room = (
            np.empty(size // 8, np.int64),
            np.empty(size // 8, np.int32),
            np.empty(size // 8 + 1, np.int32),
            np.empty(size, np.uint8),
        )
        if is_kept:
            self._kept_room = room
        return room

    def finish(self) -> None:
        """Say that the body has ended.

        Raises
        ------
        RemoteProtocolError
            If it ended inside a frame.
        """
        if self._held_bytes:
            raise RemoteProtocolError(
                f"the data answer ended inside a frame: {self._held_bytes} bytes after byte {self.position}; "
                "expected whole frames"
            )

    def _name_series(self) -> None:
        for code in range(len(self._codes), len(self._interner)):
            _, kind, wire_id, uuid = self._interner.key(code)
            try:
                series = series_of_wire_id(uuid.decode(), kind.decode(), wire_id.decode())
            except UnicodeDecodeError as error:
                raise RemoteProtocolError(f"an id in the data answer is not UTF-8: {error.object!r}") from error
            self._codes.append(self.keys.code(series))


_REASONS = {
    kernels.BAD_LENGTH: "the length of a frame is over 2 GiB",
    kernels.BAD_PROTOBUF: "a frame is not a protobuf message",
    kernels.BAD_TIME: "a time is outside the years 1677 to 2262 or has nanoseconds over 999999999",
}


def response_frames(points: Points) -> memoryview:
    """Write the body of a data answer (protocol 3.2).

    Parameters
    ----------
    points : Points
        Times since the epoch.

    Returns
    -------
    memoryview
        Whole frames, one a point.
    """
    ends = [_frame_ends(key) for key in points.keys]
    heads, tails = Values.of([head for head, _ in ends]), Values.of([tail for _, tail in ends])
    longest = int(np.diff(heads.offsets).max(initial=0) + np.diff(tails.offsets).max(initial=0))
    out = np.empty(len(points.data) + len(points) * (longest + 39), np.uint8)
    used = kernels.write_response_frames(
        points.time_ns, points.series, points.offsets, points.data, heads.data, heads.offsets, tails.data, tails.offsets, out
    )
    return memoryview(out[:used])  # type: ignore[arg-type]


@functools.lru_cache(maxsize=4096)  # an answer is written in many parts, and their frames are those of a few series
def _frame_ends(key: Series) -> tuple[bytes, bytes]:
    """What stands before the payload of every point of a series, and behind it: fields 2 and 3, and field 5."""
    wire_id = key.data_id if key.channel is None else f"{key.channel}/{key.data_id}"
    return _text_field(0x12, key.type_text) + _text_field(0x1A, wire_id), _text_field(0x2A, key.measurement_uuid)


def _text_field(tag: int, text: str) -> bytes:
    raw = text.encode()
    return bytes([tag]) + _varint(len(raw)) + raw if raw else b""


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


@dataclass(frozen=True, slots=True)
class StoreSection:
    """One store request, whichever form it came in.

    Attributes
    ----------
    measurement_uuid : str
        Empty in the stream element form, where the path names the measurement.
    serial_number : int
        Number of the section.
    final : bool
        The measurement ends with this section.
    section_end : bool
        The section is complete.
    section_total_count : int or None
        Sections in all, if said.
    points : Points
        Times since the base time.
    """

    measurement_uuid: str
    serial_number: int
    final: bool
    section_end: bool
    section_total_count: int | None
    points: Points


def read_store(body: bytes | bytearray | memoryview) -> StoreSection:
    """Read the protobuf store body (protocol 4.1).

    Raises
    ------
    RemoteProtocolError
        If the body is cut or corrupt, or a channel or data type is over 255. Elapsed times are signed in this body;
        `check_storable` refuses negative ones.
    """
    buffer = np.frombuffer(body, np.uint8)
    buffer.setflags(write=False)
    header = np.empty(6, np.int64)
    count, status = kernels.count_store_points(buffer, header)
    if status == kernels.DONE:
        elapsed, channels, types = (np.empty(count, np.int64) for _ in range(3))
        offsets, data = np.empty(count + 1, np.int32), np.empty(_bounded(len(buffer)), np.uint8)
        count, status = kernels.read_store_points(buffer, elapsed, channels, types, offsets, data)
    if status != kernels.DONE:
        raise RemoteProtocolError(f"the store body is not a StoreProto message (after {count} points)")
    for name, values in (("channel", channels), ("data type", types)):
        wrong = np.flatnonzero(values > 255)
        if len(wrong):
            raise RemoteProtocolError(f"point {wrong[0]} has {name} {values[wrong[0]]}; expected 0 to 255")
    try:
        uuid = buffer[header[0] : header[1]].tobytes().decode()
    except UnicodeDecodeError as error:
        raise RemoteProtocolError("the measurement uuid of the store body is not UTF-8") from error
    points = name_points(elapsed, channels, types, data[: offsets[count]], offsets, uuid)
    total = int(header[5])
    return StoreSection(uuid, int(header[2]), bool(header[3]), bool(header[4]), None if total < 0 else total, points)


def name_points(
    elapsed_ns: NDArray[np.int64],
    channels: NDArray[Any],
    data_types: NDArray[Any],
    data: NDArray[np.uint8],
    offsets: NDArray[np.int32],
    measurement_uuid: str,
    keys: SeriesTable | None = None,
) -> Points:
    """Give points that carry no data id the one that their payload holds.

    Parameters
    ----------
    elapsed_ns, channels, data_types : ndarray, shape (n,)
        Channels and types from 0 to 255.
    data, offsets : ndarray
        Payloads.
    measurement_uuid : str
    keys : SeriesTable, optional

    Returns
    -------
    Points
    """
    keys = keys if keys is not None else SeriesTable()
    interner, codes, done = Interner(), np.empty(len(elapsed_ns), np.int32), 0
    while True:
        done = kernels.intern_payload_ids(done, channels, data_types, offsets, data, ID_KINDS, ID_WIDTHS, codes, interner.state)
        if done == len(elapsed_ns):
            break
        interner.grow(512)  # an id has 255 bytes at most

    def named(code: int) -> int:
        tag, raw, _, _ = interner.key(code)
        data_type, channel = tag >> 8, tag & 0xFF
        return keys.code(Series(measurement_uuid, data_type, channel, layout_of(data_type).data_id(raw), str(data_type)))

    known = np.asarray([named(code) for code in range(len(interner))], np.int32)
    return Points(elapsed_ns, known[codes] if len(codes) else codes, data, offsets, keys)


def store_body(points: Points, *, measurement_uuid: str, serial_number: int = 0, final: bool = True) -> bytes:
    """Write the protobuf store body (protocol 4.1).

    Parameters
    ----------
    points : Points
        Times since the base time, nanoseconds.
    measurement_uuid : str
    serial_number : int
        Number of the section, from 0.
    final : bool
        The measurement ends with this section.

    Raises
    ------
    LocalProtocolError
        If the body reaches 2 GiB or the serial number does not fit 32 bits. What else a store must not hold is for
        `check_storable` to say.
    """
    serial_number = whole_number(serial_number, U32.largest, "serial_number")
    channels, types = _lookup(points.keys, lambda key: key.channel), _lookup(points.keys, lambda key: key.data_type)
    head = _text_field(0x0A, measurement_uuid)
    head += (
        (b"\x10" + _varint(serial_number) if serial_number else b"")
        + (b"\x18\x01" if final else b"")
        + b"\x20\x01\x2a\x02\x08\x01"
    )
    payload_bytes = int(points.offsets[-1]) - int(points.offsets[0])
    out = np.empty(_bounded(len(head) + payload_bytes + 48 * len(points)), np.uint8)
    out[: len(head)] = np.frombuffer(head, np.uint8)
    used = kernels.write_store_points(
        points.time_ns, points.series, channels, types, points.offsets, points.data, out[len(head) :]
    )
    return out[: len(head) + used].tobytes()


def check_storable(points: Points) -> None:
    """Refuse points that the store and stream calls cannot carry.

    Raises
    ------
    LocalProtocolError
    """
    if points.time_ns.min(initial=0) < 0:
        row = int(np.argmax(points.time_ns < 0))
        raise LocalProtocolError(
            f"point {row} has elapsed time {points.time_ns[row]} ns; expected 0 or more: "
            "choose a base time that is not after the first point"
        )
    for code in np.flatnonzero(np.bincount(points.series)):
        key = points.keys[int(code)]
        for name, value in (("channel", key.channel), ("data type", key.data_type)):
            if value is None or not 0 <= value <= 255:
                raise LocalProtocolError(f"{key.type_text}:{key.channel}/{key.data_id} has {name} {value}; expected 0 to 255")


def _lookup(keys: SeriesTable, of: Callable[[Series], int | None]) -> NDArray[np.int64]:
    """Array by series code; 0 for a series without the value, which `check_storable` keeps from being used."""
    return np.asarray([of(key) or 0 for key in keys], np.int64).reshape(-1)
