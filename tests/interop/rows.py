"""Random points of every class of the SDK, and the form in which both sides are compared."""

from __future__ import annotations

import random
import struct
from typing import Any, NamedTuple

import pandas as pd

import intdash_frames as idf

BASETIME_NS = 1_594_283_650_832_607_123
BASETIME = 135
INT = 12
# Bytes of a payload without a body, of the types whose empty body the SDK's stream reader takes for the end of a message.
EMPTY_BODY = {2: 0, 3: 2, 4: 1, 9: 0, 13: 1, 15: 10, 16: 0, 127: 4}
NAMED_EMPTY_BODY = (10, 14)
IDS = ("speed", "", "a/b", "名前", "Δ t", "x" * 255, "*", "ünïcödé/%2F?&=+")
SENTENCES = ("", "$", "$GPRMC,083559.00,A,4717.11437,N\r\n", "!AIVDM,1,1", "$日本語です", "$GPéé雪,1")
TEXTS = ("", "on", "line\r\nline", "\N{SNOWMAN} 雪だるま \U0001f697", "\x00", "'; --")


class Row(NamedTuple):
    """One point, in the form in which both sides are compared; the time is absolute."""

    time_ns: int
    channel: int
    data_type: int
    data_id: str | None
    payload: bytes

    @property
    def elapsed_ns(self) -> int:
        return self.time_ns - BASETIME_NS

    @property
    def has_empty_body(self) -> bool:
        """Whether nothing stands after the header of the payload, of a type where the SDK stumbles over it."""
        if self.data_type in NAMED_EMPTY_BODY:
            return len(self.payload) == 1 + self.payload[0]
        return EMPTY_BODY.get(self.data_type) == len(self.payload)

    @property
    def is_negative_int(self) -> bool:
        return self.data_type == INT and self.payload[-1] & 0x80 != 0


class Recording(NamedTuple):
    """Random points: as objects of the SDK in the form of the driver, and as the rows that must come back."""

    objects: list[dict[str, Any]]
    rows: list[Row]


def random_bytes(rng: random.Random, most: int) -> dict[str, str]:
    return {"$bytes": rng.randbytes(rng.choice((0, 1, most))).hex()}


def random_objects(rng: random.Random, turn: int) -> list[dict[str, Any]]:
    """One object of every class of the SDK, in the form of the driver; special values take turns, the rest is random."""
    finite = struct.unpack("<d", struct.pack("<Q", rng.randrange(0x7FF << 52)))[0]
    floats = (float("nan"), -0.0, 0.0, float("-inf"), 5e-324, finite, -finite)
    ints = (0, -1, -5, 2**63 - 1, -(2**63), rng.randrange(-(2**63), 2**63), rng.randrange(2**63))
    named = {"data_id": IDS[turn % len(IDS)]}
    return [
        {"$new": "data.CAN", "decimal_id": rng.randrange(2**32), "data": random_bytes(rng, rng.choice((8, 64, 255)))},
        {"$new": "data.NMEA", "string": SENTENCES[turn % len(SENTENCES)]},
        {"$new": "data.GeneralSensor", "decimal_id": rng.randrange(2**16), "data": random_bytes(rng, 12)},
        {"$new": "data.Controlpad", "decimal_id": rng.randrange(256), "data": random_bytes(rng, 30)},
        {"$new": "data.Generic", "decimal_id": rng.randrange(2**32), "data": random_bytes(rng, 100)},
        {"$new": "data.JPEG", "data": random_bytes(rng, 5_000)},
        {"$new": "data.Float", **named, "value": floats[turn % len(floats)]},
        {"$new": "data.Int", **named, "value": ints[turn % len(ints)]},
        {"$new": "data.String", **named, "value": TEXTS[turn % len(TEXTS)]},
        {"$new": "data.Bytes", **named, "value": random_bytes(rng, 300)},
        {
            "$new": "data.Basetime",
            "type": rng.choice((1, 2, 3, 253, 254, 255)),
            "basetime": {"$time": rng.randrange(2**32 * 10**9)},
        },
        {"$new": "data.H264", "type_id": rng.randrange(256), "data": random_bytes(rng, 70_000)},
        {"$new": "data.AAC", "data": random_bytes(rng, 400)},
        {
            "$new": "data.PCM",
            "format_id": rng.randrange(2**16),
            "channels": rng.randrange(2**16),
            "sample_rate": rng.randrange(2**32),
            "bit_per_sample": rng.randrange(2**16),
            "data": random_bytes(rng, 640),
        },
    ]


def as_data_points(rows: list[Row]) -> list[idf.DataPoint]:
    return [
        idf.DataPoint(
            elapsed_time=pd.Timedelta(row.elapsed_ns, unit="ns"),
            data_type=row.data_type,
            channel=row.channel,
            data_payload=row.payload,
        )
        for row in rows
    ]


def driver_data_points(rows: list[Row]) -> list[dict[str, Any]]:
    """Rows as objects to store or to write, in the form of the driver."""
    return [
        {
            "$new": "DataPoint",
            "elapsed_time": {"$duration": row.elapsed_ns},
            "data_type": row.data_type,
            "channel": row.channel,
            "data_payload": {"$bytes": row.payload.hex()},
        }
        for row in rows
    ]


def driver_units(recording: Recording) -> list[dict[str, Any]]:
    return [
        {"$new": "Unit", "elapsed_time": {"$duration": row.elapsed_ns}, "channel": row.channel, "data": made}
        for made, row in zip(recording.objects, recording.rows, strict=True)
    ]


def without_basetime_ids(rows: list[Row]) -> list[Row]:
    # The SDK has no id for a base time, so there is nothing to compare a server's choice with.
    return [row._replace(data_id=None) if row.data_type == BASETIME else row for row in rows]


def read_stored(client: idf.Client, measurement_uuid: str) -> list[Row]:
    """All that the server keeps of a measurement, through our frames."""
    everything = {"start": pd.Timestamp(0, tz="UTC"), "end": pd.Timestamp.max.tz_localize("UTC")}
    table = client.frames(measurement_uuid, **everything).to_arrow()
    assert set(table["measurement_uuid"].to_pylist()) <= {measurement_uuid}
    columns = [table[name].to_pylist() for name in ("channel", "data_type", "data_id", "payload")]
    times = table["time"].cast("int64").to_pylist()
    return without_basetime_ids([Row(*values) for values in zip(times, *columns, strict=True)])
