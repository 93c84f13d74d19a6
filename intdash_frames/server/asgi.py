"""The embedded server as an ASGI application: routes, worker threads, and answers that stream."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocket

from intdash_frames.protocol.call import Endpoint
from intdash_frames.protocol.endpoints import PROTOBUF_TYPE, STREAM_PATH
from intdash_frames.server.accounts import Accounts
from intdash_frames.server.answers import Answer
from intdash_frames.server.faults import REFUSE_SECTIONS
from intdash_frames.server.rest import OPEN_CALLS, Call, Handler
from intdash_frames.server.routing import ROUTES
from intdash_frames.server.store import Refused, Store

__all__ = ["AnyPrefix", "Rest", "refusal"]

logger = logging.getLogger("intdash_frames.server")

API: Final = "/api/v1/"
# Payloads of one body are addressed by 31 bits; the vendor also asks to stay below 2 GB (protocol 4.1).
MAX_BODY_BYTES: Final = 2**31 - 1
# uvicorn and asyncio copy what they are given up to three times: chunks that stay in the cache, and never much more than the
# socket takes at once, so that what a slow reader leaves behind is small.
CHUNK_BYTES: Final = 2**19


class StreamedAnswer(Response):
    """Sends an `Answer` piece by piece, each made while the one before it travels."""

    def __init__(self, answer: Answer, first: memoryview | None, pool: ThreadPoolExecutor) -> None:
        super().__init__(media_type=PROTOBUF_TYPE)
        del self.headers["content-length"]  # not known
        self._answer, self._first, self._pool = answer, first, pool

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        loop, piece = asyncio.get_running_loop(), self._first
        gone = asyncio.ensure_future(receive())  # the request has been read, so that only its end can come
        try:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            while piece is not None and not gone.done():
                following = loop.run_in_executor(self._pool, self._answer.next)
                for start in range(0, len(piece), CHUNK_BYTES):
                    await send({"type": "http.response.body", "body": piece[start : start + CHUNK_BYTES], "more_body": True})
                piece = await following
            await send({"type": "http.response.body", "body": b""})
        finally:
            gone.cancel()
            self._pool.submit(self._answer.close)


class Rest:
    """ASGI application over one store.

    Parameters
    ----------
    store : Store
    accounts : Accounts
    pool : ThreadPoolExecutor
        Where handlers run: whatever touches the database or a large body.
    sockets : ASGI application
        Takes the sockets of the streams.
    """

    def __init__(self, store: Store, accounts: Accounts, pool: ThreadPoolExecutor, sockets: ASGIApp) -> None:
        self._store, self._accounts, self._pool = store, accounts, pool
        self.app = Starlette(
            routes=[
                *(
                    Route(endpoint.path, self._endpoint(endpoint, handler), methods=[endpoint.method])
                    for endpoint, handler in ROUTES
                ),
                WebSocketRoute(STREAM_PATH, sockets),
                WebSocketRoute("/{path:path}", _no_such_socket),
            ],
            exception_handlers={Refused: _refused, HTTPException: _no_such_call},
        )

    def _endpoint(self, endpoint: Endpoint, handler: Handler) -> Callable[[Request], Awaitable[Response]]:
        async def respond(request: Request) -> Response:
            caller = "" if endpoint in OPEN_CALLS else self._accounts.caller(request.headers)
            call = Call(
                store=self._store,
                accounts=self._accounts,
                endpoint=endpoint,
                caller=caller,
                path=request.path_params,
                query=request.query_params,
                body=await _body_of(request),
                refuse_sections=request.scope.get(REFUSE_SECTIONS, False),
            )
            answer, first = await asyncio.get_running_loop().run_in_executor(self._pool, _begun, handler, call)
            return answer if isinstance(answer, Response) else StreamedAnswer(answer, first, self._pool)

        async def safely(request: Request) -> Response:
            try:
                return await respond(request)
            except (Refused, HTTPException, ClientDisconnect):
                raise
            except Exception:
                logger.exception("%s %s failed", endpoint.method, endpoint.path)
                return _error(500, "the server failed; its log says why")

        return safely


def _begun(handler: Handler, call: Call) -> tuple[Response | Answer, memoryview | None]:
    """Carry a call out. The first piece of an answer is made before the status is sent, so that a failure can still be told."""
    answer = handler(call)
    if isinstance(answer, Response):
        return answer, None
    try:
        return answer, answer.next()
    except BaseException:
        answer.close()
        raise


async def _body_of(request: Request) -> bytes:
    pieces, size = [], 0
    async for piece in request.stream():
        size += len(piece)
        if size > MAX_BODY_BYTES:
            raise Refused(413, f"a body of more than {MAX_BODY_BYTES} bytes; send several sections")
        pieces.append(piece)
    return b"".join(pieces)


def _error(status: int, reason: str) -> Response:
    return JSONResponse({"error": status, "error_description": reason}, status)


def refusal(exc: Refused) -> Response:
    """The answer that says no, to a call or to the opening of a socket."""
    response = _error(exc.status, exc.reason)
    if exc.status == 401:
        response.headers["www-authenticate"] = "Bearer"
    return response


def _refused(_: Request, exc: Exception) -> Response:
    assert isinstance(exc, Refused)
    return refusal(exc)


async def _no_such_socket(socket: WebSocket) -> None:
    await socket.send_denial_response(_error(404, f"{socket.url.path}: no socket there; streams are at {STREAM_PATH}"))


def _no_such_call(request: Request, exc: Exception) -> Response:
    assert isinstance(exc, HTTPException)
    return _error(exc.status_code, f"{request.method} {request.url.path}: {exc.detail}")


class AnyPrefix:
    """ASGI middleware: a base URL may have a path of its own and end in a slash, as in ``/prefix//api/v1/version``.

    Source: protocol 1.1, appendix B.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if "path" in scope:
            scope["path"] = scope["path"][max(scope["path"].find(API), 0) :]
        await self._app(scope, receive, send)
