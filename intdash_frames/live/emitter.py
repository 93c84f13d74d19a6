"""Sends to one upstream: connection after connection, what was left in doubt cleared up in between. Runs on one event loop.

Source: protocol 5.7 and 5.9.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import pandas as pd

from intdash_frames import data, timebase
from intdash_frames.client.point_buffer import PointBuffer
from intdash_frames.client.sections import SECTION_BYTES, split
from intdash_frames.client.stream import StreamConnection, open_socket
from intdash_frames.client.upstream import BATCH_BYTES, Upstream, kept_bytes
from intdash_frames.codecs.points import Points
from intdash_frames.codecs.series import SeriesTable
from intdash_frames.errors import (
    ApiError,
    ConnectionLost,
    IntdashError,
    ProtocolError,
    ResultNGException,
    TimedOut,
    TransportError,
    UsageError,
)
from intdash_frames.live.ledger import Ledger, UpstreamStats
from intdash_frames.live.merge import without
from intdash_frames.live.questions import Questions
from intdash_frames.live.recovery import as_sent, not_stored
from intdash_frames.live.tally import Gap
from intdash_frames.model import BasetimeType, DataType, UpstreamSpec
from intdash_frames.protocol.elements import EOSMarker
from intdash_frames.transport.retry import RetryPolicy, is_transient
from intdash_frames.transport.seam import SocketTransport

if TYPE_CHECKING:
    from intdash_frames.client.connection import Connection

__all__ = ["Emitter", "EmitterOptions"]

logger = logging.getLogger("intdash_frames.live")

# Of sections without acknowledgement [byte]: a minute of 1 MB/s. When it is full, writing waits.
KEEP_BYTES: Final = 64 * 2**20
# How long the end waits without any news of what is still to be acknowledged, and with other news than acknowledgements.
PATIENCE_S, LONGEST_PATIENCE_S = 1.2, 10.0
# The same after an error or an interrupt, in all.
HASTE_S: Final = 0.7
# For closing stream and socket in good order, and for saying that a measurement has ended.
GOODBYE_S: Final = 0.5
BACK_OFF: Final = RetryPolicy(first_s=0.1, longest_s=5.0)
FAILURES = (ApiError, TransportError, ProtocolError)


@dataclass(frozen=True, slots=True)
class EmitterOptions:
    """How to send.

    Attributes
    ----------
    marker_interval_s : float
        How long a section lasts at most [s].
    flush_interval_s : float
        What was written is sent so long after the first of it at the latest [s].
    reconnect : bool
        Make a lost connection again.
    settle_s : float
        What is stored is taken for all that the server got before a loss, once it has not grown for so long [s].
    open_socket : callable
        Coroutine function of a `Connection`.
    """

    marker_interval_s: float = 1.0
    flush_interval_s: float = 0.002
    reconnect: bool = True
    settle_s: float = 0.5
    open_socket: Callable[[Connection], Awaitable[SocketTransport]] = open_socket


class Emitter:
    """One upstream over as many connections as it takes.

    Parameters
    ----------
    connection : Connection
    options : EmitterOptions

    Attributes
    ----------
    error : Exception or None
        Why nothing more can be sent.
    """

    def __init__(self, connection: Connection, options: EmitterOptions) -> None:
        self._connection, self._options = connection, options
        self._stream: Upstream | None = None
        self._link: StreamConnection | None = None
        self._basetime = Points.empty(SeriesTable())
        self._basetime_ns = 0
        self._keys = SeriesTable()  # of points as they travel, to compare them with what is stored
        self._ledger = Ledger()
        self._section: tuple[int, int] = (0, 0)
        self._own = self._reconnects = self._news = 0
        self._changed, self._closing = asyncio.Event(), asyncio.Event()
        self._supervising: asyncio.Task[None] | None = None
        self._questions = Questions(connection, "intdash-frames-upstream-caller")
        self.error: BaseException | None = None

    @property
    def stats(self) -> UpstreamStats:
        """What was counted so far."""
        written = (self._stream.points if self._stream is not None else 0) - self._own
        return self._ledger.stats(written, self._reconnects)

    @property
    def gaps(self) -> list[Gap]:
        """Stretches of time of which points may have been lost."""
        return list(self._ledger.gaps)

    # --- the beginning

    async def connect(self) -> None:
        """Make the first connection.

        Raises
        ------
        IntdashError
            If it cannot be made.
        """
        self._link = await self._connected()
        self._supervising = asyncio.create_task(self._supervise(self._link))

    async def open(self, spec: UpstreamSpec, basetime_ns: int, kind: BasetimeType) -> None:
        """Open the stream, and say in it where elapsed time 0 is.

        Parameters
        ----------
        spec : UpstreamSpec
        basetime_ns : int
            Since the epoch [ns].
        kind : BasetimeType

        Raises
        ------
        ResultNGException, TimedOut, ConnectionLost
            If the server refuses, does not answer, or is gone.
        """
        payload = data.Basetime(kind, timebase.timestamp(basetime_ns)).to_payload()
        buffer = PointBuffer()
        buffer.add_parts(pd.Timedelta(0), DataType.basetime, 0, payload)
        self._basetime, self._basetime_ns = buffer.take(), basetime_ns
        stream = Upstream(
            spec,
            marker_interval_s=self._options.marker_interval_s,
            keep_bytes=KEEP_BYTES if spec.store else 2**62,  # `forget` bounds it there
            on_settled=self._settled,
        )
        patience_s = self._connection.timeout[1]
        try:
            async with asyncio.timeout(patience_s):
                await self._first_attached(stream)
        except TimeoutError as exc:
            await stream.ended("it was never open")
            raise TimedOut(f"the stream could not be opened within {patience_s} s; raise timeout=(connect, read)") from exc
        except BaseException:
            await stream.ended("it was never open")
            raise
        self._stream = stream
        self._own = len(self._basetime)
        await stream.write_points(self._basetime)

    async def _first_attached(self, stream: Upstream) -> None:
        """Open a stream on the connection there is, or on the next."""
        while self.error is None:
            link = self._link
            assert link is not None
            try:
                await link.attach(stream)
            except ConnectionLost:
                await link.wait_closed()
            else:
                return
            while self.error is None and self._link is link:
                self._changed.clear()
                await self._changed.wait()
        raise self.error

    # --- writing

    async def write(self, points: Points) -> int:
        """Send points; waits while the socket, or the server's acknowledgements, are far behind.

        Parameters
        ----------
        points : Points
            Times since the base time; what a unit can carry.

        Returns
        -------
        int
            How many.

        Raises
        ------
        TimedOut
            If nothing more could be sent for as long as a read may take. Says how many were taken.
        IntdashError
            Why nothing can be sent any more.
        """
        stream, taken = self._open_stream(), 0
        patience_s = self._connection.timeout[1]
        for part in split(points, section_bytes=BATCH_BYTES):
            if not stream.spec.store:  # a server that keeps nothing may never acknowledge
                stream.forget(KEEP_BYTES)
            try:
                async with asyncio.timeout(patience_s):
                    serial = await stream.write_points(part)
            except TimeoutError as exc:
                raise TimedOut(
                    f"nothing could be sent for {patience_s} s; {taken} of {len(points)} points were taken. "
                    "They are sent when the server is back; raise timeout=(connect, read) to wait longer"
                ) from exc
            except ConnectionLost as exc:
                raise self.error or exc from exc
            taken += len(part)
            before = self._section[1] if self._section[0] == serial else 0
            self._section = serial, before + kept_bytes(part)
            if self._section[1] >= SECTION_BYTES:
                stream.end_section()
        return taken

    def _open_stream(self) -> Upstream:
        if self.error is not None:
            raise self.error
        if self._stream is None or self._closing.is_set():
            raise UsageError("this upstream is closed; make another with client.upstream()")
        return self._stream

    # --- acknowledgements

    def _settled(self, parts: Sequence[Points], ok: bool) -> None:
        """Hear what became of a section."""
        self._tell()
        self._ledger.settle(self._written(parts), ok)

    def _written(self, parts: Sequence[Points]) -> list[Points]:
        """Those that are not our own base times."""
        return [part for part in parts if part.keys is not self._basetime.keys]

    def _tell(self) -> None:
        self._news += 1
        self._changed.set()

    async def flush(self, timeout_s: float | None = None) -> None:
        """End the open section and wait until all that was written is acknowledged.

        Parameters
        ----------
        timeout_s : float, optional
            In all [s]. If not given: as long as acknowledgements keep coming, each within what a read may take.

        Raises
        ------
        TimedOut
            If the server does not say so in time.
        ResultNGException
            If it refused points, again and again.
        IntdashError
            Why nothing can be sent any more.
        """
        if timeout_s is None:
            patience_s = self._connection.timeout[1]
            await self._wait_settled(patience_s, patience_s)
        else:
            await self._wait_settled(timeout_s, timeout_s, from_start=True)

    async def _wait_settled(self, patience_s: float, longest_s: float, *, from_start: bool = False) -> None:
        """Wait for `patience_s` without news, and `longest_s` without acknowledgements, or in all."""
        stream, loop = self._stream, asyncio.get_running_loop()
        if stream is None:
            return
        stream.end_section()
        end = max(stream.kept, default=-1) + 1
        heard_at = settled_at = loop.time()
        news, left = self._news, -1
        while self.error is None and (waiting := [serial for serial in stream.kept if serial < end]):
            now = loop.time()
            if self._news != news and not from_start:
                news, heard_at = self._news, now
            if len(waiting) != left:
                left, settled_at = len(waiting), settled_at if from_start else now
            deadline = min(heard_at + patience_s, settled_at + longest_s)
            self._changed.clear()
            try:
                async with asyncio.timeout_at(deadline):
                    await self._changed.wait()
            except TimeoutError as exc:
                if not stream.spec.store and not self._ledger.acknowledged:
                    return  # a server that keeps nothing may have nothing to say
                points = sum(len(part) for serial in waiting for part in self._written(stream.kept[serial]))
                state = "" if self._is_connected else "; there is no connection"
                raise TimedOut(
                    f"{points} points in {len(waiting)} sections were not acknowledged in time{state}: they may be lost"
                ) from exc
        if self.error is not None and stream.kept:
            raise self.error
        if stream.refused:
            refused = ResultNGException(EOSMarker(stream.stream_id, stream.refused[0]))
            refused.add_note(f"{self._ledger.refused} points in {len(stream.refused)} sections were refused again and again")
            raise refused

    @property
    def _is_connected(self) -> bool:
        return self._link is not None and not self._link.is_closed

    # --- the end

    async def close(self, *, in_haste: bool = False, end_measurement: bool = False) -> None:
        """Wait for acknowledgements, then end everything.

        Parameters
        ----------
        in_haste : bool
            Do not wait long.
        end_measurement : bool
            Say that the measurement has ended, if everything was acknowledged.

        Raises
        ------
        IntdashError
            If something was never acknowledged; everything has ended all the same.
        """
        try:
            if in_haste:
                await self._wait_settled(HASTE_S, HASTE_S, from_start=True)
            else:
                await self._wait_settled(PATIENCE_S, LONGEST_PATIENCE_S)
            if end_measurement and self._stream is not None:
                await self._end_measurement(self._stream.spec.measurement_uuid)
        finally:
            self._closing.set()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(GOODBYE_S):
                    await self._say_goodbye()
            self._questions.stop()

    async def _end_measurement(self, measurement_uuid: str) -> None:
        def end(connection: Connection) -> None:
            connection.measurements.update(uuid=measurement_uuid, ended=True)

        try:
            async with asyncio.timeout(PATIENCE_S):
                await self._questions.ask(end)
        except TimeoutError as exc:
            raise TimedOut(
                f"everything was acknowledged, but the server did not say in {PATIENCE_S} s that measurement {measurement_uuid} "
                "has ended; client.measurements.update(uuid, ended=True) says it again"
            ) from exc

    async def _say_goodbye(self) -> None:
        if self._supervising is not None:
            self._supervising.cancel()
            await asyncio.wait([self._supervising])
        stream, link = self._stream, self._link
        try:
            if stream is not None:
                if stream.kept or not self._is_connected:
                    if self.error is None and (stream.spec.store or self._ledger.acknowledged):
                        self._lose(stream.kept, "not acknowledged before the end")
                    await stream.ended("it was closed before everything was acknowledged")
                else:
                    await stream.close()
        except IntdashError as exc:
            logger.info("closing the upstream %r: %s", stream, exc)
        finally:
            if link is not None:
                await link.close()

    # --- connections

    async def _connected(self) -> StreamConnection:
        """Make a connection, with the stream on it if it was open."""
        socket = await self._options.open_socket(self._connection)
        link = StreamConnection(
            socket,
            flush_interval_s=self._options.flush_interval_s,
            timeout_s=self._connection.timeout[1],
            keep_streams=True,
        )
        try:
            self._reconnects += self._supervising is not None
            if self._stream is not None:
                await self._attach(link, self._stream)
        except BaseException:
            await link.close()
            raise
        return link

    async def _supervise(self, link: StreamConnection) -> None:
        """Wait for the loss of each connection and make the next."""
        try:
            while True:
                reason = await link.wait_closed()
                self._tell()
                logger.info("the connection of %r was lost: %s", self._stream, reason)
                if not self._options.reconnect:
                    raise reason or ConnectionLost("the connection was lost")
                link = self._link = await self._connect_again(reason)
                self._tell()
        except Exception as exc:
            await self._give_up(exc if isinstance(exc, IntdashError) else ConnectionLost(f"the upstream failed: {exc!r}"))
            if not isinstance(exc, IntdashError):
                logger.exception("sending to %r has ended", self._stream)

    async def _connect_again(self, reason: BaseException | None) -> StreamConnection:
        tried = 0
        while True:
            tried += 1
            await asyncio.sleep(BACK_OFF.delay_s(tried, reason))
            try:
                return await self._connected()
            except IntdashError as exc:
                if not is_transient(exc):
                    raise
                reason = exc

    async def _give_up(self, why: IntdashError) -> None:
        self.error = why
        if self._stream is not None:
            self._lose(self._stream.kept, str(why))
            if not self._stream.is_settled:
                await self._stream.ended(str(why))
        self._tell()

    async def _attach(self, link: StreamConnection, stream: Upstream) -> None:
        """Clear up what the last connection left in doubt, and go on with the stream on this one."""
        self._tell()
        in_doubt = {serial: self._joined(parts) for serial, parts in stream.kept.items()}
        again = await self._still_to_send(in_doubt, stream) if stream.spec.store else self._not_sent_again(in_doubt)
        # The server's stream will be a new one, which knows no base time.
        stream.keep_only(again, first=self._basetime)
        await link.attach(stream)

    def _joined(self, parts: Sequence[Points]) -> Points:
        return Points.concat([as_sent(part, self._keys) for part in self._written(parts)], self._keys)

    def _not_sent_again(self, in_doubt: Mapping[int, Points]) -> dict[int, Points]:
        """Of what nobody keeps, nothing can be read back, and who got it must not get it twice."""
        self._lose({serial: [points] for serial, points in in_doubt.items()}, "the connection was lost; not stored")
        return {}

    async def _still_to_send(self, in_doubt: Mapping[int, Points], stream: Upstream) -> dict[int, Points]:
        """Read back what is stored of the sections in doubt, and give the rest."""
        try:
            missing = await self._missing(in_doubt, stream.spec.measurement_uuid)
        except FAILURES as exc:
            if is_transient(exc):
                raise
            count = sum(map(len, in_doubt.values()))
            logger.warning(
                "what is stored cannot be read back, so %d points are sent again and may be there twice: %s", count, exc
            )
            self._ledger.sent_again += count
            self._ledger.maybe_twice += count
            return dict(in_doubt)
        for serial, points in in_doubt.items():
            if len(found := without(points, missing[serial])):
                self._ledger.acknowledge(found)
        self._ledger.sent_again += sum(map(len, missing.values()))
        return missing

    async def _missing(self, in_doubt: Mapping[int, Points], measurement_uuid: str) -> dict[int, Points]:
        """Read back until what is missing does not become less: the server may still be storing what it got before the loss."""
        known = [as_sent(part, self._keys) for part in self._ledger.known]
        count = -1
        while True:
            missing = await self._questions.ask(not_stored, measurement_uuid, in_doubt, known)
            self._tell()
            before, count = count, sum(map(len, missing.values()))
            if count in (0, before):
                return missing
            await asyncio.sleep(self._options.settle_s)

    def _lose(self, kept: Mapping[int, Sequence[Points]], reason: str) -> None:
        parts = [part for given in kept.values() for part in self._written(given)]
        self._ledger.lose(parts, reason, self._basetime_ns)
