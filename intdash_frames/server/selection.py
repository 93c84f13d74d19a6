"""What a data query is about: the measurements behind a name, and which of their series."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import duckdb

from intdash_frames.codecs.layout import IdRule
from intdash_frames.codecs.signals import is_source
from intdash_frames.codecs.table import layout_of
from intdash_frames.model import Signal
from intdash_frames.server.store import Refused, SeriesId, Store, one
from intdash_frames.timebase import INT64_MAX, INT64_MIN

__all__ = ["DataQuery", "IdPattern", "Source", "find_sources", "stored_ids"]


@dataclass(frozen=True, slots=True)
class IdPattern:
    """One ``idq`` of a query; None stands for ``*``."""

    data_type: int | None
    channel: int | None
    data_id: str | None

    @classmethod
    def parse(cls, text: str) -> IdPattern:
        """Read ``type[:channel[/id]]``, each part a ``*`` or a value.

        Raises
        ------
        Refused
            400 for anything else.

        Notes
        -----
        Source: protocol 3.1. The id is everything after the first slash: it may hold slashes or be empty.
        """
        match = re.fullmatch(r"(\*|[0-9]{1,10})(?::(\*|[0-9]{1,10})(?:/(.*))?)?", text, re.DOTALL)
        if match is None:
            raise Refused(
                400, f"idq {text!r}: expected type:channel/id with decimal numbers or *, such as '1:2/0000014a' or '1:*/*'"
            )
        data_type, channel, data_id = match.groups()
        return cls(
            None if data_type == "*" else int(data_type),
            None if channel in (None, "*") else int(channel),
            None if data_id in (None, "*") else data_id,
        )

    def matches(self, series: SeriesId) -> bool:
        """Tell whether a series is meant. Hexadecimal ids are compared without regard to case (protocol 3.1)."""
        if self.data_type not in (None, series.data_type) or self.channel not in (None, series.channel):
            return False
        if self.data_id is None or self.data_id == series.data_id:
            return True
        return layout_of(series.data_type).id_rule is IdRule.NUMBER and self.data_id.lower() == series.data_id.lower()


@dataclass(frozen=True, slots=True)
class DataQuery:
    """What ``GET /api/v1/data`` asks for.

    Attributes
    ----------
    name : str
        Measurement uuid, edge uuid or edge name, tried in that order.
    start_ns, end_ns : int
        Half open range of absolute time [ns since the epoch].
    patterns : sequence of IdPattern
        Union; with neither patterns nor labels, everything.
    labels : sequence of str
        Signal labels.
    limit : int
        At most this many rows; 0 is no limit.
    exit_on_error : bool
        End the answer before the first failed conversion; otherwise each of them is a row.
    signals : sequence of Signal
        What the labels stand for, which `data_answer` looks up; those that nobody defined are not among them.
    """

    name: str
    start_ns: int
    end_ns: int
    patterns: Sequence[IdPattern] = ()
    labels: Sequence[str] = ()
    limit: int = 0
    exit_on_error: bool = False
    signals: Sequence[Signal] = ()

    def concerns(self, data_type: int | None) -> bool:
        """Tell whether any series of a data type may take part."""
        if not self.patterns and not self.labels:
            return True
        return any(pattern.data_type in (None, data_type) for pattern in self.patterns) or any(
            int(signal.data_type) == data_type for signal in self.signals
        )

    def selects(self, series: SeriesId) -> bool:
        """Tell whether stored rows of a series take part in the answer: as themselves, or as what a signal makes of them."""
        return self.keeps(series) or any(is_source(signal, *series) for signal in self.signals)

    def keeps(self, series: SeriesId) -> bool:
        """Tell whether stored rows of a series are asked for as themselves.

        With labels only, none are, even where nobody defined the label (protocol 3.1).
        """
        if not self.patterns:
            return not self.labels
        return any(pattern.matches(series) for pattern in self.patterns)


@dataclass(frozen=True, slots=True)
class Source:
    """One measurement that takes part in an answer, and which of its series do.

    Attributes
    ----------
    measurement_id : int
    uuid : str
    basetime_ns, last_elapsed_ns : int
        The base time in use, and the time of the last point after it.
    in_order : bool
        No point came after one with a later time.
    largest_payload : int
        No payload has more bytes.
    series : dict of SeriesId to int
        The chosen ones.
    all_series : bool
        None was left out.
    """

    measurement_id: int
    uuid: str
    basetime_ns: int
    last_elapsed_ns: int
    in_order: bool
    largest_payload: int
    series: dict[SeriesId, int]
    all_series: bool

    def rows(self, start_ns: int, end_ns: int) -> str | None:
        """The ``FROM ... WHERE`` of the selected rows with absolute times in the range; None if there can be none.

        Only numbers go into the text. The upper bound is inclusive, so that no bound leaves 64 bits.
        """
        first, last = max(0, start_ns - self.basetime_ns), min(self.last_elapsed_ns, end_ns - 1 - self.basetime_ns)
        if first > last or not self.series:
            return None
        chosen = "" if self.all_series else f" AND series_id IN ({', '.join(map(str, self.series.values()))})"
        return f"FROM points WHERE measurement_id = {self.measurement_id} AND elapsed_ns BETWEEN {first} AND {last}{chosen}"


def find_sources(cursor: duckdb.DuckDBPyConnection, query: DataQuery) -> list[Source]:
    """Resolve the name of a query: measurement uuid, edge uuid, edge name, in that order (protocol 3.1).

    Raises
    ------
    Refused
        404 if it is none of the three.
    """
    select = (
        "SELECT m.id, m.uuid, b.basetime_ns, m.last_elapsed_ns, m.in_order, m.largest_payload FROM measurements m"
        " JOIN basetimes b ON b.measurement_id = m.id AND b.type = m.basetime_type"
    )
    found = cursor.execute(f"{select} WHERE m.uuid = ?", [query.name.lower()]).fetchall()
    if not found:
        edge = one(cursor, "SELECT uuid FROM edges WHERE uuid = ?", [query.name.lower()])
        edge = edge or one(cursor, "SELECT uuid FROM edges WHERE name = ?", [query.name])
        if edge is None:
            raise Refused(404, f"name {query.name!r} is no measurement uuid, edge uuid or edge name here")
        found = cursor.execute(f"{select} WHERE m.edge_uuid = ? ORDER BY m.id", [edge[0]]).fetchall()
    every: dict[int, dict[SeriesId, int]] = {row[0]: {} for row in found}
    # Numbers in the text: DuckDB takes twice as long to plan for a list that is a parameter.
    chosen_ids = ", ".join(map(str, every)) or "NULL"
    for measurement_id, series_id, *key in cursor.execute(
        f"SELECT measurement_id, series_id, data_type, channel, data_id FROM series WHERE measurement_id IN ({chosen_ids})"
    ).fetchall():
        every[measurement_id][SeriesId(*key)] = series_id
    sources = []
    for measurement_id, uuid, basetime_ns, last_elapsed_ns, in_order, largest_payload in found:
        chosen = {series: number for series, number in every[measurement_id].items() if query.selects(series)}
        all_series = len(chosen) == len(every[measurement_id])
        sources.append(Source(measurement_id, uuid, basetime_ns, last_elapsed_ns, in_order, largest_payload, chosen, all_series))
    return sources


def stored_ids(store: Store, name: str, start_ns: int | None = None, end_ns: int | None = None) -> list[SeriesId]:
    """Which series a measurement or an edge holds, sorted; with a range of time, those with a point in it (protocol 2.8).

    Raises
    ------
    Refused
        404 for a name that is none.
    """
    first_ns, last_ns = INT64_MIN if start_ns is None else start_ns, INT64_MAX if end_ns is None else end_ns
    found: set[SeriesId] = set()
    with store.read() as cursor:
        sources = find_sources(cursor, DataQuery(name, first_ns, last_ns))
        if store.recordings is not None:
            return sorted(store.recordings.ids(sources, first_ns, last_ns))
        if start_ns is None and end_ns is None:
            return sorted({series for source in sources for series in source.series})
        for source in sources:
            if rows := source.rows(first_ns, last_ns):
                numbers = {number for (number,) in cursor.execute(f"SELECT DISTINCT series_id {rows}").fetchall()}
                found |= {series for series, number in source.series.items() if number in numbers}
    return sorted(found)
