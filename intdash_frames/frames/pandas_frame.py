"""Arrow tables of points -> pandas, without a copy where pandas allows it."""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from intdash_frames.codecs.series import Series
from intdash_frames.frames.attributes import ATTRIBUTE, FrozenDict
from intdash_frames.frames.typed import Typed

__all__ = ["time_index", "to_pandas", "typed_frame"]


def time_index(times: pa.ChunkedArray, tz: Any) -> pd.DatetimeIndex:
    """Give a column of stamps as an index in nanoseconds and a zone."""
    values = times.cast(pa.int64()).to_numpy().view("M8[ns]")
    return pd.DatetimeIndex(values, name="time").tz_localize("UTC").tz_convert(tz)


def to_pandas(
    table: pa.Table, *, tz: Any = "UTC", attrs: Mapping[str, Any] | None = None, nullable: Collection[str] = ()
) -> pd.DataFrame:
    """Give a table with a column ``time`` as a frame.

    Parameters
    ----------
    table : pyarrow.Table
        Column ``time`` [ns, UTC] becomes the index.
    tz : str or tzinfo
        Zone of the index.
    attrs : mapping, optional
        For ``df.attrs["intdash"]``.
    nullable : collection of str
        Columns that are backed by Arrow whether or not this table has nulls in them.

    Returns
    -------
    pandas.DataFrame
        Ids as categories; numbers as numpy columns, or backed by Arrow where there are nulls, so that a NaN stays a NaN and a
        null a null; binary and text backed by Arrow.
    """
    index = time_index(table["time"], tz)
    columns = {
        name: pd.arrays.ArrowExtensionArray(table[name]) if name in nullable else _column(name, table[name])
        for name in table.column_names
        if name != "time"
    }
    return _with_attrs(pd.DataFrame(columns, index=index, copy=False), attrs)


def typed_frame(each: Typed, *, tz: Any = "UTC", attrs: Mapping[str, Any] | None = None) -> pd.DataFrame:
    """Give typed points as a frame; the same as `to_pandas` of their table, with the ids straight from the series codes."""
    occurring = np.flatnonzero(np.bincount(each.series, minlength=len(each.keys))).tolist()
    columns: dict[str, Any] = {name: _id_column(each, occurring, of, dtype) for name, (of, dtype) in _ID_COLUMNS.items()}
    columns |= {
        name: column if isinstance(column, np.ndarray) else _column(name, column) for name, column in each.columns.items()
    }
    index = pd.DatetimeIndex(each.time_ns.view("M8[ns]"), name="time").tz_localize("UTC").tz_convert(tz)
    return _with_attrs(pd.DataFrame(columns, index=index, copy=False), attrs)


_ID_COLUMNS: dict[str, tuple[Callable[[Series], Any], str]] = {
    "measurement_uuid": (lambda key: key.measurement_uuid, "str"),
    "channel": (lambda key: key.channel, "int64"),
    "data_id": (lambda key: key.data_id, "str"),
}


def _id_column(each: Typed, occurring: Sequence[int], of: Callable[[Series], Any], dtype: str) -> pd.Categorical:
    """Category of each row by its series code; only what occurs, null where a series has none."""
    numbers: dict[Any, int] = {}
    by_series = np.full(len(each.keys), -1, np.int8 if len(occurring) < 127 else np.int32)
    for code in occurring:
        value = of(each.keys[code])
        by_series[code] = -1 if value is None else numbers.setdefault(value, len(numbers))
    return pd.Categorical.from_codes(by_series.take(each.series), dtype=_category(tuple(numbers), dtype), validate=False)


@functools.lru_cache(maxsize=256)
def _category(values: tuple[Any, ...], dtype: str) -> pd.CategoricalDtype:
    """The type of a column of ids: making it takes longer than filling the column, and frames of a measurement share most."""
    return pd.CategoricalDtype(pd.Index(list(values), dtype=dtype))


def _with_attrs(frame: pd.DataFrame, attrs: Mapping[str, Any] | None) -> pd.DataFrame:
    if attrs is not None:
        frame.attrs[ATTRIBUTE] = attrs if isinstance(attrs, FrozenDict) else FrozenDict(attrs)
    return frame


def _column(name: str, column: pa.ChunkedArray) -> Any:
    type_ = column.type
    if pa.types.is_dictionary(type_):
        return _categories(column)
    if name == "channel":
        encoded = column.combine_chunks().dictionary_encode()
        numbers = pd.Index(encoded.dictionary.to_pylist(), dtype="int64")
        return pd.Categorical.from_codes(_codes(encoded.indices), categories=numbers)
    if column.null_count == 0 and (pa.types.is_integer(type_) or pa.types.is_floating(type_) or pa.types.is_boolean(type_)):
        return column.to_numpy()
    if pa.types.is_timestamp(type_) and column.null_count == 0:
        return pd.DatetimeIndex(column.cast(pa.int64()).to_numpy().view("M8[ns]")).tz_localize("UTC").array
    return pd.arrays.ArrowExtensionArray(column)


def _categories(column: pa.ChunkedArray) -> pd.Categorical:
    """Give a dictionary column as a categorical of the values that occur."""
    unified = column.unify_dictionaries()
    values = unified.chunk(0).dictionary.to_pylist() if unified.num_chunks else []
    codes = np.concatenate([np.empty(0, np.int32), *(_codes(chunk.indices) for chunk in unified.chunks)])
    used = np.flatnonzero(np.bincount(codes[codes >= 0], minlength=len(values)))
    if len(used) < len(values):
        renumbered = np.full(len(values) + 1, -1, np.int32)  # the last place is for -1, a null
        renumbered[used] = np.arange(len(used))
        codes, values = renumbered[codes], [values[i] for i in used]
    return pd.Categorical.from_codes(codes, categories=pd.Index(values, dtype="str"))


def _codes(indices: pa.Array) -> NDArray[Any]:
    codes: NDArray[Any] = indices.fill_null(-1).to_numpy(zero_copy_only=False)
    return codes
