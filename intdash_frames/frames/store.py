"""Frames -> a measurement on the server, and an account of what is there afterwards."""

from __future__ import annotations

import dataclasses
import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from intdash_frames import timebase
from intdash_frames.client.newest import newest_connection
from intdash_frames.client.sections import SECTION_BYTES, Fate, Section, Sender, held_before, split
from intdash_frames.codecs.points import Points, check_storable, store_body
from intdash_frames.codecs.series import SeriesTable
from intdash_frames.errors import ApiError, IncompleteStore, LocalProtocolError, ProtocolError, TransportError, UsageError
from intdash_frames.frames.columns import points_of
from intdash_frames.frames.progress import Progress, ProgressOption, check_progress
from intdash_frames.frames.query import Frames
from intdash_frames.frames.sheet import sheet_of
from intdash_frames.frames.sources import edge_uuid, read_source
from intdash_frames.model import Measurement

if TYPE_CHECKING:
    import pandas as pd

    from intdash_frames.client.connection import Connection

__all__ = ["StoreResult", "basetime_ns_of", "measurement_of", "points_in", "since", "store"]

# For the size of what would be sent to a measurement that is yet to be made; all uuids are of the same length.
ANY_UUID = "00000000-0000-0000-0000-000000000000"


@dataclass(frozen=True, slots=True)
class _Rest:
    """What a store leaves behind for the one that resumes it.

    Attributes
    ----------
    left : tuple of Section
        Not known to be stored.
    near : tuple of Section
        Stored, and sharing instants with one that is left: their points are not to be taken for its.
    held : sequence of Points
        What the measurement held before, in the range of the whole store.
    ends : bool
        The measurement ends with the last section.
    """

    left: tuple[Section, ...]
    near: tuple[Section, ...]
    held: Sequence[Points]
    ends: bool


@dataclass(frozen=True)
class StoreResult:
    """What a store did.

    Attributes
    ----------
    measurement : Measurement or None
        Where the points are, as the server showed it afterwards; None after a dry run.
    points : int
        Points acknowledged [count]; after a dry run, points that would be stored.
    sections : int
        Sections acknowledged [count]; after a dry run, that would be sent.
    bytes : int
        Body bytes sent [count], every try counted; after a dry run, that would be sent.
    seconds : float
        Time it took.
    """

    measurement: Measurement | None
    points: int
    sections: int
    bytes: int
    seconds: float
    # What `resume=` needs; None after a dry run.
    _rest: _Rest | None = field(default=None, repr=False)

    @property
    def complete(self) -> bool:
        """Whether every point is on the server."""
        return self._rest is not None and not self._rest.left

    @property
    def failed(self) -> pd.DataFrame:
        """What is not known to be on the server: a row a section, empty if everything is.

        Columns ``serial_number``, ``points``, ``first`` and ``last`` [elapsed time], ``fate`` ("refused": nothing of it is there;
        "unknown": it was sent and may be), ``reason``.
        """
        import pandas as pd

        rows = [
            (
                section.serial_number,
                len(section.points),
                timebase.timedelta(int(section.points.time_ns.min())),
                timebase.timedelta(int(section.points.time_ns.max())),
                str(section.fate),
                section.reason,
            )
            for section in (self._rest.left if self._rest is not None else ())
        ]
        return pd.DataFrame(rows, columns=["serial_number", "points", "first", "last", "fate", "reason"])


