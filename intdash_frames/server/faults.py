"""Faults on demand: what a server or the way to it may do wrong, so that clients can be tried against it."""

from __future__ import annotations

import asyncio
import enum
import json
import threading
import weakref
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any, Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from intdash_frames.errors import UsageError

__all__ = ["REFUSES_SECTION", "REFUSE_SECTIONS", "TRANSPORT", "Fault", "Faults"]

TRANSPORT: Final = "intdash_frames.transport"  # key in the scope's extensions: the connection, to be closed in mid-air
REFUSE_SECTIONS: Final = "intdash_frames.refuse_sections"  # key in the scope: a store answers with a negative acknowledgement
REFUSES_SECTION: Final = "intdash_frames.refuses_section"  # key in the scope of a socket: asks whether a section is to be refused

STORES: Final = "/api/v1/measurements/*data"  # paths of the calls that store


class Kind(enum.Enum):
    """What goes wrong."""

    STATUS = "status"
    RETRY_AFTER = "retry_after"
    CUT_BODY = "cut_body"
    LOSE_ANSWER = "lose_answer"
    DELAY = "delay"
    NACK = "nack"
    DUPLICATE_PAGE = "duplicate_page"
    DROP_SOCKET = "drop_socket"
    SLOW_READER = "slow_reader"


class Occasion(enum.Enum):
    """When something can go wrong."""

    CALL = "call"
    STORE = "store"  # a call that stores
    HANDSHAKE = "handshake"  # of a socket
    SECTION = "section"  # of a stream
    MESSAGE = "message"  # on a socket
    SENDING = "sending"  # of a message to a socket


