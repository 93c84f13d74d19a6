"""Recordings of a server's folder, played as live data of their edges when somebody follows them."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Any, Final, Literal

from intdash_frames.client.connection import Connection
from intdash_frames.client.credentials import TokenSource
from intdash_frames.errors import IntdashError
from intdash_frames.frames.sources import own_range
from intdash_frames.live.replay import Replay, checked_speed

if TYPE_CHECKING:
    from intdash_frames.server.app import Server

__all__ = ["Player", "Signed"]

logger = logging.getLogger("intdash_frames.live")

PAGE: Final = 1000


class Signed(TokenSource):
    """A `TokenSource`: lets who shares its process speak for an edge, whatever credentials a server was given."""

    def __init__(self, server: Server, edge_uuid: str) -> None:
        self._server, self._edge_uuid = server, edge_uuid

    def token(self) -> str:
        return self._server.token_of(self._edge_uuid)


class Player:
    """Plays what edges have recorded; `close` it.

    Parameters
    ----------
    speed : float or "max"
        As of `Client.replay`.

    Raises
    ------
    UsageError
        If the speed cannot be.
    """

    def __init__(self, speed: float | Literal["max"]) -> None:
        checked_speed(speed)
        self._speed: Any = speed
        self._server: Server | None = None
        self._lock = threading.Lock()
        self._threads: dict[str, threading.Thread] = {}
        self._replays: dict[str, Replay] = {}
        self._closed = False

    def begin(self, server: Server) -> None:
        """Say whose recordings they are."""
        self._server = server

    def followed(self, edge_uuid: str) -> None:
        """Play the recordings of an edge, unless they are being played; returns at once."""
        with self._lock:
            if self._closed or edge_uuid in self._threads:
                return
            name = f"intdash-frames-player-{edge_uuid[:8]}"
            thread = self._threads[edge_uuid] = threading.Thread(target=self._play, args=(edge_uuid,), name=name, daemon=True)
            thread.start()

    def close(self) -> None:
        """Stop everything that is being played. Calling it again does nothing."""
        with self._lock:
            self._closed = True
            threads = list(self._threads.values())
            for replay in self._replays.values():
                replay.close()
        for thread in threads:
            thread.join()

    def _play(self, edge_uuid: str) -> None:
        assert self._server is not None
        try:
            with Connection(self._server.url, token_source=Signed(self._server, edge_uuid), retries=0) as connection:
                pages = connection.measurements.list(edge_uuid=edge_uuid, limit=PAGE, iterator=True)
                recorded = sorted((each for page in pages for each in page), key=lambda each: own_range(each).start_ns)
                for measurement in recorded:
                    replay = Replay(connection, measurement, edge=edge_uuid, speed=self._speed, store=False, progress=False)
                    with self._lock:
                        if self._closed:
                            return
                        self._replays[edge_uuid] = replay
                    replay.run()
        except IntdashError as exc:
            logger.warning("the recordings of edge %s are not played to their end: %s", edge_uuid, exc)
        finally:
            with self._lock:
                self._replays.pop(edge_uuid, None)
                del self._threads[edge_uuid]
