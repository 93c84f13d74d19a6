"""Arrow tables of points -> polars."""

from __future__ import annotations

from typing import Any

import polars as pl
import pyarrow as pa

__all__ = ["to_polars"]


def to_polars(table: pa.Table, tz: Any = "UTC") -> pl.DataFrame:
    """Give a table as a polars frame; ``time`` is a column in nanoseconds and the zone `tz`.

    Parameters
    ----------
    table : pyarrow.Table
    tz : str or tzinfo
        A zone of the tz database; polars knows no others, so that times of any other stay in UTC.
    """
    frame = pl.DataFrame(pl.from_arrow(table))
    zone = tz if isinstance(tz, str) else getattr(tz, "key", None)
    return frame if zone is None else frame.with_columns(pl.col("time").dt.convert_time_zone(zone))
