"""Closed sets. A value that is not in them is legal on the wire and passes through as it came.

Source: protocol 2.2, 2.5, 2.6, 6.1 and 6.12.
"""

from __future__ import annotations

import enum
from typing import Any

from intdash_frames.errors import UsageError


class DataType(enum.IntEnum):
    """Data types of a data point (protocol, payloads). A number that is not here is legal on the wire and stays opaque."""

    can = 1
    nmea = 2
    general_sensor = 3
    controlpad = 4
    mavlink = 5
    can_bulk = 7
    general_sensor_bulk = 8
    jpeg = 9
    string = 10
    float = 11
    int = 12
    h264 = 13
    bytes = 14
    pcm = 15
    aac = 16
    h265 = 17
    generic = 127
    basetime = 135


class BasetimeType(enum.IntEnum):
    """Where a base time comes from: the number in a payload, the name in REST."""

    edge_rtc = 1
    ntp = 2
    gps = 3
    volatile = 253
    api_first_received = 254
    manual = 255


class EdgeType(enum.StrEnum):
    """Kinds of edges."""

    user = "user"
    device = "device"
    none = "none"


class MeasurementMarkerType(enum.StrEnum):
    """Kinds of markers."""

    point = "point"
    range = "range"


class ConversionType(enum.StrEnum):
    """Kinds of signal conversions."""

    none = "none"
    json = "json"
    csv = "csv"
    num_floating_point = "num_floating_point"
    num_fixed_point = "num_fixed_point"
    sub_bytes = "sub_bytes"
    sub_string = "sub_string"


def member(kind: type[enum.Enum], value: Any) -> Any:
    """The member of that value, or the value itself: a newer server may know more."""
    try:
        return kind(value)
    except ValueError:
        return value


def basetime_type_name(value: Any) -> str:
    """Name a base time type as REST does: from a member, its name or its number.

    Raises
    ------
    UsageError
        If there is no such type.
    """
    if isinstance(value, str) and value in BasetimeType.__members__:
        return value
    if isinstance(value, int) and not isinstance(value, bool) and value in set(BasetimeType):
        return BasetimeType(value).name
    raise UsageError(f"basetime type {value!r} is unknown; one of {', '.join(BasetimeType.__members__)}")
