"""The drive as a logger would have recorded it: one `Recording` per signal, and typed frames ready to be stored."""

from __future__ import annotations

import datetime
import math
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from intdash_frames.codecs.table import SENSORS
from intdash_frames.demo.can_bus import MESSAGES, SIZE_BYTES, encode
from intdash_frames.demo.pictures import dashboard
from intdash_frames.demo.vehicle import EARTH_RADIUS_M, Motion, random_for, simulate, steady_noise
from intdash_frames.errors import UsageError
from intdash_frames.model import DataType

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Drive", "Recording", "drive"]

VEHICLE, PHONE = 1, 2  # channels: what the car says, what the phone on the windscreen says
NMEA_EPOCH_NS = 1_715_648_400_000_000_000  # 2024-05-14T01:00:00Z, the clock of the sentences if no base time is given
FIX_PERIOD_NS = 100_000_000
GNSS_ERROR_M = 0.8
KMH_PER_KNOT = 1.852
DRIVER_NOTES = (
    (1.0, "route: 日本橋 – 首都高"),
    (20.0, "dry road, light traffic"),
    (75.0, "夕方、少し混雑"),
    (112.0, "no faults seen"),
)

# General sensors: id, rate [Hz], quantities in the order of the body.
PHONE_SENSORS: tuple[tuple[int, int, tuple[str, ...]], ...] = (
    (0x0001, 100, ("phone_ax_mps2", "phone_ay_mps2", "phone_az_mps2")),
    (0x0004, 100, ("phone_yaw_dps", "phone_pitch_dps", "phone_roll_dps")),
    (0x0006, 50, ("phone_lat_deg", "phone_lon_deg")),
    (0x000A, 50, ("speed_kmh",)),
)

# Plain values: data type, data id, rate [Hz], quantity. Speed is not here: it has the stamps of the CAN frames it is read from.
VALUES = (
    (DataType.float, "battery_temp", 20, "battery_degc"),
    (DataType.float, "throttle", 20, "throttle_pct"),
    (DataType.int, "gear", 10, "gear"),
    (DataType.int, "odometer", 1, "odometer_m"),
)
SPEED_CAN_ID = 0x1A0
SPEED_EVERY = 5


@dataclass(frozen=True, slots=True, eq=False)
class Recording:
    """All points of one signal.

    Attributes
    ----------
    data_type : DataType
        Which layout the points have.
    channel : int
        Channel number.
    data_id : str
        Data id, as filters show it.
    elapsed_ns : ndarray of int64, shape (n,)
        Times since the start [ns], strictly growing.
    columns : dict of str to ndarray or list
        The columns of the data type, n long. Bytes of one length are an ndarray of uint8, shape (n, length); bytes of any
        length and text are lists.
    """

    data_type: DataType
    channel: int
    data_id: str
    elapsed_ns: NDArray[np.int64]
    columns: dict[str, NDArray[Any] | list[bytes] | list[str]]

    @property
    def signal(self) -> str:
        """``type:channel/data_id``, as filters take it."""
        return f"{self.data_type.name}:{self.channel}/{self.data_id}"

    def __len__(self) -> int:
        return len(self.elapsed_ns)


@dataclass(frozen=True, slots=True, eq=False)
class Drive:
    """A recorded drive.

    Attributes
    ----------
    recordings : tuple of Recording
        One per signal.
    basetime_ns : int or None
        When it began [ns since the Unix epoch], if that was given.
    """

    recordings: tuple[Recording, ...]
    basetime_ns: int | None

    def frames(self) -> dict[DataType, pd.DataFrame]:
        """Put all points of a data type into one frame.

        Returns
        -------
        dict of DataType to pandas.DataFrame
            Sorted by time. The index `time` is a DatetimeIndex (UTC) if the drive has a base time, a TimedeltaIndex if not;
            columns `channel`, `data_id` and those of the type. Bytes and text are Arrow-backed.
        """
        recordings = defaultdict(list)
        for recording in self.recordings:
            recordings[recording.data_type].append(recording)
        return {data_type: _frame(rows, self.basetime_ns) for data_type, rows in recordings.items()}


