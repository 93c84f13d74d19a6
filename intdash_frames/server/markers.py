"""Markers: notes at a moment or a stretch of a measurement, as fields in and records out.

Source: protocol 2.5 and appendix B.
"""

from __future__ import annotations

import dataclasses
import json
import time
import uuid as uuid_module
from collections.abc import Mapping, Sequence
from typing import Any

import duckdb

from intdash_frames.errors import UsageError
from intdash_frames.model import Measurement, MeasurementMarker, MeasurementMarkerType, load
from intdash_frames.model.records import MARKER_DETAILS
from intdash_frames.protocol.call import count
from intdash_frames.server.arguments import exact_keys, texts_only
from intdash_frames.server.catalogue import id_of
from intdash_frames.server.store import Refused, Store, one
from intdash_frames.timebase import INT64_MAX, to_iso, to_micro

__all__ = [
    "create_marker",
    "delete_marker",
    "delete_markers",
    "detail_keys",
    "marker",
    "markers",
    "measurement_of",
    "update_marker",
    "with_markers",
]

_MARKER = (
    "SELECT m.uuid, k.uuid, k.name, k.description, k.type, k.start_us, k.end_us, k.tag, k.created_ns, k.created_by, k.updated_ns,"
    " k.updated_by FROM markers k JOIN measurements m ON m.id = k.measurement_id"
)
_OLDEST_FIRST = "ORDER BY k.created_ns, k.uuid"


def _marker(row: tuple[Any, ...]) -> MeasurementMarker:
    _, uuid, name, description, kind, start_us, end_us, tag, created_ns, created_by, updated_ns, updated_by = row
    return load(
        MeasurementMarker,
        {
            "uuid": uuid,
            "name": name,
            "description": description,
            "type": kind,
            # a point has one time, so the second is left over
            "detail": dict(zip(detail_keys(kind), (start_us, end_us), strict=False)),
            "tag": json.loads(tag),
            "created_at": to_iso(created_ns),
            "created_by": created_by,
            "updated_at": to_iso(updated_ns),
            "updated_by": updated_by,
        },
    )


def detail_keys(kind: str) -> list[str]:
    """The names of the times of a marker, in the order of the columns."""
    return [each.name for each in dataclasses.fields(MARKER_DETAILS[MeasurementMarkerType(kind)])]


def _row(cursor: duckdb.DuckDBPyConnection, uuid: str, measurement_uuid: str | None) -> tuple[Any, ...]:
    row = one(cursor, f"{_MARKER} WHERE k.uuid = ?", [uuid])
    if row is None:
        raise Refused(404, f"no marker {uuid!r}")
    if measurement_uuid not in (None, row[0]):
        raise Refused(404, f"marker {uuid!r} is one of measurement {row[0]}, not of {measurement_uuid!r}")
    return row


def marker(cursor: duckdb.DuckDBPyConnection, uuid: str, measurement_uuid: str | None = None) -> MeasurementMarker:
    """One marker; with `measurement_uuid`, only if it is one of that measurement.

    Raises
    ------
    Refused
        404.
    """
    return _marker(_row(cursor, uuid, measurement_uuid))


def measurement_of(cursor: duckdb.DuckDBPyConnection, uuid: str) -> str:
    """The uuid of the measurement that a marker is in.

    Raises
    ------
    Refused
        404.
    """
    return str(_row(cursor, uuid, None)[0])


def markers(cursor: duckdb.DuckDBPyConnection, measurement_uuid: str) -> list[MeasurementMarker]:
    """The markers of a measurement, in the order in which they were made.

    Raises
    ------
    Refused
        404 if there is no such measurement.
    """
    rows = cursor.execute(f"{_MARKER} WHERE m.id = ? {_OLDEST_FIRST}", [id_of(cursor, measurement_uuid)]).fetchall()
    return [_marker(row) for row in rows]


def with_markers(cursor: duckdb.DuckDBPyConnection, measurements: Sequence[Measurement]) -> list[Measurement]:
    """Give measurements the lists of their markers, by one query for all."""
    uuids = [each.uuid for each in measurements]
    rows = cursor.execute(f"{_MARKER} WHERE list_contains(?::VARCHAR[], m.uuid) {_OLDEST_FIRST}", [uuids]).fetchall()
    found: dict[str, list[MeasurementMarker]] = {uuid: [] for uuid in uuids}
    for row in rows:
        found[row[0]].append(_marker(row))
    return [dataclasses.replace(each, markers=found[each.uuid]) for each in measurements]


