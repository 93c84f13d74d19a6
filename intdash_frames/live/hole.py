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
        self._fresh = Points.empty(shown.keys)
        self._history = Points.empty(shown.keys)
        self._held: list[Points] = []
        self._behind = 0  # position in `_held` of the first batch after the newest loss

    @property
    def keys(self) -> SeriesTable:
        """Of all points here."""
        return self._shown.keys

    @property
    def held(self) -> int:
        """Live points that wait [count]."""
        return sum(map(len, self._held))

    @property
    def first_held_ns(self) -> int | None:
        """Time of the earliest live point behind the newest loss [ns]."""
        behind = self._proofs()
        return int(behind.time_ns.min()) if len(behind) else None

    def hold(self, points: Points) -> None:
        """Take live points."""
        if len(points):
            self._held.append(points)

    def lost_again(self) -> None:
        """Hear that the connection was lost once more: what is held so far closes nothing."""
        self._behind = len(self._held)

    def drop_oldest(self, most: int) -> Points:
        """Give up the oldest live points beyond a bound, and give them back."""
        dropped = []
        while self._held and self.held - len(self._held[0]) >= most:
            dropped.append(self._held.pop(0))
            self._behind = max(0, self._behind - 1)
        return Points.concat(dropped, self.keys)

    def read_back(self, history: Points) -> Points:
        """Take what is stored from `start_ns` on, and give what of it is to be shown.

        Parameters
        ----------
        history : Points
            Everything, in ascending time, however often it was read before.
        """
        fresh = without(history, self._shown)
        self._shown, self._fresh = Points.concat([self._shown, fresh]), Points.concat([self._fresh, fresh])
        self._history = history
        self.recovered += len(fresh)
        return fresh

    @property
    def is_closed(self) -> bool:
        """Whether everything before the live points was read back."""
        behind = self._proofs()
        if not len(behind):
            return False
        _, firsts = np.unique(behind.series, return_index=True)
        return not len(without(behind.take(np.sort(firsts)), self._history))

    def close(self) -> Points:
        """Give the live points that are still to be shown, in order of time."""
        held = Points.concat(self._held, self.keys)
        rest = without(held, self._history)
        # What came on both ways was received; only what did not is recovered.
        on_both_ways = len(held) - len(without(held, self._fresh))
        self.recovered -= on_both_ways
        self.repeated = len(held) - len(rest) - on_both_ways
        self._held, self._behind = [], 0
        return rest if (np.diff(rest.time_ns) >= 0).all() else rest.take(np.argsort(rest.time_ns, kind="stable"))

    def _proofs(self) -> Points:
        """What waits behind the newest loss, without base times: theirs is that of elapsed time 0, whenever they came."""
        behind = Points.concat(self._held[self._behind :], self.keys)
        is_basetime = np.asarray([key.data_type == DataType.basetime for key in self.keys], np.bool_)
        return behind.take(np.flatnonzero(~is_basetime[behind.series])) if len(behind) else behind
