"""The only place that converts time.

Inside the package a moment is an ``int``: nanoseconds since the Unix epoch in UTC. On the wire it is RFC 3339 text with nine
digits, or whole microseconds. For users it is a `pandas.Timestamp` (UTC, ns). Nothing goes through a float, no zone is guessed.

Source of the wire forms: protocol 1.4.
"""

from __future__ import annotations

import datetime as dt
import re
import zoneinfo
from typing import TYPE_CHECKING, Any, Final

from intdash_frames.errors import UsageError

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "INT64_MAX",
    "INT64_MIN",
    "duration_ns",
    "from_iso",
    "from_micro",
    "moment_ns",
    "timedelta",
    "timestamp",
    "to_iso",
    "to_micro",
    "zone",
]

INT64_MIN: Final = -(2**63)
INT64_MAX: Final = 2**63 - 1

_EPOCH: Final = dt.datetime(1970, 1, 1)
_RFC3339: Final = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))?(?:[Zz]|([+-])(\d\d):?([0-5]\d))", re.ASCII
)
_UNITLESS_NUMBER: Final = re.compile(r"\s*[+-]?\d+(\.\d*)?\s*")


def to_iso(time_ns: int) -> str:
    """Write a moment as RFC 3339 text with nine digits.

    Parameters
    ----------
    time_ns : int
        Nanoseconds since the Unix epoch [ns]; any int64.

    Examples
    --------
    >>> to_iso(1594283650832607123)
    '2020-07-09T08:34:10.832607123Z'
    >>> to_iso(-1)
    '1969-12-31T23:59:59.999999999Z'
    """
    seconds, nanos = divmod(int(time_ns), 1_000_000_000)
    return f"{(_EPOCH + dt.timedelta(seconds=seconds)).isoformat()}.{nanos:09d}Z"


def from_iso(text: str | None) -> int | None:
    """Read RFC 3339 text with 0 to 9 fractional digits and a zone.

    Returns
    -------
    int or None
        Nanoseconds since the Unix epoch [ns]; None for null, empty or unparsable text, for text without a zone, and for a moment
        outside int64 (servers written in Go say ``0001-01-01T00:00:00Z`` for "never").

    Examples
    --------
    >>> from_iso("2020-07-09T17:34:10.5+09:00")
    1594283650500000000
    >>> from_iso("2020-07-09 08:34:10") is None
    True
    """
    match = _RFC3339.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        return None
    *calendar, fraction, sign, hours, minutes = match.groups()
    try:
        seconds = (dt.datetime(*map(int, calendar)) - _EPOCH) // dt.timedelta(seconds=1)  # type: ignore[arg-type]
    except ValueError:  # the 30th of February, second 60
        return None
    if sign:
        offset_s = 3600 * int(hours) + 60 * int(minutes)
        seconds -= offset_s if sign == "+" else -offset_s
    time_ns = seconds * 1_000_000_000 + int((fraction or "").ljust(9, "0"))
    return time_ns if INT64_MIN <= time_ns <= INT64_MAX else None


def to_micro(time_ns: int) -> int:
    """Cut nanoseconds to whole microseconds, as dropping the last three digits of the RFC 3339 text does; before 1970 too.

    Examples
    --------
    >>> to_micro(1594283650832607999), to_micro(-1)
    (1594283650832607, -1)
    """
    return int(time_ns) // 1000


def from_micro(us: int) -> int:
    """Nanoseconds of whole microseconds."""
    return int(us) * 1000


def zone(tz: str | dt.tzinfo) -> dt.tzinfo:
    """Turn the name of a time zone into a ``tzinfo``.

    Raises
    ------
    UsageError
        If there is no such zone.
    """
    if isinstance(tz, dt.tzinfo):
        return tz
    if isinstance(tz, str) and tz.upper() == "UTC":
        return dt.UTC
    try:
        return zoneinfo.ZoneInfo(tz)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, TypeError, OSError) as exc:
        raise UsageError(f"tz={tz!r} is no time zone; give a name such as 'Asia/Tokyo', 'UTC', or a tzinfo") from exc


