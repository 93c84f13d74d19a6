"""`Client`: each method is one line over the layers below."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self

from intdash_frames.client import newest
from intdash_frames.errors import UsageError

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Callable

    import requests

    from intdash_frames.client.basetimes import MeasurementBasetimes
    from intdash_frames.client.captures import Captures
    from intdash_frames.client.connection import Connection
    from intdash_frames.client.credentials import TokenSource
    from intdash_frames.client.data_points import DataPoints
    from intdash_frames.client.edges import Edges
    from intdash_frames.client.iscp import ISCPConn
    from intdash_frames.client.markers import MeasurementMarkers
    from intdash_frames.client.measurements import Measurements
    from intdash_frames.client.units import Units
    from intdash_frames.client.websocket import WebSocketConn
    from intdash_frames.export.import_ import ImportReport
    from intdash_frames.export.report import ExportReport
    from intdash_frames.frames.definitions import SignalDefinitions
    from intdash_frames.frames.progress import ProgressOption
    from intdash_frames.frames.query import Frames
    from intdash_frames.frames.reading import Query
    from intdash_frames.live.follow import Live
    from intdash_frames.live.replay import ReplayResult
    from intdash_frames.live.upstream import LiveUpstream

__all__ = ["Client", "default_client"]


class Client:
    """A client of one intdash server.

    Parameters
    ----------
    url : str, optional
        ``http(s)://host[:port][/prefix]``; the environment variable INTDASH_URL if not given.
    edge_token : str, optional
        The token of an edge; INTDASH_EDGE_TOKEN if no other credentials are given.
    username, password : str, optional
        Log in for a JWT, and again when it has run out.
    token_source : TokenSource, optional
        Any object with a method ``token() -> str``.
    session : requests.Session, optional
        The caller's own session, with its credentials.
    verify : bool or str
        Whether to check certificates, or a file of certificates to trust.
    timeout : tuple of float
        To connect, and between two bytes of an answer [s].
    retries : int
        Tries after the first, for calls that may be repeated.
    max_workers : int
        Requests at once, at most. An export makes as many, any other read one at a time so far.
    tz : str or tzinfo
        The zone of results.

    Attributes
    ----------
    edges, measurements, measurement_basetimes, measurement_markers, signals, captures, units, data_points
        The resources of the server, in the vendor's vocabulary.

    Notes
    -----
    The newest client is the default of ``df.intdash.store()``. No credential shows in a repr, an error, a log line or a pickle.
    """

    edges: Edges
    measurements: Measurements
    measurement_basetimes: MeasurementBasetimes
    measurement_markers: MeasurementMarkers
    signals: SignalDefinitions
    captures: Captures
    units: Units
    data_points: DataPoints

    def __init__(
        self,
        url: str | None = None,
        edge_token: str | None = None,
        *,
        username: str | None = None,
        password: str | None = None,
        token_source: TokenSource | None = None,
        session: requests.Session | None = None,
        verify: bool | str = True,
        timeout: float | tuple[float, float] = (5, 60),
        retries: int = 5,
        max_workers: int = 4,
        tz: str | dt.tzinfo = "UTC",
    ) -> None:
        from intdash_frames.client.connection import Connection

        self._ask(
            Connection(
                url,
                edge_token,
                username=username,
                password=password,
                token_source=token_source,
                session=session,
                verify=verify,
                timeout=timeout,
                retries=retries,
                max_workers=max_workers,
                tz=tz,
            )
        )
        newest.remember(self)

    def _ask(self, connection: Connection) -> None:
        """Let everything go through a connection."""
        from intdash_frames.frames.definitions import SignalDefinitions

        self.connection = connection
        self.edges = self.connection.edges
        self.measurements = self.connection.measurements
        self.measurement_basetimes = self.connection.measurement_basetimes
        self.measurement_markers = self.connection.measurement_markers
        self.signals = SignalDefinitions(self.connection)
        self.captures = self.connection.captures
        self.units = self.connection.units
        self.data_points = self.connection.data_points

    def __repr__(self) -> str:
        return f"Client({self.connection.url!r})"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections to the server."""
        newest.forget(self)
        self.connection.close()

    @property
    def url(self) -> str:
        """Base URL, without a trailing slash."""
        return self.connection.url

    @property
    def version(self) -> str | None:
        """Version of the server; None if it gives no usable answer."""
        return self.connection.version

    def frames(
        self,
        source: Any = None,
        signals: Any = None,
        start: Any = None,
        end: Any = None,
        *,
        edge: Any = None,
        labels: Any = None,
        head: int | None = None,
        tz: Any = None,
        errors: Literal["raise", "collect"] = "raise",
        progress: ProgressOption = "auto",
    ) -> Frames:
        """Ask for data points; nothing is read before a sink of the result is called.

        Parameters
        ----------
        source : str, Measurement, row of ``measurements.frame()``, or list of them
            Which measurements. Give this or `edge`.
        signals : str, IdQuery, or list of them, optional
            ``"type:channel/data_id"`` with ``*`` for any part, or globs over the data id alone, such as ``"sp_ACC*"``.
        start, end : str, Timestamp, Timedelta, optional
            Half open range: moments, durations since the base time, or ``"-10min"`` before the end (for an edge: before now).
            Default: all of a measurement; an edge needs `start`.
        edge : str or Edge, optional
            Name or UUID of an edge: across all its measurements.
        labels : list of str, optional
            Names of signal definitions that the server converts.
        head : int, optional
            The first so many points in time order.
        tz : str or tzinfo, optional
            Zone of moments without one, and of the result.
        errors : {"raise", "collect"}
            Whether an incomplete read raises `IncompleteRead`, or is returned with what is missing in ``.report``.
        progress : "auto", bool or callable
            "auto" shows a bar where somebody looks.

        Returns
        -------
        Frames

        Raises
        ------
        UsageError
            If an argument cannot work; nothing is sent.
        """
        from intdash_frames.frames.query import frames

        return frames(
            self.connection,
            source,
            signals,
            start,
            end,
            edge=edge,
            labels=labels,
            head=head,
            tz=tz,
            errors=errors,
            progress=progress,
            export=_export,
        )

    def export(
        self,
        source: Any = None,
        path: Any = None,
        signals: Any = None,
        start: Any = None,
        end: Any = None,
        *,
        edge: Any = None,
        labels: Any = None,
        tz: Any = None,
        decode: bool | None = None,
        resume: bool = True,
        errors: Literal["raise", "collect"] = "raise",
        progress: ProgressOption = "auto",
    ) -> ExportReport:
        """Keep data points as a folder of Parquet files that pandas, polars, DuckDB and others read.

        Memory stays bounded, and `max_workers` requests run at once. Stopped at any moment, the same call again goes on from
        there, and the files come out the same as without the stop.

        Parameters
        ----------
        source, signals, start, end, edge, labels, tz
            As for `frames`.
        path : path-like
            The folder; made if absent. Exports of other measurements may be in it, if nothing else of the query differs.
        decode : bool, optional
            False keeps the raw payloads alone; else there are decoded columns beside them.
        resume : bool
            False reads everything again. Else what is there is verified by its SHA-256 and not read again, unless the
            measurement has changed meanwhile.
        errors : {"raise", "collect"}
            Whether an incomplete export raises `IncompleteRead`, or is returned with what is missing in ``.failed``.
        progress : "auto", bool or callable

        Returns
        -------
        ExportReport

        Raises
        ------
        UsageError
            If an argument cannot work, the folder holds an export of another query, or another export is writing into it.
        IncompleteRead
            If something could not be read; the folder holds the rest.
        IntdashError
            If the folder cannot be written (any more).
        """
        if path is None:
            raise UsageError("give path=, the folder of the export")
        asked = self.frames(source, signals, start, end, edge=edge, labels=labels, tz=tz, errors=errors, progress=progress)
        report: ExportReport = asked.to_parquet(path, decode=decode, resume=resume)
        return report

    def import_(
        self,
        path: Any,
        *,
        edge: Any = None,
        resume: bool = True,
        errors: Literal["raise", "collect"] = "raise",
        progress: ProgressOption = "auto",
    ) -> ImportReport:
        """Make the measurements of an exported folder again: payload for payload, with base times and markers.

        What has arrived is written down in the folder, section by section. Stopped at any moment, the same call again goes on
        from there, and sends nothing twice.

        Parameters
        ----------
        path : path-like
            The folder of an export that came to its end.
        edge : str or Edge, optional
            Whose the new measurements are. Default: the edge they were of, if the server has it, else the client's own.
        resume : bool
            False makes new measurements of everything, whatever earlier calls made.
        errors : {"raise", "collect"}
            Whether an incomplete import raises `IncompleteStore`, or is returned with what is missing in ``.failed``.
        progress : "auto", bool or callable

        Returns
        -------
        ImportReport

        Raises
        ------
        UsageError
            If an argument cannot work, the folder is no export, or another import from it to this server is at work.
        IncompleteStore
            If something is not on the server after all retries; ``.result`` is the report.
        """
        from intdash_frames.export.import_ import import_

        return import_(self.connection, path, edge=edge, resume=resume, errors=errors, progress=progress)

    def sync(
        self,
        edge: Any,
        path: Any,
        *,
        errors: Literal["raise", "collect"] = "raise",
        progress: ProgressOption = "auto",
    ) -> ExportReport:
        """Keep a folder up to date with an edge: reads the measurements that are new or have changed, and no others.

        Parameters
        ----------
        edge : str or Edge
            Name or UUID.
        path : path-like
            The folder, made if absent; what was selected when it was begun holds on.
        errors : {"raise", "collect"}
            As for `export`.
        progress : "auto", bool or callable

        Returns
        -------
        ExportReport
            Of the measurements that were read.

        Raises
        ------
        UsageError, IncompleteRead, IntdashError
            As `export` does.

        Notes
        -----
        A measurement has changed if the server says so: its duration, end or time of change. It is then read as a whole, since
        edges also send late what lies before the end. Measurements that were deleted on the server stay in the folder.
        """
        from intdash_frames.export.sync import sync

        return sync(self.connection, edge, path, errors=errors, progress=progress)

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
        """Follow the live data of an edge in a window of frames; use it with ``with`` or ``async with``.

        Parameters
        ----------
        edge : str or Edge
            Name or UUID.
        signals : str, IdQuery, or list of them, optional
            As for `frames`; everything if not given.
        window : str or Timedelta
            How much time the window holds, counted back from the newest point.
        max_points : int
            How many points it holds at most.
        backfill : str or Timedelta, optional
            Begin with so much of what is stored.
        reconnect : bool
            Make a lost connection again and read the hole back from what is stored.

        Returns
        -------
        Live

        Raises
        ------
        UsageError
            If an argument cannot work, or the server has no such edge.
        """
        from intdash_frames.live.follow import live

        return live(
            self.connection,
            edge=edge,
            signals=signals,
            window=window,
            max_points=max_points,
            backfill=backfill,
            reconnect=reconnect,
        )

    def upstream(
        self,
        measurement: Any = None,
        *,
        edge: Any = None,
        store: bool = True,
        basetime: Any = None,
        name: str = "",
        final: bool = True,
        reconnect: bool = True,
    ) -> LiveUpstream:
        """Send frames or points as live data of an edge; use it with ``with`` or ``async with``.

        Parameters
        ----------
        measurement : str or Measurement, optional
            Where they are stored; a new one if not given.
        edge : str or Edge, optional
            Whose data they are: name or UUID; the client's own edge if not given.
        store : bool
            False only hands them to those who follow, and keeps nothing.
        basetime : moment with a zone, optional
            When elapsed time 0 is, where no measurement is given. Default: the first stamp written; for elapsed times, now.
        name : str
            Of the new measurement.
        final : bool
            The measurement ends when everything is acknowledged and closed.
        reconnect : bool
            Make a lost connection again, and send again what the measurement does not hold of what was not acknowledged.

        Returns
        -------
        LiveUpstream

        Raises
        ------
        UsageError, NotFound
            If an argument cannot work, or the server has no such edge or measurement.
        """
        from intdash_frames.live.upstream import upstream

        return upstream(
            self.connection,
            measurement,
            edge=edge,
            store=store,
            basetime=basetime,
            name=name,
            final=final,
            reconnect=reconnect,
        )

    def replay(
        self,
        source: Any,
        *,
        edge: Any = None,
        speed: float | Literal["max"] = 1.0,
        measurement: Any = None,
        store: bool = True,
        progress: ProgressOption = "auto",
    ) -> ReplayResult:
        """Play a recording as live data, each point at its time; returns when everything is acknowledged.

        Parameters
        ----------
        source : str, Measurement, Frames, DataFrame, Table or path-like
            A measurement or its UUID, what `frames` gives, any frame with a time axis, or the folder of an export: all that is in
            it, in order of time, read as it is played.
        edge : str or Edge, optional
            Whose live data they become; the client's own edge if not given.
        speed : float or "max"
            2.0 is twice as fast as recorded; "max" does not wait.
        measurement : str or Measurement, optional
            Where they are stored; a new one if not given, with elapsed times as recorded and the first point now.
        store : bool
            False only hands them to those who follow, and keeps nothing.
        progress : "auto", bool or callable
            "auto" shows a bar where somebody looks.

        Returns
        -------
        ReplayResult

        Raises
        ------
        UsageError
            If an argument cannot work; nothing is sent.
        IntdashError
            If the source cannot be read to the end, or something was never acknowledged.
        """
        from intdash_frames.live.replay import replay

        return replay(self.connection, source, edge=edge, speed=speed, measurement=measurement, store=store, progress=progress)

    async def connect_iscp(
        self,
        flush_interval: float = 0.01,
        on_close: Callable[[], Any] | None = None,
        token_source: TokenSource | None = None,
    ) -> ISCPConn:
        """Open a connection for live streams, to be used on the running event loop.

        Parameters
        ----------
        flush_interval : float
            What was written is sent so long after the first of it at the latest [s].
        on_close : callable, optional
            Function or coroutine function without arguments, called once when the connection has ended, for whatever reason.
        token_source : TokenSource, optional
            Instead of the credentials of the client.

        Raises
        ------
        ApiError
            If the server refuses; `Unauthorized` for wrong credentials.
        TransportError
            If it cannot be reached.

        Notes
        -----
        A lost connection stays lost: `on_close` is called, and every write raises `ISCPConnClosedException`.
        """
        from intdash_frames.client.iscp import connect_iscp

        return await connect_iscp(self.connection, flush_interval, on_close, token_source)

    def connect_websocket(
        self, flush_interval: float = 0.01, auto_reconnect: bool = False, token_source: TokenSource | None = None
    ) -> WebSocketConn:
        """Open a connection for live streams that runs in threads of its own: for scripts and notebooks.

        Parameters
        ----------
        flush_interval : float
            What was given is sent so long after the first of it at the latest [s].
        auto_reconnect : bool
            Connect again when the connection is lost, and send again what the server had not acknowledged.
        token_source : TokenSource, optional
            Asked at each connection, instead of the credentials of the client.

        Raises
        ------
        ApiError
            If the server refuses; `Unauthorized` for wrong credentials.
        TransportError
            If it cannot be reached.
        """
        from intdash_frames.client.websocket import WebSocketConn

        return WebSocketConn(self.connection, flush_interval, auto_reconnect, token_source)


def _export(connection: Connection, query: Query, path: Any, **options: Any) -> ExportReport:
    from intdash_frames.export.export import export

    return export(connection, query, path, **options)


def default_client() -> Client:
    """Give the newest client that was not closed, or make one from INTDASH_URL and INTDASH_EDGE_TOKEN.

    Raises
    ------
    UsageError
        If there is none and the environment does not say how to make one.
    """
    client = newest.newest()
    return client if isinstance(client, Client) else Client()
