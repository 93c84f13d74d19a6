"""What the points of one signal share, said once: a code per series instead of ids per point."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["Interner", "Series", "SeriesTable", "number_distinct"]


class Series(NamedTuple):
    """The part of a data point that all points of one signal in one measurement share.

    Attributes
    ----------
    measurement_uuid : str
        As the server gave it.
    data_type : int or None
        None for the textual types of newer servers (protocol 3.3).
    channel : int or None
        None where the id on the wire names no channel.
    data_id : str
        Without the channel.
    type_text : str
        The type as on the wire: decimal digits, or a newer server's name.
    """

    measurement_uuid: str
    data_type: int | None
    channel: int | None
    data_id: str
    type_text: str


class SeriesTable:
    """A list of distinct series that only grows; the position of a series is its code in `Points.series`."""

    def __init__(self) -> None:
        self._keys: list[Series] = []
        self._codes: dict[Series, int] = {}

    def __len__(self) -> int:
        return len(self._keys)

    def __getitem__(self, code: int) -> Series:
        return self._keys[code]

    def __iter__(self) -> Iterator[Series]:
        return iter(self._keys)

    def code(self, series: Series) -> int:
        """Give the code of a series, a new one if it was not known.

        Parameters
        ----------
        series : Series

        Returns
        -------
        int
        """
        code = self._codes.setdefault(series, len(self._keys))
        if code == len(self._keys):
            self._keys.append(series)
        return code


# Up to here a table of all numbers is smaller and twenty times faster than sorting.
LARGEST_TABLE = 1 << 22


def number_distinct(values: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Number the distinct values of a column.

    Parameters
    ----------
    values : ndarray of int64, shape (n,)
        0 or more.

    Returns
    -------
    distinct : ndarray of int64
        Ascending.
    numbers : ndarray of int64, shape (n,)
        Position of each value in `distinct`.
    """
    if len(values) == 0 or values.max() >= LARGEST_TABLE:
        distinct, numbers = np.unique(values, return_inverse=True)
        return distinct, numbers
    present = np.zeros(int(values.max()) + 1, np.bool_)
    present[values] = True
    return np.flatnonzero(present), (np.cumsum(present) - 1)[values]


State = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.uint8], NDArray[np.int64]]


class Interner:
    """The dictionary that kernels fill: raw keys of up to three byte strings and a tag, numbered in order of appearance.

    Hash table, keys and counters are plain arrays (`state`), so that a kernel can look up and add without the interpreter. When a
    kernel finds it full, it stops; `grow` doubles it and the kernel goes on.
    """

    def __init__(self, keys: int = 256, key_bytes: int = 16384) -> None:
        self.state: State = self._empty(keys, key_bytes)

    @staticmethod
    def _empty(keys: int, key_bytes: int) -> State:
        return (
            np.zeros(4 * keys, np.int64),  # slots: code + 1; a power of two, a quarter full at most
            np.zeros(keys, np.int64),  # tags
            np.zeros(keys, np.int64),  # hashes
            np.zeros((keys, 4), np.int64),  # bounds of the three parts in the arena
            np.zeros(key_bytes, np.uint8),  # the arena
            np.zeros(2, np.int64),  # keys in use, arena bytes in use
        )

    def __len__(self) -> int:
        return int(self.state[5][0])

    def grow(self, needed_bytes: int = 0) -> None:
        """Double the room for keys and for their bytes.

        Parameters
        ----------
        needed_bytes : int
            Make room for a key of at least this size.
        """
        _, tags, hashes, bounds, arena, counters = self.state
        keys, used = int(counters[0]), int(counters[1])
        bigger = self._empty(2 * len(tags), max(2 * len(arena), used + needed_bytes))
        for old, new, size in (
            (tags, bigger[1], keys),
            (hashes, bigger[2], keys),
            (bounds, bigger[3], keys),
            (arena, bigger[4], used),
        ):
            new[:size] = old[:size]
        bigger[5][:] = counters
        mask = len(bigger[0]) - 1
        for code in range(keys):
            slot = int(hashes[code]) & mask
            while bigger[0][slot]:
                slot = (slot + 1) & mask
            bigger[0][slot] = code + 1
        self.state = bigger

    def key(self, code: int) -> tuple[int, bytes, bytes, bytes]:
        """Give the raw key of a code: tag and three byte strings."""
        _, tags, _, bounds, arena, _ = self.state
        start, second, third, stop = bounds[code].tolist()
        raw = arena[start:stop].tobytes()
        return int(tags[code]), raw[: second - start], raw[second - start : third - start], raw[third - start :]
