"""A picture of live data that follows them: what `Live.plot` gives.

Everything is drawn by one thread of the plot's own, on a figure that nobody else has and pyplot knows nothing of; what a notebook
shows is replaced by the new picture. Only where a notebook has widgets (ipympl), the figure on the screen is drawn by the thread of
the kernel, when its event loop is free.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import logging
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from intdash_frames import timebase
from intdash_frames.errors import UsageError
from intdash_frames.frames.selection import Selection, select
from intdash_frames.frames.typed import SENSOR_FIELDS
from intdash_frames.frames.wide import NUMERIC

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    from intdash_frames.model import SignalKey

__all__ = ["Curve", "LivePlot", "Scene", "Screen", "plot", "see", "thinned"]

logger = logging.getLogger("intdash_frames.live")

MOST_HZ: Final = 10.0
# More would be too low to be read; the title says how many there are beyond.
MOST_AXES: Final = 8
WIDTH_INCHES, AXES_INCHES, MARGIN_INCHES, DPI = 10.0, 1.7, 0.55, 100
# Ticks at less than milliseconds run into each other, and matplotlib warns of them.
SHORTEST_NS: Final = 10**8
# Beyond it, the margins of an axis overflow a double.
LARGEST: Final = 1e300
# The last picture is drawn while everything ends, which takes two seconds at most.
LAST_PICTURE_S: Final = 1.5
COLORS: Final = ("#1f6f8b", "#d1495b", "#edae49", "#66a182", "#5f4b8b", "#8a949b")
MUTED, INK, GRID = "#8a949b", "#263238", "#e6eaed"


# --- what is to be seen ---


class Window(Protocol):
    """What of a `RollingFrame` is looked at."""

    @property
    def signals(self) -> list[SignalKey]:
        """The signals in the window."""
        ...

    def __getitem__(self, signal: SignalKey) -> pd.DataFrame:
        """The typed frame of one of them."""
        ...


@dataclass(frozen=True, slots=True)
class Curve:
    """The numbers of one field of a signal.

    Attributes
    ----------
    signal : str
        ``"float:1/speed"``; the curves of a signal share its axes.
    field : str
    unit : str
    time_ns : ndarray of int64, shape (n,)
        Ascending [ns since the epoch].
    values : ndarray of float64, shape (n,)
        NaN where there is nothing that could be drawn.
    """

    signal: str
    field: str
    unit: str
    time_ns: NDArray[np.int64]
    values: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Scene:
    """What a picture shows.

    Attributes
    ----------
    curves : sequence of Curve
    start_ns, end_ns : int
        What the time axis spans [ns since the epoch].
    left_out : int
        Signals that there was no room for [count].
    """

    curves: Sequence[Curve]
    start_ns: int = 0
    end_ns: int = SHORTEST_NS
    left_out: int = 0


def see(window: Window, selection: Selection, span_ns: int | None, columns: int) -> Scene:
    """Look at a window.

    Parameters
    ----------
    window : RollingFrame
    selection : Selection
        Which signals; of these, those that are numbers.
    span_ns : int or None
        How much to show, counted back from the newest point shown [ns]; None shows all there is.
    columns : int
        How wide the axes are [pixel].
    """
    numeric = [key for key in window.signals if key.data_type in NUMERIC]
    meant = [key for key in numeric if not selection.patterns or any(pattern.matches(key) for pattern in selection.patterns)]
    found = []
    for key in meant[:MOST_AXES]:
        with contextlib.suppress(UsageError):  # it has left the window since
            found += _curves(key, window[key])
    found = [curve for curve in found if len(curve.time_ns)]
    left_out = max(0, len(meant) - MOST_AXES)
    if not found:
        return Scene((), left_out=left_out)
    end_ns = max(int(curve.time_ns[-1]) for curve in found)
    start_ns = end_ns - span_ns if span_ns is not None else min(int(curve.time_ns[0]) for curve in found)
    start_ns = min(start_ns, end_ns - SHORTEST_NS)
    return Scene([_cut(curve, start_ns, end_ns, columns) for curve in found], start_ns, end_ns, left_out)


def _curves(key: SignalKey, frame: pd.DataFrame) -> list[Curve]:
    units: Mapping[str, str] = frame.attrs.get("intdash", {}).get("units", {})
    time_ns = frame.index.asi8
    names = [name for name in frame.columns if name == "value" or name in SENSOR_FIELDS]
    curves = []
    for name in names:
        values = frame[name].to_numpy(dtype=np.float64, na_value=np.nan)
        with np.errstate(invalid="ignore"):
            drawable = np.where(np.abs(values) <= LARGEST, values, np.nan)
        if not np.isnan(drawable).all():  # the fields of other sensors
            curves.append(Curve(str(key), name, units.get(name, ""), time_ns, drawable))
    return curves


def _cut(curve: Curve, start_ns: int, end_ns: int, columns: int) -> Curve:
    # One point before the start, so that the line comes in from the edge.
    first = max(0, int(np.searchsorted(curve.time_ns, start_ns)) - 1)
    time_ns, values = curve.time_ns[first:], curve.values[first:]
    rows = thinned(time_ns, values, start_ns, end_ns, columns)
    return Curve(curve.signal, curve.field, curve.unit, time_ns[rows], values[rows])


def thinned(
    time_ns: NDArray[np.int64], values: NDArray[np.float64], start_ns: int, end_ns: int, columns: int
) -> NDArray[np.int64]:
    """Choose the points that make the same picture as all: of each column of pixels the first, lowest, highest and last.

    Parameters
    ----------
    time_ns : ndarray of int64, shape (n,)
        Ascending [ns].
    values : ndarray of float64, shape (n,)
    start_ns, end_ns : int
        What the axis spans [ns].
    columns : int
        How wide it is [pixel].

    Returns
    -------
    ndarray of int64
        Rows, ascending: at most four for each column, and those before `start_ns`; all where there are no more than that.
    """
    if len(time_ns) <= 4 * columns:
        return np.arange(len(time_ns))
    step_ns = max(1, -((start_ns - end_ns) // columns))
    column = (time_ns - start_ns) // step_ns
    firsts = np.flatnonzero(np.diff(column, prepend=column[0] - 1))
    counts = np.diff(firsts, append=len(column))
    extremes = [
        _first_of_each(values == np.repeat(extreme.reduceat(values, firsts), counts), firsts) for extreme in (np.fmin, np.fmax)
    ]
    return np.unique(np.concatenate([firsts, *extremes, firsts + counts - 1]))


def _first_of_each(meant: NDArray[np.bool_], firsts: NDArray[np.int64]) -> NDArray[np.int64]:
    """The first row that is meant in each group; none for a group that has only NaN."""
    rows = np.flatnonzero(meant)
    _, at = np.unique(np.searchsorted(firsts, rows, side="right"), return_index=True)
    return rows[at]


# --- the picture of it ---


class Picture:
    """Draws scenes on a figure, which must belong to the thread that does so.

    Parameters
    ----------
    figure : Figure
    awaited : str
        What to wait for while there is nothing.
    tz : tzinfo
        Of the time axis.
    """

    def __init__(self, figure: Figure, awaited: str, tz: Any) -> None:
        self._figure, self._awaited, self._tz = figure, awaited, tz
        self._axes: dict[str, Axes] = {}
        self._lines: dict[tuple[str, str], Line2D] = {}
        self._drawn: object = None

    @property
    def columns(self) -> int:
        """Width of the figure [pixel]."""
        return max(1, int(self._figure.bbox.width))

    def draw(self, scene: Scene) -> None:
        """Bring the figure up to date; this renders nothing."""
        date2num = _dates().date2num
        shape = ([(curve.signal, curve.field) for curve in scene.curves], scene.left_out)
        if shape != self._drawn:
            self._arrange(scene)
            self._drawn = shape
        for curve in scene.curves:
            self._lines[curve.signal, curve.field].set_data(date2num(curve.time_ns.view("M8[ns]")), curve.values)
        for signal, axes in self._axes.items():
            # With a height of its own it need not be sought anew in each drawing.
            axes.set_title(_heading([curve for curve in scene.curves if curve.signal == signal]), **_TITLE)
            axes.set_xlim(*date2num(np.asarray([scene.start_ns, scene.end_ns]).view("M8[ns]")))
            axes.relim()
            axes.autoscale_view(scalex=False)

    def _arrange(self, scene: Scene) -> None:
        """Make axes for the signals, one under the other."""
        figure, signals = self._figure, list(dict.fromkeys(curve.signal for curve in scene.curves))
        figure.clear()
        self._axes, self._lines = {}, {}
        figure.set_size_inches(WIDTH_INCHES, AXES_INCHES * max(1, len(signals)) + MARGIN_INCHES)
        high = float(figure.get_size_inches()[1])
        if not signals:
            figure.text(0.5, 0.5, f"waiting for {self._awaited}", ha="center", color=MUTED, parse_math=False)
            return
        figure.subplots_adjust(left=0.07, right=0.985, top=1 - 0.3 / high, bottom=0.42 / high, hspace=0.42)
        many = figure.subplots(len(signals), 1, sharex=True, squeeze=False)[:, 0]
        # Not by rcParams: those are the whole process's, and the user's own plots are drawn meanwhile.
        for axes, signal in zip(many, signals, strict=True):
            self._axes[signal] = axes
            curves = [curve for curve in scene.curves if curve.signal == signal]
            for number, curve in enumerate(curves):
                color = COLORS[number % len(COLORS)]
                (self._lines[signal, curve.field],) = axes.plot([], [], color=color, linewidth=1.2, label=curve.field)
            if len(curves) > 1:
                axes.legend(loc="upper left", frameon=False, fontsize=8, ncols=len(curves))
            for side in ("top", "right"):
                axes.spines[side].set_visible(False)
            axes.tick_params(colors=INK, labelsize=8)
            axes.grid(True, color=GRID)
            axes.set_axisbelow(True)
            axes.xaxis_date(self._tz)
        locator = _dates().AutoDateLocator(tz=self._tz)
        many[-1].xaxis.set_major_locator(locator)
        many[-1].xaxis.set_major_formatter(_dates().ConciseDateFormatter(locator, tz=self._tz))
        if scene.left_out:
            more = f"and {scene.left_out} more signals"
            figure.text(0.985, 1 - 0.08 / high, more, ha="right", va="top", fontsize=8, color=MUTED)


# An id may hold a dollar sign, which would begin a formula.
_TITLE: Final[dict[str, Any]] = {"loc": "left", "fontsize": 9, "color": INK, "y": 1.0, "pad": 4, "parse_math": False}


def _heading(curves: Sequence[Curve]) -> str:
    """The signal and what it was last."""
    first = curves[0]
    newest = f"{first.values[-1]:.6g} " if len(curves) == 1 else ""
    return f"{first.signal}   {newest}{first.unit}".rstrip()


def _dates() -> Any:
    from matplotlib import dates

    return dates


def _figure() -> Figure:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH_INCHES, AXES_INCHES + MARGIN_INCHES), dpi=DPI, facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def _render(figure: Figure) -> bytes:
    png = io.BytesIO()
    canvas: Any = figure.canvas
    canvas.print_png(png, pil_kwargs={"compress_level": 1})
    return png.getvalue()


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
        from IPython.display import Image, display  # type: ignore[import-not-found]

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
    from IPython import get_ipython  # type: ignore[import-not-found]

    return getattr(get_ipython(), "kernel", None) is not None


def _widget_maker() -> Callable[[Callable[[Figure], Picture], Callable[[Exception], object]], Widget] | None:
    """How to make a widget, where the notebook has them and its event loop is that of this thread."""
    import matplotlib as mpl

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
            figure = pyplot.figure(figsize=(WIDTH_INCHES, AXES_INCHES + MARGIN_INCHES))
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
        self._is_fresh = False
        self._pause = pause if pause is not None else self._stopping.wait
        self._drawing = threading.Lock()
        awaited = ", ".join(pattern.text for pattern in selection.patterns) or "numbers"
        self._figure = _figure()
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
        self._is_fresh = True
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
            self._is_fresh = False
            begun = self._clock()
            if self._widget is not None:
                self._widget.give(self._see(self._widget.columns))
            else:
                self._show(self._redraw())
            took = self._clock() - begun
            # Where drawing is slow, half of the time is left to others.
            self._pause(max(self._period_s, 2 * took) - took)

    def _finish(self) -> None:
        if self._widget is not None or self._is_fresh:
            self._show(self._redraw())
        if self._widget is not None:
            self._widget.close()

    def _show(self, png: bytes) -> None:
        if self._screen is not None:
            self._screen(png)

    def _redraw(self) -> bytes:
        with self._drawing:
            self._picture.draw(self._see(self._picture.columns))
            self._png = _render(self._figure)
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
