"""What became of the points of an upstream, counted: nothing is lost in silence."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from intdash_frames.client.upstream import kept_bytes
from intdash_frames.codecs.points import Points
from intdash_frames.live.tally import Gap

__all__ = ["Ledger", "UpstreamStats"]

logger = logging.getLogger("intdash_frames.live")

# Of acknowledged points, so that those in doubt are told from equal ones [byte].
KNOWN_BYTES: Final = 16 * 2**20


@dataclass(frozen=True, slots=True)
class UpstreamStats:
    """Points since the start [count]; ``written == acknowledged + waiting + refused + maybe_lost``.

    Attributes
    ----------
    written : int
        Taken by `write`; base times that are sent by themselves are not counted.
    acknowledged : int
        The server says that it has them, or they were found where it keeps them.
    waiting : int
        Sent, or about to be, and not acknowledged yet.
    refused : int
        The server said no, again and again.
    maybe_lost : int
        Of these it is not known whether they arrived, and they are not sent again.
    sent_again : int
        Of the written, missing after a loss of the connection and so sent once more.
    maybe_twice : int
        Of those sent again, how many may be there twice, because what is stored could not be read.
    reconnects : int
        Connections after the first [count].
    """

    written: int = 0
    acknowledged: int = 0
    waiting: int = 0
    refused: int = 0
    maybe_lost: int = 0
    sent_again: int = 0
    maybe_twice: int = 0
    reconnects: int = 0


class Ledger:
    """Counts points.

    Attributes
    ----------
    acknowledged, refused, maybe_lost, sent_again, maybe_twice : int
        See `UpstreamStats`.
    known : deque of Points
        The last that were acknowledged, as long as they are `KNOWN_BYTES` at most.
    gaps : list of Gap
        Stretches of time of which points may have been lost.
    """

    def __init__(self) -> None:
        self.acknowledged = self.refused = self.maybe_lost = self.sent_again = self.maybe_twice = 0
        self.known: deque[Points] = deque()
        self.gaps: list[Gap] = []
        self._known_bytes = 0

    def acknowledge(self, points: Points) -> None:
        """Count points that the server has."""
        self.acknowledged += len(points)
        self.known.append(points)
        self._known_bytes += kept_bytes(points)
        while self._known_bytes > KNOWN_BYTES:
            self._known_bytes -= kept_bytes(self.known.popleft())

    def settle(self, parts: Iterable[Points], ok: bool) -> None:
        """Count points that the server has taken, or has not."""
        for part in parts:
            if ok:
                self.acknowledge(part)
            else:
                self.refused += len(part)

    def lose(self, parts: Sequence[Points], reason: str, basetime_ns: int) -> None:
        """Count points of which nobody knows where they are, and say when they were."""
        count = sum(map(len, parts))
        if not count:
            return
        self.maybe_lost += count
        times = [part.time_ns for part in parts if len(part)]
        low, high = (int(pick(map(pick, times))) + basetime_ns for pick in (min, max))
        self.gaps.append(Gap(low, high + 1, reason, 0))
        logger.warning("%d points may be lost: %s", count, reason)

    def stats(self, written: int, reconnects: int) -> UpstreamStats:
        """What was counted so far."""
        waiting = written - self.acknowledged - self.refused - self.maybe_lost
        return UpstreamStats(
            written, self.acknowledged, waiting, self.refused, self.maybe_lost, self.sent_again, self.maybe_twice, reconnects
        )
