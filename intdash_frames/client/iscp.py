"""Live streams in the vendor's words, for asyncio: `connect_iscp`.

Source: protocol 5; names and arguments are those of the vendor's SDK.
"""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from intdash_frames.client.downstream import Downstream
from intdash_frames.client.stream import StreamConnection, open_socket
from intdash_frames.client.upstream import Upstream
from intdash_frames.errors import UsageError
from intdash_frames.model import DataPoint, DownstreamSpec, UpstreamSpec

if TYPE_CHECKING:
    from intdash_frames.client.connection import Connection
    from intdash_frames.client.credentials import TokenSource

__all__ = ["ISCPConn", "checked_seconds", "connect_iscp"]


def checked_seconds(name: str, value: Any, *, zero: bool = False) -> float:
    """Check a time in seconds.

    Raises
    ------
    UsageError
        If it is no number, or not above 0 (or below, where 0 may be).
    """
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not is_number or not (0 < value < float("inf") or (zero and value == 0)):
        raise UsageError(f"{name}={value!r}; expected seconds, {'0 or more' if zero else 'above 0'}")
    return float(value)


async def connect_iscp(
    connection: Connection,
    flush_interval: float = 0.01,
    on_close: Callable[[], Any] | None = None,
    token_source: TokenSource | None = None,
) -> ISCPConn:
    """Open a connection for live streams; see `Client.connect_iscp`."""
    flush_interval = checked_seconds("flush_interval", flush_interval, zero=True)
    socket = await open_socket(connection, token_source)
    return ISCPConn(StreamConnection(socket, flush_interval_s=flush_interval, timeout_s=connection.timeout[1], on_close=on_close))


class ISCPConn:
    """A connection for live streams; ``async with`` closes it."""

    def __init__(self, connection: StreamConnection) -> None:
        self._connection = connection

    def __repr__(self) -> str:
        return f"ISCPConn({'closed' if self.is_closed else 'open'})"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None) -> None:
        await self._connection.__aexit__(kind, exc, trace)

    @property
    def is_closed(self) -> bool:
        """Whether the connection has ended or is about to."""
        return self._connection.is_closed

    async def open_upstream(
        self, spec: UpstreamSpec, marker_interval: float = 1, on_ack: Callable[[int, int], Any] | None = None
    ) -> Upstream:
        """Open an upstream.

        Parameters
        ----------
        spec : UpstreamSpec
        marker_interval : float
            How long a section lasts [s].
        on_ack : callable, optional
            Function or coroutine function of a section's serial number and result; 0 is OK. Without it, closing the stream raises
            `ResultNGException` if the server refused a section.

        Returns
        -------
        Upstream
            ``await stream.write(datapoint)``, ``await stream.close()``, ``async with``.

        Raises
        ------
        UsageError
            If the spec cannot work; nothing was sent.
        ResultNGException
            If the server refuses it.
        ISCPConnClosedException
            If the connection is closed.
        TimedOut
            If the server does not answer.
        """
        interval_s = checked_seconds("marker_interval", marker_interval)
        return await self._connection.open_upstream(spec, marker_interval_s=interval_s, on_ack=on_ack)

    async def open_downstream(self, spec: DownstreamSpec, on_msg: Callable[[DataPoint], Any] | None = None) -> Downstream:
        """Open a downstream.

        Parameters
        ----------
        spec : DownstreamSpec
        on_msg : callable, optional
            Function or coroutine function of a `DataPoint`. What it raises is logged, and the stream goes on.

        Raises
        ------
        UsageError, ResultNGException, ISCPConnClosedException, TimedOut
            As `open_upstream`.
        """
        return await self._connection.open_downstream(spec, on_msg=on_msg if on_msg is not None else _ignore)

    async def close(self) -> None:
        """Close every stream, then the connection; what was written is sent and acknowledged before.

        Raises
        ------
        TimedOut, ISCPConnClosedException, ResultNGException
            The first that a stream had to say; the connection is closed all the same.
        """
        await self._connection.close()


def _ignore(_: DataPoint) -> None:
    pass
