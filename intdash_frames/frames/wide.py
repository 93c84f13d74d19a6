"""Signals of different rates side by side on one time axis: a sorted search per signal, never a pivot."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from intdash_frames import timebase
from intdash_frames.codecs.series import Series
from intdash_frames.errors import UsageError
from intdash_frames.frames import build
from intdash_frames.frames.attributes import freeze
from intdash_frames.frames.typed import SENSOR_FIELDS
from intdash_frames.model import DataType

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["METHODS", "NUMERIC", "Axis", "NumericColumn", "numeric_columns", "read_axis", "wide"]

# Data types whose value is a number, and all that have numbers.
VALUES = frozenset({DataType.float, DataType.int})
NUMERIC = VALUES | {DataType.general_sensor}
METHODS = ("last", "nearest", "mean", "interpolate")
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kKMGT]?)(i?)B?")


@dataclass(frozen=True, slots=True)
class NumericColumn:
    """The numbers of one field of one signal, ascending in time.

    Attributes
    ----------
    signal : str
        ``"float:1/speed"``.
    field : str
        Column of the typed frame.
    short : str
        Name where no other column has it: the data id, or the field of a sensor.
    time_ns : ndarray of int64, shape (n,)
    values : ndarray of int64 or float64, shape (n,)
    unit : str
    """

    signal: str
    field: str
    short: str
    time_ns: NDArray[np.int64]
    values: NDArray[Any]
    unit: str

    @property
    def full(self) -> str:
        """Name that no other column has."""
        return self.signal if self.field == "value" else f"{self.signal}.{self.field}"


def numeric_columns(signals: Sequence[tuple[Series, pa.Table]]) -> list[NumericColumn]:
    """Take the numbers out of typed tables: values of floats and ints, fields of known sensors; nulls are left out.

    Parameters
    ----------
    signals : sequence of (Series, pyarrow.Table)
        The typed table of each signal.
    """
    columns = []
    for key, table in signals:
        is_number = key.data_type in VALUES
        for name in table.column_names:
            if not (name == "value" and is_number) and name not in SENSOR_FIELDS:
                continue
            column = table[name]
            valid = column.is_valid().to_numpy()
            time_ns = table["time"].cast(pa.int64()).to_numpy()[valid]
            values = column.drop_null().to_numpy()
            if (np.diff(time_ns) < 0).any():
                order = np.argsort(time_ns, kind="stable")
                time_ns, values = time_ns[order], values[order]
            metadata = table.schema.field(name).metadata or {}
            short = key.data_id if is_number else name
            columns.append(
                NumericColumn(str(build.signal_key(key)), name, short, time_ns, values, metadata.get(b"unit", b"").decode())
            )
    return columns


@dataclass(frozen=True, slots=True)
class Axis:
    """What a wide frame is asked to be; with neither `step_ns` nor `on`, the union of all stamps.

    Attributes
    ----------
    step_ns : int or None
        Of a grid.
    on : str or SignalKey, optional
        Whose stamps.
    method : str
        One of `METHODS`.
    tolerance_ns : int or None
    max_bytes : int
    """

    step_ns: int | None
    on: Any
    method: str
    tolerance_ns: int | None
    max_bytes: int


def read_axis(every: Any, *, on: Any, method: str, tolerance: Any, max_memory: str | int) -> Axis:
    """Read the arguments of `Frames.wide`.

    Raises
    ------
    UsageError
        If one cannot work, or some do not go together.
    """
    if method not in METHODS:
        raise UsageError(f"method={method!r}; expected one of {', '.join(METHODS)}")
    if every is not None and on is not None:
        raise UsageError(f"every={every!r} and on={on!r} both name a time axis; give one of them")
    if every is None and on is None and (method != "last" or tolerance is not None):
        raise UsageError(
            "method= and tolerance= need a time axis: give every= or on=; the union of all stamps holds values as they are"
        )
    step = None if every is None else _positive("every", every)
    return Axis(step, on, method, None if tolerance is None else _positive("tolerance", tolerance), _bytes(max_memory))


def wide(columns: Sequence[NumericColumn], axis: Axis, *, tz: Any, meta: Mapping[str, Any]) -> pd.DataFrame:
    """See `Frames.wide`.

    Raises
    ------
    UsageError
        If there are no numbers, or they would take more memory than allowed.
    """
    columns = [column for column in columns if len(column.time_ns)]
    if not columns:
        raise UsageError(
            "there are no numeric columns to put side by side; floats, ints and known general sensors have them, and CAN frames "
            "once they are decoded with a database"
        )
    if axis.step_ns is None and axis.on is None:
        return _frame(columns, *_union(columns, axis), tz, meta, exact=True)
    stamps = _stamps(columns, axis)
    return _frame(columns, stamps, [_at(column, stamps, axis) for column in columns], tz, meta, exact=False)


def _stamps(columns: Sequence[NumericColumn], axis: Axis) -> NDArray[np.int64]:
    step = axis.step_ns
    if step is None:
        stamps = np.unique(_find(columns, str(axis.on)).time_ns)
        _check_memory(len(stamps), columns, axis, f"the stamps of {axis.on}")
        return stamps
    first, last = min(int(each.time_ns[0]) for each in columns), max(int(each.time_ns[-1]) for each in columns)
    rows = last // step - first // step + 1
    _check_memory(rows, columns, axis, f"a grid of {timebase.timedelta(step)}")
    return (np.arange(rows, dtype=np.int64) + first // step) * step


def _at(column: NumericColumn, stamps: NDArray[np.int64], axis: Axis) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Give what stands at each stamp, and where there is something."""
    if axis.method == "mean":
        return _mean(column, stamps, axis.step_ns)
    if axis.method == "interpolate":
        return _interpolate(column, stamps, axis.tolerance_ns)
    return _pick(column, stamps, axis.tolerance_ns, nearest=axis.method == "nearest")


