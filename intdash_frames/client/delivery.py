"""What a stream hands to a function of the user: in order, outside the task that reads the socket, in bounded memory."""

from __future__ import annotations

import asyncio
import contextvars
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, Final, Generic, TypeVar

__all__ = ["DELIVERING", "Delivery", "call_safely"]

logger = logging.getLogger("intdash_frames.client")

T = TypeVar("T")

# What waits for one slow function at most [byte]; then the socket is not read further, and the server decides what to give up.
MOST_WAITING_BYTES: Final = 64 * 2**20

DELIVERING: Final[contextvars.ContextVar[object | None]] = contextvars.ContextVar("delivering", default=None)
"""The delivery whose function is running: what that function closes must not wait for it to end."""


async def call_safely(name: str, function: Callable[..., Any], *arguments: Any) -> None:
    """Call a function of the user and wait if it is a coroutine function; what it raises is logged under a name."""
    try:
        result = function(*arguments)
        if isinstance(result, Awaitable):
            await result
    except Exception:
        logger.exception("the callback of %s raised", name)


class Delivery(Generic[T]):
    """Hands over items one after the other, in a task of its own.

    Parameters
    ----------
    hand_over : callable
        Coroutine function of an item; looks after the errors of the user's function itself. `put` waits while more than
        `MOST_WAITING_BYTES` wait here.
    """

    def __init__(self, hand_over: Callable[[T], Awaitable[None]]) -> None:
        self._hand_over = hand_over
        self._items: deque[tuple[T, int]] = deque()
        self._waiting_bytes = 0
        self._ended = False
        self._changed = asyncio.Event()
        self._room = asyncio.Event()
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def put(self, item: T, size_bytes: int = 0) -> None:
        """Give an item; waits while too much waits. After the end it is ignored."""
        while self._waiting_bytes > MOST_WAITING_BYTES and not self._ended:
            self._room.clear()
            await self._room.wait()
        if not self._ended:
            self._items.append((item, size_bytes))
            self._waiting_bytes += size_bytes
            self._changed.set()

    async def finish(self) -> None:
        """Take nothing more, and wait until all that was given is handed over; does not wait if called from what it calls."""
        self._ended = True
        self._changed.set()
        self._room.set()
        if DELIVERING.get() is not self:
            await asyncio.shield(self._task)

    def abandon(self) -> None:
        """Take nothing more, and hand over nothing more once the call that runs is over."""
        self._items.clear()
        self._ended = True
        self._changed.set()
        self._room.set()

    async def _run(self) -> None:
        DELIVERING.set(self)
        while True:
            while self._items:
                item, size_bytes = self._items.popleft()
                self._waiting_bytes -= size_bytes
                self._room.set()
                await self._hand_over(item)
            if self._ended:
                return
            self._changed.clear()
            await self._changed.wait()
