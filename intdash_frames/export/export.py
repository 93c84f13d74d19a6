"""`Client.export`: readers, writers and what lies between them."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import threading
import time
from collections.abc import Generator, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from intdash_frames import timebase
from intdash_frames.codecs.points import Points
from intdash_frames.errors import IncompleteRead, IntdashError, RemoteProtocolError, UsageError
from intdash_frames.export import layout
from intdash_frames.export.parts import LIMITS, Done, Limits, Track, Tracks, cut
from intdash_frames.export.readme import readme
from intdash_frames.export.report import ExportReport, summed
from intdash_frames.export.room import Room
from intdash_frames.export.wanted import Wanted, edges_of, signals_of, wanted
from intdash_frames.export.write import write_part
from intdash_frames.folder.cell import Cell
from intdash_frames.folder.manifest import Folder, Manifest, Part, is_whole
from intdash_frames.folder.names import PARTITIONS, PREFIX, Kind, folder_name
from intdash_frames.frames import build
from intdash_frames.frames.progress import Progress
from intdash_frames.frames.reading import FAILURES, Query, Reading
from intdash_frames.frames.sources import Range

if TYPE_CHECKING:
    from intdash_frames.client.connection import Connection

__all__ = ["export"]

# What may wait in memory; one part more where it must.
ROOM_BYTES: Final = 24 * 2**20
# Of a point in columns, without its payload.
POINT_BYTES: Final = 16
# Decoding and writing is a quarter of the work of reading, and each writer holds a part several times over.
WRITERS: Final = 1


def export(
    connection: Connection,
    query: Query,
    path: Any,
    *,
    decode: bool | None = None,
    resume: bool = True,
    collect: bool = False,
    limits: Limits = LIMITS,
    trust_sizes: bool = False,
) -> ExportReport:
    """Export what a query asks for; see `Client.export`.

    Parameters
    ----------
    connection : Connection
    query : Query
    path : path-like
    decode : bool, optional
        False keeps raw payloads alone.
    resume : bool
        False reads everything again, whatever is there.
    collect : bool
        Return an incomplete export instead of raising.
    limits : Limits
        Of a part; all of a folder have the same.
    trust_sizes : bool
        Take a file that is there in its size for whole, without reading it.
    """
    began = time.perf_counter()
    _check(query, decode, resume)
    with Folder(_path(path)) as folder, _told(folder.path):
        described = _described(query, decode=decode is not False, limits=limits)
        found = wanted(connection, query)
        manifest = _begun(folder, connection, described, found, resume=resume)
        manifest.edges |= edges_of(connection, found)
        manifest.signals = signals_of(connection)
        names = {each.uuid for each in found}
        empty = _named(query) - names
        manifest.skipped = [each for each in manifest.skipped if each["measurement"] not in names | empty]
        manifest.skipped += [{"measurement": uuid, "reason": "nothing of it lies in the range"} for uuid in sorted(empty)]
        kept = _verified(folder.path, manifest, names, by_digest=not trust_sizes)
        folder.begin(manifest)
        run = _Run(connection, query, folder, manifest, found, limits=limits, decode=decode is not False)
        run.run()
        for uuid in names:
            _sweep(folder.path, uuid, {file.path for part in manifest.parts_of(uuid) for file in part.files})
        folder.finish(manifest, readme(manifest))
        report = _report(folder.path, manifest, run, names | empty, kept, time.perf_counter() - began)
    if not collect:
        _raise_if_incomplete(report, run)
        _raise_if_unmatched(report, query)
    return report


def _check(query: Query, decode: bool | None, resume: bool) -> None:
    if decode is not None and not isinstance(decode, bool):
        raise UsageError(f"decode={decode!r}; expected True, False (raw payloads alone) or None")
    if not isinstance(resume, bool):
        raise UsageError(f"resume={resume!r}; expected True or False")
    if query.head is not None:
        raise UsageError(f"head={query.head} and an export do not go together; give start= and end= instead")


def _path(path: Any) -> Path:
    try:
        return Path(path)
    except TypeError as exc:
        raise UsageError(f"path={path!r} cannot be the folder of an export: {exc}") from exc


@contextlib.contextmanager
def _told(path: Path) -> Iterator[None]:
    """Make what the file system says an error of ours, that says what to do."""
    try:
        yield
    except OSError as exc:
        if isinstance(exc, IntdashError):
            raise
        raise IntdashError(
            f"the export into {str(path)!r} has stopped: {exc}. What is whole stays; the same call again goes on from there"
        ) from exc


def _described(query: Query, *, decode: bool, limits: Limits) -> dict[str, Any]:
    """What all parts of a folder have in common, as JSON gives it back."""
    return {
        "signals": [pattern.text for pattern in query.selection.patterns],
        "labels": list(query.selection.labels),
        "start": build.bound_text(query.start),
        "end": build.bound_text(query.end),
        "decode": decode,
        "part_rows": limits.rows,
        "part_bytes": limits.size_bytes,
    }


def _begun(folder: Folder, connection: Connection, described: dict[str, Any], found: list[Wanted], *, resume: bool) -> Manifest:
    """Take up what is there, without the parts of what has changed meanwhile."""
    manifest = folder.read()
    if manifest is None or not any(manifest.files):  # a slip of the pen must not spoil the folder
        manifest = Manifest(_version(), connection.url, described)
    for name, there, asked in (("url", manifest.url, connection.url), ("query", manifest.query, described)):
        if there != asked:
            raise UsageError(
                f"{str(folder.path)!r} holds an export of another {name}, {there}; this one is {asked}. Choose another folder"
            )
    for each in found:
        if not resume or manifest.measurements.get(each.uuid) != each.record:
            for part in manifest.parts_of(each.uuid):
                del manifest.parts[part.measurement, part.cell]
        manifest.measurements[each.uuid] = each.record
    names = {each.uuid for each in found}
    manifest.failed = [each for each in manifest.failed if each["measurement"] not in names]
    return manifest


def _named(query: Query) -> set[str]:
    """The measurements that a query names."""
    return {each if isinstance(each, str) else each.uuid for each in query.source.measurements}


def _version() -> str:
    from importlib.metadata import version

    return version("intdash-frames")


def _verified(folder: Path, manifest: Manifest, names: set[str], *, by_digest: bool) -> int:
    """Forget the parts whose files are not as they were written, and count the files that are."""
    kept = 0
    for part in [part for part in manifest.parts.values() if part.measurement in names]:
        if all(is_whole(folder, file, by_digest=by_digest) for file in part.files):
            kept += len(part.files)
        else:
            del manifest.parts[part.measurement, part.cell]
    return kept


def _sweep(folder: Path, measurement: str, listed: set[str]) -> None:
    """Take away what earlier exports left of a measurement: unfinished files, and parts that are cut otherwise now."""
    pattern = "/".join("*" if name != "measurement" else folder_name(name, measurement) for name in PARTITIONS)
    for place in folder.glob(pattern):
        for name in os.listdir(place):
            is_ours = name.startswith((PREFIX, f".{PREFIX}"))
            if is_ours and (place / name).relative_to(folder).as_posix() not in listed:
                (place / name).unlink()


class _Run:
    """One run of an export: readers follow tracks, writers write what they cut."""

    def __init__(
        self,
        connection: Connection,
        query: Query,
        folder: Folder,
        manifest: Manifest,
        found: list[Wanted],
        *,
        limits: Limits,
        decode: bool,
    ) -> None:
        # One of its own: what ends the export also ends what its readers wait for, and nothing that others do with the client.
        self._connection = connection.apart()
        self._query, self._folder, self._manifest = query, folder, manifest
        self._limits, self._decode = limits, decode
        self._wanted = {each.uuid: each for each in found}
        self._lock = threading.Lock()
        self._error: BaseException | None = None
        self._room = Room(ROOM_BYTES)
        self._tracks = Tracks(
            [
                Track(each.uuid, each.start_ns, each.end_ns, Done(part.cell for part in manifest.parts_of(each.uuid)))
                for each in found
            ]
        )
        self._written_ns = 0
        self.readings: list[Reading] = []
        self.failures: list[Exception] = []
        self.written = 0

    def run(self) -> None:
        """Read and write all that is wanted.

        Raises
        ------
        OSError
            If something cannot be written.
        """
        total = sum(each.end_ns - each.start_ns for each in self._wanted.values())
        workers = self._connection.max_workers
        with (
            contextlib.closing(self._connection),
            Progress(self._query.progress, total=total, label="exporting") as self._progress,
            ThreadPoolExecutor(WRITERS, "intdash-frames-export-write") as self._writers,
            ThreadPoolExecutor(workers, "intdash-frames-export-read") as readers,
        ):
            self._progress.skip(
                sum(_shared_ns(part.cell, each) for each in self._wanted.values() for part in self._manifest.parts_of(each.uuid))
            )
            try:
                wait([readers.submit(self._read) for _ in range(workers)])
            except BaseException as exc:  # of whoever interrupts this thread
                self._stop(exc)
        if self._error is not None:
            raise self._error

    def _stop(self, exc: BaseException) -> None:
        """End everything for a reason; the first one counts."""
        with self._lock:
            self._error = self._error or exc
        self._tracks.stop()
        self._room.stop()
        self._connection.transport.cut()

    def unmatched(self) -> tuple[str, ...]:
        """Patterns without wildcards that name no signal of whole measurements, if all of them have just been read."""
        query = self._query
        if query.source.edge or query.start is not None or query.end is not None:
            return ()
        seen = [key for reading in self.readings for key in reading.keys]
        patterns = [each for each in query.selection.patterns if each.is_literal]
        return tuple(each.text for each in patterns if not any(map(each.matches, seen)))

    # --- readers

    def _read(self) -> None:
        reading = Reading(self._connection, dataclasses.replace(self._query, progress=False))
        with self._lock:
            self.readings.append(reading)
        try:
            while (track := self._tracks.take()) is not None:
                try:
                    self._follow(track, reading)
                finally:
                    self._tracks.finished(track)
        except BaseException as exc:
            self._stop(exc)

    def _follow(self, track: Track, reading: Reading) -> None:
        while self._error is None and (cell := track.next()) is not None:
            reach_ns = track.reach_ns(cell)
            reached_ns = max(cell.start_ns, track.start_ns)
            stream = _Stream(self._room)
            batches = stream.of(reading, Range(track.name, reached_ns, reach_ns))
            try:
                with contextlib.closing(batches):
                    for whole, parts in cut(track, cell, batches, reach_ns, self._limits):
                        if self._error is not None:
                            return
                        self._hand_on(stream, track, whole, parts)
                        reached_ns = min(whole.end_ns, reach_ns)
                        self._tracks.grew()
            except FAILURES as exc:
                self._fail(track, reached_ns, exc, reach_ns)
            finally:
                stream.drop()

    def _hand_on(self, stream: _Stream, track: Track, cell: Cell, parts: list[Points]) -> None:
        size_bytes = stream.hand_on(parts)
        self._writers.submit(self._write, track, cell, parts, size_bytes)

    def _fail(self, track: Track, reached_ns: int, exc: Exception, reach_ns: int) -> None:
        end_ns = track.abandon() or reach_ns
        with self._lock:
            self.failures.append(exc)
            self._manifest.failed.append(
                {
                    "measurement": track.name,
                    "start": timebase.to_iso(reached_ns),
                    "end": timebase.to_iso(end_ns),
                    "reason": f"{type(exc).__name__}: {exc}",
                }
            )

    # --- writers

    def _write(self, track: Track, cell: Cell, parts: list[Points], size_bytes: int) -> None:
        each = self._wanted[track.name]
        try:
            if self._error is not None:
                return
            part = write_part(
                self._folder.path,
                each.uuid,
                each.edge_uuid,
                cell,
                parts,
                describe=lambda kind: self._describe(kind, each),
                decode=self._decode,
            )
            with self._lock:
                self._folder.note(part)
                self._manifest.add(part)
                self._tell(part, _shared_ns(cell, each), size_bytes)
        except BaseException as exc:
            self._stop(exc)
        finally:
            parts.clear()
            self._room.written(size_bytes)

    def _tell(self, part: Part, span_ns: int, size_bytes: int) -> None:
        self.written += len(part.files)
        self._written_ns += span_ns
        self._progress.update(self._written_ns, points=sum(file.rows for file in part.files), size_bytes=size_bytes)

    def _describe(self, kind: Kind, each: Wanted) -> Mapping[str, str]:
        record, query = each.record["record"], self._manifest.query
        names = ("uuid", "edge_uuid", "name", "basetime", "basetime_type")
        return layout.metadata_of(
            kind,
            version=self._manifest.version,
            url=self._manifest.url,
            query={name: query[name] for name in ("signals", "labels", "start", "end")},
            measurement={name: record.get(name) for name in names},
        )


class _Stream:
    """The batches of one stream, and the room that they take."""

    def __init__(self, room: Room) -> None:
        self._room = room
        self._held_bytes = 0

    def of(self, reading: Reading, range_: Range) -> Generator[Points]:
        """Read a range to its end, in order of time, or raise what ended it."""
        failures, last_ns = len(reading.failures), timebase.INT64_MIN
        for batch in reading.read_range(range_):
            if int(batch.time_ns[0]) < last_ns:
                raise RemoteProtocolError(
                    f"the server gives points of {timebase.to_iso(int(batch.time_ns[0]))} behind those of "
                    f"{timebase.to_iso(last_ns)}; an export needs them in ascending time. Read such a measurement with frames()"
                )
            last_ns = int(batch.time_ns[-1])
            size_bytes = _size(batch)
            if not self._room.take(self, size_bytes):
                return
            self._held_bytes += size_bytes
            yield batch
        if len(reading.failures) > failures:
            raise reading.failures[-1]

    def hand_on(self, parts: list[Points]) -> int:
        """Give the room of a part to its writer."""
        size_bytes = sum(map(_size, parts))
        self._held_bytes -= size_bytes
        self._room.hand_on(self, size_bytes)
        return size_bytes

    def drop(self) -> None:
        """Give back the room of what belongs to another reader's part."""
        self._room.dropped(self, self._held_bytes)
        self._held_bytes = 0