_OCCASIONS: Final = {
    Kind.STATUS: {Occasion.CALL, Occasion.HANDSHAKE},
    Kind.RETRY_AFTER: {Occasion.CALL, Occasion.HANDSHAKE},
    Kind.CUT_BODY: {Occasion.CALL},
    Kind.LOSE_ANSWER: {Occasion.CALL},
    Kind.DELAY: {Occasion.CALL, Occasion.HANDSHAKE},
    Kind.NACK: {Occasion.STORE, Occasion.SECTION},
    Kind.DUPLICATE_PAGE: {Occasion.CALL},
    Kind.DROP_SOCKET: {Occasion.MESSAGE},
    Kind.SLOW_READER: {Occasion.SENDING},
}


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that goes wrong for the next matching requests; made by the class methods, given to ``server.inject``.

    A request meets one fault at most, the first injected that matches. To open a socket is a GET request.

    Attributes
    ----------
    kind : Kind
    amount : float
        Status, seconds, fraction or messages, as `kind` has it.
    times : int
        How many requests, sections or sockets meet it.
    path : str or None
        Only requests with this path; ``*`` stands for any text. The path starts with ``/api/v1/``, whatever prefix was asked for.
    method : str or None
        Only requests with this method.
    """

    kind: Kind
    amount: float = 0.0
    times: int = 1
    path: str | None = None
    method: str | None = None

    def __post_init__(self) -> None:
        if self.times < 1:
            raise UsageError(f"times={self.times}: expected 1 or more")
        if self.path is not None and not self.path.startswith(("/", "*")):
            raise UsageError(f"path={self.path!r}: expected a path such as '/api/v1/data'")

    @classmethod
    def status(cls, code: int, times: int = 1, *, path: str | None = None, method: str | None = None) -> Fault:
        """Answer with an error status instead of carrying the request out."""
        if not 400 <= code <= 599:
            raise UsageError(f"code={code}: expected an error status, 400 to 599")
        return cls(Kind.STATUS, code, times, path, method)

    @classmethod
    def retry_after(cls, seconds: float, times: int = 1, *, path: str | None = None, method: str | None = None) -> Fault:
        """Answer 429 with ``Retry-After`` instead of carrying the request out."""
        return cls(Kind.RETRY_AFTER, seconds, times, path, method)

    @classmethod
    def cut_body(cls, at: float = 0.5, times: int = 1, *, path: str | None = None, method: str | None = None) -> Fault:
        """Close the connection after the fraction `at` of the body."""
        if not 0 <= at < 1:
            raise UsageError(f"at={at}: expected a fraction, 0 up to but not 1")
        return cls(Kind.CUT_BODY, at, times, path, method)

    @classmethod
    def lose_answer(cls, times: int = 1, *, path: str | None = None, method: str | None = None) -> Fault:
        """Carry the request out (a store is committed), then close the connection without an answer."""
        return cls(Kind.LOSE_ANSWER, 0.0, times, path, method)

    @classmethod
    def delay(cls, seconds: float, times: int = 1, *, path: str | None = None, method: str | None = None) -> Fault:
        """Wait before carrying the request out."""
        return cls(Kind.DELAY, seconds, times, path, method)

    @classmethod
    def nack(cls, times: int = 1, *, path: str | None = None) -> Fault:
        """Acknowledge a store, by a call or as a section of a stream, with result 1 and keep nothing."""
        return cls(Kind.NACK, 0.0, times, path)

    @classmethod
    def duplicate_page(cls, times: int = 1, *, path: str | None = None) -> Fault:
        """Answer the second GET of a path with the answer to the first, whatever its query: a page comes twice."""
        return cls(Kind.DUPLICATE_PAGE, 0.0, times, path, "GET")

    @classmethod
    def drop_socket(cls, after: int = 1, times: int = 1, *, path: str | None = None) -> Fault:
        """Cut a socket off, without a goodbye, as soon as `after` messages have gone over it either way.

        Messages count from the injection on, for each socket by itself, and anew after a socket was cut. The last one is carried
        out if it went to the server; it may be lost if it came from there.
        """
        if after < 1:
            raise UsageError(f"after={after}: expected 1 message or more")
        return cls(Kind.DROP_SOCKET, after, times, path)

    @classmethod
    def slow_reader(cls, seconds: float, times: int = 1, *, path: str | None = None) -> Fault:
        """Take so long over each of the next messages to a socket, as if its reader were slow; what comes meanwhile waits."""
        if not seconds > 0:
            raise UsageError(f"seconds={seconds}: expected more than 0 seconds")
        return cls(Kind.SLOW_READER, seconds, times, path)

    def matches(self, method: str, path: str) -> bool:
        """Tell whether a request is one that this fault is for."""
        return self.method in (None, method) and (self.path is None or fnmatchcase(path, self.path))


@dataclass(slots=True)
class _Armed:
    fault: Fault
    left: int
    pages: dict[str, list[Message]] = field(default_factory=dict)
    messages: weakref.WeakKeyDictionary[_Socket, int] = field(default_factory=weakref.WeakKeyDictionary)


class Faults:
    """ASGI middleware that lets the injected faults happen.

    Parameters
    ----------
    app : ASGI application
        Its requests carry the connection under `TRANSPORT` in the scope's extensions.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._armed: list[_Armed] = []
        self._lock = threading.Lock()  # faults come from the caller's thread

    def inject(self, fault: Fault) -> None:
        """Let a fault happen to the next requests that it matches."""
        with self._lock:
            self._armed.append(_Armed(fault, fault.times))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            method, path = scope["method"], scope["path"]
            stores = method == "POST" and fnmatchcase(path, STORES)
            armed = self._take(method, path, {Occasion.CALL, Occasion.STORE} if stores else {Occasion.CALL})
        else:
            socket = _Socket(self, scope, receive, send)
            scope = {**scope, REFUSES_SECTION: socket.refuses_section}
            receive, send = socket.receive, socket.send
            armed = self._take("GET", scope["path"], {Occasion.HANDSHAKE})
        if armed is None:
            await self._app(scope, receive, send)
        else:
            await _HAPPENS[armed.fault.kind](self._app, armed, scope, receive, send)

    def _take(self, method: str, path: str, occasions: set[Occasion], socket: _Socket | None = None) -> _Armed | None:
        """The fault that happens now, if one does."""
        if not self._armed:
            return None
        with self._lock:
            for armed in self._armed:
                if not _OCCASIONS[armed.fault.kind] & occasions or not armed.fault.matches(method, path):
                    continue
                if socket is not None:
                    armed.messages[socket] = armed.messages.get(socket, 0) + 1
                    if armed.messages[socket] < armed.fault.amount:
                        continue
                    armed.messages.clear()
                # The first page is only learned; the fault happens to the second.
                if armed.fault.kind is not Kind.DUPLICATE_PAGE or path in armed.pages:
                    armed.left -= 1
                    if armed.left == 0:
                        self._armed.remove(armed)
                return armed
        return None


