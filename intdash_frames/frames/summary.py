"""A row a signal: how many points, from when to when, how fast, with how many holes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from intdash_frames.codecs.points import Points
from intdash_frames.codecs.series import Series
from intdash_frames.codecs.table import SENSORS
from intdash_frames.frames import build
from intdash_frames.model import DataType

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["GAP_FACTOR", "summary"]

# A step between neighbours is a gap when it is over this many median steps.
GAP_FACTOR = 10


def summary(
    parts: Sequence[Points], codes: NDArray[np.int32], keys: Sequence[Series], *, labels: Sequence[str], tz: Any
) -> pd.DataFrame:
    """See `Frames.summary`.

    Parameters
    ----------
    parts : sequence of Points
    codes : ndarray of int32
        Signal by series code.
    keys : sequence of Series
        One series of each signal.
    labels : sequence of str
        Labels that were asked for.
    tz : str or tzinfo
        Zone of the moments.
    """
    import pandas as pd

    times = np.concatenate([part.time_ns for part in parts]) if parts else np.empty(0, np.int64)
    signals = np.concatenate([codes[part.series] for part in parts]) if parts else np.empty(0, np.int32)
    order = np.lexsort((times, signals))
    bounds = np.searchsorted(signals[order], np.arange(len(keys) + 1))
    rows = []
    for number, key in enumerate(keys):
        stamps = times[order[bounds[number] : bounds[number + 1]]]
        steps = np.diff(stamps)
        span = int(stamps[-1] - stamps[0])
        gaps = int((steps > GAP_FACTOR * max(float(np.median(steps)), 1.0)).sum()) if len(steps) > 1 else 0
        rate = (len(stamps) - 1) / span * 1e9 if span else np.nan
        kind = build.signal_key(key).data_type
        label = key.data_id if key.data_id in labels else None
        name = kind.name if isinstance(kind, DataType) else str(kind)
        rows.append((name, key.channel, key.data_id, label, _unit(key), len(stamps), stamps[0], stamps[-1], rate, gaps))
    columns = ["type", "channel", "id", "label", "unit", "points", "first", "last", "rate_hz", "gaps"]
    frame = pd.DataFrame(rows, columns=columns)
    for name in ("first", "last"):
        frame[name] = pd.DatetimeIndex(frame[name].to_numpy(np.int64).view("M8[ns]")).tz_localize("UTC").tz_convert(tz)
    text = pd.Series([""]).dtype  # pandas 2 has no text type of its own, and as "str" would write "None"
    return frame.astype(
        {
            "type": text,
            "id": text,
            "label": text,
            "unit": text,
            "channel": "UInt8",
            "points": "int64",
            "rate_hz": "float64",
            "gaps": "int64",
        }
    )


def _unit(key: Series) -> str | None:
    if key.data_type != DataType.general_sensor:
        return None
    return next((sensor.unit for number, sensor in SENSORS.items() if f"{number:04x}" == key.data_id.lower()), None)