def drive(seed: int = 0, duration_s: float = 120.0, *, basetime_ns: int | None = None, pictures: int = 8) -> Drive:
    """Record a drive through Tokyo: traffic lights, a left turn, a stretch of motorway.

    Parameters
    ----------
    seed : int, default 0
        The same seed gives the same bytes.
    duration_s : float, default 120.0
        Length [s].
    basetime_ns : int, optional
        When it begins [ns since the Unix epoch]. The clock inside the NMEA sentences follows it.
    pictures : int, default 8
        How many JPEG pictures to take, evenly spread [count].

    Returns
    -------
    Drive
        11 CAN ids (about 61,000 frames in two minutes), NMEA, general sensor data, floats, ints, strings and pictures.

    Raises
    ------
    UsageError
        If the seed or the number of pictures is negative, or the duration is not a positive, finite number.
    """
    if seed < 0 or pictures < 0:
        raise UsageError(f"seed and pictures must be 0 or more, not {seed} and {pictures}")
    if not (math.isfinite(duration_s) and duration_s > 0):
        raise UsageError(f"duration_s must be a positive number of seconds, such as 120.0, not {duration_s!r}")
    motion = simulate(seed, duration_s)
    motion.signals.update(_phone(motion, seed))
    recordings = [
        *_can(motion, seed, duration_s),
        *_nmea(motion, seed, duration_s, NMEA_EPOCH_NS if basetime_ns is None else basetime_ns),
        *_sensors(motion, seed, duration_s),
        *_values(motion, seed, duration_s),
        *_texts(motion, duration_s),
        *_pictures(motion, duration_s, pictures),
    ]
    return Drive(tuple(recording for recording in recordings if len(recording)), basetime_ns)


def _stamps(seed: int, name: str, rate_hz: int, duration_s: float) -> NDArray[np.int64]:
    """Times at which a sender with a cheap clock sends: its own phase, every sample a little early or late [ns]."""
    random = random_for(seed, f"stamps {name}")
    period_ns = 1e9 / rate_hz
    steps = np.arange(round(duration_s * rate_hz))
    early_or_late = np.clip(0.03 * random.standard_normal(len(steps)), -0.1, 0.1)
    # The phase keeps clear of both ends, so that the first sample is not before 0 and the last one not after the end.
    return np.rint((steps + random.uniform(0.1, 0.9) + early_or_late) * period_ns).astype(np.int64)


def _phone(motion: Motion, seed: int) -> dict[str, NDArray[Any]]:
    """What the phone's sensors see: the vehicle's motion, shaken by the road, and a position that is slowly wrong."""
    true = motion.signals
    n, random = len(true["speed_kmh"]), random_for(seed, "phone")
    shake = np.where(true["speed_kmh"] > 0, 0.08 + 0.001 * true["speed_kmh"], 0.01)
    north_m, east_m = (GNSS_ERROR_M * steady_noise(random, n, correlation_s=30.0) for _ in range(2))
    metres_per_degree = math.radians(EARTH_RADIUS_M)
    return {
        "phone_ax_mps2": true["accel_x_mps2"] + shake * random.standard_normal(n),
        "phone_ay_mps2": true["accel_y_mps2"] + shake * random.standard_normal(n),
        "phone_az_mps2": 2.0 * shake * random.standard_normal(n),
        "phone_yaw_dps": true["yaw_rate_dps"] + 0.05 * random.standard_normal(n),
        "phone_pitch_dps": 3.0 * shake * random.standard_normal(n),
        "phone_roll_dps": 3.0 * shake * random.standard_normal(n),
        "phone_lat_deg": true["lat_deg"] + north_m / metres_per_degree,
        "phone_lon_deg": true["lon_deg"] + east_m / (metres_per_degree * np.cos(np.radians(true["lat_deg"]))),
    }