class _Socket:
    """A socket on which things can go wrong while it is open."""

    def __init__(self, faults: Faults, scope: Scope, receive: Receive, send: Send) -> None:
        self._faults, self._path, self._receive, self._send = faults, scope["path"], receive, send
        self._abort: Callable[[], None] = scope["extensions"][TRANSPORT]["abort"]

    def refuses_section(self) -> bool:
        return self._faults._take("GET", self._path, {Occasion.SECTION}) is not None

    async def receive(self) -> Message:
        message = await self._receive()
        if message["type"] == "websocket.receive":
            self._passed()
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "websocket.send":
            armed = self._faults._take("GET", self._path, {Occasion.SENDING})
            if armed is not None:
                await asyncio.sleep(armed.fault.amount)
        await self._send(message)
        if message["type"] == "websocket.send":
            self._passed()

    def _passed(self) -> None:
        if self._faults._take("GET", self._path, {Occasion.MESSAGE}, self) is not None:
            self._abort()


async def _refuse(scope: Scope, send: Send, status: int, reason: str, *headers: tuple[bytes, bytes]) -> None:
    body = json.dumps({"error": "injected_fault", "error_description": reason}).encode()
    given = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode()), *headers]
    prefix = "websocket." if scope["type"] == "websocket" else ""
    await send({"type": f"{prefix}http.response.start", "status": status, "headers": given})
    await send({"type": f"{prefix}http.response.body", "body": body})


async def _answer_of(app: ASGIApp, scope: Scope, receive: Receive) -> list[Message]:
    messages: list[Message] = []

    async def keep(message: Message) -> None:
        messages.append({**message, "body": bytes(message["body"])} if "body" in message else message)

    await app(scope, receive, keep)
    return messages


async def _close(scope: Scope, receive: Receive) -> None:
    """Close the connection after what was written, and wait until it is: returning earlier would make the server answer 500."""
    scope["extensions"][TRANSPORT]["close"]()
    while (await receive())["type"] != "http.disconnect":
        pass


async def _status(_: ASGIApp, armed: _Armed, scope: Scope, receive: Receive, send: Send) -> None:
    await _refuse(scope, send, int(armed.fault.amount), "a fault was injected")


async def _retry_after(_: ASGIApp, armed: _Armed, scope: Scope, receive: Receive, send: Send) -> None:
    seconds = armed.fault.amount
    await _refuse(scope, send, 429, "too many requests", (b"retry-after", f"{seconds:g}".encode()))


async def _cut_body(app: ASGIApp, armed: _Armed, scope: Scope, receive: Receive, send: Send) -> None:
    start, *parts = await _answer_of(app, scope, receive)
    body = b"".join(part.get("body", b"") for part in parts)
    await send(start)
    await send({"type": "http.response.body", "body": body[: int(len(body) * armed.fault.amount)], "more_body": True})
    await _close(scope, receive)


async def _lose_answer(app: ASGIApp, armed: _Armed, scope: Scope, receive: Receive, send: Send) -> None:
    await _answer_of(app, scope, receive)
    await _close(scope, receive)


async def _delay(app: ASGIApp, armed: _Armed, scope: Scope, receive: Receive, send: Send) -> None:
    await asyncio.sleep(armed.fault.amount)
    await app(scope, receive, send)


async def _nack(app: ASGIApp, armed: _Armed, scope: Scope, receive: Receive, send: Send) -> None:
    await app({**scope, REFUSE_SECTIONS: True}, receive, send)


async def _duplicate_page(app: ASGIApp, armed: _Armed, scope: Scope, receive: Receive, send: Send) -> None:
    if scope["path"] not in armed.pages:
        armed.pages[scope["path"]] = await _answer_of(app, scope, receive)
    for message in armed.pages[scope["path"]]:
        await send(message)


_HAPPENS: Final[dict[Kind, Callable[..., Awaitable[Any]]]] = {
    Kind.STATUS: _status,
    Kind.RETRY_AFTER: _retry_after,
    Kind.CUT_BODY: _cut_body,
    Kind.LOSE_ANSWER: _lose_answer,
    Kind.DELAY: _delay,
    Kind.NACK: _nack,
    Kind.DUPLICATE_PAGE: _duplicate_page,
}
