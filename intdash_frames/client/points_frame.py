"""Points in columns as a plain long frame, a row a point, payloads as they came. `frames` decodes them.

Source: protocol 3.3.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from intdash_frames.codecs.layout import Values
from intdash_frames.codecs.points import Points
from intdash_frames.codecs.series import Series, SeriesTable

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["frame_of_points"]


def frame_of_points(parts: Sequence[Points], basetimes_ns: Mapping[str, int] | None = None) -> pd.DataFrame:
    """Give points as a frame.

    Parameters
    ----------
    parts : sequence of Points
        Of one read; times since the epoch.
    basetimes_ns : mapping of str to int, optional
        By measurement UUID [ns]; the first column is then the time that elapsed since.

    Returns
    -------
    pandas.DataFrame
        Columns ``time`` (ns, UTC) or ``elapsed_time``, ``measurement_uuid`` and ``data_id`` (categories), ``data_type`` (null for
        the textual types of newer servers), ``channel`` (null where an id names none) and ``data_payload`` (binary, backed by
        Arrow).
    """
    import pandas as pd

    keys = parts[0].keys if parts else SeriesTable()
    series = np.concatenate([np.empty(0, np.int32), *(part.series for part in parts)])
    time_ns = np.concatenate([np.empty(0, np.int64), *(part.time_ns for part in parts)])

    def category(of: Callable[[Series], str]) -> pd.Categorical:
        numbers: dict[str, int] = {}
        codes = np.asarray([numbers.setdefault(of(key), len(numbers)) for key in keys], np.int32)
        return pd.Categorical.from_codes(
            codes[series], categories=pd.Index(list(numbers), dtype="str")
        ).remove_unused_categories()

    def number(of: Callable[[Series], int | None]) -> Any:
        values = [of(key) for key in keys]
        absent = np.asarray([value is None for value in values], np.bool_)
        return pd.arrays.IntegerArray(np.asarray([value or 0 for value in values], np.int64)[series], absent[series])

    columns: dict[str, Any] = {}
    if basetimes_ns is None:
        columns["time"] = pd.DatetimeIndex(time_ns.view("M8[ns]")).tz_localize("UTC")
    else:
        # a base time is known of each measurement that has points, which not every series of the table has
        begins = np.asarray([basetimes_ns.get(key.measurement_uuid, 0) for key in keys], np.int64)
        columns["elapsed_time"] = pd.TimedeltaIndex((time_ns - begins[series]).view("m8[ns]"))
    columns["measurement_uuid"] = category(lambda key: key.measurement_uuid)
    columns["data_type"] = number(lambda key: key.data_type)
    columns["data_id"] = category(lambda key: key.data_id)
    columns["channel"] = number(lambda key: key.channel)
    columns["data_payload"] = pd.arrays.ArrowExtensionArray(pa.chunked_array([_payloads(part) for part in parts], pa.binary()))
    return pd.DataFrame(columns, copy=False)


def _payloads(points: Points) -> pa.Array:
    start = points.offsets[0]
    return Values(points.data[start : points.offsets[-1]], points.offsets - start).to_arrow(pa.binary())