def _can(motion: Motion, seed: int, duration_s: float) -> list[Recording]:
    recordings = []
    for message in MESSAGES:
        stamps = _stamps(seed, message.name, message.rate_hz, duration_s)
        n = len(stamps)
        columns: dict[str, Any] = {
            "can_id": np.full(n, message.can_id, np.uint32),
            "dlc": np.full(n, SIZE_BYTES, np.uint8),
            "data": encode(message, motion, stamps),
        }
        recordings.append(Recording(DataType.can, VEHICLE, f"{message.can_id:08x}", stamps, columns))
        if message.can_id == SPEED_CAN_ID:
            every = stamps[::SPEED_EVERY]
            recordings.append(Recording(DataType.float, VEHICLE, "speed", every, {"value": motion.at("speed_kmh", every)}))
    return recordings


def _sensors(motion: Motion, seed: int, duration_s: float) -> list[Recording]:
    recordings = []
    for sensor_id, rate_hz, sources in PHONE_SENSORS:
        stamps = _stamps(seed, f"sensor {sensor_id}", rate_hz, duration_s)
        raw = np.rint(np.column_stack([motion.at(source, stamps) for source in sources]) / SENSORS[sensor_id].scale).astype("<i4")
        body = raw.view(np.uint8).reshape(len(stamps), 4 * len(sources))
        columns: dict[str, Any] = {"sensor_id": np.full(len(stamps), sensor_id, np.uint16), "data": body}
        recordings.append(Recording(DataType.general_sensor, PHONE, f"{sensor_id:04x}", stamps, columns))
    return recordings


def _values(motion: Motion, seed: int, duration_s: float) -> list[Recording]:
    recordings = []
    for data_type, data_id, rate_hz, source in VALUES:
        stamps = _stamps(seed, data_id, rate_hz, duration_s)
        values = motion.at(source, stamps).astype(np.float64 if data_type is DataType.float else np.int64)
        recordings.append(Recording(data_type, VEHICLE, data_id, stamps, {"value": values}))
    return recordings


def _texts(motion: Motion, duration_s: float) -> list[Recording]:
    notes = [(at, text) for at, text in DRIVER_NOTES if at < duration_s]
    return [
        Recording(
            DataType.string,
            VEHICLE,
            data_id,
            np.array([round(at * 1e9) for at, _ in rows], np.int64),
            {"value": [text for _, text in rows]},
        )
        for data_id, rows in (("event", motion.events), ("driver_note", notes))
    ]


def _pictures(motion: Motion, duration_s: float, count: int) -> list[Recording]:
    stamps = np.array([round((k + 0.5) * duration_s / count * 1e9) for k in range(count)], np.int64)
    shown = [motion.at(source, stamps).tolist() for source in ("speed_kmh", "engine_rpm", "gear")]
    files = [
        dashboard(speed_kmh=speed, engine_rpm=rpm, gear=gear, elapsed_s=at / 1e9)
        for speed, rpm, gear, at in zip(*shown, stamps.tolist(), strict=True)
    ]
    return [Recording(DataType.jpeg, PHONE, "jpeg", stamps, {"data": files})]


