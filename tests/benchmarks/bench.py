"""`make bench`: this package and the vendor's SDK on the same bodies, in one run. Prints a table, writes build/benchmark.json.

The numbers are medians of wall time; both sides run by turns, so that what else the machine does falls on both. A row also has
the ratio of processor times, which a busy machine hardly changes. Nothing here fails: a target that is missed says so.
"""

from __future__ import annotations

import argparse
import datetime as dt
import importlib.metadata
import json
import os
import platform
import statistics
import subprocess
import tempfile
from collections.abc import Callable, Collection, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tests.benchmarks.engines import engines
from tests.benchmarks.keep import RECORDING_POINTS, keep
from tests.benchmarks.live import live
from tests.benchmarks.streaming import streams
from tests.benchmarks.table import HEADER, Row, by_turns, line, megabytes, seconds, versus
from tests.benchmarks.workers import OURS, REFERENCE, ROOT, Worker, medians

UUID = "6f1c0f34-5a5c-4a0e-9d0b-6f3a7a0c2e11"
BATCHES_REPEATS = 10
PAGE_POINTS = 100_000
PARTS = ("decode", "store_encode", "end_to_end", "memory", "streams", "live", "keep", "engines", "import")


@dataclass(frozen=True, slots=True)
class Options:
    """How much to measure.

    Attributes
    ----------
    sizes : tuple of int
        Points of the recordings.
    parts : tuple of str
        Of `PARTS`.
    our_runs : int
        Timed runs on our side, half of them before each run of the reference and half after.
    reference_runs : tuple of int
        Timed runs of the reference, for each size.
    stream_seconds : float
        How long points are streamed at a pace or at full speed [s].
    callback_points : int
        Points that are streamed one by one.
    live_seconds : float
        How long points are sent to a live view at a pace [s].
    looks : int
        How often a live view is looked at in each way.
    keep_repeats : tuple of int
        Lengths of the measurements that are exported, in recordings one after the other.
    keep_points : int
        Points of such a recording.
    engine_points : int
        Points of the recording that Dask reads.
    imports : int
        Interpreters started for each of the two imports.
    """

    sizes: tuple[int, ...] = (100_000, 1_000_000)
    parts: tuple[str, ...] = PARTS
    our_runs: int = 10
    reference_runs: tuple[int, ...] = (3, 1)
    stream_seconds: float = 10
    callback_points: int = 50_000
    live_seconds: float = 60
    looks: int = 50
    keep_repeats: tuple[int, ...] = (1, 10, 50)
    keep_points: int = RECORDING_POINTS
    engine_points: int = 8_000_000
    imports: int = 15


# --- parts ---


def bodies(options: Options, folder: Path, ours: Worker, reference: Worker) -> Iterator[Row]:
    """Decoding and encoding alone, from memory to memory."""
    for points, reference_runs in zip(options.sizes, options.reference_runs, strict=True):
        path = str(folder / f"answer-{points}.bin")
        ours.ask("write_body", path=path, points=points, uuid=UUID)
        if "decode" in options.parts:
            turns = by_turns(
                lambda runs, path=path: ours.ask("decode", path=path, runs=runs),
                lambda runs, path=path: reference.ask("decode", path=path, runs=runs),
                options.our_runs,
                reference_runs,
            )
            yield versus("decode", points, ">= 100", turns)
        if "store_encode" in options.parts:
            turns = by_turns(
                lambda runs, path=path: ours.ask("store_encode", path=path, uuid=UUID, runs=runs),
                lambda runs, path=path: reference.ask("store_encode", path=path, uuid=UUID, runs=runs),
                options.our_runs,
                reference_runs,
            )
            yield versus("store-encode", points, ">= 50", turns)


def over_loopback(options: Options, url: str, ours: Worker, reference: Worker) -> Iterator[Row]:
    """From the server's socket to typed frames, and the plain download of the same bytes."""
    for points, reference_runs in zip(options.sizes, options.reference_runs, strict=True):
        where = {"url": url, "uuid": ours.ask("fill", url=url, points=points)}
        downloads: list[dict[str, float]] = []

        def read(runs: int, where: dict[str, str] = where, downloads: list[dict[str, float]] = downloads) -> Any:
            answer = ours.ask("end_to_end", **where, runs=runs)
            downloads.extend(ours.ask("download", **where, runs=runs)["times"])
            return answer

        turns = by_turns(
            read,
            lambda runs, where=where: reference.ask("end_to_end", **where, runs=runs, page=PAGE_POINTS),
            options.our_runs,
            reference_runs,
        )
        yield versus("end to end", points, ">= 40", turns)
        mine, plain = turns[0], medians(downloads[1:])
        yield Row(
            "end to end, ours / plain download",
            points,
            seconds(mine["wall_s"]),
            seconds(plain["wall_s"]),
            mine["wall_s"] / plain["wall_s"],
            "<= 2.5",
        )


