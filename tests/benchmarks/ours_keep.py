"""The package's side of the benchmark of folders: each call in a process of its own."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import Any

import requests

import intdash_frames as idf
from intdash_frames.protocol.endpoints import DATA_LIST
from tests.benchmarks.ours import TOKEN, fill
from tests.benchmarks.recording import BASETIME_NS
from tests.benchmarks.workers import peak_bytes, work

WARM_UP_POINTS = 1000
PIECE_BYTES = 1 << 20


def warm_up(url: str, path: str) -> None:
    """Load what is compiled and what is imported on use."""
    export(url, fill(url, WARM_UP_POINTS), path)


def export(url: str, uuid: str, path: str) -> dict[str, Any]:
    """Export a measurement into a new folder."""
    with idf.Client(url, TOKEN) as client:
        start = time.perf_counter()
        report = client.export(uuid, path, progress=False)
        wall_s = time.perf_counter() - start
    if not report.complete:
        raise RuntimeError(f"an export is not complete: {report}")
    return {"wall_s": wall_s, "points": report.points, "peak_bytes": peak_bytes()}


def download(url: str, uuid: str) -> dict[str, float]:
    """Only the bytes of the same answer, with nothing but requests: kept, as a script would, and thrown away as they come."""
    with idf.Client(url, TOKEN) as client:
        measurement = client.measurements.get(uuid)
    request = DATA_LIST.request(name=uuid, start=BASETIME_NS, end=BASETIME_NS + measurement.duration.as_unit("ns").value + 1000)
    headers = {"X-Edge-Token": TOKEN, "Accept": request.accept}
    marks = [time.perf_counter()]
    requests.get(url + request.target, headers=headers, timeout=60).content  # noqa: B018
    marks.append(time.perf_counter())
    with requests.get(url + request.target, headers=headers, timeout=60, stream=True) as answer:
        answer.raise_for_status()
        while answer.raw.read(PIECE_BYTES):
            pass
    marks.append(time.perf_counter())
    return {"kept_s": marks[1] - marks[0], "discarded_s": marks[2] - marks[1]}


def import_(url: str, path: str) -> dict[str, Any]:
    """Import a folder once more, as a new measurement."""
    copy = Path(f"{path}-copy")
    shutil.rmtree(copy, ignore_errors=True)  # what was imported from a folder is written down in it
    shutil.copytree(path, copy)
    with idf.Client(url, TOKEN) as client:
        start = time.perf_counter()
        report = client.import_(copy, progress=False)
        wall_s = time.perf_counter() - start
    return {"wall_s": wall_s, "points": report.points}


if __name__ == "__main__":
    work({each.__name__: each for each in (warm_up, export, download, import_, fill)})
