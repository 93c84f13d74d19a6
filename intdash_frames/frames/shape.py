"""Which columns the frames of a query have, so that every batch and every part of them has the same."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from intdash_frames.codecs.points import Points
from intdash_frames.codecs.series import Series
from intdash_frames.codecs.table import SENSORS, layout_of
from intdash_frames.frames import build
from intdash_frames.frames.envelope import ENVELOPE, TEXT_CODES
from intdash_frames.frames.typed import IDS, UNITS, Typed, typed
from intdash_frames.model import DataType

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Shape", "shape_of"]


@dataclass(frozen=True)
class Shape:
    """Columns that are known before the points.

    Attributes
    ----------
    kinds : tuple of DataType, int or str
        The data types, in order of their numbers.
    sensors : tuple of int
        The known general sensors among them, in order of their numbers.

    Notes
    -----
    The one column of `Frames.to_polars` that cannot be known before is ``payload``, with the raw bytes of the payloads that
    their columns would not give back. It is not among these.
    """

    kinds: tuple[build.Kind, ...]
    sensors: tuple[int, ...] = ()

    @property
    def kind(self) -> build.Kind | None:
        """The only data type, whose columns have no prefix; None if there is not exactly one."""
        return self.kinds[0] if len(self.kinds) == 1 else None

    @cached_property
    def columns(self) -> dict[str, tuple[build.Kind, pa.DataType]]:
        """The columns that payloads are decoded for: of which data type, and of which Arrow type."""
        found = {}
        for kind in self.kinds:
            prefix = "" if self.kind is not None else f"{build.kind_name(kind)}."
            fields = {field.name: field.type for field in layout_of(_number(kind)).schema}
            if kind == DataType.general_sensor:
                fields |= {name: pa.float64() for sensor in self.sensors for name in SENSORS[sensor].fields}
            found.update({prefix + name: (kind, type_) for name, type_ in fields.items()})
        return found

    @cached_property
    def schema(self) -> pa.Schema:
        """What `table` gives."""
        kind = self.kind
        fields = [ENVELOPE.field(name) for name in ("time", *IDS)]
        if len(self.kinds) > 1 or (kind is not None and (kind in build.ALIKE or not isinstance(kind, DataType))):
            fields.append(pa.field("data_type", TEXT_CODES))
        return pa.schema([*fields, *(pa.field(name, type_) for name, (_, type_) in self.columns.items())])

    @property
    def nullable(self) -> list[str]:
        """The columns that rows of other types, or of other sensors, leave empty."""
        several = len(self.sensors) > 1
        fields = {name for sensor in self.sensors for name in SENSORS[sensor].fields}
        return [name for name in self.columns if self.kind is None or (several and name in fields)]

    def table(self, parts: Sequence[Points], wanted: Collection[str] | None = None) -> tuple[pa.Table, int]:
        """Give points as a table of these columns; payloads of a data type are decoded only if a column of it is wanted.

        Parameters
        ----------
        parts : sequence of Points
            That share their keys. Points of a data type that is not among `kinds` have no columns, or are left out if the
            columns are those of one type alone.
        wanted : collection of str, optional
            Which columns; they keep their order.

        Returns
        -------
        table : pyarrow.Table
        undecodable : int
            Payloads among those decoded that do not fit their layout.
        """
        names = [name for name in self.schema.names if wanted is None or name in wanted]
        schema = pa.schema([self.schema.field(name) for name in names])
        if not parts:
            return schema.empty_table(), 0
        tables = self._decoded(parts, {self.columns[name][0] for name in names if name in self.columns})
        undecodable = sum(each.undecodable for each in tables.values())
        table = build.long_table(parts, tables) if self.kind is None else self._typed(parts, self.kind, tables)
        present = set(table.column_names)
        columns = [
            table[field.name].cast(field.type) if field.name in present else pa.nulls(len(table), field.type) for field in schema
        ]
        return pa.table(columns, schema=schema), undecodable

    def frame(self, parts: Sequence[Points], meta: Mapping[str, Any], tz: Any) -> pd.DataFrame:
        """Give points as `Frames.to_pandas` does, but always with these columns and their types.

        Only a number in a frame of one data type is backed by Arrow instead of numpy where a payload could not be decoded.
        """
        from intdash_frames.frames.pandas_frame import to_pandas

        table = self.table(parts)[0]
        if self.kind is None:
            attrs = build.attributes(meta, shape="long")
        else:
            table = table.select([name for name in table.column_names if name != "data_type"])
            units = {name: UNITS[name] for name in self.columns if name in UNITS}
            attrs = build.attributes(meta, shape="typed", data_type=build.kind_name(self.kind), units=units)
        return to_pandas(table, tz=tz, attrs=attrs, nullable=self.nullable)

    def _decoded(self, parts: Sequence[Points], kinds: Collection[build.Kind]) -> dict[build.Kind, Typed]:
        tables = {}
        for kind in kinds:
            wanted = _are(kind, parts)
            if wanted.any():
                tables[kind] = typed(parts, parts[0].keys, wanted, _number(kind))
        return tables

    def _typed(self, parts: Sequence[Points], kind: build.Kind, tables: Mapping[build.Kind, Typed]) -> pa.Table:
        if kind in tables:
            return build.named_table(tables[kind], kind)
        wanted = _are(kind, parts)
        rows = [wanted[part.series] for part in parts]
        times = np.concatenate([part.time_ns[own] for part, own in zip(parts, rows, strict=True)])
        series = np.concatenate([part.series[own] for part, own in zip(parts, rows, strict=True)])
        return build.named_table(Typed(None, parts[0].keys, times, series, {}, 0), kind)


def shape_of(series: Iterable[Series]) -> Shape:
    """Give the columns of what consists of these series."""
    every = list(series)
    kinds = build.in_order(dict.fromkeys(map(build.kind_of, every)))
    ids = {key.data_id.lower() for key in every if key.data_type == DataType.general_sensor}
    return Shape(tuple(kinds), tuple(sensor for sensor in SENSORS if f"{sensor:04x}" in ids))


def _number(kind: build.Kind) -> int | None:
    return int(kind) if isinstance(kind, int) else None


def _are(kind: build.Kind, parts: Sequence[Points]) -> NDArray[np.bool_]:
    """By series code, whether a series is of a data type."""
    return np.asarray([build.kind_of(key) == kind for key in parts[0].keys], np.bool_)
