"""Points of a measurement out to the server, section by section, each of them once."""

from __future__ import annotations

import dataclasses
import enum
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from intdash_frames.client import history
from intdash_frames.codecs.layout import IdRule
from intdash_frames.codecs.points import Points, name_points, store_body
from intdash_frames.codecs.series import Series, SeriesTable
from intdash_frames.codecs.table import layout_of
from intdash_frames.codecs.units import units_body
from intdash_frames.errors import (
    ApiError,
    ConnectFailed,
    IntdashError,
    LocalProtocolError,
    ProtocolError,
    TransportError,
    UsageError,
)
from intdash_frames.model import IdQuery
from intdash_frames.protocol.elements import ResultCode
from intdash_frames.protocol.endpoints import DATA_STORE, UNITS_STORE, Request
from intdash_frames.protocol.framing import read_acks
from intdash_frames.transport.retry import is_transient

if TYPE_CHECKING:
    from intdash_frames.client.connection import Connection

__all__ = ["AS_POINTS", "AS_UNITS", "SECTION_BYTES", "Fate", "Section", "Sender", "Way", "held_before", "split", "store_all"]

# Large enough that the round trip vanishes, small enough to be sent again without regret; 2 GB is the most (protocol 4.1).
SECTION_BYTES = 8 * 2**20
# The most that the fields of a store body take: those before the points, and those around a payload (protocol 4.1).
HEAD_BYTES, POINT_BYTES = 64, 28
# What the ids of a question may add to its URL [bytes]; many servers take 8 kB in all.
LONGEST_IDQ = 4096

Row = tuple[int, int | None, int | None, bytes]


class Fate(enum.StrEnum):
    """What became of a section."""

    STORED = "stored"
    REFUSED = "refused"  # the server said no, or was never reached: nothing of it is there
    UNKNOWN = "unknown"  # sent, but neither acknowledged nor found there: it may be, or may still come


@dataclass(frozen=True, slots=True)
class Way:
    """One of the two calls that store points.

    Attributes
    ----------
    body : callable
        ``body(points, measurement_uuid=, serial_number=, final=) -> bytes``
    request : callable
        ``request(measurement_uuid, body) -> Request``
    """

    body: Callable[..., bytes]
    request: Callable[[str, bytes], Request]


def _units_body(points: Points, *, measurement_uuid: str, serial_number: int, final: bool) -> bytes:
    return units_body(points, serial_number=serial_number, final=final)  # the path names the measurement


AS_POINTS = Way(store_body, lambda _, body: DATA_STORE.request(body=body))  # protocol 4.1
AS_UNITS = Way(_units_body, lambda uuid, body: UNITS_STORE.request(uuid=uuid, body=body))  # protocol 4.2


@dataclass(slots=True)
class Section:
    """Points that are sent together: the unit of retry and of report.

    Attributes
    ----------
    serial_number : int
    points : Points
        Times since the base time.
    final : bool
        The measurement ends with it.
    fate : Fate or None
        None until it was tried.
    reason : str
        Why it is not stored.
    sent_bytes : int
        Body bytes sent, every try counted.
    failure : IntdashError or None
        What the last try ended with, if it is not stored.
    """

    serial_number: int
    points: Points
    final: bool = False
    fate: Fate | None = None
    reason: str = ""
    sent_bytes: int = 0
    failure: IntdashError | None = None

    def overlaps(self, other: Section) -> bool:
        """Say whether the ranges of time of two sections have an instant in common."""
        ours, others = self.points.time_ns, other.points.time_ns
        return bool(ours.min() <= others.max() and others.min() <= ours.max())


def split(points: Points, *, section_bytes: int) -> Iterator[Points]:
    """Cut points into runs whose store bodies stay under a size; a single larger point makes a run of its own."""
    ends = np.cumsum(np.diff(points.offsets).astype(np.int64) + POINT_BYTES)
    start = 0
    while start < len(points):
        before = int(ends[start - 1]) if start else 0
        stop = max(start + 1, int(np.searchsorted(ends, before + section_bytes - HEAD_BYTES, side="right")))
        yield points.slice(start, stop)
        start = stop


