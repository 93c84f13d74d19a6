"""The vendor's SDK on its side of the benchmark, in an environment of its own.

It is used through its public calls only. For decoding and encoding alone, the client below those calls is replaced by one that
hands over the body or takes it: no socket, no server, nothing but the SDK's own work. Objects become columns in the cheapest way
that we know of: lists and generators into numpy, texts and bytes as they are.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import intdash
import intdash.data
import numpy as np
import pandas as pd
from intdash import DataPoint, DataType
from intdash._data_points import DataPoints

from tests.benchmarks.digest import digest
from tests.benchmarks.workers import timed, work

BASETIME_NS = 1_700_000_000_000_000_000
TOKEN = "token"
# The known sensors of the recording: fields and scale.
SENSORS = {1: (("ax", "ay", "az"), 1e-6), 4: (("rra", "rrb", "rrg"), 1e-5)}

Frames = dict[DataType, pd.DataFrame]


@cache
def body_of(path: str) -> bytes:
    return Path(path).read_bytes()


class _Offline:
    """Stands for the SDK's client: answers with a body, and keeps the one it was given."""

    def __init__(self, answer: bytes) -> None:
        self.answer, self.sent = answer, b""

    def _request(self, data: bytes = b"", **_: Any) -> Any:
        self.sent = data
        return SimpleNamespace(content=self.answer)


def _calls(answer: bytes = b"") -> DataPoints:
    calls = DataPoints()
    calls.client = _Offline(answer)
    return calls


# --- objects -> frames ---


def to_frames(pages: Iterable[list[Any]]) -> Frames:
    """Data responses as one frame a data type."""
    groups: dict[DataType, list[Any]] = {}
    for page in pages:
        for response in page:
            groups.setdefault(response.data_type, []).append(response)
    return {kind: _frame(kind, responses) for kind, responses in groups.items()}


def _frame(kind: DataType, responses: list[Any]) -> pd.DataFrame:
    count, from_payload = len(responses), READERS[kind]
    contents = [from_payload(response.data_payload) for response in responses]
    columns: dict[str, Any] = {
        "measurement_uuid": pd.Categorical([response.measurement_uuid for response in responses]),
        "channel": pd.Categorical(np.fromiter((response.channel for response in responses), np.int64, count)),
        "data_id": pd.Categorical([response.data_id for response in responses]),
    }
    if kind is DataType.can:
        columns["can_id"] = np.fromiter((content.decimal_id for content in contents), np.uint32, count)
        columns["data"] = _objects([content.data for content in contents])
    elif kind is DataType.nmea:
        columns["sentence"] = _objects([content.string for content in contents])
    elif kind is DataType.general_sensor:
        columns["sensor_id"] = np.fromiter((content.decimal_id for content in contents), np.uint16, count)
        columns["data"] = _objects([content.data for content in contents])
        columns |= _physical(columns["sensor_id"], columns["data"])
    elif kind is DataType.float:
        columns["value"] = np.fromiter((content.value for content in contents), np.float64, count)
    else:
        columns["value"] = _objects([content.value for content in contents])
    time_ns = np.fromiter((response.time.value for response in responses), np.int64, count)
    index = pd.DatetimeIndex(time_ns.view("M8[ns]"), name="time").tz_localize("UTC")
    return pd.DataFrame(columns, index=index, copy=False)


READERS = {
    DataType.can: intdash.data.CAN.from_payload,
    DataType.nmea: intdash.data.NMEA.from_payload,
    DataType.general_sensor: intdash.data.GeneralSensor.from_payload,
    DataType.float: intdash.data.Float.from_payload,
    DataType.string: intdash.data.String.from_payload,
}


def _objects(values: list[Any]) -> Any:
    out = np.empty(len(values), object)
    out[:] = values
    return out


def _physical(sensor_ids: Any, bodies: Any) -> dict[str, Any]:
    columns = {}
    for sensor_id, (fields, scale) in SENSORS.items():
        rows = np.flatnonzero(sensor_ids == sensor_id)
        raw = np.frombuffer(b"".join(bodies[rows].tolist()), "<i4").reshape(len(rows), len(fields))
        for number, field in enumerate(fields):
            columns[field] = np.full(len(bodies), np.nan)
            columns[field][rows] = raw[:, number] * scale
    return columns


# --- frames -> objects ---


def to_points(kind: DataType, frame: pd.DataFrame) -> list[Any]:
    """A typed frame as the objects that the SDK stores."""
    elapsed_ns = (frame.index.asi8 - BASETIME_NS).tolist()
    channels, ids, number = frame["channel"].tolist(), frame["data_id"].tolist(), kind.value
    if kind is DataType.can:
        contents = map(intdash.data.CAN, frame["can_id"].tolist(), frame["data"].tolist())
    elif kind is DataType.nmea:
        contents = map(intdash.data.NMEA, frame["sentence"].tolist())
    elif kind is DataType.general_sensor:
        contents = map(intdash.data.GeneralSensor, frame["sensor_id"].tolist(), frame["data"].tolist())
    elif kind is DataType.float:
        contents = map(intdash.data.Float, ids, frame["value"].tolist())
    else:
        contents = map(intdash.data.String, ids, frame["value"].tolist())
    return [
        DataPoint(pd.Timedelta(elapsed), number, channel, content.to_payload())
        for elapsed, channel, content in zip(elapsed_ns, channels, contents, strict=True)
    ]


def encode_frames(frames: Frames, uuid: str) -> dict[str, bytes]:
    """Typed frames as store bodies, one a data type."""
    bodies = {}
    for kind, frame in frames.items():
        calls = _calls()
        calls.store(uuid, to_points(kind, frame))
        bodies[kind.name] = calls.client.sent
    return bodies


# --- commands ---


def decode_body(body: bytes) -> Frames:
    now = pd.Timestamp(BASETIME_NS, unit="ns", tz="UTC")
    return to_frames([_calls(body).list(start=now, end=now, edge_name="any")])


def decode(path: str, runs: int) -> Any:
    body = body_of(path)
    times, frames = timed(lambda: decode_body(body), runs)
    return {"times": times, "digest": digest(frames)}


def store_encode(path: str, uuid: str, runs: int) -> Any:
    frames = decode_body(body_of(path))
    times, bodies = timed(lambda: encode_frames(frames, uuid), runs)
    return {"times": times, "digest": {name: hashlib.sha256(body).hexdigest() for name, body in bodies.items()}}


def end_to_end(url: str, uuid: str, runs: int, page: int) -> Any:
    client = intdash.Client(url, edge_token=TOKEN)
    start = pd.Timestamp(BASETIME_NS, unit="ns", tz="UTC")
    end = start + pd.Timedelta(days=1)

    def read() -> Frames:
        return to_frames(client.data_points.list(start, end, measurement_uuid=uuid, limit=page, iterator=True))

    times, frames = timed(read, runs)
    return {"times": times, "digest": digest(frames)}


if __name__ == "__main__":
    work({each.__name__: each for each in (decode, store_encode, end_to_end)})