def create_marker(
    store: Store,
    measurement_uuid: str,
    caller: str,
    *,
    type: str,
    detail: Mapping[str, Any],
    name: str = "",
    description: str = "",
    tag: Mapping[str, Any] | None = None,
) -> str:
    """Make a marker.

    Parameters
    ----------
    store : Store
    measurement_uuid : str
    caller : str
        Uuid of the edge that makes it.
    type : {"point", "range"}
    detail : mapping
        The times since the base time, in whole microseconds, by the names that they have for this type. They may lie behind the
        last point: more may come.
    name, description : str
    tag : mapping of str to str, optional

    Returns
    -------
    str
        Its uuid.

    Raises
    ------
    Refused
        404 for no such measurement, 400 for a detail that is not of the type, has a time that is negative or out of order, or a
        tag whose values are not all text.
    """
    times_us, tag_text = _times(type, detail), _tag(tag or {})
    uuid, now_ns = str(uuid_module.uuid4()), time.time_ns()
    with store.write() as cursor:
        measurement_id = id_of(cursor, measurement_uuid)
        cursor.execute(
            "INSERT INTO markers VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [uuid, measurement_id, name, description, type, *times_us, tag_text, now_ns, caller, now_ns, caller],
        )
    return uuid


def update_marker(store: Store, uuid: str, caller: str, changes: Mapping[str, Any], measurement_uuid: str | None = None) -> None:
    """Change some of what `create_marker` takes: a tag as a whole, another type only with the detail that belongs to it.

    Raises
    ------
    Refused
        404 for no such marker, or one of another measurement than `measurement_uuid`; 400 as `create_marker`.
    """
    columns = {name: changes[name] for name in ("name", "description", "type") if name in changes}
    if "tag" in changes:
        columns["tag"] = _tag(changes["tag"])
    with store.write() as cursor:
        kind = _row(cursor, uuid, measurement_uuid)[4]
        if "detail" in changes or columns.get("type", kind) != kind:
            columns["start_us"], columns["end_us"] = _times(columns.get("type", kind), changes.get("detail"))
        columns |= {"updated_ns": time.time_ns(), "updated_by": caller}
        changed = ", ".join(f"{column} = ?" for column in columns)
        cursor.execute(f"UPDATE markers SET {changed} WHERE uuid = ?", [*columns.values(), uuid])


def delete_marker(store: Store, uuid: str, measurement_uuid: str | None = None) -> None:
    """Remove a marker.

    Raises
    ------
    Refused
        404 for no such marker, or one of another measurement than `measurement_uuid`.
    """
    with store.write() as cursor:
        _row(cursor, uuid, measurement_uuid)
        cursor.execute("DELETE FROM markers WHERE uuid = ?", [uuid])


def delete_markers(store: Store, measurement_uuid: str) -> None:
    """Remove all markers of a measurement.

    Raises
    ------
    Refused
        404 if there is no such measurement.
    """
    with store.write() as cursor:
        cursor.execute("DELETE FROM markers WHERE measurement_id = ?", [id_of(cursor, measurement_uuid)])


def _times(kind: str, detail: Any) -> tuple[int, int | None]:
    """Check the detail of a marker and give its times [us]; a point has one."""
    keys = detail_keys(kind)
    exact_keys(f"detail of a {kind}", detail, keys)
    for key in keys:
        try:
            too_late = count(detail[key]) > to_micro(INT64_MAX)
        except UsageError as exc:
            raise Refused(400, f"detail: {key}: {exc}; whole microseconds since the base time") from exc
        if too_late:
            raise Refused(400, f"detail: {key} is {detail[key]} us, which 64 bits of nanoseconds do not hold")
    start_us, end_us = detail[keys[0]], detail[keys[-1]]
    if start_us > end_us:
        raise Refused(400, f"detail: {keys[0]} is {start_us}, expected no more than {keys[-1]}, which is {end_us}")
    return start_us, end_us if len(keys) > 1 else None


def _tag(tag: Mapping[str, Any]) -> str:
    texts_only("tag", tag)
    return json.dumps(tag)
