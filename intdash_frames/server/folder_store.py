"""An exported folder as a `Store`: its tables are filled from the manifest, its points stay in their files."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from intdash_frames import timebase
from intdash_frames.errors import UsageError
from intdash_frames.folder.manifest import Manifest, read_manifest
from intdash_frames.folder.names import number_of
from intdash_frames.model import BasetimeType, EdgeType, MeasurementMarkerType
from intdash_frames.server.definitions import definition_columns
from intdash_frames.server.markers import detail_keys
from intdash_frames.server.recordings import Recordings
from intdash_frames.server.store import Store

__all__ = ["folder_store"]


def folder_store(path: str | Path) -> Store:
    """Open an exported folder as a store that can be read and not written.

    Parameters
    ----------
    path : str or Path
        The folder of an export that came to its end.

    Raises
    ------
    UsageError
        If it is none. Whether its files are whole shows when they are read.
    """
    folder = Path(path).resolve()
    manifest = read_manifest(folder)
    if manifest is None:
        raise UsageError(f"{str(path)!r} has no manifest.json; expected the folder of an export that came to its end")
    try:
        for file in manifest.files:
            number_of(file.data_type)
        recordings = Recordings(folder, manifest)
        store = Store(recordings=recordings)
        try:
            with store.change() as cursor:
                _fill(cursor, manifest, recordings)
        except BaseException:
            store.close()
            raise
    except (ValueError, KeyError, TypeError, AttributeError, duckdb.Error) as exc:
        if isinstance(exc, UsageError):
            raise
        raise UsageError(f"the manifest of {str(path)!r} does not say what it has to ({exc!r}); export anew") from exc
    return store


def _fill(cursor: duckdb.DuckDBPyConnection, manifest: Manifest, recordings: Recordings) -> None:
    rows: dict[str, list[dict[str, Any]]] = {name: [] for name in ("edges", "measurements", "basetimes", "markers", "signals")}
    for uuid in sorted({described["record"]["edge_uuid"] for described in manifest.measurements.values()}):
        # The first folders do not say how their edges are called.
        rows["edges"].append(_edge(manifest.edges.get(uuid, {"uuid": uuid, "name": uuid, "nickname": uuid})))
    # What was made first has the lowest number, as on a server: it decides among points of one instant.
    in_order = sorted(manifest.measurements.items(), key=lambda item: (_ns(item[1]["record"], "created_at"), item[0]))
    for number, (_, described) in enumerate(in_order, 1):
        rows["measurements"].append(_measurement(number, described["record"], recordings))
        rows["basetimes"] += ({"measurement_id": number, **each} for each in _basetimes(described))
        known = (each for each in described["markers"] if each["type"] in list(MeasurementMarkerType))
        rows["markers"] += ({"measurement_id": number, **_marker(each)} for each in known)
    for signal in manifest.signals:
        rows["signals"].append({**definition_columns(signal), **_same(signal, "uuid", "hash"), **_times(signal)})
    for name, records in rows.items():
        _insert(cursor, name, records)


def _insert(cursor: duckdb.DuckDBPyConnection, table: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert rows at once: one by one, thousands of measurements would take seconds."""
    if rows:
        cursor.register("incoming", pa.Table.from_pylist(rows))
        cursor.execute(f"INSERT INTO {table} BY NAME SELECT * FROM incoming")
        cursor.unregister("incoming")


def _ns(record: Mapping[str, Any], name: str) -> int:
    """A moment of a record [ns since the epoch]; 0 if it has none."""
    time_ns = timebase.from_iso(record.get(name))
    return 0 if time_ns is None else time_ns


def _same(record: Mapping[str, Any], *names: str) -> dict[str, str]:
    return {name: record.get(name) or "" for name in names}


def _times(record: Mapping[str, Any]) -> dict[str, int]:
    return {"created_ns": _ns(record, "created_at"), "updated_ns": _ns(record, "updated_at")}


def _edge(record: Mapping[str, Any]) -> dict[str, Any]:
    kind = record.get("type")
    return {
        **_same(record, "uuid", "name", "description", "nickname"),
        "type": kind if kind in list(EdgeType) else EdgeType.device.value,
        "disabled": bool(record.get("disabled")),
        **_times(record),
    }


def _measurement(number: int, record: Mapping[str, Any], recordings: Recordings) -> dict[str, Any]:
    last_ns = recordings.last_ns(record["uuid"])
    # The record has whole microseconds; what lies behind them is for the points to say.
    elapsed_ns = 0 if last_ns is None else last_ns - _ns(record, "basetime")
    return {
        "id": number,
        **_same(record, "uuid", "name", "description", "edge_uuid", "basetime_type"),
        "last_elapsed_ns": max(timebase.from_micro(record["duration"] or 0), elapsed_ns),
        "ended": bool(record["ended"]),
        "protected": bool(record["protected"]),
        **_times(record),
        "in_order": True,
        "largest_payload": 0,
    }


def _basetimes(described: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The base times of a measurement, the one in use among them in any case."""
    record = described["record"]
    entries = [
        each for each in described["basetimes"] if each["basetime"] is not None and each["type"] in BasetimeType.__members__
    ]
    if record["basetime"] is not None and all(each["type"] != record["basetime_type"] for each in entries):
        entries.append({"type": record["basetime_type"], **record})
    return [{"type": each["type"], "basetime_ns": _ns(each, "basetime"), **_times(each)} for each in entries]


def _marker(record: Mapping[str, Any]) -> dict[str, Any]:
    moments = [record["detail"][key] for key in detail_keys(record["type"])]
    return {
        **_same(record, "uuid", "name", "description", "type", "created_by", "updated_by"),
        "start_us": moments[0],
        "end_us": moments[1] if len(moments) > 1 else None,
        "tag": json.dumps(record.get("tag") or {}),
        **_times(record),
    }
