"""LAYOUTS: one row per data type. A type that is not here, or has no columns of its own, stays binary."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from intdash_frames.codecs.layout import INSTANT, Field, IdRule, Layout, Tail
from intdash_frames.model import DataType

__all__ = ["ID_KINDS", "ID_WIDTHS", "LAYOUTS", "SENSORS", "Sensor", "layout_of", "markdown"]

_ROWS = (
    # protocol 6.2: the count byte is reported as it is; all bytes after the header are data
    Layout(DataType.can, (Field("can_id", "<u4"), Field("dlc", "<u1")), Tail.BYTES, id_rule=IdRule.NUMBER),
    Layout(DataType.nmea, tail=Tail.TEXT, tail_name="sentence", id_rule=IdRule.NMEA),  # 6.3
    Layout(DataType.general_sensor, (Field("sensor_id", "<u2"),), Tail.BYTES, id_rule=IdRule.NUMBER),  # 6.4
    Layout(DataType.controlpad, (Field("pad_id", "<u1"),), Tail.BYTES, id_rule=IdRule.NUMBER),  # 6.5
    Layout(DataType.jpeg, tail=Tail.BYTES, id_text="jpeg"),
    Layout(DataType.string, tail=Tail.TEXT, tail_name="value", id_rule=IdRule.NAME),  # 6.6
    Layout(DataType.float, (Field("value", "<f8"),), id_rule=IdRule.NAME),
    Layout(DataType.int, (Field("value", "<i8"),), id_rule=IdRule.NAME),
    Layout(DataType.bytes, tail=Tail.BYTES, tail_name="value", id_rule=IdRule.NAME),
    Layout(DataType.h264, (Field("type_id", "<u1"),), Tail.BYTES, id_rule=IdRule.NUMBER),  # 6.7
    Layout(DataType.h265, (Field("type_id", "<u1"),), Tail.BYTES, id_rule=IdRule.NUMBER),  # 6.1: by analogy
    Layout(  # 6.8
        DataType.pcm,
        (Field("format_id", "<u2"), Field("channels", "<u2"), Field("sample_rate", "<u4"), Field("bits_per_sample", "<u2")),
        Tail.BYTES,
        id_text="pcm",
    ),
    Layout(DataType.aac, tail=Tail.BYTES, id_text="aac"),
    Layout(DataType.generic, (Field("generic_id", "<u4"),), Tail.BYTES, id_rule=IdRule.NUMBER),  # 6.9
    Layout(  # 6.12; the id of the row is our choice, the vendor's is not known
        DataType.basetime, (Field("basetime_type", "<u1"), Field("basetime", INSTANT)), id_text="basetime"
    ),
    # 6.10 and 6.11: bulk groups and MAVLink packets are kept whole
    Layout(DataType.mavlink, tail=Tail.BYTES, tail_name="payload"),
    Layout(DataType.can_bulk, tail=Tail.BYTES, tail_name="payload"),
    Layout(DataType.general_sensor_bulk, tail=Tail.BYTES, tail_name="payload"),
)

LAYOUTS: dict[int, Layout] = {int(row.data_type): row for row in _ROWS}
_OPAQUE = Layout(DataType.mavlink, tail=Tail.BYTES, tail_name="payload")


def layout_of(data_type: int | None) -> Layout:
    """Give the layout of a data type; one that nobody knows is a single binary column ``payload``.

    Parameters
    ----------
    data_type : int or None
        Number of the type; None for the textual types of newer servers.
    """
    return LAYOUTS.get(-1 if data_type is None else int(data_type), _OPAQUE)


def _by_number(values: dict[int, int]) -> NDArray[np.uint8]:
    table = np.zeros(256, np.uint8)
    for number, value in values.items():
        table[number] = value
    return table


# The same facts as arrays by data type, for `kernels.intern_payload_ids`.
ID_KINDS = _by_number({number: int(layout.id_rule) for number, layout in LAYOUTS.items()})
ID_WIDTHS = _by_number({number: layout.id_width for number, layout in LAYOUTS.items()})


class Sensor:
    """A general sensor whose body is known: an array of i32 little-endian, physical value = raw times scale (protocol 6.4)."""

    def __init__(self, name: str, fields: tuple[str, ...], scale: float, unit: str) -> None:
        self.name, self.fields, self.scale, self.unit = name, fields, scale, unit


SENSORS: dict[int, Sensor] = {
    0x0001: Sensor("Acceleration", ("ax", "ay", "az"), 1e-6, "m/s²"),
    0x0002: Sensor("Acceleration Including Gravity", ("agx", "agy", "agz"), 1e-6, "m/s²"),
    0x0003: Sensor("Gravity", ("gx", "gy", "gz"), 1e-6, "m/s²"),
    0x0004: Sensor("Rotation Rate", ("rra", "rrb", "rrg"), 1e-5, "deg/s"),
    0x0005: Sensor("Orientation Angle", ("oaa", "oab", "oag"), 1e-6, "deg"),
    0x0006: Sensor("GeoLocation Coordinate", ("lat", "lng"), 1e-7, "deg"),
    0x0007: Sensor("GeoLocation Altitude", ("alt",), 1e-3, "m"),
    0x0008: Sensor("GeoLocation Accuracy", ("aoc", "aoa"), 1e-3, "m"),
    0x0009: Sensor("GeoLocation Heading", ("head",), 1e-6, "deg"),
    0x000A: Sensor("GeoLocation Speed", ("speed",), 1e-3, "km/h"),
}


def markdown() -> str:
    """Write the table of layouts for the documentation."""
    rules = {
        IdRule.FIXED: "",
        IdRule.NUMBER: "first field, hexadecimal",
        IdRule.NAME: "counted name before the head",
        IdRule.NMEA: "characters 1 to 5",
    }
    lines = ["| number | data type | data id | columns |", "| --- | --- | --- | --- |"]
    for number, layout in sorted(LAYOUTS.items()):
        data_id = rules[layout.id_rule] or (f"`{layout.id_text}`" if layout.id_text else "not known")
        columns = ", ".join(f"`{field.name}` {field.type}" for field in layout.schema)
        lines.append(f"| {number} | {layout.data_type.name} | {data_id} | {columns} |")
    lines += ["", "| sensor | name | fields | scale | unit |", "| --- | --- | --- | --- | --- |"]
    for number, sensor in SENSORS.items():
        fields = ", ".join(f"`{field}`" for field in sensor.fields)
        lines.append(f"| {number:04x} | {sensor.name} | {fields} | {sensor.scale:g} | {sensor.unit} |")
    return "\n".join(lines)
