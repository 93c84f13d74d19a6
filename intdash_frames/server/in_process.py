"""The calls of a server without a server: an exported folder answers in this process, by the same handlers."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import unquote, urlsplit

from starlette.datastructures import QueryParams
from starlette.responses import Response as Answered

from intdash_frames.errors import ApiError, UsageError
from intdash_frames.protocol.call import Request
from intdash_frames.protocol.endpoints import EDGES_ME
from intdash_frames.server.accounts import Accounts
from intdash_frames.server.answers import Answer
from intdash_frames.server.folder_store import folder_store
from intdash_frames.server.rest import Call
from intdash_frames.server.routing import match
from intdash_frames.server.store import Refused
from intdash_frames.transport.over_http import api_error, error_detail
from intdash_frames.transport.retry import RetryPolicy
from intdash_frames.transport.seam import Response

__all__ = ["InProcess"]


class InProcess:
    """A `Transport` to an exported folder.

    Parameters
    ----------
    path : str or Path
        The folder of an export that came to its end.

    Attributes
    ----------
    folder : Path
        Its absolute path; a pickle carries nothing else.
    url : str
        The same as ``file://...``.

    Raises
    ------
    UsageError
        If it is none.
    """

    def __init__(self, path: str | Path) -> None:
        try:
            self.folder = Path(path).resolve()
        except TypeError as exc:
            raise UsageError(f"path={path!r} is no folder of an export: {exc}") from exc
        self.url = self.folder.as_uri()
        self.policy = RetryPolicy(0)  # what fails here fails again
        self._store = folder_store(self.folder)
        self._accounts = Accounts(self._store, {}, {})
        with self._store.read() as cursor:
            edges = cursor.execute("SELECT uuid FROM edges LIMIT 2").fetchall()
        self._caller = edges[0][0] if len(edges) == 1 else ""
        self._closed = False

    def __repr__(self) -> str:
        return f"InProcess({str(self.folder)!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return InProcess, (self.folder,)

    def send(self, request: Request, *, credentials: bool = True) -> Response:
        """Make a call and give its whole answer.

        Raises
        ------
        ApiError
            As over HTTP.
        """
        answer = self._answer(request)
        if isinstance(answer, Answered):
            body = bytes(answer.body)
            if not 200 <= answer.status_code < 300:
                raise api_error(answer.status_code, request.endpoint, error_detail(body))
            return Response(answer.status_code, dict(answer.headers), body)
        with contextlib.closing(_Pieces(answer, request)) as pieces:
            return Response(pieces.status, pieces.headers, b"".join(iter(lambda: pieces.read(1 << 20), b"")))

    @contextlib.contextmanager
    def stream(self, request: Request) -> Iterator[_Pieces]:
        """Make a call and give its body in pieces, each made while the one before it is looked at."""
        answer = self._answer(request)
        if isinstance(answer, Answered):
            raise UsageError(f"{request.endpoint} is answered as a whole; send it")
        with contextlib.closing(_Pieces(answer, request)) as pieces:
            yield pieces

    def refuse(self, call: str) -> NoReturn:
        """Say no to what would write, as the store does.

        Raises
        ------
        Unauthorized
        """
        try:
            self._store.check_writable()
        except Refused as exc:
            raise api_error(exc.status, call, exc.reason) from exc
        raise AssertionError("a folder is never written to")

    def apart(self) -> InProcess:
        """Give another one over the same folder."""
        return InProcess(self.folder)

    def cut(self) -> None:
        """Do nothing: nobody waits for a network here."""

    def close(self) -> None:
        """Let go of the folder. Calling it again does nothing."""
        if not self._closed:
            self._closed = True
            self._store.close()

    def _answer(self, request: Request) -> Answered | Answer:
        if self._closed:
            raise UsageError(f"{str(self.folder)!r} was closed; open it again")
        target = urlsplit(request.target)
        found = match(request.method, unquote(target.path))
        if found is None:
            raise api_error(404, request.endpoint, "no such call")
        if found.endpoint is EDGES_ME and not self._caller:
            raise api_error(404, request.endpoint, "a folder of several edges is none of them; edges.list() gives them")
        call = Call(
            store=self._store,
            accounts=self._accounts,
            endpoint=found.endpoint,
            caller=self._caller,
            path=found.path,
            query=QueryParams(target.query),
            body=request.body or b"",
        )
        try:
            return found.handler(call)
        except Refused as exc:
            raise _told(exc, request) from exc


class _Pieces:
    """The body of an answer; a `ByteStream`."""

    status = 200
    headers: Mapping[str, str] = {}
    retries = 0

    def __init__(self, answer: Answer, request: Request) -> None:
        self._answer, self._request = answer, request
        self._maker = ThreadPoolExecutor(1, "intdash-frames-answer")
        self._next: Future[memoryview | None] = self._maker.submit(answer.next)
        self._piece = memoryview(b"")

    def read(self, size: int) -> bytes:
        """Give the next bytes, `size` of them unless the body ends first; ``b""`` at the end.

        Raises
        ------
        ApiError
            If the rest cannot be made.
        """
        taken: list[memoryview] = []
        while size and (self._piece or self._has_more()):
            taken.append(self._piece[:size])
            self._piece = self._piece[size:]
            size -= len(taken[-1])
        return b"".join(taken)

    def _has_more(self) -> bool:
        try:
            piece = self._next.result()
        except Refused as exc:
            raise _told(exc, self._request) from exc
        if piece is None:
            return False
        self._piece = piece
        self._next = self._maker.submit(self._answer.next)
        return True

    def close(self) -> None:
        """End the answer, wherever it is."""
        self._answer.close()
        self._maker.shutdown()


def _told(exc: Refused, request: Request) -> ApiError:
    return api_error(exc.status, request.endpoint, error_detail(exc.reason.encode()))
