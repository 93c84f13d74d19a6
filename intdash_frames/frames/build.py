"""Points -> frames: a typed one per data type, one per signal, or a long one of all."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from intdash_frames import timebase
from intdash_frames.codecs.points import Points
from intdash_frames.codecs.series import Series, SeriesTable
from intdash_frames.codecs.table import SENSORS
from intdash_frames.errors import UsageError
from intdash_frames.frames.attributes import FrozenDict, freeze
from intdash_frames.frames.envelope import TEXT_CODES, by_code
from intdash_frames.frames.sources import Bound
from intdash_frames.frames.typed import IDS, Typed, typed
from intdash_frames.model import DataType, SignalKey

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "Typed",
    "bound_text",
    "by_signal",
    "by_type",
    "find_signal",
    "in_time_order",
    "kind_of",
    "long_frame",
    "long_table",
    "signal_codes",
    "signal_key",
    "to_frame",
    "typed",
]

Kind = DataType | int | str
SENSOR_FIELDS = {field for sensor in SENSORS.values() for field in sensor.fields}


def in_time_order(parts: list[Points]) -> list[Points]:
    """Sort batches into ascending time, points of one instant in the order received; what is in order is not touched."""
    last, sorted_ = None, True
    for part in parts:
        sorted_ = sorted_ and (last is None or int(part.time_ns[0]) >= last) and bool((np.diff(part.time_ns) >= 0).all())
        last = int(part.time_ns[-1])
    if sorted_:
        return parts
    whole = Points.concat(parts)
    return [whole.take(np.argsort(whole.time_ns, kind="stable"))]


def kind_of(key: Series) -> Kind:
    """Give the data type of a series: a member, the number of an unknown one, or the text of a newer server."""
    if key.data_type is None:
        return key.type_text
    return DataType(key.data_type) if key.data_type in DataType._value2member_map_ else key.data_type


def signal_key(key: Series) -> SignalKey:
    """Give what a series is called, whatever measurement it is of."""
    return SignalKey(kind_of(key), key.channel, key.data_id)


def signal_codes(parts: Sequence[Points]) -> tuple[NDArray[np.int32], list[Series]]:
    """Number the signals that occur: (signal by series code, -1 for a series without points; a series of each signal)."""
    keys = parts[0].keys if parts else SeriesTable()
    occurs = _occurring(parts, keys)
    order = np.full(len(keys), -1, np.int32)
    signals: dict[SignalKey, int] = {}
    representatives = []
    for code in np.flatnonzero(occurs).tolist():
        name = signal_key(keys[code])
        if name not in signals:
            signals[name] = len(signals)
            representatives.append(keys[code])
        order[code] = signals[name]
    return order, representatives


def _occurring(parts: Sequence[Points], keys: SeriesTable) -> NDArray[np.bool_]:
    occurs = np.zeros(len(keys), np.bool_)
    for part in parts:
        occurs[part.series] = True
    return occurs


def by_type(parts: Sequence[Points]) -> dict[Kind, Typed]:
    """Decode everything, a table for each data type that occurs."""
    if not parts:
        return {}
    keys = parts[0].keys
    kinds, names = by_code(keys, kind_of)
    occurs = _occurring(parts, keys)
    tables = {}
    for number, kind in enumerate(names):
        wanted = (kinds == number) & occurs
        if wanted.any():
            tables[kind] = typed(parts, keys, wanted, int(kind) if isinstance(kind, int) else None)
    return tables


def by_signal(tables: Mapping[Kind, Typed], codes: NDArray[np.int32]) -> dict[int, Typed]:
    """Cut typed tables into one for each signal, keyed by its number."""
    split = {}
    for each in tables.values():
        signals = codes[each.series]
        order = np.argsort(signals, kind="stable")
        grouped = each.table.take(pa.array(order)) if (np.diff(signals) < 0).any() else each.table
        numbers, starts = np.unique(signals[order], return_index=True)
        for number, start, stop in zip(numbers.tolist(), starts.tolist(), [*starts[1:].tolist(), len(order)], strict=True):
            rows = order[start:stop]
            table = _without_other_sensors(grouped.slice(start, stop - start))
            split[number] = dataclasses.replace(each, table=table, rows=each.rows[rows], series=each.series[rows], undecodable=0)
    return split


def _without_other_sensors(table: pa.Table) -> pa.Table:
    """Drop the fields of sensors that the rows of one signal are not of, and a column of raw payloads that none of them needs."""
    empty = [name for name in table.column_names if name in SENSOR_FIELDS | {"payload"} and table[name].null_count == len(table)]
    return table.drop_columns(empty) if empty else table


def find_signal(signal: str | SignalKey, keys: Sequence[Series]) -> int:
    """Give the position of a signal among `keys`.

    Raises
    ------
    UsageError
        If none, or more than one, is called so.
    """
    names = [str(signal_key(key)) for key in keys]
    text = str(signal)
    if text in names:
        return names.index(text)
    same_id = [position for position, key in enumerate(keys) if key.data_id == text]
    if len(same_id) == 1:
        return same_id[0]
    if same_id:
        raise UsageError(f"more than one signal has the id {text!r}; say which: {', '.join(names[i] for i in same_id)}")
    near = difflib.get_close_matches(text, [*names, *(key.data_id for key in keys)], n=3, cutoff=0.5) or names[:5]
    raise UsageError(
        f"no signal {text!r} was read; " + (f"near or present: {', '.join(near)}" if near else "no points were read at all")
    )


# --- pandas ---


def to_frame(each: Typed, kind: Kind, meta: Mapping[str, Any], tz: Any) -> pd.DataFrame:
    """Give a typed table as a frame that knows its units and where it came from."""
    from intdash_frames.frames.pandas_frame import to_pandas

    units = {
        field.name: field.metadata[b"unit"].decode()
        for field in each.table.schema
        if field.metadata and b"unit" in field.metadata
    }
    units.pop("time", None)
    return to_pandas(each.table, tz=tz, attrs=_attributes(meta, shape="typed", data_type=_name(kind), units=units))


def _attributes(meta: Mapping[str, Any], **more: Any) -> FrozenDict:
    frozen: FrozenDict = freeze({**meta, **more})
    return frozen


def _name(kind: Kind) -> str:
    return kind.name if isinstance(kind, DataType) else str(kind)


def long_table(tables: Mapping[Kind, Typed]) -> pa.Table:
    """Put the points of several data types under each other, in their order of time; columns are named ``type.column``."""
    total = sum(len(each.rows) for each in tables.values())
    order = pa.array(
        np.argsort(np.concatenate([each.rows for each in tables.values()] or [np.empty(0, np.int64)]), kind="stable")
    )
    shared = pa.concat_tables([each.table.select(["time", *IDS]) for each in tables.values()]) if tables else None
    columns: dict[str, Any] = {}
    if shared is not None:
        shared = shared.combine_chunks().unify_dictionaries().take(order)
        columns = {name: shared[name] for name in shared.column_names}
        kinds = np.concatenate([np.full(len(each.rows), number, np.int32) for number, each in enumerate(tables.values())])
        names = pa.array([_name(kind) for kind in tables])
        columns["data_type"] = pa.DictionaryArray.from_arrays(pa.array(kinds[order.to_numpy()]), names).cast(TEXT_CODES)
    for kind, each in tables.items():
        positions = np.zeros(total, np.int64)
        absent = np.ones(total, np.bool_)
        positions[each.rows], absent[each.rows] = np.arange(len(each.rows)), False
        index = pa.array(positions, mask=absent)
        for name in each.table.column_names[1 + len(IDS) :]:
            columns[f"{_name(kind)}.{name}"] = each.table[name].combine_chunks().take(index)
    return (
        pa.table(columns)
        if columns
        else pa.schema([("time", pa.timestamp("ns", "UTC")), *((name, TEXT_CODES) for name in IDS)]).empty_table()
    )


def long_frame(tables: Mapping[Kind, Typed], meta: Mapping[str, Any], tz: Any) -> pd.DataFrame:
    """Give `long_table` as a frame."""
    from intdash_frames.frames.pandas_frame import to_pandas

    return to_pandas(long_table(tables), tz=tz, attrs=_attributes(meta, shape="long"))


def bound_text(bound: Bound | None) -> str | None:
    """Give one end of a range as text for attributes."""
    if bound is None:
        return None
    return timebase.to_iso(bound.value_ns) if bound.origin == "epoch" else f"{bound.origin}{bound.value_ns:+d}ns"
