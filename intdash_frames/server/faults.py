"""Faults on demand: what a server or the way to it may do wrong, so that clients can be tried against it."""

from __future__ import annotations

import asyncio
import enum
import json
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any, Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from intdash_frames.errors import UsageError

__all__ = ["REFUSE_SECTIONS", "TRANSPORT", "Fault", "Faults"]

TRANSPORT: Final = "intdash_frames.transport"  # key in the scope's extensions: the connection, to be closed in mid-air
REFUSE_SECTIONS: Final = "intdash_frames.refuse_sections"  # key in the scope: a store answers with a negative acknowledgement


class Kind(enum.Enum):
    """What goes wrong."""

    STATUS = "status"
    RETRY_AFTER = "retry_after"
    CUT_BODY = "cut_body"
    LOSE_ANSWER = "lose_answer"
    DELAY = "delay"
    NACK = "nack"
    DUPLICATE_PAGE = "duplicate_page"


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that goes wrong for the next matching requests; made by the class methods, given to ``server.inject``.

    A request meets one fault at most, the first injected that matches.

    Attributes
    ----------
    kind : Kind
    amount : float
        Status, seconds or fraction, as `kind` has it.
    times : int
        How many requests meet it.
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
    def nack(cls, times: int = 1, *, path: str | None = "/api/v1/measurements/*data") -> Fault:
        """Acknowledge a store with result 1 and keep nothing."""
        return cls(Kind.NACK, 0.0, times, path, "POST")

    @classmethod
    def duplicate_page(cls, times: int = 1, *, path: str | None = None) -> Fault:
        """Answer the second GET of a path with the answer to the first, whatever its query: a page comes twice."""
        return cls(Kind.DUPLICATE_PAGE, 0.0, times, path, "GET")

    def matches(self, method: str, path: str) -> bool:
        """Tell whether a request is one that this fault is for."""
        return self.method in (None, method) and (self.path is None or fnmatchcase(path, self.path))


@dataclass(slots=True)
class _Armed:
    fault: Fault
    left: int
    pages: dict[str, list[Message]] = field(default_factory=dict)


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
        armed = self._take(scope) if self._armed and scope["type"] == "http" else None
        if armed is None:
            await self._app(scope, receive, send)
        else:
            await _HAPPENS[armed.fault.kind](self._app, armed, scope, receive, send)

    def _take(self, scope: Scope) -> _Armed | None:
        with self._lock:
            for armed in self._armed:
                if armed.fault.matches(scope["method"], scope["path"]):
                    # The first page is only learned; the fault happens to the second.
                    if armed.fault.kind is not Kind.DUPLICATE_PAGE or scope["path"] in armed.pages:
                        armed.left -= 1
                        if armed.left == 0:
                            self._armed.remove(armed)
                    return armed
        return None


async def _refuse(send: Send, status: int, reason: str, *headers: tuple[bytes, bytes]) -> None:
    body = json.dumps({"error": "injected_fault", "error_description": reason}).encode()
    length = (b"content-length", str(len(body)).encode())
    await send(
        {"type": "http.response.start", "status": status, "headers": [(b"content-type", b"application/json"), length, *headers]}
    )
    await send({"type": "http.response.body", "body": body})


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
    await _refuse(send, int(armed.fault.amount), "a fault was injected")


async def _retry_after(_: ASGIApp, armed: _Armed, scope: Scope, receive: Receive, send: Send) -> None:
    seconds = armed.fault.amount
    await _refuse(send, 429, "too many requests", (b"retry-after", f"{seconds:g}".encode()))


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
