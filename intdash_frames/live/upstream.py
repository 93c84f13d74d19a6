"""Frames as live data: what `Client.upstream` gives."""

from __future__ import annotations

import asyncio
import dataclasses
import itertools
import logging
import threading
from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

import pyarrow as pa

from intdash_frames import timebase
from intdash_frames.client.background import BackgroundLoop
from intdash_frames.client.point_buffer import PointBuffer
from intdash_frames.codecs.points import Points
from intdash_frames.codecs.series import SeriesTable
from intdash_frames.codecs.units import LARGEST_PAYLOAD, check_writable
from intdash_frames.errors import IntdashError, UsageError
from intdash_frames.frames import envelope
from intdash_frames.frames.query import Frames
from intdash_frames.frames.sources import edge_uuid
from intdash_frames.frames.store import basetime_ns_of, measurement_of, points_in, since
from intdash_frames.live.emitter import Emitter, EmitterOptions
from intdash_frames.live.ledger import UpstreamStats
from intdash_frames.live.tally import gaps_frame
from intdash_frames.model import BasetimeType, DataPoint, Measurement, UpstreamSpec
from intdash_frames.protocol.elements import LONGEST_ELAPSED_NS

if TYPE_CHECKING:
    import pandas as pd

    from intdash_frames.client.connection import Connection

__all__ = ["LiveUpstream", "upstream"]

logger = logging.getLogger("intdash_frames.live")

POINTS_AT_ONCE: Final = 4096  # of data points one by one


def upstream(
    connection: Connection,
    measurement: Any = None,
    *,
    edge: Any = None,
    store: bool = True,
    basetime: Any = None,
    name: str = "",
    final: bool = True,
    reconnect: bool = True,
    options: EmitterOptions | None = None,
) -> LiveUpstream:
    """Check the arguments of `Client.upstream`, which has their meaning, and look up what they name.

    Parameters
    ----------
    options : EmitterOptions, optional
        Finer points of sending; `reconnect` wins.

    Raises
    ------
    UsageError
        If one cannot work.
    NotFound
        If there is no such measurement.
    """
    for argument, value in (("store", store), ("final", final), ("reconnect", reconnect)):
        if not isinstance(value, bool):
            raise UsageError(f"{argument}={value!r}; expected True or False")
    if measurement is not None:
        for argument, given in (("edge", edge is not None), ("basetime", basetime is not None), ("name", bool(name))):
            if given:
                raise UsageError(f"measurement= is given, and has its own {argument}; leave out {argument}=")
        if not store:
            raise UsageError("store=False keeps nothing, so measurement= means nothing; leave out one of the two")
    basetime_ns = None if basetime is None else timebase.moment_ns(basetime, name="basetime")
    target = None if measurement is None else measurement_of(connection, measurement)
    if target is not None:
        basetime_ns = basetime_ns_of(target)
    source = edge_uuid(connection, edge) if target is None else target.edge_uuid
    return LiveUpstream(
        connection,
        target,
        source,
        store=store,
        basetime_ns=basetime_ns,
        name=name,
        final=final,
        options=dataclasses.replace(options or EmitterOptions(), reconnect=reconnect),
    )


