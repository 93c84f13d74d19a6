"""Points -> frames: a typed one per data type, one per signal, or a long one of all."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from intdash_frames import timebase
from intdash_frames.codecs.points import Points
from intdash_frames.codecs.series import Series, SeriesTable
from intdash_frames.errors import UsageError
from intdash_frames.frames.attributes import FrozenDict, freeze
from intdash_frames.frames.envelope import ENVELOPE, TEXT_CODES, by_code
from intdash_frames.frames.sources import Bound
from intdash_frames.frames.typed import IDS, Typed, typed, typed_groups
from intdash_frames.model import DataType, SignalKey

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "ALIKE",
    "Kind",
    "Typed",
    "attributes",
    "bound_text",
    "by_signal",
    "by_type",
    "find_signal",
    "in_order",
    "in_time_order",
    "kind_name",
    "kind_of",
    "long_frame",
    "long_table",
    "named_table",
    "nearest",
    "signal_codes",
    "signal_key",
    "to_frame",
    "typed",
]

Kind = DataType | int | str
# Data types whose columns are the same as those of another.
ALIKE = frozenset(
    {DataType.h264, DataType.h265, DataType.mavlink, DataType.can_bulk, DataType.general_sensor_bulk, DataType.jpeg, DataType.aac}
)


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


def in_order(kinds: Iterable[Kind]) -> list[Kind]:
    """Put data types in the order that their columns have in a long frame: by number, then the textual ones."""
    return sorted(kinds, key=lambda kind: (0, int(kind), "") if isinstance(kind, int) else (1, 0, kind))


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
    groups, kinds = by_code(keys, kind_of)
    tables = typed_groups(parts, keys, groups, [int(kind) if isinstance(kind, int) else None for kind in kinds])
    return {kind: table for kind, table in zip(kinds, tables, strict=True) if len(table)}


def by_signal(tables: Mapping[Kind, Typed], codes: NDArray[np.int32]) -> dict[int, Typed]:
    """Cut typed tables into one for each signal, keyed by its number."""
    split = {}
    for each in tables.values():
        signals = codes[each.series]
        order = np.argsort(signals, kind="stable")
        grouped = each if (np.diff(order) == 1).all() else each.take(order)
        numbers, starts = np.unique(signals[order], return_index=True)
        for number, start, stop in zip(numbers.tolist(), starts.tolist(), [*starts[1:].tolist(), len(order)], strict=True):
            split[number] = grouped.slice(start, stop)
    return split


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
    near = nearest(text, [signal_key(key) for key in keys])
    raise UsageError(
        f"no signal {text!r} was read; " + (f"near or present: {', '.join(near)}" if near else "no points were read at all")
    )


def nearest(text: str, signals: Sequence[SignalKey]) -> list[str]:
    """Give the names that a name may be a slip of, else the first few."""
    names = [str(signal) for signal in signals]
    return difflib.get_close_matches(text, [*names, *(signal.data_id for signal in signals)], n=3, cutoff=0.5) or names[:5]


# --- pandas ---


def to_frame(each: Typed, kind: Kind, meta: Mapping[str, Any], tz: Any) -> pd.DataFrame:
    """Give typed points as a frame that knows its units and where it came from."""
    from intdash_frames.frames.pandas_frame import typed_frame

    return typed_frame(each, tz=tz, attrs=attributes(meta, shape="typed", data_type=kind_name(kind), units=each.units))


def attributes(meta: Mapping[str, Any], **more: Any) -> FrozenDict:
    """Give what ``df.attrs`` says of the query and of a frame."""
    frozen: FrozenDict = freeze({**meta, **more})
    return frozen


def kind_name(kind: Kind) -> str:
    """Give the name that a data type has in columns."""
    if isinstance(kind, DataType):
        return kind.name
    # A newer server's "string" is not the data type of that name: its points have no channel, and its payload is opaque.
    return f"{kind}:-" if kind in DataType.__members__ else str(kind)


def named_table(each: Typed, kind: Kind) -> pa.Table:
    """Give a typed table from which its data type can be told: by its columns, or by a column ``data_type``."""
    if isinstance(kind, DataType) and kind not in ALIKE:
        return each.table
    names = pa.DictionaryArray.from_arrays(pa.array(np.zeros(len(each), np.int32)), pa.array([kind_name(kind)]))
    return each.table.add_column(1 + len(IDS), "data_type", names)


def long_table(parts: Sequence[Points], tables: Mapping[Kind, Typed]) -> pa.Table:
    """Put the points of several data types under each other as they came; columns are named ``type.column``.

    Parameters
    ----------
    parts : sequence of Points
    tables : mapping
        From `by_type`; a type that is not among them has no columns. The others are in order of their numbers, so that the first
        point does not decide how a frame looks.
    """
    if not parts:
        return pa.schema([ENVELOPE.field(name) for name in ("time", *IDS)]).empty_table()
    keys = parts[0].keys
    everything = Typed(
        None, keys, np.concatenate([part.time_ns for part in parts]), np.concatenate([part.series for part in parts]), {}, 0
    )
    table = everything.table
    numbers, kinds = by_code(keys, kind_of)
    number = numbers[everything.series]
    names = pa.array([kind_name(kind) for kind in kinds])
    table = table.append_column("data_type", pa.DictionaryArray.from_arrays(pa.array(number), names).cast(TEXT_CODES))
    for kind in in_order(tables):
        here = number == kinds.index(kind)
        index = pa.array(np.cumsum(here) - 1, mask=~here)
        for name, column in tables[kind].columns.items():
            values = pa.array(column) if isinstance(column, np.ndarray) else column.combine_chunks()
            table = table.append_column(f"{kind_name(kind)}.{name}", values.take(index))
    return table


def long_frame(parts: Sequence[Points], tables: Mapping[Kind, Typed], meta: Mapping[str, Any], tz: Any) -> pd.DataFrame:
    """Give `long_table` as a frame."""
    from intdash_frames.frames.pandas_frame import to_pandas

    return to_pandas(long_table(parts, tables), tz=tz, attrs=attributes(meta, shape="long"))


def bound_text(bound: Bound | None) -> str | None:
    """Give one end of a range as text for attributes."""
    if bound is None:
        return None
    return timebase.to_iso(bound.value_ns) if bound.origin == "epoch" else f"{bound.origin}{bound.value_ns:+d}ns"
