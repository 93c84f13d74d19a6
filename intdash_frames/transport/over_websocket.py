"""Messages over a WebSocket, on `websockets`, with errors of our own tree.

Source: protocol 1.1 to 1.3, 5.1 and 5.10.
"""

from __future__ import annotations

import asyncio
import logging
import os
import ssl
from collections.abc import Callable, Mapping
from typing import Final

import requests
import websockets.exceptions
from websockets.asyncio.client import ClientConnection, connect

from intdash_frames.errors import (
    ApiError,
    ConnectFailed,
    ConnectionLost,
    IntdashError,
    RemoteProtocolError,
    TransportError,
    UsageError,
)
from intdash_frames.transport.over_http import (
    STATUS_ERRORS,
    USER_AGENT,
    checked_url,
    error_detail,
    origin_of,
    read_retry_after,
    shown_url,
)

__all__ = ["WebSocketTransport", "open_websocket", "websocket_url"]

logger = logging.getLogger("intdash_frames.transport")

# A unit carries 2**30 - 1 bytes (protocol 5.10); the rest is for what stands around it and beside it.
LARGEST_MESSAGE: Final = 2**30 + 2**20
PING_INTERVAL_S: Final = 10.0  # protocol 5.1
# What may wait in this process for the socket before `send` waits itself; below this a fast sender stops at every message.
WRITE_LIMIT_BYTES: Final = 2**20
# How long to wait for the other side's goodbye: it can do nothing for us any more.
CLOSE_TIMEOUT_S: Final = 2.0

# The first row that fits.
OPENING_ERRORS: Final[tuple[tuple[type[BaseException], type[IntdashError], str], ...]] = (
    (websockets.exceptions.InvalidURI, UsageError, "the address cannot be used"),
    (websockets.exceptions.ProxyError, ConnectFailed, "no connection through the proxy"),
    (websockets.exceptions.InvalidHandshake, ConnectFailed, "no WebSocket there; check url="),
    (ssl.SSLError, TransportError, "TLS failed; verify= takes a file of certificates to trust"),
    (TimeoutError, ConnectFailed, "no connection in time; check url= or raise timeout=(connect, read)"),
    (OSError, ConnectFailed, "no connection; check url= and that the server runs"),
    (EOFError, ConnectFailed, "the connection ended inside the handshake"),
    (Exception, ConnectFailed, "no connection"),
)
FOREIGN: Final = (websockets.exceptions.WebSocketException, OSError, EOFError)


def websocket_url(url: str, path: str) -> str:
    """Give the address of a WebSocket: scheme ``ws`` for ``http`` and ``wss`` for ``https``, any prefix kept (protocol 1.1).

    Raises
    ------
    UsageError
        If nothing can be reached under `url`.

    Examples
    --------
    >>> websocket_url("https://example.intdash.jp/prefix/", "/api/v1/ws/measurements")
    'wss://example.intdash.jp/prefix/api/v1/ws/measurements'
    """
    return "ws" + checked_url(url).removeprefix("http") + path


async def open_websocket(
    url: str,
    path: str,
    *,
    headers: Mapping[str, str],
    verify: bool | str = True,
    connect_timeout_s: float = 5.0,
    redact: Callable[[str], str] = str,
) -> WebSocketTransport:
    """Open a WebSocket.

    Parameters
    ----------
    url : str
        Base URL, ``http(s)://host[:port][/prefix]``.
    path : str
    headers : mapping of str to str
        Who is asking. They go to the origin of `url` only.
    verify : bool or str
        Whether to check certificates, or a file or folder of certificates to trust.
    connect_timeout_s : float
        For connection and handshake together [s].
    redact : callable
        Takes secrets out of what errors say.

    Raises
    ------
    ApiError
        If the server refuses the handshake: `Unauthorized` 401 and 403, `NotFound` 404, `RateLimited` 429, `ApiError` any other.
    ConnectFailed, TransportError
        If no connection could be made, or TLS failed.
    """
    address = websocket_url(url, path)
    try:
        socket = await _HomeConnect(
            address,
            additional_headers=dict(headers),
            user_agent_header=USER_AGENT,
            compression=None,  # payloads are dense or compressed already; a deflate of each message would be the slowest step
            max_size=LARGEST_MESSAGE,
            write_limit=WRITE_LIMIT_BYTES,
            open_timeout=connect_timeout_s,
            close_timeout=CLOSE_TIMEOUT_S,
            ping_interval=PING_INTERVAL_S,
            ssl=_tls(url, verify),
            logger=_WithoutDebug(logging.getLogger("websockets.client"), {}),
        )
    except websockets.exceptions.InvalidStatus as exc:
        raise _api_error(exc, url, path, redact) from exc
    except FOREIGN as exc:
        ours, said = next((ours, said) for foreign, ours, said in OPENING_ERRORS if isinstance(exc, foreign))
        raise ours(redact(f"GET {path} at {url}: {said} ({exc})")) from exc
    logger.info("WebSocket to %s is open", shown_url(address))
    return WebSocketTransport(socket, shown_url(address))