def store(
    data: Any = None,
    measurement: Any = None,
    *,
    client: Any = None,
    edge: Any = None,
    name: str | None = None,
    channel: int = 1,
    signals: Mapping[str, Any] | None = None,
    final: bool = True,
    errors: Literal["raise", "collect"] = "raise",
    section_bytes: int = SECTION_BYTES,
    progress: ProgressOption = "auto",
    dry_run: bool = False,
    resume: StoreResult | None = None,
) -> StoreResult:
    """Store a frame, table or query result in a measurement.

    Parameters
    ----------
    data : DataFrame, Table, Frames, or mapping or list of them
        What came from `Client.frames` goes back to the same payload bytes, whichever sink it came through. Any other frame with a
        time axis becomes one signal per column: floats ``float``, integers and booleans ``int``, text ``string``, bytes
        ``bytes``; the data id is the name of the column, and missing values are not stored.
    measurement : str or Measurement, optional
        Where to; a new one is made if not given, its base time the first stamp (for elapsed times: now).
    client : Client, optional
        The newest one if not given.
    edge : str or Edge, optional
        Whose the new measurement is: name or UUID; the client's own edge if not given.
    name : str, optional
        Of the new measurement.
    channel : int
        Of columns that do not say it, 0 to 255.
    signals : mapping of str to str, optional
        Signal of a column, such as ``{"v": "float:3/speed"}``.
    final : bool
        The measurement ends with this.
    errors : {"raise", "collect"}
        Whether an incomplete store raises `IncompleteStore`, or is returned with `StoreResult.failed` filled.
    section_bytes : int
        Size of a request, at most, unless a single point is larger; the unit of retry.
    progress : "auto", bool or callable
    dry_run : bool
        Do everything but send.
    resume : StoreResult, optional
        Send what failed in an earlier call, and nothing twice; `data` is not looked at.

    Returns
    -------
    StoreResult

    Raises
    ------
    UsageError, PayloadError, LocalProtocolError
        If something cannot be stored; nothing was sent.
    IncompleteStore
        If sections failed after all retries; ``.result`` goes into ``resume=``.
    ApiError, TransportError
        If the measurement cannot be made or found.
    """
    began = time.perf_counter()
    _check_options(channel=channel, final=final, errors=errors, section_bytes=section_bytes, progress=progress, dry_run=dry_run)
    if resume is not None:
        return _resume(resume, client, errors=errors, progress=progress, dry_run=dry_run, began=began)
    if measurement is not None and (edge is not None or name is not None):
        raise UsageError("measurement= is given, so edge= and name= of a new one mean nothing; leave them out")
    points, elapsed = points_in(data, channel=int(channel), signals=signals)
    connection = None if dry_run and measurement is None else _connection(client)
    target = None
    if measurement is not None:
        assert connection is not None
        target = measurement_of(connection, measurement)
    points, basetime_ns = _placed(points, elapsed, target)
    sections = [Section(serial, run) for serial, run in enumerate(split(points, section_bytes=section_bytes))]
    if dry_run or connection is None:
        return StoreResult(target, len(points), len(sections), _size(sections, final), time.perf_counter() - began)
    held: Sequence[Points] = ()
    if target is None:
        target = connection.measurements.create(
            edge_uuid=edge_uuid(connection, edge),
            basetime=timebase.timestamp(basetime_ns),
            basetime_type="manual",
            name="" if name is None else name,
        )
    else:
        held = held_before(connection, target.uuid, basetime_ns, sections)
    rest = _Rest(tuple(sections), (), held, final)
    return _send(connection, StoreResult(target, 0, 0, 0, 0.0, rest), errors, progress, began)


def _check_options(
    *, channel: int, final: bool, errors: str, section_bytes: int, progress: ProgressOption, dry_run: bool
) -> None:
    if errors not in ("raise", "collect"):
        raise UsageError(f"errors={errors!r}; expected 'raise' or 'collect'")
    for argument, value in (("final", final), ("dry_run", dry_run)):
        if not isinstance(value, bool):
            raise UsageError(f"{argument}={value!r}; expected True or False")
    if isinstance(section_bytes, bool) or not isinstance(section_bytes, int) or not 1 <= section_bytes < 2**31:
        raise UsageError(f"section_bytes={section_bytes!r}; expected a number of bytes from 1 to {2**31 - 1}")
    if isinstance(channel, bool) or not isinstance(channel, (int, np.integer)) or not 0 <= channel <= 255:
        raise UsageError(f"channel={channel!r}; expected 0 to 255")
    check_progress(progress)


def _resume(
    before: StoreResult, client: Any, *, errors: str, progress: ProgressOption, dry_run: bool, began: float
) -> StoreResult:
    if not isinstance(before, StoreResult):
        raise UsageError(f"resume={before!r}; expected the StoreResult of a store that was not complete, such as error.result")
    if before._rest is None or dry_run:
        raise UsageError("a dry run sends nothing, so there is nothing to resume; leave out resume= or dry_run=")
    if before.complete:
        return before
    assert before.measurement is not None
    connection = _connection(client)
    # Its base time may have been moved meanwhile, and with it what is read back.
    target = connection.measurements.get(uuid=before.measurement.uuid)
    return _send(connection, dataclasses.replace(before, measurement=target), errors, progress, began)


def _placed(points: Points, elapsed: bool, target: Measurement | None) -> tuple[Points, int]:
    """Count times from the base time: that of the measurement, or for a new one the first stamp (for elapsed times: now)."""
    if target is not None:
        basetime_ns = basetime_ns_of(target)
    elif elapsed or not len(points):
        basetime_ns = timebase.moment_ns("now")
    else:
        basetime_ns = int(points.time_ns.min())
    if not elapsed:
        points = since(points, basetime_ns)
    check_storable(points)
    return points, basetime_ns


def since(points: Points, basetime_ns: int) -> Points:
    """Count absolute times from a base time.

    Raises
    ------
    LocalProtocolError
        If one is before it.
    """
    if not len(points):
        return points
    first_ns = int(points.time_ns.min())
    if first_ns < basetime_ns:
        raise LocalProtocolError(
            f"the first stamp is {timebase.to_iso(first_ns)}, before the base time {timebase.to_iso(basetime_ns)} of the "
            "measurement; expected stamps at or after it"
        )
    return dataclasses.replace(points, time_ns=points.time_ns - basetime_ns)


