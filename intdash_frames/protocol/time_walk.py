"""The walk through data points by time: what to ask next, and which rows of an answer are new, without asking."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

from intdash_frames.errors import RemoteProtocolError, UsageError

__all__ = ["Admitted", "OutOfOrder", "Question", "TimeWalk"]


class OutOfOrder(RemoteProtocolError):
    """The times of a limited answer decrease, so nothing can be asked from its last row on."""


@dataclass(frozen=True, slots=True)
class Question:
    """What to ask: rows from `start_ns` on, before `end_ns`, at most `limit` of them (None: all)."""

    start_ns: int
    end_ns: int
    limit: int | None


@dataclass(frozen=True, slots=True)
class Admitted:
    """Which rows of a batch are new: those at `positions`, then all from `rest` on."""

    positions: list[int]
    rest: int


class TimeWalk:
    """Page through points by time without losing or repeating one where many share an instant.

    The next question starts *at* the last time seen, and the rows of that instant that were already given are skipped by
    identity. A page that holds nothing else is asked for again, twice as long. An answer that was cut is a page like any other:
    the walk goes on from its last whole row.

    Parameters
    ----------
    start_ns, end_ns : int
        Half open range in nanoseconds since the Unix epoch.
    limit : int, optional
        Rows a page; None asks for everything at once.
    short_page_ends : bool
        Whether a page shorter than its limit is the last one. Not so where the server converts rows, which may shorten a page.

    Attributes
    ----------
    question : Question or None
        What to ask next; None at the end.
    repeated : int
        Rows that were skipped because an earlier page had given them.

    Notes
    -----
    Needs of the server: `start` inclusive, rows in ascending time, `limit` honoured. One that rounds `start` down does no harm.
    Source: protocol 3.4.
    """

    def __init__(self, start_ns: int, end_ns: int, *, limit: int | None = None, short_page_ends: bool = True) -> None:
        if limit is not None and limit < 1:
            raise UsageError(f"limit={limit}; expected 1 or more points a page, or None")
        self.repeated = 0
        self._limit = self._size = limit
        self._end_ns = end_ns
        self._short_page_ends = short_page_ends
        self._cursor, self._known = start_ns, Counter[Hashable]()
        self.question: Question | None = None
        self._ask(done=start_ns >= end_ns)

    def _ask(self, *, done: bool) -> None:
        self.question = None if done else Question(self._cursor, self._end_ns, self._size)
        self._rows = self._fresh = 0
        self._owed = self._known.copy()  # known rows that this answer has not repeated yet
        self._last = self._cursor
        self._at_last = Counter[Hashable]()

    def admit(self, times: Sequence[int], identity: Callable[[int], Hashable]) -> Admitted:
        """Take the next rows of the answer.

        Parameters
        ----------
        times : sequence of int, shape (n,)
            Ascending, nanoseconds.
        identity : callable
            Gives what tells row i from others of the same time; asked only at the borders of pages.

        Returns
        -------
        Admitted

        Raises
        ------
        OutOfOrder
            If the rows of a limited answer go back in time from one batch to the next.
        """
        count = len(times)
        if count == 0:
            return Admitted([], 0)
        self._rows += count
        at_cursor = bisect_left(times, self._cursor)  # before it: the server rounded the start down
        rest = bisect_right(times, self._cursor, at_cursor)
        fresh_here = []
        for position in range(at_cursor, rest):
            row = identity(position)
            if self._owed[row] > 0:
                self._owed[row] -= 1
            else:
                fresh_here.append(position)
        self.repeated += rest - len(fresh_here)
        admitted = Admitted(fresh_here, rest)
        fresh = len(fresh_here) + count - rest
        if fresh:
            self._remember(times, identity, admitted)
            self._fresh += fresh
        return admitted

    def _remember(self, times: Sequence[int], identity: Callable[[int], Hashable], admitted: Admitted) -> None:
        """Keep the identities of the new rows at the last time of the answer so far."""
        last = int(times[-1])
        if self._size is not None and int(times[admitted.positions[0] if admitted.positions else admitted.rest]) < self._last:
            raise OutOfOrder(f"rows of a page go back in time, from {self._last} to {int(times[0])} ns; expected ascending times")
        if last > self._last or (self._fresh == 0 and last > self._cursor):
            self._at_last.clear()
        self._last = max(last, self._last)
        if last == self._last:
            from_ = max(bisect_left(times, last), admitted.rest)
            self._at_last.update(identity(i) for i in range(from_, len(times)))
            if last == self._cursor:
                self._at_last.update(identity(i) for i in admitted.positions)

    def end_answer(self, *, whole: bool) -> None:
        """Say that the answer ended, and set the next question.

        Parameters
        ----------
        whole : bool
            False if it was cut: then the walk goes on from its last row.
        """
        rows, fresh, size = self._rows, self._fresh, self._size
        if fresh:
            self._known = self._known + self._at_last if self._last == self._cursor else self._at_last
            self._cursor = self._last
        if not whole:
            return self._ask(done=False)
        if size is None or (rows < size == self._limit and self._short_page_ends):
            return self._ask(done=True)
        # Nothing new in a short page that is no proof of the end (converted, or capped by the server): one last question for all.
        self._size = self._limit if fresh else size * 2 if rows >= size else None
        return self._ask(done=False)

    def ask_without_limit(self) -> None:
        """Drop the answer under way and ask for all of the rest at once: for a server that does not sort limited answers."""
        self._limit = self._size = None
        self._ask(done=False)
