"""Points of a measurement out to the server, section by section, each of them once."""

from __future__ import annotations

import enum
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from intdash_frames.client import history
from intdash_frames.codecs.layout import IdRule
from intdash_frames.codecs.points import Points, store_body
from intdash_frames.codecs.series import Series
from intdash_frames.codecs.table import layout_of
from intdash_frames.errors import ApiError, ConnectFailed, IntdashError, ProtocolError, TransportError
from intdash_frames.model import IdQuery
from intdash_frames.protocol.elements import ResultCode
from intdash_frames.protocol.endpoints import DATA_STORE
from intdash_frames.protocol.framing import read_acks
from intdash_frames.transport.retry import is_transient

if TYPE_CHECKING:
    from intdash_frames.client.connection import Connection

__all__ = ["SECTION_BYTES", "Fate", "Section", "Sender", "split"]

# Large enough that the round trip vanishes, small enough to be sent again without regret; a request has to stay under 2 GB (protocol 4.1).
SECTION_BYTES = 8 * 2**20
# More ids than this are read back together, since each is a part of the URL.
MOST_IDQ = 40

Row = tuple[int, int | None, int | None, bytes]


class Fate(enum.StrEnum):
    """What became of a section."""

    STORED = "stored"
    REFUSED = "refused"  # the server said no, or was never reached: nothing of it is there
    UNKNOWN = "unknown"  # sent, but neither an answer nor a look at what is there came back


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
    held : Counter
        What the measurement held in this section's range before it was first sent.
    """

    serial_number: int
    points: Points
    final: bool = False
    fate: Fate | None = None
    reason: str = ""
    sent_bytes: int = 0
    held: Counter[Row] | None = None


def split(points: Points, *, section_bytes: int) -> Iterator[Points]:
    """Cut points into runs whose store bodies stay under a size; a single larger point makes a run of its own."""
    # 36 bytes a point is the most that the protobuf fields around a payload take.
    ends = np.cumsum(np.diff(points.offsets).astype(np.int64) + 36)
    start = 0
    while start < len(points):
        before = int(ends[start - 1]) if start else 0
        stop = max(start + 1, int(np.searchsorted(ends, before + section_bytes, side="right")))
        yield points.slice(start, stop)
        start = stop


class Sender:
    """Stores sections in one measurement.

    A store has no key by which a server would know that it got it twice. So when a section was sent and its answer lost, what the
    measurement holds in the section's range is read back, and only what is missing is sent. What was there before this sender came
    is looked at first, so that it is not taken for what was sent.

    Parameters
    ----------
    connection : Connection
    measurement_uuid : str
    basetime_ns : int
        Base time in use, nanoseconds since the epoch.
    is_new : bool
        The measurement was made for this and holds nothing.
    """

    def __init__(self, connection: Connection, measurement_uuid: str, basetime_ns: int, *, is_new: bool) -> None:
        self._connection, self._uuid, self._basetime_ns = connection, measurement_uuid, basetime_ns
        self._may_hold = not is_new
        self._stored: list[Section] = []

    def look(self, points: Points) -> None:
        """Find out whether the measurement holds anything in the range and of the signals of these points."""
        if self._may_hold and len(points):
            found = next(history.points(self._connection, self._query(points), head=1), None)
            self._may_hold = found is not None

    def send(self, section: Section) -> None:
        """Store one section, again after transient failures, and write its fate into it.

        A section whose fate was `Fate.UNKNOWN` is read back before anything is sent.
        """
        policy = self._connection.transport.policy
        to_send: Points | None = section.points
        tried = 0
        try:
            if section.held is None:
                section.held = self._read(section.points) if self._may_hold else Counter()
            if section.fate is Fate.UNKNOWN:
                to_send = self._missing(section)
            while to_send is not None:
                failure = self._try(section, to_send)
                if failure is None:
                    break
                tried += 1
                if tried > policy.retries or not (is_transient(failure) or section.reason == _NACK):
                    return
                policy.sleep(policy.delay_s(tried, failure))
                if section.fate is Fate.UNKNOWN:
                    to_send = self._missing(section)
            section.fate, section.reason = Fate.STORED, ""
            self._stored.append(section)
        except (TransportError, ApiError, ProtocolError) as exc:  # of reading back; the fate is what it was
            section.fate = section.fate if section.fate is not None else Fate.REFUSED
            section.reason = f"{section.reason or 'reading back failed'}; {type(exc).__name__}: {exc}"

    def _try(self, section: Section, points: Points) -> IntdashError | None:
        """Send once; None if it was acknowledged, else why not, with the section's fate set."""
        body = store_body(points, measurement_uuid=self._uuid, serial_number=section.serial_number, final=section.final)
        try:
            section.sent_bytes += len(body)
            response = self._connection.transport.send(DATA_STORE.request(body=body))
            acks = read_acks(response.body)
        except ConnectFailed as exc:
            return self._failed(section, Fate.REFUSED, exc)
        except ApiError as exc:
            # 429 and 4xx are said before anything is done; behind a 5xx the section may have been kept.
            return self._failed(section, Fate.UNKNOWN if exc.status >= 500 else Fate.REFUSED, exc)
        except (TransportError, ProtocolError) as exc:
            return self._failed(section, Fate.UNKNOWN, exc)
        if any(ack.result_code != ResultCode.OK for ack in acks):
            section.fate, section.reason = Fate.REFUSED, _NACK
            return ApiError(200, f"{DATA_STORE.method} {DATA_STORE.path}", _NACK)
        return None

    def _failed(self, section: Section, fate: Fate, exc: IntdashError) -> IntdashError:
        # Once its fate was unknown, a later refusal does not make it known.
        section.fate = Fate.UNKNOWN if section.fate is Fate.UNKNOWN else fate
        section.reason = f"{type(exc).__name__}: {exc}"
        return exc

    def _missing(self, section: Section) -> Points | None:
        """Read back and give the points of a section that are not there; None if all are."""
        there = self._read(section.points)
        there.subtract(section.held or Counter())
        for other in self._stored:  # neighbours may share the instants at the border
            if _overlap(other.points, section.points):
                there.subtract(_rows(other.points))
        missing = []
        for row, identity in enumerate(_identities(section.points)):
            if there[identity] > 0:
                there[identity] -= 1
            else:
                missing.append(row)
        if not missing and not section.final:
            return None
        # The end of the measurement is said with the section, so a final one is sent again even if nothing of it is missing.
        return section.points.take(np.asarray(missing, np.int64))

    def _query(self, points: Points) -> history.PointsQuery:
        codes = np.unique(points.series).tolist()
        idq = tuple(_idq(points.keys[code]) for code in codes) if len(codes) <= MOST_IDQ else ()
        times = points.time_ns
        return history.PointsQuery(
            self._uuid, self._basetime_ns + int(times.min()), self._basetime_ns + int(times.max()) + 1, idq
        )

    def _read(self, points: Points) -> Counter[Row]:
        """Count the rows that the measurement holds in the range of these points; times since the base time."""
        rows: Counter[Row] = Counter()
        for batch in history.points(self._connection, self._query(points)):
            rows.update(_identities(batch, self._basetime_ns))
        return rows


_NACK = "the server answered that it did not take the section"


def _idq(key: Series) -> str:
    """Ask for a series; by any id where the payload holds none, since what a server calls it is its own choice (protocol 8)."""
    has_id = layout_of(key.data_type).id_rule is not IdRule.FIXED
    return IdQuery(key.data_type or 0, key.channel or 0, key.data_id if has_id else "*").text


def _identities(points: Points, basetime_ns: int = 0) -> Iterator[Row]:
    for row in range(len(points)):
        key = points.keys[int(points.series[row])]
        yield int(points.time_ns[row]) - basetime_ns, key.data_type, key.channel, points.payload(row)


def _rows(points: Points) -> Counter[Row]:
    return Counter(_identities(points))


def _overlap(one: Points, other: Points) -> bool:
    return bool(one.time_ns.min() <= other.time_ns.max() and other.time_ns.min() <= one.time_ns.max())