def _size(sections: Sequence[Section], ends: bool) -> int:
    """Body bytes that sections would take."""
    return sum(
        len(
            store_body(
                section.points,
                measurement_uuid=ANY_UUID,
                serial_number=section.serial_number,
                final=ends and section is sections[-1],
            )
        )
        for section in sections
    )


def _send(connection: Connection, before: StoreResult, errors: str, progress: ProgressOption, began: float) -> StoreResult:
    """Send what is left, in order; the last section ends the measurement, but only if everything before it is there."""
    target, rest = before.measurement, before._rest
    assert target is not None
    assert rest is not None
    sender = Sender(connection, target.uuid, basetime_ns_of(target), held=rest.held, stored=rest.near)
    sections, left, sent, done = rest.left, list[Section](), 0, 0
    with Progress(progress, total=sum(len(section.points) for section in sections), label="storing") as bar:
        for section in sections:
            section.final = rest.ends and section is sections[-1] and not left
            already = section.sent_bytes
            sender.send(section)
            size = section.sent_bytes - already
            if section.fate is not Fate.STORED:
                left.append(section)
            sent, done = sent + size, done + len(section.points)
            bar.update(done, points=len(section.points), size_bytes=size)
    if rest.ends and not sections:
        connection.measurements.update(uuid=target.uuid, ended=True)
    stored = [section for section in sections if section.fate is Fate.STORED]
    near = [each for each in (*rest.near, *stored) if any(each.overlaps(other) for other in left)]
    result = StoreResult(
        target if left else _as_it_is_now(connection, target),
        before.points + sum(len(section.points) for section in stored),
        before.sections + len(stored),
        before.bytes + sent,
        before.seconds + time.perf_counter() - began,
        _Rest(tuple(left), tuple(near), rest.held if left else (), rest.ends),
    )
    if left and errors == "raise":
        first = left[0]
        raise IncompleteStore(
            f"{len(left)} of {len(sections)} sections are not known to be stored; section {first.serial_number}: {first.reason}. "
            ".result.failed lists them; store(resume=error.result) sends what is missing",
            result=result,
        )
    return result


def _as_it_is_now(connection: Connection, target: Measurement) -> Measurement:
    try:
        return connection.measurements.get(uuid=target.uuid)
    except (ApiError, TransportError, ProtocolError) as exc:
        # Everything is stored: to raise would make the caller store it once more.
        warnings.warn(f"everything is stored, but measurement {target.uuid} cannot be shown as it is now: {exc}", stacklevel=5)
        return target


def points_in(data: Any, *, channel: int, signals: Mapping[str, Any] | None) -> tuple[Points, bool]:
    """Read everything that is to be stored.

    Parameters
    ----------
    data, channel, signals
        As for `store`.

    Returns
    -------
    points : Points
        In order of time where several frames were given, else in the order of the rows.
    elapsed : bool
        Whether their times count from the base time.
    """
    parts: list[Points] = []
    keys = SeriesTable()
    kinds = set()
    for each in _several(data):
        if isinstance(each, Frames):
            from intdash_frames.frames import envelope

            kinds.add(False)
            parts += envelope.to_points(each.to_arrow(), keys)
            continue
        sheet = sheet_of(each)
        kinds.add(sheet.elapsed)
        parts += points_of(sheet, keys, channel=channel, signals=signals)
    if len(kinds) > 1:
        raise UsageError("some frames have absolute stamps and some elapsed ones; expected all of one kind")
    points = Points.concat(parts, keys)
    if len(parts) > 1 and (np.diff(points.time_ns) < 0).any():
        points = points.take(np.argsort(points.time_ns, kind="stable"))
    return points, bool(kinds) and kinds.pop()


def _several(data: Any) -> list[Any]:
    if isinstance(data, Mapping):
        return list(data.values())
    return list(data) if isinstance(data, (list, tuple)) else [data]


def _connection(client: Any) -> Connection:
    from intdash_frames.client.connection import Connection

    if client is None:
        return newest_connection()
    connection = getattr(client, "connection", client)
    if not isinstance(connection, Connection):
        raise UsageError(f"client={client!r}; expected a Client")
    return connection


def measurement_of(connection: Connection, value: Any) -> Measurement:
    """Get the one measurement that a value names."""
    found = read_source(value, None, None).measurements
    if len(found) != 1:
        raise UsageError(f"measurement={value!r} names {len(found)} measurements; expected one")
    return connection.measurements.get(uuid=found[0] if isinstance(found[0], str) else found[0].uuid)


def basetime_ns_of(measurement: Measurement) -> int:
    """Give the base time in use [ns since the epoch]."""
    if measurement.basetime is None:
        raise UsageError(f"measurement {measurement.uuid} has no base time; set one before storing in it")
    return int(measurement.basetime.as_unit("ns").value)