def memory(options: Options, url: str, ours: Worker) -> Iterator[Row]:
    """Peak memory over that of a process that does the same with a handful of points."""
    points = max(options.sizes)
    small, large = ours.ask("fill", url=url, points=1000), ours.ask("fill", url=url, points=points)

    def answer_of(sink: str, uuid: str) -> dict[str, int]:
        with Worker(OURS, "tests.benchmarks.ours") as worker:
            answer: dict[str, int] = worker.ask("peak", url=url, uuid=uuid, sink=sink)
            return answer

    def added(sink: str, uuid: str) -> tuple[int, dict[str, int]]:
        answer_of(sink, small)  # compiles what no cache has yet, which takes more memory than anything after it
        before, after = answer_of(sink, small), answer_of(sink, uuid)
        return after["peak_bytes"] - before["peak_bytes"], after

    for sink in ("to_arrow", "by_type"):
        over, answer = added(sink, large)
        arrow = answer["arrow_bytes"]
        yield Row(f"peak memory of {sink}() / Arrow", points, megabytes(over), megabytes(arrow), over / arrow, "<= 3")
    many = ours.ask("fill", url=url, points=points, repeats=BATCHES_REPEATS)
    over, answer = added("to_batches", many)
    yield Row("peak memory of to_batches() [MB]", answer["points"], megabytes(over), "", over / 1e6, "<= 300")


def imports(options: Options) -> Iterator[Row]:
    """Fresh interpreters by turns."""
    times: dict[str, list[float]] = {"intdash_frames": [], "pandas": []}
    for _ in range(options.imports):
        for name, seen in times.items():
            code = f"import time; start = time.perf_counter(); import {name}; print(time.perf_counter() - start)"
            seen.append(float(subprocess.run([OURS, "-c", code], capture_output=True, check=True, cwd=ROOT).stdout))
    ours, pandas = (statistics.median(seen) for seen in times.values())
    yield Row("import, ours / pandas", 0, seconds(ours), seconds(pandas), ours / pandas, "<= 1.3")


def measure(options: Options) -> Iterator[Row]:
    """Do everything that `options` ask for, a row as soon as it is known."""
    parts = set(options.parts)
    with tempfile.TemporaryDirectory() as name, Worker(OURS, "tests.benchmarks.ours") as ours:
        folder = Path(name)
        if parts & {"decode", "store_encode"}:
            with Worker(REFERENCE, "tests.benchmarks.peer") as reference:
                yield from bodies(options, folder, ours, reference)
        if parts & {"end_to_end", "memory", "streams", "live", "keep", "engines"}:
            with Worker(OURS, "tests.benchmarks.serving") as server:
                url = server.ask("start", data=str(folder / "bench.duckdb"))
                if "end_to_end" in parts:
                    with Worker(REFERENCE, "tests.benchmarks.peer") as reference:
                        yield from over_loopback(options, url, ours, reference)
                if "memory" in parts:
                    yield from memory(options, url, ours)
                if "streams" in parts:
                    yield from streams(url, seconds=options.stream_seconds, callback_points=options.callback_points)
                if "live" in parts:
                    amount = {"looks": options.looks, "reference_points": options.callback_points}
                    yield from live(url, folder, seconds=options.live_seconds, **amount)
                if "keep" in parts:
                    yield from keep(url, folder, repeats=options.keep_repeats, recording=options.keep_points)
                if "engines" in parts:
                    yield from engines(url, folder / "engines", points=options.engine_points)
    if "import" in parts:
        yield from imports(options)


# --- what is shown and kept ---


def machine() -> dict[str, Any]:
    """Where this ran."""
    packages = ("intdash-frames", "numba", "numpy", "pandas", "pyarrow", "duckdb", "requests")
    return {
        "when": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        "system": platform.platform(),
        "processor": platform.processor() or platform.machine(),
        "processors": os.cpu_count(),
        "load": os.getloadavg()[0],
        "python": platform.python_version(),
        "packages": {name: importlib.metadata.version(name) for name in packages},
    }


def run(options: Options, out: Path, show: Callable[[str], object] = print) -> dict[str, Any]:
    """Measure, show each row, write the file.

    Parameters
    ----------
    options : Options
    out : Path
        JSON file; its folder is made.
    show : callable
        Takes each line.

    Returns
    -------
    dict
        What was written: ``machine``, ``options``, ``rows``.
    """
    show(HEADER)
    rows = []
    for row in measure(options):
        show(line(row))
        rows.append(asdict(row) | {"met": row.met})
    report = {"machine": machine(), "options": asdict(options), "rows": rows}
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    return report


def main(arguments: Collection[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Measure this package against the vendor's SDK.")
    parser.add_argument(
        "--quick",
        action="store_true",
        help="100,000 points (folders and Dask: 1 million), 3 s of streams, 10 s of live data, no memory",
    )
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS, metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "benchmark.json", help="where to write the numbers")
    chosen = parser.parse_args(None if arguments is None else list(arguments))
    if not REFERENCE.exists():
        parser.error(f"the vendor's SDK is not installed in {REFERENCE.parents[1].name}: run `make interop`")
    parts = tuple(part for part in chosen.only if not (chosen.quick and part == "memory"))
    quick = Options(
        sizes=(100_000,),
        parts=parts,
        reference_runs=(3,),
        stream_seconds=3,
        callback_points=20_000,
        live_seconds=10,
        keep_repeats=(1, 2),
        keep_points=500_000,
        engine_points=1_000_000,
    )
    options = quick if chosen.quick else Options(parts=parts)
    run(options, chosen.out)
    print(f"written to {chosen.out}")


if __name__ == "__main__":
    main()
