"""A connection for live data: drives a `ClientSession` over a socket, on the running event loop.

One task reads the socket, one writes to it, and every stream with a function of the user has one that calls it.

Source: protocol 1.2 and 5.
"""

from __future__ import annotations

import asyncio
import functools
import logging
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

import numpy as np

from intdash_frames.client.delivery import DELIVERING, call_safely
from intdash_frames.client.downstream import Downstream, PointObjects
from intdash_frames.client.upstream import Upstream
from intdash_frames.codecs.messages import Unread, read_message
from intdash_frames.codecs.points import Points
from intdash_frames.codecs.series import Series, SeriesTable
from intdash_frames.codecs.units import UnitRun, write_units
from intdash_frames.errors import (
    ApiError,
    IntdashError,
    ISCPConnClosedException,
    RemoteProtocolError,
    ResultNGException,
    TimedOut,
    Unauthorized,
    UsageError,
)
from intdash_frames.model import DataPoint, DownstreamSpec, UpstreamSpec
from intdash_frames.protocol.client_session import Answered, ClientSession
from intdash_frames.protocol.elements import Element
from intdash_frames.protocol.endpoints import STREAM_PATH
from intdash_frames.protocol.session import Request
from intdash_frames.transport.over_websocket import open_websocket
from intdash_frames.transport.seam import SocketTransport

if TYPE_CHECKING:
    from intdash_frames.client.connection import Connection
    from intdash_frames.client.credentials import TokenSource

__all__ = ["StreamConnection", "open_socket"]

logger = logging.getLogger("intdash_frames.client")

MESSAGE_BYTES: Final = 2**20  # of a message, unless one unit is larger
FLUSH_AT_BYTES: Final = 2**18  # so much is sent without waiting for the flush interval
# A new table of series is begun beyond this: a sender may make up new ids all the time.
MOST_SERIES: Final = 10_000
BEHIND_BYTES: Final = 4 * 2**20  # writers wait while more than this waits for the socket


async def open_socket(connection: Connection, token_source: TokenSource | None = None) -> SocketTransport:
    """Open the WebSocket of a server, with credentials asked anew.

    Parameters
    ----------
    connection : Connection
        Where and who.
    token_source : TokenSource, optional
        Instead of the credentials of `connection`.

    Raises
    ------
    ApiError
        If the server refuses; `Unauthorized` for wrong credentials.
    TransportError
        If it cannot be reached.
    """
    from intdash_frames.client.credentials import SourcedToken
    from intdash_frames.transport.over_http import HttpTransport

    if not isinstance(connection.transport, HttpTransport):
        raise UsageError(f"{connection.url} has no streams; LocalServer(data=folder) is a server that has")
    transport, own = connection.transport, None if token_source is None else SourcedToken(token_source)

    def ask_headers() -> Mapping[str, str]:
        return transport.credential_headers() if own is None else own.headers(transport.send)

    def redact(text: str) -> str:
        return transport.redact(text if own is None else own.redact(text))

    # A login and a token source may take their time, and so does what was compiled when it is loaded for the first time.
    headers = await asyncio.to_thread(ask_headers)
    await asyncio.to_thread(_load_kernels)
    for is_last in (False, True):
        try:
            return await open_websocket(
                connection.url,
                STREAM_PATH,
                headers=headers,
                verify=connection.verify,
                connect_timeout_s=connection.timeout[0],
                redact=redact,
            )
        except ApiError as exc:
            if exc.status == 401 and not headers:  # what a session adds goes with the calls that it makes (protocol 1.2)
                hint = "session= is for REST calls; give token_source= here, or to Client beside it"
                raise Unauthorized(exc.status, exc.endpoint, f"{exc.detail}; {hint}") from exc
            renews = transport.renew_credentials if own is None else own.renew
            if is_last or exc.status != 401 or not renews(headers):
                raise
            headers = await asyncio.to_thread(ask_headers)
    raise AssertionError("the second try returns or raises")