def _union(
    columns: Sequence[NumericColumn], axis: Axis
) -> tuple[NDArray[np.int64], list[tuple[NDArray[Any], NDArray[np.bool_]]]]:
    """Give every stamp as often as one column has it, so that no value is lost, and each value at its own."""
    distinct = np.unique(np.concatenate([each.time_ns for each in columns]))
    often, places = np.ones(len(distinct), np.int64), []
    for each in columns:
        at = np.searchsorted(distinct, each.time_ns)
        rank = np.arange(len(at)) - np.searchsorted(each.time_ns, each.time_ns)  # among the values of one instant
        mine = np.ones(len(distinct), np.int64)
        mine[at] = rank + 1  # the last of them is the highest
        np.maximum(often, mine, out=often)
        places.append((at, rank))
    rows = int(often.sum())
    _check_memory(rows, columns, axis, "the union of all stamps")
    first = np.cumsum(often) - often
    picked = []
    for each, (at, rank) in zip(columns, places, strict=True):
        values, present = np.zeros(rows, each.values.dtype), np.zeros(rows, np.bool_)
        values[first[at] + rank], present[first[at] + rank] = each.values, True
        picked.append((values, present))
    return np.repeat(distinct, often), picked


def _frame(
    columns: Sequence[NumericColumn],
    stamps: NDArray[np.int64],
    picked: Sequence[tuple[NDArray[Any], NDArray[np.bool_]]],
    tz: Any,
    meta: Mapping[str, Any],
    *,
    exact: bool,
) -> pd.DataFrame:
    import pandas as pd

    from intdash_frames.frames.pandas_frame import time_index

    names = _names(columns)
    data = {}
    for name, (values, present) in zip(names, picked, strict=True):
        is_float = values.dtype.kind == "f"
        if present.all() and not (exact and is_float and np.isnan(values).any()):
            data[name] = values
        elif exact or not is_float:
            # A missing value must stay apart from a NaN that was measured, and an integer an integer.
            data[name] = pd.arrays.ArrowExtensionArray(pa.chunked_array([pa.array(values, mask=~present)]))
        else:
            data[name] = np.where(present, values, np.nan)
    frame = pd.DataFrame(
        data, index=time_index(pa.chunked_array([pa.array(stamps).cast(pa.timestamp("ns", "UTC"))]), tz), copy=False
    )
    described = {name: {"signal": each.signal, "field": each.field} for name, each in zip(names, columns, strict=True)}
    units = {name: each.unit for name, each in zip(names, columns, strict=True) if each.unit}
    frame.attrs["intdash"] = freeze({**meta, "shape": "wide", "columns": described, "units": units})
    return frame


