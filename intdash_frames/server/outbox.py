"""What waits to be sent on one connection of a stream: answers, which are never lost, and units, whose oldest give way.

A reader that is slower than its downstreams keeps `UNITS_BYTES` waiting; beyond that the oldest units of the connection are
dropped and counted, whichever downstream they are of. The last base time among what was dropped is sent all the same, in front of
the next units of its downstream, since every later point is timed from it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import Final

from intdash_frames.protocol.server_session import ServerSession
from intdash_frames.server.parcels import MESSAGE_BYTES, Packed, Parcel

__all__ = ["Lane", "Outbox"]

UNITS_BYTES: Final = 32 * 2**20
PARCEL_BYTES: Final = 300  # what Python keeps for a parcel, so that many small ones count for what they are


@dataclass(eq=False, slots=True)
class Lane:
    """What one downstream got and what it missed.

    Attributes
    ----------
    sent, dropped, withheld : int
        Points handed to the socket; dropped because the reader is slow; withheld by `pack` [count].
    owed : memoryview or None
        A base time among what was dropped.
    closed : bool
        Nothing more is for it.
    """

    sent: int = 0
    dropped: int = 0
    withheld: int = 0
    owed: memoryview | None = None
    closed: bool = False

    def add(self, other: Lane) -> None:
        """Add the counts of another."""
        self.sent += other.sent
        self.dropped += other.dropped
        self.withheld += other.withheld


class Outbox:
    """What waits to be sent on one connection.

    Parameters
    ----------
    session : ServerSession
        Has the answers; call `wake` when it got some.
    """

    def __init__(self, session: ServerSession) -> None:
        self._session = session
        self._waiting: deque[tuple[Lane, Parcel]] = deque()
        self._size = 0
        self._changed = asyncio.Event()
        self._sent = asyncio.Event()
        self._finished = self._abandoned = False

    def put(self, lane: Lane, packed: Packed) -> None:
        """Add units of a downstream; the oldest of the connection give way if there are too many, the newest parcel never."""
        if lane.closed:
            return
        lane.withheld += packed.withheld
        for parcel in packed.parcels:
            self._waiting.append((lane, parcel))
            self._size += _cost(parcel)
        while self._size > UNITS_BYTES and len(self._waiting) > 1:
            late, parcel = self._waiting.popleft()
            self._size -= _cost(parcel)
            late.dropped += parcel.points
            late.owed = parcel.basetime or late.owed
        self._changed.set()

    def forget(self, lane: Lane) -> None:
        """Drop what waits for a downstream, which is closed."""
        lane.closed = True
        kept = [(each, parcel) for each, parcel in self._waiting if each is not lane]
        self._waiting = deque(kept)
        self._size = sum(_cost(parcel) for _, parcel in kept)

    def wake(self) -> None:
        """The session has something to send."""
        self._changed.set()

    def finish(self) -> None:
        """Nothing more will come: let `next` end when all is sent."""
        self._finished = True
        self._changed.set()

    def abandon(self) -> None:
        """Nothing can be sent any more: keep nobody waiting."""
        self._abandoned = True
        self._sent.set()

    async def room(self) -> None:
        """Wait until few answers wait: a client that asks and does not read must not fill the memory."""
        while self._session.waiting_bytes > MESSAGE_BYTES and not self._abandoned:
            self._sent.clear()
            await self._sent.wait()

    async def next(self) -> bytes | memoryview | None:
        """Wait for the next message; None after `finish`."""
        while True:
            self._changed.clear()
            message = self._session.take(MESSAGE_BYTES) or self._units()
            self._sent.set()
            if message:
                return message
            if self._finished:
                return None
            await self._changed.wait()

    def _units(self) -> bytes | memoryview:
        pieces: list[memoryview] = []
        size = 0
        while self._waiting:
            lane, parcel = self._waiting[0]
            if pieces and size + len(parcel.units) > MESSAGE_BYTES:
                break
            self._waiting.popleft()
            self._size -= _cost(parcel)
            if lane.owed is not None:
                pieces.append(lane.owed)
                lane.owed = None
            pieces.append(parcel.units)
            size += len(parcel.units)
            lane.sent += parcel.points
            if parcel.ends_message:
                break
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def _cost(parcel: Parcel) -> int:
    return len(parcel.units) + PARCEL_BYTES