class Sender:
    """Stores sections in one measurement.

    A store has no key by which a server would know that it got it twice. So when a section was sent and its answer lost, what is
    there in the section's range is read back, and only what is missing is sent. What the measurement held before, and what other
    sections put into the same range, is not taken for it.

    Parameters
    ----------
    connection : Connection
    measurement_uuid : str
    basetime_ns : int
        Base time in use, nanoseconds since the epoch.
    held : sequence of Points
        What the measurement held before the first section was sent; see `held_before`.
    stored : iterable of Section
        What earlier senders stored: those sections at least that overlap one that is still to be sent.
    way : Way
        By which call.

    Notes
    -----
    What another writer stores at the same time, equal to the last bit, is taken for ours; and a request that the server carries
    out only after the answer was given up for lost and looked for comes on top of its repetition.
    """

    def __init__(
        self,
        connection: Connection,
        measurement_uuid: str,
        basetime_ns: int,
        *,
        held: Sequence[Points] = (),
        stored: Iterable[Section] = (),
        way: Way = AS_POINTS,
    ) -> None:
        self._connection, self._uuid, self._basetime_ns, self._way = connection, measurement_uuid, basetime_ns, way
        self._held = held
        self._stored = list(stored)
        # A server that failed one section through all its retries gets one try a section until it takes one again: with a
        # server that is gone, a long store fails after the waits of one section, and not of each.
        self._hopeful = True

    def send(self, section: Section) -> None:
        """Store one section, again after failures that may pass, and write its fate into it.

        A section whose fate was `Fate.UNKNOWN` is read back before anything is sent.
        """
        policy = self._connection.transport.policy
        retries = policy.retries if self._hopeful else 0
        tried = 0
        try:
            to_send = self._missing(section) if section.fate is Fate.UNKNOWN else section.points
            while to_send is not None:
                failure = self._try(section, to_send)
                if failure is None:
                    break
                tried += 1
                again = tried <= retries and _may_pass(failure)
                if again:
                    policy.wait(tried, failure)
                if section.fate is Fate.UNKNOWN:
                    to_send = self._missing(section)
                if not again and to_send is not None:
                    self._hopeful = tried <= retries
                    return
        except (TransportError, ApiError, ProtocolError) as exc:  # of reading back; the fate stays unknown
            section.reason = f"{section.reason}; reading back: {type(exc).__name__}: {exc}"
            self._hopeful = False
            return
        section.fate, section.reason, section.failure = Fate.STORED, "", None
        self._stored.append(section)
        self._hopeful = True

    def _try(self, section: Section, points: Points) -> IntdashError | None:
        """Send once; None if it was acknowledged, else why not, with the section's fate set."""
        body = self._way.body(points, measurement_uuid=self._uuid, serial_number=section.serial_number, final=section.final)
        section.sent_bytes += len(body)
        try:
            self._deliver(body)
        except (ApiError, TransportError, ProtocolError) as exc:
            # Once its fate was unknown, a later refusal does not make it known: an earlier try may have left a part.
            is_unknown = section.fate is Fate.UNKNOWN or _may_be_kept(exc)
            section.fate = Fate.UNKNOWN if is_unknown else Fate.REFUSED
            section.reason = f"{type(exc).__name__}: {exc}"
            section.failure = exc.with_traceback(None)  # which would hold the body
            return exc
        return None

    def _deliver(self, body: bytes) -> None:
        request = self._way.request(self._uuid, body)
        acks = read_acks(self._connection.transport.send(request).body)
        if any(ack.result_code != ResultCode.OK for ack in acks):
            raise ApiError(200, request.endpoint, "the server says that it did not take the section")

    def _missing(self, section: Section) -> Points | None:
        """Read back and give the points of a section that are not there; None if all are."""
        low, high = int(section.points.time_ns.min()), int(section.points.time_ns.max())
        there: Counter[Row] = Counter()
        for batch in _read(self._connection, self._uuid, self._basetime_ns, [section.points]):
            there.update(_rows(batch))
        for before in self._held:
            there.subtract(_rows(_within(before, low, high)))
        for other in self._stored:
            if other.overlaps(section):  # neighbours may share the instants at their border
                there.subtract(_rows(_within(other.points, low, high)))
        missing = []
        for row, identity in enumerate(_rows(section.points)):
            if there[identity] > 0:
                there[identity] -= 1
            else:
                missing.append(row)
        if not missing and not section.final:
            return None
        # The end of the measurement is said with the section, so a final one is sent again even if nothing of it is missing.
        return section.points.take(np.asarray(missing, np.int64))


