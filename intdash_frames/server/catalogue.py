"""Edges, measurements, base times and the list of ids, as rows in and records out.

Functions that read take a cursor; functions that change take the store and commit before they return.
"""

from __future__ import annotations

import time
import uuid as uuid_module
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import duckdb

from intdash_frames.model import BasetimeType, Edge, EdgeType, Measurement, MeasurementBasetime
from intdash_frames.server.store import Refused, Store, one
from intdash_frames.timebase import timedelta, timestamp

__all__ = [
    "EDGE_SORTS",
    "MEASUREMENT_SORTS",
    "Page",
    "Where",
    "basetimes",
    "create_measurement",
    "delete_basetime",
    "delete_measurement",
    "edge",
    "edges",
    "id_of",
    "measurement",
    "measurements",
    "page_of",
    "put_basetime",
    "update_measurement",
]

# Sort keys of a list -> column (protocol 2.2, 2.3).
EDGE_SORTS = {
    "name": "name",
    "nickname": "nickname",
    "description": "description",
    "type": "type",
    "created_at": "created_ns",
    "updated_at": "updated_ns",
    "last_login_at": "last_login_ns",
}
MEASUREMENT_SORTS = {
    "name": "m.name",
    "description": "m.description",
    "ended": "m.ended",
    "duration": "m.last_elapsed_ns",
    "base_time": "b.basetime_ns",
    "basetime": "b.basetime_ns",
    "processed_ratio": "m.ended",
    "created_at": "m.created_ns",
    "updated_at": "m.updated_ns",
}

_EDGE = "SELECT uuid, name, description, nickname, type, disabled, created_ns, updated_ns, last_login_ns"
_MEASUREMENT = (
    "SELECT m.uuid, m.name, m.description, m.edge_uuid, m.last_elapsed_ns, b.basetime_ns, m.basetime_type, m.ended, m.protected,"
    " m.created_ns, m.updated_ns"
)
_MEASUREMENTS = "FROM measurements m JOIN basetimes b ON b.measurement_id = m.id AND b.type = m.basetime_type"


@dataclass(slots=True)
class Where:
    """Conditions of a list, joined by AND; values travel as parameters."""

    conditions: list[str] = field(default_factory=lambda: ["true"])
    values: list[Any] = field(default_factory=list)

    def add(self, condition: str, *values: Any) -> None:
        self.conditions.append(condition)
        self.values += values

    def add_name(self, column: str, *wanted: str | None) -> None:
        """Match the start of a text, or all of it if `wanted` stands in double quotes (protocol 2.1); of several, any."""
        tests, values = [], []
        for each in wanted:
            if each is None:
                continue
            whole = len(each) >= 2 and each[0] == each[-1] == '"'
            tests.append(f"{column} = ?" if whole else f"starts_with({column}, ?)")
            values.append(each[1:-1] if whole else each)
        if tests:
            self.add(f"({' OR '.join(tests)})", *values)


@dataclass(frozen=True, slots=True)
class Page:
    """Which part of a list is wanted: `column` comes from a table of sorts, never from a request."""

    column: str
    descending: bool
    limit: int
    number: int


def page_of(
    cursor: duckdb.DuckDBPyConnection, select: str, tables: str, where: Where, page: Page
) -> tuple[list[tuple[Any, ...]], int]:
    """The rows of a page of a list, and how many there are in all."""
    tables = f"{tables} WHERE {' AND '.join(where.conditions)}"
    ((total,),) = cursor.execute(f"SELECT count(*) {tables}", where.values).fetchall()
    # Equal keys keep their order from page to page by the uuid.
    order = f"ORDER BY {page.column} {'DESC' if page.descending else 'ASC'} NULLS LAST, uuid LIMIT ? OFFSET ?"
    found = cursor.execute(f"{select} {tables} {order}", [*where.values, page.limit, (page.number - 1) * page.limit]).fetchall()
    return found, total


def _edge(row: tuple[Any, ...]) -> Edge:
    uuid, name, description, nickname, kind, disabled, created_ns, updated_ns, last_login_ns = row
    return Edge(
        uuid=uuid,
        name=name,
        description=description,
        nickname=nickname,
        type=EdgeType(kind),
        disabled=disabled,
        created_at=timestamp(created_ns),
        updated_at=timestamp(updated_ns),
        last_login_at=None if last_login_ns is None else timestamp(last_login_ns),
    )


