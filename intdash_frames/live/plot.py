"""A picture of live data that follows them: what `Live.plot` gives.

Everything is drawn by one thread of the plot's own, on a figure that nobody else has and pyplot knows nothing of; what a notebook
shows is replaced by the new picture. Only where a notebook has widgets (ipympl), the figure on the screen is drawn by the thread
of the kernel, when its event loop is free.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sys
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, Protocol

from intdash_frames import timebase
from intdash_frames.errors import UsageError
from intdash_frames.frames.selection import Selection, select
from intdash_frames.frames.wide import NUMERIC
from intdash_frames.live.picture import Picture, Scene, Window, new_figure, render, see

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["LivePlot", "NotebookPlace", "Screen", "Widget", "plot"]

logger = logging.getLogger("intdash_frames.live")

MOST_HZ: Final = 10.0
# The last picture is drawn while everything ends, which takes two seconds at most.
LAST_PICTURE_S: Final = 1.5


# --- where it is shown ---


class Screen(Protocol):
    """A place in a notebook; the first call makes it, in the cell that asks for the plot."""

    def __call__(self, png: bytes | None) -> object:
        """Show a picture in the place of the one before; None leaves the place empty."""
        ...


class NotebookPlace:
    """A place in the output of a cell of Jupyter."""

    def __init__(self) -> None:
        self._handle: Any = None

    def __call__(self, png: bytes | None) -> None:
        """Show a picture in the place of the one before."""
        from IPython.display import Image, display

        shown = Image(data=png, format="png") if png is not None else {"text/plain": ""}
        if self._handle is None:
            self._handle = display(shown, raw=png is None, display_id=True)
        else:
            self._handle.update(shown, raw=png is None)


class Widget:
    """A figure on the screen that its own thread draws: that of an event loop, when it is free.

    Parameters
    ----------
    figure : Figure
        With a canvas that shows itself.
    loop : AbstractEventLoop
        Of the thread that owns the figure.
    make_picture : callable
    failed : callable
        Told what drawing raised.
    close : callable
        Takes the figure from the screen, on the loop.
    """

    def __init__(
        self,
        figure: Figure,
        loop: asyncio.AbstractEventLoop,
        make_picture: Callable[[Figure], Picture],
        failed: Callable[[Exception], object],
        close: Callable[[], object],
    ) -> None:
        self.figure = figure
        self._loop, self._failed, self._close_figure = loop, failed, close
        self._picture = make_picture(figure)
        self._next: Scene | None = None
        self._lock = threading.Lock()

    @property
    def columns(self) -> int:
        """Width of the figure [pixel]."""
        return self._picture.columns

    def give(self, scene: Scene) -> None:
        """Have a scene drawn; while the loop is busy, the newest waits and the others are forgotten."""
        with self._lock:
            is_asked, self._next = self._next is not None, scene
        if not is_asked:
            self._ask(self._draw)

    def close(self) -> None:
        """Take the figure from the screen."""
        self._ask(self._close_figure)

    def _ask(self, what: Callable[[], object]) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed, and the notebook with it
            self._loop.call_soon_threadsafe(what)

    def _draw(self) -> None:
        with self._lock:
            scene, self._next = self._next, None
        try:
            if scene is not None:
                self._picture.draw(scene)
                self.figure.canvas.draw_idle()
        except Exception as exc:
            self._failed(exc)


def _in_notebook() -> bool:
    if "IPython" not in sys.modules:
        return False
    from IPython import get_ipython

    return getattr(get_ipython(), "kernel", None) is not None


def _widget_maker() -> Callable[[Callable[[Figure], Picture], Callable[[Exception], object]], Widget] | None:
    """How to make a widget, where the notebook has them and its event loop is that of this thread."""
    import matplotlib as mpl

    if "ipympl" not in sys.modules:  # to ask for a backend that nobody has chosen would choose one
        return None
    backend = mpl.get_backend().lower()
    if "ipympl" not in backend and backend != "widget":
        return None
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        return None

    def make(make_picture: Callable[[Figure], Picture], failed: Callable[[Exception], object]) -> Widget:
        from IPython.display import display
        from matplotlib import pyplot

        with pyplot.ioff():  # otherwise the end of the cell would show it once more
            figure = pyplot.figure()
        display(figure.canvas)
        return Widget(figure, loop, make_picture, failed, lambda: pyplot.close(figure))

    return make


# --- the two together ---


def plot(
    window: Window,
    signals: Any = None,
    *,
    span: Any = None,
    rate_hz: float = MOST_HZ,
    tz: Any = "UTC",
) -> LivePlot:
    """Begin to draw a window; see `Live.plot`.

    Raises
    ------
    UsageError
        If an argument cannot work.
    """
    selection = select(signals)
    for pattern in selection.patterns:
        if pattern.data_type is not None and pattern.data_type not in NUMERIC:
            names = ", ".join(sorted(kind.name for kind in NUMERIC))
            raise UsageError(f"signals={pattern.text!r} has no numbers to draw; these types have: {names}")
    if isinstance(rate_hz, bool) or not isinstance(rate_hz, (int, float)) or not 0 < rate_hz <= MOST_HZ:
        raise UsageError(f"rate_hz={rate_hz!r}; expected more than 0 and at most {MOST_HZ:g} pictures a second")
    span_ns = None if span is None else timebase.duration_ns(span, name="window")
    if span_ns is not None and span_ns <= 0:
        raise UsageError(f"window={span!r}; expected more than nothing, such as '10s'")
    is_notebook = _in_notebook()
    return LivePlot(
        window,
        selection,
        span_ns=span_ns,
        rate_hz=rate_hz,
        tz=timebase.zone(tz),
        screen=NotebookPlace() if is_notebook else None,
        make_widget=_widget_maker() if is_notebook else None,
    )


class LivePlot:
    """A picture that follows live data; made by `Live.plot`, ended by `stop` or with the live view.

    Parameters
    ----------
    window : RollingFrame
    selection : Selection
    span_ns : int, optional
        How much of the window [ns]; all of it by default.
    rate_hz : float
        How often it is drawn at most [Hz].
    tz : tzinfo
    screen : Screen, optional
        Where pictures are shown.
    make_widget : callable, optional
        Makes a figure that is on the screen itself; then `screen` gets only the last picture.
    clock : callable
        Gives the time [s].
    pause : callable, optional
        Waits so long [s], or until the end; gives whether it came.

    Attributes
    ----------
    error : Exception or None
        Why drawing has ended before the data did.
    pictures : int
        How often it was drawn [count].
    """

    def __init__(
        self,
        window: Window,
        selection: Selection,
        *,
        span_ns: int | None = None,
        rate_hz: float = MOST_HZ,
        tz: Any = None,
        screen: Screen | None = None,
        make_widget: Callable[[Callable[[Figure], Picture], Callable[[Exception], object]], Widget] | None = None,
        clock: Callable[[], float] = time.monotonic,
        pause: Callable[[float], object] | None = None,
    ) -> None:
        self._window, self._selection, self._span_ns, self._period_s = window, selection, span_ns, 1 / rate_hz
        self._screen, self._clock = screen, clock
        self._bell, self._stopping, self._shown = threading.Event(), threading.Event(), threading.Event()
        self._notices = self._heeded = 0
        self._pause = pause if pause is not None else self._stopping.wait
        self._drawing = threading.Lock()
        awaited = ", ".join(pattern.text for pattern in selection.patterns) or "numbers"
        self._figure = new_figure()
        self._picture = Picture(self._figure, awaited, tz)
        self._png = b""
        self.error: Exception | None = None
        self.pictures = 0
        self._thread = threading.Thread(target=self._work, name="intdash-frames-live-plot", daemon=True)
        self._first_drawn = threading.Event()
        self._widget: Widget | None = None
        self._thread.start()
        try:
            self._first_drawn.wait()
            if self.error is not None:
                raise self.error
            if make_widget is not None:
                self._widget = make_widget(lambda figure: Picture(figure, awaited, tz), self._fail)
                self._widget.give(self._see(self._widget.columns))
            if screen is not None:
                screen(None if make_widget is not None else self._png)
        except BaseException:
            self._screen = None  # nobody has a handle of this plot
            self._end()
            raise
        finally:
            self._shown.set()

    def __repr__(self) -> str:
        state = "failed" if self.error is not None else "live" if self._thread.is_alive() else "ended"
        return f"<LivePlot: {state}, drawn {self.pictures} times>"

    @property
    def figure(self) -> Figure:
        """The figure that is drawn: of no concern to pyplot, unless it is a widget."""
        return self._widget.figure if self._widget is not None else self._figure

    def png(self) -> bytes:
        """Give the picture as it is now; after the end, the last one."""
        if self._thread.is_alive() and not self._stopping.is_set():
            return self._redraw()
        return self._png

    def notice(self) -> None:
        """Hear that there are new data; from any thread, and it costs nothing."""
        self._notices += 1
        self._bell.set()

    def stop(self) -> None:
        """Draw the last picture, which stays, and end; calling it again does nothing."""
        self._end()
        self._thread.join(LAST_PICTURE_S)
        if self._thread.is_alive():
            logger.warning("%r is still being drawn; its thread ends with that", self)

    def _work(self) -> None:
        try:
            self._redraw()
            self._first_drawn.set()
            self._shown.wait()
            self._follow()
            self._finish()
        except Exception as exc:
            self._fail(exc)
        finally:
            self._first_drawn.set()

    def _follow(self) -> None:
        while True:
            self._bell.wait()
            self._bell.clear()
            if self._stopping.is_set():
                return
            self._heeded = self._notices
            begun = self._clock()
            if self._widget is not None:
                self._widget.give(self._see(self._widget.columns))
            else:
                self._show(self._redraw())
            took = self._clock() - begun
            # Where drawing is slow, half of the time is left to others.
            self._pause(max(self._period_s, 2 * took) - took)

    def _finish(self) -> None:
        if self._widget is not None or self._heeded != self._notices:
            self._show(self._redraw())
        if self._widget is not None:
            self._widget.close()

    def _show(self, png: bytes) -> None:
        if self._screen is not None:
            self._screen(png)

    def _redraw(self) -> bytes:
        with self._drawing:
            self._picture.draw(self._see(self._picture.columns))
            self._png = render(self._figure)
            self.pictures += 1
            return self._png

    def _see(self, columns: int) -> Scene:
        return see(self._window, self._selection, self._span_ns, columns)

    def _fail(self, exc: Exception) -> None:
        """End the plot, and nothing else."""
        if self.error is None:
            self.error = exc
            logger.error("a live plot has ended: %s", exc, exc_info=exc)
        self._end()

    def _end(self) -> None:
        self._stopping.set()
        self._bell.set()
