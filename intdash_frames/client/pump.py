"""An iterator of the user, which may wait for as long as it likes, feeds an upstream."""

from __future__ import annotations

import asyncio
import concurrent.futures
import logging
import threading
from collections.abc import Iterator
from typing import Any, Final

from intdash_frames import data
from intdash_frames.client.point_buffer import PointBuffer
from intdash_frames.client.upstream import Upstream
from intdash_frames.codecs.units import LARGEST_PAYLOAD
from intdash_frames.errors import TimedOut, UsageError
from intdash_frames.model import Unit
from intdash_frames.protocol.elements import LONGEST_ELAPSED_NS

__all__ = ["Pump"]

logger = logging.getLogger("intdash_frames.client")

# What an iterator may be ahead of its stream; then it is not asked for more.
MOST_POINTS, MOST_BYTES = 16384, 8 * 2**20
LOST_PATIENCE_S: Final = 0.5
# From here on the flush interval is not waited for.
MANY_POINTS: Final = 1024


class Pump:
    """A thread that runs an iterator, and a task that writes what it gives.

    Parameters
    ----------
    loop : asyncio.AbstractEventLoop
        Where the upstream lives.
    upstream : Upstream
    iterator : iterator of Unit
        Closed at the end, if it can be.
    flush_interval_s : float
        How long units are gathered [s].

    Attributes
    ----------
    done : concurrent.futures.Future
        Finished when the iterator is used up or stopped and all that it gave is written; holds what went wrong.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, upstream: Upstream, iterator: Iterator[Unit], *, flush_interval_s: float
    ) -> None:
        self._loop, self._upstream, self._iterator = loop, upstream, iterator
        self._flush_interval_s = flush_interval_s
        self._buffer = PointBuffer(longest_ns=LONGEST_ELAPSED_NS, largest_bytes=LARGEST_PAYLOAD)
        self._changed = threading.Condition()
        self._filled = asyncio.Event()
        self._stopping = self._used_up = self._broken = False
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run_iterator, name=f"intdash-frames-live {upstream!r}", daemon=True)
        self.done: concurrent.futures.Future[None] = concurrent.futures.Future()

    def start(self) -> None:
        """Begin."""
        asyncio.run_coroutine_threadsafe(self._write_all(), self._loop)
        self._thread.start()

    @property
    def is_current(self) -> bool:
        """Whether the caller is in the iterator."""
        return threading.current_thread() is self._thread

    def stop(self) -> None:
        """Ask for no further unit; the one that the iterator is about to give is still taken."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()

    def leave(self, timeout_s: float) -> None:
        """Wait for the iterator to end; one that does not is left to itself, and its thread ends when it gives its next unit."""
        # What it gives to a lost stream goes nowhere, so only one that is about to end anyway is waited for.
        self._thread.join(min(timeout_s, LOST_PATIENCE_S) if self._upstream.is_closed else timeout_s)
        if self._thread.is_alive():
            logger.warning("%r: its iterator gives nothing and does not end", self._upstream)
            self._used_up = True
            self._wake()

    def failure(self) -> BaseException | None:
        """What went wrong, if anything did so far."""
        if self.done.done():
            return self.done.exception()
        return TimedOut(f"{self._upstream!r}: what its iterator gave could not be written in time")

    # --- in the thread

    def _run_iterator(self) -> None:
        try:
            for unit in self._iterator:
                if unit is not None and not self._put(unit):
                    break
                if self._stopping:
                    break
        except BaseException as exc:
            logger.exception("%r: its iterator raised", self._upstream)
            self._failure = exc
        finally:
            self._close_iterator()
            self._used_up = True
            self._wake()

    def _put(self, unit: Unit) -> bool:
        """Take a unit; False if nothing can be written any more."""
        if not isinstance(unit, Unit) or not isinstance(unit.data, data.Data):
            seen = type(unit).__name__ if not isinstance(unit, Unit) else f"a Unit with {type(unit.data).__name__}"
            raise UsageError(f"the iterator gave {seen}, expected a Unit with an object of intdash_frames.data")
        payload = unit.data.to_payload()
        buffer = self._buffer
        with self._changed:
            while (buffer.count >= MOST_POINTS or buffer.size_bytes >= MOST_BYTES) and not self._broken:
                self._changed.wait()
            if self._broken:
                return False
            buffer.add_parts(unit.elapsed_time, unit.data.data_type, unit.channel, payload)
            is_news = buffer.count in (1, MANY_POINTS)
        if is_news:
            self._wake()
        return True

    def _close_iterator(self) -> None:
        close: Any = getattr(self._iterator, "close", None)
        if callable(close):
            try:
                close()
            except Exception:
                logger.exception("%r: closing its iterator failed", self._upstream)

    def _wake(self) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._filled.set)

    # --- on the loop

    async def _write_all(self) -> None:
        try:
            while True:
                await self._filled.wait()
                self._filled.clear()
                await self._gather()
                used_up = self._used_up  # before the buffer is taken: what comes after is not there yet
                with self._changed:
                    points = self._buffer.take()
                    self._changed.notify_all()
                if len(points):
                    await self._upstream.write_points(points)
                    self._upstream.flush_now()
                if used_up:
                    break
        except BaseException as exc:
            self._failure = self._failure or exc
        with self._changed:
            self._broken = True
            self._changed.notify_all()
        if self._failure is not None:
            self.done.set_exception(self._failure)
        else:
            self.done.set_result(None)

    async def _gather(self) -> None:
        """Let units come together for the flush interval, unless there are many or there will be no more."""
        if self._buffer.count < MANY_POINTS and not self._used_up and not self._stopping and self._flush_interval_s:
            try:
                async with asyncio.timeout(self._flush_interval_s):
                    await self._filled.wait()  # set anew when there are many
            except TimeoutError:
                pass
            self._filled.clear()