def moment_ns(value: Any, *, tz: str | dt.tzinfo | None = None, name: str = "time") -> int:
    """Read anything that pandas takes as a moment.

    Parameters
    ----------
    value : str, datetime, pandas.Timestamp, numpy.datetime64
        A moment with a zone, or without one if `tz` says which it is. ``"now"`` is now.
    tz : str or tzinfo, optional
        The zone of a moment that has none.
    name : str
        What the error calls the value.

    Returns
    -------
    int
        Nanoseconds since the Unix epoch [ns].

    Raises
    ------
    UsageError
        For a number (its unit is unknown), a moment without a zone, a missing value, or one outside the years 1678 to 2262.
    """
    import numpy as np
    import pandas as pd

    if isinstance(value, (bool, int, float, np.number, np.bool_)):
        raise UsageError(f"{name}={value!r} is a number without a unit; say it: pd.Timestamp({value!r}, unit='ns', tz='UTC')")
    if isinstance(value, str) and value.strip().lower() == "now":
        return int(pd.Timestamp.now("UTC").as_unit("ns").value)
    if isinstance(value, str) and _UNITLESS_NUMBER.fullmatch(value) and len(value.strip()) > 8:
        raise UsageError(f"{name}={value!r} is a number without a unit; give ISO 8601 text such as '2020-07-09T08:34:10Z'")
    try:
        moment = pd.Timestamp(value)
        if moment is pd.NaT:
            raise UsageError(f"{name}={value!r} is no moment; give one such as '2020-07-09T08:34:10Z'")
        if moment.tzinfo is None:
            if tz is None:
                raise UsageError(f"{name}={value!r} has no time zone; write '{moment.isoformat()}Z' for UTC, or say tz=")
            # pandas 2 and 3 raise different kinds of errors here; both can be told to give NaT.
            moment = moment.tz_localize(zone(tz), ambiguous="NaT", nonexistent="NaT")
            if moment is pd.NaT:
                raise UsageError(f"{name}={value!r} comes twice or never in {tz} (clock change); give its offset, as in +01:00")
        return int(moment.as_unit("ns").value)
    except UsageError:
        raise
    except (ValueError, TypeError, OverflowError) as exc:
        raise UsageError(f"{name}={value!r} is no moment between 1678 and 2262: {exc}") from exc


def duration_ns(value: Any, *, name: str = "duration") -> int:
    """Read anything that pandas takes as a duration with a unit.

    Parameters
    ----------
    value : str, timedelta, pandas.Timedelta, numpy.timedelta64
        For example ``"10ms"``.

    Returns
    -------
    int
        Nanoseconds [ns].

    Raises
    ------
    UsageError
        For a number (its unit is unknown), a missing value, or a duration of more than 292 years.
    """
    import numpy as np
    import pandas as pd

    # numpy counts timedelta64 among its signed integers
    number = isinstance(value, (bool, int, float, np.number, np.bool_)) and not isinstance(value, np.timedelta64)
    if number or (isinstance(value, str) and _UNITLESS_NUMBER.fullmatch(value)):
        raise UsageError(f"{name}={value!r} has no unit; write it as text such as '10ms', or pd.Timedelta(10, 'ms')")
    try:
        duration = pd.Timedelta(value)
        if duration is pd.NaT:
            raise UsageError(f"{name}={value!r} is no duration; give one such as '10ms'")
        return int(duration.as_unit("ns").value)
    except UsageError:
        raise
    except (ValueError, TypeError, OverflowError) as exc:
        raise UsageError(f"{name}={value!r} is no duration; give one such as '10ms': {exc}") from exc


def timestamp(time_ns: int) -> pd.Timestamp:
    """Make the `pandas.Timestamp` (UTC, ns) of a moment [ns]."""
    import pandas as pd

    return pd.Timestamp(int(time_ns), unit="ns", tz="UTC")


def timedelta(duration: int) -> pd.Timedelta:
    """Make the `pandas.Timedelta` (ns) of a duration [ns]."""
    import pandas as pd

    return pd.Timedelta(int(duration), unit="ns")
