"""Live data as frames: what `Client.live` gives."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

from intdash_frames import timebase
from intdash_frames.client.background import BackgroundLoop
from intdash_frames.codecs.points import Points
from intdash_frames.errors import UsageError
from intdash_frames.frames.envelope import to_batch
from intdash_frames.frames.selection import Selection, select
from intdash_frames.frames.sources import edge_uuid
from intdash_frames.live.feed import Feed, FeedOptions
from intdash_frames.live.readers import Reader
from intdash_frames.live.rolling import RollingFrame
from intdash_frames.live.tally import LiveStats, gaps_frame
from intdash_frames.live.wanted import filters_of
from intdash_frames.protocol.filters import wire_filters

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    from intdash_frames.client.connection import Connection
    from intdash_frames.live.plot import LivePlot
    from intdash_frames.live.record import Recording
    from intdash_frames.model import SignalKey

__all__ = ["Live", "live"]

logger = logging.getLogger("intdash_frames.live")

# Everything ends within two seconds: the goodbye of the stream gets most of that.
CLOSE_TIMEOUT_S = 1.5
# What may wait for a reader, or for a hole to be read back, however few points the window shows [count].
LEAST_WAITING: Final = 65_536


def live(
    connection: Connection,
    *,
    edge: Any,
    signals: Any = None,
    window: Any = "60s",
    max_points: int = 1_000_000,
    backfill: Any = None,
    reconnect: bool = True,
    through: AbstractContextManager[Connection] | None = None,
) -> Live:
    """Check the arguments of `Client.live`, which has their meaning; nothing is sent but the question who the edge is.

    Parameters
    ----------
    through : context manager of Connection, optional
        Where to follow: entered at the start and left at the end; then `connection` only says who the edge is.

    Raises
    ------
    UsageError
        If one cannot work.
    """
    window_ns = _positive("window", window)
    backfill_ns = 0 if backfill is None else _positive("backfill", backfill)
    if isinstance(max_points, bool) or not isinstance(max_points, int) or max_points < 1:
        raise UsageError(f"max_points={max_points!r}; expected a whole number, 1 or more")
    if not isinstance(reconnect, bool):
        raise UsageError(f"reconnect={reconnect!r}; expected True or False")
    options = FeedOptions(backfill_ns, reconnect, most_waiting=max(max_points, LEAST_WAITING))
    selection = select(signals)
    wire_filters(filters_of(selection))  # refuses ids that no point of their type can have
    return Live(connection, edge, selection, window_ns=window_ns, max_points=max_points, options=options, through=through)


def _positive(name: str, value: Any) -> int:
    span = timebase.duration_ns(value, name=name)
    if span <= 0:
        raise UsageError(f"{name}={value!r}; expected more than nothing, such as '60s'")
    return span


class Live:
    """A window of an edge's live data as frames; a context manager, made by `Client.live`.

    One background thread does the work, so it runs in a plain script, in Jupyter and beside asyncio alike. Every frame is a copy
    that stays as it is while data arrive.

    Notes
    -----
    What is lost with a connection is read back from what the server has stored; what cannot be is a row of `gaps`.

    A point is placed by the base time that came last, since nothing on the wire says which stream it is of: where an edge sends
    two streams with different base times at once, those of one have the times and the measurement of the other.
    """

    def __init__(
        self,
        connection: Connection,
        edge: Any,
        selection: Selection,
        *,
        window_ns: int,
        max_points: int,
        options: FeedOptions,
        through: AbstractContextManager[Connection] | None = None,
    ) -> None:
        self._through, self._entered = through, contextlib.ExitStack()
        self._connection, self._selection, self._options = connection, selection, options
        self._edge_uuid = edge_uuid(connection, edge)
        self._max_points = max_points
        self._rolling = RollingFrame(window_ns=window_ns, max_points=max_points, meta=self._meta, tz=connection.tz)
        self._background: BackgroundLoop | None = None
        self._feed: Feed | None = None
        self._readers: list[Reader] = []
        self._threads: list[threading.Thread] = []
        self._plots: list[LivePlot] = []
        self._recordings: list[Recording] = []
        self._shown = threading.Condition()
        self._shown_points = 0
        self._ended = self._is_iterated = False
        self._watching: asyncio.Task[None] | None = None

    def __repr__(self) -> str:
        state = "not started" if self._feed is None else "ended" if self._ended else f"{len(self._rolling):,} points"
        return f"<Live of edge {self._edge_uuid}: {state}>"

    def _meta(self, measurement_uuids: tuple[str, ...]) -> dict[str, Any]:
        """What frames say of where they come from: the same as frames of what was stored of these measurements."""
        return {
            "source": {"url": self._connection.url, "names": measurement_uuids},
            "query": {
                "signals": [pattern.text for pattern in self._selection.patterns],
                "labels": self._selection.labels,
                "start": None,
                "end": None,
                "head": None,
            },
        }

    # --- the beginning and the end

    def start(self) -> Self:
        """Connect; returns when live data can come. Done by ``with``.

        Raises
        ------
        IntdashError
            If the server cannot be reached or refuses.
        UsageError
            If it was started before.
        """
        if self._feed is not None or self._ended:
            raise UsageError("this live view was started or closed before; make another with client.live()")
        if self._through is not None:
            self._connection = self._entered.enter_context(self._through)
        self._background = BackgroundLoop("intdash-frames-live")
        try:
            self._background.run(self._start())
        except BaseException:
            self._end()
            raise
        return self

    async def _start(self) -> None:
        self._feed = Feed(self._connection, self._edge_uuid, self._selection, self._rolling.keys, self._show, self._options)
        await self._feed.start()
        self._watching = asyncio.create_task(self._watch(self._feed))

    async def _watch(self, feed: Feed) -> None:
        """Let those who wait for data know when no more will come."""
        await feed.ended.wait()
        self._end_readers()

    def close(self) -> None:
        """End everything within two seconds; the frames stay, and so does the last picture. Calling it again does nothing.

        Raises
        ------
        IntdashError
            What ended a recording, if nobody was told before.
        """
        self._close()
        for recording in self._recordings:
            recording.stop()

    def _close(self) -> None:
        if self._ended:
            return
        feed = self._feed
        try:
            if feed is not None and self._background is not None:
                self._background.submit(feed.close()).result(CLOSE_TIMEOUT_S)
        except TimeoutError:
            logger.warning("%r did not say goodbye in %s s", self, CLOSE_TIMEOUT_S)
        finally:
            self._end()

    def _end(self) -> None:
        if self._background is not None:
            self._background.stop()
        self._ended = True
        self._end_readers()
        for thread in self._threads:
            if thread is not threading.current_thread():  # a function given to on_batch may close the view
                thread.join(timeout=CLOSE_TIMEOUT_S)
        for recording in self._recordings:
            recording.end()
        for each in self._plots:
            each.stop()
        self._entered.close()

    def _end_readers(self) -> None:
        for reader in list(self._readers):  # one that ends takes itself out
            reader.end()
        with self._shown:
            self._shown.notify_all()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None) -> None:
        (self.close if exc is None else self._close)()

    async def __aenter__(self) -> Self:
        return await asyncio.to_thread(self.start)

    async def __aexit__(self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None) -> None:
        await asyncio.to_thread(self.close if exc is None else self._close)

    # --- frames

    def frame(self) -> pd.DataFrame:
        """Give the window: the typed frame of a single data type, or a long one with columns ``type.column`` for several."""
        return self._rolling.frame()

    def by_type(self) -> dict[Any, pd.DataFrame]:
        """Give the window as a typed frame for each data type that occurs."""
        return self._rolling.by_type()

    def by_signal(self) -> dict[SignalKey, pd.DataFrame]:
        """Give the window as a typed frame for each signal."""
        return self._rolling.by_signal()

    def __getitem__(self, signal: str | SignalKey) -> pd.DataFrame:
        """Give the typed frame of one signal, ``"float:1/speed"`` or the data id alone where only one signal has it."""
        return self._rolling[signal]

    def wide(self, every: Any = None, **options: Any) -> pd.DataFrame:
        """Put the numeric columns of the window side by side on a grid; as `Frames.wide`."""
        return self._rolling.wide(every, **options)

    def to_arrow(self) -> pa.Table:
        """Give the window as one table of the envelope."""
        return self._rolling.to_arrow()

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return self._rolling.__arrow_c_stream__(requested_schema)

    def summary(self) -> pd.DataFrame:
        """Give a row a signal of the window; as `Frames.summary`."""
        return self._rolling.summary()

    def __len__(self) -> int:
        return len(self._rolling)

    # --- what happened

    @property
    def stats(self) -> LiveStats:
        """What was counted: ``received + recovered == shown + dropped + waiting``."""
        feed = self._feed
        if feed is None:
            return LiveStats()
        if self._ended or self._background is None:
            return feed.stats
        return self._background.run(_of(lambda: feed.stats))

    @property
    def gaps(self) -> pd.DataFrame:
        """Stretches of time of which something may be missing: start, end, reason, recovered."""
        return gaps_frame(list(self._feed.gaps) if self._feed is not None else [], self._connection.tz)

    @property
    def error(self) -> BaseException | None:
        """Why no more data come, where that was not asked for."""
        return self._feed.error if self._feed is not None else None

    def wait(self, points: int = 1, timeout: float | None = None) -> bool:
        """Wait until so many points have been shown since the start.

        Parameters
        ----------
        points : int
        timeout : float, optional
            Not longer than this [s].

        Returns
        -------
        bool
            False if the time was up, or the end came, before.

        Raises
        ------
        UsageError
            If an argument cannot work.
        """
        if isinstance(points, bool) or not isinstance(points, int) or points < 0:
            raise UsageError(f"points={points!r}; expected a whole number, 0 or more")
        if timeout is not None and (isinstance(timeout, bool) or not isinstance(timeout, (int, float)) or not timeout >= 0):
            raise UsageError(f"timeout={timeout!r}; expected seconds, 0 or more")
        deadline = None if timeout is None else time.monotonic() + timeout
        with self._shown:
            while self._shown_points < points and not self._ended and self.error is None:
                left = None if deadline is None else deadline - time.monotonic()
                if left is not None and left <= 0:
                    break
                # Short waits, so that an end that nobody announces is seen.
                self._shown.wait(0.25 if left is None else min(left, 0.25))
            return self._shown_points >= points

    # --- readers

    def on_batch(self, function: Callable[[pa.RecordBatch], Any]) -> None:
        """Call a function with every batch as it comes, in a thread of its own; what it raises is logged and ends nothing.

        Parameters
        ----------
        function : callable
            Takes a `pyarrow.RecordBatch` of the envelope.
        """
        if not callable(function):
            raise UsageError(f"on_batch takes a function, not {type(function).__name__}")
        came = threading.Event()
        reader = self._reader(came.set)

        def work() -> None:
            while not reader.is_finished:
                came.wait()
                came.clear()
                while not reader.is_finished:
                    try:
                        points = reader.take()
                        if points is None:
                            break
                        function(to_batch(points))
                    except Exception:
                        logger.exception("a function given to on_batch of %r raised", self)

        thread = threading.Thread(target=work, name="intdash-frames-on-batch", daemon=True)
        self._threads.append(thread)
        thread.start()

    def plot(self, signals: Any = None, *, window: Any = None, rate_hz: float = 10) -> LivePlot:
        """Draw numbers as they come; returns at once.

        Parameters
        ----------
        signals : str, IdQuery, or list of them, optional
            As for `Client.frames`, of those that are followed; every signal that is numbers if not given. Each has axes of its
            own, the first eight that occur.
        window : str or Timedelta, optional
            How much of the window to show, counted back from the newest point; all of it if not given.
        rate_hz : float
            How often it is drawn at most, up to 10 [Hz]; less often where drawing takes long, and not where nothing new came.

        Returns
        -------
        LivePlot
            With ``figure``, ``png()`` and ``stop()``. In a notebook the picture is below the cell and follows the data while
            other cells run; with ``%matplotlib widget`` it is the figure of that, which moves once the cell has ended. The last
            picture stays in the notebook as an image.

        Raises
        ------
        UsageError
            If an argument cannot work.
        """
        from intdash_frames.live.plot import plot

        made = plot(self._rolling, signals, span=window, rate_hz=rate_hz, tz=self._connection.tz)
        self._plots.append(made)
        made.notice()  # of what came while it was made
        if self._ended:
            made.stop()
        return made

    def record(self, path: Any, *, rows_per_file: int = 1_000_000, seconds_per_file: float = 60) -> Recording:
        """Write every batch that is shown from now on as Parquet, in the background.

        Parameters
        ----------
        path : path-like
            Folder; made if absent. Nothing in it is written over: files are numbered on.
        rows_per_file : int
            Rows of a file at most [count].
        seconds_per_file : float
            How long a file is open at most [s]; a crash loses what is in it.

        Returns
        -------
        Recording
            With ``rows``, ``files``, ``gaps``, ``error`` and ``stop()``. The files have the columns of `to_arrow`.

        Raises
        ------
        UsageError
            If an argument cannot work, or the folder cannot be had.

        Notes
        -----
        What ends a recording early, such as a full disk, is logged, stands in ``error`` and does not end the live view; it is
        raised by ``stop()`` or at the end of the live view.
        """
        from intdash_frames.live.record import Recording

        source = {"url": self._connection.url, "edge": self._edge_uuid}
        made = Recording(
            path,
            self._reader,
            self._readers.remove,
            meta={**self._meta(()), "source": source},
            rows_per_file=rows_per_file,
            seconds_per_file=seconds_per_file,
        )
        self._recordings.append(made)
        return made

    async def __aiter__(self) -> AsyncIterator[pa.RecordBatch]:
        """Every batch as it comes: in order, also what is too late for the window.

        The first loop over a view begins with what the window holds, so that it misses nothing, and a later one with what comes.

        Raises
        ------
        GapError
            If the loop's body is so slow that points had to be left out for it.
        IntdashError
            What ended the stream, where that was not asked for; behind the last batch.
        """
        loop, came = asyncio.get_running_loop(), asyncio.Event()

        def notify() -> None:
            with contextlib.suppress(RuntimeError):  # the reader's own loop is gone, and the reader with it
                loop.call_soon_threadsafe(came.set)

        reader, shown = await self._first_reader(notify)
        try:
            for part in shown:
                yield to_batch(part)
            while not reader.is_finished:
                points = reader.take()
                if points is None:
                    await came.wait()
                    came.clear()
                    continue
                yield to_batch(points)
            if self.error is not None:
                raise self.error
        finally:
            self._readers.remove(reader)

    async def _first_reader(self, notify: Callable[[], object]) -> tuple[Reader, list[Points]]:
        """A reader and what was shown before it, where nobody has been given that yet."""
        is_first, self._is_iterated = not self._is_iterated, True
        if not is_first:
            return self._reader(notify), []

        async def both() -> tuple[Reader, list[Points]]:
            return self._reader(notify), self._rolling.points()

        if self._ended or self._background is None:
            return await both()
        return await asyncio.wrap_future(self._background.submit(both()))  # nothing is shown on its loop meanwhile

    def _reader(self, notify: Callable[[], object]) -> Reader:
        reader = Reader(max(self._max_points, LEAST_WAITING), notify)
        self._readers.append(reader)
        if self._ended or (self._feed is not None and self._feed.ended.is_set()):
            reader.end()
        return reader

    def _show(self, points: Points) -> dict[str, int]:
        """Take points from the feed, on its loop."""
        before = self._rolling.counts
        self._rolling.append(points, now_ns=timebase.moment_ns("now"))
        after = self._rolling.counts
        left_out = {name: getattr(after, name) - getattr(before, name) for name in ("late", "ahead")}
        for reader in list(self._readers):
            reader.give(points)
        for each in list(self._plots):
            each.notice()
        with self._shown:
            self._shown_points += len(points) - sum(left_out.values())
            self._shown.notify_all()
        return left_out


async def _of(value: Callable[[], LiveStats]) -> LiveStats:
    return value()
