"""What can be learnt of a query without reading its points: where it lies in time, its signals, its columns."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from intdash_frames.codecs.series import Series
from intdash_frames.errors import UsageError
from intdash_frames.frames.reading import FAILURES, Query, Reading, no_such_signal
from intdash_frames.frames.selection import Pattern, Selection
from intdash_frames.frames.shape import Shape, shape_of
from intdash_frames.frames.sources import Range, own_range, stored_series
from intdash_frames.model import DataType

if TYPE_CHECKING:
    from intdash_frames.client.connection import Connection

__all__ = ["Survey", "patterns_for"]

# A server takes some 8,000 characters of a request line; more ids than this are asked for by their type and channel.
MOST_IDS = 50


class Survey:
    """Answers about a query, each asked for when it is needed and kept."""

    def __init__(self, connection: Connection, query: Query) -> None:
        self._connection, self._query = connection, query

    @cached_property
    def ranges(self) -> list[Range]:
        """Where the points lie; those of several measurements are cut to what each of them holds.

        Raises
        ------
        UsageError, NotFound
            If the ranges cannot be placed in time.
        """
        query = self._query
        ranges = query.source.ranges(self._connection, query.start, query.end)
        if len(ranges) == 1:
            return ranges
        cut = []
        for each in ranges:
            own = own_range(each.measurement or self._connection.measurements.get(uuid=each.name))
            start_ns, end_ns = max(each.start_ns, own.start_ns), min(each.end_ns, own.end_ns)
            if start_ns < end_ns:
                cut.append(dataclasses.replace(each, start_ns=start_ns, end_ns=end_ns))
        return sorted(cut, key=lambda each: each.start_ns)

    @cached_property
    def stored(self) -> list[Series] | None:
        """All series of the source, whatever is selected; None if the server does not say.

        What a server converts is not among the series that it holds, so that of labels nothing is known.
        """
        if self._query.selection.labels:
            return None
        # A read will say what the matter is, or succeed: not every server has this call.
        with contextlib.suppress(*FAILURES, UsageError):
            return stored_series(self._connection, self._query.source, self.ranges)
        return None

    @property
    def series(self) -> list[Series] | None:
        """The series that are selected; None if the server does not say."""
        return None if self.stored is None else [each for each in self.stored if self._query.selection.keeps(each)]

    def check_names(self, seen: Iterable[Series] = ()) -> None:
        """Refuse a signal that is nowhere, as every read does.

        Raises
        ------
        UsageError
            If the server says what there is, and a pattern without wildcards means none of it.
        """
        query = self._query
        if query.source.edge or not query.selection.absent(seen) or self.stored is None:
            return
        absent = query.selection.absent(self.stored)
        if absent:
            raise no_such_signal(absent[0].text, query.source, self.stored)

    @cached_property
    def shape(self) -> Shape | None:
        """The columns of the result; None if only reading tells.

        A measurement holds its series at any time. Where only a part of its time is asked for, one point of each data type, and
        of each sensor, is looked for there, since what does not occur has no columns.
        """
        query = self._query
        kind = query.selection.data_type
        if kind is not None and kind != DataType.general_sensor:
            return shape_of([Series("", kind, None, "", str(kind))])
        if query.head is not None or self.series is None or any(each.data_type is None for each in self.series):
            return None
        series = self.series
        if query.source.edge or query.start is not None or query.end is not None:
            groups: dict[tuple[int | None, str], list[Series]] = {}
            for each in series:
                groups.setdefault((each.data_type, each.data_id if each.data_type == DataType.general_sensor else ""), []).append(
                    each
                )
            series = [each for group in groups.values() if self._occurs(group) for each in group]
        if kind is not None and not series:
            series = [Series("", kind, None, "", str(kind))]
        return shape_of(series)

    def _occurs(self, series: Sequence[Series]) -> bool:
        assert self.stored is not None
        selection = Selection(tuple(patterns_for(series, self.stored)))
        query = dataclasses.replace(self._query, selection=selection, head=1, progress=False)
        reading = Reading(self._connection, query, self.ranges)
        # What cannot be read now may occur: whoever reads it will say what the matter is.
        return any(True for _ in reading.batches()) or bool(reading.failures)


def patterns_for(wanted: Iterable[Series], stored: Iterable[Series]) -> list[Pattern]:
    """Say which series are wanted in as few patterns as can be, in no more than a request can hold.

    Parameters
    ----------
    wanted : iterable of Series
        With numbers for their types.
    stored : iterable of Series
        All that the source holds.

    Returns
    -------
    list of Pattern
        They mean what is wanted, and more only if the single ids were too many.
    """
    keys, others = dict.fromkeys(map(_place, wanted)), set(map(_place, stored))
    others -= keys.keys()
    patterns = dict[tuple[int | None, int | None, str | None], None]()
    for kind, channel, data_id in keys:
        if not any(kind == other[0] for other in others):
            patterns[kind, None, None] = None
        elif not any((kind, channel) == other[:2] for other in others):
            patterns[kind, channel, None] = None
        else:
            patterns[kind, channel, data_id] = None
    if len(patterns) > MOST_IDS:
        patterns = dict.fromkeys((kind, channel, None) for kind, channel, _ in patterns)
    if len(patterns) > MOST_IDS:
        patterns = dict.fromkeys((kind, None, None) for kind, _, _ in patterns)
    return [_pattern(*each) for each in patterns]


def _place(series: Series) -> tuple[int | None, int | None, str]:
    return series.data_type, series.channel, series.data_id


def _pattern(kind: int | None, channel: int | None, data_id: str | None) -> Pattern:
    # A wildcard that an id holds itself is put in brackets, where it means itself.
    glob = "*" if data_id is None else "".join(f"[{each}]" if each in "*?[" else each for each in data_id)
    text = f"{kind}:{'*' if channel is None else channel}/{glob}"
    return Pattern(text, kind, channel, glob)
