"""The recording: steady rates, growing stamps, the same bytes for a seed, and signals that agree across data types."""

import hashlib

import numpy as np
import pandas as pd
import pytest

from intdash_frames.codecs.table import SENSORS, layout_of
from intdash_frames.data import type_to_data_class
from intdash_frames.demo.drive import drive
from intdash_frames.errors import UsageError
from intdash_frames.model import DataType

EARTH_RADIUS_M = 6_371_008.8


def sensor(recording):
    raw = recording.columns["data"].view("<i4")
    return raw * SENSORS[int(recording.data_id, 16)].scale


def digest(recorded):
    state = hashlib.sha256()
    for recording in recorded.recordings:
        state.update(f"{recording.signal} {len(recording)}".encode() + recording.elapsed_ns.tobytes())
        for name, column in recording.columns.items():
            values = column.tobytes() if isinstance(column, np.ndarray) else repr(column).encode()
            state.update(name.encode() + values)
    return state.hexdigest()


def track_length(lat_deg, lon_deg):
    north = np.diff(np.radians(lat_deg)) * EARTH_RADIUS_M
    east = np.diff(np.radians(lon_deg)) * EARTH_RADIUS_M * np.cos(np.radians(lat_deg[1:]))
    return np.hypot(north, east).sum()


def test_every_kind_of_signal_is_there(signals):
    assert sum(name.startswith("can:1/") for name in signals) == 11
    assert {"can:1/000001a0", "can:1/18fef100", "nmea:2/GPRMC", "nmea:2/GPGGA", "float:1/speed", "float:1/battery_temp"} <= set(
        signals
    )
    assert {f"general_sensor:2/{number}" for number in ("0001", "0004", "0006", "000a")} <= set(signals)
    assert {"int:1/gear", "int:1/odometer", "string:1/event", "string:1/driver_note", "jpeg:2/jpeg"} <= set(signals)
    assert len(signals["jpeg:2/jpeg"]) == 2


def test_stamps_grow_and_stay_within_the_drive(recorded):
    for recording in recorded.recordings:
        assert recording.elapsed_ns.dtype == np.int64
        assert np.all(np.diff(recording.elapsed_ns) > 0), recording.signal
        assert recording.elapsed_ns[0] >= 0
        assert recording.elapsed_ns[-1] < 120_000_000_000
        assert all(len(column) == len(recording) for column in recording.columns.values())


@pytest.mark.parametrize(
    ("signal", "rate_hz"),
    [("can:1/000001a0", 100), ("can:1/000001b0", 50), ("can:1/18fef100", 10), ("nmea:2/GPRMC", 10), ("float:1/battery_temp", 20)],
)
def test_rates_are_kept_with_jitter(signals, signal, rate_hz):
    gaps = np.diff(signals[signal].elapsed_ns) * rate_hz / 1e9
    assert gaps.mean() == pytest.approx(1.0, abs=1e-3)
    assert 0.005 < gaps.std() < 0.1
    assert 0.7 < gaps.min() < gaps.max() < 1.3


def test_seed_gives_the_same_bytes_and_another_seed_others():
    first, again, other = (drive(seed, 12.0, pictures=1) for seed in (5, 5, 6))
    assert digest(first) == digest(again)
    assert digest(first) != digest(other)


def test_speed_on_the_bus_is_the_float_speed_at_the_same_times(signals):
    bus, speed = signals["can:1/000001a0"], signals["float:1/speed"]
    frames = bus.columns["data"].astype(np.int64)
    on_bus = (frames[:, 0] * 256 + frames[:, 1]) * 0.01  # VehicleSpeed : 7|16@0+ (0.01,0)
    rows = np.searchsorted(bus.elapsed_ns, speed.elapsed_ns)
    np.testing.assert_array_equal(bus.elapsed_ns[rows], speed.elapsed_ns)
    np.testing.assert_allclose(on_bus[rows], speed.columns["value"], atol=0.005 + 1e-9, rtol=0)


def test_speed_integrates_to_the_length_of_the_track(signals):
    speed, place = signals["float:1/speed"], signals["general_sensor:2/0006"]
    seconds, mps = speed.elapsed_ns / 1e9, speed.columns["value"] / 3.6
    driven = float(np.sum((mps[1:] + mps[:-1]) / 2 * np.diff(seconds)))
    assert driven > 1000.0
    assert track_length(*sensor(place).T) == pytest.approx(driven, rel=0.005)
    odometer = signals["int:1/odometer"].columns["value"]
    assert odometer[-1] - odometer[0] == pytest.approx(driven, rel=0.01)


def test_phone_feels_the_acceleration_that_the_speed_shows(signals):
    felt = signals["general_sensor:2/0001"]
    ax = sensor(felt)[:, 0]
    assert np.abs(ax).max() < 5.0
    speed = signals["float:1/speed"]
    gained = np.interp([30e9, 60e9, 90e9], speed.elapsed_ns, speed.columns["value"]) / 3.6
    summed = np.interp([30e9, 60e9, 90e9], felt.elapsed_ns, np.cumsum(ax) * 0.01)
    np.testing.assert_allclose(summed, gained, atol=0.3)


