"""The vendor's time helpers, over `timebase`: exact, and never without a zone.

Source: protocol 1.4.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

from intdash_frames import timebase
from intdash_frames.errors import UsageError

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "micro2timedelta",
    "str2timestamp",
    "timedelta2micro",
    "timestamp2str",
    "timestamp2unix",
    "timestamp2unixmicro",
    "unix2timestamp",
]


def timestamp2unixmicro(ts: Any) -> int:
    """Whole microseconds since the Unix epoch [us], nanoseconds cut off.

    Raises
    ------
    UsageError
        If `ts` has no time zone.
    """
    return timebase.to_micro(timebase.moment_ns(ts, name="ts"))


def timestamp2unix(ts: Any) -> tuple[int, int]:
    """Seconds since the Unix epoch [s] and nanoseconds in that second [ns].

    Raises
    ------
    UsageError
        If `ts` has no time zone.
    """
    return divmod(timebase.moment_ns(ts, name="ts"), 1_000_000_000)


def unix2timestamp(unix_sec: int, unix_nano: int, tz: str | dt.tzinfo = "UTC") -> pd.Timestamp:
    """The moment of `timestamp2unix`, in the zone `tz`."""
    for name, value in (("unix_sec", unix_sec), ("unix_nano", unix_nano)):
        if isinstance(value, bool) or not hasattr(value, "__index__"):
            raise UsageError(f"{name}={value!r} is {type(value).__name__}, expected a whole number")
    time_ns = int(unix_sec) * 1_000_000_000 + int(unix_nano)
    if not timebase.INT64_MIN < time_ns <= timebase.INT64_MAX:
        raise UsageError(f"unix_sec={unix_sec!r} is outside the years 1678 to 2262")
    return timebase.timestamp(time_ns).tz_convert(timebase.zone(tz))


def timedelta2micro(td: Any) -> int:
    """Whole microseconds of a duration [us], nanoseconds cut off."""
    return timebase.to_micro(timebase.duration_ns(td, name="td"))


def micro2timedelta(micro: int) -> pd.Timedelta:
    """The duration of whole microseconds [us]."""
    return timebase.timedelta(timebase.from_micro(micro))


def timestamp2str(ts: Any) -> str:
    """RFC 3339 text in UTC with nine digits.

    Raises
    ------
    UsageError
        If `ts` has no time zone.

    Examples
    --------
    >>> timestamp2str(str2timestamp("2020-01-01T09:00:00+09:00"))
    '2020-01-01T00:00:00.000000000Z'
    """
    return timebase.to_iso(timebase.moment_ns(ts, name="ts"))


def str2timestamp(s: str) -> pd.Timestamp:
    """The moment of a text with a zone, in UTC.

    Raises
    ------
    UsageError
        If the text has no zone or is no moment.
    """
    return timebase.timestamp(timebase.moment_ns(s, name="s"))