class WebSocketTransport:
    """An open WebSocket."""

    def __init__(self, socket: ClientConnection, name: str) -> None:
        self._socket, self._name = socket, name

    def __repr__(self) -> str:
        return f"WebSocketTransport({self._name!r})"

    async def send(self, message: bytes) -> None:
        """Send a message; returns when there is room for another."""
        try:
            await self._socket.send(message)
        except FOREIGN as exc:
            raise self._lost(exc) from exc

    async def receive(self) -> bytes:
        """Wait for the next message."""
        try:
            message = await self._socket.recv()
        except FOREIGN as exc:
            raise self._lost(exc) from exc
        if isinstance(message, str):
            raise RemoteProtocolError(f"a text message of {len(message)} characters came; expected binary ones")
        return message

    async def close(self) -> None:
        """Close the connection in good order."""
        try:
            await self._socket.close()
        except asyncio.CancelledError:
            self._socket.transport.abort()  # nobody waits for the goodbye any more, and the socket must not stay behind
            raise
        logger.info("WebSocket to %s is closed", self._name)

    def _lost(self, exc: BaseException) -> ConnectionLost:
        reason = str(exc)
        if isinstance(exc, websockets.exceptions.ConnectionClosed):
            frame, side = (exc.rcvd, "the server") if exc.rcvd is not None else (exc.sent, "this side")
            reason = f"{side} closed it with code {frame.code} ({frame.reason})" if frame is not None else "it was cut"
        return ConnectionLost(f"the WebSocket to {self._name} has ended: {reason}")


class _WithoutDebug(logging.LoggerAdapter[logging.Logger]):
    """What `websockets` logs, without its level DEBUG, which writes out the headers of the handshake and so who is asking."""

    def isEnabledFor(self, level: int) -> bool:  # noqa: N802
        return level > logging.DEBUG and super().isEnabledFor(level)


class _HomeConnect(connect):
    """Follows redirects inside the origin only: credentials do not leave it, which `websockets` ensures for few headers."""

    def process_redirect(self, exc: Exception) -> Exception | str:
        target = super().process_redirect(exc)
        if isinstance(target, str) and origin_of(target) != origin_of(self.uri):
            return exc
        return target


def _tls(url: str, verify: bool | str) -> ssl.SSLContext | None:
    """What TLS is to check: as for HTTP, so that one server is trusted on both ways or on none."""
    if not url.startswith("https"):
        return None
    with requests.Session() as session:
        trusted = session.merge_environment_settings(url, {}, None, verify, None)["verify"]
    if trusted is False:
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        return context
    where = requests.utils.DEFAULT_CA_BUNDLE_PATH if trusted is True else str(trusted)
    try:
        return ssl.create_default_context(capath=where) if os.path.isdir(where) else ssl.create_default_context(cafile=where)
    except OSError as exc:  # ssl.SSLError is one
        raise UsageError(f"verify={where!r} cannot be read as certificates: {exc}") from exc


def _api_error(exc: websockets.exceptions.InvalidStatus, url: str, path: str, redact: Callable[[str], str]) -> ApiError:
    response = exc.response
    status, location = response.status_code, response.headers.get("Location")
    detail = error_detail(bytes(response.body or b""))
    if 300 <= status < 400 and location:
        detail = f"redirected to {shown_url(location)}, which is not followed; check url="
    error = STATUS_ERRORS.get(status, ApiError)
    retry_after_s = read_retry_after(response.headers.get("Retry-After")) if status in (429, 503) else None
    return error(status, f"GET {path}", redact(detail), retry_after_s=retry_after_s)
