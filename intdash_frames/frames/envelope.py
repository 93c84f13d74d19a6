"""Points <-> the envelope: one Arrow row a data point, ids beside the payload, over the same memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from intdash_frames.codecs.layout import Values
from intdash_frames.codecs.points import Points
from intdash_frames.codecs.series import Series, SeriesTable, number_distinct
from intdash_frames.errors import UsageError

__all__ = ["ENVELOPE", "TEXT_CODES", "by_code", "coded", "to_batch", "to_points", "to_table"]

TEXT_CODES = pa.dictionary(pa.int32(), pa.string())

# The schema is fixed before the first batch is read, whatever the server sends.
ENVELOPE = pa.schema(
    [
        pa.field("time", pa.timestamp("ns", "UTC"), nullable=False, metadata={"unit": "ns since 1970-01-01T00:00:00Z"}),
        pa.field("measurement_uuid", TEXT_CODES),
        pa.field(
            "data_type", pa.uint8(), metadata={"meaning": "number of the data type; null for a textual type of a newer server"}
        ),
        pa.field("channel", pa.uint8(), metadata={"meaning": "null where the id names no channel"}),
        pa.field("data_id", TEXT_CODES),
        pa.field("payload", pa.binary()),
    ]
)


def by_code(keys: SeriesTable, of: Callable[[Series], Any]) -> tuple[NDArray[np.int32], list[Any]]:
    """Number what `of` says of each series: (number by series code, distinct values in order of appearance)."""
    numbers: dict[Any, int] = {}
    table = [numbers.setdefault(of(key), len(numbers)) for key in keys]
    return np.asarray(table, np.int32), list(numbers)


def coded(keys: SeriesTable, series: NDArray[np.int32], of: Callable[[Series], str]) -> pa.DictionaryArray:
    """Column of a text that all points of a series share."""
    table, values = by_code(keys, of)
    return pa.DictionaryArray.from_arrays(pa.array(table[series], pa.int32()), pa.array(values, pa.string()))


def shared(keys: SeriesTable, series: NDArray[np.int32], of: Callable[[Series], int | None]) -> pa.Array:
    """Column of a small number that all points of a series share; null where there is none."""
    values = [of(key) for key in keys]
    absent = np.asarray([value is None for value in values], np.bool_)[series]
    numbers = np.asarray([value or 0 for value in values], np.uint8)[series]
    return pa.array(numbers, mask=absent if absent.any() else None)


def to_batch(points: Points) -> pa.RecordBatch:
    """Give points as a batch of the envelope.

    Parameters
    ----------
    points : Points
        Times since the epoch.

    Returns
    -------
    pyarrow.RecordBatch
        With schema `ENVELOPE`; times and payloads are not copied.
    """
    keys, series = points.keys, points.series
    start = points.offsets[0]
    payloads = Values(points.data[start : points.offsets[-1]], points.offsets - start if start else points.offsets)
    columns = [
        pa.Array.from_buffers(
            ENVELOPE.field("time").type, len(points), [None, pa.py_buffer(np.ascontiguousarray(points.time_ns))]
        ),
        coded(keys, series, lambda key: key.measurement_uuid),
        shared(keys, series, lambda key: key.data_type),
        shared(keys, series, lambda key: key.channel),
        coded(keys, series, lambda key: key.data_id),
        payloads.to_arrow(pa.binary()),
    ]
    return pa.RecordBatch.from_arrays(columns, schema=ENVELOPE)


def to_table(parts: Iterable[Points]) -> pa.Table:
    """Give batches of points as one table of the envelope, a chunk each."""
    return pa.Table.from_batches([to_batch(part) for part in parts], ENVELOPE)


def to_points(table: pa.Table, keys: SeriesTable | None = None) -> list[Points]:
    """Turn an envelope table back into points, a batch for each of its chunks.

    Parameters
    ----------
    table : pyarrow.Table
        With the columns of `ENVELOPE`; texts may be plain or dictionaries, numbers of any width.

    Raises
    ------
    UsageError
        If a column is missing or has nulls that a point cannot have.
    """
    missing = [name for name in ENVELOPE.names if name not in table.column_names]
    if missing:
        raise UsageError(f"the table has no columns {missing}; an envelope has {ENVELOPE.names}")
    keys = keys if keys is not None else SeriesTable()
    wide_text = pa.dictionary(pa.int32(), pa.string())
    wanted = {
        "time": pa.int64(),
        "measurement_uuid": wide_text,
        "data_type": pa.int64(),
        "channel": pa.int64(),
        "data_id": wide_text,
    }
    parts = []
    for batch in table.select(ENVELOPE.names).to_batches():
        column = {name: batch.column(name) for name in ENVELOPE.names}
        for name, values in column.items():
            if values.null_count:
                raise UsageError(
                    f"column {name!r} has {values.null_count} nulls; a data point needs every column of {ENVELOPE.names}"
                )
        time = column["time"].cast(pa.timestamp("ns", column["time"].type.tz)).cast(pa.int64())
        series = _series(keys, {name: _cast(column[name], type_) for name, type_ in wanted.items() if name != "time"}, len(batch))
        payloads = Values.of(column["payload"])
        parts.append(Points(time.to_numpy(), series, payloads.data, payloads.offsets, keys))
    return parts


def _cast(column: pa.Array, type_: pa.DataType) -> pa.Array:
    if pa.types.is_dictionary(type_):
        if pa.types.is_dictionary(column.type):
            return pa.DictionaryArray.from_arrays(column.indices.cast(pa.int32()), column.dictionary.cast(pa.string()))
        return column.cast(pa.string()).dictionary_encode()
    return column.cast(type_)


def _series(keys: SeriesTable, column: dict[str, pa.Array], rows: int) -> NDArray[np.int32]:
    """Series code of each row, from its four ids."""
    if rows == 0:
        return np.empty(0, np.int32)
    uuids, ids = column["measurement_uuid"], column["data_id"]
    parts: Sequence[NDArray[np.int64]] = [
        uuids.indices.to_numpy().astype(np.int64),
        column["data_type"].to_numpy(),
        column["channel"].to_numpy(),
        ids.indices.to_numpy().astype(np.int64),
    ]
    for name, values in (("data_type", parts[1]), ("channel", parts[2])):
        if values.min() < 0 or values.max() > 255:
            raise UsageError(f"column {name!r} holds {values.min()} to {values.max()}; expected 0 to 255")
    combined = ((parts[0] * len(ids.dictionary) + parts[3]) << 16) | (parts[1] << 8) | parts[2]
    distinct, inverse = number_distinct(combined)
    codes = []
    for value in distinct.tolist():
        which, data_type, channel = value >> 16, value >> 8 & 0xFF, value & 0xFF
        uuid, data_id = divmod(which, len(ids.dictionary))
        codes.append(
            keys.code(Series(uuids.dictionary[uuid].as_py(), data_type, channel, ids.dictionary[data_id].as_py(), str(data_type)))
        )
    return np.asarray(codes, np.int32)[inverse]