class StreamConnection:
    """Live streams over one socket; to be made and used on one running event loop.

    Parameters
    ----------
    socket : SocketTransport
        Open. It is closed with the connection.
    flush_interval_s : float
        What was written is sent so long after the first of it at the latest [s].
    timeout_s : float
        For the answer to a request, and for the acknowledgement of the last section [s].
    on_close : callable, optional
        Function or coroutine function without arguments, called once when the connection has ended, for whatever reason.
    keep_streams : bool
        The streams outlive this connection: the caller attaches them to another one, or ends them.

    Attributes
    ----------
    session : ClientSession
    """

    def __init__(
        self,
        socket: SocketTransport,
        *,
        flush_interval_s: float = 0.01,
        timeout_s: float = 60.0,
        on_close: Callable[[], Any] | None = None,
        keep_streams: bool = False,
    ) -> None:
        self.session = ClientSession()
        self.timeout_s = timeout_s
        self._socket, self._flush_interval_s, self._on_close = socket, flush_interval_s, on_close
        self._keep_streams = keep_streams
        self._streams: dict[int, Upstream | Downstream] = {}
        self._answers: dict[int, asyncio.Future[Answered]] = {}
        self._keys = SeriesTable()
        self._flush: asyncio.TimerHandle | None = None
        self._closing = self._lost = False
        self._reason: BaseException | None = None
        self._to_send, self._room, self._ended = asyncio.Event(), asyncio.Event(), asyncio.Event()
        loop = asyncio.get_running_loop()
        self._tasks = [loop.create_task(self._guarded(work)) for work in (self._read, self._send)]
        self._end_task: asyncio.Task[None] | None = None

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._socket!r}, {len(self._streams)} streams)"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None) -> None:
        try:
            await self.close()
        except IntdashError:
            if exc is None:
                raise
            logger.exception("closing after an error: what was written last may be lost")

    # --- streams

    async def open_upstream(
        self,
        spec: UpstreamSpec,
        *,
        marker_interval_s: float = 1.0,
        on_ack: Callable[[int, int], Any] | None = None,
        keep_bytes: int = 0,
    ) -> Upstream:
        """Open an upstream.

        Parameters
        ----------
        spec : UpstreamSpec
        marker_interval_s, on_ack, keep_bytes
            See `Upstream`.

        Raises
        ------
        UsageError
            If the spec cannot work; nothing was sent.
        ResultNGException
            If the server refuses it.
        TimedOut
            If it does not answer.
        ISCPConnClosedException
            If the connection is closed.
        """
        self._check_open()
        stream = Upstream(spec, marker_interval_s=marker_interval_s, on_ack=on_ack, keep_bytes=keep_bytes)
        await self._attach_or_end(stream)
        return stream

    async def open_downstream(
        self,
        spec: DownstreamSpec,
        *,
        on_points: Callable[[Points], Any] | None = None,
        on_msg: Callable[[DataPoint], Any] | None = None,
    ) -> Downstream:
        """Open a downstream.

        Parameters
        ----------
        spec : DownstreamSpec
        on_points : callable, optional
            Function or coroutine function of `Points`, times since the base time [ns], as they come in a message. Their `keys`
            grow from one to the next, and begin anew from time to time.
        on_msg : callable, optional
            Function or coroutine function of a `DataPoint`, called for each point. Exactly one of the two.

        Raises
        ------
        UsageError, ResultNGException, TimedOut, ISCPConnClosedException
            As `open_upstream`.
        """
        self._check_open()
        if (on_points is None) == (on_msg is None):
            raise UsageError("give on_points= or on_msg=, one of them")
        if on_msg is not None:
            on_points = PointObjects(on_msg, lambda: repr(stream))
        assert on_points is not None
        stream = Downstream(spec, on_points)
        await self._attach_or_end(stream)
        return stream

    async def attach(self, stream: Upstream | Downstream) -> None:
        """Ask for a stream that ran on an earlier connection, or is new.

        Raises
        ------
        ResultNGException, TimedOut, ISCPConnClosedException
            As `open_upstream`.
        """
        self._check_open()
        if isinstance(stream, Upstream):
            await self._ask_for(stream, self.session.open_upstreams([stream.wire_spec]))
        else:
            stream_id = await self._ask_for(stream, self.session.open_downstreams([stream.wire_spec]))
            try:
                answered = await self.ask(self.session.set_filters({stream_id: stream.wire_filters}))
            except BaseException:
                self._give_up(stream_id)
                raise
            if not answered.ok:
                self._give_up(stream_id)
                raise ResultNGException(stream.spec, answered.result_code)

    async def close_stream(self, stream: Upstream | Downstream) -> None:
        """Ask to close a stream, and wait for the answer; called by the stream."""
        if self._lost:
            return
        answered = await self.ask(self.session.close(stream.stream_id))
        self._streams.pop(stream.stream_id, None)
        if not answered.ok:
            raise ResultNGException(stream.spec, answered.result_code)

    # --- sending

    async def ask(self, request: Request) -> Answered:
        """Wait for the answer to a request that the session has just taken.

        Raises
        ------
        TimedOut, ISCPConnClosedException
        """
        answer: asyncio.Future[Answered] = asyncio.get_running_loop().create_future()
        self._answers[request.req_id] = answer
        self.flush_now()
        try:
            async with asyncio.timeout(self.timeout_s):
                return await answer
        except TimeoutError as exc:
            asked = type(request).__name__
            raise TimedOut(f"no answer to {asked} within {self.timeout_s} s; raise timeout=(connect, read)") from exc
        finally:
            if self._answers.get(request.req_id) is answer:
                del self._answers[request.req_id]

    def flush_soon(self) -> None:
        """Send what waits after the flush interval, or now if it is much."""
        if self.session.waiting_bytes >= FLUSH_AT_BYTES:
            self.flush_now()
        elif self._flush is None and not self._lost:
            self._flush = asyncio.get_running_loop().call_later(self._flush_interval_s, self.flush_now)

    def flush_now(self) -> None:
        """Send what waits."""
        if self._flush is not None:
            self._flush.cancel()
            self._flush = None
        self._to_send.set()

    @property
    def is_behind(self) -> bool:
        """Whether so much waits for the socket that writers are to wait too."""
        return self.session.waiting_bytes > BEHIND_BYTES

    async def room(self) -> None:
        """Wait until less waits for the socket, or the connection has ended."""
        while self.is_behind and not self._lost:
            self._room.clear()
            await self._room.wait()

    # --- the end

    @property
    def is_closed(self) -> bool:
        """Whether the connection has ended or is about to."""
        return self._closing or self._lost

    async def wait_closed(self) -> BaseException | None:
        """Wait until the connection has ended; gives why, None if it was closed here."""
        await self._ended.wait()
        return self._reason

    async def close(self) -> None:
        """Close every stream, upstreams first, then the connection; what was written is sent and acknowledged before.

        Raises
        ------
        TimedOut, ISCPConnClosedException, ResultNGException
            The first that a stream had to say; the connection is closed all the same.
        """
        failures: list[BaseException] = []
        if not self.is_closed:
            self._closing = True
            try:
                if not self._keep_streams:
                    for kind in (Upstream, Downstream):
                        closing = [each.close() for each in self._streams.values() if isinstance(each, kind)]
                        results = await asyncio.gather(*closing, return_exceptions=True)
                        failures += [each for each in results if isinstance(each, BaseException)]
            finally:
                self._end(None)
        if DELIVERING.get() is None:  # a function of the user would wait for itself
            await self._ended.wait()
        if failures:
            raise failures[0]

    def _end(self, reason: BaseException | None) -> None:
        """Let go of everything that waits for this connection; the rest of the end is a task."""
        if self._lost:
            return
        self._lost, self._reason = True, reason
        if reason is not None:
            logger.info("%r has ended: %s", self, reason)
        self.session.lost()
        if self._flush is not None:
            self._flush.cancel()
        for answer in self._answers.values():
            if not answer.done():
                answer.set_exception(self._closed_error())
        for stream in self._streams.values():
            stream.detached()
        self._room.set()
        self._end_task = asyncio.get_running_loop().create_task(self._finish())

    async def _finish(self) -> None:
        DELIVERING.set(self)
        try:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            await self._socket.close()
            if not self._keep_streams:
                for stream in list(self._streams.values()):
                    await stream.ended(str(self._closed_error()))
            if self._on_close is not None:
                await call_safely("the connection's on_close", self._on_close)
        finally:
            self._ended.set()

    # --- the tasks

    async def _guarded(self, work: Callable[[], Any]) -> None:
        try:
            await work()
        except IntdashError as exc:
            self._end(exc)
        except Exception as exc:
            logger.exception("%r fails", self)
            self._end(exc)

    async def _send(self) -> None:
        while True:
            await self._to_send.wait()
            self._to_send.clear()
            for stream in list(self._streams.values()):
                if isinstance(stream, Upstream):
                    stream.encode()
            while message := self.session.take(MESSAGE_BYTES):
                self._room.set()
                await self._socket.send(message)

    async def _read(self) -> None:
        while True:
            if len(self._keys) > MOST_SERIES:
                self._keys = SeriesTable()
            try:
                for item in read_message(await self._socket.receive(), self._keys):
                    await self._take(item)
            except RemoteProtocolError as exc:
                # What the rest of the message held is lost, and nobody could tell: a connection that has ended is noticed.
                logger.warning("%r: a message cannot be read: %s", self, exc)
                raise RemoteProtocolError(f"the server broke the protocol: {exc}") from exc

    async def _take(self, item: Element | UnitRun | Unread) -> None:
        if isinstance(item, UnitRun):
            for stream_id, points in item.by_stream():
                stream = self._streams.get(stream_id)
                if self.session.carries(stream_id, len(points)) and isinstance(stream, Downstream):
                    await stream.receive(points)
            return
        if isinstance(item, Unread):
            self.session.skipped[item.reason] += 1
            logger.warning("%r: %s; the rest of its message, %d bytes, is skipped", self, item.reason, item.size)
            return
        event = self.session.receive(item)
        if isinstance(event, Answered):
            answer = self._answers.get(event.request.req_id)
            if answer is not None and not answer.done():
                answer.set_result(event)
        elif event is not None:
            stream = self._streams.get(event.stream_id)
            if isinstance(stream, Upstream):
                await stream.acknowledged(event)

    # --- inside

    async def _attach_or_end(self, stream: Upstream | Downstream) -> None:
        try:
            await self.attach(stream)
        except BaseException:
            await stream.ended("it was never open")
            raise

    async def _ask_for(self, stream: Upstream | Downstream, request: Any) -> int:
        """Ask for one stream; it is known under its id from here on, since its data may come right behind the answer."""
        stream_id: int = request.specs[0].stream_id
        self._streams[stream_id] = stream
        try:
            answered = await self.ask(request)
        except BaseException:
            self._give_up(stream_id)
            raise
        if not answered.ok:
            del self._streams[stream_id]
            raise ResultNGException(stream.spec, answered.result_code)
        stream.attached(self, stream_id)
        return stream_id

    def _give_up(self, stream_id: int) -> None:
        """Ask to close a stream that nobody holds, without waiting."""
        stream = self._streams.pop(stream_id, None)
        if stream is not None:
            stream.detached()
        if not self._lost and stream_id in self.session.streams:
            self.session.close(stream_id)
            self.flush_now()

    def _check_open(self) -> None:
        if self.is_closed:
            raise self._closed_error()

    def _closed_error(self) -> ISCPConnClosedException:
        return ISCPConnClosedException() if self._reason is None else ISCPConnClosedException(str(self._reason))


@functools.cache
def _load_kernels() -> None:
    """Load what is compiled by sending and reading a unit each of two streams: on the event loop it would hold up everything."""
    keys = SeriesTable()
    series = keys.code(Series("", 10, 0, "", "10"))
    point = Points(np.zeros(1, np.int64), np.full(1, series, np.int32), np.zeros(1, np.uint8), np.array([0, 1], np.int32), keys)
    for item in read_message(bytes(write_units(point, 1)) + bytes(write_units(point, 2)), keys):
        if isinstance(item, UnitRun):
            list(item.by_stream())
