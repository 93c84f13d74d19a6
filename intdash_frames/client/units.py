"""Units in the vendor's vocabulary: one object per point with its content decoded, in and out.

Elapsed times count from the base time that is in use of the measurement, and not from the first point of an answer as in the
vendor's SDK, where they change with every page (protocol 3.3).

Source: protocol 3.3, 4.2, 4.3 and 6.12.
"""

from __future__ import annotations

import builtins
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal, overload

from intdash_frames import data, timebase
from intdash_frames.client.data_points import batches, check_section, lists, payloads_of, points_of, query_of, type_of
from intdash_frames.errors import PayloadError, RemoteProtocolError, UsageError
from intdash_frames.model import BasetimeType, DataPoint, IdQuery, Unit
from intdash_frames.protocol.call import uuid_text
from intdash_frames.protocol.elements import LONGEST_ELAPSED_NS
from intdash_frames.protocol.wire import VARINTS

if TYPE_CHECKING:
    import pandas as pd

    from intdash_frames.client.connection import Connection
    from intdash_frames.codecs.points import Points

__all__ = ["Units"]

LARGEST_PAYLOAD = VARINTS["A"].largest(VARINTS["A"].longest)  # protocol 5.10 [byte]


class Units:
    """The data points of a server as units."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def store(self, measurement_uuid: str, units: Iterable[Unit], serial_number: int = 0, final: bool = True) -> None:
        """Store units: what is large in several requests, and after a lost answer only what is missing again.

        Parameters
        ----------
        measurement_uuid : str
        units : iterable of Unit
            All of them are stored, base times too. Their `measurement_uuid` is not looked at.
        serial_number : int
            Number of the first section, from 0, when a measurement is stored in several; what takes more than one request takes
            the numbers behind it too.
        final : bool
            The measurement ends with this.

        Raises
        ------
        UsageError, PayloadError
            If a unit cannot be stored; the message names its row, and nothing was sent.
        ApiError, TransportError
            If a section was not stored after all tries; a note says which. `DataPoints.store` does for servers without this call.
        """
        from intdash_frames.client.sections import AS_UNITS, store_all

        measurement_uuid = uuid_text(measurement_uuid)
        check_section(serial_number, final)
        points = points_of(measurement_uuid, _data_points(units))
        store_all(self._connection, measurement_uuid, points, way=AS_UNITS, serial_number=serial_number, final=final)

    @overload
    def list(
        self,
        start: Any,
        end: Any,
        measurement_uuid: str | None = None,
        edge_uuid: str | None = None,
        edge_name: str | None = None,
        id_queries: Sequence[IdQuery] | None = None,
        labels: Sequence[str] | None = None,
        limit: int | None = None,
        iterator: Literal[False] = False,
        exit_on_error: bool = False,
    ) -> builtins.list[Unit]: ...
    @overload
    def list(
        self,
        start: Any,
        end: Any,
        measurement_uuid: str | None = None,
        edge_uuid: str | None = None,
        edge_name: str | None = None,
        id_queries: Sequence[IdQuery] | None = None,
        labels: Sequence[str] | None = None,
        limit: int | None = None,
        *,
        iterator: Literal[True],
        exit_on_error: bool = False,
    ) -> Iterator[builtins.list[Unit]]: ...
    def list(
        self,
        start: Any,
        end: Any,
        measurement_uuid: str | None = None,
        edge_uuid: str | None = None,
        edge_name: str | None = None,
        id_queries: Sequence[IdQuery] | None = None,
        labels: Sequence[str] | None = None,
        limit: int | None = None,
        iterator: bool = False,
        exit_on_error: bool = False,
    ) -> Any:
        """Read points as units.

        Parameters
        ----------
        start, end : moment with a zone
            Half open range.
        measurement_uuid, edge_uuid, edge_name : str, optional
            Whose points; the first one given counts.
        id_queries : sequence of IdQuery, optional
            Which ids; all if neither these nor `labels` are given.
        labels : sequence of str, optional
            Which signals, converted by the server.
        limit : int, optional
            At most so many points: in all, or with `iterator` in each list. No limit if None or 0.
        iterator : bool
            Give an iterator over lists instead of one list; no point is lost or repeated between them.
        exit_on_error : bool
            Stop at the first point that the server cannot convert.

        Returns
        -------
        list of Unit, or iterator of them
            Each list that is not empty begins with a unit that is no stored point: channel 0, type `BasetimeType.volatile`, and
            in it the base time that is in use. Another one stands wherever the next unit is of another measurement, so the
            absolute time of a unit is the last base time plus its elapsed time. They come on top of `limit`. Content that cannot
            be read is `data.Opaque`, which stores back to the same bytes.

        Raises
        ------
        UsageError
            If an argument cannot work; nothing was sent.
        RemoteProtocolError
            If a measurement has no base time to count from; ``client.data_points`` reads its points.

        Warns
        -----
        UserWarning
            If the server could not convert some points; they are left out.
        """
        query = query_of(start, end, measurement_uuid, edge_uuid, edge_name, id_queries, labels, exit_on_error)
        basetimes = _Basetimes(self._connection)
        return lists(self._connection, query, lambda parts: units_of(parts, basetimes), limit=limit, iterator=iterator)

    def frame(
        self,
        start: Any,
        end: Any,
        measurement_uuid: str | None = None,
        edge_uuid: str | None = None,
        edge_name: str | None = None,
        id_queries: Sequence[IdQuery] | None = None,
        labels: Sequence[str] | None = None,
        *,
        exit_on_error: bool = False,
    ) -> pd.DataFrame:
        """Read all points of a range, as a frame.

        Returns
        -------
        pandas.DataFrame
            A row a stored point, in columns `elapsed_time`, `measurement_uuid`, `data_type`, `data_id`, `channel` and
            `data_payload`. Payloads are not decoded; ``client.frames(...)`` does that.
        """
        from intdash_frames.client.points_frame import frame_of_points

        query = query_of(start, end, measurement_uuid, edge_uuid, edge_name, id_queries, labels, exit_on_error)
        basetimes = _Basetimes(self._connection)
        parts = list(batches(self._connection, query))
        return frame_of_points(parts, {uuid: basetimes[uuid] for part in parts for uuid in _measurements(part)})


class _Basetimes(dict[str, int]):
    """The base time of each measurement [ns], asked for when it is first wanted."""

    def __init__(self, connection: Connection) -> None:
        super().__init__()
        self._connection = connection

    def __missing__(self, measurement_uuid: str) -> int:
        if not measurement_uuid:
            raise RemoteProtocolError(
                "a point came without a measurement, so its elapsed time is not known; use client.data_points"
            )
        basetime = self._connection.measurements.get(measurement_uuid).basetime
        if basetime is None:
            raise RemoteProtocolError(
                f"measurement {measurement_uuid} has no base time to count from; client.data_points reads its points"
            )
        self[measurement_uuid] = found = int(basetime.as_unit("ns").value)
        return found


def _measurements(points: Points) -> set[str]:
    import numpy as np

    return {points.keys[code].measurement_uuid for code in np.unique(points.series).tolist()}


def units_of(parts: Iterable[Points], basetimes_ns: _Basetimes) -> builtins.list[Unit]:
    """Points as units, with their base times between them."""
    found: builtins.list[Unit] = []
    measurement_uuid, basetime_ns = None, 0
    for points in parts:
        types = [type_of(key) for key in points.keys]
        for time_ns, code, payload in zip(points.time_ns.tolist(), points.series.tolist(), payloads_of(points), strict=True):
            key = points.keys[code]
            if key.measurement_uuid != measurement_uuid:
                measurement_uuid, basetime_ns = key.measurement_uuid, basetimes_ns[key.measurement_uuid]
                basetime = data.Basetime(BasetimeType.volatile, timebase.timestamp(basetime_ns))
                found.append(Unit(timebase.timedelta(0), 0, basetime, measurement_uuid))
            content = data.from_any_payload(types[code], payload, key.data_id)
            found.append(Unit(timebase.timedelta(time_ns - basetime_ns), key.channel, content, measurement_uuid))
    return found


def _data_points(units: Iterable[Unit]) -> Iterator[DataPoint]:
    """Units with their content encoded; refuses what no unit of the wire carries."""
    if isinstance(units, Unit) or not isinstance(units, Iterable):
        raise UsageError(f"units is {type(units).__name__}, expected a list of Unit")
    for row, unit in enumerate(units):
        if not isinstance(unit, Unit):
            raise UsageError(f"row {row} is {type(unit).__name__}, expected Unit")
        if not isinstance(unit.data, data.Data):
            raise UsageError(f"row {row}: data is {type(unit.data).__name__}, expected an object of intdash_frames.data")
        if timebase.duration_ns(unit.elapsed_time, name=f"row {row}: elapsed_time") > LONGEST_ELAPSED_NS:
            raise UsageError(f"row {row}: elapsed_time={unit.elapsed_time!r} is longer than the 97 days that a unit carries")
        try:
            payload = unit.data.to_payload()
        except PayloadError as exc:
            raise PayloadError(exc.data_type, exc.reason, data_id=exc.data_id, row=row) from exc
        if len(payload) > LARGEST_PAYLOAD:
            raise UsageError(f"row {row}: a payload of {len(payload)} bytes; a unit carries at most {LARGEST_PAYLOAD}")
        channel: Any = unit.channel  # None is refused with the row
        data_type: Any = unit.data.data_type
        yield DataPoint(unit.elapsed_time, data_type, channel, payload)