def _nmea(motion: Motion, seed: int, duration_s: float, basetime_ns: int) -> list[Recording]:
    """RMC and GGA for every tenth of a second of UTC; the sentences arrive some 40 ms after the fix they tell of."""
    first_ns = -basetime_ns % FIX_PERIOD_NS
    fixes = np.arange(first_ns, round(duration_s * 1e9) - 50_000_000, FIX_PERIOD_NS, dtype=np.int64)
    arrived = fixes + random_for(seed, "nmea").integers(35_000_000, 45_000_000, len(fixes))
    latitudes = _degrees_minutes(motion.at("phone_lat_deg", fixes), "NS", width=2)
    longitudes = _degrees_minutes(motion.at("phone_lon_deg", fixes), "EW", width=3)
    others = [motion.at(name, fixes).tolist() for name in ("speed_kmh", "heading_deg", "alt_m")]
    rmc, gga = [], []
    for fix, latitude, longitude, speed, heading, alt in zip(fixes.tolist(), latitudes, longitudes, *others, strict=True):
        seconds, nanos = divmod(basetime_ns + fix, 1_000_000_000)
        clock = datetime.datetime.fromtimestamp(seconds, datetime.UTC)
        at, place = f"{clock:%H%M%S}.{nanos // 10_000_000:02d}", f"{latitude},{longitude}"
        course = round(heading % 360.0, 1) % 360.0  # 359.96 is north too
        rmc.append(_sentence(f"GPRMC,{at},A,{place},{speed / KMH_PER_KNOT:.2f},{course:.1f},{clock:%d%m%y},,,A"))
        gga.append(_sentence(f"GPGGA,{at},{place},1,09,0.9,{alt:.1f},M,36.7,M,,"))
    return [
        Recording(DataType.nmea, PHONE, "GPRMC", arrived, {"sentence": rmc}),
        Recording(DataType.nmea, PHONE, "GPGGA", arrived + 2_000_000, {"sentence": gga}),
    ]


def _degrees_minutes(degrees: NDArray[np.float64], sides: str, *, width: int) -> list[str]:
    """``ddmm.mmmmm,N``: whole degrees and minutes run together, as NMEA 0183 has it."""
    # Rounded before it is split, or 59.999996 minutes would be written as 60.
    hundred_thousandths = np.rint(np.abs(degrees) * 60e5).astype(np.int64).tolist()
    return [
        f"{value // 6_000_000:0{width}d}{value % 6_000_000 / 1e5:08.5f},{sides[below]}"
        for value, below in zip(hundred_thousandths, (degrees < 0).tolist(), strict=True)
    ]


def _sentence(body: str) -> str:
    checksum = 0
    for byte in body.encode("ascii"):
        checksum ^= byte
    return f"${body}*{checksum:02X}"


def _frame(recordings: list[Recording], basetime_ns: int | None) -> pd.DataFrame:
    import pandas as pd

    elapsed_ns = np.concatenate([recording.elapsed_ns for recording in recordings])
    order = np.argsort(elapsed_ns, kind="stable")
    lengths = [len(recording) for recording in recordings]
    ids = sorted({recording.data_id for recording in recordings})
    codes = np.repeat([ids.index(recording.data_id) for recording in recordings], lengths)
    columns: dict[str, Any] = {
        "channel": np.repeat(np.array([recording.channel for recording in recordings], np.uint8), lengths)[order],
        "data_id": pd.Categorical.from_codes(codes[order], categories=ids),
    }
    for name in recordings[0].columns:
        columns[name] = _joined([recording.columns[name] for recording in recordings], order)
    if basetime_ns is None:
        index: Any = pd.TimedeltaIndex(elapsed_ns[order].view("m8[ns]"), name="time")
    else:
        index = pd.DatetimeIndex((basetime_ns + elapsed_ns[order]).view("M8[ns]"), name="time").tz_localize("UTC")
    return pd.DataFrame(columns, index=index)


def _joined(parts: list[Any], order: NDArray[np.int64]) -> Any:
    """One column of several recordings, in the given order; no Python object per point where the parts are arrays."""
    import pandas as pd
    import pyarrow as pa

    if isinstance(parts[0], np.ndarray) and parts[0].ndim == 1:
        return np.concatenate(parts)[order]
    arrays = [_arrow(part) for part in parts]
    column = pa.concat_arrays(arrays).take(pa.array(order))
    return pd.array(column, dtype=pd.ArrowDtype(column.type))


def _arrow(part: NDArray[np.uint8] | list[bytes] | list[str]) -> Any:
    import pyarrow as pa

    if not isinstance(part, np.ndarray):
        return pa.array(part)
    n, length = part.shape
    offsets = np.arange(n + 1, dtype=np.int32) * np.int32(length)
    return pa.BinaryArray.from_buffers(pa.binary(), n, [None, pa.py_buffer(offsets), pa.py_buffer(np.ascontiguousarray(part))])
