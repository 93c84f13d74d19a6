"""Units <-> columns: side by side in a message of a stream (protocol 5.5), or as the body of the units call (4.2)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from intdash_frames.codecs import kernels
from intdash_frames.codecs.points import INT32_MAX, Points, StoreSection, check_storable, name_points
from intdash_frames.codecs.series import SeriesTable
from intdash_frames.errors import LocalProtocolError, RemoteProtocolError
from intdash_frames.protocol.elements import LONGEST_ELAPSED_NS, EOSMarker, SOSMarker
from intdash_frames.protocol.framing import Reading, read_elements, write_elements
from intdash_frames.protocol.wire import VARINTS

__all__ = ["LARGEST_PAYLOAD", "UnitRun", "check_writable", "read_run", "read_units", "units_body", "write_units"]

Marker = TypeVar("Marker", SOSMarker, EOSMarker)

_SOS_BYTES = len(write_elements([SOSMarker(stream_id=0, serial_number=0)]))
LARGEST_PAYLOAD = VARINTS["A"].largest(VARINTS["A"].longest)
_UNIT_BYTES = 16  # of a unit without its payload, at most


@dataclass(frozen=True, slots=True)
class UnitRun:
    """Units that stood side by side, in their order.

    Attributes
    ----------
    stream_ids : ndarray of uint8, shape (n,)
    points : Points
        Times since the base time of their streams [ns]; a fraction of a second or more is added to the seconds.
    end : int
        Position behind the last one [byte].
    """

    stream_ids: NDArray[np.uint8]
    points: Points
    end: int

    def by_stream(self) -> Iterator[tuple[int, Points]]:
        """The points of each stream, in their order."""
        first = int(self.stream_ids[0]) if len(self.stream_ids) else 0
        if (self.stream_ids == first).all():
            if len(self.stream_ids):
                yield first, self.points
            return
        for stream_id in np.unique(self.stream_ids):
            yield int(stream_id), self.points.take(np.flatnonzero(self.stream_ids == stream_id))


def read_run(buffer: NDArray[np.uint8], start: int, measurement_uuid: str = "", keys: SeriesTable | None = None) -> UnitRun:
    """Read the units that stand side by side from `start` on, up to anything else.

    Parameters
    ----------
    buffer : ndarray of uint8
        A message, read only and of fewer than 2**31 bytes.
    start : int
        Where the first unit begins [byte].
    measurement_uuid : str
        Of the series.
    keys : SeriesTable, optional
        Takes the series.

    Returns
    -------
    UnitRun
        Without units if none stands at `start`. What follows a unit that is cut or malformed is that unit itself.
    """
    count, end = kernels.count_units(buffer, start, len(buffer))
    streams, channels, data_types = (np.empty(count, np.uint8) for _ in range(3))
    elapsed_ns, offsets = np.empty(count, np.int64), np.zeros(count + 1, np.int32)
    data = np.empty(end - start, np.uint8)
    kernels.read_unit_run(buffer, start, end, 0, streams, elapsed_ns, channels, data_types, offsets, data)
    points = name_points(elapsed_ns, channels, data_types, data[: offsets[count]], offsets, measurement_uuid, keys)
    return UnitRun(streams, points, int(end))


def as_buffer(message: bytes | bytearray | memoryview) -> NDArray[np.uint8]:
    """A message as the one type of array for which the kernels are compiled; not copied."""
    buffer = np.frombuffer(memoryview(message).cast("B"), np.uint8)
    buffer.setflags(write=False)
    if len(buffer) > INT32_MAX:
        raise RemoteProtocolError(f"{len(buffer)} bytes in one piece; expected fewer than 2**31")
    return buffer


def read_units(body: bytes | bytearray | memoryview) -> StoreSection:
    """Read the body of the units call: exactly one section, as protocol 4.2 has it.

    Parameters
    ----------
    body : bytes-like
        SOS marker, units back to back, EOS marker.

    Returns
    -------
    StoreSection
        Without a measurement uuid, which the path of the call has, and without a total count. A fraction of a second or more in a
        unit is added to its seconds.

    Raises
    ------
    RemoteProtocolError
        If the body is cut, holds anything else or more than one section, or if stream id or serial number differ inside it.
    """
    view, buffer = memoryview(body).cast("B"), as_buffer(body)
    sos = _one_marker(view[:_SOS_BYTES], SOSMarker, "start with")
    run = read_run(buffer, min(_SOS_BYTES, len(buffer)))
    eos = _one_marker(view[run.end :], EOSMarker, f"end, after {len(run.points)} units and {run.end} bytes, with")
    if (sos.stream_id, sos.serial_number) != (eos.stream_id, eos.serial_number):
        raise RemoteProtocolError(
            f"the units body starts with {sos} and ends with {eos}; expected equal streams and serial numbers"
        )
    strangers = np.flatnonzero(run.stream_ids != sos.stream_id)
    if len(strangers):
        row = int(strangers[0])
        raise RemoteProtocolError(
            f"unit {row} has stream id {run.stream_ids[row]}; expected {sos.stream_id} as in the SOS marker"
        )
    return StoreSection("", sos.serial_number, eos.final, section_end=True, section_total_count=None, points=run.points)


def _frozen(column: NDArray[Any]) -> NDArray[Any]:
    """The one kind of array for which the writer is compiled: compiling it anew would hold up a stream for seconds."""
    view = np.ascontiguousarray(column).view()
    view.setflags(write=False)
    return view


def _one_marker(part: memoryview, form: type[Marker], where: str) -> Marker:
    """Read `part`, which must be one marker and nothing else."""
    try:
        reading = read_elements(part)
    except RemoteProtocolError as error:
        raise RemoteProtocolError(f"the units body does not {where} one whole {form.__name__}: {error}") from error
    if len(reading.elements) == 1 and isinstance(reading.elements[0], form) and reading.reason is None:
        return reading.elements[0]
    raise RemoteProtocolError(f"the units body does not {where} one whole {form.__name__}, but {_seen(reading)}")


def _seen(reading: Reading) -> str:
    """The first things of a reading, in words."""
    names = [type(element).__name__ for element in reading.elements[:3]]
    return ", ".join([*names, *([reading.reason] if reading.reason is not None else [])]) or "nothing"


def units_body(points: Points, *, serial_number: int = 0, final: bool = True, stream_id: int = 1) -> bytes:
    """Write the body of the units call (protocol 4.2), times in nanoseconds.

    Parameters
    ----------
    points : Points
        Times since the base time, nanoseconds.
    serial_number : int
        Number of the section, from 0.
    final : bool
        The measurement ends with this section.
    stream_id : int
        The reference writes 1.

    Raises
    ------
    LocalProtocolError
        If a unit cannot carry a point: elapsed time negative or over 8 388 607 s, a payload of 2**30 bytes or more, a channel or
        data type outside 0 to 255 (protocol 5.10).
    """
    head = write_elements([SOSMarker(stream_id, serial_number)])
    tail = write_elements([EOSMarker(stream_id, serial_number, final)])
    return b"".join([head, write_units(points, stream_id), tail])


def check_writable(points: Points) -> None:
    """Refuse points that units cannot carry.

    Raises
    ------
    LocalProtocolError
        See `units_body`.
    """
    check_storable(points)
    for values, largest, name in (
        (points.time_ns, LONGEST_ELAPSED_NS, "an elapsed time [ns]"),
        (np.diff(points.offsets), LARGEST_PAYLOAD, "a payload [byte]"),
    ):
        over = np.flatnonzero(values > largest)
        if len(over):
            raise LocalProtocolError(f"point {over[0]} has {name} of {values[over[0]]}; a unit carries at most {largest}")


def write_units(points: Points, stream_id: int) -> memoryview:
    """Write points as units side by side, times in nanoseconds (protocol 5.5).

    Parameters
    ----------
    points : Points
        Times since the base time [ns].
    stream_id : int

    Raises
    ------
    LocalProtocolError
        If a unit cannot carry a point; see `units_body`.
    """
    check_writable(points)
    channels = np.asarray([key.channel or 0 for key in points.keys], np.int64)
    data_types = np.asarray([key.data_type or 0 for key in points.keys], np.int64)
    payload_bytes = int(points.offsets[-1]) - int(points.offsets[0])
    out = np.empty(payload_bytes + _UNIT_BYTES * len(points), np.uint8)
    used = kernels.write_unit_run(
        stream_id,
        _frozen(points.time_ns),
        _frozen(points.series),
        _frozen(channels),
        _frozen(data_types),
        _frozen(points.offsets),
        _frozen(points.data),
        out,
    )
    return out[:used].data
