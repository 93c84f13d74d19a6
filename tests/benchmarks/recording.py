"""The recording that both sides read and write: 70 % CAN frames, 20 % floats, 4 % NMEA, 4 % sensor values, 2 % strings."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray

from intdash_frames.codecs.layout import Values
from intdash_frames.codecs.points import Points
from intdash_frames.codecs.series import Series, SeriesTable
from intdash_frames.codecs.table import layout_of
from intdash_frames.model import DataType

__all__ = ["BASETIME_NS", "in_absolute_time", "recording"]

BASETIME_NS = 1_700_000_000_000_000_000
SENTENCES = ("GPRMC", "GPGGA", "GPVTG")
SENSOR_IDS = (0x0001, 0x0004)
STATES = ("ready", "driving", "charging", "waiting for the driver", "走行中")


Columns = tuple[list[tuple[int, str]], dict[str, Any]]
"""Signals of one data type as (channel, id), and the columns of its points with the number of each row's signal."""


def _can(rng: np.random.Generator, count: int) -> Columns:
    can_ids = np.sort(rng.choice(0x7FF, size=80, replace=False))
    signal = rng.integers(0, len(can_ids), count)
    return [(1 + number % 2, f"{can_id:08x}") for number, can_id in enumerate(can_ids.tolist())], {
        "signal": signal,
        "can_id": can_ids[signal],
        "dlc": np.full(count, 8),
        "data": _equal_pieces(rng.integers(0, 256, 8 * count, dtype=np.uint8), 8),
    }


def _floats(rng: np.random.Generator, count: int) -> Columns:
    ids = [(3, name) for name in ("sp_ACC_X", "sp_ACC_Y", "sp_ACC_Z", "speed", "steering_angle", "motor/torque")]
    return ids, {"signal": rng.integers(0, len(ids), count), "value": rng.normal(size=count)}


def _nmea(rng: np.random.Generator, count: int) -> Columns:
    signal = rng.integers(0, len(SENTENCES), count)
    minutes = np.arange(count) % 600_000 / 10_000
    sentences = [
        f"${SENTENCES[number]},085825.67,A,35{minute:07.4f},N,139{minute:07.4f},E,012.3,054.7,230620,,*4F".encode()
        for number, minute in zip(signal.tolist(), minutes.tolist(), strict=True)
    ]
    return [(4, name) for name in SENTENCES], {"signal": signal, "sentence": Values.of(sentences)}


def _sensors(rng: np.random.Generator, count: int) -> Columns:
    signal = rng.integers(0, len(SENSOR_IDS), count)
    bodies = rng.integers(-10_000_000, 10_000_000, 3 * count, dtype=np.int32)
    return [(5, f"{sensor_id:04x}") for sensor_id in SENSOR_IDS], {
        "signal": signal,
        "sensor_id": np.asarray(SENSOR_IDS)[signal],
        "data": _equal_pieces(bodies.view(np.uint8), 12),
    }


def _strings(rng: np.random.Generator, count: int) -> Columns:
    values = [STATES[number].encode() for number in rng.integers(0, len(STATES), count).tolist()]
    return [(6, "state"), (6, "log")], {"signal": rng.integers(0, 2, count), "value": Values.of(values)}


def _equal_pieces(data: NDArray[np.uint8], size: int) -> Values:
    return Values(data, np.arange(0, len(data) + 1, size, dtype=np.int32))


MIX = (
    (DataType.can, 0.70, _can),
    (DataType.float, 0.20, _floats),
    (DataType.nmea, 0.04, _nmea),
    (DataType.general_sensor, 0.04, _sensors),
    (DataType.string, 0.02, _strings),
)


def recording(points: int, measurement_uuid: str, *, seed: int = 1) -> Points:
    """Make points that are one millisecond apart on average, no two within a microsecond.

    Parameters
    ----------
    points : int
        How many.
    measurement_uuid : str
    seed : int

    Returns
    -------
    Points
        In elapsed time [ns].
    """
    rng = np.random.default_rng(seed)
    kinds = rng.choice(len(MIX), size=points, p=[share for _, share, _ in MIX])
    keys, parts, rows = SeriesTable(), [], []
    for number, (kind, _, columns_of) in enumerate(MIX):
        mine = np.flatnonzero(kinds == number)
        ids, columns = columns_of(rng, len(mine))
        signals = [Series(measurement_uuid, int(kind), channel, data_id, str(int(kind))) for channel, data_id in ids]
        numbers = np.asarray([keys.code(signal) for signal in signals], np.int32)
        names = Values.of([key.data_id.encode() for key in keys])
        codes = numbers[columns.pop("signal")]
        payloads = layout_of(int(kind)).encode(columns, codes, names)
        parts.append(Points(mine, codes, payloads.data, payloads.offsets, keys))
        rows.append(mine)
    order = np.argsort(np.concatenate(rows), kind="stable")
    elapsed_ns = np.cumsum(rng.integers(2_000, 2_000_000, points))
    return dataclasses.replace(Points.concat(parts).take(order), time_ns=elapsed_ns)


def in_absolute_time(points: Points, basetime_ns: int = BASETIME_NS) -> Points:
    """Points of a recording as an answer has them."""
    return dataclasses.replace(points, time_ns=points.time_ns + basetime_ns)
