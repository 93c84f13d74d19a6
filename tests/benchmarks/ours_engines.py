"""The package's side of the engines part, a process of its own; Dask's workers are others."""

from __future__ import annotations

import os
import time
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import requests

import intdash_frames as idf
from tests.benchmarks.ours import TOKEN, fill
from tests.benchmarks.ours_keep import export
from tests.benchmarks.workers import work

PARTITIONS = 16


def summed(frame: pd.DataFrame) -> pd.DataFrame:
    """What an analysis makes of a partition: numbers of each signal by the second, then something of every other column."""
    by_second = frame.groupby(["data_id", frame.index.floor("s")], observed=True)
    numbers = by_second[["float.value", "can.can_id", "can.dlc"]].agg(["count", "mean", "min", "max", "std"]).count().sum()
    texts = sum(int(frame[name].count()) for name in ("can.data", "nmea.sentence", "string.value", "general_sensor.sensor_id"))
    return pd.DataFrame({"points": [len(frame)], "sum": [float(numbers + texts)]})


def with_dask(source: str, uuid: str, workers: int) -> Any:
    """Read a recording once, from a server or a folder, with so many worker processes that have done so for a bit of it."""
    from distributed import Client, LocalCluster

    os.environ["INTDASH_EDGE_TOKEN"] = TOKEN
    meta = pd.DataFrame({"points": np.zeros(0, np.int64), "sum": np.zeros(0)})
    with (
        idf.Client(source, TOKEN) if "://" in source else idf.open(source) as client,
        LocalCluster(
            n_workers=workers, threads_per_worker=1, processes=True, dashboard_address="127.0.0.1:0", host="127.0.0.1"
        ) as cluster,
        Client(cluster) as dask,
    ):
        f = client.frames(uuid, progress=False)
        lazy = f.to_dask(PARTITIONS)
        task = lazy.map_partitions(summed, meta=meta, enforce_metadata=False)
        few = f.partitions(1000)[0]
        dask.run(lambda: len(few.frames().to_pandas()))  # on every worker: modules and compiled kernels are loaded
        before = dask.run(time.process_time)
        start = time.perf_counter()
        parts = dask.compute(task, sync=True)
        wall_s = time.perf_counter() - start
        busiest_s = max(cpu_s - before[worker] for worker, cpu_s in dask.run(time.process_time).items())
    return {
        "times": [{"wall_s": wall_s, "cpu_s": busiest_s}],
        "points": int(parts["points"].sum()),
        "sum": round(float(parts["sum"].sum()), 3),
    }


class Counting(requests.Session):
    """Counts the bytes of all bodies that come, whatever they are of."""

    def __init__(self) -> None:
        super().__init__()
        self.answers: list[requests.Response] = []

    def send(self, request: requests.PreparedRequest, **options: Any) -> requests.Response:
        response = super().send(request, **options)
        self.answers.append(response)
        return response

    @property
    def bytes(self) -> int:
        return sum(each.raw.tell() for each in self.answers)


def one_signal(url: str, signals: int, points: int) -> Any:
    """Bytes that polars fetches for one signal among many, and those of the signal alone."""
    index = pd.to_timedelta(np.arange(points) * 1_000_000, unit="ns")
    frame = pd.DataFrame({f"signal_{number:03d}": np.arange(points, dtype=float) for number in range(signals)}, index=index)
    with Counting() as session, idf.Client(url, TOKEN, session=session) as client:
        uuid = client.measurements.create(client.edges.me().uuid, pd.Timestamp("2024-01-01T00:00:00Z")).uuid
        idf.store(frame, uuid, client=client, progress=False)
        alone = client.frames(uuid, "float:1/signal_042", progress=False)
        alone.to_arrow()
        before = session.bytes
        lazy = client.frames(uuid, progress=False).lazy().filter(pl.col("data_id") == "signal_042").select("time", "value")
        if lazy.collect().height != points:
            raise SystemExit("polars did not get the points of the signal")
        return {"bytes": session.bytes - before, "own_bytes": alone.report.bytes}


if __name__ == "__main__":
    work({each.__name__: each for each in (export, fill, with_dask, one_signal)})
