"""What the tests of streams share: points of both sides in one form, what arrives at callbacks, specs and filters for both."""

from __future__ import annotations

import asyncio
import queue
import uuid
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, NamedTuple

import pandas as pd

import intdash_frames as idf
from intdash_frames import DataType
from tests.interop.conftest import Kept, Reference
from tests.interop.rows import BASETIME_NS, Recording, Row, driver_data_points, read_stored

WAIT_S = 30
MICROSECOND = 1_000
SECOND = 1_000_000_000
# Often, so that a test need not wait for an acknowledgement.
MARKER_INTERVAL_S = 0.05
# Types whose filters name ids.
RULED = {
    DataType.can,
    DataType.nmea,
    DataType.general_sensor,
    DataType.string,
    DataType.float,
    DataType.int,
    DataType.bytes,
    DataType.generic,
}
NOBODY = "00000000-0000-4000-8000-000000000000"


class Point(NamedTuple):
    """One point of a stream, in the form in which both sides are compared."""

    elapsed_ns: int
    channel: int
    data_type: int
    payload: bytes


class Arrivals:
    """What a callback was given, taken by the test; the callback may run in any thread."""

    def __init__(self) -> None:
        self._came: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def data_point(self, point: idf.DataPoint) -> None:
        self._came.put(Point(point.elapsed_time.as_unit("ns").value, point.channel, int(point.data_type), point.data_payload))

    def unit(self, unit: idf.Unit) -> None:
        payload = unit.data.to_payload()
        self._came.put(Point(unit.elapsed_time.as_unit("ns").value, unit.channel or 0, int(unit.data.data_type), payload))

    def ack(self, serial: int, result: int) -> None:
        self._came.put((serial, int(result)))

    def take(self, count: int) -> list[Any]:
        return [self._came.get(timeout=WAIT_S) for _ in range(count)]

    def take_until(self, last: Callable[[Any], bool]) -> list[Any]:
        taken = self.take(1)
        while not last(taken[-1]):
            taken += self.take(1)
        return taken

    @property
    def nothing_left(self) -> bool:
        return self._came.empty()


def points(rows: Iterable[Row]) -> list[Point]:
    return [Point(row.elapsed_ns, row.channel, row.data_type, row.payload) for row in rows]


def reference_points(gathered: list[list[Any]]) -> list[Point]:
    """The calls of a callback of the SDK: with a `DataPoint` in `connect_iscp`, with a `Unit` in `connect_websocket`."""
    return [
        Point(p["elapsed_time"]["$duration"], p["channel"], p["data_type"], bytes.fromhex(p["data_payload"]["$bytes"]))
        if "data_payload" in p
        else Point(p["elapsed_time"]["$duration"], p["channel"], p["data"]["data_type"], bytes.fromhex(p["data"]["$bytes"]))
        for (p,) in gathered
    ]


def new(kind: str, **arguments: Any) -> dict[str, Any]:
    return {"$new": kind, **arguments}


def new_name() -> str:
    return uuid.uuid4().hex


def run(scenario: Coroutine[Any, Any, None]) -> None:
    async def limited() -> None:
        async with asyncio.timeout(2 * WAIT_S):
            await scenario

    asyncio.run(limited())


# Calls that wait, such as those of the process of the SDK, run beside the loop of our client.
beside = asyncio.to_thread


def recording_of(
    reference: Reference, objects: list[dict[str, Any]], *, step_ns: int, channels: tuple[int, ...] = (1, 2)
) -> Recording:
    """Objects as rows at ascending times, on these channels by turns."""
    rows = [
        Row(BASETIME_NS + (i + 1) * step_ns, channels[i % len(channels)], made["data_type"], made["data_id"], payload)
        for i, made in enumerate(reference.encode(objects))
        for payload in [bytes.fromhex(made["$bytes"])]
    ]
    return Recording(objects, rows)


def in_microseconds(rows: list[Row]) -> list[Row]:
    return [row._replace(time_ns=BASETIME_NS + row.elapsed_ns // MICROSECOND * MICROSECOND) for row in rows]


def has_filter(row: Row) -> bool:
    """The SDK cannot write a filter for the id of such a sentence: more than five bytes."""
    return row.data_type != DataType.nmea or len((row.data_id or "").encode()) <= 5


def filters_of(rows: Iterable[Row]) -> list[tuple[int, int, str | None]]:
    """Filters that let rows pass, each id by name where the type has rules: the SDK knows no "every id" there."""
    wanted = [(row.data_type, row.channel, row.data_id if row.data_type in RULED else None) for row in rows]
    return [each for each in dict.fromkeys(wanted) if each[0] != DataType.basetime]


def downstream_spec(edge: str, filters: list[tuple[int, int, str | None]]) -> idf.DownstreamSpec:
    return idf.DownstreamSpec(src_edge_uuid=edge, filters=[idf.DataFilter(*each) for each in filters])


def reference_downstream_spec(edge: str, filters: list[tuple[int, int, str | None]]) -> dict[str, Any]:
    filter_objects = [new("DataFilter", data_type=kind, channel=channel, data_id=data_id) for kind, channel, data_id in filters]
    return new("DownstreamSpec", src_edge_uuid=edge, filters=filter_objects)


def upstream_spec(edge: str, measurement: str) -> idf.UpstreamSpec:
    return idf.UpstreamSpec(src_edge_uuid=edge, store=True, measurement_uuid=measurement)


def reference_upstream_spec(edge: str, measurement: str) -> dict[str, Any]:
    return new("UpstreamSpec", src_edge_uuid=edge, store=True, measurement_uuid=measurement)


def basetime_point(time_ns: int = BASETIME_NS) -> idf.DataPoint:
    content = idf.data.Basetime(type=idf.BasetimeType.ntp, basetime=pd.Timestamp(time_ns, tz="UTC"))
    return idf.DataPoint(pd.Timedelta(0), content.data_type, 0, content.to_payload())


def our_units(rows: list[Row]) -> list[idf.Unit]:
    return [
        idf.Unit(
            elapsed_time=pd.Timedelta(row.elapsed_ns, unit="ns"),
            channel=row.channel,
            data=idf.data.type_to_data_class(row.data_type).from_payload(row.payload),
        )
        for row in rows
    ]


def open_reference_upstream(conn: Kept, spec: dict[str, Any], **more: Any) -> Kept:
    """An upstream of `connect_iscp` of the SDK with short sections: closing one takes as long as a section."""
    return conn.keep("open_upstream", spec=spec, marker_interval=MARKER_INTERVAL_S, **more)


def write_as_reference(up: Kept, rows: list[Row]) -> list[int]:
    """Give points to an upstream of the SDK; the serial number of the section of each."""
    serials: list[int] = up.each("write", [{"datapoint": point} for point in driver_data_points(rows)])
    return serials


def stored_once_closed(client: idf.Client, measurement: str, count: int) -> list[Row]:
    """What the server keeps of a stream whose socket was dropped: nothing says when it has put the open section away."""
    for _ in range(200):
        stored = read_stored(client, measurement)
        if len(stored) >= count:
            break
    return stored