def edge(cursor: duckdb.DuckDBPyConnection, uuid: str) -> Edge:
    """One edge.

    Raises
    ------
    Refused
        404.
    """
    row = one(cursor, f"{_EDGE} FROM edges WHERE uuid = ?", [uuid])
    if row is None:
        raise Refused(404, f"no edge {uuid!r}")
    return _edge(row)


def edges(cursor: duckdb.DuckDBPyConnection, where: Where, page: Page) -> tuple[list[Edge], int]:
    """A page of edges, and how many there are in all."""
    rows, total = page_of(cursor, _EDGE, "FROM edges", where, page)
    return [_edge(row) for row in rows], total


def _measurement(row: tuple[Any, ...]) -> Measurement:
    uuid, name, description, edge_uuid, last_elapsed_ns, basetime_ns, kind, ended, protected, created_ns, updated_ns = row
    return Measurement(
        uuid=uuid,
        name=name,
        description=description,
        edge_uuid=edge_uuid,
        duration=timedelta(last_elapsed_ns),
        basetime=timestamp(basetime_ns),
        basetime_type=BasetimeType[kind],
        ended=ended,
        processed_ratio=1.0 if ended else 0.0,
        protected=protected,
        created_at=timestamp(created_ns),
        updated_at=timestamp(updated_ns),
    )


def measurement(cursor: duckdb.DuckDBPyConnection, uuid: str) -> Measurement:
    """One measurement.

    Raises
    ------
    Refused
        404.
    """
    row = one(cursor, f"{_MEASUREMENT} {_MEASUREMENTS} WHERE m.uuid = ?", [uuid])
    if row is None:
        raise Refused(404, f"no measurement {uuid!r}")
    return _measurement(row)


def measurements(cursor: duckdb.DuckDBPyConnection, where: Where, page: Page) -> tuple[list[Measurement], int]:
    """A page of measurements, and how many there are in all."""
    rows, total = page_of(cursor, _MEASUREMENT, _MEASUREMENTS, where, page)
    return [_measurement(row) for row in rows], total


def id_of(cursor: duckdb.DuckDBPyConnection, uuid: str) -> int:
    """The small number that rows of other tables name a measurement by.

    Raises
    ------
    Refused
        404.
    """
    row = one(cursor, "SELECT id FROM measurements WHERE uuid = ?", [uuid])
    if row is None:
        raise Refused(404, f"no measurement {uuid!r}")
    return int(row[0])


def create_measurement(
    store: Store,
    *,
    edge_uuid: str,
    basetime_ns: int,
    basetime_type: str = "manual",
    name: str = "",
    description: str = "",
    protected: bool = False,
    uuid: str | None = None,
) -> str:
    """Make a measurement and the base time entry of its type.

    Returns
    -------
    str
        Its uuid: the given one, else a new one.

    Raises
    ------
    Refused
        400 if there is no such edge, 409 if the uuid is taken.
    """
    uuid, now_ns = uuid or str(uuid_module.uuid4()), time.time_ns()
    with store.write() as cursor:
        if one(cursor, "SELECT 1 FROM edges WHERE uuid = ?", [edge_uuid]) is None:
            raise Refused(400, f"edge_uuid {edge_uuid!r}: no such edge; GET /api/v1/edges lists them")
        if one(cursor, "SELECT 1 FROM measurements WHERE uuid = ?", [uuid]) is not None:
            raise Refused(409, f"measurement {uuid!r} is there already")
        ((measurement_id,),) = cursor.execute("SELECT coalesce(max(id), 0) + 1 FROM measurements").fetchall()
        cursor.execute(
            "INSERT INTO measurements VALUES (?, ?, ?, ?, ?, ?, 0, false, ?, ?, ?, true, 0)",
            [measurement_id, uuid, name, description, edge_uuid, basetime_type, protected, now_ns, now_ns],
        )
        cursor.execute(
            "INSERT INTO basetimes VALUES (?, ?, ?, ?, ?)", [measurement_id, basetime_type, basetime_ns, now_ns, now_ns]
        )
    return uuid


