"""Live points carry the time since a base time and no measurement: where that base time is, and whose the points are.

Source: protocol 5.7, 5.8 and 6.12.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from intdash_frames.codecs.payload import unpack
from intdash_frames.codecs.points import Points
from intdash_frames.codecs.series import SeriesTable
from intdash_frames.errors import PayloadError
from intdash_frames.model import BasetimeType, DataType

if TYPE_CHECKING:
    import datetime as dt

    from intdash_frames.client.connection import Connection
    from intdash_frames.model import Measurement

__all__ = ["Origin", "Placing", "find_origin", "is_recording", "rekeyed"]

# Measurements of an edge that were never ended may be many; the one that records now was made last.
MOST_CANDIDATES: Final = 20
# A base time of the edge's own clock that is this near to one of NTP or GPS means the same start, told less well.
SAME_START_NS: Final = 3_600 * 10**9


@dataclass(frozen=True, slots=True)
class Origin:
    """Where elapsed time 0 is.

    Attributes
    ----------
    basetime_ns : int
        Since the epoch [ns].
    measurement_uuid : str
        Where the points are kept; empty if nowhere that is known.
    kind : int
        Which clock said so, a number of `BasetimeType`; 0 if a measurement did.
    """

    basetime_ns: int
    measurement_uuid: str = ""
    kind: int = 0


def find_origin(connection: Connection, edge_uuid: str, basetime_ns: int | None) -> Origin | None:
    """Find the measurement that an edge is recording.

    Parameters
    ----------
    connection : Connection
    edge_uuid : str
    basetime_ns : int or None
        A base time that the stream named: the measurement has it, in use or not. None: it named none, and there must be one
        measurement only.

    Returns
    -------
    Origin or None
        With the base time that is in use, which is what stored points show.
    """
    running = _running(connection, edge_uuid)
    running.sort(key=lambda each: _ns(each.created_at), reverse=True)
    if basetime_ns is None:
        return Origin(_ns(running[0].basetime), running[0].uuid) if len(running) == 1 else None
    for each in running[:MOST_CANDIDATES]:
        if _ns(each.basetime) == basetime_ns:
            return Origin(basetime_ns, each.uuid)
    for each in running[:MOST_CANDIDATES]:
        if any(_ns(other.basetime) == basetime_ns for other in connection.measurement_basetimes.list(measurement_uuid=each.uuid)):
            return Origin(_ns(each.basetime), each.uuid)
    return None


def is_recording(connection: Connection, edge_uuid: str) -> bool:
    """Tell whether an edge has a measurement that runs."""
    return bool(_running(connection, edge_uuid))


def _running(connection: Connection, edge_uuid: str) -> list[Measurement]:
    pages = connection.measurements.list(edge_uuid=edge_uuid, ended=False, iterator=True)
    return [each for page in pages for each in page if each.basetime is not None]


def _ns(moment: dt.datetime | None) -> int:
    return 0 if moment is None else int(moment.as_unit("ns").value)  # type: ignore[attr-defined]


class Placing:
    """Gives live points their absolute times and their measurement.

    Parameters
    ----------
    keys : SeriesTable
        Takes the series of the placed points.
    find : callable
        Coroutine function that finds the `Origin` for a base time [ns], or None for none named.

    Attributes
    ----------
    origin : Origin or None
        In force now.
    """

    def __init__(self, keys: SeriesTable, find: Callable[[int | None], Awaitable[Origin | None]]) -> None:
        self.origin: Origin | None = None
        self._keys, self._find = keys, find
        self._source: SeriesTable | None = None
        self._codes: dict[str, list[int]] = {}
        self._last_basetime: tuple[int, int | None, bytes] | None = None
        # Those that were heard, and of them those that a server may repeat on a new connection.
        self._heard: set[tuple[int, int | None, bytes]] = set()
        self._repeatable: set[tuple[int, int | None, bytes]] = set()

    async def place(self, points: Points) -> tuple[list[Points], int]:
        """Place points.

        Parameters
        ----------
        points : Points
            Of one message, times since the base time [ns].

        Returns
        -------
        parts : list of Points
            With times since the epoch, in the order in which they came. The base time that a server repeats for a subscriber who
            has just joined is not among them a second time.
        unplaced : int
            Points before any base time [count].
        """
        if points.keys is not self._source:  # a new connection has a new table
            self._source, self._codes = points.keys, {}
            self._repeatable = set(self._heard)
        parts, unplaced = [], 0
        for part in _cut_at_basetimes(points):
            if points.keys[int(part.series[0])].data_type == DataType.basetime and len(part) == 1:
                if not await self._hear(part):
                    continue
            elif self.origin is None:
                self.origin = await self._find(None)
            if self.origin is None:
                unplaced += len(part)
                continue
            placed = rekeyed(part, self._keys, self.origin.measurement_uuid, self._codes)
            time_ns = part.time_ns + self.origin.basetime_ns
            parts.append(Points(time_ns, placed.series, placed.data, placed.offsets, self._keys))
        return parts, unplaced

    async def _hear(self, part: Points) -> bool:
        """Take a base time; False for one that is only repeated: it is in force again, and no point."""
        payload = part.payload(0)
        seen = (int(part.time_ns[0]), part.keys[int(part.series[0])].channel, payload)
        if seen == self._last_basetime:
            return False
        is_repeated = seen in self._repeatable
        self._repeatable.discard(seen)
        self._heard.add(seen)
        self._last_basetime = seen
        try:
            kind, seconds, nanoseconds = unpack(DataType.basetime, payload)
        except PayloadError:
            return not is_repeated  # an ordinary point that nobody can read
        basetime_ns = seconds * 10**9 + nanoseconds
        found = await self._find(basetime_ns)
        if found is not None:
            self.origin = found
        elif not self._is_worse(kind, basetime_ns):
            self.origin = Origin(basetime_ns, "", kind)
        return not is_repeated

    def _is_worse(self, kind: int, basetime_ns: int) -> bool:
        """Whether a base time tells the same start as the one in force, by a clock less good (protocol 5.8)."""
        now = self.origin
        return (
            now is not None
            and kind == BasetimeType.edge_rtc
            and now.kind in (BasetimeType.ntp, BasetimeType.gps)
            and abs(now.basetime_ns - basetime_ns) < SAME_START_NS
        )


def _cut_at_basetimes(points: Points) -> Iterator[Points]:
    """Parts in order: each base time by itself, and what stands between them."""
    codes = [code for code, key in enumerate(points.keys) if key.data_type == DataType.basetime]
    rows = np.flatnonzero(np.isin(points.series, codes)).tolist() if codes else []
    start = 0
    for row in rows:
        if row > start:
            yield points.slice(start, row)
        yield points.slice(row, row + 1)
        start = row + 1
    if start < len(points):
        yield points.slice(start, len(points))


def rekeyed(
    points: Points, keys: SeriesTable, measurement_uuid: str | None = None, codes: dict[str, list[int]] | None = None
) -> Points:
    """The same points with their series in another table.

    Parameters
    ----------
    points : Points
    keys : SeriesTable
    measurement_uuid : str, optional
        Of the series there; as it is if not given.
    codes : dict, optional
        Remembers the codes from one call to the next, for points of one table.
    """
    known = [] if codes is None else codes.setdefault(measurement_uuid or "", [])
    for code in range(len(known), len(points.keys)):
        key = points.keys[code]
        known.append(keys.code(key if measurement_uuid is None else key._replace(measurement_uuid=measurement_uuid)))
    return Points(points.time_ns, np.asarray(known, np.int32)[points.series], points.data, points.offsets, keys)