class LiveUpstream:
    """Sends frames as live data of an edge; a context manager, made by `Client.upstream`.

    One background thread does the work, so it runs in a plain script, in Jupyter and beside asyncio alike; in a coroutine, write
    ``await asyncio.to_thread(up.write, frame)``.

    Attributes
    ----------
    measurement : Measurement or None
        Where the points are kept; None before the first write makes one, and where nothing is kept.

    Notes
    -----
    Points are sent in sections of a second, and the server acknowledges each. When the connection is lost it is made again, and
    what the measurement holds of the sections without acknowledgement is read back: only what is missing is sent again, under the
    numbers of its sections; what is new gets higher ones. Not covered is a server that stores what it got before the loss only
    after it was looked for (half a second and more later): that is there twice. A point that somebody else stored in the same
    measurement, equal in time, channel, type and payload, is taken for ours. Each connection begins with a base time, which
    servers keep as an ordinary point of type basetime. Where nothing is stored, nothing is sent again: `gaps` and `stats` say
    what may have been lost.

    Points need not be in order of time, but none can be before the base time.
    """

    def __init__(
        self,
        connection: Connection,
        measurement: Measurement | None,
        edge_uuid: str,
        *,
        store: bool,
        basetime_ns: int | None,
        name: str,
        final: bool,
        options: EmitterOptions,
    ) -> None:
        self.measurement = measurement
        self._connection, self._edge_uuid, self._store, self._name, self._final = connection, edge_uuid, store, name, final
        self._basetime_ns, self._options = basetime_ns, options
        self._background: BackgroundLoop | None = None
        self._emitter: Emitter | None = None
        self._is_open = self._ended = False
        self._lock = threading.RLock()

    def __repr__(self) -> str:
        state = "not started" if self._emitter is None else "closed" if self._ended else "open"
        where = "nothing is stored" if not self._store else f"measurement {self.measurement.uuid if self.measurement else 'new'}"
        return f"<LiveUpstream of edge {self._edge_uuid}, {where}: {state}>"

    # --- the beginning and the end

    def start(self) -> Self:
        """Connect, and open the stream where its base time is known. Done by ``with``, and by the first `write`.

        Raises
        ------
        IntdashError
            If the server cannot be reached or refuses.
        """
        with self._lock:
            if self._ended:
                raise UsageError("this upstream is closed; make another with client.upstream()")
            if self._background is None:
                self._background = BackgroundLoop("intdash-frames-upstream")
                try:
                    self._background.run(self._connect())
                    if self._basetime_ns is not None:
                        self._open()
                except BaseException:
                    self._end(in_haste=True)
                    raise
        return self

    async def _connect(self) -> None:
        self._emitter = Emitter(self._connection, self._options)
        await self._emitter.connect()

    def _open(self) -> None:
        """Open the stream, in a new measurement if none is given; the base time is known."""
        assert self._background is not None
        assert self._emitter is not None
        assert self._basetime_ns is not None
        if self._store and self.measurement is None:
            self.measurement = self._connection.measurements.create(
                edge_uuid=self._edge_uuid,
                basetime=timebase.timestamp(self._basetime_ns),
                basetime_type=BasetimeType.manual,
                name=self._name,
            )
            self._basetime_ns = basetime_ns_of(self.measurement)  # a server may keep it less precisely
        kind, spec = BasetimeType.manual, UpstreamSpec(self._edge_uuid)
        if self.measurement is not None:
            kind = self.measurement.basetime_type or kind
            spec = UpstreamSpec(self._edge_uuid, store=True, measurement_uuid=self.measurement.uuid)
        self._background.run(self._emitter.open(spec, self._basetime_ns, kind))
        self._is_open = True

    def _begin(self, points: Points, elapsed: bool) -> None:
        """With the first points, choose the base time where none is given."""
        with self._lock:
            self.start()
            if not self._is_open:
                self._basetime_ns = timebase.moment_ns("now") if elapsed else int(points.time_ns.min())
                self._placed(points, elapsed)  # what cannot be sent makes no measurement
                self._open()

    def close(self) -> None:
        """Wait until everything is acknowledged, end the measurement if that was asked for, and close. Again, it does nothing.

        It waits for as long as acknowledgements keep coming, and a little more than a second if none does.

        Raises
        ------
        IntdashError
            If something was never acknowledged, or was refused; everything has ended all the same. See `stats` and `gaps`.
        """
        self._end(in_haste=False)

    def _end(self, *, in_haste: bool) -> None:
        with self._lock:
            if self._ended:
                return
            self._ended = True
        if self._background is None:
            return
        try:
            if self._emitter is not None:
                end_measurement = self._final and self._is_open and self._store and not in_haste
                self._background.run(self._emitter.close(in_haste=in_haste, end_measurement=end_measurement))
        finally:
            self._background.stop()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None) -> None:
        try:
            self._end(in_haste=exc is not None)
        except IntdashError as failure:
            if exc is None:
                raise
            logger.warning("closing %r after an error: %s", self, failure)

    async def __aenter__(self) -> Self:
        return await asyncio.to_thread(self.start)

    async def __aexit__(self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None) -> None:
        await asyncio.to_thread(self.__exit__, kind, exc, trace)

    # --- writing

    def write(self, data: Any, *, channel: int = 1, signals: Mapping[str, Any] | None = None) -> int:
        """Send points; returns when they are on their way, which takes as long as the server is behind.

        Parameters
        ----------
        data : DataFrame, Table, Frames, DataPoint, Points, or list or iterator of DataPoint
            Frames and tables as for `store`: what came from `Client.frames` keeps its payload bytes, in any other frame with a
            time axis each column is a signal. Absolute stamps or elapsed times. Data points and `Points` have elapsed times.
        channel : int
            Of columns that do not say it, 0 to 255.
        signals : mapping of str to str, optional
            Signal of a column, such as ``{"v": "float:3/speed"}``.

        Returns
        -------
        int
            How many points were taken.

        Raises
        ------
        UsageError, PayloadError, LocalProtocolError
            If points cannot be sent, such as one before the base time; nothing of the frame was sent.
        TimedOut
            If nothing could be sent for as long as a read may take.
        IntdashError
            If the server refuses, or the connection cannot be made again.
        """
        taken = 0
        for points, elapsed in _batches(data, channel, signals):
            if not len(points):
                continue
            self._begin(points, elapsed)
            assert self._background is not None
            assert self._emitter is not None
            taken += self._background.run(self._emitter.write(self._placed(points, elapsed)))
        return taken

    def _placed(self, points: Points, elapsed: bool) -> Points:
        assert self._basetime_ns is not None
        placed = points if elapsed else since(points, self._basetime_ns)
        check_writable(placed)
        return placed

    def flush(self, timeout: float | None = None) -> None:
        """Return when the server has acknowledged all that was written.

        Parameters
        ----------
        timeout : float, optional
            In all [s]. If not given: as long as acknowledgements keep coming.

        Raises
        ------
        TimedOut
            If the server does not acknowledge in time; what is not acknowledged may still be.
        ResultNGException
            If the server refused points, again and again.
        """
        if timeout is not None and (isinstance(timeout, bool) or not isinstance(timeout, (int, float)) or not timeout >= 0):
            raise UsageError(f"timeout={timeout!r}; expected seconds, 0 or more")
        if self._ended or self._emitter is None:
            return
        assert self._background is not None
        self._background.run(self._emitter.flush(timeout))

    # --- what happened

    @property
    def stats(self) -> UpstreamStats:
        """What was counted: ``written == acknowledged + waiting + refused + maybe_lost``."""
        if self._emitter is None:
            return UpstreamStats()
        if self._ended or self._background is None:
            return self._emitter.stats
        return self._background.run(_stats_of(self._emitter))

    @property
    def gaps(self) -> pd.DataFrame:
        """Stretches of time of which points may have been lost: start, end, reason, recovered."""
        return gaps_frame(self._emitter.gaps if self._emitter is not None else [], self._connection.tz)

    @property
    def error(self) -> BaseException | None:
        """Why nothing more can be sent, where that was not asked for."""
        return self._emitter.error if self._emitter is not None else None


async def _stats_of(emitter: Emitter) -> UpstreamStats:
    return emitter.stats


def _batches(data: Any, channel: int, signals: Mapping[str, Any] | None) -> Iterator[tuple[Points, bool]]:
    """Points, and whether their times count from the base time; what is read from a server comes batch by batch."""
    if isinstance(data, Points):
        yield data, True
    elif isinstance(data, Frames):
        keys = SeriesTable()
        for batch in data.to_batches():
            for part in envelope.to_points(pa.Table.from_batches([batch]), keys):
                yield part, False
    elif isinstance(data, Iterator):
        while some := list(itertools.islice(data, POINTS_AT_ONCE)):
            yield from _batches(some, channel, signals)
    elif isinstance(data, DataPoint) or (isinstance(data, (list, tuple)) and data and isinstance(data[0], DataPoint)):
        buffer = PointBuffer(longest_ns=LONGEST_ELAPSED_NS, largest_bytes=LARGEST_PAYLOAD)
        for row, point in enumerate([data] if isinstance(data, DataPoint) else data):
            buffer.add(point, row)
        yield buffer.take(), True
    else:
        yield points_in(data, channel=channel, signals=signals)
