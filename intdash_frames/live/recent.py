"""What was shown last: as much as a hole in live data needs to know that begins now. No I/O."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from intdash_frames import timebase
from intdash_frames.codecs.points import Points
from intdash_frames.codecs.series import SeriesTable
from intdash_frames.live.ring import Ring
from intdash_frames.model import DataType

__all__ = ["Recent"]

# Points of a series need not come in the order of their times: so much of what was shown is read again, and compared.
OVERLAP_NS: Final = 2 * 10**9
# A series of which nothing came for so long, while others did, says nothing about where those are [s].
SILENT_S: Final = 3.0


class Recent:
    """The points that were shown last.

    What is lost of a series comes after what was shown of it last. So a hole begins where the series that is furthest behind was
    last: signals may reach a server with seconds between them, and a single stamp of next year must not hide what is lost today.

    Parameters
    ----------
    keys : SeriesTable
        Of all points.
    most : int
        Points that are remembered [count].
    """

    def __init__(self, keys: SeriesTable, most: int) -> None:
        self._keys, self._most = keys, most
        # In one place, since many small columns scatter the memory.
        self._ring = Ring(most, has_payloads=True)
        self._forgotten_ns = timebase.INT64_MIN
        # By series code: time of the last point, and when it came. Base times are not counted: theirs is that of elapsed time 0.
        self._last_ns: NDArray[np.int64] = np.empty(0, np.int64)
        self._came_s: NDArray[np.float64] = np.empty(0, np.float64)
        self._is_counted: NDArray[np.bool_] = np.empty(0, np.bool_)

    def add(self, points: Points, now_s: float) -> None:
        """Remember points that are shown.

        Parameters
        ----------
        points : Points
            In the order in which they came.
        now_s : float
            By a clock that only goes forward [s].
        """
        self._learn_series()
        counted = np.flatnonzero(self._is_counted[points.series])
        series = points.series[counted]
        self._last_ns[series] = points.time_ns[counted]  # where a series comes again, the last that is written stays
        self._came_s[series] = now_s
        self._ring.append(points, np.arange(len(points)))
        self._forget()

    @property
    def newest_ns(self) -> int | None:
        """Where the series that is furthest ahead was last [ns since the epoch]; None before the first point."""
        last_ns = self._last_of_each()
        return int(last_ns.max()) if len(last_ns) else None

    @property
    def start_ns(self) -> int | None:
        """Where a hole begins that begins now [ns since the epoch]; None before the first point."""
        last_ns = self._last_of_each()
        return max(int(last_ns.min()) - OVERLAP_NS, self._forgotten_ns + 1) if len(last_ns) else None

    def since(self, start_ns: int) -> Points:
        """Give what was shown from an instant on, no earlier than `start_ns`."""
        parts = [Points(rows.time_ns, rows.series, rows.data, rows.offsets, self._keys) for rows in self._ring.copy()]
        return Points.concat([part.take(np.flatnonzero(part.time_ns >= start_ns)) for part in parts], self._keys)

    def _last_of_each(self) -> NDArray[np.int64]:
        came_s = self._came_s
        return self._last_ns[came_s >= came_s.max(initial=-np.inf) - SILENT_S] if np.isfinite(came_s).any() else self._last_ns[:0]

    def _learn_series(self) -> None:
        known = len(self._last_ns)
        more = [self._keys[code].data_type != DataType.basetime for code in range(known, len(self._keys))]
        if more:
            self._last_ns = np.concatenate([self._last_ns, np.zeros(len(more), np.int64)])
            self._came_s = np.concatenate([self._came_s, np.full(len(more), -np.inf)])
            self._is_counted = np.concatenate([self._is_counted, np.asarray(more, np.bool_)])

    def _forget(self) -> None:
        """Let go of what no hole can need any more, and of what is too much."""
        start_ns, ring = self.start_ns, self._ring
        count = 0 if start_ns is None else ring.count_before(start_ns)
        if len(ring) - count > self._most:
            ring.sort()
            count = len(ring) - self._most
        if count:
            self._forgotten_ns = max(self._forgotten_ns, int(ring["time_ns"][count - 1]))
            ring.drop_oldest(count)
