"""Points -> typed columns of one data type."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from intdash_frames.codecs import kernels
from intdash_frames.codecs.layout import Decoded, Run, Values
from intdash_frames.codecs.points import Points
from intdash_frames.codecs.series import SeriesTable
from intdash_frames.codecs.table import SENSORS, layout_of
from intdash_frames.frames.envelope import ENVELOPE, coded, shared
from intdash_frames.model import DataType

__all__ = ["IDS", "SENSOR_FIELDS", "UNITS", "Typed", "of_decoded", "typed", "typed_groups"]

IDS = ("measurement_uuid", "channel", "data_id")
UNITS = {field: sensor.unit for sensor in SENSORS.values() for field in sensor.fields}
SENSOR_FIELDS = frozenset(UNITS)


@dataclass(frozen=True, slots=True)
class Typed:
    """The points of one data type with decoded payloads.

    Attributes
    ----------
    data_type : int or None
    keys : SeriesTable
    time_ns : ndarray of int64, shape (n,)
        Nanoseconds since the epoch.
    series : ndarray of int32, shape (n,)
        Position of each row's ids in `keys`.
    columns : dict of str to ndarray or pyarrow.ChunkedArray
        The columns of the layout, the physical values of known sensors and, if a payload needs its raw bytes to be given back,
        ``payload``. Numbers without nulls are numpy arrays that may be written, all else is Arrow.
    undecodable : int
        Rows whose payload does not fit the layout: null columns and a raw ``payload``.
    """

    data_type: int | None
    keys: SeriesTable
    time_ns: NDArray[np.int64]
    series: NDArray[np.int32]
    columns: dict[str, Any]
    undecodable: int

    def __len__(self) -> int:
        return len(self.series)

    @property
    def table(self) -> pa.Table:
        """All as one table: ``time``, `IDS`, then the columns."""
        keys, series = self.keys, self.series
        arrays = {
            "time": pa.array(self.time_ns).cast(pa.timestamp("ns", "UTC")),
            "measurement_uuid": coded(keys, series, lambda key: key.measurement_uuid),
            "channel": shared(keys, series, lambda key: key.channel),
            "data_id": coded(keys, series, lambda key: key.data_id),
            **{name: _arrow(column) for name, column in self.columns.items()},
        }
        fields = [ENVELOPE.field(name) if name in ("time", *IDS) else _field(name, array.type) for name, array in arrays.items()]
        return pa.table(list(arrays.values()), schema=pa.schema(fields))

    @property
    def units(self) -> dict[str, str]:
        """Units of the columns that are known to have one."""
        return {name: UNITS[name] for name in self.columns if name in UNITS}

    def take(self, order: NDArray[np.int64]) -> Typed:
        """Copy of some rows, in the order of `order`."""
        columns = {
            name: column[order] if isinstance(column, np.ndarray) else column.combine_chunks().take(pa.array(order))
            for name, column in self.columns.items()
        }
        return dataclasses.replace(self, time_ns=self.time_ns[order], series=self.series[order], columns=columns)

    def slice(self, start: int, stop: int) -> Typed:
        """Some rows, over the same memory, without the columns that none of them fills."""
        columns = {
            name: column[start:stop] if isinstance(column, np.ndarray) else column.slice(start, stop - start)
            for name, column in self.columns.items()
        }
        optional = SENSOR_FIELDS | {"payload"} - set(layout_of(self.data_type).schema.names)
        columns = {name: column for name, column in columns.items() if name not in optional or not _is_empty(column)}
        return dataclasses.replace(self, time_ns=self.time_ns[start:stop], series=self.series[start:stop], columns=columns)


def _arrow(column: Any) -> Any:
    return pa.array(column) if isinstance(column, np.ndarray) else column


def _field(name: str, type_: pa.DataType) -> pa.Field:
    return pa.field(name, type_, metadata={"unit": UNITS[name]} if name in UNITS else None)


def _is_empty(column: Any) -> bool:
    return not isinstance(column, np.ndarray) and column.null_count == len(column)


def typed(parts: Sequence[Points], keys: SeriesTable, wanted: NDArray[np.bool_], data_type: int | None) -> Typed:
    """Decode the points of some series, all of one data type.

    Parameters
    ----------
    parts : sequence of Points
        Batches that share `keys`.
    keys : SeriesTable
    wanted : ndarray of bool
        By series code.
    data_type : int or None
        The type of all wanted series.

    Returns
    -------
    Typed
    """
    return _decoded(parts, [np.flatnonzero(wanted[part.series]) for part in parts], keys, data_type)


def typed_groups(
    parts: Sequence[Points], keys: SeriesTable, groups: NDArray[np.int32], data_types: Sequence[int | None]
) -> list[Typed]:
    """Decode all points, in groups of one data type each.

    Parameters
    ----------
    parts : sequence of Points
    keys : SeriesTable
    groups : ndarray of int32
        Group by series code.
    data_types : sequence of int or None
        By group.

    Returns
    -------
    list of Typed
        A group without points is empty.
    """
    rows: list[list[NDArray[np.int64]]] = [[] for _ in data_types]
    for part in parts:
        bounds, order = np.empty(len(data_types) + 1, np.int64), np.empty(len(part), np.int64)
        kernels.group_rows(groups, part.series, bounds, order)
        for group, own in enumerate(rows):
            own.append(order[bounds[group] : bounds[group + 1]])
    return [_decoded(parts, own, keys, data_type) for own, data_type in zip(rows, data_types, strict=True)]


def _decoded(parts: Sequence[Points], rows: Sequence[NDArray[np.int64]], keys: SeriesTable, data_type: int | None) -> Typed:
    """Decode some rows of each batch."""
    names = Values.of([key.data_id.encode() for key in keys])
    runs = [Run(part.data, part.offsets, own, part.series) for part, own in zip(parts, rows, strict=True)]
    decoded = layout_of(data_type).decode_runs(runs, names)
    time_ns = np.concatenate([np.empty(0, np.int64), *(part.time_ns[own] for part, own in zip(parts, rows, strict=True))])
    series = np.concatenate([np.empty(0, np.int32), *(part.series[own] for part, own in zip(parts, rows, strict=True))])
    return of_decoded(decoded, data_type, keys, time_ns, series)


def of_decoded(
    decoded: Decoded, data_type: int | None, keys: SeriesTable, time_ns: NDArray[np.int64], series: NDArray[np.int32]
) -> Typed:
    """Put times and series beside decoded payloads; known sensors get their physical values."""
    columns = decoded.columns
    if "payload" not in columns and decoded.payload.null_count < len(decoded.payload):
        columns["payload"] = decoded.payload
    if data_type == DataType.general_sensor:
        columns |= _sensor_fields(columns)
    return Typed(data_type, keys, time_ns, series, columns, decoded.undecodable)


def _sensor_fields(columns: dict[str, Any]) -> dict[str, Any]:
    """Work out the physical values of the known sensors that occur, null where a row is of another sensor (protocol 6.4).

    Raw times scale, in that order: division would differ in the last bit from what the server's own signals give.
    """
    sensor_ids, data = pc.fill_null(_arrow(columns["sensor_id"]).cast(pa.int32()), -1), columns["data"].combine_chunks()
    numbers = np.concatenate([chunk.to_numpy() for chunk in getattr(sensor_ids, "chunks", [sensor_ids])])
    lengths = pc.fill_null(pc.binary_length(data), -1).to_numpy(zero_copy_only=False)
    fields: dict[str, Any] = {}
    for sensor_id in np.unique(numbers).tolist():
        sensor = SENSORS.get(sensor_id)
        if sensor is None:
            continue
        rows = np.flatnonzero((numbers == sensor_id) & (lengths == 4 * len(sensor.fields)))
        bodies = Values.of(data.take(pa.array(rows)))
        span = bodies.data[bodies.offsets[0] : bodies.offsets[-1]]
        raw = np.ascontiguousarray(span).view("<i4").reshape(len(rows), len(sensor.fields))
        for position, field in enumerate(sensor.fields):
            values = raw[:, position] * sensor.scale
            if len(rows) < len(numbers):
                spread, absent = np.zeros(len(numbers)), np.ones(len(numbers), np.bool_)
                spread[rows], absent[rows] = values, False
                values = pa.chunked_array([pa.array(spread, mask=absent)])
            fields[field] = values
    return fields
