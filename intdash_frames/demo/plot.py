"""The picture at the end of the demo: what was driven, what the phone felt, what was derived."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from intdash_frames.frames.query import Frames

__all__ = ["plot"]

SPEED, MEASURED, DERIVED, MUTED, INK = "#1f6f8b", "#b9c4cc", "#d1495b", "#8a949b", "#263238"
STYLE: Final[dict[Any, Any]] = {
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "font.size": 10,
    "grid.color": "#e6eaed",
    "xtick.color": INK,
    "ytick.color": INK,
}


def plot(recorded: Frames, derived: Frames) -> Figure:
    """Draw speed, acceleration and jerk over time.

    Parameters
    ----------
    recorded : Frames
        The drive.
    derived : Frames
        ``float:10/acceleration`` [m/s²] and ``float:10/jerk`` [m/s³].

    Returns
    -------
    matplotlib.figure.Figure
        Not one of pyplot's: no window, and nothing that a caller's own plots would meet.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    speed, felt = recorded["float:1/speed"]["value"], recorded["general_sensor:2/0001"]["ax"]
    events = recorded["string:1/event"]["value"]
    acceleration, jerk = (derived[f"float:10/{name}"]["value"] for name in ("acceleration", "jerk"))
    start = min(each.index[0] for each in (speed, felt, events))

    def seconds(series: pd.Series) -> Any:
        return (series.index - start).total_seconds()

    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(11, 7.5), dpi=120, layout="constrained")
        top, middle, bottom = figure.subplots(3, 1, sharex=True, height_ratios=(3, 2.4, 2))
        top.fill_between(seconds(speed), speed, color=SPEED, alpha=0.15, linewidth=0)
        top.plot(seconds(speed), speed, color=SPEED, linewidth=1.8)
        top.set_ylabel("speed [km/h]")
        top.set_ylim(bottom=0, top=float(speed.max()) * 1.5)
        middle.plot(seconds(felt), felt.astype(float), color=MEASURED, linewidth=0.6, label="felt by the phone")
        middle.plot(seconds(acceleration), acceleration, color=DERIVED, linewidth=1.6, label="derived from speed")
        middle.set_ylabel("acceleration [m/s²]")
        middle.legend(loc="upper right", frameon=False, ncols=2)
        bottom.plot(seconds(jerk), jerk, color=DERIVED, linewidth=1.2)
        bottom.set_ylabel("jerk [m/s³]")
        bottom.set_xlabel(f"time since {start:%Y-%m-%d %H:%M:%S} UTC [s]")
        bottom.set_xlim(0, float(seconds(speed)[-1]))
        figure.align_ylabels()
        for axes in (top, middle, bottom):
            axes.grid(True)
            axes.set_axisbelow(True)
            for at in seconds(events):
                axes.axvline(at, color=MUTED, linewidth=0.7, linestyle=(0, (3, 3)))
        for at, event in zip(seconds(events), events, strict=True):
            top.annotate(
                event,
                (at, 1),
                (3, -4),
                xycoords=("data", "axes fraction"),
                textcoords="offset points",
                rotation=90,
                va="top",
                color=INK,
                fontsize=8,
            )
        top.set_title("A two-minute drive, recorded, read back and differentiated", loc="left", color=INK, fontsize=13, pad=12)
        figure.draw_without_rendering()  # ticks take their style when they are first drawn, so that must be here
    return figure
