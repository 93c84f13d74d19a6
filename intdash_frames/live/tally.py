"""What live data went through, counted: nothing is lost in silence."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from intdash_frames import timebase

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Gap", "LiveStats", "gaps_frame"]


@dataclass(frozen=True, slots=True)
class LiveStats:
    """Points since the start [count]; ``received + recovered == shown + dropped + waiting``.

    Attributes
    ----------
    received : int
        Came live, of the signals asked for.
    recovered : int
        Came from what is stored, and not live: from before the start, or from a hole.
    shown : int
        Went into the frame; what has left the window since is still counted.
    dropped : int
        Of those, what did not; `reasons` says why.
    waiting : int
        Received, and waiting for a hole before them to be read back.
    reconnects : int
        How often a lost connection was made again.
    reasons : dict of str to int
        Points dropped, by reason: ``"late"`` (older than the window), ``"ahead"`` (far in the future), ``"no base time"``,
        ``"bound"`` (too many waited for a hole), ``"repeated"`` (the server sent again what was shown).
    """

    received: int = 0
    recovered: int = 0
    shown: int = 0
    dropped: int = 0
    waiting: int = 0
    reconnects: int = 0
    reasons: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Gap:
    """A stretch of time of which something may be missing.

    Attributes
    ----------
    start_ns, end_ns : int or None
        Half open [ns since the epoch]; None where there was nothing before or after.
    reason : str
    recovered : int
        Points of the stretch that could be read back [count].
    """

    start_ns: int | None
    end_ns: int | None
    reason: str
    recovered: int


def gaps_frame(gaps: list[Gap], tz: object) -> pd.DataFrame:
    """Give gaps as a frame: start, end, reason, recovered."""
    import pandas as pd

    def moments(values: list[int | None]) -> pd.Series:
        stamps = [pd.NaT if value is None else timebase.timestamp(value) for value in values]
        return pd.Series(pd.DatetimeIndex(stamps, dtype="datetime64[ns, UTC]")).dt.tz_convert(tz)

    return pd.DataFrame(
        {
            "start": moments([gap.start_ns for gap in gaps]),
            "end": moments([gap.end_ns for gap in gaps]),
            "reason": pd.Series([gap.reason for gap in gaps], dtype="str"),
            "recovered": pd.Series([gap.recovered for gap in gaps], dtype="int64"),
        }
    )