def _names(columns: Sequence[NumericColumn]) -> list[str]:
    """Name each column by its id or field where that tells it from all others and from the index."""
    counts = Counter([*(each.short for each in columns), *(each.full for each in columns), "", "time"])
    return [each.short if counts[each.short] == 1 else each.full for each in columns]


def _pick(
    column: NumericColumn, stamps: NDArray[np.int64], limit: int | None, *, nearest: bool
) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Give the last value at or before each stamp, or the nearest one."""
    times = column.time_ns
    at = np.searchsorted(times, stamps, side="right") - 1
    if nearest:
        after = np.minimum(at + 1, len(times) - 1)
        before = np.maximum(at, 0)
        at = np.where(np.abs(times[after] - stamps) < np.abs(stamps - times[before]), after, before)
    present = at >= 0
    at = np.maximum(at, 0)
    if limit is not None:
        present &= np.abs(stamps - times[at]) <= limit
    return column.values[at], present


def _mean(column: NumericColumn, stamps: NDArray[np.int64], step: int | None) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Give the mean of the values from each stamp to the next."""
    end = stamps[-1] + step if step is not None else column.time_ns[-1] + 1
    edges = np.searchsorted(column.time_ns, np.append(stamps, max(int(end), int(stamps[-1]))), side="left")
    counts = np.diff(edges)
    present = counts > 0
    sums = np.zeros(len(stamps))
    if present.any():
        values = column.values[edges[0] : edges[-1]].astype(np.float64)
        sums[present] = np.add.reduceat(values, (edges[:-1] - edges[0])[present])
    return sums / np.maximum(counts, 1), present


def _interpolate(column: NumericColumn, stamps: NDArray[np.int64], limit: int | None) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Give the value of the line between the neighbours of each stamp."""
    times = column.time_ns
    # Relative to the first stamp: nanoseconds since 1970 are beyond the 53 bits of a float.
    values = np.interp((stamps - times[0]).astype(np.float64), (times - times[0]).astype(np.float64), column.values)
    present = (stamps >= times[0]) & (stamps <= times[-1])
    if limit is not None:
        before = np.clip(np.searchsorted(times, stamps, side="right") - 1, 0, len(times) - 1)
        after = np.clip(np.searchsorted(times, stamps, side="left"), 0, len(times) - 1)
        present &= (stamps - times[before] <= limit) & (times[after] - stamps <= limit)
    return values, present


def _find(columns: Sequence[NumericColumn], name: str) -> NumericColumn:
    found = [each for each in columns if name in (each.short, each.full, each.signal)]
    if not found or (len({each.signal for each in found}) > 1):
        what = "no numeric column is" if not found else "more than one column is"
        raise UsageError(f"on={name!r}: {what} called so; there are {', '.join(each.full for each in (found or columns)[:20])}")
    return found[0]


def _positive(name: str, value: Any) -> int:
    span = timebase.duration_ns(value, name=name)
    if span <= 0:
        raise UsageError(f"{name}={value!r} is not positive; expected a duration such as '10ms'")
    return span


def _bytes(size: str | int) -> int:
    if isinstance(size, int) and not isinstance(size, bool) and size > 0:
        return size
    match = _SIZE.fullmatch(size.strip()) if isinstance(size, str) else None
    if match is None:
        raise UsageError(f"max_memory={size!r}; expected bytes, or text such as '2GiB'")
    base = 1024 if match[3] else 1000
    return int(float(match[1]) * base ** " kMGT".index(match[2].replace("K", "k") or " "))


def _check_memory(rows: int, columns: Sequence[NumericColumn], axis: Axis, name: str) -> None:
    needed = rows * (len(columns) + 1) * 8
    if needed > axis.max_bytes:
        values = sum(len(each.time_ns) for each in columns)
        raise UsageError(
            f"{name} has {rows:,} rows for {len(columns)} columns: {needed / 2**20:,.1f} MiB, over max_memory of "
            f"{axis.max_bytes / 2**20:,.1f} MiB, for {values:,} values; give a coarser every=, on= one of the signals, "
            "fewer signals, or a larger max_memory"
        )
