"""The newest client of the process: what ``df.intdash.store()`` uses when it is told nothing else."""

from __future__ import annotations

import threading
import weakref
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from intdash_frames.client.connection import Connection

__all__ = ["HasConnection", "forget", "newest", "newest_connection", "remember"]


class HasConnection(Protocol):
    """A client."""

    connection: Connection


_newest: list[HasConnection] = []
# Older ones may come back when a newer one is closed, but nobody keeps them alive for that.
_older: list[weakref.ref[HasConnection]] = []
_lock = threading.Lock()


def remember(client: HasConnection) -> None:
    """Make a client the newest."""
    with _lock:
        _older[:] = [each for each in _older if each() is not None] + [weakref.ref(each) for each in _newest]
        _newest[:] = [client]


def forget(client: HasConnection) -> None:
    """Say that a client was closed."""
    with _lock:
        _older[:] = [each for each in _older if each() not in (None, client)]
        if client in _newest:
            _newest[:] = [each for each in [_older.pop()()] if each is not None] if _older else []


def newest() -> HasConnection | None:
    """Give the newest client that was not closed."""
    with _lock:
        return _newest[0] if _newest else None


def newest_connection() -> Connection:
    """Give the newest client's connection, or make one from INTDASH_URL and INTDASH_EDGE_TOKEN.

    Raises
    ------
    UsageError
        If there is none and the environment does not say how to make one.
    """
    from intdash_frames.client.connection import Connection

    client = newest()
    return client.connection if client is not None else Connection()
