"""A server with recordings of every kind, and the folder that was exported from it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

import intdash_frames as idf
from intdash_frames import DataType
from intdash_frames.export.export import export
from intdash_frames.export.parts import Limits
from tests.export.exporting import some_rows
from tests.frames.stored import BASETIME_NS, Row, golden_rows, store_rows

LABELS = ("count", "said", "nobody")
TYPES = 16


@dataclass
class Recorded:
    """What is on the server."""

    golden: str
    dense: str
    overlapping: str
    elsewhere: str
    days_later: str

    @property
    def uuids(self) -> list[str]:
        return [self.golden, self.dense, self.overlapping, self.elsewhere, self.days_later]


def apart(rows: list[Row]) -> list[Row]:
    """Rows whose data types share no instant, since a folder does not keep which of them came first."""
    numbers = {data_type: number for number, data_type in enumerate(sorted({row.data_type for row in rows}))}
    moved = [row._replace(elapsed_ns=row.elapsed_ns // TYPES * TYPES + numbers[row.data_type]) for row in rows]
    return sorted(moved, key=lambda row: row.elapsed_ns)


def record(client: idf.Client) -> Recorded:
    """Store measurements of two edges, with base times, markers and signals."""
    display = idf.Display("km/h", 0.0, 300.0, "%.1f")
    client.signals.create(
        "count", DataType.can, "00000100", 1, idf.ConversionNumFixedPoint(0, 32, "little", "unsigned", 0.5, 1.0), display, "half"
    )
    client.signals.create("said", DataType.string, "note", 1, idf.ConversionSubString(4, 3), display)
    (other,) = client.edges.list(name='"other"')
    golden = store_rows(client, golden_rows(), basetime_ns=BASETIME_NS)
    dense = store_rows(client, apart(some_rows(400, seed=1)), basetime_ns=BASETIME_NS + 64 * 10**9)
    overlapping = store_rows(client, apart(some_rows(300, seed=2)), basetime_ns=BASETIME_NS + 65 * 10**9)
    elsewhere = store_rows(client, apart(some_rows(60, seed=3)), basetime_ns=BASETIME_NS + 65 * 10**9, edge_uuid=other.uuid)
    days_later = store_rows(client, apart(some_rows(80, seed=4)), basetime_ns=BASETIME_NS + 3 * 86_400 * 10**9)
    client.measurement_basetimes.update(dense, pd.Timestamp(BASETIME_NS + 77, unit="ns", tz="UTC"), "ntp")
    detail = idf.MeasurementMarkerDetailRange(pd.Timedelta("1s"), pd.Timedelta("2s"))
    client.measurement_markers.create(dense, "range", detail, "curve", "left", {"a": "b"})
    client.measurement_markers.create(dense, "point", idf.MeasurementMarkerDetailPoint(pd.Timedelta("1ms")), "走行")
    client.measurements.update(dense, name="dense drive", description="with rain", ended=True)
    client.measurements.protect(overlapping)
    return Recorded(golden, dense, overlapping, elsewhere, days_later)


def export_all(client: idf.Client, recorded: Recorded, folder: Path) -> None:
    """Export everything, in parts of forty points at most."""
    query = client.frames(recorded.uuids)._query
    export(client.connection, query, folder, limits=Limits(rows=40, size_bytes=4096))


def without_url(attrs: Any, url: str) -> Any:
    """What a frame says of itself, whatever it was read from."""
    text = repr(attrs)
    assert url in text
    return text.replace(url, "URL")
