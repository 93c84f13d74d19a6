"""Points -> typed columns of one data type."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from intdash_frames.codecs.layout import Values
from intdash_frames.codecs.points import Points
from intdash_frames.codecs.series import SeriesTable
from intdash_frames.codecs.table import SENSORS, layout_of
from intdash_frames.frames.envelope import ENVELOPE, coded, shared
from intdash_frames.model import DataType

__all__ = ["IDS", "SENSOR_FIELDS", "Typed", "typed"]

IDS = ("measurement_uuid", "channel", "data_id")
SENSOR_FIELDS = frozenset(field for sensor in SENSORS.values() for field in sensor.fields)


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
    rows : ndarray of int64, shape (n,)
        Position of each row among all points.
    values : pyarrow.Table
        The columns of the layout, the physical values of known sensors and, if a payload needs its raw bytes to be given back,
        ``payload``.
    undecodable : int
        Rows whose payload does not fit the layout: null columns and a raw ``payload``.
    """

    data_type: int | None
    keys: SeriesTable
    time_ns: NDArray[np.int64]
    series: NDArray[np.int32]
    rows: NDArray[np.int64]
    values: pa.Table
    undecodable: int

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def table(self) -> pa.Table:
        """All as one table: ``time``, `IDS`, then the values."""
        keys, series = self.keys, self.series
        ids = [
            coded(keys, series, lambda key: key.measurement_uuid),
            shared(keys, series, lambda key: key.channel),
            coded(keys, series, lambda key: key.data_id),
        ]
        fields = [ENVELOPE.field("time"), *(ENVELOPE.field(name) for name in IDS), *self.values.schema]
        times = pa.array(self.time_ns).cast(pa.timestamp("ns", "UTC"))
        return pa.table([times, *ids, *self.values.columns], schema=pa.schema(fields))

    def take(self, order: NDArray[np.int64]) -> Typed:
        """Copy of some rows, in the order of `order`."""
        return dataclasses.replace(
            self,
            time_ns=self.time_ns[order],
            series=self.series[order],
            rows=self.rows[order],
            values=self.values.take(pa.array(order)),
        )

    def slice(self, start: int, stop: int) -> Typed:
        """Some rows, over the same memory, without the columns that none of them fills."""
        values = self.values.slice(start, stop - start)
        optional = SENSOR_FIELDS | {"payload"} - set(layout_of(self.data_type).schema.names)
        empty = [name for name in values.column_names if name in optional and values[name].null_count == len(values)]
        return dataclasses.replace(
            self,
            time_ns=self.time_ns[start:stop],
            series=self.series[start:stop],
            rows=self.rows[start:stop],
            values=values.drop_columns(empty) if empty else values,
        )


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
    layout = layout_of(data_type)
    names = Values.of([key.data_id.encode() for key in keys])
    schema = layout.schema if "payload" in layout.schema.names else layout.schema.append(pa.field("payload", pa.binary()))
    batches = []
    rows, times, series = [np.empty(0, np.int64)], [np.empty(0, np.int64)], [np.empty(0, np.int32)]
    undecodable = before = 0
    for part in parts:
        own = np.flatnonzero(wanted[part.series])
        if len(own):
            decoded = layout.decode(part.data, part.offsets, own, part.series, names)
            columns = {"payload": decoded.payload, **decoded.columns}
            batches.append(pa.RecordBatch.from_arrays([columns[name] for name in schema.names], schema=schema))
            rows.append(own + before)
            times.append(part.time_ns[own])
            series.append(part.series[own])
            undecodable += decoded.undecodable
        before += len(part)
    values = pa.Table.from_batches(batches, schema)
    if "payload" not in layout.schema.names and values["payload"].null_count == len(values):
        values = values.drop_columns(["payload"])
    if data_type == DataType.general_sensor:
        values = _with_sensor_fields(values)
    return Typed(data_type, keys, np.concatenate(times), np.concatenate(series), np.concatenate(rows), values, undecodable)


def _with_sensor_fields(table: pa.Table) -> pa.Table:
    """Add the physical values of the known sensors that occur; null where a row is of another sensor or length (protocol 6.4).

    Raw times scale, in that order: division would differ in the last bit from what the server's own signals give.
    """
    sensor_ids = table["sensor_id"].combine_chunks()
    for sensor_id in sorted(pc.unique(sensor_ids).to_pylist(), key=lambda value: -1 if value is None else value):
        sensor = SENSORS.get(sensor_id)
        if sensor is None:
            continue
        data = table["data"].combine_chunks()
        fits = pc.and_(pc.equal(sensor_ids, sensor_id), pc.equal(pc.binary_length(data), 4 * len(sensor.fields)))
        rows = np.flatnonzero(pc.fill_null(fits, False).to_numpy(zero_copy_only=False))
        bodies = Values.of(data.take(pa.array(rows)))
        span = bodies.data[bodies.offsets[0] : bodies.offsets[-1]]
        raw = np.ascontiguousarray(span).view("<i4").reshape(len(rows), len(sensor.fields))
        for column, field in enumerate(sensor.fields):
            values, absent = np.zeros(len(table)), np.ones(len(table), np.bool_)
            values[rows], absent[rows] = raw[:, column] * sensor.scale, False
            table = table.append_column(
                pa.field(field, pa.float64(), metadata={"unit": sensor.unit}),
                pa.array(values, mask=absent if absent.any() else None),
            )
    return table
