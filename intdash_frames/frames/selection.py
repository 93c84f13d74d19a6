"""Which signals: what the user writes -> what the server is asked -> what is kept of its answer."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from intdash_frames.codecs.layout import IdRule
from intdash_frames.codecs.series import Series
from intdash_frames.codecs.table import layout_of
from intdash_frames.errors import UsageError
from intdash_frames.model import DataType, IdQuery, SignalKey

__all__ = ["Pattern", "Selection", "select"]

_KEY = re.compile(r"(?P<type>\*|[a-z0-9_]+):(?P<channel>\*|\d+)/(?P<id>.*)", re.DOTALL)
_WILD = re.compile(r"[*?\[]")


@dataclass(frozen=True, slots=True)
class Pattern:
    """One pattern of signals.

    Attributes
    ----------
    text : str
        As the user wrote it.
    data_type, channel : int or None
        None for any.
    data_id : str
        A glob.
    """

    text: str
    data_type: int | None
    channel: int | None
    data_id: str

    @property
    def is_literal(self) -> bool:
        """Whether the id has no wildcard."""
        return not _WILD.search(self.data_id)

    @property
    def idq(self) -> tuple[str, ...]:
        """Queries on the wire: whole parts only, since prefix wildcards are not known to work (protocol 3.1 and 8).

        Rows show hexadecimal ids in lower case, so they are asked for in lower case; where the type is not known, in both forms.
        """
        parts = ["*" if part is None else str(part) for part in (self.data_type, self.channel)]
        ids = [self.data_id if self.is_literal else "*"]
        if self.data_type is None or layout_of(self.data_type).id_rule is IdRule.NUMBER:
            ids = list(dict.fromkeys([*(ids if self.data_type is None else []), ids[0].lower()]))
        return tuple("{}:{}/{}".format(*parts, each) for each in ids)

    @property
    def is_narrower(self) -> bool:
        """Whether the server is asked for more than is meant."""
        return self.data_id != "*" if not self.is_literal else len(self.idq) > 1

    def matches(self, key: Series | SignalKey) -> bool:
        """Say whether a series is meant; hexadecimal ids compare without regard to case."""
        if self.data_type not in (None, key.data_type) or self.channel not in (None, key.channel):
            return False
        data_type = key.data_type if isinstance(key.data_type, int) else None
        hexadecimal = layout_of(data_type).id_rule is IdRule.NUMBER
        mine, its = (self.data_id.lower(), key.data_id.lower()) if hexadecimal else (self.data_id, key.data_id)
        return mine == its or (not self.is_literal and fnmatch.fnmatchcase(its, mine))


@dataclass(frozen=True, slots=True)
class Selection:
    """What to ask for and what to keep; no patterns means everything."""

    patterns: tuple[Pattern, ...] = ()
    labels: tuple[str, ...] = ()

    @property
    def idq(self) -> tuple[str, ...]:
        """What the server is asked."""
        return tuple(dict.fromkeys(each for pattern in self.patterns for each in pattern.idq))

    @property
    def data_type(self) -> int | None:
        """The one data type that everything selected is of; None if that is not known before it is read."""
        kinds = {pattern.data_type for pattern in self.patterns}
        return kinds.pop() if len(kinds) == 1 and not self.labels else None

    def absent(self, present: Iterable[Series]) -> list[Pattern]:
        """Give the patterns without wildcards that mean none of the series."""
        series = list(present)
        return [each for each in self.patterns if each.is_literal and not any(map(each.matches, series))]

    def keeps(self, key: Series) -> bool:
        """Say whether points of a series were asked for; the server may have been asked for more than that."""
        if not self.patterns:
            return True
        return key.data_id in self.labels or any(pattern.matches(key) for pattern in self.patterns)


def select(signals: Any = None, labels: Any = None) -> Selection:
    """Read the arguments `signals` and `labels`.

    Parameters
    ----------
    signals : str, IdQuery, SignalKey or iterable of them, optional
        ``"type:channel/data_id"`` with ``*`` for any part, or a glob over the data id alone.
    labels : str or iterable of str, optional
        Names of signal definitions that the server converts.

    Raises
    ------
    UsageError
        If a pattern cannot be read, names no data type or is empty.
    """
    patterns = tuple(_pattern(each) for each in _several(signals, (str, IdQuery, SignalKey)))
    names = tuple(_several(labels, (str,)))
    if signals is not None and not patterns:
        raise UsageError("signals is empty, which would select nothing; leave it out to read everything")
    if any(not isinstance(name, str) or not name for name in names):
        raise UsageError(f"labels={labels!r}; expected names of signals, such as ['sp_ACCX']")
    return Selection(patterns, names)


def _several(value: Any, single: tuple[type, ...]) -> list[Any]:
    if value is None:
        return []
    if isinstance(value, single):
        return [value]
    if not isinstance(value, Iterable) or isinstance(value, (bytes, dict)):
        raise UsageError(f"{value!r} is {type(value).__name__}; expected one or a list of patterns such as 'can:1/000001a0'")
    return list(value)


def _pattern(value: Any) -> Pattern:
    if isinstance(value, IdQuery):
        value = value.text
    if isinstance(value, SignalKey):
        value = str(value)
    if not isinstance(value, str) or not value:
        raise UsageError(f"signal {value!r} is no pattern; expected text such as 'can:1/000001a0', 'float:*/speed' or 'sp_ACC*'")
    match = _KEY.fullmatch(value)
    if match is None:
        return Pattern(value, None, None, value)
    kind, channel = match["type"], match["channel"]
    data_type = None if kind == "*" else int(kind) if kind.isdigit() else DataType.__members__.get(kind)
    if kind != "*" and (data_type is None or not 0 <= data_type <= 255):
        known = ", ".join(member.name for member in DataType)
        raise UsageError(f"signal {value!r}: no data type is called {kind!r}; expected a number from 0 to 255 or one of {known}")
    if channel != "*" and int(channel) > 255:
        raise UsageError(f"signal {value!r}: channel {channel} is outside 0 to 255")
    return Pattern(value, None if data_type is None else int(data_type), None if channel == "*" else int(channel), match["id"])
