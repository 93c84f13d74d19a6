"""A joined pair of message transports without a network: what one end sends, the other receives, unless a test interferes.

Messages stay whole and in order. An end can hold back what it sends (delay) or lose it (drop), and the pair can
be cut; a sender notices a full pipe as it would a slow reader.
"""

from __future__ import annotations

import asyncio
from collections import deque

from intdash_frames.errors import ConnectionLost

__all__ = ["MemorySocket", "joined_pair"]


def joined_pair(*, capacity: int | None = None) -> tuple[MemorySocket, MemorySocket]:
    """Make two ends of one connection.

    Parameters
    ----------
    capacity : int, optional
        Messages that may wait for the receiver before `send` waits [count]; no limit if not given.
    """
    one, other = MemorySocket(capacity), MemorySocket(capacity)
    one._peer, other._peer = other, one
    return one, other


class MemorySocket:
    """One end; a `SocketTransport`."""

    def __init__(self, capacity: int | None = None) -> None:
        self._peer = self
        self._capacity = capacity
        self._arrived: deque[bytes] = deque()
        self._held: deque[bytes] | None = None
        self._to_drop = 0
        self._lost: str | None = None
        self._changed = asyncio.Event()

    async def send(self, message: bytes) -> None:
        """Send a message; waits while the receiver has too many before it."""
        while self._lost is None and self._capacity is not None and len(self._peer._arrived) >= self._capacity:
            await self._change()
        self._check()
        if self._to_drop:
            self._to_drop -= 1
        elif self._held is not None:
            self._held.append(message)
        else:
            self._peer._arrive(message)

    async def receive(self) -> bytes:
        """Wait for the next message; what came before the end of the connection is given first."""
        while not self._arrived:
            self._check()
            await self._change()
        self._peer._changed.set()
        return self._arrived.popleft()

    async def close(self) -> None:
        """End the connection in good order."""
        self._end("closed with code 1000")

    def hold(self) -> None:
        """Keep back what this end sends from now on."""
        self._held = deque() if self._held is None else self._held

    def release(self) -> None:
        """Let go what was held back."""
        held, self._held = self._held or deque(), None
        for message in held:
            self._peer._arrive(message)

    def drop(self, count: int = 1) -> None:
        """Lose the next messages that this end sends."""
        self._to_drop = count

    def cut(self, reason: str = "cut") -> None:
        """End the connection without a goodbye; what was held back is lost."""
        self._end(reason)

    def _end(self, reason: str) -> None:
        for end in (self, self._peer):
            if end._lost is None:
                end._lost = reason
            end._held = None
            end._changed.set()

    def _arrive(self, message: bytes) -> None:
        self._arrived.append(message)
        self._changed.set()

    def _check(self) -> None:
        if self._lost is not None:
            raise ConnectionLost(f"the connection in memory has ended: {self._lost}")

    async def _change(self) -> None:
        self._changed.clear()
        await self._changed.wait()
