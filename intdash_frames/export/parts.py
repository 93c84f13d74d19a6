"""Where a recording is cut into parts: always at the same instants, whoever reads it, in whatever order, and however often."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from intdash_frames.codecs.points import Points
from intdash_frames.folder.cell import DAY_NS, Cell

__all__ = ["LIMITS", "Done", "Limits", "Track", "Tracks", "cut", "days"]


@dataclass(frozen=True, slots=True)
class Limits:
    """The most that a part holds, unless it is a single instant.

    Attributes
    ----------
    rows : int
        Points of all data types [count].
    size_bytes : int
        Their payloads; files hold them twice, raw and decoded.
    """

    rows: int
    size_bytes: int


# A file of a part is one row group. Scans would like it larger still; but a part waits in memory until it is whole, and is held
# several times over while it is written: with these numbers an export of pictures stays below 400 MB.
LIMITS: Final = Limits(rows=1 << 19, size_bytes=12 * 2**20)


def days(start_ns: int, end_ns: int) -> list[Cell]:
    """The days that a range has an instant of, in order."""
    return [Cell(day) for day in range(start_ns // DAY_NS, -(-end_ns // DAY_NS))] if start_ns < end_ns else []


class Done:
    """The parts of a measurement that are there: what need not be read, and what is known to be too large for one part."""

    def __init__(self, cells: Iterable[Cell] = ()) -> None:
        self._cells = frozenset(cells)
        self._halved = frozenset(larger for cell in self._cells for larger in cell.around)

    def has(self, cell: Cell) -> bool:
        """Say whether a cell is a part that is there."""
        return cell in self._cells

    def has_pieces_of(self, cell: Cell) -> bool:
        """Say whether a cell was halved, since some piece of it is there."""
        return cell in self._halved


class Track:
    """What lies before one reader of a measurement: cells in order of time, of which others may take the far ones.

    Parameters
    ----------
    name : str
        UUID of the measurement.
    start_ns, end_ns : int
        What is asked for of it, half open.
    done : Done
        Its parts that are there.
    cells : iterable of Cell, optional
        In order; all of the range if not given.
    """

    def __init__(self, name: str, start_ns: int, end_ns: int, done: Done, cells: Iterable[Cell] | None = None) -> None:
        self.name, self.start_ns, self.end_ns, self.done = name, start_ns, end_ns, done
        self._ahead = deque(days(start_ns, end_ns) if cells is None else cells)  # nearest first
        self._lock = threading.Lock()

    def next(self, at_ns: int | None = None) -> Cell | None:
        """Give the next cell that is not there.

        Parameters
        ----------
        at_ns : int, optional
            Only if it begins here, so that whoever reads on has no hole.

        Returns
        -------
        Cell or None
            None if there is none (left).
        """
        with self._lock:
            while self._ahead:
                cell = self._ahead[0]
                if at_ns is not None and cell.start_ns != at_ns:
                    return None
                self._ahead.popleft()
                if self.done.has_pieces_of(cell):
                    self._ahead.extendleft(reversed([half for half in cell.halves if self._is_asked_for(half)]))
                elif not self.done.has(cell):
                    return cell
                elif at_ns is not None:
                    return None
            return None

    def abandon(self) -> int | None:
        """Leave out all that lies ahead, and say where it ends [ns since the epoch]; None if nothing does."""
        with self._lock:
            end_ns = min(self._ahead[-1].end_ns, self.end_ns) if self._ahead else None
            self._ahead.clear()
            return end_ns

    def halve(self, cell: Cell) -> Cell:
        """Give the first half of a cell that holds too much, and put the second one ahead; but no half outside the range."""
        first, second = cell.halves
        with self._lock:
            if self._is_asked_for(second):
                if not self._is_asked_for(first):
                    return second
                self._ahead.appendleft(second)
        return first

    def reach_ns(self, cell: Cell) -> int:
        """How far one may read from a cell on without coming to what is there [ns since the epoch]."""
        end_ns = cell.end_ns
        with self._lock:
            for ahead in self._ahead:
                if ahead.start_ns != end_ns or self.done.has(ahead) or self.done.has_pieces_of(ahead):
                    break
                end_ns = ahead.end_ns
        return min(end_ns, self.end_ns)

    def give_half(self) -> Track | None:
        """Give the far half of what lies ahead to another reader; never the nearest cell, whose points may be on their way."""
        with self._lock:
            count = len(self._ahead) // 2
            if not count:
                return None
            far = [self._ahead.pop() for _ in range(count)]
        return Track(self.name, self.start_ns, self.end_ns, self.done, reversed(far))

    def _is_asked_for(self, cell: Cell) -> bool:
        return cell.start_ns < self.end_ns and cell.end_ns > self.start_ns


class Tracks:
    """The tracks of all readers: who has nothing to do takes a track that nobody reads, else half of another reader's.

    Parameters
    ----------
    waiting : iterable of Track
    """

    def __init__(self, waiting: Iterable[Track]) -> None:
        self._waiting = deque(waiting)
        self._read: list[Track] = []
        self._changed = threading.Condition()
        self._stopped = False

    def take(self) -> Track | None:
        """Wait for a track; None when there will be no more."""
        with self._changed:
            while not self._stopped:
                track = self._waiting.popleft() if self._waiting else self._half_of_another()
                if track is not None:
                    self._read.append(track)
                    return track
                if not self._read:
                    return None
                self._changed.wait()
            return None

    def _half_of_another(self) -> Track | None:
        return next((half for track in self._read if (half := track.give_half()) is not None), None)

    def grew(self) -> None:
        """Say that a track has more ahead than before."""
        with self._changed:
            self._changed.notify_all()

    def finished(self, track: Track) -> None:
        """Say that nothing lies before a reader."""
        with self._changed:
            self._read.remove(track)
            self._changed.notify_all()

    def stop(self) -> None:
        """Give out no more."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()


