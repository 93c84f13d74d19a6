"""Points to store."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from intdash_frames.codecs.points import Points, store_body
from intdash_frames.codecs.series import Series, SeriesTable

Row = tuple[int, int, int, str, bytes]


def int_row(elapsed_ns: int, value: int = 0, *, channel: int = 1, data_id: str = "i") -> Row:
    """A row of an Int: (elapsed ns, data type, channel, data id, payload)."""
    name = data_id.encode()
    return elapsed_ns, 12, channel, data_id, bytes([len(name)]) + name + value.to_bytes(8, "little", signed=True)


def can_row(elapsed_ns: int, can_id: int, *, channel: int = 1) -> Row:
    """A row of a CAN frame."""
    return elapsed_ns, 1, channel, f"{can_id:08x}", can_id.to_bytes(4, "little") + b"\x02\xca\xfe"


def points_of(rows: Sequence[Row], uuid: str = "") -> Points:
    """Columns of rows; times are elapsed times."""
    keys = SeriesTable()
    codes = [keys.code(Series(uuid, data_type, channel, data_id, str(data_type))) for _, data_type, channel, data_id, _ in rows]
    payloads = [row[4] for row in rows]
    offsets = np.concatenate([[0], np.cumsum([len(payload) for payload in payloads])]).astype(np.int32)
    times = np.array([row[0] for row in rows], np.int64)
    return Points(times, np.array(codes, np.int32), np.frombuffer(b"".join(payloads), np.uint8), offsets, keys)


def body_of(uuid: str, rows: Sequence[Row], *, final: bool = True, serial_number: int = 0) -> bytes:
    """The protobuf store body of rows."""
    return store_body(points_of(rows, uuid), measurement_uuid=uuid, final=final, serial_number=serial_number)
