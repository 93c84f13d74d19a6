"""What of a folder is on another server already, written down section by section."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

from intdash_frames.errors import UsageError
from intdash_frames.folder.cell import Cell
from intdash_frames.folder.manifest import Part, locked, whole_lines

__all__ = ["Ledger", "Sent"]


@dataclass(frozen=True, slots=True)
class Sent:
    """How far a part has come.

    Attributes
    ----------
    sections : int
        Acknowledged [count].
    of : int
        All there are [count].
    digests : tuple of str
        Of the files it was sent from.
    """

    sections: int
    of: int
    digests: tuple[str, ...]


class Ledger:
    """The record of one import, in a hidden file of the folder; one import at a time writes it.

    Parameters
    ----------
    folder : Path
    url : str
        Of the server that is imported to; each has a record of its own.
    resume : bool
        False begins anew, as if nothing had been imported.

    Raises
    ------
    UsageError
        If the folder cannot be written, or another import is at work.
    """

    def __init__(self, folder: Path, url: str, *, resume: bool) -> None:
        path = folder / f".import-{hashlib.sha256(url.encode()).hexdigest()[:12]}.jsonl"
        self.targets: dict[str, str] = {}
        self.begun: set[str] = set()
        self.finished: set[str] = set()
        self._sent: dict[tuple[str, Cell], Sent] = {}
        try:
            self._file: BinaryIO = open(path, "a+b", buffering=0)  # noqa: SIM115
        except OSError as exc:
            raise UsageError(
                f"an import writes down in {str(folder)!r} what has arrived, but {exc}; make it writable, or copy it"
            ) from exc
        if not locked(self._file):
            self._file.close()
            raise UsageError(f"another import from {str(folder)!r} to {url} is at work; wait for it")
        if resume:
            self._read(path)
        else:
            self._file.truncate(0)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None) -> None:
        self._file.close()

    def _read(self, path: Path) -> None:
        whole_bytes = 0
        for line, record in whole_lines(path.read_bytes()):
            self._take(record)
            whole_bytes += len(line) + 1
        self._file.truncate(whole_bytes)  # a line that was cut off would spoil the next one

    def _take(self, record: dict[str, Any]) -> None:
        uuid = record["measurement"]
        self.begun.add(uuid)
        if "target" in record:
            self.targets[uuid] = record["target"]
        if record.get("finished"):
            self.finished.add(uuid)
        if "part" in record:
            self._sent[uuid, Cell(*record["part"])] = Sent(record["sections"], record["of"], tuple(record["digests"]))

    def _note(self, **record: Any) -> None:
        self._file.write(json.dumps(record).encode() + b"\n")
        self._take(record)

    def begin(self, measurement: str) -> None:
        """Write down that a measurement is going to be made."""
        self._note(measurement=measurement)

    def made(self, measurement: str, target: str) -> None:
        """Write down which one it has become."""
        self._note(measurement=measurement, target=target)

    def finish(self, measurement: str) -> None:
        """Write down that all of a measurement is there."""
        self._note(measurement=measurement, finished=True)

    def sent(self, part: Part, sections: int, of: int) -> None:
        """Write down how far a part has come."""
        cell = part.cell
        self._note(
            measurement=part.measurement,
            part=[cell.day, cell.level, cell.index],
            sections=sections,
            of=of,
            digests=[file.sha256 for file in part.files],
        )

    def progress_of(self, part: Part) -> Sent | None:
        """How far a part has come; None if nothing of it is known to be there."""
        return self._sent.get((part.measurement, part.cell))

    def contradiction(self, part: Part) -> str | None:
        """Say why a part cannot be sent: what was sent of its stretch of time was something else."""
        known = self.progress_of(part)
        if known is not None:
            same = known.digests == tuple(file.sha256 for file in part.files)
            return None if same else "its points have changed since they were imported"
        around = set(part.cell.around)
        if any(name == part.measurement and (cell in around or part.cell in cell.around) for name, cell in self._cells()):
            return "it is cut otherwise than when it was imported, since its points have changed"
        return None

    def _cells(self) -> Iterator[tuple[str, Cell]]:
        return iter([key for key, sent in self._sent.items() if sent.of])
