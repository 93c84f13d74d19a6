"""The package's side of the benchmark, a process of its own."""

from __future__ import annotations

import dataclasses
import hashlib
import time
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd
import requests

import intdash_frames as idf
from intdash_frames.client.history import LARGEST_PIECE_BYTES
from intdash_frames.codecs.points import Points, ResponseReader, check_storable, response_frames, store_body
from intdash_frames.codecs.series import SeriesTable
from intdash_frames.frames import build
from intdash_frames.frames.attributes import freeze
from intdash_frames.frames.columns import points_of
from intdash_frames.frames.sheet import sheet_of
from intdash_frames.protocol.endpoints import DATA_LIST, DATA_STORE
from tests.benchmarks.digest import digest
from tests.benchmarks.recording import BASETIME_NS, in_absolute_time, recording
from tests.benchmarks.workers import peak_bytes, timed, work

TOKEN = "token"
SECTION_POINTS = 250_000
META = freeze({"source": {"url": "", "names": ()}, "query": {}})

Frames = Mapping[Any, pd.DataFrame]


@cache
def body_of(path: str) -> bytes:
    return Path(path).read_bytes()


def write_body(path: str, points: int, uuid: str) -> int:
    """Write the answer to a request for a whole recording, and give its size."""
    body = response_frames(in_absolute_time(recording(points, uuid)))
    Path(path).write_bytes(body)
    return len(body)


def read_parts(body: bytes) -> list[Points]:
    """Decode a body in the pieces in which a socket is read."""
    reader = ResponseReader()
    pieces = (body[start : start + LARGEST_PIECE_BYTES] for start in range(0, len(body), LARGEST_PIECE_BYTES))
    parts = [part for piece in pieces if (part := reader.feed(piece)) is not None]
    reader.finish()
    return parts


def to_frames(tables: Mapping[Any, build.Typed]) -> Frames:
    return {kind: build.to_frame(typed, kind, META, "UTC") for kind, typed in tables.items()}


def decode_body(body: bytes) -> Frames:
    """A body as `Frames.by_type` gives it."""
    return to_frames(build.by_type(build.in_time_order(read_parts(body))))


def decode(path: str, runs: int) -> Any:
    body = body_of(path)
    times, frames = timed(lambda: decode_body(body), runs)
    return {"times": times, "digest": digest(frames)}


def decode_stages(path: str, runs: int) -> Any:
    """Processor time of the steps of decoding, the least of some runs [s]."""
    body, stages = body_of(path), {"feed": [], "by_type": [], "to_frame": []}
    for _ in range(runs):
        marks = [time.thread_time()]
        parts = build.in_time_order(read_parts(body))
        marks.append(time.thread_time())
        tables = build.by_type(parts)
        marks.append(time.thread_time())
        to_frames(tables)
        marks.append(time.thread_time())
        for name, start, stop in zip(stages, marks[:-1], marks[1:], strict=True):
            stages[name].append(stop - start)
    return {name: min(times) for name, times in stages.items()}


def encode_frames(frames: Frames, uuid: str) -> dict[str, bytes]:
    """Typed frames as store bodies, one a data type: what `store` does before it sends."""
    bodies = {}
    for kind, frame in frames.items():
        keys = SeriesTable()
        points = Points.concat(points_of(sheet_of(frame), keys, channel=1, signals=None), keys)
        points = dataclasses.replace(points, time_ns=points.time_ns - BASETIME_NS)
        check_storable(points)
        bodies[kind.name] = store_body(points, measurement_uuid=uuid)
    return bodies


def store_encode(path: str, uuid: str, runs: int) -> Any:
    frames = decode_body(body_of(path))
    times, bodies = timed(lambda: encode_frames(frames, uuid), runs)
    return {"times": times, "digest": {name: hashlib.sha256(body).hexdigest() for name, body in bodies.items()}}


def fill(url: str, points: int, repeats: int = 1) -> str:
    """Store a recording, more than once one after the other if asked to; the UUID of its measurement."""
    with idf.Client(url, TOKEN) as client:
        basetime = pd.Timestamp(BASETIME_NS, unit="ns", tz="UTC")
        uuid = client.measurements.create(client.edges.me().uuid, basetime).uuid
        whole = recording(points, uuid)
        length_ns = int(whole.time_ns[-1]) + 1_000_000
        for repeat in range(repeats):
            for start in range(0, points, SECTION_POINTS):
                part = whole.slice(start, min(start + SECTION_POINTS, points))
                moved = Points(part.time_ns + repeat * length_ns, part.series, part.data, part.offsets, part.keys)
                body = store_body(moved, measurement_uuid=uuid, final=False)
                client.connection.call(DATA_STORE, body=body)
    return uuid


def end_to_end(url: str, uuid: str, runs: int) -> Any:
    with idf.Client(url, TOKEN) as client:
        times, frames = timed(lambda: client.frames(uuid, progress=False).by_type(), runs)
    return {"times": times, "digest": digest(frames)}


def download(url: str, uuid: str, runs: int) -> Any:
    """Only the bytes of the same answer, with nothing but requests."""
    with idf.Client(url, TOKEN) as client:
        measurement = client.measurements.get(uuid)
    end_ns = BASETIME_NS + measurement.duration.as_unit("ns").value + 1000
    request = DATA_LIST.request(name=uuid, start=BASETIME_NS, end=end_ns)
    headers = {"X-Edge-Token": TOKEN, "Accept": request.accept}
    times, size = timed(lambda: len(requests.get(url + request.target, headers=headers, timeout=60).content), runs)
    return {"times": times, "bytes": size}


# Each in a process that does nothing else. The same sink on a small measurement is the baseline: all modules, all kernels.
SINKS: Mapping[str, Callable[[Any], Any]] = {
    "to_arrow": lambda frames: frames.to_arrow(),
    "by_type": lambda frames: frames.by_type(),
    "to_batches": lambda frames: sum(len(batch) for batch in frames.to_batches()),
}


def peak(url: str, uuid: str, sink: str) -> Any:
    """Peak memory of one sink, and the size of the Arrow table of the same points [bytes]."""
    with idf.Client(url, TOKEN) as client:
        frames = client.frames(uuid, progress=False)
        result = SINKS[sink](frames)
        peak = peak_bytes()
        arrow = 0 if sink == "to_batches" else frames.to_arrow().nbytes
        rows = result if sink == "to_batches" else frames.report.points
    return {"peak_bytes": peak, "arrow_bytes": arrow, "points": rows}


if __name__ == "__main__":
    work({each.__name__: each for each in (write_body, decode, decode_stages, store_encode, fill, end_to_end, download, peak)})
