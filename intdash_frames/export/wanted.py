"""What an export is to hold: measurements with all that belongs to them, and the range of each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from intdash_frames import timebase
from intdash_frames.errors import ApiError, NotFound
from intdash_frames.frames.reading import Query
from intdash_frames.frames.sources import Range, edge_uuid, own_range
from intdash_frames.model import Measurement
from intdash_frames.model.form import dump

if TYPE_CHECKING:
    from intdash_frames.client.connection import Connection

__all__ = ["Wanted", "edges_of", "signals_of", "wanted"]

PAGE: Final = 1000
MICROSECOND_NS: Final = 1000
# A server that has no such call, or does not let everybody make it: the points are worth having without.
REFUSALS: Final = (403, 404, 405)


@dataclass(frozen=True, slots=True)
class Wanted:
    """A measurement that is to be exported.

    Attributes
    ----------
    uuid, edge_uuid : str
    start_ns, end_ns : int
        What of it, half open [ns since the epoch].
    record : dict
        What the manifest says of it; if this changed, its points may have.
    """

    uuid: str
    edge_uuid: str
    start_ns: int
    end_ns: int
    record: dict[str, Any]


def wanted(connection: Connection, query: Query) -> list[Wanted]:
    """Find the measurements of a query; an edge is taken apart into its own.

    Raises
    ------
    NotFound
        If there is no such measurement or edge.
    UsageError
        If the range is empty, or the server has not exactly one edge of that name.
    """
    ranges = query.source.ranges(connection, query.start, query.end)
    if query.source.edge:
        ranges = [Range(each.uuid, *_ends(asked), each) for asked in ranges for each in _measurements(connection, asked)]
    found: dict[str, Wanted] = {}
    for asked in ranges:
        measurement = asked.measurement or connection.measurements.get(uuid=asked.name)
        own = own_range(measurement)
        start_ns, end_ns = max(own.start_ns, asked.start_ns), min(own.end_ns, asked.end_ns)
        if measurement.uuid not in found and start_ns < end_ns:
            found[measurement.uuid] = _wanted(connection, measurement, start_ns, end_ns)
    return list(found.values())


def _ends(range_: Range) -> tuple[int, int]:
    return range_.start_ns, range_.end_ns


def _measurements(connection: Connection, range_: Range) -> list[Measurement]:
    """The measurements of an edge that reach into a range, oldest first."""
    pages = connection.measurements.list(
        start=timebase.timestamp(range_.start_ns),
        end=timebase.timestamp(range_.end_ns + MICROSECOND_NS),  # the server is asked in whole microseconds
        edge_uuid=edge_uuid(connection, range_.name),
        partial_match=True,
        limit=PAGE,
        iterator=True,
    )
    return sorted((each for page in pages for each in page), key=lambda each: (own_range(each).start_ns, each.uuid))


def _wanted(connection: Connection, measurement: Measurement, start_ns: int, end_ns: int) -> Wanted:
    try:
        markers = [dump(each) for each in connection.measurement_markers.list(measurement.uuid)]
    except NotFound:  # they came with version 1.10.0
        markers = []
    record = {
        "record": {name: value for name, value in dump(measurement).items() if name != "markers"},
        "basetimes": [dump(each) for each in connection.measurement_basetimes.list(measurement.uuid)],
        "markers": markers,
        "range": [timebase.to_iso(start_ns), timebase.to_iso(end_ns)],
    }
    return Wanted(measurement.uuid, measurement.edge_uuid, start_ns, end_ns, record)


def edges_of(connection: Connection, found: Iterable[Wanted]) -> dict[str, dict[str, Any]]:
    """The records of the edges that measurements are of, by UUID; those that the server does not list are left out."""
    missing, edges = {each.edge_uuid for each in found}, {}
    for disabled in (False, True):
        if not missing:
            break
        for each in _listed(connection.edges.list(disabled=disabled, limit=PAGE, iterator=True)):
            if each.uuid in missing:
                # To read is to log in: what says when would make another manifest of the same data.
                edges[each.uuid] = dump(each) | {"last_login_at": None}
        missing -= edges.keys()
    return edges


def signals_of(connection: Connection) -> list[dict[str, Any]]:
    """All signal definitions of the server, by label."""
    pages = connection.signals.list(sort="label", limit=PAGE, iterator=True)
    return sorted((dump(each) for each in _listed(pages)), key=lambda record: (record["label"], record["uuid"]))


def _listed(pages: Iterator[list[Any]]) -> Iterator[Any]:
    try:
        for page in pages:
            yield from page
    except ApiError as exc:
        if exc.status not in REFUSALS:
            raise