def _shared_ns(cell: Cell, each: Wanted) -> int:
    """How much of what is wanted of a measurement lies in a cell."""
    return min(cell.end_ns, each.end_ns) - max(cell.start_ns, each.start_ns)


def _size(points: Points) -> int:
    return int(points.offsets[-1]) - int(points.offsets[0]) + POINT_BYTES * len(points)


# --- the end ---


def _report(folder: Path, manifest: Manifest, run: _Run, names: set[str], kept: int, seconds: float) -> ExportReport:
    files = [file for file in manifest.files if file.measurement in names]
    failed = tuple(each for each in manifest.failed if each["measurement"] in names)
    read = summed([reading.report for reading in run.readings], seconds)
    if not kept and not failed:
        read = dataclasses.replace(read, unmatched=run.unmatched())
    return ExportReport(
        path=folder,
        measurements=tuple(sorted(names)),
        points=sum(file.rows for file in files),
        files=len(files),
        bytes=sum(file.bytes for file in files),
        written=run.written,
        kept=kept,
        undecodable=sum(file.undecodable for file in files),
        failed=failed,
        skipped=tuple(each for each in manifest.skipped if each["measurement"] in names),
        read=read,
        seconds=seconds,
        complete=not failed and not read.error_points,
    )


def _raise_if_incomplete(report: ExportReport, run: _Run) -> None:
    if run.failures and not report.points:
        raise run.failures[0]
    if report.complete:
        return
    what = [f"{each['measurement']} from {each['start']} to {each['end']}: {each['reason']}" for each in report.failed]
    if report.read.error_points:
        what.append(f"{report.read.error_points} values could not be converted, first: {report.read.errors[0]}")
    raise IncompleteRead(
        f"exported {report.points} points, but not all: {'; '.join(what)}. The same call again reads what is missing; "
        "errors='collect' returns the report instead of raising",
        partial=report,
        report=report,
    ) from (run.failures[0] if run.failures else None)


def _raise_if_unmatched(report: ExportReport, query: Query) -> None:
    if report.read.unmatched:
        raise UsageError(
            f"no signal {report.read.unmatched[0]!r} in {', '.join(query.source.names)}; the folder holds {report.points} points "
            "of the others. frames().signals lists what there is; errors='collect' returns the report instead of raising"
        )
