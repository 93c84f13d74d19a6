"""The embedded server: a listener and the thread it all runs in."""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Final

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from intdash_frames.errors import UsageError
from intdash_frames.server.accounts import Accounts
from intdash_frames.server.asgi import AnyPrefix, Rest
from intdash_frames.server.faults import TRANSPORT, Fault, Faults
from intdash_frames.server.folder_store import folder_store
from intdash_frames.server.sockets import Sockets
from intdash_frames.server.store import Store
from intdash_frames.server.stream import StreamReport

__all__ = ["Server", "serve"]

GRACE_S: Final = 1  # what a running answer gets to finish when the server stops
KEEP_ALIVE_S: Final = 75
WORKERS: Final = 8
# A unit carries 2**30 - 1 bytes (protocol 5.10); the rest is for what stands around it and beside it.
LARGEST_MESSAGE: Final = 2**30 + 2**20
PING_INTERVAL_S: Final = 10.0  # protocol 5.1
# A reader that is busy for a while answers no pings meanwhile; it may miss units, not the connection.
PING_TIMEOUT_S: Final = 60.0


class _Connection(HttpToolsProtocol):
    """Tells the application which connection a request came on, so that a fault can close it."""

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["extensions"] = {TRANSPORT: {"close": self.transport.close}}


class _Socket(WebSocketsSansIOProtocol):
    """Tells the application how to end the connection, in mid-air or after what has come."""

    async def run_asgi(self) -> None:
        self.scope["extensions"][TRANSPORT] = {"abort": self.transport.abort, "stop": self._stop}
        await super().run_asgi()

    def _stop(self) -> None:
        self.queue.put_nowait({"type": "websocket.disconnect", "code": 1001})

    def keepalive_timeout(self) -> None:
        super().keepalive_timeout()
        self.transport.abort()  # a peer that does not read would not take the goodbye either


class _Uvicorn(uvicorn.Server):
    """Says when it answers, and leaves no connection behind."""

    def __init__(self, config: uvicorn.Config, sockets: Sockets) -> None:
        super().__init__(config)
        self.answers = threading.Event()
        self._sockets = sockets

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.answers.set()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await self._sockets.close()
        await super().shutdown(sockets)
        # A peer that does not read would keep what is left of its answer, and so the connection, for ever.
        for connection in list(self.server_state.connections):
            if connection.transport is not None:
                connection.transport.abort()
        await asyncio.gather(*self.server_state.tasks, return_exceptions=True)


class Server:
    """A running server; `close` it or use it as a context manager. Made by `serve`.

    Attributes
    ----------
    url : str
        ``http://HOST:PORT``.
    port : int
        The real one.
    """

    def __init__(
        self, store: Store, accounts: Accounts, host: str, port: int, followed: Callable[[str], None] | None = None
    ) -> None:
        self._store, self._accounts = store, accounts
        self._pool = ThreadPoolExecutor(WORKERS, thread_name_prefix="intdash-frames-worker")
        listener = _listen(host, port)
        self.port: int = listener.getsockname()[1]
        self.url = f"http://{f'[{host}]' if ':' in host else host}:{self.port}"
        self._sockets = Sockets(store, accounts, self._pool, followed)
        self._faults = Faults(Rest(store, accounts, self._pool, self._sockets).app)
        self._uvicorn = _Uvicorn(
            uvicorn.Config(
                AnyPrefix(self._faults),
                http=_Connection,
                ws=_Socket,
                ws_max_size=LARGEST_MESSAGE,
                ws_ping_interval=PING_INTERVAL_S,
                ws_ping_timeout=PING_TIMEOUT_S,
                ws_per_message_deflate=False,
                loop="asyncio",
                lifespan="off",
                log_config=None,
                log_level=logging.CRITICAL,
                access_log=False,
                proxy_headers=False,
                server_header=False,
                timeout_keep_alive=KEEP_ALIVE_S,
                timeout_graceful_shutdown=GRACE_S,
            ),
            self._sockets,
        )
        self._thread = threading.Thread(target=self._serve, args=(listener,), name="intdash-frames-server", daemon=True)
        self._thread.start()
        self._uvicorn.answers.wait()
        if not self._uvicorn.started:
            self.close()
            raise UsageError(f"the server could not start on {self.url}")

    def _serve(self, listener: socket.socket) -> None:
        try:
            self._uvicorn.run(sockets=[listener])
        finally:
            self._uvicorn.answers.set()

    def inject(self, fault: Fault) -> None:
        """Let a fault happen to the next requests that it matches."""
        self._faults.inject(fault)

    def streams(self) -> list[StreamReport]:
        """The streams that are open, with what they carried and what they missed."""
        return self._sockets.report()

    def token_of(self, edge_uuid: str) -> str:
        """Give a token with which to call as an edge, for who shares this process."""
        return self._accounts.token_of(edge_uuid)

    def close(self) -> None:
        """Stop within about a second, and close the data file. Calling it again does nothing."""
        self._uvicorn.should_exit = True
        self._thread.join()
        self._pool.shutdown()
        self._store.close()

    def __enter__(self) -> Server:
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def _listen(host: str, port: int) -> socket.socket:
    if not 0 <= port <= 65535:
        raise UsageError(f"cannot listen on {host} port {port}; expected 0 to 65535, where 0 takes a free one")
    try:
        listener = socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET, backlog=128)
    except OSError as exc:
        raise UsageError(f"cannot listen on {host} port {port}: {exc}; port 0 takes a free one") from exc
    # Connections inherit it. asyncio sets it only on sockets made with an explicit IPPROTO_TCP; without it every answer in two
    # writes waits 40 ms for the peer's delayed acknowledgement.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


def serve(
    data: str | Path | None = None,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    edges: Mapping[str, str] | None = None,
    users: Mapping[str, str] | None = None,
    token_lifetime_s: float = 3600,
    followed: Callable[[str], None] | None = None,
) -> Server:
    """Start a server in a background thread; it answers when this returns.

    Parameters
    ----------
    data : str or Path, optional
        DuckDB file, made if absent; what was acknowledged is there after a crash. Or the folder of an export, which can be read
        and not written. None keeps everything in memory.
    host, port : str, int
        Where to listen; port 0 takes a free one.
    edges : mapping of str to str, optional
        Edge name -> token; by default ``{"demo": "token"}``.
    users : mapping of str to str, optional
        User name -> password.
    token_lifetime_s : float
        Life of the token that a login gives [s].
    followed : callable, optional
        Called with the UUID of an edge when a downstream begins to follow it; must return at once, since everybody waits.

    Returns
    -------
    Server

    Raises
    ------
    UsageError
        The file or folder cannot be opened, the port is taken, a name or token is empty.
    """
    store = folder_store(data) if data is not None and Path(data).is_dir() else Store(data)
    try:
        accounts = Accounts(store, {"demo": "token"} if edges is None else edges, users or {}, token_lifetime_s=token_lifetime_s)
        return Server(store, accounts, host, port, followed)
    except BaseException:
        store.close()
        raise
