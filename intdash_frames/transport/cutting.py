"""HTTP connections that can be cut from another thread, so that nobody waits for a server that does not answer."""

from __future__ import annotations

import contextlib
import socket
import threading
import weakref
from typing import Any

import requests.adapters
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool

__all__ = ["Cuttable"]


class Cuttable(requests.adapters.HTTPAdapter):
    """An adapter of `requests` whose sockets can be cut: whatever waits for one of them fails at once, and what comes later too.

    Attributes
    ----------
    is_cut : threading.Event
    """

    def __init__(self, **options: Any) -> None:
        self.is_cut = threading.Event()
        self._sockets: weakref.WeakSet[socket.socket] = weakref.WeakSet()
        self._lock = threading.Lock()
        super().__init__(**options)

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        """Make the pools of `requests`, with connections that are known here."""
        super().init_poolmanager(*args, **options)
        pools = {"http": HTTPConnectionPool, "https": HTTPSConnectionPool}
        self.poolmanager.pool_classes_by_scheme = {scheme: self._pool_class(pool) for scheme, pool in pools.items()}

    def cut(self) -> None:
        """Cut every connection."""
        with self._lock:
            self.is_cut.set()
            found = list(self._sockets)
        for each in found:
            with contextlib.suppress(OSError):  # closed already
                # That of the plain socket: the one of TLS would take its state away from under whoever reads.
                socket.socket.shutdown(each, socket.SHUT_RDWR)

    def sleep(self, seconds: float) -> None:
        """Sleep, but not after the cut."""
        self.is_cut.wait(seconds)

    def _pool_class(self, pool: Any) -> Any:
        adapter = self

        class Connection(pool.ConnectionCls):  # type: ignore[misc]
            def connect(self) -> None:
                super().connect()
                adapter._opened(self.sock)

        return type(pool.__name__, (pool,), {"ConnectionCls": Connection})

    def _opened(self, made: socket.socket) -> None:
        with self._lock:
            self._sockets.add(made)
            if self.is_cut.is_set():
                raise ConnectionAbortedError("it was cut")
