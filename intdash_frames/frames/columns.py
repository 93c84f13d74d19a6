"""Any frame with a time axis -> points: the way back of `typed`, `build` and `wide`, and of frames that were never ours."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from intdash_frames.codecs.layout import IdRule, Layout, Tail, Values
from intdash_frames.codecs.points import Points
from intdash_frames.codecs.series import Series, SeriesTable, number_distinct
from intdash_frames.codecs.table import LAYOUTS, SENSORS, layout_of
from intdash_frames.errors import PayloadError, UsageError
from intdash_frames.frames import envelope
from intdash_frames.frames.sheet import Sheet
from intdash_frames.model import DataType, SignalKey

__all__ = ["points_of"]

# Rows whose payloads are put together at a time, so that one batch stays under 2 GiB for all but huge payloads.
ROWS = 1 << 19


# --- its shape, and the points in it ---


def points_of(sheet: Sheet, keys: SeriesTable, *, channel: int, signals: Mapping[str, Any] | None) -> list[Points]:
    """Turn a sheet into points; times stay as they are.

    Parameters
    ----------
    sheet : Sheet
    keys : SeriesTable
        Where series get their codes.
    channel : int
        For columns that are not of our making.
    signals : mapping of str to str, optional
        Signal of a column, such as ``{"v": "float:3/speed"}``.

    Raises
    ------
    UsageError, PayloadError
        If a column cannot be stored; nothing was sent.
    """
    names = set(sheet.columns)
    if not signals and _is_envelope(sheet):
        return _envelope_points(sheet, keys)
    if "data_type" in names and any(name.partition(".")[2] for name in names) and not signals:
        return _long_points(sheet, keys)
    if {"channel", "data_id"} <= names and not signals:
        return _in_slices(sheet, lambda part: [_typed_points(part, keys, _layout_for(part))])
    return _in_slices(sheet, lambda part: _wide_points(part, keys, channel=channel, signals=signals or {}))


def _is_envelope(sheet: Sheet) -> bool:
    """Tell an envelope from a typed frame that says its data type and keeps some payloads: its types are numbers."""
    kinds = sheet.columns.get("data_type")
    return {"channel", "data_id", "payload"} <= set(sheet.columns) and kinds is not None and pa.types.is_integer(kinds.type)


def _in_slices(sheet: Sheet, convert: Any) -> list[Points]:
    return [part for start in range(0, len(sheet), ROWS) for part in convert(sheet.rows(start, min(start + ROWS, len(sheet))))]


def _envelope_points(sheet: Sheet, keys: SeriesTable) -> list[Points]:
    times = pa.array(sheet.time_ns).cast(pa.timestamp("ns", "UTC"))
    uuids = sheet.columns.get("measurement_uuid", pa.DictionaryArray.from_arrays(pa.array(np.zeros(len(sheet), np.int32)), [""]))
    columns = {"time": times, **sheet.columns, "measurement_uuid": uuids}
    return envelope.to_points(pa.table(columns), keys)


def _long_points(sheet: Sheet, keys: SeriesTable) -> list[Points]:
    """Take apart a frame of several data types, and put its points back in the order of its rows."""
    kinds = _texts(sheet.columns["data_type"])
    if kinds.null_count:
        raise UsageError(f"column 'data_type' has {kinds.null_count} nulls; expected a data type on every row")
    parts, rows = [], []
    for kind in pc.unique(kinds).to_pylist():
        mask = pc.equal(kinds, kind).to_numpy(zero_copy_only=False)
        own = {name: name.partition(".")[2] for name in sheet.columns if name.startswith(f"{kind}.")}
        part = sheet.where(mask, ["channel", "data_id", *own])
        columns = {own.get(name, name): column for name, column in part.columns.items()}
        layout = _layout_named(kind)
        parts.append(_typed_points(Sheet(part.time_ns, sheet.elapsed, columns), keys, layout))
        if len(parts[-1]) != int(mask.sum()):
            raise UsageError(f"rows of type {kind} have no value in {list(own)}; expected one on every row of that type")
        rows.append(np.flatnonzero(mask))
    return [Points.concat(parts, keys).take(np.argsort(np.concatenate(rows), kind="stable"))] if parts else []


def _texts(column: pa.Array) -> pa.Array:
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    return column.cast(pa.string())


def _layout_named(kind: str) -> tuple[int, Layout]:
    number = int(kind) if kind.isdecimal() else int(DataType.__members__.get(kind, -1))
    if not 0 <= number <= 255:
        raise UsageError(
            f"data type {kind!r} cannot be stored; expected a number from 0 to 255 or one of {[each.name for each in DataType]}"
        )
    return number, layout_of(number)


def _layout_for(sheet: Sheet) -> tuple[int, Layout]:
    """Find the data type of a typed frame: what it says of itself, else what its columns say."""
    named = sheet.columns.get("data_type")
    if named is not None and len(sheet):
        distinct = pc.unique(_texts(named)).to_pylist()
        if len(distinct) != 1 or distinct[0] is None:
            raise UsageError(f"column 'data_type' holds {distinct}; a typed frame is of one data type")
        return _layout_named(distinct[0])
    said = sheet.meta.get("data_type")
    if isinstance(said, str):
        number, layout = _layout_named(said)
        if set(layout.schema.names) <= set(sheet.columns) or _is_raw(sheet, layout):
            return number, layout
    fits = [layout for layout in LAYOUTS.values() if _fits(layout, sheet)]
    most = max((len(layout.schema.names) for layout in fits), default=0)
    best = [layout for layout in fits if len(layout.schema.names) == most]
    if len(best) != 1:
        names = [layout.data_type.name for layout in best]
        raise UsageError(
            f"the columns {list(sheet.columns)} "
            + (f"fit more than one data type, {names}" if best else "fit no data type")
            + "; add a column 'data_type' that says which it is"
        )
    return int(best[0].data_type), best[0]


def _is_raw(sheet: Sheet, layout: Layout) -> bool:
    """Say whether a typed frame holds payloads alone, as an export without decoding does."""
    return "payload" in sheet.columns and not set(layout.schema.names) & set(sheet.columns)


def _fits(layout: Layout, sheet: Sheet) -> bool:
    """Say whether a frame has the columns of a layout; a column ``value`` also tells by its type."""
    for wanted in layout.schema:
        column = sheet.columns.get(wanted.name)
        if column is None or layout.data_type in (DataType.mavlink, DataType.can_bulk, DataType.general_sensor_bulk):
            return False
        if wanted.name == "value" and column.type != wanted.type and not (_is_text(column.type) and _is_text(wanted.type)):
            return False
    if layout.schema.names == ["data"]:  # jpeg and aac look alike, but their ids are their names
        return bool(pc.all(pc.equal(_texts(sheet.columns["data_id"]), layout.id_text)).as_py())
    return True


def _is_text(type_: pa.DataType) -> bool:
    return bool(pa.types.is_string(type_) or pa.types.is_large_string(type_))


def _typed_points(sheet: Sheet, keys: SeriesTable, which: tuple[int, Layout]) -> Points:
    """Encode a typed frame; rows whose value is null and that kept no raw payload are left out."""
    number, layout = which
    is_raw = _is_raw(sheet, layout)
    columns = dict(sheet.columns) if is_raw else _completed(sheet.columns, layout)
    kept = columns.get("payload") if "payload" not in layout.schema.names else None
    stored = np.full(len(sheet), not is_raw, np.bool_)
    for name in layout.schema.names:
        if name in columns and columns[name].null_count:
            stored &= columns[name].is_valid().to_numpy(zero_copy_only=False)
    if kept is not None:
        stored |= kept.is_valid().to_numpy(zero_copy_only=False)
    if not stored.all():
        used = {*layout.schema.names, "channel", "data_id", "payload"} & set(columns)
        sheet = Sheet(sheet.time_ns, sheet.elapsed, columns).where(stored, used)
        columns, kept = sheet.columns, sheet.columns.get("payload") if kept is not None else None
    series = _series_codes(columns, number, keys)
    if is_raw:
        raw = Values.of(columns["payload"])
        return Points(np.ascontiguousarray(sheet.time_ns), series, raw.data, raw.offsets, keys)
    is_kept = kept.is_valid().to_numpy(zero_copy_only=False) if kept is not None else None
    payloads = _encode(layout, columns, series, keys, None if kept is None else Values.of(kept), is_kept)
    return Points(np.ascontiguousarray(sheet.time_ns), series, payloads.data, payloads.offsets, keys)


def _completed(columns: dict[str, pa.Array], layout: Layout) -> dict[str, pa.Array]:
    """Fill in what a frame made by hand may leave out, because another column says it: the number of an id, the count of data."""
    columns = dict(columns)
    first = layout.head[0].name if layout.head else ""
    if layout.id_rule is IdRule.NUMBER and first not in columns and "data_id" in columns:
        ids = _texts(columns["data_id"]).dictionary_encode()
        try:
            numbers = [int(text, 16) for text in ids.dictionary.to_pylist()]
        except (TypeError, ValueError) as exc:
            raise UsageError(f"column {first!r} is missing and 'data_id' is not hexadecimal: {exc}") from exc
        columns[first] = pa.array(np.asarray(numbers, np.int64)[ids.indices.to_numpy()]) if len(ids) else pa.array([], pa.int64())
    if layout.data_type is DataType.can and "dlc" not in columns and "data" in columns:
        columns["dlc"] = pc.fill_null(pc.binary_length(columns["data"]), 0)
    return columns


def _series_codes(columns: Mapping[str, pa.Array], number: int, keys: SeriesTable) -> NDArray[np.int32]:
    """Series code of each row, from its channel and data id."""
    for name in ("channel", "data_id"):
        if columns[name].null_count:
            raise UsageError(f"column {name!r} has {columns[name].null_count} nulls; expected one on every row")
    channels = columns["channel"]
    if pa.types.is_dictionary(channels.type):
        channels = channels.dictionary_decode()
    if not pa.types.is_integer(channels.type):
        raise UsageError(f"column 'channel' is {channels.type}; expected whole numbers from 0 to 255")
    channel = channels.cast(pa.int64()).to_numpy()
    if len(channel) and (channel.min() < 0 or channel.max() > 255):
        raise UsageError(f"column 'channel' holds {channel.min()} to {channel.max()}; expected 0 to 255")
    ids = (
        columns["data_id"] if pa.types.is_dictionary(columns["data_id"].type) else _texts(columns["data_id"]).dictionary_encode()
    )
    combined = ids.indices.to_numpy().astype(np.int64) << 8 | channel
    distinct, inverse = number_distinct(combined)
    texts = ids.dictionary.to_pylist()
    codes = [keys.code(Series("", number, value & 0xFF, str(texts[value >> 8]), str(number))) for value in distinct.tolist()]
    return np.asarray(codes, np.int32)[inverse] if len(combined) else np.empty(0, np.int32)


def _encode(
    layout: Layout,
    columns: Mapping[str, pa.Array],
    series: NDArray[np.int32],
    keys: SeriesTable,
    kept: Values | None = None,
    is_kept: NDArray[np.bool_] | None = None,
) -> Values:
    names = Values.of([key.data_id.encode() for key in keys])
    given: dict[str, Any] = {}
    for wanted in layout.schema:
        if wanted.name not in columns:
            continue
        column = columns[wanted.name]
        if layout.tail is not Tail.NOTHING and wanted.name == layout.tail_name:
            given[wanted.name] = _tail_values(layout, wanted, column)
        else:
            given[wanted.name] = _numbers(layout, wanted, column)
    return layout.encode(given, series, names, kept=kept, is_kept=is_kept)


def _tail_values(layout: Layout, wanted: pa.Field, column: pa.Array) -> Values:
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if pa.types.is_null(column.type):
        column = column.cast(wanted.type)
    if _is_text(column.type) != _is_text(wanted.type):
        raise PayloadError(layout.data_type.name, f"column {wanted.name!r} is {column.type}; expected {wanted.type}")
    return Values.of(column)


def _numbers(layout: Layout, wanted: pa.Field, column: pa.Array) -> NDArray[Any]:
    type_ = column.type
    if pa.types.is_null(type_):
        column = column.cast(wanted.type)
    elif pa.types.is_timestamp(wanted.type):
        column = column.cast(pa.timestamp("ns", "UTC")) if pa.types.is_timestamp(type_) else column
    elif pa.types.is_floating(wanted.type) and (pa.types.is_integer(type_) or pa.types.is_boolean(type_)):
        column = column.cast(pa.float64())
    if pa.types.is_floating(wanted.type) and not pa.types.is_floating(column.type):
        raise PayloadError(layout.data_type.name, f"column {wanted.name!r} is {type_}; expected numbers")
    if column.null_count:
        column = column.fill_null(pa.scalar(0, pa.int64()).cast(column.type))
    values: NDArray[Any] = column.to_numpy(zero_copy_only=False)
    return values


# --- frames that are not ours, and wide ones ---


def _wide_points(sheet: Sheet, keys: SeriesTable, *, channel: int, signals: Mapping[str, Any]) -> list[Points]:
    """Take each column as one signal; rows without a value are left out."""
    unknown = [name for name in signals if name not in sheet.columns]
    if unknown:
        raise UsageError(f"signals= names columns {unknown} that are not there; there are {list(sheet.columns)}")
    described: Mapping[str, Any] = sheet.meta.get("columns", {}) if sheet.meta.get("shape") == "wide" else {}
    parts, sensors = [], dict[str, dict[str, str]]()
    for name, column in sheet.columns.items():
        about = described.get(name)
        if name not in signals and about is not None and about["field"] != "value":
            sensors.setdefault(about["signal"], {})[about["field"]] = name
            continue
        key = _key_of(name, column, signals.get(name) or (about["signal"] if about else None), channel)
        parts.append(_column_points(sheet, name, column, key, keys))
    parts += [_sensor_points(sheet, SignalKey.parse(signal), fields, keys) for signal, fields in sensors.items()]
    return [part for part in parts if len(part)]


def _key_of(name: str, column: pa.Array, signal: Any, channel: int) -> SignalKey:
    key = SignalKey.parse(str(signal)) if signal is not None else SignalKey(_natural_type(name, column), channel, name)
    if (
        not isinstance(key.data_type, int)
        or key.channel is None
        or not 0 <= key.channel <= 255
        or not 0 <= int(key.data_type) <= 255
    ):
        raise UsageError(
            f"column {name!r} cannot be stored as {key}; expected 'type:channel/data_id' with a channel of 0 to 255, "
            "such as 'float:1/speed'"
        )
    return key


def _natural_type(name: str, column: pa.Array) -> DataType:
    type_ = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    tests = (
        (pa.types.is_floating, DataType.float),
        (pa.types.is_integer, DataType.int),
        (pa.types.is_boolean, DataType.int),
        (_is_text, DataType.string),
        (lambda each: pa.types.is_binary(each) or pa.types.is_large_binary(each), DataType.bytes),
        (pa.types.is_null, DataType.float),  # nothing but nulls: nothing is stored
    )
    for test, data_type in tests:
        if test(type_):
            return data_type
    raise UsageError(f"column {name!r} is {type_}; expected numbers, booleans, text or bytes: convert it, or leave it out")


def _column_points(sheet: Sheet, name: str, column: pa.Array, key: SignalKey, keys: SeriesTable) -> Points:
    layout = layout_of(int(key.data_type))
    if len(layout.schema) != 1:
        raise UsageError(
            f"column {name!r} cannot be stored as {key}: a {layout.data_type.name} needs the columns {layout.schema.names}"
        )
    valid = column.is_valid().to_numpy(zero_copy_only=False)
    if name in sheet.nan_is_null and pa.types.is_floating(column.type):
        valid = valid & ~np.isnan(column.to_numpy(zero_copy_only=False))
    field_name = layout.schema.names[0]
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if layout.data_type is DataType.int and pa.types.is_floating(column.type):
        raise UsageError(
            f"column {name!r} is {column.type} and cannot be stored as {key}; convert it to integers, or store it as a float"
        )
    if pa.types.is_boolean(column.type) or pa.types.is_float16(column.type) or pa.types.is_float32(column.type):
        column = column.cast(pa.int64() if pa.types.is_boolean(column.type) else pa.float64())
    rows = pa.array(valid)
    code = keys.code(Series("", int(key.data_type), key.channel, key.data_id, str(int(key.data_type))))
    series = np.full(int(valid.sum()), code, np.int32)
    try:
        payloads = _encode(layout, {field_name: column if valid.all() else column.filter(rows)}, series, keys)
    except PayloadError as exc:  # which knows the column only by what it is called in the payload
        raise PayloadError(exc.data_type, f"column {name!r} as {key}: {exc.reason}", data_id=exc.data_id, row=exc.row) from exc
    return Points(np.ascontiguousarray(sheet.time_ns[valid]), series, payloads.data, payloads.offsets, keys)


def _sensor_points(sheet: Sheet, key: SignalKey, fields: Mapping[str, str], keys: SeriesTable) -> Points:
    """Put the axes of a general sensor together again: raw = value / scale, exact for every raw i32 (protocol 6.4)."""
    sensor_id = int(key.data_id, 16)
    sensor = SENSORS[sensor_id]
    missing = [name for name in sensor.fields if name not in fields]
    if missing:
        raise UsageError(
            f"{key} has {list(sensor.fields)}, but {missing} is not among the columns, so its payload cannot be made again; "
            f"keep them together, or store single axes as floats: signals={{{next(iter(fields.values()))!r}: 'float:1/...'}}"
        )
    columns = [sheet.columns[fields[name]] for name in sensor.fields]
    valid = np.ones(len(sheet), np.bool_)
    numbers = []
    for column in columns:
        values = column.cast(pa.float64()).fill_null(np.nan).to_numpy(zero_copy_only=False)
        valid &= ~np.isnan(values)
        numbers.append(values)
    raw = np.rint(np.stack([values[valid] for values in numbers], axis=1) / sensor.scale)
    wrong = np.flatnonzero(((raw < -(2**31)) | (raw >= 2**31)).any(axis=1))
    if len(wrong):
        raise PayloadError(
            "general_sensor", f"a value does not fit 32 bits at a scale of {sensor.scale}", data_id=key.data_id, row=int(wrong[0])
        )
    body = np.ascontiguousarray(raw.astype("<i4"))
    size = 4 * len(sensor.fields)
    data = Values(body.view(np.uint8).reshape(-1), (np.arange(len(body) + 1) * size).astype(np.int32)).to_arrow(pa.binary())
    code = keys.code(Series("", int(DataType.general_sensor), key.channel, key.data_id, str(int(DataType.general_sensor))))
    series = np.full(len(body), code, np.int32)
    payloads = _encode(
        layout_of(DataType.general_sensor),
        {"sensor_id": pa.array(np.full(len(body), sensor_id, np.uint16)), "data": data},
        series,
        keys,
    )
    return Points(np.ascontiguousarray(sheet.time_ns[valid]), series, payloads.data, payloads.offsets, keys)