def test_rotation_rate_sums_up_to_the_change_of_course(signals):
    yaw = sensor(signals["general_sensor:2/0004"])[:, 0].sum() * 0.01
    courses = [float(sentence.split(",")[8]) for sentence in signals["nmea:2/GPRMC"].columns["sentence"]]
    assert (courses[0] - courses[-1] - yaw + 180) % 360 - 180 == pytest.approx(0.0, abs=1.0)
    assert abs(yaw) > 90


def test_nmea_sentences_have_right_checksums_and_tell_the_place(signals):
    place = signals["general_sensor:2/0006"]
    for data_id in ("GPRMC", "GPGGA"):
        recording = signals[f"nmea:2/{data_id}"]
        for sentence in recording.columns["sentence"]:
            body, checksum = sentence.removeprefix("$").split("*")
            folded = 0
            for byte in body.encode():
                folded ^= byte
            assert (body[:5], checksum) == (data_id, f"{folded:02X}")
        fields = [sentence.split(",") for sentence in recording.columns["sentence"]]
        column = 3 if data_id == "GPRMC" else 2
        lat = np.array([float(row[column][:2]) + float(row[column][2:]) / 60 for row in fields])
        lon = np.array([float(row[column + 2][:3]) + float(row[column + 2][3:]) / 60 for row in fields])
        fixes = np.arange(len(fields)) * 100_000_000
        for told, true in zip((lat, lon), sensor(place).T, strict=True):
            np.testing.assert_allclose(told[1:], np.interp(fixes[1:], place.elapsed_ns, true), atol=5e-7, rtol=0)
        assert [row[1] for row in fields[:3]] == ["010000.00", "010000.10", "010000.20"]
        assert {(row[column + 1], row[column + 3]) for row in fields} == {("N", "E")}
        assert (35.6, 139.7) < (lat[0], lon[0]) < (35.7, 139.8)


def test_clock_of_the_sentences_follows_the_base_time():
    start = pd.Timestamp("2025-12-31T23:59:59.750Z")
    recorded = drive(0, 2.0, basetime_ns=start.value, pictures=0)
    rmc = next(recording for recording in recorded.recordings if recording.data_id == "GPRMC")
    clocks = [(sentence.split(",")[1], sentence.split(",")[9]) for sentence in rmc.columns["sentence"]]
    assert clocks[:3] == [("235959.80", "311225"), ("235959.90", "311225"), ("000000.00", "010126")]
    assert 0.035 <= rmc.elapsed_ns[2] / 1e9 - 0.25 <= 0.045


def test_frames_hold_every_point_in_order_of_time(recorded):
    frames = recorded.frames()
    assert set(frames) == {recording.data_type for recording in recorded.recordings}
    for data_type, frame in frames.items():
        assert isinstance(frame.index, pd.TimedeltaIndex)
        assert frame.index.name == "time"
        assert frame.index.is_monotonic_increasing
        assert list(frame.columns) == ["channel", "data_id", *layout_of(data_type).schema.names]
        for recording in recorded.recordings:
            if recording.data_type is data_type:
                rows = frame[frame["data_id"] == recording.data_id]
                np.testing.assert_array_equal(rows.index.asi8, recording.elapsed_ns)
                assert set(rows["channel"]) == {recording.channel}
                for name, column in recording.columns.items():
                    is_bytes = isinstance(column, np.ndarray) and column.ndim == 2
                    expected = [row.tobytes() for row in column[:50]] if is_bytes else list(column[:50])
                    assert rows[name].iloc[:50].tolist() == expected


def test_frames_have_moments_if_the_drive_has_a_base_time():
    start = pd.Timestamp("2024-05-14T01:00:00.000000001Z")
    recorded = drive(0, 3.0, basetime_ns=start.value, pictures=0)
    frame = recorded.frames()[DataType.can]
    assert frame.index.dtype == "datetime64[ns, UTC]"
    assert (frame.index[0] - start).value == min(r.elapsed_ns[0] for r in recorded.recordings if r.data_type is DataType.can)


def test_data_ids_are_those_of_the_payloads(recorded):
    for data_type, frame in recorded.frames().items():
        cls = type_to_data_class(data_type)
        for row in frame.groupby("data_id", observed=True).head(1).to_dict("records"):
            values = [row[name] for name in layout_of(data_type).schema.names]
            if data_type is DataType.can:
                content = cls(row["can_id"], row["data"], dlc=row["dlc"])
            elif data_type in {DataType.float, DataType.int, DataType.string}:
                content = cls(row["data_id"], *values)
            else:
                content = cls(*values)
            assert cls.from_payload(content.to_payload()).data_id == row["data_id"]


def test_a_drive_shorter_than_every_period_still_works():
    recorded = drive(0, 0.02, pictures=0)
    assert all(len(recording) for recording in recorded.recordings)
    assert DataType.can in recorded.frames()


@pytest.mark.parametrize(
    "wrong", [{"seed": -1}, {"duration_s": 0.0}, {"duration_s": float("nan")}, {"duration_s": float("inf")}, {"pictures": -1}]
)
def test_wrong_arguments_are_refused(wrong):
    with pytest.raises(UsageError, match="not"):
        drive(**wrong)
