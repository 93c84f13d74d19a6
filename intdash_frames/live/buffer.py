"""Memory that is filled at the end and given up at the front, taken once and kept: items of one kind, or byte strings."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from intdash_frames.codecs import kernels
from intdash_frames.codecs.points import INT32_MAX

__all__ = ["Buffer", "Payloads"]

FIRST_ITEMS = 1024
# Payloads are copied in pieces of so many bytes at most: the offsets of Arrow and of `Points` have 32 bits.
MOST_PIECE_BYTES = INT32_MAX


class Buffer:
    """Items of one kind back to back, so that all of them are one slice.

    When the end of the memory is reached, the items that are left move to its front, or into more memory if that would free too
    little of it.

    Parameters
    ----------
    dtype : dtype
    most : int, optional
        So many items are in it at the same time, at most. It grows by doubling, up to what they need.
    """

    def __init__(self, dtype: Any, most: int | None = None) -> None:
        self._most = most
        self._held = np.empty(FIRST_ITEMS, dtype)
        self._start = self._stop = 0
        self._has_dropped = False

    def __len__(self) -> int:
        return self._stop - self._start

    @property
    def items(self) -> NDArray[Any]:
        """All items, over the memory of the buffer."""
        return self._held[self._start : self._stop]

    @property
    def held_bytes(self) -> int:
        """Memory [byte]."""
        return self._held.nbytes

    def room(self, count: int) -> NDArray[Any]:
        """Add items, which the caller writes into what this returns."""
        if self._stop + count > len(self._held):
            self._move(len(self) + count)
        self._stop += count
        return self._held[self._stop - count : self._stop]

    def drop(self, count: int) -> None:
        """Take the first items away; if memory is scarce the first time, more is taken at once, and none later."""
        if count and not self._has_dropped:
            self._has_dropped = True
            if len(self) > len(self._held) * 7 // 8:
                self._grow(len(self))
        self._start += count

    def _move(self, needed: int) -> None:
        items, size = self.items, len(self._held)
        # Once items go while others come, their number only sways, and memory that was enough must not grow for that.
        if needed > (size * 9 // 10 if self._has_dropped else size * 2 // 3):
            self._grow(needed)
            return
        self._held[: len(items)] = items
        self._start, self._stop = 0, len(items)

    def _grow(self, needed: int) -> None:
        items, size = self.items, len(self._held)
        doubled = 2 * size if self._most is None else min(2 * size, self._most * 3 // 2)
        self._held = np.empty(max(doubled, needed * 3 // 2), items.dtype)
        self._held[: len(items)] = items
        if items.dtype.itemsize:  # the system gives memory when it is first written: all of it now, and none later
            self._held[len(items) :].view(np.uint8).fill(0)
        self._start, self._stop = 0, len(items)


class Payloads:
    """Byte strings back to back, of any size in all.

    Parameters
    ----------
    most : int
        So many are in it at the same time, at most.
    """

    def __init__(self, most: int) -> None:
        self._data, self._ends = Buffer(np.uint8), Buffer(np.int64, most)
        self._begin = 0  # of the first, and `_ends` of each, count from the first byte that ever came

    @property
    def held_bytes(self) -> int:
        """Memory [byte]."""
        return self._data.held_bytes + self._ends.held_bytes

    def append(self, data: NDArray[np.uint8], offsets: NDArray[np.int32], rows: NDArray[np.int64]) -> None:
        """Add some of the strings ``data[offsets[i]:offsets[i + 1]]``."""
        end = self._begin + len(self._data)
        sizes = offsets[rows + 1].astype(np.int64) - offsets[rows]
        bounds = np.empty(len(rows) + 1, np.int32)
        kernels.copy_rows(data, offsets, rows, self._data.room(int(sizes.sum())), bounds)
        np.add(bounds[1:], end, out=self._ends.room(len(rows)), dtype=np.int64)

    def drop(self, count: int) -> None:
        """Take the first ones away."""
        if count:
            begin = int(self._ends.items[count - 1])
            self._data.drop(begin - self._begin)
            self._ends.drop(count)
            self._begin = begin

    def reorder(self, first: int, order: NDArray[np.int64]) -> None:
        """Put those from `first` on in another order: the one that was at ``first + order[i]`` comes to ``first + i``."""
        bounds = self._bounds(first, first + len(order))
        is_large = bounds[-1] - bounds[0] > MOST_PIECE_BYTES
        offsets = (bounds - bounds[0]).astype(np.int64 if is_large else np.int32)
        data = self._data.items[bounds[0] - self._begin :]
        sorted_, ends = np.empty_like(data), np.empty_like(offsets)
        kernels.copy_rows(data, offsets, order, sorted_, ends)
        data[:] = sorted_
        self._ends.items[first:] = ends[1:] + bounds[0]

    def pieces(self) -> Iterator[tuple[int, int]]:
        """Ranges of strings, (from, to), that one copy can hold; a single one unless there are 2 GiB or more."""
        ends, start = self._ends.items, 0
        while start < len(ends):
            begin = self._begin if start == 0 else int(ends[start - 1])
            stop = max(start + 1, int(np.searchsorted(ends, begin + MOST_PIECE_BYTES, side="right")))
            yield start, stop
            start = stop

    def copy(self, start: int, stop: int, rows: NDArray[np.int64] | None = None) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
        """Copy a piece, or some rows of it, counted from its first: (data, offsets)."""
        ends = self._ends.items
        begin = int(ends[start - 1]) if start else self._begin
        offsets = np.zeros(stop - start + 1, np.int32)
        np.subtract(ends[start:stop], begin, out=offsets[1:], casting="same_kind")
        data = self._data.items[begin - self._begin : begin - self._begin + int(offsets[-1])]
        if rows is None:
            return data.copy(), offsets
        sizes = offsets[rows + 1].astype(np.int64) - offsets[rows]
        out, out_offsets = np.empty(int(sizes.sum()), np.uint8), np.empty(len(rows) + 1, np.int32)
        kernels.copy_rows(data, offsets, rows, out, out_offsets)
        return out, out_offsets

    def _bounds(self, start: int, stop: int) -> NDArray[np.int64]:
        """Where the strings of a range begin, and where the last ends."""
        bounds: NDArray[np.int64] = np.empty(stop - start + 1, np.int64)
        ends = self._ends.items
        bounds[0] = ends[start - 1] if start else self._begin
        bounds[1:] = ends[start:stop]
        return bounds
