"""Frames -> a measurement on the server, and an account of what is there afterwards."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from intdash_frames import timebase
from intdash_frames.client.newest import newest_connection
from intdash_frames.client.sections import SECTION_BYTES, Fate, Section, Sender, split
from intdash_frames.codecs.points import Points, check_storable
from intdash_frames.codecs.series import SeriesTable
from intdash_frames.errors import IncompleteStore, LocalProtocolError, UsageError
from intdash_frames.frames.columns import points_of
from intdash_frames.frames.progress import Progress, ProgressOption
from intdash_frames.frames.query import Frames
from intdash_frames.frames.sheet import sheet_of
from intdash_frames.frames.sources import read_source
from intdash_frames.model import Measurement

if TYPE_CHECKING:
    import pandas as pd

    from intdash_frames.client.connection import Connection

__all__ = ["StoreResult", "store"]


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
        Body bytes sent, every try counted.
    seconds : float
        Time it took.
    """

    measurement: Measurement | None
    points: int
    sections: int
    bytes: int
    seconds: float
    # What `resume=` needs; sections that were stored keep their numbers only.
    _left: tuple[Section, ...] = field(default=(), repr=False)
    _ends: bool = field(default=False, repr=False)

    @property
    def complete(self) -> bool:
        """Whether every point is on the server."""
        return not self._left

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
                timebase.timedelta(int(section.points.time_ns.min())) if len(section.points) else None,
                timebase.timedelta(int(section.points.time_ns.max())) if len(section.points) else None,
                str(section.fate),
                section.reason,
            )
            for section in self._left
        ]
        return pd.DataFrame(rows, columns=["serial_number", "points", "first", "last", "fate", "reason"])


