"""Points -> typed columns of one data type, as Arrow tables."""

from __future__ import annotations

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
from intdash_frames.frames.envelope import by_code, coded, shared
from intdash_frames.model import DataType

__all__ = ["IDS", "Typed", "typed"]

IDS = ("measurement_uuid", "channel", "data_id")


@dataclass(frozen=True, slots=True)
class Typed:
    """The points of one data type with decoded payloads.

    Attributes
    ----------
    data_type : int or None
    table : pyarrow.Table
        ``time``, `IDS`, the columns of the layout and, if a payload needs its raw bytes to be given back, ``payload``.
    rows : ndarray of int64
        Position of each row among all points.
    series : ndarray of int32
        Series code of each row.
    undecodable : int
        Rows whose payload does not fit the layout: null columns and a raw ``payload``.
    """

    data_type: int | None
    table: pa.Table
    rows: NDArray[np.int64]
    series: NDArray[np.int32]
    undecodable: int


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
    chunks: list[pa.Table] = []
    positions, codes, undecodable, before = [np.empty(0, np.int64)], [np.empty(0, np.int32)], 0, 0
    for part in parts:
        rows = np.flatnonzero(wanted[part.series])
        if len(rows):
            decoded = layout.decode(part.data, part.offsets, rows, part.series, names)
            series = part.series[rows]
            columns = {
                "time": pa.array(part.time_ns[rows]).cast(pa.timestamp("ns", "UTC")),
                "measurement_uuid": coded(keys, series, lambda key: key.measurement_uuid),
                "channel": shared(keys, series, lambda key: key.channel),
                "data_id": coded(keys, series, lambda key: key.data_id),
                **decoded.columns,
            }
            if "payload" not in columns:
                columns["payload"] = decoded.payload
            chunks.append(pa.table(columns))
            positions.append(rows + before)
            codes.append(series)
            undecodable += decoded.undecodable
        before += len(part)
    table = pa.concat_tables(chunks) if chunks else _empty(data_type)
    if "payload" not in layout.schema.names and table["payload"].null_count == len(table):
        table = table.drop_columns(["payload"])
    if data_type == DataType.general_sensor:
        table = _with_sensor_fields(table)
    return Typed(data_type, table, np.concatenate(positions), np.concatenate(codes), undecodable)


def _empty(data_type: int | None) -> pa.Table:
    from intdash_frames.frames.envelope import ENVELOPE

    fields = [ENVELOPE.field("time"), *(ENVELOPE.field(name) for name in IDS), *layout_of(data_type).schema]
    fields += [] if "payload" in {field.name for field in fields} else [pa.field("payload", pa.binary())]
    return pa.schema(fields).empty_table()


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


def signals_of(keys: SeriesTable) -> tuple[NDArray[np.int32], list[tuple[int | None, int | None, str, str]]]:
    """Number the signals: series of several measurements with the same type, channel and id are one signal."""
    return by_code(keys, lambda key: (key.data_type, key.channel, key.data_id, key.type_text))
