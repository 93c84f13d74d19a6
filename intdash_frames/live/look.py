"""A copy of a window, named and decoded as if just these points had been read."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from intdash_frames.codecs.layout import Heads, Values
from intdash_frames.codecs.points import Points
from intdash_frames.codecs.series import Series, SeriesTable
from intdash_frames.codecs.table import layout_of
from intdash_frames.frames import build
from intdash_frames.frames.build import Kind, Typed
from intdash_frames.frames.envelope import by_code
from intdash_frames.frames.typed import of_decoded
from intdash_frames.live.ring import Rows

__all__ = ["Look", "data_type_of", "look"]


@dataclass(frozen=True, slots=True)
class Look:
    """Which series a window holds, and copies of rows.

    Frames list kinds, signals and categories in the order of the table of series. That of a stream knows what has long gone, in
    the order in which it came; a read of the same points would have a table of its own.

    Attributes
    ----------
    table : SeriesTable
        The series that occur, in the order of their first points.
    codes : ndarray of int32
        By code in the window: that in `table`, -1 where there is no point.
    kinds : mapping
        Rows that were copied, with codes of the window.
    """

    table: SeriesTable
    codes: NDArray[np.int32]
    kinds: Mapping[Kind, Sequence[Rows]]

    def typed(self) -> dict[Kind, Typed]:
        """Give the copied rows as typed columns."""
        _, kinds = by_code(self.table, build.kind_of)
        return {kind: self._typed(kind, self.kinds[kind]) for kind in kinds if kind in self.kinds}

    def _typed(self, kind: Kind, pieces: Sequence[Rows]) -> Typed:
        data_type = data_type_of(kind)
        heads = [
            Heads(
                rows.columns["record"], rows.columns["mark"], np.add(rows.offsets[:-1], rows.columns["head_at"], dtype=np.int64)
            )
            for rows in pieces
        ]
        decoded = layout_of(data_type).to_columns([Values(rows.data, rows.offsets) for rows in pieces], heads)
        time_ns, series = np.concatenate([rows.time_ns for rows in pieces]), np.concatenate([rows.series for rows in pieces])
        return of_decoded(decoded, data_type, self.table, time_ns, self.codes[series])

    def renamed(self, points: Points) -> Points:
        """Give points with codes of the window those of `table`."""
        return dataclasses.replace(points, series=self.codes[points.series], keys=self.table)

    def signal_codes(self) -> tuple[NDArray[np.int32], list[Series]]:
        """Number the signals, as `build.signal_codes`."""
        count = len(self.table)
        one_each = np.arange(count, dtype=np.int32)
        nothing, offsets = np.empty(0, np.uint8), np.zeros(count + 1, np.int32)
        return build.signal_codes([Points(np.zeros(count, np.int64), one_each, nothing, offsets, self.table)])

    @property
    def measurement_uuids(self) -> tuple[str, ...]:
        """Of which measurements there are points."""
        return tuple(dict.fromkeys(key.measurement_uuid for key in self.table))


def look(series: NDArray[np.int32], keys: SeriesTable, kinds: Mapping[Kind, Sequence[Rows]]) -> Look:
    """Look at a window.

    Parameters
    ----------
    series : ndarray of int32, shape (n,)
        Of all points, in order of time; codes in `keys`.
    keys : SeriesTable
    kinds : mapping
        Copied rows of some kinds.
    """
    size = int(series.max(initial=-1)) + 1
    first = np.full(size, -1, np.int64)
    first[series[::-1]] = np.arange(len(series) - 1, -1, -1)  # where a series comes again, the last that is written stays
    occurring = np.flatnonzero(first >= 0)
    table, codes = SeriesTable(), np.full(size, -1, np.int32)
    for code in occurring[np.argsort(first[occurring])].tolist():
        codes[code] = table.code(keys[code])
    return Look(table, codes, kinds)


def data_type_of(kind: Kind) -> int | None:
    """Give the number of a data type; None for the textual types of newer servers."""
    return int(kind) if isinstance(kind, int) else None