def update_measurement(store: Store, uuid: str, changes: Mapping[str, Any]) -> None:
    """Change columns of a measurement: ``name``, ``description``, ``basetime_type``, ``ended``, ``protected``.

    A change of ``basetime_type`` moves the absolute time of all points, since only elapsed times are stored.

    Raises
    ------
    Refused
        404 for no such measurement, 400 for a base time type that the measurement has no entry of.
    """
    with store.write() as cursor:
        measurement_id = id_of(cursor, uuid)
        wanted = changes.get("basetime_type")
        if wanted is not None:
            there = [entry.type.name for entry in _basetimes(cursor, measurement_id) if entry.type is not None]
            if wanted not in there:
                raise Refused(
                    400, f"basetime_type {wanted!r}: the measurement has {', '.join(there)}; PUT .../basetimes/{wanted} first"
                )
        for column, value in changes.items():  # names come from a table in `rest`, never from a request
            cursor.execute(f"UPDATE measurements SET {column} = ? WHERE id = ?", [value, measurement_id])
        cursor.execute("UPDATE measurements SET updated_ns = ? WHERE id = ?", [time.time_ns(), measurement_id])


def delete_measurement(store: Store, uuid: str) -> None:
    """Remove a measurement and all that belongs to it.

    Raises
    ------
    Refused
        404, or 409 if it is protected.
    """
    with store.write() as cursor:
        measurement_id = id_of(cursor, uuid)
        if measurement(cursor, uuid).protected:
            raise Refused(409, f"measurement {uuid} is protected; PUT /api/v1/measurements/{uuid}/unprotect first")
        for table in ("points", "series", "basetimes", "markers"):
            cursor.execute(f"DELETE FROM {table} WHERE measurement_id = ?", [measurement_id])
        cursor.execute("DELETE FROM measurements WHERE id = ?", [measurement_id])
    store.forget(measurement_id)


def _basetimes(cursor: duckdb.DuckDBPyConnection, measurement_id: int) -> list[MeasurementBasetime]:
    rows: Sequence[tuple[str, int, int, int]] = cursor.execute(
        "SELECT type, basetime_ns, created_ns, updated_ns FROM basetimes WHERE measurement_id = ? ORDER BY created_ns, type",
        [measurement_id],
    ).fetchall()
    return [MeasurementBasetime(BasetimeType[kind], *map(timestamp, times_ns)) for kind, *times_ns in rows]


def basetimes(cursor: duckdb.DuckDBPyConnection, uuid: str) -> list[MeasurementBasetime]:
    """The base times of a measurement, oldest entry first.

    Raises
    ------
    Refused
        404.
    """
    return _basetimes(cursor, id_of(cursor, uuid))


def put_basetime(store: Store, uuid: str, kind: str, basetime_ns: int) -> None:
    """Make or replace the base time of one type; which one is in use stays.

    Raises
    ------
    Refused
        404.
    """
    now_ns = time.time_ns()
    with store.write() as cursor:
        measurement_id = id_of(cursor, uuid)
        changed = one(
            cursor,
            "UPDATE basetimes SET basetime_ns = ?, updated_ns = ? WHERE measurement_id = ? AND type = ? RETURNING type",
            [basetime_ns, now_ns, measurement_id, kind],
        )
        if changed is None:
            cursor.execute("INSERT INTO basetimes VALUES (?, ?, ?, ?, ?)", [measurement_id, kind, basetime_ns, now_ns, now_ns])


def delete_basetime(store: Store, uuid: str, kind: str) -> None:
    """Remove the base time of one type.

    Raises
    ------
    Refused
        404, or 409 if it is the one in use.
    """
    with store.write() as cursor:
        measurement_id = id_of(cursor, uuid)
        in_use = measurement(cursor, uuid).basetime_type
        if in_use is not None and in_use.name == kind:
            raise Refused(409, f"base time {kind!r} is in use; choose another with PUT /api/v1/measurements/{uuid} first")
        gone = one(cursor, "DELETE FROM basetimes WHERE measurement_id = ? AND type = ? RETURNING type", [measurement_id, kind])
        if gone is None:
            raise Refused(404, f"measurement {uuid} has no base time {kind!r}")
