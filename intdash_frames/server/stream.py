"""Real-time streams: the server's side of iSCP v1 over WebSocket, one `Connection` for each socket.

`protocol.ServerSession` knows what an element means, `hub` who gets which points, `sections` what is kept and acknowledged,
`outbox` what is sent. What is left here is the order in which things happen, and how it ends.

Source: protocol 5 and appendix B.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import numpy as np
from starlette.datastructures import Headers
from starlette.types import Message, Receive, Scope, Send

from intdash_frames.codecs.messages import Unread, read_message
from intdash_frames.codecs.points import Points
from intdash_frames.codecs.series import Series, SeriesTable
from intdash_frames.codecs.units import UnitRun
from intdash_frames.errors import RemoteProtocolError
from intdash_frames.model import DataType, Signal
from intdash_frames.protocol.elements import (
    LONGEST_ELAPSED_NS,
    DataFilter,
    DownstreamSpec,
    MeasurementIDRequest,
    UpstreamSpec,
)
from intdash_frames.protocol.server_session import Asked, SectionEnded, ServerSession
from intdash_frames.protocol.session import Stream
from intdash_frames.server import catalogue
from intdash_frames.server.definitions import signals_with_labels
from intdash_frames.server.faults import REFUSES_SECTION, TRANSPORT
from intdash_frames.server.hub import Hub, Route, Selection, Subscriber, Upstream, labels_of
from intdash_frames.server.outbox import Lane, Outbox
from intdash_frames.server.parcels import REFERENCE_AGENT, Packed, pack
from intdash_frames.server.sections import Sections
from intdash_frames.server.store import Refused, Store

__all__ = ["GRACE_S", "Connection", "Shared", "StreamReport"]

logger = logging.getLogger("intdash_frames.server")

GRACE_S: Final = 1.0  # what a connection gets to send what waits when it ends
# A message larger than this is read and written in a worker thread, so that it does not hold up the other connections.
INLINE_BYTES: Final = 2**18
PARTS_AT_ONCE: Final = 200  # of a message, before others get their turn
# A connection starts a new table of series beyond this: a sender may make up new ids all the time.
MOST_SERIES: Final = 10_000

# How a connection is ended (RFC 6455, 5.5 and 7.4.1).
GOING_AWAY, PROTOCOL_ERROR, INTERNAL_ERROR = 1001, 1002, 1011
REASON_BYTES: Final = 123

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class StreamReport:
    """One open stream of a connection.

    Attributes
    ----------
    connection : int
        Number of the connection, from 1 on in the order of opening.
    account : str
        Uuid of the edge that opened it.
    stream_id : int
    direction : str
        ``"up"`` or ``"down"``, as the client sees it.
    src_edge_uuid : str
        Whose points it carries.
    points : int
        Received, or sent [count].
    dropped : int
        Points that a downstream missed because its reader is slow [count].
    withheld : int
        Points that it missed because they would have ended the reading of the vendor's SDK [count].
    unconverted : int
        Points that its signals could not convert, since its filters were first asked for [count].
    """

    connection: int
    account: str
    stream_id: int
    direction: str
    src_edge_uuid: str
    points: int
    dropped: int = 0
    withheld: int = 0
    unconverted: int = 0


class Shared:
    """What all connections share.

    Parameters
    ----------
    store : Store
    pool : ThreadPoolExecutor
        Where the database and large messages are worked on.
    followed : callable, optional
        As of `Hub`.

    Attributes
    ----------
    hub : Hub
    """

    def __init__(self, store: Store, pool: ThreadPoolExecutor, followed: Callable[[str], None] | None = None) -> None:
        self.store, self.hub = store, Hub(followed)
        self._pool = pool
        # The store has one writer. Sections wait for it here and not in the pool, which others need.
        self._writing = asyncio.Lock()

    def run(self, function: Callable[..., T], *arguments: Any) -> asyncio.Future[T]:
        """Call a function in a worker thread."""
        return asyncio.get_running_loop().run_in_executor(self._pool, function, *arguments)

    async def append(self, measurement_uuid: str, points: Points, final: bool) -> None:
        """Keep points; they are on disk when this returns."""
        async with self._writing:
            await self.run(lambda: self.store.append(measurement_uuid, points, final=final))


class Connection:
    """One socket and the streams on it.

    Parameters
    ----------
    shared : Shared
    number : int
    account : str
        Uuid of the edge that opened it.
    scope, receive, send
        Of ASGI; the socket is accepted.
    """

    def __init__(self, shared: Shared, number: int, account: str, scope: Scope, receive: Receive, send: Send) -> None:
        self._shared, self._hub = shared, shared.hub
        self._number, self._account = number, account
        self._is_reference = Headers(scope=scope).get("user-agent", "").startswith(REFERENCE_AGENT)
        self._receive, self._send = receive, send
        self._transport = scope["extensions"][TRANSPORT]
        self._session = ServerSession()
        self._keys = SeriesTable()
        self._outbox = Outbox(self._session)
        self._sections = Sections(shared.append, self._acknowledge, scope[REFUSES_SECTION])
        self._up: dict[int, Upstream] = {}
        self._down: dict[int, tuple[Subscriber, Lane]] = {}
        self._left: list[Lane] = []
        self._stopped = False
        self._received = 0
        self._past = Lane()  # the sum of the downstreams that are closed
        self._name = f"stream connection {number} of edge {account}"

    def stop(self) -> None:
        """Let `run` end after what has come already."""
        self._stopped = True
        self._transport["stop"]()

    def cut(self) -> None:
        """End the connection in mid-air."""
        self._transport["abort"]()

    def report(self) -> list[StreamReport]:
        """The streams that are open."""
        same = self._number, self._account
        return [
            StreamReport(*same, stream_id, "up", upstream.spec.src_edge_uuid, upstream.points)
            for stream_id, upstream in list(self._up.items())
        ] + [
            StreamReport(
                *same,
                stream_id,
                "down",
                subscriber.spec.src_edge_uuid,
                lane.sent,
                lane.dropped,
                lane.withheld,
                subscriber.selection.failures,
            )
            for stream_id, (subscriber, lane) in list(self._down.items())
        ]

    async def run(self) -> None:
        """Serve the connection until it ends."""
        logger.info("%s is open", self._name)
        keeping, sending = asyncio.create_task(self._sections.run()), asyncio.create_task(self._write())
        try:
            farewell = await self._read_all()
            self._leave()
            await self._sections.drained()
            if farewell is not None:
                self._outbox.finish()
                await asyncio.wait([sending], timeout=GRACE_S)
                await self._say_goodbye(*farewell)
        finally:
            self._leave()
            for task in (keeping, sending):
                task.cancel()
            await asyncio.gather(keeping, sending, return_exceptions=True)
            self._log_end()

    async def _read_all(self) -> tuple[int, str] | None:
        """Take messages until the connection ends: code and reason to end it with, None if the client has ended it."""
        try:
            while True:
                event = await self._receive()
                if event["type"] == "websocket.disconnect":
                    return (GOING_AWAY, "the server is closing") if self._stopped else None
                await self._take(event)
                await self._outbox.room()
                await self._sections.room()
        except RemoteProtocolError as exc:
            logger.warning("%s broke the protocol: %s", self._name, exc)
            return PROTOCOL_ERROR, str(exc)
        except Exception:
            logger.exception("%s failed", self._name)
            return INTERNAL_ERROR, "the server failed; its log says why"

    async def _say_goodbye(self, code: int, reason: str) -> None:
        # OSError: the peer is gone already. RuntimeError: the server has closed it, after a ping without an answer.
        with contextlib.suppress(OSError, RuntimeError):
            try:
                async with asyncio.timeout(GRACE_S):
                    short = reason.encode()[:REASON_BYTES].decode(errors="ignore")
                    await self._send({"type": "websocket.close", "code": code, "reason": short})
            except TimeoutError:  # the peer does not read
                self.cut()

    async def _write(self) -> None:
        """Send what waits, until nothing more will come or the peer is gone."""
        try:
            while (message := await self._outbox.next()) is not None:
                await self._send({"type": "websocket.send", "bytes": message})
        except OSError:
            pass  # the reading side is told as well
        finally:
            self._outbox.abandon()

    # --- what comes

    async def _take(self, event: Message) -> None:
        message = event.get("bytes")
        if message is None:
            raise RemoteProtocolError(f"a text message of {len(event['text'])} characters came; expected binary ones")
        if len(self._keys) > MOST_SERIES:
            self._keys = SeriesTable()
        parts, is_large = read_message(message, self._keys), len(message) > INLINE_BYTES
        for number in itertools.count(1):
            part = await self._shared.run(next, parts, None) if is_large else next(parts, None)
            match part:
                case None:
                    return
                case UnitRun():
                    await self._units(part, is_large=is_large)
                case Unread():
                    self._session.skipped["rest of a message from an unknown element on"] += 1
                    logger.debug("%s: %s; %d bytes are not read", self._name, part.reason, part.size)
                case _:
                    await self._element(self._session.receive(part))
            if number % PARTS_AT_ONCE == 0:
                await asyncio.sleep(0)

    async def _units(self, run: UnitRun, *, is_large: bool) -> None:
        late = run.points.time_ns > LONGEST_ELAPSED_NS
        if late.any():
            raise RemoteProtocolError(
                f"unit with an elapsed time of {run.points.time_ns[late.argmax()]} ns; the longest is {LONGEST_ELAPSED_NS}"
            )
        routes: dict[Route, list[int]] = {}
        for stream_id, points in run.by_stream():
            if not self._session.carries(stream_id, len(points)):
                continue
            upstream = self._up[stream_id]
            upstream.remember(points)
            self._received += len(points)
            self._sections.add(stream_id, points)
            if upstream.route is not None:
                routes.setdefault(upstream.route, []).append(stream_id)
        for route, stream_ids in routes.items():
            # Upstreams with the same readers keep their order among each other.
            rows = np.flatnonzero(np.isin(run.stream_ids, stream_ids))
            points = run.points if len(rows) == len(run.points) else run.points.take(rows)
            deliveries = self._hub.publish(route, points)
            packed = await self._shared.run(_pack_each, deliveries) if is_large else _pack_each(deliveries)
            for subscriber, each in packed:
                subscriber.deliver(each)

    async def _element(self, event: Asked | SectionEnded | None) -> None:
        match event:
            case SectionEnded():
                self._sections.end(event)
            case Asked(request=MeasurementIDRequest()):
                await self._make_measurement(event)
            case Asked():
                await self._asked(event)
        self._outbox.wake()  # the session answers some by itself

    async def _make_measurement(self, asked: Asked) -> None:
        """Answer with a new measurement, whose base time is now (protocol 5.7)."""
        assert isinstance(asked.request, MeasurementIDRequest)
        edge_uuid, now_ns = asked.request.edge_uuid, time.time_ns()
        try:
            uuid = await self._shared.run(
                lambda: catalogue.create_measurement(
                    self._shared.store, edge_uuid=edge_uuid, basetime_ns=now_ns, basetime_type="api_first_received"
                )
            )
        except Refused as exc:
            logger.info("%s gets no measurement: %s", self._name, exc.reason)
            self._session.answer(asked, ok=False)
        else:
            self._session.answer(asked, ok=True, measurement_uuid=uuid)

    async def _asked(self, asked: Asked) -> None:
        for stream in asked.closing:
            self._close(stream.stream_id)
        if asked.closing:
            await self._sections.drained()  # the acknowledgements come before the answer
        try:
            await self._shared.run(self._check, asked.opening)
            # Filters that came before their spec are due now (protocol 5.9).
            early = [each for each in asked.opening if each.data_filters and isinstance(each.spec, DownstreamSpec)]
            filtered = [*early, *asked.filtered]
            labels = [labels_of(stream.data_filters) for stream in filtered]
            signals = await self._shared.run(self._signals, labels) if any(labels) else [[] for _ in filtered]
        except Refused as exc:
            logger.info("%s is refused a request: %s", self._name, exc.reason)
            self._session.answer(asked, ok=False)
            return
        self._session.answer(asked, ok=True)
        for stream in asked.opening:
            self._open(stream)
        for stream, defined in zip(filtered, signals, strict=True):
            self._filter(stream, defined)

    def _check(self, opening: Sequence[Stream]) -> None:
        """Refuse streams of edges or for measurements that are not there; runs in a worker thread."""
        if not opening:
            return
        with self._shared.store.read() as cursor:
            for stream in opening:
                spec = stream.spec
                catalogue.edge(cursor, spec.src_edge_uuid)
                if isinstance(spec, UpstreamSpec) and spec.store:
                    self._shared.store.check_writable()
                    catalogue.id_of(cursor, spec.measurement_uuid)

    def _signals(self, labels: Sequence[Sequence[str]]) -> list[list[Signal]]:
        """The signals of some labels; runs in a worker thread."""
        with self._shared.store.read() as cursor:
            found = [signals_with_labels(cursor, each) if each else [] for each in labels]
        for signals in found:
            _rehearse(signals)
        return found

    def _open(self, stream: Stream) -> None:
        spec = stream.spec
        if isinstance(spec, UpstreamSpec):
            upstream = self._up[spec.stream_id] = Upstream(spec)
            self._sections.open(spec.stream_id, spec.measurement_uuid if spec.store else None)
            self._hub.open(upstream)
        else:
            lane = Lane()
            subscriber = Subscriber(spec, self._account, lambda packed: self._outbox.put(lane, packed), self._is_reference)
            self._down[spec.stream_id] = subscriber, lane
            self._hub.open(subscriber)

    def _filter(self, stream: Stream, signals: Sequence[Signal]) -> None:
        subscriber, _ = self._down[stream.stream_id]
        for basetime in self._hub.select(subscriber, stream.data_filters, signals):
            subscriber.deliver(pack(basetime, stream.stream_id, for_reference=self._is_reference))

    def _close(self, stream_id: int) -> None:
        if stream_id in self._up:
            self._hub.close(self._up.pop(stream_id))
            self._sections.close(stream_id)
        else:
            subscriber, lane = self._down.pop(stream_id)
            self._hub.close(subscriber)
            self._outbox.forget(lane)
            self._past.add(lane)

    def _leave(self) -> None:
        """Take no part any more; what came is kept, and what waits to be sent may still be."""
        self._session.lost()
        for stream_id in list(self._up):
            self._close(stream_id)
        while self._down:
            subscriber, lane = self._down.popitem()[1]
            self._hub.close(subscriber)
            self._left.append(lane)

    def _log_end(self) -> None:
        for lane in self._left:
            self._past.add(lane)
        logger.info(
            "%s is closed: %d points in, %d out, %d dropped, %d withheld; left alone: %s",
            self._name,
            self._received,
            self._past.sent,
            self._past.dropped,
            self._past.withheld,
            dict(self._session.skipped) or "nothing",
        )

    def _acknowledge(self, stream_id: int, serial_number: int, ok: bool) -> None:
        self._session.acknowledge(stream_id, serial_number, ok=ok)
        self._outbox.wake()


def _pack_each(deliveries: Iterable[tuple[Sequence[Subscriber], Points]]) -> list[tuple[Subscriber, Packed]]:
    """Write what is to be delivered, once for all who get the same under the same stream id."""
    found = []
    for subscribers, points in deliveries:
        packed: dict[tuple[int, bool], Packed] = {}
        for subscriber in subscribers:
            stream_id, for_reference = form = subscriber.spec.stream_id, subscriber.is_reference
            if form not in packed:
                packed[form] = pack(points, stream_id, for_reference=for_reference)
            found.append((subscriber, packed[form]))
    return found


def _rehearse(signals: Iterable[Signal]) -> None:
    """Convert one made-up point for each signal: a kernel is compiled, or read from its cache, when it is first called."""
    for signal in signals:
        keys = SeriesTable()
        keys.code(Series("", int(signal.data_type), signal.channel, signal.data_id, str(int(signal.data_type))))
        payload = np.zeros(64, np.uint8)
        points = Points(np.zeros(1, np.int64), np.zeros(1, np.int32), payload, np.asarray([0, len(payload)], np.int32), keys)
        every = [DataFilter(signal.channel, data_type) for data_type in (DataType.float, DataType.string, DataType.bytes)]
        for chosen in Selection(every, [signal]).of(points):
            pack(chosen, 0)
