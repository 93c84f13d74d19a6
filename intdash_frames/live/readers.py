"""Those who read live points one after the other: bounded, each at its own pace, told when they are too slow."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable

from intdash_frames.codecs.points import Points
from intdash_frames.errors import GapError

__all__ = ["Reader"]


class Reader:
    """A queue of points from the loop to one reader.

    Parameters
    ----------
    most_points : int
        What may wait [count].
    notify : callable
        Called, in the thread that gives, when there is something new or the end has come.
    """

    def __init__(self, most_points: int, notify: Callable[[], object]) -> None:
        self._most_points, self._notify = most_points, notify
        self._waiting: deque[Points] = deque()
        self._points = self._lost = 0
        self._lost_from_ns: int | None = None
        self._lost_until_ns = 0
        self._ended = False
        self._lock = threading.Lock()

    def give(self, points: Points) -> None:
        """Add points; what does not fit is left out, and the reader will hear of it."""
        with self._lock:
            if self._points + len(points) > self._most_points and self._waiting:
                self._lost += len(points)
                first_ns = int(points.time_ns.min())
                self._lost_from_ns = first_ns if self._lost_from_ns is None else min(self._lost_from_ns, first_ns)
                self._lost_until_ns = max(self._lost_until_ns, int(points.time_ns.max()) + 1)
            else:
                self._waiting.append(points)
                self._points += len(points)
        self._notify()

    def end(self) -> None:
        """Say that nothing more comes."""
        with self._lock:
            self._ended = True
        self._notify()

    def take(self) -> Points | None:
        """The next points; None if none wait.

        Raises
        ------
        GapError
            Once, after what was there before, if the reader was so slow that points had to be left out.
        """
        with self._lock:
            if self._waiting:
                points = self._waiting.popleft()
                self._points -= len(points)
                return points
            if self._lost:
                lost, start_ns, end_ns = self._lost, self._lost_from_ns, self._lost_until_ns
                self._lost, self._lost_from_ns, self._lost_until_ns = 0, None, 0
                raise GapError(
                    f"this reader is too slow: {lost} points were left out when {self._most_points} waited for it",
                    start_ns=start_ns,
                    end_ns=end_ns,
                )
            return None

    @property
    def is_finished(self) -> bool:
        """Whether everything was taken and nothing more comes."""
        with self._lock:
            return self._ended and not self._waiting and not self._lost
