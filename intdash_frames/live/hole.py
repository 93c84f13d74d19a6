"""A hole in live data that is read back from what is stored: what to show of it, and when it is closed. No I/O."""

from __future__ import annotations

import numpy as np

from intdash_frames.codecs.points import Points
from intdash_frames.codecs.series import SeriesTable
from intdash_frames.live.merge import without
from intdash_frames.model import DataType

__all__ = ["Hole"]


class Hole:
    """Live points wait here while stored ones are read, so that both come out in order and none twice.

    A server keeps a section when it has ended, and in the order of its stream. So once the first live point of each series behind
    the hole can be read back, everything before it can: then the hole is closed.

    Parameters
    ----------
    start_ns : int
        Everything stored from here on is wanted [ns since the epoch].
    shown : Points
        What of it was shown before the hole.

    Attributes
    ----------
    start_ns : int
    recovered : int
        Points that came from what is stored and from nowhere else [count].
    repeated : int
        Live points that were shown before the hole, and came once more [count].
    """

    def __init__(self, start_ns: int, shown: Points) -> None:
        self.start_ns = start_ns
        self.recovered = self.repeated = 0
        self._shown = shown
        self._history = Points.empty(shown.keys)
        self._unmet = Points.empty(shown.keys)  # of what was read back, what has not come live too
        self._held: list[Points] = []
        self._firsts: dict[int, Points] = {}  # by series, the first live point behind the newest loss

    @property
    def keys(self) -> SeriesTable:
        """Of all points here."""
        return self._shown.keys

    @property
    def held(self) -> int:
        """Live points that wait and were not read back either [count]."""
        return sum(map(len, self._held))

    @property
    def first_held_ns(self) -> int | None:
        """Time of the earliest live point behind the newest loss [ns]."""
        return min((int(point.time_ns[0]) for point in self._firsts.values()), default=None)

    def hold(self, points: Points) -> None:
        """Take live points."""
        if not len(points):
            return
        self._held.append(points)
        codes, rows = np.unique(points.series, return_index=True)
        for code, row in zip(codes.tolist(), rows.tolist(), strict=True):
            # The time of a base time is that of elapsed time 0, whenever it came: it proves nothing.
            if code not in self._firsts and self.keys[code].data_type != DataType.basetime:
                self._firsts[code] = points.take(np.asarray([row]))

    def lost_again(self) -> None:
        """Hear that the connection was lost once more: what came so far closes nothing."""
        self._firsts.clear()

    def drop_oldest(self, most: int) -> Points:
        """Give up the oldest live points beyond a bound, and give them back."""
        dropped = []
        while self._held and self.held - len(self._held[0]) >= most:
            dropped.append(self._held.pop(0))
        return Points.concat(dropped, self.keys)

    def read_back(self, history: Points) -> Points:
        """Take what is stored from `start_ns` on, and give what of it is to be shown.

        Parameters
        ----------
        history : Points
            Everything, in ascending time, however often it was read before.
        """
        fresh = without(history, self._shown)
        self._shown, self._unmet = Points.concat([self._shown, fresh]), Points.concat([self._unmet, fresh])
        self._history = history
        self.recovered += len(fresh)
        self._meet()
        return fresh

    @property
    def is_closed(self) -> bool:
        """Whether everything before the live points was read back."""
        firsts = Points.concat(list(self._firsts.values()), self.keys)
        return bool(len(firsts)) and not len(without(firsts, self._history))

    def close(self) -> Points:
        """Give the live points that are still to be shown, in order of time."""
        self._meet()
        held = Points.concat(self._held, self.keys)
        rest = without(held, self._history)
        self.repeated = len(held) - len(rest)
        self._held = []
        self._firsts.clear()
        return rest if (np.diff(rest.time_ns) >= 0).all() else rest.take(np.argsort(rest.time_ns, kind="stable"))

    def _meet(self) -> None:
        """Let go of live points that were read back: what came on both ways was received; only what did not is recovered."""
        waiting = []
        for part in self._held:
            left = without(part, self._unmet)
            self._unmet = without(self._unmet, part)
            self.recovered -= len(part) - len(left)
            if len(left):
                waiting.append(left)
        self._held = waiting
