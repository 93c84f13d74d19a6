"""A Parquet or CSV file of anybody's -> an Arrow table whose column ``time`` has a zone."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from intdash_frames import timebase
from intdash_frames.errors import IntdashError, UsageError

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["UNITS", "read_table"]

# Digits of a number behind which there are nanoseconds.
UNITS: Final[Mapping[str, int]] = {"s": 9, "ms": 6, "us": 3, "ns": 0}
PARQUET: Final = b"PAR1"
# What is looked at to tell text from anything else.
PROBE_BYTES: Final = 4096
# Of columns, and of texts, in an error.
MOST_NAMES: Final = 20
MOST_TEXTS: Final = 3


def read_table(
    path: Path,
    *,
    time: str | None = None,
    tz: str | None = None,
    unit: str | None = None,
    texts: Collection[str] = (),
    without: Collection[str] = (),
) -> pa.Table:
    """Read a file.

    Parameters
    ----------
    path : Path
        Parquet, or CSV with a head line, commas and UTF-8.
    time : str, optional
        Column of the stamps. Default: ``time``, or the only one that holds timestamps.
    tz : str, optional
        Zone of stamps that say none.
    unit : {"s", "ms", "us", "ns"}, optional
        Of stamps that are numbers, counted from the epoch.
    texts : collection of str
        Columns of a CSV file that are text, whatever they look like.
    without : collection of str
        Columns to leave out.

    Raises
    ------
    IntdashError
        If the file cannot be read.
    UsageError
        If other arguments are needed to make sense of it.
    """
    if tz is not None:
        timebase.zone(tz)
    if unit is not None and unit not in UNITS:
        raise UsageError(f"unit {unit!r} is none of {', '.join(UNITS)}")
    try:
        with path.open("rb") as file:
            probe = file.read(PROBE_BYTES)
    except OSError as exc:
        raise IntdashError(f"{str(path)!r} cannot be read: {exc.strerror}") from exc
    is_parquet = probe.startswith(PARQUET)
    table = _parquet(path) if is_parquet else _csv(path, probe, {"time", *texts, *([time] if time is not None else [])})
    if not len(table):
        raise IntdashError(f"{str(path)!r} has no rows, so there is nothing to store")
    names = table.column_names
    if len(set(names)) < len(names):
        raise UsageError(f"columns are named twice: {sorted({name for name in names if names.count(name) > 1})}")
    for each in without:
        if each not in names or each == time:
            raise UsageError(f"--without {each!r} is no column beside the time; there are {', '.join(names[:MOST_NAMES])}")
    table = table.drop_columns(list(without))
    time = _time_column(table.schema, time)
    stamps = _stamps(time, table[time], tz, unit)
    if time != "time" and "time" in table.column_names:
        raise UsageError(f"with --time {time} the column 'time' would be a signal; leave it out: --without time")
    table = table.set_column(table.column_names.index(time), "time", stamps)
    if not is_parquet:
        _check_mixed(table, texts)
    return table


# --- files ---


def _parquet(path: Path) -> pa.Table:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        # not read_table, which would add columns that the names of the folders around it say
        return pq.ParquetFile(path).read()
    except (OSError, pa.ArrowException) as exc:
        raise IntdashError(f"{str(path)!r} begins as Parquet does, but cannot be read: {exc}") from exc


def _csv(path: Path, probe: bytes, texts: Collection[str]) -> pa.Table:
    import pyarrow as pa
    from pyarrow import csv

    if b"\0" in probe or not probe.strip():
        raise IntdashError(f"{str(path)!r} is neither Parquet nor CSV: it {'is empty' if not probe.strip() else 'is not text'}")
    # Of text, an empty cell is a missing value, as it is of numbers; a quoted one is an empty text.
    options: dict[str, Any] = {"strings_can_be_null": True, "quoted_strings_can_be_null": False}
    try:
        # Stamps are among the texts: as numbers, those with a point would lose their nanoseconds.
        types = dict.fromkeys(texts, pa.string())
        table = csv.read_csv(path, convert_options=csv.ConvertOptions(column_types=types, **options))
        first, *others = table.column_names
    except (OSError, UnicodeError, pa.ArrowException) as exc:
        raise IntdashError(f"{str(path)!r} is neither Parquet nor CSV in UTF-8 with commas: {exc}") from exc
    if not others:
        raise IntdashError(f"{str(path)!r} is neither Parquet nor CSV with commas: its first line is {first[:60]!r}")
    unreadable = [field.name for field in table.schema if pa.types.is_binary(field.type)]
    if unreadable:
        raise IntdashError(f"{str(path)!r} is CSV, but column {unreadable[0]!r} is not in UTF-8; convert the file")
    return table


def _check_mixed(table: pa.Table, texts: Collection[str]) -> None:
    """Refuse text that is mostly numbers: a word among them would make texts of all of them, which nobody wants unsaid."""
    import pandas as pd
    import pyarrow as pa

    for name in table.column_names:
        if name in texts or not pa.types.is_string(table[name].type):
            continue
        values = table[name].drop_null().to_pandas()
        words = values[pd.to_numeric(values, errors="coerce").isna()]
        if 0 < len(words) < len(values):
            shown = ", ".join(map(repr, words.unique()[:MOST_TEXTS]))
            raise UsageError(
                f"column {name!r} holds {len(values) - len(words):,} numbers and {len(words):,} texts, such as {shown}; mend it, "
                f"or say that all of it is text: --signal {name}=string:1/{name}"
            )


# --- stamps ---


def _time_column(schema: pa.Schema, time: str | None) -> str:
    import pyarrow as pa

    if time is not None and time not in schema.names:
        raise UsageError(f"there is no column {time!r}; there are {', '.join(schema.names[:MOST_NAMES])}")
    if time is None and "time" not in schema.names:
        found = [field.name for field in schema if pa.types.is_timestamp(field.type)]
        if len(found) != 1:
            raise UsageError(
                f"which column is the time? {len(found)} hold timestamps and none is called 'time'; say --time with one of "
                + ", ".join(schema.names[:MOST_NAMES])
            )
        return str(found[0])
    return "time" if time is None else time


def _stamps(name: str, column: pa.ChunkedArray, tz: str | None, unit: str | None) -> pa.ChunkedArray:
    """Make stamps with a zone of whatever a column holds; durations stay, they count from the base time."""
    import pyarrow as pa

    if column.null_count:
        raise UsageError(f"column {name!r} has no stamp in {column.null_count:,} rows; expected one on every row")
    kind = column.type
    if unit is not None:
        return _counted(name, column, unit)
    if pa.types.is_integer(kind) or pa.types.is_floating(kind):
        raise UsageError(f"column {name!r} holds numbers; say --unit s, ms, us or ns, counted from 1970-01-01 UTC")
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        column = _read(name, column)
    elif not pa.types.is_timestamp(kind) and not pa.types.is_duration(kind):
        raise UsageError(f"column {name!r} is {kind}; expected timestamps, text such as 2024-05-14T10:00:00+09:00, or numbers")
    if pa.types.is_timestamp(column.type) and column.type.tz is None:
        return _located(name, column, tz)
    return column


def _counted(name: str, column: pa.ChunkedArray, unit: str) -> pa.ChunkedArray:
    """Numbers from the epoch on; text of them keeps all its digits."""
    import pyarrow as pa
    import pyarrow.compute as pc

    digits = UNITS[unit]
    try:
        if pa.types.is_integer(column.type):
            ns = pc.multiply_checked(column.cast(pa.int64()), 10**digits)
        elif pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
            exact = pc.utf8_trim_whitespace(column).cast(pa.decimal128(19, digits))
            ns = pc.multiply(exact, pa.scalar(10**digits, pa.decimal128(10, 0))).cast(pa.int64())
        else:
            raise UsageError(
                f"column {name!r} is {column.type}; --unit takes whole numbers, since of floats nobody knows the nanoseconds: "
                "convert it to timestamps"
            )
    except pa.ArrowInvalid as exc:
        raise UsageError(f"column {name!r} is no number of {unit} from 1678 to 2262: {exc}") from exc
    return ns.cast(pa.timestamp("ns", "UTC"))


def _read(name: str, column: pa.ChunkedArray) -> pa.ChunkedArray:
    """ISO 8601, all with a zone or all without."""
    import pyarrow as pa
    import pyarrow.compute as pc

    texts, reasons = pc.utf8_trim_whitespace(column), []
    for kind in (pa.timestamp("ns", "UTC"), pa.timestamp("ns")):
        try:
            return texts.cast(kind)
        except pa.ArrowInvalid as exc:
            reasons.append(str(exc))
    if all(_is_number(text) for text in texts.slice(0, 100).to_pylist()):
        raise UsageError(f"column {name!r} holds numbers; say --unit s, ms, us or ns, counted from 1970-01-01 UTC")
    raise UsageError(
        f"column {name!r} cannot be read as times: {reasons[-1]}; expected ISO 8601 on every row, "
        "such as 2024-05-14T10:00:00+09:00, or numbers and --unit"
    )


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def _located(name: str, column: pa.ChunkedArray, tz: str | None) -> pa.ChunkedArray:
    import pandas as pd
    import pyarrow as pa

    if tz is None:
        raise UsageError(f"column {name!r} has no time zone; say which it is, such as --tz Asia/Tokyo")
    try:
        naive = column.cast(pa.timestamp("ns"))
    except pa.ArrowInvalid as exc:
        raise UsageError(f"column {name!r} is beyond nanoseconds (1678 to 2262): {exc}") from exc
    # pandas 2 and 3 raise different kinds of errors here; both can be told to give NaT.
    stamps = pd.DatetimeIndex(naive.to_numpy()).tz_localize(timebase.zone(tz), ambiguous="NaT", nonexistent="NaT")
    if stamps.hasnans:
        row = int(stamps.isna().argmax())
        raise UsageError(
            f"column {name!r}, row {row}: {naive[row].as_py()} comes twice or never in {tz} (clock change); give stamps "
            "with offsets"
        )
    return pa.chunked_array([pa.array(stamps.asi8).cast(pa.timestamp("ns", "UTC"))])
