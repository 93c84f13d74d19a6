"""Captures: named stretches of time, as fields in and records out.

Source: protocol 2.7.
"""

from __future__ import annotations

import time
import uuid as uuid_module
from collections.abc import Mapping
from typing import Any, Final

import duckdb

from intdash_frames.model import Capture
from intdash_frames.server.catalogue import Page, Where, page_of
from intdash_frames.server.store import Refused, Store, one
from intdash_frames.timebase import INT64_MAX, timedelta, timestamp

__all__ = [
    "CAPTURE_SORTS",
    "capture",
    "captures",
    "create_capture",
    "delete_capture",
    "of_caller",
    "update_capture",
]

CAPTURE_SORTS = {
    "name": "name",
    "description": "description",
    "start": "start_ns",
    "duration": "duration_ns",
    "created_at": "created_ns",
    "updated_at": "updated_ns",
}
# What a client says of a capture -> column.
COLUMNS: Final = {
    "name": "name",
    "description": "description",
    "start": "start_ns",
    "duration": "duration_ns",
    "shared": "shared",
}

_CAPTURE = "SELECT uuid, name, description, start_ns, duration_ns, edge_uuid, shared, created_ns, updated_ns"


def _capture(row: tuple[Any, ...]) -> Capture:
    uuid, name, description, start_ns, duration_ns, edge_uuid, shared, created_ns, updated_ns = row
    return Capture(
        uuid=uuid,
        name=name,
        description=description,
        start=timestamp(start_ns),
        duration=timedelta(duration_ns),
        edge_uuid=edge_uuid,
        shared=shared,
        created_at=timestamp(created_ns),
        updated_at=timestamp(updated_ns),
    )


def of_caller(caller: str) -> Where:
    """The captures that an edge gets to see: its own and those of devices, not those of other users.

    Notes
    -----
    Source: protocol 2.7, which says so of lists; the same holds here for a single one. What `shared` changes is not documented;
    here, nothing.
    """
    where = Where()
    where.add("(edge_uuid = ? OR edge_uuid IN (SELECT uuid FROM edges WHERE type = 'device'))", caller)
    return where


def capture(cursor: duckdb.DuckDBPyConnection, uuid: str, caller: str) -> Capture:
    """One capture, if `caller` gets to see it.

    Raises
    ------
    Refused
        404.
    """
    where = of_caller(caller)
    where.add("uuid = ?", uuid)
    row = one(cursor, f"{_CAPTURE} FROM captures WHERE {' AND '.join(where.conditions)}", where.values)
    if row is None:
        raise Refused(404, f"no capture {uuid!r} of your own or of a device; GET /api/v1/captures lists them")
    return _capture(row)


def captures(cursor: duckdb.DuckDBPyConnection, where: Where, page: Page) -> tuple[list[Capture], int]:
    """A page of captures, and how many there are in all."""
    rows, total = page_of(cursor, _CAPTURE, "FROM captures", where, page)
    return [_capture(row) for row in rows], total


def create_capture(store: Store, caller: str, fields: Mapping[str, Any]) -> str:
    """Make a capture of `caller`.

    Parameters
    ----------
    store : Store
    caller : str
        Edge uuid.
    fields : mapping
        All of `COLUMNS`, times in nanoseconds.

    Returns
    -------
    str
        Its uuid.

    Raises
    ------
    Refused
        400 for a duration that is negative or leads out of 64 bits.
    """
    _check_times(fields["start"], fields["duration"])
    uuid, now_ns = str(uuid_module.uuid4()), time.time_ns()
    columns = {COLUMNS[name]: value for name, value in fields.items()}
    columns |= {"uuid": uuid, "edge_uuid": caller, "created_ns": now_ns, "updated_ns": now_ns}
    with store.write() as cursor:
        marks = ", ".join("?" for _ in columns)
        cursor.execute(f"INSERT INTO captures({', '.join(columns)}) VALUES ({marks})", list(columns.values()))
    return uuid


def update_capture(store: Store, uuid: str, caller: str, changes: Mapping[str, Any]) -> None:
    """Change some of `COLUMNS`.

    Raises
    ------
    Refused
        404, and as `create_capture`.
    """
    with store.write() as cursor:
        capture(cursor, uuid, caller)
        columns = {COLUMNS[name]: value for name, value in changes.items()} | {"updated_ns": time.time_ns()}
        times = one(cursor, "SELECT start_ns, duration_ns FROM captures WHERE uuid = ?", [uuid]) or (0, 0)
        _check_times(changes.get("start", times[0]), changes.get("duration", times[1]))
        changed = ", ".join(f"{column} = ?" for column in columns)
        cursor.execute(f"UPDATE captures SET {changed} WHERE uuid = ?", [*columns.values(), uuid])


def delete_capture(store: Store, uuid: str, caller: str) -> None:
    """Remove a capture.

    Raises
    ------
    Refused
        404.
    """
    with store.write() as cursor:
        capture(cursor, uuid, caller)
        cursor.execute("DELETE FROM captures WHERE uuid = ?", [uuid])


def _check_times(start_ns: int, duration_ns: int) -> None:
    if duration_ns < 0:
        raise Refused(400, f"duration is {duration_ns // 1000} us, expected 0 or more")
    if start_ns + duration_ns > INT64_MAX:
        raise Refused(400, f"duration {duration_ns // 1000} us after the start leads beyond the year 2262")
