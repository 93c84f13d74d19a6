"""Live streams in the vendor's words, for scripts and notebooks: `connect_websocket`.

The connection lives on an event loop in a thread of its own, functions of the user run in a second one, one at a time, and every
iterator has a thread, since it may wait for its next unit. So nothing here depends on a loop of the caller, running or not.

Source: protocol 5; names and arguments are those of the vendor's SDK.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import inspect
import itertools
import logging
import threading
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

import numpy as np
import pandas as pd

from intdash_frames import data
from intdash_frames.client.background import BackgroundLoop, CallThread
from intdash_frames.client.data_points import payloads_of, type_of
from intdash_frames.client.downstream import Downstream
from intdash_frames.client.iscp import checked_seconds
from intdash_frames.client.pump import Pump
from intdash_frames.client.stream import StreamConnection, open_socket
from intdash_frames.client.upstream import Upstream
from intdash_frames.codecs.points import Points
from intdash_frames.errors import IntdashError, ISCPConnClosedException, UsageError
from intdash_frames.model import DownstreamSpec, Unit, UpstreamSpec
from intdash_frames.transport.retry import is_transient

if TYPE_CHECKING:
    from intdash_frames.client.connection import Connection
    from intdash_frames.client.credentials import TokenSource

__all__ = ["WebSocketConn"]

logger = logging.getLogger("intdash_frames.client")

# Of sections without acknowledgement, for each upstream [byte]: a minute of 1 MB/s. When it is full, the iterator waits.
KEEP_BYTES: Final = 64 * 2**20
# How long `close` waits for a unit that an iterator is about to give, and for a function of the user that is running.
PATIENCE_S: Final = 5.0


class WebSocketConn:
    """A connection for live streams; ``with`` closes it.

    Parameters
    ----------
    connection : Connection
        Where and who.
    flush_interval : float
        What was written is sent so long after the first of it at the latest [s].
    auto_reconnect : bool
        When the connection is lost, connect again for as long as it takes, with growing delay and credentials asked anew; open
        the same streams again, and send again what the server has not acknowledged, under the same serial numbers. What was
        sent shortly before the loss may so arrive twice; nothing that an iterator gave is left out. Without it, a lost
        connection ends the streams, and `join` and `close` say so.
    token_source : TokenSource, optional
        Asked at each connection, instead of the credentials of `connection`.

    Attributes
    ----------
    reconnects : int
        Connections after the first [count].

    Raises
    ------
    ApiError, TransportError
        If the server refuses the first connection, or cannot be reached.
    """

    def __init__(
        self,
        connection: Connection,
        flush_interval: float = 0.01,
        auto_reconnect: bool = False,
        token_source: TokenSource | None = None,
    ) -> None:
        if not isinstance(auto_reconnect, bool):
            raise UsageError(f"auto_reconnect={auto_reconnect!r}; expected True or False")
        self.reconnects = 0
        self._connection, self._token_source = connection, token_source
        self._flush_interval_s = checked_seconds("flush_interval", flush_interval, zero=True)
        self._auto_reconnect = auto_reconnect
        self._streams: list[Upstream | Downstream] = []
        self._pumps: list[Pump] = []
        self._failed: concurrent.futures.Future[None] = concurrent.futures.Future()
        self._closing, self._closed = False, threading.Event()
        self._lock = threading.Lock()
        self._calls = CallThread("intdash-frames-live callbacks")
        self._loop = BackgroundLoop("intdash-frames-live loop")
        try:
            self._loop.run(self._start())
        except BaseException:
            self._loop.stop()
            self._calls.stop()
            raise

    def __repr__(self) -> str:
        return f"WebSocketConn({'closed' if self._closing else 'open'}, {len(self._streams)} streams)"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None) -> None:
        try:
            self.close()
        except Exception:
            if exc is None:
                raise
            logger.exception("closing after an error: what was given last may be lost")

    def open_upstreams(
        self, specs: Sequence[UpstreamSpec], iterators: Sequence[Iterable[Unit]], marker_interval: float = 3
    ) -> None:
        """Open upstreams, and send what their iterators give.

        Parameters
        ----------
        specs : sequence of UpstreamSpec
        iterators : sequence of iterable of Unit
            One for each spec. Each is run in a thread of its own, and may take its time; None is skipped. A generator is
            closed with the connection.
        marker_interval : float
            How long a section lasts [s].

        Raises
        ------
        UsageError
            If an argument cannot work; nothing was sent.
        ResultNGException
            If the server refuses a spec; none of these is open then.
        ISCPConnClosedException, TimedOut
        """
        interval_s = checked_seconds("marker_interval", marker_interval)
        specs, given = _pairs(specs, iterators, "iterators")
        iterables: list[Iterator[Unit]] = []
        for position, each in enumerate(given):
            if not isinstance(each, Iterable):
                raise UsageError(f"iterators[{position}] is {type(each).__name__}, expected an iterator of Unit")
            iterables.append(iter(each))

        def made() -> list[Upstream | Downstream]:
            keep_bytes = KEEP_BYTES if self._auto_reconnect else 0
            # Refusals are logged and come up in `close`; a function that is told of them would keep them from that.
            return [Upstream(spec, marker_interval_s=interval_s, keep_bytes=keep_bytes) for spec in specs]

        streams = self._run(self._open(made))
        for stream, iterator in zip(streams, iterables, strict=True):
            assert isinstance(stream, Upstream)
            pump = Pump(self._loop.loop, stream, iterator, flush_interval_s=self._flush_interval_s)
            self._pumps.append(pump)
            pump.start()

    def open_downstreams(self, specs: Sequence[DownstreamSpec], callbacks: Sequence[Callable[[Unit], Any]]) -> None:
        """Open downstreams, and call a function with every unit that comes.

        Parameters
        ----------
        specs : sequence of DownstreamSpec
        callbacks : sequence of callable
            One for each spec, a plain function of a `Unit`. They run one at a time in a thread of this connection. What one
            raises is logged, and the stream goes on. Content that cannot be read is `data.Opaque`.

        Raises
        ------
        UsageError, ResultNGException, ISCPConnClosedException, TimedOut
            As `open_upstreams`.
        """
        specs, given = _pairs(specs, callbacks, "callbacks")
        for position, each in enumerate(given):
            if not callable(each) or inspect.iscoroutinefunction(each):
                raise UsageError(f"callbacks[{position}] is {each!r}, expected a plain function of a Unit")

        def made() -> list[Upstream | Downstream]:
            return [Downstream(spec, self._handler(callback)) for spec, callback in zip(specs, given, strict=True)]

        self._run(self._open(made))

    def join(self, timeout: float | None = None) -> bool:
        """Wait until every iterator is used up, and what it gave is handed to the connection; `close` waits for the rest.

        Parameters
        ----------
        timeout : float, optional
            How long at most [s].

        Returns
        -------
        bool
            False if an iterator goes on.

        Raises
        ------
        Exception
            What an iterator raised, or why its units could not be sent.
        """
        until = None if timeout is None else time.monotonic() + timeout
        going_on = {pump.done for pump in self._pumps}
        while going_on and not self._failed.done():
            left_s = None if until is None else max(0.0, until - time.monotonic())
            done, _ = concurrent.futures.wait({*going_on, self._failed}, left_s, concurrent.futures.FIRST_COMPLETED)
            if not done:
                return False
            for each in going_on & done:
                each.result()
            going_on -= done
        if self._failed.done():
            self._failed.result()
        return True

    def close(self) -> None:
        """Stop the iterators, send what they gave, wait until the server has taken it, and end all threads.

        From a callback or an iterator this only begins to close.

        Raises
        ------
        Exception
            The first thing that went wrong: an iterator raised, a section was refused, the connection was lost. The connection
            is closed all the same.
        """
        if self._calls.is_current or any(pump.is_current for pump in self._pumps):
            threading.Thread(target=self._close_alone, name="intdash-frames-live closing", daemon=True).start()
            return
        with self._lock:
            is_first, self._closing = not self._closing, True
        if not is_first:
            self._closed.wait()
            return
        failures: list[BaseException] = []
        try:
            for pump in self._pumps:
                pump.stop()
            failures += self._end_pumps()
            failures += self._loop.run(self._finish())
        finally:
            self._loop.stop()
            if not self._calls.stop(PATIENCE_S):
                logger.warning("%r: a callback is still running; its thread ends with it", self)
            self._closed.set()
        if failures:
            raise failures[0]
        if self._failed.done():
            self._failed.result()

    # --- on the loop

    async def _start(self) -> None:
        self._close_asked, self._connected = asyncio.Event(), asyncio.Event()
        await self._connect()
        self._watch = asyncio.get_running_loop().create_task(self._supervise())

    async def _connect(self) -> None:
        """Open a connection with all streams there are on it."""
        socket = await open_socket(self._connection, self._token_source)
        stream = StreamConnection(
            socket,
            flush_interval_s=self._flush_interval_s,
            timeout_s=self._connection.timeout[1],
            keep_streams=True,
        )
        try:
            for each in self._streams:
                if not each.is_settled:
                    await stream.attach(each)
        except BaseException:
            await stream.close()
            raise
        self._stream = stream
        self._connected.set()

    async def _supervise(self) -> None:
        """Wait for the loss of the connection, and connect again or end the streams."""
        while True:
            reason = await self._stream.wait_closed()
            if reason is None:
                return
            self._connected.clear()
            if self._auto_reconnect:
                reason = await self._reconnect(reason)
            if reason is not None:
                self._failed.set_exception(reason if isinstance(reason, IntdashError) else ISCPConnClosedException(str(reason)))
                for each in self._streams:
                    await each.ended(str(reason))
                self._connected.set()
                return

    async def _reconnect(self, reason: BaseException) -> BaseException | None:
        """Connect again; gives why it makes no sense to go on trying, or None."""
        policy = self._connection.transport.policy
        for tried in itertools.count(1):
            delay_s = policy.delay_s(tried, reason)
            logger.info("%r: connecting again in %.1f s: %s", self, delay_s, reason)
            await asyncio.sleep(delay_s)
            try:
                await self._connect()
            except IntdashError as exc:
                if not is_transient(exc):
                    return exc
                reason = exc
            else:
                self.reconnects += 1
                logger.info("%r: connected again", self)
                return None
        raise AssertionError("counting does not end")

    async def _open(self, make: Callable[[], list[Upstream | Downstream]]) -> list[Upstream | Downstream]:
        await self._connected.wait()
        made, opened = make(), list[Upstream | Downstream]()
        try:
            for each in made:
                await self._stream.attach(each)
                self._streams.append(each)
                opened.append(each)
        except BaseException:
            for each in opened:
                self._streams.remove(each)
                await each.close()
            for each in made[len(opened) :]:
                await each.ended("it was never open")
            raise
        return made

    async def _finish(self) -> list[BaseException]:
        """Close all streams, upstreams first, then the connection; gives what they had to say."""
        failures: list[BaseException] = []
        for kind in (Upstream, Downstream):
            closing = [self._close_stream(each) for each in self._streams if isinstance(each, kind)]
            failures += [failure for failure in await asyncio.gather(*closing) if failure is not None]
        self._watch.cancel()
        await asyncio.gather(self._watch, return_exceptions=True)
        await self._stream.close()
        return failures

    async def _close_stream(self, stream: Upstream | Downstream) -> BaseException | None:
        closing = asyncio.ensure_future(stream.close())
        # What an upstream waits for has its own limits; a downstream waits for functions of the user.
        await asyncio.wait([closing], timeout=PATIENCE_S if isinstance(stream, Downstream) else None)
        if isinstance(stream, Downstream) and not closing.done():
            logger.warning("%r: a callback is still running; what came after is not handed over", stream)
            stream.abandon()
            return None
        return closing.exception()

    def _handler(self, callback: Callable[[Unit], Any]) -> Callable[[Points], Awaitable[None]]:
        def call_all(points: Points) -> None:
            for unit in _units(points):
                try:
                    callback(unit)
                except Exception:
                    logger.exception("%r: the callback %r of a downstream raised", self, callback)

        async def hand_over(points: Points) -> None:
            await self._calls.call(call_all, points)

        return hand_over

    # --- on the caller's threads

    def _run(self, work: Any) -> Any:
        if self._closing:
            work.close()
            raise ISCPConnClosedException()
        return self._loop.run(work)

    def _end_pumps(self) -> list[BaseException]:
        """Wait until what the iterators gave is written; one that gives nothing and does not end is left to itself."""
        patient_until = time.monotonic() + PATIENCE_S
        for pump in self._pumps:
            pump.leave(max(0.0, patient_until - time.monotonic()))
        concurrent.futures.wait([pump.done for pump in self._pumps], self._connection.timeout[1])
        return [failure for pump in self._pumps if (failure := pump.failure()) is not None]

    def _close_alone(self) -> None:
        try:
            self.close()
        except Exception:
            logger.exception("%r: closing failed", self)


def _units(points: Points) -> Iterator[Unit]:
    """Points as units."""
    types = {code: type_of(points.keys[code]) for code in np.unique(points.series).tolist()}
    elapsed = pd.to_timedelta(points.time_ns, unit="ns").tolist()
    for elapsed_time, code, payload in zip(elapsed, points.series.tolist(), payloads_of(points), strict=True):
        key = points.keys[code]
        yield Unit(elapsed_time, key.channel, data.from_any_payload(types[code], payload, key.data_id))


def _pairs(specs: Any, partners: Any, name: str) -> tuple[list[Any], list[Any]]:
    """Check that there is one partner for each spec."""
    for each, called in ((specs, "specs"), (partners, name)):
        if not isinstance(each, Iterable) or isinstance(each, (str, bytes)):
            raise UsageError(f"{called} is {type(each).__name__}, expected a list")
    specs, partners = list(specs), list(partners)
    if len(specs) != len(partners):
        raise UsageError(f"{len(specs)} specs and {len(partners)} {name}; expected as many of each")
    return specs, partners
