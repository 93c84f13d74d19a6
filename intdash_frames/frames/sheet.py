"""A frame of any library -> stamps and Arrow columns."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from intdash_frames.errors import UsageError
from intdash_frames.frames.attributes import ATTRIBUTE, ATTRS_KEY

__all__ = ["Sheet", "sheet_of"]


@dataclass(frozen=True, slots=True)
class Sheet:
    """A frame of any library: stamps and Arrow columns.

    Attributes
    ----------
    time_ns : ndarray of int64, shape (n,)
        Since the epoch, or since the base time if `elapsed`.
    elapsed : bool
    columns : dict of str to pyarrow.Array
    meta : mapping
        ``df.attrs["intdash"]``, also where a Parquet file brings it; empty for a frame that was never ours.
    nan_is_null : frozenset of str
        Columns of a library that writes a missing value as NaN.
    """

    time_ns: NDArray[np.int64]
    elapsed: bool
    columns: dict[str, pa.Array]
    meta: Mapping[str, Any] = field(default_factory=dict)
    nan_is_null: frozenset[str] = frozenset()

    def __len__(self) -> int:
        return len(self.time_ns)

    def rows(self, start: int, stop: int) -> Sheet:
        """Some rows, over the same memory."""
        columns = {name: column.slice(start, stop - start) for name, column in self.columns.items()}
        return Sheet(self.time_ns[start:stop], self.elapsed, columns, self.meta, self.nan_is_null)

    def where(self, mask: NDArray[np.bool_], names: Iterable[str]) -> Sheet:
        """The rows of a mask and some columns."""
        mask_array = pa.array(mask)
        columns = {name: self.columns[name].filter(mask_array) for name in names}
        return Sheet(self.time_ns[mask], self.elapsed, columns, self.meta, self.nan_is_null)


def sheet_of(data: Any) -> Sheet:
    """Read a frame or table.

    Parameters
    ----------
    data : pandas.DataFrame, pandas.Series, pyarrow.Table, polars.DataFrame, or any object with ``__arrow_c_stream__``
        A pandas frame has a `DatetimeIndex` with a zone or a `TimedeltaIndex`, any other a column ``time``.

    Raises
    ------
    UsageError
        If there is no time axis, or a stamp is missing or has no zone.
    """
    if isinstance(data, (pd.DataFrame, pd.Series)):
        return _pandas_sheet(data)
    if hasattr(data, "__arrow_c_stream__"):
        return _arrow_sheet(data if isinstance(data, pa.Table) else pa.table(data))
    raise UsageError(
        f"{type(data).__name__} cannot be stored; expected a pandas or polars frame, an Arrow table, or an object with "
        "__arrow_c_stream__"
    )


def _pandas_sheet(frame: pd.DataFrame | pd.Series) -> Sheet:
    if isinstance(frame, pd.Series):
        frame = frame.to_frame("value" if frame.name is None else frame.name)
    index = frame.index
    if not isinstance(index, (pd.DatetimeIndex, pd.TimedeltaIndex)):
        raise UsageError(
            f"the index is a {type(index).__name__} of {index.dtype}; expected a DatetimeIndex with a time zone or a "
            "TimedeltaIndex since the base time, such as df.set_index(pd.to_datetime(df['time'], utc=True))"
        )
    elapsed = isinstance(index, pd.TimedeltaIndex)
    if not elapsed and index.tz is None:
        raise UsageError("the index has no time zone; say which it is, such as df.tz_localize('Asia/Tokyo')")
    if index.hasnans:
        raise UsageError(f"the index has no stamp at row {int(np.flatnonzero(index.isna())[0])}; expected one on every row")
    try:
        stamps = index.as_unit("ns").asi8
    except (ValueError, OverflowError) as exc:
        raise UsageError(f"the index runs from {index.min()} to {index.max()}, beyond nanoseconds (1678 to 2262)") from exc
    names = [str(name) for name in frame.columns]
    _check_names(names)
    given = dict(zip(names, (column for _, column in frame.items()), strict=True))
    columns = {name: _pandas_column(name, column) for name, column in given.items()}
    as_nan = frozenset(name for name, column in given.items() if isinstance(column.dtype, np.dtype))
    return Sheet(np.asarray(stamps), elapsed, columns, frame.attrs.get(ATTRIBUTE, {}), as_nan)


def _check_names(names: list[str]) -> None:
    if len(set(names)) != len(names):
        raise UsageError(f"columns are named twice: {sorted({name for name in names if names.count(name) > 1})}")


def _pandas_column(name: str, column: pd.Series) -> pa.Array:
    values = column.array
    try:
        if isinstance(column.dtype, np.dtype) and column.dtype.kind != "O":
            array = pa.array(column.to_numpy())  # a NaN stays one here; whether it means "missing" is for the shape to say
        elif isinstance(values, pd.Categorical):
            absent = values.codes < 0  # to say so only where it is so is several times faster than Arrow's own way
            codes = pa.array(values.codes, mask=absent if absent.any() else None)
            array = pa.DictionaryArray.from_arrays(codes, pa.array(values.categories, from_pandas=True), ordered=values.ordered)
        else:
            array = pa.array(values, from_pandas=True)
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError) as exc:
        kinds = sorted({type(value).__name__ for value in column.dropna()})
        raise UsageError(f"column {name!r} holds {' and '.join(kinds)}; expected one type: numbers, text or bytes") from exc
    return array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array


def _arrow_sheet(table: pa.Table) -> Sheet:
    if "time" not in table.column_names:
        raise UsageError(
            f"there is no column 'time' among {table.column_names[:20]}; expected timestamps with a zone, or durations"
        )
    _check_names(table.column_names)
    times = table["time"]
    elapsed = pa.types.is_duration(times.type)
    if not elapsed and not pa.types.is_timestamp(times.type):
        raise UsageError(f"column 'time' is {times.type}; expected timestamps with a zone, or durations since the base time")
    if not elapsed and times.type.tz is None:
        raise UsageError("column 'time' has no time zone; say which it is, such as dt.replace_time_zone('Asia/Tokyo') in polars")
    if times.null_count:
        raise UsageError(f"column 'time' has {times.null_count} nulls; expected a stamp on every row")
    try:
        stamps = times.cast(pa.duration("ns") if elapsed else pa.timestamp("ns", times.type.tz)).cast(pa.int64()).to_numpy()
    except pa.ArrowInvalid as exc:
        raise UsageError(f"column 'time' is beyond nanoseconds (1678 to 2262): {exc}") from exc
    columns = {name: _one_chunk(table[name]) for name in table.column_names if name != "time"}
    return Sheet(stamps, elapsed, columns, _meta(table.schema))


def _meta(schema: pa.Schema) -> Mapping[str, Any]:
    """What pandas, and an export of ours, wrote into a Parquet file as ``df.attrs``."""
    meta = json.loads((schema.metadata or {}).get(ATTRS_KEY.encode(), b"{}")).get(ATTRIBUTE, {})
    return meta if isinstance(meta, dict) else {}


def _one_chunk(column: pa.ChunkedArray) -> pa.Array:
    """Give a column as one array of plain types: of views and of dictionaries of views, Arrow has few kernels."""
    type_ = column.type
    if pa.types.is_dictionary(type_) and not pa.types.is_primitive(type_.value_type):
        column = column.cast(pa.dictionary(pa.int32(), pa.string())).unify_dictionaries()
    elif pa.types.is_dictionary(type_):  # numbers as categories, as pandas writes channels
        column = column.cast(type_.value_type)
    elif type_ in (pa.string_view(), pa.large_string()):
        column = column.cast(pa.string())
    elif type_ in (pa.binary_view(), pa.large_binary()):
        column = column.cast(pa.binary())
    return column.combine_chunks() if column.num_chunks != 1 else column.chunk(0)
