"""Bodies of the units call <-> columns: a start marker, units, an end marker (protocol 4.2)."""

from __future__ import annotations

from typing import TypeVar

import numpy as np

from intdash_frames.codecs import kernels
from intdash_frames.codecs.points import INT32_MAX, Points, StoreSection, check_storable, name_points
from intdash_frames.errors import LocalProtocolError, RemoteProtocolError
from intdash_frames.protocol.elements import LONGEST_ELAPSED_NS, EOSMarker, SOSMarker
from intdash_frames.protocol.framing import Reading, read_elements, write_elements
from intdash_frames.protocol.wire import VARINTS

__all__ = ["read_units", "units_body"]

Marker = TypeVar("Marker", SOSMarker, EOSMarker)

_SOS_BYTES = len(write_elements([SOSMarker(stream_id=0, serial_number=0)]))
_LARGEST_PAYLOAD = VARINTS["A"].largest(VARINTS["A"].longest)
_UNIT_BYTES = 16  # of a unit without its payload, at most


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
    view = memoryview(body).cast("B")
    buffer = np.frombuffer(view, np.uint8)
    buffer.setflags(write=False)  # one type of array, so that numba compiles the kernels once
    if len(buffer) > INT32_MAX:
        raise RemoteProtocolError(f"the units body has {len(buffer)} bytes; expected fewer than 2**31")
    sos = _one_marker(view[:_SOS_BYTES], SOSMarker, "start with")
    count, end = kernels.count_units(buffer, _SOS_BYTES, len(buffer))
    eos = _one_marker(view[end:], EOSMarker, f"end, after {count} units and {end} bytes, with")

    streams, channels, data_types = (np.empty(count, np.uint8) for _ in range(3))
    elapsed_ns, offsets = np.empty(count, np.int64), np.zeros(count + 1, np.int32)
    data = np.empty(end - _SOS_BYTES, np.uint8)
    kernels.read_unit_run(buffer, _SOS_BYTES, end, 0, streams, elapsed_ns, channels, data_types, offsets, data)
    if (sos.stream_id, sos.serial_number) != (eos.stream_id, eos.serial_number):
        raise RemoteProtocolError(
            f"the units body starts with {sos} and ends with {eos}; expected equal streams and serial numbers"
        )
    strangers = np.flatnonzero(streams != sos.stream_id)
    if len(strangers):
        row = int(strangers[0])
        raise RemoteProtocolError(f"unit {row} has stream id {streams[row]}; expected {sos.stream_id} as in the SOS marker")
    points = name_points(elapsed_ns, channels, data_types, data[: offsets[count]], offsets, "")
    return StoreSection("", sos.serial_number, eos.final, section_end=True, section_total_count=None, points=points)


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
    check_storable(points)
    for values, largest, name in (
        (points.time_ns, LONGEST_ELAPSED_NS, "an elapsed time [ns]"),
        (np.diff(points.offsets), _LARGEST_PAYLOAD, "a payload [byte]"),
    ):
        over = np.flatnonzero(values > largest)
        if len(over):
            raise LocalProtocolError(f"point {over[0]} has {name} of {values[over[0]]}; a unit carries at most {largest}")
    head = write_elements([SOSMarker(stream_id, serial_number)])
    tail = write_elements([EOSMarker(stream_id, serial_number, final)])
    channels = np.asarray([key.channel or 0 for key in points.keys], np.int64)
    data_types = np.asarray([key.data_type or 0 for key in points.keys], np.int64)
    payload_bytes = int(points.offsets[-1]) - int(points.offsets[0])
    out = np.empty(payload_bytes + _UNIT_BYTES * len(points), np.uint8)
    used = kernels.write_unit_run(
        stream_id, points.time_ns, points.series, channels, data_types, points.offsets, points.data, out
    )
    return b"".join([head, out[:used].data, tail])