def store_all(
    connection: Connection,
    measurement_uuid: str,
    points: Points,
    *,
    way: Way,
    serial_number: int = 0,
    final: bool = True,
    section_bytes: int = SECTION_BYTES,
) -> None:
    """Store points, all of them or with an error that says what is there.

    Parameters
    ----------
    connection : Connection
    measurement_uuid : str
    points : Points
        Times since the base time; what `way` can carry.
    way : Way
        By which call.
    serial_number : int
        Of the first section; those behind it count up.
    final : bool
        The measurement ends with the last section.
    section_bytes : int
        Size of a request, at most, unless a single point is larger.

    Raises
    ------
    UsageError
        If the measurement has no base time, without which nothing can be read back; nothing was sent.
    ApiError, TransportError, ProtocolError
        Of the first section that is not known to be stored; a note says which it is. Those behind it are not sent.
    """
    measurement = connection.measurements.get(measurement_uuid)
    if measurement.basetime is None:
        raise UsageError(f"measurement {measurement_uuid} has no base time; set one before storing in it")
    basetime_ns = int(measurement.basetime.as_unit("ns").value)
    runs = list(split(points, section_bytes=section_bytes)) or [points]
    sections = [Section(serial_number + number, run) for number, run in enumerate(runs)]
    held = held_before(connection, measurement_uuid, basetime_ns, sections) if len(points) else ()
    sender = Sender(connection, measurement_uuid, basetime_ns, held=held, way=way)
    for number, section in enumerate(sections):
        section.final = final and section is sections[-1]
        sender.send(section)
        if section.fate is not Fate.STORED:
            failure = section.failure or LocalProtocolError(section.reason)  # without one, no body could be written
            state = "may be stored" if section.fate is Fate.UNKNOWN else "is not stored"
            failure.add_note(
                f"section {section.serial_number} {state}, {number} of {len(sections)} sections are. {section.reason}"
            )
            raise failure


def held_before(connection: Connection, measurement_uuid: str, basetime_ns: int, sections: Sequence[Section]) -> list[Points]:
    """Read what a measurement holds in the range and of the types and channels of what is going to be sent.

    Returns
    -------
    list of Points
        Times since the base time.

    Raises
    ------
    IntdashError
        If it cannot be read; nothing was sent.
    """
    parts = [section.points for section in sections]
    return list(_read(connection, measurement_uuid, basetime_ns, parts)) if parts else []


def _read(connection: Connection, measurement_uuid: str, basetime_ns: int, parts: Sequence[Points]) -> Iterator[Points]:
    """Read what is there in the range, and of the types and channels, of some points."""
    series = {key for part in parts for key in _named(part)}
    low = min(int(part.time_ns.min()) for part in parts)
    high = max(int(part.time_ns.max()) for part in parts)
    query = history.PointsQuery(measurement_uuid, basetime_ns + low, basetime_ns + high + 1, _idq(series))
    channels = {(key.data_type, key.channel) for key in series}
    for batch in history.points(connection, query):
        wanted = np.asarray([(key.data_type, key.channel) in channels for key in batch.keys], np.bool_)[batch.series]
        ours = batch if wanted.all() else batch.take(np.flatnonzero(wanted))
        yield dataclasses.replace(ours, time_ns=ours.time_ns - basetime_ns)


def _named(points: Points) -> SeriesTable:
    """Name points as a server will: by their payloads, whatever the frame that they came from calls them."""
    channels = np.asarray([key.channel for key in points.keys], np.int64)[points.series]
    types = np.asarray([key.data_type for key in points.keys], np.int64)[points.series]
    return name_points(points.time_ns, channels, types, points.data, points.offsets, "").keys


def _idq(series: Iterable[Series]) -> tuple[str, ...]:
    """Ask for series one by one, by channel if they are many, or for everything.

    A series whose payload holds no id is asked for by any id, since what a server calls it is its own choice (protocol 8).
    """

    def asked(key: Series, *, by_id: bool) -> str:
        by_id = by_id and layout_of(key.data_type).id_rule in (IdRule.NUMBER, IdRule.NAME)
        return IdQuery(key.data_type or 0, key.channel or 0, key.data_id if by_id else "*").text

    for by_id in (True, False):
        found = sorted({asked(key, by_id=by_id) for key in series})
        if sum(3 * len(each.encode()) + len("&idq=") for each in found) <= LONGEST_IDQ:  # quoting may triple it
            return tuple(found)
    return ()


def _may_be_kept(failure: IntdashError) -> bool:
    """Say whether a section may be there although sending it failed.

    Not where no connection was made; and 429, 4xx and a negative acknowledgement are said before anything is done.
    """
    return failure.status >= 500 if isinstance(failure, ApiError) else not isinstance(failure, ConnectFailed)


def _may_pass(failure: IntdashError) -> bool:
    """Say whether another try makes sense; a section that was not taken (behind a status 200) may be, a little later."""
    return is_transient(failure) or (isinstance(failure, ApiError) and failure.status == 200)


def _within(points: Points, low_ns: int, high_ns: int) -> Points:
    return points.take(np.flatnonzero((points.time_ns >= low_ns) & (points.time_ns <= high_ns)))


def _rows(points: Points) -> Iterator[Row]:
    """Give what tells a stored point from others; only where an answer was lost."""
    for row in range(len(points)):
        key = points.keys[int(points.series[row])]
        yield int(points.time_ns[row]), key.data_type, key.channel, points.payload(row)
