"""`Client.import_`: measurements made again from a folder, payload for payload, each section once."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np

from intdash_frames import timebase
from intdash_frames.client.sections import SECTION_BYTES, Fate, Section, Sender, split
from intdash_frames.codecs.points import Points, check_storable
from intdash_frames.codecs.series import SeriesTable
from intdash_frames.errors import IncompleteStore, IntdashError, UsageError
from intdash_frames.export.ledger import Ledger
from intdash_frames.folder.cell import Cell
from intdash_frames.folder.manifest import Manifest, Part, read_manifest
from intdash_frames.folder.read import one_ahead, read_part
from intdash_frames.frames.progress import Progress, ProgressOption, check_progress
from intdash_frames.frames.reading import FAILURES
from intdash_frames.frames.sources import edge_uuid
from intdash_frames.model import Measurement, MeasurementMarker
from intdash_frames.model.form import dump, load

if TYPE_CHECKING:
    from intdash_frames.client.connection import Connection

__all__ = ["ImportReport", "import_"]

PAGE: Final = 1000
Read = tuple[Points, int]
# The fields of a marker that are copied; the others are the server's.
MARKER_FIELDS: Final = ("type", "detail", "name", "description", "tag")


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What an import did.

    Attributes
    ----------
    path : Path
        The folder.
    measurements : dict of str to str
        Which measurement each of the folder's has become (UUIDs).
    points, sections, bytes : int
        Acknowledged in this call; body bytes sent, every try counted [count].
    skipped : tuple of dict
        What cannot be stored by its nature: ``measurement``, ``points``, ``reason``.
    failed : tuple of dict
        What is not there (yet): ``measurement``, ``points``, ``reason``.
    seconds : float
    complete : bool
        Whether everything of the folder is on the server.
    """

    path: Path
    measurements: dict[str, str]
    points: int
    sections: int
    bytes: int
    skipped: tuple[dict[str, Any], ...]
    failed: tuple[dict[str, Any], ...]
    seconds: float
    complete: bool


def import_(
    connection: Connection,
    path: Any,
    *,
    edge: Any = None,
    resume: bool = True,
    errors: Literal["raise", "collect"] = "raise",
    progress: ProgressOption = "auto",
    section_bytes: int = SECTION_BYTES,
) -> ImportReport:
    """Make the measurements of an exported folder again; see `Client.import_`."""
    began = time.perf_counter()
    if errors not in ("raise", "collect"):
        raise UsageError(f"errors={errors!r}; expected 'raise' or 'collect'")
    if not isinstance(resume, bool):
        raise UsageError(f"resume={resume!r}; expected True or False")
    check_progress(progress)
    folder, manifest = _opened(path)
    chosen = None if edge is None else edge_uuid(connection, edge)
    total = sum(file.rows for file in manifest.files)
    with Ledger(folder, connection.url, resume=resume) as ledger, Progress(progress, total=total, label="importing") as bar:
        run = _Run(connection, folder, manifest, ledger, bar, section_bytes)
        edges = _Edges(connection, chosen)
        for uuid in sorted(manifest.measurements):
            run.measurement(uuid, edges)
    report = ImportReport(
        path=folder,
        measurements=dict(sorted(ledger.targets.items())),
        points=run.points,
        sections=run.sections,
        bytes=run.sent_bytes,
        skipped=tuple(run.skipped),
        failed=tuple(run.failed),
        seconds=time.perf_counter() - began,
        complete=not run.failed and not run.skipped and not manifest.failed,
    )
    if errors == "raise" and run.failed:
        first = run.failed[0]
        raise IncompleteStore(
            f"not all of {str(folder)!r} is on the server: {len(run.failed)} parts failed, first of {first['measurement']}: "
            f"{first['reason']}. The same call again sends what is missing",
            result=report,
        ) from run.failure
    return report


