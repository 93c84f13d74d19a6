"""What a folder holds, written down so that it can be checked, resumed and taken elsewhere: manifest, journal and lock."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Final, Self

from intdash_frames.errors import UsageError
from intdash_frames.folder.cell import Cell

__all__ = [
    "FORMAT",
    "MANIFEST",
    "File",
    "Folder",
    "Manifest",
    "Part",
    "is_whole",
    "locked",
    "read_manifest",
    "whole_lines",
    "write_whole",
]

FORMAT: Final = 1
MANIFEST: Final = "manifest.json"
# Readers of Parquet pass over names that begin with a dot.
JOURNAL: Final = ".journal.jsonl"
LOCK: Final = ".lock"
CHUNK_BYTES: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class File:
    """A file of points.

    Attributes
    ----------
    path : str
        Relative to the folder, with ``/`` between folders.
    measurement : str
        UUID.
    data_type : str
        As in the name of its folder.
    rows, bytes : int
    first_ns, last_ns : int
        Its first and last instant [ns since the epoch].
    sha256 : str
        Of the whole file.
    undecodable : int
        Payloads that do not fit the layout of their type: null columns, raw payload kept [count].
    """

    path: str
    measurement: str
    data_type: str
    rows: int
    bytes: int
    first_ns: int
    last_ns: int
    sha256: str
    undecodable: int = 0

    def reaches_into(self, start_ns: int, end_ns: int) -> bool:
        """Say whether some of its points may be in a half open range."""
        return self.first_ns < end_ns and self.last_ns >= start_ns


@dataclass(frozen=True, slots=True)
class Part:
    """A stretch of time of a measurement that has been read, and its files: none where there are no points."""

    measurement: str
    cell: Cell
    files: tuple[File, ...]

    def to_json(self) -> dict[str, Any]:
        cell = self.cell
        return {
            "measurement": self.measurement,
            "part": [cell.day, cell.level, cell.index],
            "files": [dataclasses.asdict(file) for file in self.files],
        }

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Part:
        return cls(record["measurement"], Cell(*record["part"]), tuple(File(**file) for file in record["files"]))


@dataclass(slots=True)
class Manifest:
    """What a folder holds.

    Attributes
    ----------
    version : str
        Of this package, when the folder was begun.
    url : str
        Of the server.
    query : dict
        What of each measurement was asked for; the same for all of a folder.
    measurements : dict of str to dict
        By UUID: the record of the server, its edge, base times and markers, the range that was asked for.
    edges : dict of str to dict
        By UUID: the records of the edges that the measurements are of, without the time of their last login.
    signals : list of dict
        The signal definitions of the server, as of the last time that the folder was written.
    parts : dict of (str, Cell) to Part
    failed : list of dict
        What could not be read: ``measurement``, ``start``, ``end``, ``reason``.
    skipped : list of dict
        What was left out on purpose: ``measurement``, ``reason``.
    """

    version: str
    url: str
    query: dict[str, Any]
    measurements: dict[str, dict[str, Any]] = field(default_factory=dict)
    edges: dict[str, dict[str, Any]] = field(default_factory=dict)
    signals: list[dict[str, Any]] = field(default_factory=list)
    parts: dict[tuple[str, Cell], Part] = field(default_factory=dict)
    failed: list[dict[str, Any]] = field(default_factory=list)
    skipped: list[dict[str, Any]] = field(default_factory=list)

    @property
    def files(self) -> Iterator[File]:
        """All files, by path."""
        return iter(sorted((file for part in self.parts.values() for file in part.files), key=lambda file: file.path))

    def parts_of(self, measurement: str) -> list[Part]:
        """The parts of a measurement, in order of time."""
        return sorted(
            (part for part in self.parts.values() if part.measurement == measurement), key=lambda part: part.cell.start_ns
        )

    def add(self, part: Part) -> None:
        self.parts[part.measurement, part.cell] = part

    def to_json(self) -> dict[str, Any]:
        """Everything, the same for the same data: nothing says when or in how many runs it was read."""
        parts = [part for _, part in sorted(self.parts.items(), key=_by_time)]
        return {
            "format": FORMAT,
            "version": self.version,
            "url": self.url,
            "query": self.query,
            "complete": not self.failed,
            "rows": sum(file.rows for part in parts for file in part.files),
            "bytes": sum(file.bytes for part in parts for file in part.files),
            "edges": dict(sorted(self.edges.items())),
            "signals": self.signals,
            "measurements": dict(sorted(self.measurements.items())),
            "failed": self.failed,
            "skipped": self.skipped,
            "parts": [part.to_json() for part in parts],
        }

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Manifest:
        """Read what `to_json` made.

        Raises
        ------
        UsageError
            If it is not that, or of a later version of this package.
        """
        if record.get("format") != FORMAT:
            raise UsageError(f"the manifest is of format {record.get('format')!r}; this version of intdash-frames reads {FORMAT}")
        manifest = cls(*(record[name] for name in ("version", "url", "query", "measurements")))
        # The first folders have neither.
        manifest.edges, manifest.signals = dict(record.get("edges", {})), list(record.get("signals", []))
        for each in record["parts"]:
            manifest.add(Part.from_json(each))
        manifest.failed, manifest.skipped = record["failed"], record["skipped"]
        return manifest


def _by_time(item: tuple[tuple[str, Cell], Part]) -> tuple[str, int]:
    (measurement, cell), _ = item
    return measurement, cell.start_ns


class Folder:
    """A folder that one export at a time writes into.

    Parameters
    ----------
    path : Path
        Made if absent.

    Raises
    ------
    UsageError
        If it cannot be had, or another export is writing into it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._journal: BinaryIO | None = None
        try:
            path.mkdir(parents=True, exist_ok=True)
            self._lock: BinaryIO | None = open(path / LOCK, "a+b")  # noqa: SIM115
        except OSError as exc:
            raise UsageError(f"path={str(path)!r} cannot be the folder of an export: {exc}") from exc
        if not locked(self._lock):
            self._lock.close()
            raise UsageError(f"another export is writing into {str(path)!r}; wait for it, or choose another folder")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Let others write into it. The file of the lock stays: to delete it would let two take two files of that name."""
        for file in (self._journal, self._lock):
            if file is not None:
                file.close()
        self._journal = self._lock = None

    def read(self) -> Manifest | None:
        """Read what was there before, with what an export that was killed had finished."""
        manifest = read_manifest(self.path)
        for record in self._journalled():
            if "query" in record:
                fresh = Manifest(record["version"], record["url"], record["query"])
                if manifest is None or manifest.query != fresh.query or manifest.url != fresh.url:
                    manifest = fresh
                manifest.edges |= record.get("edges", {})
                manifest.signals = record.get("signals", [])
            elif manifest is None:
                continue
            elif "range" in record:
                uuid = record["record"]["uuid"]
                if manifest.measurements.get(uuid) != record:
                    manifest.measurements[uuid] = record
                    manifest.parts = {key: part for key, part in manifest.parts.items() if key[0] != uuid}
            else:
                manifest.add(Part.from_json(record))
        return manifest

    def _journalled(self) -> Iterator[dict[str, Any]]:
        try:
            content = (self.path / JOURNAL).read_bytes()
        except FileNotFoundError:
            return
        for _, record in whole_lines(content):
            yield record

    def begin(self, manifest: Manifest) -> None:
        """Write down all that is known, so that whatever happens now, the next export knows it."""
        path = self.path / JOURNAL
        same = ("version", "url", "query", "edges", "signals")
        lines: list[dict[str, Any]] = [{name: getattr(manifest, name) for name in same}]
        lines += manifest.measurements.values()
        lines += [part.to_json() for part in manifest.parts.values()]
        write_whole(path, b"".join(map(_line, lines)))
        self._journal = open(path, "ab", buffering=0)  # noqa: SIM115

    def note(self, part: Part) -> None:
        """Write down that a part is there."""
        assert self._journal is not None
        self._journal.write(_line(part.to_json()))

    def finish(self, manifest: Manifest, readme: str) -> None:
        """Say what is there now."""
        if self._journal is not None:
            self._journal.close()
            self._journal = None
        write_whole(self.path / "README.md", readme.encode())
        text = json.dumps(manifest.to_json(), ensure_ascii=False, indent=1) + "\n"
        write_whole(self.path / MANIFEST, text.encode())
        (self.path / JOURNAL).unlink(missing_ok=True)


def read_manifest(path: Path) -> Manifest | None:
    """Read the manifest of a folder; None if it has none.

    Raises
    ------
    UsageError
        If it cannot be read.
    """
    try:
        record = json.loads((path / MANIFEST).read_bytes())
        return Manifest.from_json(record)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (ValueError, KeyError, TypeError, AttributeError) as exc:
        if isinstance(exc, UsageError):
            raise
        raise UsageError(f"{str(path / MANIFEST)!r} is no manifest of an export ({exc!r}); move it away to export anew") from exc


def write_whole(path: Path, content: bytes) -> None:
    """Write a file aside and give it its name when it is whole."""
    aside = path.with_name(f".{path.name.lstrip('.')}.unfinished")
    with open(aside, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(aside, path)


def is_whole(folder: Path, file: File, *, by_digest: bool = True) -> bool:
    """Say whether a file is there as it was written."""
    path = folder / file.path
    try:
        if path.stat().st_size != file.bytes:
            return False
        if not by_digest:
            return True
        digest = hashlib.sha256()
        with open(path, "rb") as stream:
            while chunk := stream.read(CHUNK_BYTES):
                digest.update(chunk)
    except OSError:
        return False
    return digest.hexdigest() == file.sha256


def whole_lines(content: bytes) -> Iterator[tuple[bytes, dict[str, Any]]]:
    """Read lines of JSON up to the first that is not whole: it was being written when the power failed."""
    for line in content.split(b"\n")[:-1]:
        try:
            record = json.loads(line)
        except ValueError:
            return
        yield line, record


def _line(record: Mapping[str, Any]) -> bytes:
    return json.dumps(record, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def locked(file: BinaryIO) -> bool:
    """Lock a file for this process as long as it is open; the system lets go of it when the process dies."""
    try:
        import fcntl
    except ImportError:  # Windows
        import msvcrt

        try:
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
        except OSError:
            return False
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
