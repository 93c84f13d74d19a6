"""Points to store, and points as rows that can be compared: one Python object per point, for tests only."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import pyarrow as pa

import intdash_frames as idf
from intdash_frames import DataType

BASETIME_NS = 1_594_283_650_832_607_123
GOLDEN = Path(__file__).parents[2] / "fixtures" / "golden"


class Row(NamedTuple):
    """A point: nanoseconds since the base time, data type, channel, payload, and the name of the golden case it is from."""

    elapsed_ns: int
    data_type: int
    channel: int
    payload: bytes
    name: str = ""


def cases(kind: str = "cases") -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((GOLDEN / "payloads.json").read_text())[kind]
    return found


def golden_rows() -> list[Row]:
    """Every golden payload and every malformed one at an instant of its own, then what the golden files do not have."""
    payloads = [(case["data_type"], bytes.fromhex(case["payload_hex"]), case["name"]) for case in [*cases(), *cases("malformed")]]
    payloads += [(data_type, b"\x00opaque", f"opaque {data_type}") for data_type in (0, 5, 7, 8, 17, 18, 200, 255)]
    payloads += [(200, b"", "opaque empty")]
    payloads += [
        (DataType.float, named("n", struct.pack("<Q", 0x7FF8_0000_DEAD_BEEF)), "nan with bits"),
        (DataType.float, named("n", struct.pack("<Q", 0xFFF4_0000_0000_0001)), "signalling nan"),
        (DataType.int, named("negative", struct.pack("<q", -42)), "negative"),
        (DataType.string, b"\x01" + "é".encode() + b"counted in characters", "characters"),
        (DataType.float, b"\x01" + "é".encode() + struct.pack("<d", 2.5), "characters"),
    ]
    rows = [Row(i * 1_000_001, data_type, 1 + i % 3, payload, name) for i, (data_type, payload, name) in enumerate(payloads)]
    instant = rows[-1].elapsed_ns + 1
    twice = named("twice", struct.pack("<d", 1.0))
    rows += [Row(instant, DataType.float, 1, twice)] * 2
    rows += [Row(instant, DataType.float, 1, named("twice", struct.pack("<d", 2.0))), Row(instant, DataType.float, 2, twice)]
    rows += [Row(instant + 1, DataType.int, 1, named("twice", struct.pack("<q", 1)))] * 3
    return rows


def named(data_id: str, value: bytes) -> bytes:
    """A payload with an inner id."""
    raw = data_id.encode()
    return bytes([len(raw)]) + raw + value


def float_row(elapsed_ns: int, value: float, data_id: str = "speed", channel: int = 1) -> Row:
    return Row(elapsed_ns, DataType.float, channel, named(data_id, struct.pack("<d", value)))


def int_row(elapsed_ns: int, value: int, data_id: str = "gear", channel: int = 1) -> Row:
    return Row(elapsed_ns, DataType.int, channel, named(data_id, struct.pack("<q", value)))


def string_row(elapsed_ns: int, value: str, data_id: str = "note", channel: int = 1) -> Row:
    return Row(elapsed_ns, DataType.string, channel, named(data_id, value.encode()))


def can_row(elapsed_ns: int, can_id: int, data: bytes = b"\x01\x02", channel: int = 1) -> Row:
    return Row(elapsed_ns, DataType.can, channel, can_id.to_bytes(4, "little") + bytes([len(data)]) + data)


def sensor_row(elapsed_ns: int, sensor_id: int, raw: Sequence[int], channel: int = 1) -> Row:
    return Row(elapsed_ns, DataType.general_sensor, channel, struct.pack(f"<H{len(raw)}i", sensor_id, *raw))


def store_rows(client: idf.Client, rows: Iterable[Row], *, basetime_ns: int = BASETIME_NS, edge_uuid: str | None = None) -> str:
    """Store rows in a new measurement, without any code of frames, and give its uuid."""
    basetime = pd.Timestamp(basetime_ns, unit="ns", tz="UTC")
    uuid = client.measurements.create(edge_uuid=edge_uuid or client.edges.me().uuid, basetime=basetime).uuid
    points = [idf.DataPoint(pd.Timedelta(row.elapsed_ns, "ns"), row.data_type, row.channel, row.payload) for row in rows]
    client.data_points.store(uuid, points)
    return uuid


def contents(table: pa.Table, *, elapsed_from: int = 0) -> list[tuple[Any, ...]]:
    """The multiset of points in an envelope, sorted: (time, type, channel, id, payload)."""
    columns = [table["time"].cast(pa.int64()), *(table[name] for name in ("data_type", "channel", "data_id", "payload"))]
    lists = [column.to_pylist() for column in columns]
    lists[0] = [time - elapsed_from for time in lists[0]]
    return sorted(zip(*lists, strict=True))


def payloads_of(rows: Iterable[Row]) -> list[tuple[Any, ...]]:
    """The multiset of rows as they were stored: (elapsed time, type, channel, payload)."""
    return sorted((row.elapsed_ns, int(row.data_type), row.channel, row.payload) for row in rows)


def bits(values: Iterable[Any]) -> list[Any]:
    """Values that are equal only if they are the same bit for bit, and where a null is a null."""
    found: list[Any] = []
    for value in values:
        if isinstance(value, float):
            found.append(struct.pack("<d", value))
        elif value is None or value is pd.NA or value is pd.NaT:
            found.append(None)
        else:
            found.append(value.value if isinstance(value, pd.Timestamp) else value)
    return found


def column(frame: Any, name: str) -> list[Any]:
    """A column of a frame of any library, as `bits`; numbers of one kind are equal whatever their width."""
    if isinstance(frame, pd.DataFrame):
        series = frame.index if name == "time" else frame[name]
        if isinstance(series.dtype, pd.CategoricalDtype):
            series = series.astype(object).where(series.notna(), None)
        if isinstance(series.dtype, pd.ArrowDtype):
            return bits(_plain(pa.array(series.array)))
        return bits(series.to_numpy().tolist() if series.dtype.kind in "iuf" else series.tolist())
    table = frame.to_arrow() if hasattr(frame, "to_arrow") else frame
    return bits(_plain(table[name]))


def _plain(values: pa.Array | pa.ChunkedArray) -> list[Any]:
    if pa.types.is_timestamp(values.type):
        return list(values.cast(pa.timestamp("ns", values.type.tz)).cast(pa.int64()).to_pylist())
    return list(values.to_pylist())