def _opened(path: Any) -> tuple[Path, Manifest]:
    try:
        folder = Path(path)
    except TypeError as exc:
        raise UsageError(f"path={path!r} is no folder of an export: {exc}") from exc
    manifest = read_manifest(folder)
    if manifest is None:
        raise UsageError(f"{str(folder)!r} has no manifest.json; expected the folder of an export that came to its end")
    if manifest.query["labels"]:
        raise UsageError(f"{str(folder)!r} holds converted signals {manifest.query['labels']}, not what was recorded")
    return folder, manifest


class _Edges:
    """Whose the new measurements are: the edge that was chosen, else the one they were of, else the client's own."""

    def __init__(self, connection: Connection, chosen: str | None) -> None:
        self._connection, self._chosen = connection, chosen
        self._there: set[str] | None = None

    def of(self, edge: str) -> str:
        if self._chosen is not None:
            return self._chosen
        if self._there is None:
            self._there = {each.uuid for page in self._connection.edges.list(limit=PAGE, iterator=True) for each in page}
        if edge not in self._there:
            self._chosen = self._connection.edges.me().uuid
            return self._chosen
        return edge


@dataclass
class _Run:
    """One run of an import."""

    connection: Connection
    folder: Path
    manifest: Manifest
    ledger: Ledger
    bar: Progress
    section_bytes: int
    points: int = 0
    sections: int = 0
    sent_bytes: int = 0
    skipped: list[dict[str, Any]] = field(default_factory=list)
    failed: list[dict[str, Any]] = field(default_factory=list)
    failure: BaseException | None = None

    def measurement(self, uuid: str, edges: _Edges) -> None:
        """Make a measurement, or go on with it."""
        described = self.manifest.measurements[uuid]
        record, parts = load(Measurement, described["record"]), self.manifest.parts_of(uuid)
        failed = len(self.failed)
        try:
            target = self._made(uuid, record, edges)
            self._describe(target, record, described)
            self._send(parts, target, _basetime_ns(record))
            if len(self.failed) == failed and uuid not in self.ledger.finished:
                if record.ended:
                    self.connection.measurements.update(target, ended=True)
                if record.protected:
                    self.connection.measurements.protect(target)
                self.ledger.finish(uuid)
        except FAILURES as exc:
            self._fail(parts[0] if parts else Part(uuid, Cell(0), ()), exc)

    # --- the measurement and what belongs to it

    def _made(self, uuid: str, record: Measurement, edges: _Edges) -> str:
        if uuid in self.ledger.targets:
            return self.ledger.targets[uuid]
        edge = edges.of(record.edge_uuid)
        # Killed between making it and writing it down, an earlier import left an empty one.
        target = self._left_empty(edge, record) if uuid in self.ledger.begun else None
        if target is None:
            self.ledger.begin(uuid)
            kind = record.basetime_type if record.basetime_type is not None else "manual"
            target = self.connection.measurements.create(edge, record.basetime, kind, record.name, record.description).uuid
        self.ledger.made(uuid, target)
        return target

    def _left_empty(self, edge: str, record: Measurement) -> str | None:
        basetime_ns = _basetime_ns(record)
        around = {"start": timebase.timestamp(basetime_ns), "end": timebase.timestamp(basetime_ns + 1000)}
        pages = self.connection.measurements.list(**around, edge_uuid=edge, limit=PAGE, iterator=True)
        taken = set(self.ledger.targets.values())
        for each in (each for page in pages for each in page):
            same = (each.basetime, each.name, each.description) == (record.basetime, record.name, record.description)
            if same and not each.ended and not each.duration and each.uuid not in taken and each.uuid != record.uuid:
                return each.uuid
        return None

    def _describe(self, target: str, record: Measurement, described: dict[str, Any]) -> None:
        """Give it its base times and markers, those that it has not."""
        if record.uuid in self.ledger.finished:
            return
        for each in described["basetimes"]:
            if each["basetime"] is not None:
                self.connection.measurement_basetimes.update(target, each["basetime"], each["type"])
        if not described["markers"]:
            return
        there = [_marker(dump(each)) for each in self.connection.measurement_markers.list(target)]
        for each in described["markers"]:
            if _marker(each) in there:
                there.remove(_marker(each))
                continue
            marker = load(MeasurementMarker, each)
            self.connection.measurement_markers.create(
                target, marker.type, marker.detail, marker.name, marker.description, marker.tag
            )

    # --- points

    def _send(self, parts: Sequence[Part], target: str, basetime_ns: int) -> None:
        """Send the parts of a measurement in order; while one is sent, the next one is read."""
        serial, todo = 0, []
        for part in parts:
            known, reason = self.ledger.progress_of(part), self.ledger.contradiction(part)
            if reason is not None:
                self._fail(part, UsageError(f"{reason}; resume=False makes new measurements of everything"))
            elif known is None or known.sections < known.of:
                todo.append(part)
            else:
                serial += known.of
                self.bar.skip(_rows(part))
        with ThreadPoolExecutor(1, "intdash-frames-import-read") as reader:
            for part, ahead in one_ahead(reader, todo, lambda part: _storable(self.folder, part, basetime_ns)):
                try:
                    points, left_out = ahead.result()
                except IntdashError as exc:
                    self._fail(part, exc)
                    continue
                if left_out:
                    reason = "the store call has no place for points without a channel or a numeric data type"
                    self.skipped.append({"measurement": part.measurement, "points": left_out, "reason": reason})
                runs = list(split(points, section_bytes=self.section_bytes))
                sections = [Section(serial + number, run) for number, run in enumerate(runs)]
                serial += len(sections)
                if not self._send_part(part, sections, target, basetime_ns):
                    return

    def _send_part(self, part: Part, sections: list[Section], target: str, basetime_ns: int) -> bool:
        """Send what is not there of a part, and say whether all of it is there now."""
        known = self.ledger.progress_of(part)
        there = 0 if known is None else known.sections
        if known is None:
            self.ledger.sent(part, 0, len(sections))
        elif known.of != len(sections):
            self._fail(part, UsageError(f"it was sent in {known.of} sections, which now would be {len(sections)}"))
            return False
        elif there < len(sections):
            # What was sent last before a kill may be there without being written down.
            sections[there].fate = Fate.UNKNOWN
        self.bar.skip(sum(len(section.points) for section in sections[:there]))
        sender = Sender(self.connection, target, basetime_ns, stored=sections[:there])
        for number, section in enumerate(sections[there:], there + 1):
            sender.send(section)
            self.sent_bytes += section.sent_bytes
            if section.fate is not Fate.STORED:
                self.failure = self.failure or section.failure
                left = sum(len(each.points) for each in sections[number - 1 :])
                self.failed.append({"measurement": part.measurement, "points": left, "reason": section.reason})
                return False
            self.ledger.sent(part, number, len(sections))
            self.points, self.sections = self.points + len(section.points), self.sections + 1
            self.bar.update(self.points, points=len(section.points), size_bytes=section.sent_bytes)
        return True

    def _fail(self, part: Part, exc: BaseException) -> None:
        self.failure = self.failure or exc
        self.failed.append({"measurement": part.measurement, "points": _rows(part), "reason": f"{type(exc).__name__}: {exc}"})


def _basetime_ns(record: Measurement) -> int:
    return 0 if record.basetime is None else int(record.basetime.as_unit("ns").value)


def _marker(record: dict[str, Any]) -> str:
    """What makes two markers the same."""
    return json.dumps({name: record.get(name) for name in MARKER_FIELDS}, sort_keys=True)


def _rows(part: Part) -> int:
    return sum(file.rows for file in part.files)


# --- files -> points ---


def _storable(folder: Path, part: Part, basetime_ns: int) -> Read:
    """Read the points of a part in order of time, since the base time, and count those that cannot be stored."""
    keys = SeriesTable()
    points = read_part(folder, part, keys)
    odd = np.asarray([key.data_type is None or key.channel is None for key in keys], np.bool_)[points.series]
    if odd.any():
        points = points.take(np.flatnonzero(~odd))
    points = dataclasses.replace(points, time_ns=points.time_ns - basetime_ns)
    check_storable(points)
    return points, int(odd.sum())
