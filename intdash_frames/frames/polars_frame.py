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
        A zone with a name of the tz database.
    """
    frame = pl.DataFrame(pl.from_arrow(table))
    zone = getattr(tz, "key", None) or str(tz)
    return (
        frame if zone == "UTC" or "time" not in frame.columns else frame.with_columns(pl.col("time").dt.convert_time_zone(zone))
    )
