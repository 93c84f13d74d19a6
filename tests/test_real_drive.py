"""One minute of real driving, stored and read back. The recording is not part of the project; see `FOLDER`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from numpy.typing import NDArray

import intdash_frames as idf

# A folder with the example segment of the public comma2k19 data set as Parquet files: `can`, `imu_accelerometer`, `imu_gyro`,
# `imu_magnetometer`, `gnss` and `truth_speed`, each with a column `elapsed_ns`.
FOLDER = Path(os.environ.get("INTDASH_FRAMES_REAL_DRIVE") or Path(__file__).parents[2] / "shared" / "data")
BASETIME = pd.Timestamp("2018-08-02T16:14:48.224Z")
CAN_FRAMES = 135_468
IMU = {"imu_accelerometer": "acc", "imu_gyro": "gyro", "imu_magnetometer": "mag"}

pytestmark = pytest.mark.skipif(
    not (FOLDER / "can.parquet").is_file(),
    reason=f"no recording in {FOLDER}; INTDASH_FRAMES_REAL_DRIVE says where one is",
)


def recording(name: str) -> pd.DataFrame:
    """One file of the recording, by elapsed time."""
    df = pd.read_parquet(FOLDER / f"{name}.parquet")
    return df.set_index(pd.to_timedelta(df.pop("elapsed_ns"), unit="ns"))


def can_frames(recorded: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "data_type": "can",
            "channel": recorded["bus"],
            "data_id": recorded["can_id"].map("{:08x}".format),
            "can_id": recorded["can_id"],
            "dlc": recorded["data"].map(len),
            "data": recorded["data"],
        }
    )


@pytest.fixture(scope="module")
def client() -> Iterator[idf.Client]:
    with idf.LocalServer() as server, server.client() as made:
        yield made


@pytest.fixture(scope="module")
def drive(client: idf.Client) -> idf.Measurement:
    """Everything in one measurement: CAN on the channel of its bus, inertial sensors on 10, GNSS on 11."""
    measurement = client.measurements.create(client.edges.me().uuid, BASETIME, name="one minute of real driving")
    stored = can_frames(recording("can")).intdash.store(measurement, final=False, section_bytes=1 << 20)
    assert stored.points == CAN_FRAMES
    assert stored.sections > 3
    for name, prefix in IMU.items():
        recorded = recording(name).add_prefix(f"{prefix}_")
        assert recorded.intdash.store(measurement, channel=10, final=False).points == recorded.size
    recorded = recording("gnss")
    ended = recorded.intdash.store(measurement, channel=11)
    assert ended.points == recorded.size
    assert ended.measurement.ended
    return ended.measurement


def elapsed_ns(table: pa.Table) -> NDArray[np.int64]:
    return table["time"].cast(pa.int64()).to_numpy() - BASETIME.value


def test_every_can_frame_comes_back_bit_for_bit_in_its_order(client: idf.Client, drive: idf.Measurement) -> None:
    recorded = recording("can")
    table = client.frames(drive, "can:*/*").to_arrow()
    assert len(table) == CAN_FRAMES
    assert recorded.index.duplicated(keep=False).sum() > 50_000
    assert (elapsed_ns(table) == recorded.index.as_unit("ns").asi8).all()
    assert (table["channel"].to_numpy() == recorded["bus"]).all()
    # The payload of a CAN frame: identifier, length and data (protocol 6.2).
    heads = recorded["can_id"].to_numpy().astype("<u4").view(np.uint8).reshape(-1, 4)
    data = np.frombuffer(b"".join(recorded["data"]), np.uint8).reshape(-1, 8)
    expected = np.hstack([heads, np.full((CAN_FRAMES, 1), 8, np.uint8), data]).tobytes()
    assert b"".join(table["payload"].to_pylist()) == expected


def test_can_frames_are_typed_and_split_by_signal(client: idf.Client, drive: idf.Measurement) -> None:
    recorded = recording("can")
    read = client.frames(drive, "can:*/*")
    typed = read.to_pandas()
    assert (typed["can_id"].to_numpy() == recorded["can_id"].to_numpy()).all()
    assert (typed["dlc"] == 8).all()
    assert typed["data"].tolist() == recorded["data"].tolist()
    groups = recorded.groupby(["bus", "can_id"])["data"]
    by_signal = read.by_signal()
    assert len(by_signal) == len(groups)
    for (bus, can_id), data in groups:
        assert by_signal[idf.SignalKey.parse(f"can:{bus}/{can_id:08x}")]["data"].tolist() == data.tolist()


@pytest.mark.parametrize("name", [*IMU, "gnss"])
def test_samples_of_a_sensor_come_back_bit_for_bit(client: idf.Client, drive: idf.Measurement, name: str) -> None:
    recorded = recording(name)
    prefix, channel = (f"{IMU[name]}_", 10) if name in IMU else ("", 11)
    by_signal = client.frames(drive, [f"float:{channel}/{prefix}{column}" for column in recorded]).by_signal()
    assert len(by_signal) == len(recorded.columns)
    for column in recorded:
        read = by_signal[idf.SignalKey.parse(f"float:{channel}/{prefix}{column}")]
        assert (read.index == BASETIME + recorded.index).all()
        assert (read["value"].to_numpy().view(np.int64) == recorded[column].to_numpy().view(np.int64)).all()


def test_everything_is_there_once_and_in_the_order_of_time(client: idf.Client, drive: idf.Measurement) -> None:
    read = client.frames(drive)
    sensors = sum(recording(name).size for name in [*IMU, "gnss"])
    assert len(read.to_arrow()) == CAN_FRAMES + sensors
    assert (np.diff(elapsed_ns(read.to_arrow())) >= 0).all()
    assert read.report.complete
    again = idf.store(read)
    assert again.points == CAN_FRAMES + sensors
    # From the first stamp on, which is the new base time.
    assert client.frames(again.measurement).to_arrow().drop(["measurement_uuid"]) == read.to_arrow().drop(["measurement_uuid"])


def test_the_speed_in_a_can_frame_is_the_true_speed(client: idf.Client, drive: idf.Measurement) -> None:
    frames = client.frames(drive, "can:0/000000b4")["can:0/000000b4"]
    data = np.frombuffer(b"".join(frames["data"]), np.uint8).reshape(len(frames), 8)
    kmh = data[:, 5:7].copy().view(">u2")[:, 0] * 0.01
    speeds = client.measurements.create(client.edges.me().uuid, BASETIME)
    pd.DataFrame({"speed_mps": kmh / 3.6}, index=frames.index).intdash.store(speeds, final=False)
    recording("truth_speed").intdash.store(speeds, signals={"speed_mps": "float:2/truth_mps"})

    wide = client.frames(speeds).wide(on="truth_mps", method="interpolate")
    assert len(wide) == len(recording("truth_speed"))
    error = (wide["speed_mps"] - wide["truth_mps"]).abs()
    assert error.isna().sum() <= 2  # the truth may begin before the first frame and end after the last
    assert error.max() < 1
    assert error.mean() < 0.4
    assert wide["truth_mps"].max() > 5
