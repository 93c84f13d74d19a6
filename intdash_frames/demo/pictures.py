"""Small dashboard pictures, as JPEG files."""

from __future__ import annotations

import io
import math

__all__ = ["dashboard"]

SIZE_PIXELS = (320, 180)
DPI = 80
FULL_SPEED_KMH, FULL_RPM = 180.0, 7000.0


def dashboard(*, speed_kmh: float, engine_rpm: float, gear: int, elapsed_s: float) -> bytes:
    """Draw speed and engine speed as two dials.

    Parameters
    ----------
    speed_kmh : float
        Speed [km/h].
    engine_rpm : float
        Engine speed [1/min].
    gear : int
        Gear engaged.
    elapsed_s : float
        Time since the start of the drive [s].

    Returns
    -------
    bytes
        A JPEG file of 320 by 180 pixels; the same values give the same bytes.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(SIZE_PIXELS[0] / DPI, SIZE_PIXELS[1] / DPI), dpi=DPI, facecolor="black")
    FigureCanvasAgg(figure)  # makes itself the figure's canvas, so that no window system is asked for
    axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    axes.set(xlim=(0, 16), ylim=(0, 9))
    axes.axis("off")
    for centre_x, share, label in (
        (4.2, speed_kmh / FULL_SPEED_KMH, f"{speed_kmh:.0f} km/h"),
        (11.8, engine_rpm / FULL_RPM, f"{engine_rpm:.0f} rpm"),
    ):
        sweep = [math.radians(225 - 270 * step / 48) for step in range(49)]
        axes.plot([centre_x + 3 * math.cos(a) for a in sweep], [5 + 3 * math.sin(a) for a in sweep], color="white", linewidth=2)
        needle = math.radians(225 - 270 * min(max(share, 0.0), 1.0))
        axes.plot([centre_x, centre_x + 2.7 * math.cos(needle)], [5, 5 + 2.7 * math.sin(needle)], color="orangered", linewidth=3)
        axes.text(centre_x, 1.4, label, color="white", ha="center", va="center", fontsize=11)
    axes.text(8, 5, str(gear), color="white", ha="center", va="center", fontsize=15)
    axes.text(8, 0.5, f"{elapsed_s:.1f} s", color="grey", ha="center", va="center", fontsize=7)
    file = io.BytesIO()
    figure.savefig(file, format="jpg", pil_kwargs={"quality": 80})
    return file.getvalue()
