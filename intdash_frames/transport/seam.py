"""What the layers above may expect of something that moves bytes, and what it may expect of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from intdash_frames.protocol.call import Request
from intdash_frames.transport.retry import RetryPolicy

__all__ = ["ByteStream", "Credentials", "Response", "SocketTransport", "Transport"]


@dataclass(frozen=True, slots=True)
class Response:
    """A whole answer with a 2xx status; `retries` counts the tries after the first that it took."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    retries: int = 0


class ByteStream(Protocol):
    """An answer whose body is read in pieces."""

    status: int
    headers: Mapping[str, str]
    retries: int

    def read(self, size: int) -> bytes:
        """Give the next bytes, `size` of them unless the body ends first; ``b""`` at the end.

        Raises
        ------
        ConnectionLost
            If the connection ended before the body did.
        TimedOut
            If no byte came within the read time-out.
        """


class Transport(Protocol):
    """Sends requests to one server."""

    url: str
    policy: RetryPolicy

    def send(self, request: Request, *, credentials: bool = True) -> Response:
        """Send a request and read the whole answer; a request that may be repeated is, after a transient failure."""

    def stream(self, request: Request) -> AbstractContextManager[ByteStream]:
        """Send a request and give its body in pieces; opening is retried as in `send`, a cut body is not."""

    def apart(self) -> Transport:
        """Give the same transport with connections of its own, which `cut` ends."""

    def cut(self) -> None:
        """Let everything fail at once that waits here, from any thread; of a transport that was made by `apart`."""

    def close(self) -> None:
        """Close all connections."""


class Credentials(Protocol):
    """Says who is asking, anew for every request."""

    def headers(self, send: Callable[[Request], Response]) -> Mapping[str, str]:
        """The headers for one request; `send` sends a request without credentials (for a login)."""

    def renew(self, used: Mapping[str, str]) -> bool:
        """Hear that the server refused these headers (401); True if other ones may do better."""

    def redact(self, text: str) -> str:
        """Take every secret out of a text."""


class SocketTransport(Protocol):
    """Whole messages to and from one server, over one connection."""

    async def send(self, message: bytes) -> None:
        """Send a message; returns when there is room for another.

        Raises
        ------
        ConnectionLost
            If the connection has ended.
        """

    async def receive(self) -> bytes:
        """Wait for the next message.

        Raises
        ------
        ConnectionLost
            If the connection has ended, by whichever side; says with which code.
        """

    async def close(self) -> None:
        """Close the connection in good order; does nothing if it has ended."""
