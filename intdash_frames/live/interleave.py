"""Points that are kept apart by kind, one after the other again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from intdash_frames.codecs import kernels
from intdash_frames.codecs.points import Points
from intdash_frames.live import buffer

__all__ = ["interleaved"]


def interleaved(pieces: Sequence[Points], series: NDArray[np.int32], kinds: NDArray[np.int32]) -> Iterator[Points]:
    """Put points in the order of their series.

    Parameters
    ----------
    pieces : sequence of Points
        All points, those of a kind together and in the order they are to have, kinds ascending; none is empty.
    series : ndarray of int32, shape (n,)
        Series of each point, in the order that is wanted.
    kinds : ndarray of int32
        Kind by series code.

    Yields
    ------
    Points
        One, or several where the payloads are too large for one.
    """
    if len(pieces) < 2:
        yield from pieces
        return
    bounds, by_kind = np.empty(int(kinds.max(initial=0)) + 2, np.int64), np.empty(len(series), np.int64)
    kernels.group_rows(kinds, series, bounds, by_kind)
    places = np.empty(len(series), np.int64)  # among the points of all pieces
    places[by_kind] = np.arange(len(series))
    if sum(int(piece.offsets[-1]) - int(piece.offsets[0]) for piece in pieces) <= buffer.MOST_PIECE_BYTES:
        yield Points.concat(pieces).take(places)
        return
    starts = np.cumsum([0, *map(len, pieces)])
    ends = np.cumsum(np.concatenate([np.diff(piece.offsets).astype(np.int64) for piece in pieces])[places])
    start = 0
    while start < len(series):
        begin = int(ends[start - 1]) if start else 0
        stop = max(start + 1, int(np.searchsorted(ends, begin + buffer.MOST_PIECE_BYTES, side="right")))
        yield _picked(pieces, starts, places[start:stop])
        start = stop


def _picked(pieces: Sequence[Points], starts: NDArray[np.int64], places: NDArray[np.int64]) -> Points:
    """Points at some places, in that order; of each piece, they are neighbours and in order."""
    of_piece = np.searchsorted(starts, places, side="right") - 1
    parts, rows, filled = [], np.empty(len(places), np.int64), 0
    for number in np.unique(of_piece).tolist():
        mine = of_piece == number
        first, last = int(places[mine].min()), int(places[mine].max())
        parts.append(pieces[number].slice(first - int(starts[number]), last + 1 - int(starts[number])))
        rows[mine] = places[mine] - first + filled
        filled += last + 1 - first
    return Points.concat(parts).take(rows)
