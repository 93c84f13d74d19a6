"""Numbers of a live window -> a picture: what is to be seen, thinned to the pixels, and drawn on a figure."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from intdash_frames.errors import UsageError
from intdash_frames.frames.selection import Selection
from intdash_frames.frames.typed import SENSOR_FIELDS
from intdash_frames.frames.wide import NUMERIC

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    from intdash_frames.model import SignalKey

__all__ = ["Curve", "Picture", "Scene", "Window", "new_figure", "render", "see", "thinned"]

# More would be too low to be read; the picture says how many there are beyond.
MOST_AXES: Final = 8
WIDTH_INCHES, AXES_INCHES, MARGIN_INCHES, DPI = 10.0, 1.7, 0.55, 100
# Ticks at less than milliseconds run into each other, and matplotlib warns of them.
SHORTEST_NS: Final = 10**8
# Beyond it, the margins of an axis overflow a double.
LARGEST: Final = 1e300
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


def new_figure() -> Figure:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH_INCHES, AXES_INCHES + MARGIN_INCHES), dpi=DPI, facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def render(figure: Figure) -> bytes:
    png = io.BytesIO()
    canvas: Any = figure.canvas
    canvas.print_png(png, pil_kwargs={"compress_level": 1})
    return png.getvalue()
