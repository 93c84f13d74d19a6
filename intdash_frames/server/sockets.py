"""The sockets of the streams: who may open one, and how all of them end.

Source: protocol 1.2, 5.1 and appendix B.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from starlette.datastructures import Headers
from starlette.types import Receive, Scope, Send

from intdash_frames.codecs.messages import read_message
from intdash_frames.codecs.series import SeriesTable
from intdash_frames.codecs.units import UnitRun
from intdash_frames.model import DataType
from intdash_frames.protocol.elements import DataFilter, Unit
from intdash_frames.protocol.framing import write_elements
from intdash_frames.server.accounts import Accounts
from intdash_frames.server.asgi import refusal
from intdash_frames.server.hub import Selection
from intdash_frames.server.parcels import pack
from intdash_frames.server.store import Refused, Store
from intdash_frames.server.stream import GRACE_S, Connection, Shared, StreamReport

__all__ = ["Sockets"]


class Sockets:
    """ASGI application for the one path of the streams.

    Parameters
    ----------
    store : Store
    accounts : Accounts
    pool : ThreadPoolExecutor
        Where the database and large messages are worked on.
    followed : callable, optional
        As of `Hub`.
    """

    def __init__(
        self, store: Store, accounts: Accounts, pool: ThreadPoolExecutor, followed: Callable[[str], None] | None = None
    ) -> None:
        self._accounts, self._shared = accounts, Shared(store, pool, followed)
        self._numbers = itertools.count(1)
        self._connections: dict[Connection, asyncio.Task[Any]] = {}
        self._closing = False
        self._warmed: asyncio.Future[None] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        try:
            if self._closing:
                raise Refused(503, "the server is closing")
            account = self._accounts.caller(Headers(scope=scope))
        except Refused as exc:
            await refusal(exc)(scope, receive, send)
            return
        await receive()  # the wish to connect
        await send({"type": "websocket.accept"})
        if self._warmed is None:
            self._warmed = asyncio.ensure_future(self._shared.run(_warm_up))
        await asyncio.shield(self._warmed)
        connection = Connection(self._shared, next(self._numbers), account, scope, receive, send)
        task = asyncio.current_task()
        assert task is not None
        self._connections[connection] = task
        try:
            await connection.run()
        finally:
            del self._connections[connection]

    async def close(self) -> None:
        """End every connection within the time of grace, after what has come is kept and acknowledged."""
        self._closing = True
        tasks = dict(self._connections)
        for connection in tasks:
            connection.stop()
        if tasks:
            _, late = await asyncio.wait(tasks.values(), timeout=GRACE_S)
            for connection, task in tasks.items():
                if task in late:
                    connection.cut()
                    task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    def report(self) -> list[StreamReport]:
        """The streams that are open; may be called from any thread."""
        return [each for connection in list(self._connections) for each in connection.report()]


def _warm_up() -> None:
    """Do once what every message needs: a kernel is compiled, or read from its cache, when it is first called."""
    floats = [Unit(stream_id, 1, DataType.float, 0, b"\1x" + bytes(8)) for stream_id in (1, 2)]
    for run in read_message(write_elements(floats), SeriesTable()):
        assert isinstance(run, UnitRun)
        for stream_id, points in run.by_stream():
            for chosen in Selection([DataFilter(1, DataType.float)]).of(points):
                pack(chosen, stream_id)
