"""Exports to compare: with parts so small that a short recording has many, and folders as what they hold."""

from __future__ import annotations

import hashlib
import random
import struct
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

import intdash_frames as idf
from intdash_frames.export.export import export
from intdash_frames.export.parts import Limits
from intdash_frames.export.report import ExportReport
from intdash_frames.folder.names import number_of
from tests.frames.stored import Row, can_row, float_row, named, string_row

SMALL = Limits(rows=40, size_bytes=4096)


def export_small(client: idf.Client, source: Any, folder: Path, **options: Any) -> ExportReport:
    """Export in parts of forty points at most."""
    keywords = {name: options.pop(name) for name in ("signals", "start", "end", "edge", "errors", "progress") if name in options}
    asked = client.frames(None if "edge" in keywords else source, **keywords)
    return export(client.connection, asked._query, folder, collect=asked._collect, limits=options.pop("limits", SMALL), **options)


def some_rows(count: int = 600, *, seed: int = 0, span_ns: int = 3 * 10**9) -> list[Row]:
    """A recording of several types, dense in places, with instants that several points share."""
    chance = random.Random(seed)
    rows = []
    for number in range(count):
        elapsed_ns = int(span_ns * chance.choice([chance.random(), 0.3 + chance.random() / 50, 0.5]))
        rows.append(
            chance.choice(
                [
                    float_row(elapsed_ns, number / 7, chance.choice(["speed", "../up", "a=b/c", "速度"])),
                    can_row(elapsed_ns, 0x100 + number % 3, struct.pack("<I", number)),
                    string_row(elapsed_ns, f"say {number}"),
                    Row(elapsed_ns, 200, 3, b"opaque" + struct.pack("<I", number)),
                    Row(elapsed_ns, 11, 2, named("short", b"\x01")),
                ]
            )
        )
    return sorted(rows, key=lambda row: row.elapsed_ns)


def digests(folder: Path) -> dict[str, str]:
    """Every file that is not hidden, by its path, as the SHA-256 of its bytes."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.startswith(".")
    }


def hidden(folder: Path) -> list[str]:
    """The files that readers pass over."""
    return sorted(path.name for path in folder.rglob(".*") if path.is_file())


def stored_points(folder: Path) -> list[tuple[Any, ...]]:
    """The multiset of points in a folder, read by pyarrow alone: (time, type, channel, id, payload)."""
    found = []
    for path in sorted(folder.rglob("*.parquet")):
        table = pq.ParquetFile(path).read()
        kind = number_of(next(part for part in path.parts if part.startswith("data_type=")).removeprefix("data_type="))
        times = table["time"].cast(pa.int64()).to_pylist()
        columns = [table[name].to_pylist() for name in ("channel", "data_id", "payload")]
        found += [(time, kind, *rest) for time, *rest in zip(times, *columns, strict=True)]
    return sorted(found)


def moment(elapsed_ns: int, basetime_ns: int) -> pd.Timestamp:
    return pd.Timestamp(basetime_ns + elapsed_ns, unit="ns", tz="UTC")