def cut(
    track: Track, cell: Cell, batches: Iterable[Points], reach_ns: int, limits: Limits
) -> Iterator[tuple[Cell, list[Points]]]:
    """Cut a stream of points into parts.

    Parameters
    ----------
    track : Track
        Where the cells behind the first one come from, and where halves go.
    cell : Cell
        Where the stream begins.
    batches : iterable of Points
        In ascending time; all there is from the start of the cell up to `reach_ns`.
    reach_ns : int
        How far the stream goes.
    limits : Limits

    Yields
    ------
    cell : Cell
        Whole; the largest cells of the tree of halves that keep the limits.
    parts : list of Points
        Its points, over the memory of the batches; may be empty.

    Notes
    -----
    Ends early where another reader has taken the next cell.
    """
    held: list[Points] = []
    rows = size_bytes = 0
    pending: deque[Points] = deque()
    current: Cell | None = cell
    for batch in batches:
        pending.append(batch)
        while pending and current is not None:
            part = pending.popleft()
            inside = int(np.searchsorted(part.time_ns, current.end_ns, side="left"))
            if inside:
                held.append(part.slice(0, inside))
                rows += inside
                size_bytes += int(part.offsets[inside]) - int(part.offsets[0])
            if (rows > limits.rows or size_bytes > limits.size_bytes) and not current.is_smallest and rows > 1:
                if inside < len(part):
                    pending.appendleft(part.slice(inside, len(part)))
                pending.extendleft(reversed(held))
                held, rows, size_bytes, current = [], 0, 0, track.halve(current)
            elif inside < len(part):
                yield current, held
                pending.appendleft(part.slice(inside, len(part)))
                held, rows, size_bytes, current = [], 0, 0, track.next(current.end_ns)
        if current is None:
            return
    while current is not None:
        yield current, held
        held = []
        if current.end_ns >= reach_ns:
            return
        current = track.next(current.end_ns)
