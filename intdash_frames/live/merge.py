"""Points that come on two ways, live and read back: which of them are not there yet."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from intdash_frames.codecs.layout import Values
from intdash_frames.codecs.points import Points

__all__ = ["without"]


def without(points: Points, known: Points) -> Points:
    """Leave out the points that are known, each as often as it is known.

    Parameters
    ----------
    points, known : Points
        With the same `keys`. A point is its time, its series and its payload; one that comes three times and is known twice is
        left once.

    Returns
    -------
    Points
        In the order of `points`; of equal ones the last stay.
    """
    if not len(points) or not len(known):
        return points
    near = (known.time_ns >= points.time_ns.min()) & (known.time_ns <= points.time_ns.max())
    if not near.any():
        return points
    rows = np.flatnonzero(near)
    times = np.concatenate([known.time_ns[rows], points.time_ns])
    series = np.concatenate([known.series[rows], points.series])
    payloads = _numbered(known.take(rows), points)
    is_new = np.arange(len(times)) >= len(rows)
    # Known ones first within each group of equals; the sort is stable, so the others keep their order.
    order = np.lexsort((is_new, payloads, series, times))
    same = np.ones(len(order) - 1, np.bool_)
    for column in (times, series, payloads):
        same &= column[order][1:] == column[order][:-1]
    starts = np.concatenate([[True], ~same])
    group = np.cumsum(starts) - 1
    first = np.flatnonzero(starts)
    known_in_group = np.bincount(group, weights=~is_new[order], minlength=len(first)).astype(np.int64)
    place = np.arange(len(order)) - first[group]
    # Of a group with k known ones, places 0 to k - 1 are theirs, k to 2k - 1 are their repetitions.
    fresh = order[is_new[order] & (place >= 2 * known_in_group[group])] - len(rows)
    if len(fresh) == len(points):
        return points
    return points.take(np.sort(fresh))


def _numbered(*parts: Points) -> NDArray[np.int64]:
    """A number for each payload, equal for equal bytes."""
    columns = [Values(part.data, part.offsets).to_arrow(pa.binary()) for part in parts]
    numbers: NDArray[np.int64] = pa.chunked_array(columns).combine_chunks().dictionary_encode().indices.to_numpy()
    return numbers
