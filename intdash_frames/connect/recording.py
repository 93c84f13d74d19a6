"""`open`: an exported folder as a client."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NoReturn

from intdash_frames.connect.client import Client
from intdash_frames.connect.server import LocalServer
from intdash_frames.errors import MissingDependency

if TYPE_CHECKING:
    import datetime as dt

    from intdash_frames.client.connection import Connection
    from intdash_frames.live.follow import Live

__all__ = ["FolderClient", "open"]


def open(
    path: str | Path,
    *,
    speed: float | Literal["max"] = 1.0,
    max_workers: int = 4,
    tz: str | dt.tzinfo = "UTC",
) -> FolderClient:
    """Open an exported folder as if it were the server that it came from: no network, no account.

    Parameters
    ----------
    path : str or Path
        The folder of a `Client.export` that came to its end.
    speed : float or "max"
        Of what `live` follows: 2.0 is twice as fast as recorded; "max" does not wait.
    max_workers : int
        Requests at once, at most.
    tz : str or tzinfo
        The zone of results.

    Returns
    -------
    FolderClient
        A `Client`, to be used with ``with``.

    Raises
    ------
    UsageError
        If there is no such folder, or an argument cannot work.
    MissingDependency
        Without the extra ``[server]``.
    """
    return FolderClient(path, speed=speed, max_workers=max_workers, tz=tz)


class FolderClient(Client):
    """A client of an exported folder; made by `open`.

    It answers what the server would about what was exported: the same frames, lists and errors, only their url differs. Nothing
    can be written: whatever would raises `Unauthorized`. A file that is not as it was exported is an `ApiError` with status 410.

    Notes
    -----
    Points that share an instant and differ in data type are in the order of the names of types, since a folder does not keep in
    which order they arrived. It is not the default of ``df.intdash.store()``. A pickle of its connection opens the folder again.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        speed: float | Literal["max"] = 1.0,
        max_workers: int = 4,
        tz: str | dt.tzinfo = "UTC",
    ) -> None:
        from intdash_frames.client.connection import Connection
        from intdash_frames.live.replay import checked_speed

        try:
            from intdash_frames.server.in_process import InProcess
        except ModuleNotFoundError as exc:
            raise MissingDependency(exc.name or "the embedded server", "server") from exc
        checked_speed(speed)
        self._transport = InProcess(path)
        try:
            self._ask(Connection(transport=self._transport, max_workers=max_workers, tz=tz))
        except BaseException:
            self._transport.close()
            raise
        self.path = self._transport.folder
        self._speed: Any = speed

    def __repr__(self) -> str:
        return f"open({str(self.path)!r})"

    def live(
        self,
        *,
        edge: Any,
        signals: Any = None,
        window: Any = "60s",
        max_points: int = 1_000_000,
        backfill: Any = None,
        reconnect: bool = True,
    ) -> Live:
        """Follow the recordings of an edge as if they were live; use it with ``with`` or ``async with``.

        Parameters
        ----------
        edge, signals, window, max_points, backfill, reconnect
            As for `Client.live`.

        Returns
        -------
        Live

        Raises
        ------
        UsageError
            If an argument cannot work, or the folder has no such edge.

        Notes
        -----
        A server of its own, on this machine, replays the folder from when the block begins and ends with it; see `LocalServer`.
        Times are those of a recording that begins now, so there is nothing for `backfill` to begin with.
        """
        from intdash_frames.frames.sources import edge_uuid
        from intdash_frames.live.follow import live

        uuid = edge_uuid(self.connection, edge)
        return live(
            self.connection,
            edge=uuid,
            signals=signals,
            window=window,
            max_points=max_points,
            backfill=backfill,
            reconnect=reconnect,
            through=self._served(uuid),
        )

    @contextlib.contextmanager
    def _served(self, edge_uuid: str) -> Iterator[Connection]:
        with (
            LocalServer(self.path, speed=self._speed, edges={}) as server,
            server._connection_as(edge_uuid, tz=self.connection.tz) as connection,
        ):
            yield connection

    def import_(self, path: Any, **_: Any) -> NoReturn:
        """A recording stays as it is.

        Raises
        ------
        Unauthorized
        """
        self._transport.refuse("import_")

    def upstream(self, measurement: Any = None, **_: Any) -> NoReturn:
        """A recording stays as it is.

        Raises
        ------
        Unauthorized
        """
        self._transport.refuse("upstream")

    def replay(self, source: Any, **_: Any) -> NoReturn:
        """A recording stays as it is; a client of a server replays it, and so does `live`.

        Raises
        ------
        Unauthorized
        """
        self._transport.refuse("replay")
