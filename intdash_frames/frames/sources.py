"""Where to read from and when: the arguments `source`, `edge`, `start` and `end` -> ranges of nanoseconds to ask for."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from intdash_frames import timebase
from intdash_frames.codecs.series import Series
from intdash_frames.errors import UsageError
from intdash_frames.model import Edge, Measurement
from intdash_frames.protocol.endpoints import DATA_IDS, EDGE_DATA_IDS

if TYPE_CHECKING:
    from intdash_frames.client.connection import Connection

__all__ = ["Bound", "Range", "Source", "edge_uuid", "own_range", "read_bound", "read_source", "stored_series"]


@dataclass(frozen=True, slots=True)
class Range:
    """What to ask for: a name of protocol 3.1 and a half open range [ns since the epoch]."""

    name: str
    start_ns: int
    end_ns: int
    measurement: Measurement | None = None


@dataclass(frozen=True, slots=True)
class Bound:
    """One end of a range, not yet placed in time: an instant, or a duration from the base time or from the end of the source."""

    value_ns: int
    origin: str  # "epoch", "basetime" or "end"


def read_bound(value: Any, *, tz: Any, name: str) -> Bound | None:
    """Read `start` or `end`: a moment, a duration since the base time, or ``"-10min"`` before the end of the source.

    Raises
    ------
    UsageError
        If it is none of these, or a moment without a zone where `tz` does not say which.
    """
    if value is None:
        return None
    if isinstance(value, str) and value.strip()[:1] in ("-", "+"):
        span = timebase.duration_ns(value.strip(), name=name)
        return Bound(span, "end" if value.strip()[0] == "-" else "basetime")
    if isinstance(value, dt.timedelta) or type(value).__name__ == "timedelta64":
        return Bound(timebase.duration_ns(value, name=name), "basetime")
    return Bound(timebase.moment_ns(value, tz=tz, name=name), "epoch")


@dataclass(frozen=True, slots=True)
class Source:
    """Measurements, or one edge across its measurements.

    Attributes
    ----------
    measurements : tuple of str or Measurement
    edge : str
        Name or UUID; empty if measurements are given.
    """

    measurements: tuple[str | Measurement, ...] = ()
    edge: str = ""

    @property
    def names(self) -> tuple[str, ...]:
        """Names for attributes and messages."""
        return (self.edge,) if self.edge else tuple(each if isinstance(each, str) else each.uuid for each in self.measurements)

    def ranges(self, connection: Connection, start: Bound | None, end: Bound | None) -> list[Range]:
        """Place the bounds in time; looks measurements up where a bound needs their base time or length.

        Raises
        ------
        NotFound
            If there is no such measurement.
        UsageError
            If the range is empty.
        """
        if self.edge:
            now = timebase.moment_ns("now")
            return [_checked(Range(self.edge, _place(start, 0, now, 0), _place(end, 0, now, now)))]
        known = all(bound is not None and bound.origin == "epoch" for bound in (start, end))
        ranges = []
        for each in self.measurements:
            if isinstance(each, str) and known:
                ranges.append(Range(each, start.value_ns, end.value_ns))  # type: ignore[union-attr]
                continue
            # A model may be older than the last point; what the server says now is the range.
            measurement = connection.measurements.get(uuid=each if isinstance(each, str) else each.uuid)
            own = own_range(measurement)
            first, last = own.start_ns, own.end_ns
            ranges.append(Range(measurement.uuid, _place(start, first, last, first), _place(end, first, last, last), measurement))
        if len(ranges) == 1:
            _checked(ranges[0])
        return sorted((each for each in ranges if each.start_ns < each.end_ns), key=lambda each: each.start_ns)


def own_range(measurement: Measurement) -> Range:
    """Give the range that all points of a measurement lie in; from the epoch if it has no base time."""
    first = measurement.basetime.as_unit("ns").value if measurement.basetime is not None else 0
    # Durations are whole microseconds, and the last point may lie at the very end (protocol 2.3).
    last = first + int(measurement.duration.as_unit("ns").value if measurement.duration is not None else 0) + 1000
    return Range(measurement.uuid, first, last, measurement)


def stored_series(connection: Connection, source: Source, ranges: Iterable[Range]) -> list[Series]:
    """Ask which series a source holds: a measurement at any time, an edge within the range.

    Returns
    -------
    list of Series
        Those of an edge without the measurement, which the server does not say.

    Raises
    ------
    ApiError
        Not every server has these calls (protocol 2.8).
    """
    found = []
    for each in ranges:
        if source.edge:
            edge = edge_uuid(connection, source.edge)
            # Whole microseconds are asked for; the end is rounded up.
            items = connection.call(EDGE_DATA_IDS, start=each.start_ns, end=each.end_ns + 999, edge_uuid=edge)
        else:
            items = connection.call(DATA_IDS, uuid=each.name)
        found += [_series(item, "" if source.edge else each.name) for item in items if isinstance(item, dict)]
    return list(dict.fromkeys(found))


def _series(item: Mapping[str, Any], measurement_uuid: str) -> Series:
    text, channel = str(item.get("data_type")), item.get("channel")
    number = int(text) if text.isascii() and text.isdigit() else None
    return Series(measurement_uuid, number, channel if isinstance(channel, int) else None, str(item.get("data_id")), text)


def _place(bound: Bound | None, basetime_ns: int, end_ns: int, default_ns: int) -> int:
    if bound is None:
        return default_ns
    return bound.value_ns + {"epoch": 0, "basetime": basetime_ns, "end": end_ns}[bound.origin]


def _checked(range_: Range) -> Range:
    if range_.start_ns > range_.end_ns:
        start, end = timebase.to_iso(range_.start_ns), timebase.to_iso(range_.end_ns)
        raise UsageError(f"start {start} is after end {end}; expected a range [start, end)")
    return range_


def read_source(source: Any, edge: Any, start: Bound | None, end: Bound | None = None) -> Source:
    """Read the arguments `source` and `edge`.

    Parameters
    ----------
    source : str, UUID, Measurement, row of ``measurements.frame()``, or iterable of them
    edge : str, UUID or Edge

    Raises
    ------
    UsageError
        If not exactly one of the two is given, or it cannot be read.
    """
    if (source is None) == (edge is None):
        raise UsageError(
            "give either source= (a measurement) or edge= (its name), " + ("not both" if source is not None else "one of the two")
        )
    if edge is not None:
        name = edge.uuid if isinstance(edge, Edge) else str(edge) if isinstance(edge, uuid.UUID) else edge
        if not isinstance(name, str) or not name:
            raise UsageError(f"edge={edge!r}; expected the name or UUID of an edge, or an Edge")
        if start is None:
            raise UsageError(f"reading all measurements of edge {name!r} needs at least start=, such as start='-10min'")
        for name_, bound in (("start", start), ("end", end)):
            if bound is not None and bound.origin == "basetime":
                raise UsageError(
                    f"{name_}= is a duration since a base time, but an edge has many measurements; "
                    "give a moment, or '-10min' before now"
                )
        return Source(edge=name)
    measurements = tuple(_measurement(each) for each in _several(source))
    if not measurements:
        raise UsageError("source is empty; expected at least one measurement")
    return Source(measurements)


def _several(source: Any) -> Iterable[Any]:
    if type(source).__module__.startswith(("pandas", "polars")) and type(source).__name__ == "DataFrame":
        return list(source["uuid"]) if "uuid" in source.columns else [source]
    return source if isinstance(source, (list, tuple, set)) or _is_iterator(source) else [source]


def _is_iterator(source: Any) -> bool:
    return hasattr(source, "__next__")


def _measurement(value: Any) -> str | Measurement:
    if isinstance(value, Measurement):
        return value
    text = value
    if isinstance(value, Mapping) or (hasattr(value, "keys") and hasattr(value, "__getitem__")):  # a dict or a row of a frame
        text = value["uuid"] if "uuid" in value.keys() else None  # noqa: SIM118 - a pandas row is not a mapping
    if isinstance(text, uuid.UUID):
        return str(text)
    try:
        return str(uuid.UUID(text))
    except (ValueError, TypeError, AttributeError) as exc:
        raise UsageError(
            f"source={value!r} is no measurement; expected its UUID such as '414c343c-1e2f-7ed4-c2ce-78e57311d8a3', "
            "a Measurement, or a row of client.measurements.frame()"
        ) from exc


def edge_uuid(connection: Connection, edge: Any = None) -> str:
    """Find an edge.

    Parameters
    ----------
    connection : Connection
    edge : str, UUID or Edge, optional
        Name or UUID; the client's own edge if not given.

    Raises
    ------
    UsageError
        If the server has not exactly one edge of that name.
    """
    if edge is None:
        return connection.edges.me().uuid
    text = str(getattr(edge, "uuid", edge))
    try:
        return str(uuid.UUID(text))
    except ValueError:
        pass
    found = [each for each in connection.edges.list(name=f'"{text}"') if each.name == text]
    if len(found) != 1:
        raise UsageError(f"edge={edge!r}: the server has {len(found)} edges of that name; expected a name, a UUID or an Edge")
    return found[0].uuid
