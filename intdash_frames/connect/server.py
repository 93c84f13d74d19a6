"""`LocalServer`: the embedded server as users make it."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self

from intdash_frames.connect.client import Client
from intdash_frames.errors import MissingDependency, UsageError

if TYPE_CHECKING:
    import pandas as pd

    from intdash_frames.client.connection import Connection
    from intdash_frames.server.faults import Fault

__all__ = ["LocalServer"]

LOOPBACK = ("127.0.0.1", "localhost", "::1")


class LocalServer:
    """An intdash server on this machine, for work without an account and for tests.

    Parameters
    ----------
    data : str or Path, optional
        DuckDB file, made if absent; what was acknowledged survives a crash. Or the folder of an export, which can be read and not
        written: its edges, measurements and signals, and whoever follows one of its edges live gets its recordings replayed. None
        keeps everything in memory.
    host : str
        Address to listen on.
    port : int
        0 lets the system choose.
    edges : dict of str to str
        Names and tokens of edges; ``{"demo": "token"}`` if not given, which only does on loopback.
    users : dict of str to str, optional
        Names and passwords.
    speed : float or "max"
        Of replays of a folder: 2.0 is twice as fast as recorded; "max" does not wait.

    Attributes
    ----------
    url : str

    Notes
    -----
    A replay begins when the first follower of an edge comes, and stamps its first point with that moment. The measurements of the
    edge are played one after the other, oldest first, without the time between them, to the end of the last one, whether or not
    somebody still follows; whoever comes later gets what is still to come, and after the end, all of it anew.

    Examples
    --------
    >>> with LocalServer() as server:
    ...     server.client().edges.me().name
    'demo'
    """

    def __init__(
        self,
        data: str | Path | None = None,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        edges: dict[str, str] | None = None,
        users: dict[str, str] | None = None,
        speed: float | Literal["max"] = 1.0,
    ) -> None:
        try:
            from intdash_frames.connect.player import Player
            from intdash_frames.server.app import serve
        except ModuleNotFoundError as exc:
            raise MissingDependency(exc.name or "the embedded server", "server") from exc
        if edges is None and host not in LOOPBACK:
            raise UsageError(f"host={host!r} can be reached from elsewhere; give edges={{name: token}} with tokens of your own")
        self._edges = {"demo": "token"} if edges is None else dict(edges)
        self._player = Player(speed) if data is not None and Path(data).is_dir() else None
        followed = None if self._player is None else self._player.followed
        self._server = serve(data, host=host, port=port, edges=self._edges, users=users, followed=followed)
        if self._player is not None:
            self._player.begin(self._server)

    def __repr__(self) -> str:
        return f"LocalServer({self.url!r})"

    @property
    def url(self) -> str:
        """Where it listens."""
        return self._server.url

    def client(self, edge: str | None = None, **options: Any) -> Client:
        """Make a client of this server.

        Parameters
        ----------
        edge : str, optional
            Whose token to use; the first edge's if not given.
        **options
            Of `Client`.

        Raises
        ------
        UsageError
            If the server has no such edge.
        """
        if edge is None:
            edge = next(iter(self._edges), None)
        if edge not in self._edges:
            raise UsageError(f"edge {edge!r} is not one of this server's: {', '.join(map(repr, self._edges)) or 'it has none'}")
        return Client(self.url, self._edges[edge], **options)

    def _connection_as(self, edge_uuid: str, **options: Any) -> Connection:
        """Connect as an edge, with or without a token for it."""
        from intdash_frames.client.connection import Connection
        from intdash_frames.connect.player import Signed

        return Connection(self.url, token_source=Signed(self._server, edge_uuid), **options)

    def streams(self) -> pd.DataFrame:
        """Show the live streams that are open: a row each, with the points that it carried.

        Returns
        -------
        pandas.DataFrame
            Columns ``connection``, ``account``, ``stream_id``, ``direction``, ``src_edge_uuid``, ``points`` and, of a downstream,
            ``dropped`` (its reader is slow), ``withheld`` (the vendor's SDK cannot read them) and ``unconverted`` [count].
        """
        import dataclasses

        import pandas as pd

        from intdash_frames.server.stream import StreamReport

        columns = [each.name for each in dataclasses.fields(StreamReport)]
        return pd.DataFrame([dataclasses.astuple(each) for each in self._server.streams()], columns=columns)

    def inject(self, fault: Fault) -> None:
        """Make answers fail on purpose; see `Fault`."""
        self._server.inject(fault)

    def close(self) -> None:
        """Stop listening and close the database."""
        if self._player is not None:
            self._player.close()
        self._server.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None) -> None:
        self.close()
