"""Frames -> a `dask.dataframe`, a partition of the query for each of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from intdash_frames.errors import MissingDependency
from intdash_frames.frames import build
from intdash_frames.frames.partitions import Partition, planned
from intdash_frames.frames.shape import Shape, shape_of
from intdash_frames.frames.survey import Survey

if TYPE_CHECKING:
    from intdash_frames.frames.query import Frames

__all__ = ["read", "to_dask"]


def to_dask(frames: Frames, npartitions: int | None = None, *, token_source: Any = None) -> Any:
    """Give frames as a Dask frame; see `Frames.to_dask`."""
    try:
        import dask.dataframe as dd
        from dask.dataframe.utils import clear_known_categories
    except ImportError as exc:
        raise MissingDependency(exc.name or "dask", "dask") from exc

    survey = Survey(frames._connection, frames._query)
    shape = survey.shape if frames._reads_a_server else None
    partitions = planned(frames, npartitions, token_source=token_source, survey=survey, held=shape is None)
    if shape is None:
        shape = shape_of(build.signal_codes(frames._points())[1])
    meta = clear_known_categories(shape.frame([], frames.meta, frames._tz))
    # Each partition begins where the one before it ends.
    bounds = [*(each.start_ns for each in partitions), partitions[-1].end_ns]
    divisions = pd.DatetimeIndex(pd.to_datetime(bounds, utc=True, unit="ns")).as_unit("ns").tz_convert(frames._tz)
    return dd.from_map(read, partitions, shape=shape, meta=meta, divisions=tuple(divisions), label="intdash-frames")


def read(partition: Partition, *, shape: Shape) -> pd.DataFrame:
    """Read one partition as a frame of the columns that all of them have."""
    try:
        return partition.frames()._shaped(shape)
    finally:
        partition.close()
