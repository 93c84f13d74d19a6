"""The stream elements: `ELEMENTS` has one row for each, and readers, writers and test data derive from the rows.

An element on the wire is ``aa``, its type byte and its body, without any length in front: who does not know the type cannot
find the end. The objects are plain frozen dataclasses. A uuid is text, and `NULL_UUID` where there is none.

Source: protocol 5.3 (all elements), 5.4 (markers), 5.5 (Unit), 5.10 (limits).
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

from intdash_frames.errors import LocalProtocolError, RemoteProtocolError
from intdash_frames.model import DataType
from intdash_frames.protocol.wire import (
    U8,
    U16,
    U32,
    VARINTS,
    Blob,
    BytesLike,
    Count,
    Field,
    Fixed,
    Flags,
    Items,
    Kind,
    Part,
    Reader,
    Record,
    Text,
    Uuid,
    whole_number,
)

__all__ = [
    "ELEMENTS",
    "ELEMENT_START",
    "FILTER_ITEMS",
    "FRACTIONS",
    "LONGEST_ELAPSED_NS",
    "DataFilter",
    "Direction",
    "DownstreamFilter",
    "DownstreamFilterRequest",
    "DownstreamFilterResponse",
    "DownstreamSpec",
    "DownstreamSpecRequest",
    "DownstreamSpecResponse",
    "EOSMarker",
    "Elapsed",
    "Element",
    "ElementRow",
    "FilterBody",
    "MaskRule",
    "MeasurementIDRequest",
    "MeasurementIDResponse",
    "ResultCode",
    "SOSMarker",
    "SectionAck",
    "TimePrecision",
    "Unit",
    "UpstreamSpec",
    "UpstreamSpecRequest",
    "UpstreamSpecResponse",
]

ELEMENT_START = 0xAA
"""The first byte of every element."""


class Direction(enum.Enum):
    """Who may send an element."""

    TO_SERVER = "to server"
    TO_CLIENT = "to client"
    BOTH = "both"


class ResultCode(enum.IntEnum):
    """What a response says. Other numbers are legal on the wire, so compare with `OK`: whatever is not `OK` is a no."""

    OK = 0
    NG = 1


class TimePrecision(enum.StrEnum):
    """The unit of the fraction of a second in a `Unit`."""

    ms = "ms"
    us = "us"
    ns = "ns"


class Fraction(NamedTuple):
    """How a fraction of a second is written: bytes of its varint [byte], its unit [ns]."""

    size: int
    unit_ns: int


FRACTIONS: Mapping[TimePrecision, Fraction] = {
    TimePrecision.ms: Fraction(size=2, unit_ns=1_000_000),
    TimePrecision.us: Fraction(size=3, unit_ns=1_000),
    TimePrecision.ns: Fraction(size=4, unit_ns=1),
}
"""The length of the fraction says its unit. Source: protocol 5.5."""

LONGEST_ELAPSED_NS = (VARINTS["B"].largest(VARINTS["B"].longest) + 1) * 1_000_000_000 - 1
"""The longest time of a `Unit`, 97 days [ns]. Source: protocol 5.5, 5.10."""

_PRECISION_BY_SIZE = {fraction.size: precision for precision, fraction in FRACTIONS.items()}


# --- the objects ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class UpstreamSpec:
    """One upstream to open; without flags, destinations and uuids it closes the stream (protocol 5.7)."""

    stream_id: int
    measurement_uuid: str
    src_edge_uuid: str
    dst_edge_uuids: tuple[str, ...] = ()
    store: bool = False
    resend: bool = False


@dataclass(frozen=True, slots=True)
class UpstreamSpecRequest:
    """Open or close upstreams."""

    req_id: int
    specs: tuple[UpstreamSpec, ...]


@dataclass(frozen=True, slots=True)
class UpstreamSpecResponse:
    """The answer to `UpstreamSpecRequest`."""

    req_id: int
    result_code: int


@dataclass(frozen=True, slots=True)
class DownstreamSpec:
    """One downstream to open; with null uuids it closes the stream (protocol 5.8)."""

    stream_id: int
    src_edge_uuid: str
    dst_edge_uuid: str


@dataclass(frozen=True, slots=True)
class DownstreamSpecRequest:
    """Open or close downstreams."""

    req_id: int
    specs: tuple[DownstreamSpec, ...]


@dataclass(frozen=True, slots=True)
class DownstreamSpecResponse:
    """The answer to `DownstreamSpecRequest`."""

    req_id: int
    result_code: int


@dataclass(frozen=True, slots=True)
class MaskRule:
    """Select the ids for which ``id & mask == result``, bytes as on the wire: numbers little-endian, NMEA in text order."""

    mask: bytes
    result: bytes
    accept: bool = True


@dataclass(frozen=True, slots=True)
class DataFilter:
    """What to let through of one data type on one channel.

    Parameters
    ----------
    channel, data_type : int
        0 to 255 each.
    rules : tuple of MaskRule or of str, bytes, optional
        Which ids. None: every id. The table `FILTER_ITEMS` says whether a type takes `MaskRule` or labels; for a type that
        is not there a body is kept as the bytes it came in.
    """

    channel: int
    data_type: int
    rules: tuple[MaskRule, ...] | tuple[str, ...] | bytes | None = None


@dataclass(frozen=True, slots=True)
class DownstreamFilter:
    """The data filters of one downstream."""

    stream_id: int
    data_filters: tuple[DataFilter, ...]


@dataclass(frozen=True, slots=True)
class DownstreamFilterRequest:
    """Set the filters of downstreams."""

    req_id: int
    filters: tuple[DownstreamFilter, ...]


@dataclass(frozen=True, slots=True)
class DownstreamFilterResponse:
    """The answer to `DownstreamFilterRequest`."""

    req_id: int
    result_code: int


@dataclass(frozen=True, slots=True)
class MeasurementIDRequest:
    """Ask for a new measurement of an edge."""

    req_id: int
    edge_uuid: str


@dataclass(frozen=True, slots=True)
class MeasurementIDResponse:
    """The answer to `MeasurementIDRequest`."""

    req_id: int
    result_code: int
    measurement_uuid: str


@dataclass(frozen=True, slots=True)
class SOSMarker:
    """The start of a section of an upstream."""

    stream_id: int
    serial_number: int


@dataclass(frozen=True, slots=True)
class EOSMarker:
    """The end of a section; `final` says that it is the last one of the measurement."""

    stream_id: int
    serial_number: int
    final: bool = False


@dataclass(frozen=True, slots=True)
class SectionAck:
    """The server has, or with another result than OK has not, taken a section."""

    stream_id: int
    result_code: int
    serial_number: int


@dataclass(frozen=True, slots=True)
class Unit:
    """One data point of a stream.

    Parameters
    ----------
    stream_id, channel, data_type : int
        0 to 255 each.
    elapsed_ns : int
        Time since the base time of the stream [ns]. The writer cuts it to `time_precision`.
    payload : bytes-like
        As it is stored, inner data id included. One that was read is a view of its message.
    time_precision : TimePrecision
        The unit in which the time was or will be written.
    """

    stream_id: int
    channel: int
    data_type: int
    elapsed_ns: int
    payload: BytesLike = dataclasses.field(repr=False)
    time_precision: TimePrecision = TimePrecision.ns


Element: TypeAlias = (
    UpstreamSpecRequest
    | UpstreamSpecResponse
    | DownstreamSpecRequest
    | DownstreamSpecResponse
    | DownstreamFilterRequest
    | DownstreamFilterResponse
    | MeasurementIDRequest
    | MeasurementIDResponse
    | SOSMarker
    | EOSMarker
    | SectionAck
    | Unit
)


# --- two parts that occur once ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Elapsed:
    """Seconds in kind B, then a fraction in kind C whose length is its unit: `elapsed_ns` and `time_precision`."""

    def read(self, reader: Reader, values: dict[str, Any]) -> None:
        seconds = VARINTS["B"].read(reader, "elapsed seconds")
        fraction, size = VARINTS["C"].read_sized(reader, "elapsed fraction")
        precision = _PRECISION_BY_SIZE[size]
        # A fraction of a second or more is odd but has a plain meaning (a sender that rounds up writes 1000 ms), so it is added.
        values["elapsed_ns"] = seconds * 1_000_000_000 + fraction * FRACTIONS[precision].unit_ns
        values["time_precision"] = precision

    def write(self, out: bytearray, record: Any) -> None:
        if record.time_precision not in FRACTIONS:
            raise LocalProtocolError(f"time_precision is {record.time_precision!r}, expected one of {[*map(str, FRACTIONS)]}")
        size, unit_ns = FRACTIONS[record.time_precision]
        seconds, rest_ns = divmod(whole_number(record.elapsed_ns, LONGEST_ELAPSED_NS, "elapsed_ns"), 1_000_000_000)
        VARINTS["B"].write(out, seconds, "elapsed seconds")
        VARINTS["C"].write(out, rest_ns // unit_ns, "elapsed fraction", size=size)


def _mask_rule(size: int) -> Record:
    return Record(MaskRule, (Field("mask", Fixed(size)), Field("result", Fixed(size)), Flags(("accept",))))


_LABEL = Text(U8)

FILTER_ITEMS: Mapping[int, Kind] = {
    DataType.can: _mask_rule(4),
    DataType.generic: _mask_rule(4),
    DataType.nmea: _mask_rule(5),
    DataType.general_sensor: _mask_rule(2),
    DataType.string: _LABEL,
    DataType.float: _LABEL,
    DataType.int: _LABEL,
    DataType.bytes: _LABEL,
}
"""What the body of a data filter lists, by data type. Source: protocol 5.3."""


@dataclass(frozen=True, slots=True)
class FilterBody:
    """The attribute `rules` of a `DataFilter`: a length, then nothing (every id) or a list whose items depend on `data_type`."""

    def read(self, reader: Reader, values: dict[str, Any]) -> None:
        body = reader.part(U16.read(reader, "length of rules"), "rules")
        values["rules"] = None
        if not body.left:
            return
        if parts := self.parts(values["data_type"]):
            for part in parts:
                part.read(body, values)
            if body.left:
                raise RemoteProtocolError(f"the rules end {body.left} bytes before their stated length")
        else:
            values["rules"] = bytes(body.take(body.left, "rules"))

    def write(self, out: bytearray, record: Any) -> None:
        body = bytearray()
        if record.rules is not None:
            if parts := self.parts(record.data_type):
                for part in parts:
                    part.write(body, record)
            elif isinstance(record.rules, bytes) and record.rules:
                body += record.rules
            else:
                known = sorted(map(int, FILTER_ITEMS))
                raise LocalProtocolError(
                    f"rules of data type {record.data_type} are {record.rules!r}; only {known} have rules, None selects every id"
                )
        Blob(U16).write(out, body, "rules")

    def parts(self, data_type: int) -> tuple[Part, ...]:
        """The parts of a body that is not empty; none for a type without rules."""
        item = FILTER_ITEMS.get(data_type)
        return () if item is None else (Count("rules", U8), Items("rules", item))


# --- the table --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ElementRow:
    """One row of `ELEMENTS`."""

    type_byte: int
    name: str
    direction: Direction
    body: Record


_UUID = Uuid()
_STREAM, _CHANNEL, _TYPE = Field("stream_id", U8), Field("channel", U8), Field("data_type", U8)
_REQUEST, _RESULT, _SERIAL = Field("req_id", U8), Field("result_code", U8), Field("serial_number", U32)
_MEASUREMENT, _SOURCE = Field("measurement_uuid", _UUID), Field("src_edge_uuid", _UUID)

_UPSTREAM_SPEC = Record(
    UpstreamSpec,
    (_STREAM, Count("dst_edge_uuids", U8), Flags(("resend", "store")), _MEASUREMENT, _SOURCE, Items("dst_edge_uuids", _UUID)),
)
_DOWNSTREAM_SPEC = Record(DownstreamSpec, (_STREAM, _SOURCE, Field("dst_edge_uuid", _UUID)))
_DATA_FILTER = Record(DataFilter, (_CHANNEL, _TYPE, FilterBody()))
_FILTER = Record(DownstreamFilter, (_STREAM, Count("data_filters", U16), Items("data_filters", _DATA_FILTER)))


def _row(type_byte: int, name: str, direction: Direction, form: type, *parts: Part) -> ElementRow:
    return ElementRow(type_byte, name, direction, Record(form, parts))


_UP, _DOWN, _BOTH = Direction.TO_SERVER, Direction.TO_CLIENT, Direction.BOTH
_COUNT_SPECS, _COUNT_FILTERS = Count("specs", U8), Count("filters", U8)

# fmt: off
ELEMENTS: tuple[ElementRow, ...] = (
    _row(0x90, "upstream_spec_request", _UP, UpstreamSpecRequest, _REQUEST, _COUNT_SPECS, Items("specs", _UPSTREAM_SPEC)),
    _row(0x81, "upstream_spec_response", _DOWN, UpstreamSpecResponse, _REQUEST, _RESULT),
    _row(0x91, "downstream_spec_request", _UP, DownstreamSpecRequest, _REQUEST, _COUNT_SPECS, Items("specs", _DOWNSTREAM_SPEC)),
    _row(0x83, "downstream_spec_response", _DOWN, DownstreamSpecResponse, _REQUEST, _RESULT),
    _row(0x86, "downstream_filter_request", _UP, DownstreamFilterRequest, _REQUEST, _COUNT_FILTERS, Items("filters", _FILTER)),
    _row(0x87, "downstream_filter_response", _DOWN, DownstreamFilterResponse, _REQUEST, _RESULT),
    _row(0x92, "measurement_id_request", _UP, MeasurementIDRequest, _REQUEST, Field("edge_uuid", _UUID)),
    _row(0x85, "measurement_id_response", _DOWN, MeasurementIDResponse, _REQUEST, _RESULT, _MEASUREMENT),
    _row(0xF9, "sos_marker", _UP, SOSMarker, _STREAM, _SERIAL),
    _row(0xF8, "eos_marker", _UP, EOSMarker, _STREAM, Flags(("final",)), _SERIAL),
    _row(0xFA, "section_ack", _DOWN, SectionAck, _STREAM, _RESULT, _SERIAL),
    _row(0x03, "unit", _BOTH, Unit, _STREAM, _CHANNEL, _TYPE, Elapsed(), Field("payload", Blob(VARINTS["A"]))),
)
# fmt: on
"""Every element of protocol 5.3, in its order."""
