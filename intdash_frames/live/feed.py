"""Follows an edge: connection after connection, live points placed in time, holes read back. Runs on one event loop."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import numpy as np

from intdash_frames import timebase
from intdash_frames.client import history
from intdash_frames.client.stream import StreamConnection, open_socket
from intdash_frames.codecs.points import Points
from intdash_frames.codecs.series import Series, SeriesTable
from intdash_frames.errors import IntdashError
from intdash_frames.frames.selection import Selection
from intdash_frames.live.hole import Hole
from intdash_frames.live.origin import Origin, Placing, find_origin, is_recording, rekeyed
from intdash_frames.live.questions import Questions
from intdash_frames.live.recent import Recent
from intdash_frames.live.tally import Gap, LiveStats
from intdash_frames.live.wanted import filters_of
from intdash_frames.model import DownstreamSpec
from intdash_frames.model.signals import ERROR_ID
from intdash_frames.transport.retry import RetryPolicy, is_transient

if TYPE_CHECKING:
    from intdash_frames.client.connection import Connection

__all__ = ["Feed", "FeedOptions"]

logger = logging.getLogger("intdash_frames.live")

# How soon what is stored is looked at again while a hole is open: a section is stored when it ends, a second after it began.
FIRST_POLL_S, LONGEST_POLL_S = 0.1, 5.0
# A server stores a section when it has ended, a second after it began, and lists the base times in it with the measurement.
UNLISTED_S: Final = 2.0
# What the goodbye, and a read that is running when everything ends, may still take.
GOODBYE_S: Final = 0.4
LAST_READ_S: Final = 0.5
BACK_OFF: Final = RetryPolicy(first_s=0.1, longest_s=5.0)
# A connection that lasts for less does not count as made: the next waits longer.
STEADY_S: Final = 2.0


@dataclass(frozen=True, slots=True)
class FeedOptions:
    """How to follow.

    Attributes
    ----------
    backfill_ns : int
        How much stored data to begin with [ns]; 0 begins with what comes.
    reconnect : bool
        Make a lost connection again.
    most_waiting : int
        Live points that may wait for a hole to be read back [count].
    patience_s : float
        How long stored data may keep a hole open after the first live point behind it [s].
    """

    backfill_ns: int = 0
    reconnect: bool = True
    most_waiting: int = 1_000_000
    patience_s: float = 10.0


@dataclass(slots=True)
class _Counts:
    received: int = 0
    recovered: int = 0
    shown: int = 0
    reconnects: int = 0
    reasons: dict[str, int] = field(default_factory=dict)

    def drop(self, reason: str, points: int) -> None:
        if points:
            self.reasons[reason] = self.reasons.get(reason, 0) + points


class Feed:
    """Live points of one edge, from wherever they can be had.

    Parameters
    ----------
    connection : Connection
    edge_uuid : str
    selection : Selection
        Which signals.
    keys : SeriesTable
        Of all points that are shown.
    show : callable
        Takes points in order, times since the epoch; returns how many of them were not shown, by reason. Called on the loop.
    options : FeedOptions

    Attributes
    ----------
    gaps : list of Gap
    error : Exception or None
        Why the feed has ended by itself.
    ended : asyncio.Event
    """

    def __init__(
        self,
        connection: Connection,
        edge_uuid: str,
        selection: Selection,
        keys: SeriesTable,
        show: Callable[[Points], dict[str, int]],
        options: FeedOptions,
    ) -> None:
        self._connection, self._edge_uuid, self._selection, self._keys = connection, edge_uuid, selection, keys
        self._show_points, self._options = show, options
        self._spec = DownstreamSpec(edge_uuid, filters_of(selection))
        self._placing = Placing(keys, self._find_origin)
        self._counts = _Counts()
        self._kept: list[bool] = []
        self._recent = Recent(keys, options.most_waiting)
        self._began_ns = timebase.moment_ns("now")
        self._tried = 0
        self._connected_s: float | None = None
        self._lost_s = 0.0  # when the newest hole, or loss in it, began, on the clock of the loop
        self._hole: Hole | None = None
        self._filling: asyncio.Task[None] | None = None
        self._following: asyncio.Task[None] | None = None
        self._stream: StreamConnection | None = None
        self._closing = asyncio.Event()
        self._questions = Questions(connection, "intdash-frames-live-reader")
        self.gaps: list[Gap] = []
        self.error: BaseException | None = None
        self.ended = asyncio.Event()

    @property
    def stats(self) -> LiveStats:
        """What was counted so far."""
        counts, waiting = self._counts, self._hole.held if self._hole is not None else 0
        return LiveStats(
            received=counts.received,
            recovered=counts.recovered + (self._hole.recovered if self._hole is not None else 0),
            shown=counts.shown,
            dropped=sum(counts.reasons.values()),
            waiting=waiting,
            reconnects=counts.reconnects,
            reasons=dict(counts.reasons),
        )

    @property
    def is_reading_back(self) -> bool:
        """Whether a hole is open."""
        return self._hole is not None

    # --- connections

    async def start(self) -> None:
        """Make the first connection; what comes from here on is not lost.

        Raises
        ------
        IntdashError
            If it cannot be made.
        """
        if self._options.backfill_ns:
            self._open_hole(timebase.moment_ns("now") - self._options.backfill_ns)
        try:
            self._stream = await self._connect()
        except BaseException:
            await self._stop_filling()
            self._questions.stop()
            raise
        self._following = asyncio.create_task(self._follow(self._stream))

    async def close(self) -> None:
        """End everything, whether or not the server still answers; what waits for a hole is shown."""
        self._closing.set()
        if self._filling is not None:
            await asyncio.wait([self._filling], timeout=LAST_READ_S)
        self._questions.cut()  # points that came may wait for an answer before they can be shown
        if self._stream is not None:
            try:
                async with asyncio.timeout(GOODBYE_S):
                    await self._stream.close()
            except (IntdashError, TimeoutError) as exc:
                logger.info("closing the live stream of %s: %r", self._edge_uuid, exc)
        if self._following is not None:
            self._following.cancel()
            await asyncio.wait([self._following])
        await self._stop_filling()
        self._questions.stop()
        self.ended.set()

    async def _connect(self) -> StreamConnection:
        socket = await open_socket(self._connection)
        stream = StreamConnection(socket, timeout_s=self._connection.timeout[1])
        try:
            await stream.open_downstream(self._spec, on_points=self._take)
        except BaseException:
            await stream.close()
            raise
        self._connected_s = asyncio.get_running_loop().time()
        return stream

    async def _follow(self, stream: StreamConnection | None) -> None:
        """Wait for the end of each connection and make the next."""
        loop = asyncio.get_running_loop()
        try:
            while stream is not None:
                since_s = loop.time()
                reason = await stream.wait_closed()
                if self._closing.is_set():
                    return
                logger.info("the live stream of %s was lost: %s", self._edge_uuid, reason)
                if not self._options.reconnect:
                    self.error = reason
                    self._add_gap(self._recent.newest_ns, None, f"the connection was lost: {reason}", 0)
                    return
                if loop.time() - since_s >= STEADY_S:
                    self._tried = 0
                self._lose()
                stream = self._stream = await self._connect_again(reason)
        except Exception as exc:
            logger.exception("following %s has ended", self._edge_uuid)
            self.error = exc
        finally:
            if self.error is not None:
                await self._stop_filling()
            self.ended.set()

    async def _connect_again(self, reason: BaseException | None) -> StreamConnection | None:
        while not self._closing.is_set():
            self._tried += 1
            await self._pause(BACK_OFF.delay_s(self._tried, reason))
            if self._closing.is_set():
                break
            try:
                stream = await self._connect()
            except IntdashError as exc:
                if not is_transient(exc):
                    self.error = exc
                    self._add_gap(self._recent.newest_ns, None, f"the connection cannot be made again: {exc}", 0)
                    return None
                reason = exc
                continue
            self._counts.reconnects += 1
            return stream
        return None

    async def _pause(self, seconds: float) -> None:
        """Wait, but not longer than until the end."""
        try:
            async with asyncio.timeout(seconds):
                await self._closing.wait()
        except TimeoutError:
            pass

    # --- points

    async def _take(self, points: Points) -> None:
        """Take live points of one message, times since the base time."""
        parts, unplaced = await self._placing.place(points)
        self._counts.received += unplaced
        self._counts.drop("no base time", unplaced)
        for part in parts:
            wanted = self._sift(part)
            self._counts.received += len(wanted)
            if not len(wanted):
                continue
            if self._hole is None:
                self._show(wanted)
                continue
            self._hole.hold(wanted)
            if len(dropped := self._hole.drop_oldest(self._options.most_waiting)):
                self._counts.drop("bound", len(dropped))
                start_ns, end_ns = int(dropped.time_ns.min()), int(dropped.time_ns.max()) + 1
                self._add_gap(start_ns, end_ns, "too many points waited for a hole to be read back", 0)

    def _sift(self, points: Points) -> Points:
        """Leave out what was asked for only because a filter cannot say less."""
        for code in range(len(self._kept), len(self._keys)):
            self._kept.append(self._selection.keeps(self._keys[code]))
        kept = np.asarray(self._kept, np.bool_)[points.series]
        return points if kept.all() else points.take(np.flatnonzero(kept))

    def _show(self, points: Points) -> None:
        if not len(points):
            return
        left_out = self._show_points(points)
        for reason, count in left_out.items():
            self._counts.drop(reason, count)
        self._counts.shown += len(points) - sum(left_out.values())
        self._recent.add(points, asyncio.get_running_loop().time())

    # --- holes

    def _lose(self) -> None:
        """Hear that the connection is gone: a hole begins."""
        self._connected_s, self._lost_s = None, asyncio.get_running_loop().time()
        if self._hole is not None:
            self._hole.lost_again()
            return
        start_ns = self._recent.start_ns
        # Where nothing was shown yet, nobody knows more than when the first connection was made.
        self._open_hole(self._began_ns if start_ns is None else start_ns)

    def _open_hole(self, start_ns: int) -> None:
        self._hole = Hole(start_ns, self._recent.since(start_ns))
        self._filling = asyncio.create_task(self._fill_and_close(self._hole))

    async def _fill_and_close(self, hole: Hole) -> None:
        """Whatever happens, what waits behind the hole is shown in the end."""
        try:
            reason = await self._fill(hole)
        except Exception as exc:
            logger.exception("reading back what %s has stored has failed", self._edge_uuid)
            reason = f"reading back has failed: {exc!r}"
        self._close_hole(hole, reason)

    async def _fill(self, hole: Hole) -> str:
        """Read what is stored until it meets what is live; gives why it did not, if so."""
        loop = asyncio.get_running_loop()
        live_since: float | None = None
        failure, delay_s, read_s = "", FIRST_POLL_S, -math.inf
        while not self._closing.is_set():
            began_s, connected_s = loop.time(), self._connected_s
            try:
                stored = await self._questions.ask(self._read_back, hole.start_ns)
            except IntdashError as exc:
                if self._closing.is_set():
                    break
                failure = f"what is stored cannot be read: {exc}"
                logger.warning("what %s has stored cannot be read back: %s", self._edge_uuid, exc)
            else:
                failure, read_s = "", began_s
                fresh = hole.read_back(self._sift(rekeyed(stored, self._keys)))
                self._show(fresh)
                if hole.is_closed:
                    return ""
                is_late = connected_s is not None and began_s - connected_s > self._options.patience_s
                if is_late and hole.first_held_ns is None and not len(fresh):
                    # Nobody sends any more, and whatever was sent before is stored by now.
                    return self._late if hole.held else ""
            live_since = (live_since or loop.time()) if hole.first_held_ns is not None else None
            if live_since is not None:
                origin = self._placing.origin
                if origin is not None and not origin.measurement_uuid and not failure:
                    return "not stored"
                if loop.time() - live_since > self._options.patience_s:
                    return failure or self._late
            await self._pause(delay_s)
            delay_s = min(2 * delay_s, LONGEST_POLL_S if live_since is None else 1.0)
        return failure or ("not read back before the end" if hole.held or read_s < self._lost_s else "")

    @property
    def _late(self) -> str:
        return f"not stored within {self._options.patience_s:g} s"

    def _close_hole(self, hole: Hole, reason: str) -> None:
        until_ns, had_shown = hole.first_held_ns, self._recent.newest_ns
        self._hole = None
        rest = hole.close()
        self._counts.recovered += hole.recovered
        self._counts.drop("repeated", hole.repeated)
        if reason:
            self._add_gap(hole.start_ns if had_shown is None else had_shown, until_ns, reason, hole.recovered)
        self._show(rest)

    async def _stop_filling(self) -> None:
        self._closing.set()
        if self._filling is not None:
            self._filling.cancel()
            await asyncio.wait([self._filling])
            if self._hole is not None:
                self._close_hole(self._hole, "not read back before the end")

    def _read_back(self, connection: Connection, start_ns: int) -> Points:
        query = history.PointsQuery(self._edge_uuid, start_ns, timebase.INT64_MAX, self._selection.idq, self._selection.labels)
        parts = list(history.points(connection, query, keys=SeriesTable()))
        points = Points.concat(parts, parts[0].keys if parts else SeriesTable())
        errors = np.asarray([_is_error(key) for key in points.keys], np.bool_)
        return points.take(np.flatnonzero(~errors[points.series])) if errors.any() else points

    async def _find_origin(self, basetime_ns: int | None) -> Origin | None:
        loop = asyncio.get_running_loop()
        until_s = loop.time() + UNLISTED_S
        try:
            while True:
                found = await self._questions.ask(find_origin, self._edge_uuid, basetime_ns)
                if found is not None or basetime_ns is None or loop.time() >= until_s or self._closing.is_set():
                    return found
                if not await self._questions.ask(is_recording, self._edge_uuid):
                    return None
                await self._pause(FIRST_POLL_S)
        except IntdashError as exc:
            logger.warning(
                "the measurement of %s cannot be looked up, so its live points belong to none: %s", self._edge_uuid, exc
            )
            return None

    def _add_gap(self, start_ns: int | None, end_ns: int | None, reason: str, recovered: int) -> None:
        self.gaps.append(Gap(start_ns, end_ns, reason, recovered))


def _is_error(key: Series) -> bool:
    return key.data_id == ERROR_ID