def store(
    data: Any,
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
        time axis becomes one signal per column: floats ``float``, integers and booleans ``int``, text ``string``, bytes ``bytes``;
        the data id is the name of the column, and missing values are not stored.
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
    if errors not in ("raise", "collect"):
        raise UsageError(f"errors={errors!r}; expected 'raise' or 'collect'")
    for argument, value in (("final", final), ("dry_run", dry_run)):
        if not isinstance(value, bool):
            raise UsageError(f"{argument}={value!r}; expected True or False")
    if isinstance(section_bytes, bool) or not isinstance(section_bytes, int) or not 1 <= section_bytes < 2**31:
        raise UsageError(f"section_bytes={section_bytes!r}; expected a number of bytes from 1 to {2**31 - 1}")
    if resume is not None:
        if not isinstance(resume, StoreResult) or (resume.measurement is None and resume._left):
            raise UsageError(f"resume={resume!r}; expected the StoreResult of a store that was not complete")
        if resume.complete or resume.measurement is None:
            return resume
        return _send(
            _connection(client), resume.measurement, list(resume._left), False, resume._ends, errors, progress, began, resume
        )

    if isinstance(channel, bool) or not isinstance(channel, (int, np.integer)) or not 0 <= channel <= 255:
        raise UsageError(f"channel={channel!r}; expected 0 to 255")
    points, elapsed = _points(data, channel=int(channel), signals=signals)
    if measurement is not None and (edge is not None or name is not None):
        raise UsageError("measurement= is given, so edge= and name= of a new one mean nothing; leave them out")
    connection = None if dry_run and measurement is None else _connection(client)
    target = None
    if measurement is not None:
        assert connection is not None
        target = _measurement(connection, measurement)
        basetime_ns = _basetime_ns(target)
    else:
        first = int(points.time_ns.min()) if len(points) else 0
        basetime_ns = timebase.moment_ns("now") if elapsed or not len(points) else first
    if not elapsed:
        points = Points(points.time_ns - basetime_ns, points.series, points.data, points.offsets, points.keys)
        if len(points) and target is not None and int(points.time_ns.min()) < 0:
            raise LocalProtocolError(
                f"the first stamp is {timebase.to_iso(basetime_ns + int(points.time_ns.min()))}, before the base time "
                f"{timebase.to_iso(basetime_ns)} of measurement {target.uuid}; expected stamps at or after it"
            )
    check_storable(points)
    runs = list(split(points, section_bytes=section_bytes))
    if dry_run or connection is None:
        size = sum(len(run.data[run.offsets[0] : run.offsets[-1]]) for run in runs)
        return StoreResult(target, len(points), len(runs), size, time.perf_counter() - began)
    is_new = target is None
    if target is None:
        target = connection.measurements.create(
            edge_uuid=_edge_uuid(connection, edge),
            basetime=timebase.timestamp(basetime_ns),
            basetime_type="manual",
            name=name or "",
        )
    sections = [Section(serial, run) for serial, run in enumerate(runs)]
    return _send(connection, target, sections, is_new, final, errors, progress, began, None)


def _send(
    connection: Connection,
    target: Measurement,
    sections: Sequence[Section],
    is_new: bool,
    ends: bool,
    errors: str,
    progress: ProgressOption,
    began: float,
    before: StoreResult | None,
) -> StoreResult:
    """Send sections in order; the last one ends the measurement, but only if everything before it is there."""
    sender = Sender(connection, target.uuid, _basetime_ns(target), is_new=is_new)
    if sections and before is None:
        sender.look(Points.concat([section.points for section in sections]))
    total = sum(len(section.points) for section in sections)
    sent, done, left = 0, 0, list[Section]()
    with Progress(progress, total=total, label="storing") as bar:
        for position, section in enumerate(sections):
            section.final = ends and position == len(sections) - 1 and not left
            already = section.sent_bytes
            sender.send(section)
            sent += section.sent_bytes - already
            if section.fate is not Fate.STORED:
                left.append(section)
            done += len(section.points)
            bar.update(done, points=len(section.points), size_bytes=section.sent_bytes - already)
    if ends and not sections:
        connection.measurements.update(uuid=target.uuid, ended=True)
    stored = [section for section in sections if section.fate is Fate.STORED]
    result = StoreResult(
        connection.measurements.get(uuid=target.uuid) if not left else target,
        sum(len(section.points) for section in stored) + (before.points if before else 0),
        len(stored) + (before.sections if before else 0),
        sent + (before.bytes if before else 0),
        time.perf_counter() - began + (before.seconds if before else 0),
        tuple(left),
        ends,
    )
    if left and errors == "raise":
        first = left[0]
        raise IncompleteStore(
            f"{len(left)} of {len(sections)} sections are not known to be stored; section {first.serial_number}: {first.reason}. "
            ".result.failed lists them; store(resume=error.result) sends what is missing",
            result=result,
        )
    return result


def _points(data: Any, *, channel: int, signals: Mapping[str, Any] | None) -> tuple[Points, bool]:
    """Read everything that is to be stored: points in order of time, and whether their times count from the base time."""
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


def _measurement(connection: Connection, value: Any) -> Measurement:
    found = read_source(value, None, None).measurements
    if len(found) != 1:
        raise UsageError(f"measurement={value!r} names {len(found)} measurements; expected one")
    return connection.measurements.get(uuid=found[0] if isinstance(found[0], str) else found[0].uuid)


def _basetime_ns(measurement: Measurement) -> int:
    if measurement.basetime is None:
        raise UsageError(f"measurement {measurement.uuid} has no base time; set one before storing in it")
    return int(measurement.basetime.as_unit("ns").value)


def _edge_uuid(connection: Connection, edge: Any) -> str:
    import uuid

    if edge is None:
        return connection.edges.me().uuid
    text = getattr(edge, "uuid", edge)
    try:
        return str(uuid.UUID(str(text)))
    except ValueError:
        pass
    found = [each for each in connection.edges.list(name=f'"{text}"') if each.name == text]
    if len(found) != 1:
        raise UsageError(f"edge={edge!r}: the server has {len(found)} edges of that name; expected a name, a UUID or an Edge")
    return found[0].uuid
