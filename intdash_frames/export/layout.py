"""What the files of an export look like: a schema for each data type, and what files say of themselves."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from intdash_frames.codecs import kernels
from intdash_frames.codecs.layout import Values
from intdash_frames.codecs.points import INT32_MAX, Points
from intdash_frames.codecs.series import Series, SeriesTable
from intdash_frames.codecs.table import layout_of
from intdash_frames.errors import LocalProtocolError
from intdash_frames.folder.names import Kind, kind_name
from intdash_frames.frames import build
from intdash_frames.frames.attributes import ATTRIBUTE, ATTRS_KEY
from intdash_frames.frames.envelope import ENVELOPE, by_code, shared
from intdash_frames.frames.typed import IDS, SENSOR_FIELDS, UNITS
from intdash_frames.model import DataType

__all__ = [
    "META_KEY",
    "groups_of",
    "metadata_of",
    "schema_of",
    "table_of",
]

META_KEY: Final = "intdash"

# --- schemas ---


def schema_of(kind: Kind, *, decode: bool = True) -> pa.Schema:
    """The one schema of a data type, known before the first point.

    Parameters
    ----------
    kind : DataType, int or str
    decode : bool
        Whether there are decoded columns beside the raw payload.
    """
    fields = [ENVELOPE.field(name) for name in ("time", *IDS)]
    if decode:
        fields += [field for field in layout_of(kind if isinstance(kind, int) else None).schema if field.name != "payload"]
        if kind == DataType.general_sensor:
            fields += [pa.field(name, pa.float64(), metadata={"unit": UNITS[name]}) for name in sorted(SENSOR_FIELDS)]
    return pa.schema([*fields, ENVELOPE.field("payload")])


def metadata_of(
    kind: Kind, *, version: str, url: str, query: Mapping[str, Any], measurement: Mapping[str, Any]
) -> dict[str, str]:
    """What a file says of where its points come from: for `df.attrs`, and for whoever reads the file alone."""
    units = UNITS if kind == DataType.general_sensor else {}
    attributes = {
        "source": {"url": url, "names": [measurement["uuid"]]},
        "query": query,
        "shape": "typed",
        "data_type": kind_name(kind),
        "units": dict(sorted(units.items())),
    }
    provenance = {"version": version, "measurement": measurement, **attributes}
    return {
        ATTRS_KEY: json.dumps({ATTRIBUTE: attributes}, ensure_ascii=False, sort_keys=True),
        META_KEY: json.dumps(provenance, ensure_ascii=False, sort_keys=True),
    }


# --- points -> tables ---


def table_of(parts: Sequence[Points], wanted: NDArray[np.bool_], kind: Kind, *, decode: bool = True) -> tuple[pa.Table, int]:
    """Give the points of a data type as a table that is the same however they were cut into batches.

    Parameters
    ----------
    parts : sequence of Points
        In order of time; not empty.
    wanted : ndarray of bool
        By series code: whether it is of the data type.
    kind : DataType, int or str
    decode : bool

    Returns
    -------
    table : pyarrow.Table
        Of `schema_of`, each column in one piece.
    undecodable : int
        Payloads that do not fit the layout: null columns beside them [count].
    """
    keys = parts[0].keys
    points = _gathered(parts, wanted)
    columns: dict[str, Any] = {}
    undecodable = 0
    if decode:
        typed = build.typed([points], keys, wanted, kind if isinstance(kind, int) else None)
        columns, undecodable = typed.columns, typed.undecodable
    payloads = Values(points.data, points.offsets)
    ids = {
        "time": pa.array(points.time_ns).cast(ENVELOPE.field("time").type),
        "measurement_uuid": _coded(keys, points.series, "measurement_uuid"),
        "channel": shared(keys, points.series, lambda key: key.channel),
        "data_id": _coded(keys, points.series, "data_id"),
    }
    columns = {**columns, **ids, "payload": payloads.to_arrow(pa.binary())}
    schema = schema_of(kind, decode=decode)
    arrays = [
        _one_piece(columns[field.name], field.type) if field.name in columns else pa.nulls(len(points), field.type)
        for field in schema
    ]
    return pa.table(arrays, schema=schema), undecodable


def _gathered(parts: Sequence[Points], wanted: NDArray[np.bool_]) -> Points:
    """Copy the points of some series out of batches, once."""
    rows = [np.flatnonzero(wanted[part.series]) for part in parts]
    sizes = [
        int((part.offsets[own + 1].astype(np.int64) - part.offsets[own]).sum()) for part, own in zip(parts, rows, strict=True)
    ]
    bounds, starts = np.cumsum([0, *map(len, rows)]).tolist(), np.cumsum([0, *sizes]).tolist()
    if starts[-1] > INT32_MAX:
        raise LocalProtocolError(f"{starts[-1]} bytes of payload share an instant; a part holds fewer than 2**31")
    time_ns, series = np.empty(bounds[-1], np.int64), np.empty(bounds[-1], np.int32)
    data, offsets = np.empty(starts[-1], np.uint8), np.zeros(bounds[-1] + 1, np.int32)
    for number, (part, own) in enumerate(zip(parts, rows, strict=True)):
        at, end, start = bounds[number], bounds[number + 1], starts[number]
        np.take(part.time_ns, own, out=time_ns[at:end])
        np.take(part.series, own, out=series[at:end])
        kernels.copy_rows(part.data, part.offsets, own, data[start : starts[number + 1]], offsets[at : end + 1])
        offsets[at : end + 1] += start
    return Points(time_ns, series, data, offsets, parts[0].keys)


def _coded(keys: SeriesTable, series: NDArray[np.int32], name: str) -> pa.DictionaryArray:
    """Column of a text that all points of a series share; its dictionary has what occurs, in order, and nothing else."""
    numbers, values = by_code(keys, lambda key: getattr(key, name))
    codes = numbers[series]
    used = np.flatnonzero(np.bincount(codes, minlength=len(values)))
    order = sorted(used.tolist(), key=lambda number: str(values[number]))
    renumbered = np.zeros(len(values), np.int32)
    renumbered[order] = np.arange(len(order), dtype=np.int32)
    return pa.DictionaryArray.from_arrays(
        pa.array(renumbered[codes]), pa.array([values[number] for number in order], pa.string())
    )


def _one_piece(column: Any, type_: pa.DataType) -> pa.Array:
    if isinstance(column, np.ndarray):
        return pa.array(column, type_)
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks() if column.num_chunks != 1 else column.chunk(0)
    return column if column.type == type_ else column.cast(type_)


def groups_of(keys: SeriesTable, parts: Sequence[Points]) -> dict[tuple[str, Kind], NDArray[np.bool_]]:
    """Which series are of which measurement and data type, for all that have points: a mask by series code each."""
    occurs = np.zeros(len(keys), np.bool_)
    for part in parts:
        occurs[part.series] = True
    found: dict[tuple[str, Kind], NDArray[np.bool_]] = {}
    for code in np.flatnonzero(occurs).tolist():
        name = _group(keys[code])
        found.setdefault(name, np.zeros(len(keys), np.bool_))[code] = True
    return dict(sorted(found.items(), key=lambda item: (item[0][0], kind_name(item[0][1]))))


def _group(key: Series) -> tuple[str, Kind]:
    return key.measurement_uuid, build.kind_of(key)
