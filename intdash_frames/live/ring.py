"""Rows of points that come at the end, in any order, and go when they are the oldest."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from intdash_frames.codecs.points import Points
from intdash_frames.live.buffer import Buffer, Payloads

__all__ = ["Ring", "Rows"]

# What came out of order is sorted in when so many rows wait, or a quarter of those in order: each time, all that are newer move.
MOST_UNSORTED = 8192


@dataclass(frozen=True, slots=True)
class Rows:
    """A copy of some rows of a `Ring`.

    Attributes
    ----------
    time_ns, series : ndarray of int64, of int32, shape (n,)
    columns : dict of str to ndarray of shape (n,)
        The further columns.
    data, offsets : ndarray
        Payload i is ``data[offsets[i]:offsets[i + 1]]``; all are empty where they were not asked for.
    """

    time_ns: NDArray[np.int64]
    series: NDArray[np.int32]
    columns: dict[str, NDArray[Any]]
    data: NDArray[np.uint8]
    offsets: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.time_ns)


class Ring:
    """Rows of a time, a series, further columns and perhaps a payload, in ascending time; those of one instant as they came.

    Rows are put in order when that is needed, at the latest by the methods that say so. Not safe for threads by itself.

    Parameters
    ----------
    most : int
        So many rows are in it at the same time, at most.
    columns : mapping of str to dtype, optional
        The further columns.
    has_payloads : bool
    """

    def __init__(self, most: int, columns: Mapping[str, Any] | None = None, *, has_payloads: bool = False) -> None:
        further = dict(columns or {})
        self._further = tuple(further)
        self._columns = {
            name: Buffer(dtype, most) for name, dtype in {"time_ns": np.int64, "series": np.int32, **further}.items()
        }
        self._payloads = Payloads(most) if has_payloads else None
        self._in_order = 0  # rows from the first on
        self._earliest: int | None = None  # time of all others

    def __len__(self) -> int:
        return len(self._columns["time_ns"])

    def __getitem__(self, name: str) -> NDArray[Any]:
        """A column, over the memory of the ring; perhaps not in order yet."""
        return self._columns[name].items

    @property
    def held_bytes(self) -> int:
        """Memory [byte]."""
        payloads = 0 if self._payloads is None else self._payloads.held_bytes
        return payloads + sum(each.held_bytes for each in self._columns.values())

    def append(self, points: Points, rows: NDArray[np.int64] | None = None, **further: NDArray[Any]) -> None:
        """Add points.

        Parameters
        ----------
        points : Points
        rows : ndarray of int64, optional
            Which of them; all by default, which a ring with payloads does not take.
        **further : ndarray
            The further columns of these rows.
        """
        time_ns, series = (points.time_ns, points.series) if rows is None else (points.time_ns[rows], points.series[rows])
        if not len(time_ns):
            return
        self._note_order(time_ns)
        for name, column in {"time_ns": time_ns, "series": series, **further}.items():
            self._columns[name].room(len(time_ns))[:] = column
        if self._payloads is not None:
            assert rows is not None
            self._payloads.append(points.data, points.offsets, rows)
        if len(self) - self._in_order > max(MOST_UNSORTED, self._in_order // 4):
            self.sort()

    def _note_order(self, time_ns: NDArray[np.int64]) -> None:
        before = self["time_ns"]
        follows = self._earliest is None and (not len(before) or time_ns[0] >= before[-1])
        if follows and (time_ns[1:] >= time_ns[:-1]).all():
            self._in_order += len(time_ns)
        else:
            earliest = int(time_ns.min())
            self._earliest = earliest if self._earliest is None else min(earliest, self._earliest)

    def sort(self) -> None:
        """Put all rows in order."""
        if self._earliest is None:
            return
        times = self["time_ns"]
        first = int(np.searchsorted(times[: self._in_order], self._earliest, side="right"))
        order = np.argsort(times[first:], kind="stable")
        for column in self._columns.values():
            rows = column.items[first:]
            rows[:] = rows[order]
        if self._payloads is not None:
            self._payloads.reorder(first, order)
        self._in_order, self._earliest = len(self), None

    def count_before(self, time_ns: int) -> int:
        """Rows that are older than an instant [count]; all of them are in order after this."""
        if self._earliest is not None and self._earliest < time_ns:
            self.sort()
        return int(np.searchsorted(self["time_ns"][: self._in_order], time_ns, side="left"))

    def drop_oldest(self, count: int) -> NDArray[np.int32]:
        """Take the oldest rows away, of one instant those that came first.

        Returns
        -------
        ndarray of int32
            Series of each.
        """
        late = self._earliest is not None and (count > self._in_order or self._earliest < self["time_ns"][count - 1])
        if count and late:
            self.sort()
        series: NDArray[np.int32] = self["series"][:count].copy()
        for column in self._columns.values():
            column.drop(count)
        if self._payloads is not None:
            self._payloads.drop(count)
        self._in_order -= count
        return series

    def copy(self, wanted: NDArray[np.bool_] | None = None, *, payloads: bool = True) -> list[Rows]:
        """Copy rows, in order.

        Parameters
        ----------
        wanted : ndarray of bool, optional
            By series code; all by default.
        payloads : bool
            Whether to copy the payloads, if there are any.

        Returns
        -------
        list of Rows
            More than one only where the payloads are too large for one; none if there are no rows.
        """
        self.sort()
        has_payloads = payloads and self._payloads is not None
        pieces: Iterable[tuple[int, int]] = [(0, len(self))] if len(self) else []
        if has_payloads:
            assert self._payloads is not None
            pieces = self._payloads.pieces()
        return [self._piece(start, stop, wanted, has_payloads=has_payloads) for start, stop in pieces]

    def _piece(self, start: int, stop: int, wanted: NDArray[np.bool_] | None, *, has_payloads: bool) -> Rows:
        chosen = None if wanted is None else wanted[self["series"][start:stop]]
        rows = None if chosen is None or chosen.all() else np.flatnonzero(chosen)  # a plain copy is some times faster
        columns = {
            name: _copied(column.items[start:stop]) if rows is None else column.items[start:stop][rows]
            for name, column in self._columns.items()
        }
        time_ns, series = columns.pop("time_ns"), columns.pop("series")
        data: NDArray[np.uint8] = np.empty(0, np.uint8)
        offsets: NDArray[np.int32] = np.zeros(len(time_ns) + 1, np.int32)
        if has_payloads:
            assert self._payloads is not None
            data, offsets = self._payloads.copy(start, stop, rows)
        return Rows(time_ns, series, columns, data, offsets)


def _copied(items: NDArray[Any]) -> NDArray[Any]:
    """Copy items; NumPy copies records field by field, which takes many times as long as the same bytes at once."""
    size = items.dtype.itemsize
    return items.view(f"V{size}").copy().view(items.dtype) if items.dtype.names and size else items.copy()
