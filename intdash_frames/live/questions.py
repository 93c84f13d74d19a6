"""Questions to a server from an event loop: one at a time, in a thread, given up at once when all ends."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, TypeVar

from intdash_frames.client.background import CallThread

if TYPE_CHECKING:
    from intdash_frames.client.connection import Connection

__all__ = ["Questions"]

T = TypeVar("T")

# What is cut ends within milliseconds; only a connection that is just being made cannot be cut.
LAST_ANSWER_S: Final = 0.3


class Questions:
    """Calls functions of a connection, in a thread of its own: what a server that hangs keeps waiting must not keep the loop.

    Parameters
    ----------
    connection : Connection
        Of which another one is made, so that its calls can be cut and nobody else's are.
    name : str
        Of the thread.
    """

    def __init__(self, connection: Connection, name: str) -> None:
        self._connection = connection.apart()
        self._thread = CallThread(name)

    async def ask(self, function: Callable[..., T], *arguments: Any) -> T:
        """Call a function with the connection and further arguments, and wait for what it returns."""
        return await self._thread.call(function, self._connection, *arguments)

    def cut(self) -> None:
        """Let what is being asked fail now, and all that is asked later."""
        self._connection.transport.cut()

    def stop(self) -> None:
        """End the thread, and with it what is being asked."""
        self.cut()
        self._thread.stop(timeout_s=LAST_ANSWER_S)
        self._connection.close()
