"""``df.intdash`` for pandas and polars: calls functions, holds nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pandas as pd

from intdash_frames.errors import UsageError
from intdash_frames.frames.attributes import ATTRIBUTE

if TYPE_CHECKING:
    from intdash_frames.frames.store import StoreResult

__all__ = ["IntdashAccessor", "PolarsNamespace", "register_pandas", "register_polars"]


class NoTimeIndex(UsageError, AttributeError):
    """A frame without a time index has no ``df.intdash``; pandas and `hasattr` take this as an attribute that is not there."""


class IntdashAccessor:
    """What a pandas frame of measured data can do.

    pandas makes it anew on every access, so it holds nothing but the frame.
    """

    def __init__(self, frame: pd.DataFrame) -> None:
        if not isinstance(frame.index, (pd.DatetimeIndex, pd.TimedeltaIndex)):
            raise NoTimeIndex(
                "df.intdash needs a DatetimeIndex or TimedeltaIndex; this index is a "
                f"{type(frame.index).__name__} of {frame.index.dtype}, try df.set_index(pd.to_datetime(df['time'], utc=True))"
            )
        self._frame = frame

    @property
    def meta(self) -> Mapping[str, Any]:
        """Where the frame came from: source, query, shape, units; empty for a frame that was never ours."""
        meta: Mapping[str, Any] = self._frame.attrs.get(ATTRIBUTE, {})
        return meta

    @property
    def units(self) -> Mapping[str, str]:
        """Units by column, where they are known."""
        units: Mapping[str, str] = self.meta.get("units", {})
        return units

    def store(self, measurement: Any = None, **options: Any) -> StoreResult:
        """Store the frame; arguments are those of `intdash_frames.store`."""
        from intdash_frames.frames.store import store

        return store(self._frame, measurement, **options)


class PolarsNamespace:
    """What a polars frame of measured data can do."""

    def __init__(self, frame: Any) -> None:
        self._frame = frame

    def store(self, measurement: Any = None, **options: Any) -> StoreResult:
        """Store the frame, whose stamps are in column ``time``; arguments are those of `intdash_frames.store`."""
        from intdash_frames.frames.store import store

        return store(self._frame, measurement, **options)


def register_pandas() -> None:
    """Make ``df.intdash`` known to pandas."""
    pd.api.extensions.register_dataframe_accessor(ATTRIBUTE)(IntdashAccessor)


def register_polars() -> None:
    """Make ``df.intdash`` known to polars."""
    import polars as pl

    pl.api.register_dataframe_namespace(ATTRIBUTE)(PolarsNamespace)
