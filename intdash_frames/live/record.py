"""Live data into Parquet while they are watched: what `Live.record` gives."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import re
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final

from intdash_frames import timebase
from intdash_frames.codecs.points import Points
from intdash_frames.errors import GapError, IntdashError, UsageError
from intdash_frames.frames.attributes import ATTRIBUTE, ATTRS_KEY
from intdash_frames.frames.envelope import ENVELOPE, to_batch
from intdash_frames.live.tally import Gap

if TYPE_CHECKING:
    from intdash_frames.live.readers import Reader

__all__ = ["Recording"]

logger = logging.getLogger("intdash_frames.live")

# What is written at once: as many rows as pyarrow reads at once, fewer of pictures.
GROUP_ROWS: Final = 65_536
GROUP_BYTES: Final = 32 * 2**20
# A crash loses at most a file that is not finished.
FILE_ROWS: Final = 1_000_000
FILE_S: Final = 60.0
# Everything ends within two seconds; a disk that is slower than that goes on by itself.
LAST_FILE_S: Final = 1.5

FINISHED: Final = "part-{:06d}.parquet"
# Whoever reads the folder passes over names that begin with a dot.
UNFINISHED: Final = ".part-{:06d}.parquet.unfinished"
_NAME = re.compile(r"\.?part-(\d{6,})\.parquet(\.unfinished)?")
# Not among the attributes: of gaps, one knows only after the schema was written.
GAPS_KEY: Final = "intdash.gaps"


class Recording:
    """Writes all live points from now on into files of a folder; made by `Live.record`, ended by `stop` or with the live view.

    A file is written aside and gets its name when it is whole; nothing that is in the folder is written over.

    Parameters
    ----------
    path : path-like
        Folder; made if absent.
    subscribe : callable
        Takes a bell and gives the reader that rings it.
    unsubscribe : callable
        Takes the reader back.
    meta : mapping
        What each file says of where its points come from.
    rows_per_file : int
        Rows of a file at most [count].
    seconds_per_file : float
        How long a file is open at most [s].
    clock : callable
        Gives the time [s].

    Attributes
    ----------
    path : Path
    files : list of Path
        Those that are whole.
    gaps : list of Gap
        What was left out because writing was too slow.
    error : IntdashError or None
        Why it has ended before the data did: the disk is full, say. The live view goes on.

    Raises
    ------
    UsageError
        If an argument cannot work, or the folder cannot be had.
    """

    def __init__(
        self,
        path: Any,
        subscribe: Callable[[Callable[[], object]], Reader],
        unsubscribe: Callable[[Reader], object],
        *,
        meta: Mapping[str, Any],
        rows_per_file: int = FILE_ROWS,
        seconds_per_file: float = FILE_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if isinstance(rows_per_file, bool) or not isinstance(rows_per_file, int) or rows_per_file < 1:
            raise UsageError(f"rows_per_file={rows_per_file!r}; expected a whole number, 1 or more")
        if isinstance(seconds_per_file, bool) or not isinstance(seconds_per_file, (int, float)) or not seconds_per_file > 0:
            raise UsageError(f"seconds_per_file={seconds_per_file!r}; expected more than 0 seconds")
        self.path = _folder(path)
        self.files: list[Path] = []
        self.gaps: list[Gap] = []
        self.error: IntdashError | None = None
        self._meta, self._rows_per_file, self._seconds_per_file, self._clock = meta, rows_per_file, seconds_per_file, clock
        self._finished_rows = 0
        self._file: _File | None = None
        self._untold: list[Gap] = []
        self._is_told = False
        self._bell = threading.Event()
        self._unsubscribe = unsubscribe
        self._reader = subscribe(self.wake)
        self._thread = threading.Thread(target=self._work, name="intdash-frames-live-record", daemon=True)
        self._thread.start()

    def __repr__(self) -> str:
        state = "failed" if self.error is not None else "live" if self._thread.is_alive() else "ended"
        return f"<Recording into {str(self.path)!r}: {state}, {self.rows:,} rows, {len(self.files)} files>"

    @property
    def rows(self) -> int:
        """Rows in whole files and in the one that is open [count]."""
        file = self._file
        return self._finished_rows + (file.rows if file is not None else 0)

    def wake(self) -> None:
        """Have the recording look for points, and whether its file is due."""
        self._bell.set()

    def stop(self) -> None:
        """Write what was shown until now, and end; calling it again does nothing.

        Raises
        ------
        IntdashError
            What ended the recording before, once.
        """
        self.end()
        if self.error is not None and not self._is_told:
            self._is_told = True
            raise self.error

    def end(self) -> None:
        """As `stop`, but `error` alone says what went wrong."""
        self._leave()
        self._reader.end()
        self._thread.join(LAST_FILE_S)
        if self._thread.is_alive():
            logger.warning("%r is still being written; its thread ends with that", self)

    def _leave(self) -> None:
        with contextlib.suppress(ValueError):  # left already
            self._unsubscribe(self._reader)

    # --- in the thread

    def _work(self) -> None:
        try:
            while not self._reader.is_finished:
                self._bell.wait(self._left_s())
                self._bell.clear()
                self._take_all()
                if self._left_s() == 0:
                    self._finish_file()
            self._finish_file()
        except Exception as exc:
            self._fail(exc)

    def _fail(self, exc: Exception) -> None:
        self._leave()
        if self._file is not None:
            self._file.discard()
            self._file = None
        error = IntdashError(
            f"recording into {str(self.path)!r} has ended: {exc}; whole are {len(self.files)} files of {self.rows} rows"
        )
        error.__cause__ = exc
        self.error = error
        logger.error("%s", error)
        with contextlib.suppress(GapError):  # what waits is not kept in memory for nobody
            while self._reader.take() is not None:
                pass

    def _left_s(self) -> float | None:
        """How long the open file may still be open [s]."""
        if self._file is None:
            return None
        return max(0.0, self._file.opened_s + self._seconds_per_file - self._clock())

    def _take_all(self) -> None:
        while True:
            try:
                points = self._reader.take()
            except GapError as exc:
                gap = Gap(exc.start_ns, exc.end_ns, str(exc), 0)
                logger.warning("recording into %s: %s", self.path, exc)
                self.gaps.append(gap)
                self._untold.append(gap)
                continue
            if points is None:
                return
            self._write(points)
            if self._left_s() == 0:
                self._finish_file()

    def _write(self, points: Points) -> None:
        start = 0
        while start < len(points):
            if self._file is None:
                self._file = _File(self.path, self._clock(), self._meta)
            part = points.slice(start, min(len(points), start + self._rows_per_file - self._file.rows))
            self._file.add(part)
            start += len(part)
            if self._file.rows >= self._rows_per_file:
                self._finish_file()

    def _finish_file(self) -> None:
        file = self._file
        if file is None:
            return
        path = file.finish({GAPS_KEY: json.dumps([_as_json(gap) for gap in self._untold])})
        self._untold.clear()
        self._finished_rows += file.rows
        self._file = None
        self.files.append(path)


class _File:
    """A file that is open, under a name of its own in the folder."""

    def __init__(self, folder: Path, opened_s: float, meta: Mapping[str, Any]) -> None:
        import pyarrow.parquet as pq

        self._number, self._aside, self._sink = _reserve(folder)
        self.opened_s, self.rows = opened_s, 0
        self._waiting: list[Points] = []
        self._waiting_rows = self._waiting_bytes = 0
        self._writer = pq.ParquetWriter(
            self._sink,
            ENVELOPE.with_metadata({ATTRS_KEY: json.dumps({ATTRIBUTE: meta}, ensure_ascii=False)}),
            version="2.6",  # what came before it cuts times to microseconds
            compression="zstd",
            use_dictionary=[name for name in ENVELOPE.names if name not in ("time", "payload")],
        )

    def add(self, points: Points) -> None:
        self._waiting.append(points)
        self.rows += len(points)
        self._waiting_rows += len(points)
        self._waiting_bytes += int(points.offsets[-1] - points.offsets[0])
        if self._waiting_rows >= GROUP_ROWS or self._waiting_bytes >= GROUP_BYTES:
            self._flush()

    def _flush(self) -> None:
        if self._waiting:
            self._writer.write_batch(to_batch(Points.concat(self._waiting)), row_group_size=GROUP_ROWS)
        self._waiting, self._waiting_rows, self._waiting_bytes = [], 0, 0

    def finish(self, metadata: Mapping[str, str]) -> Path:
        """Write the rest, and give the file its name."""
        self._flush()
        self._writer.add_key_value_metadata(metadata)
        self._writer.close()
        # A name must not outlive its content when the power fails.
        self._sink.flush()
        os.fsync(self._sink.fileno())
        self._sink.close()
        path = self._aside.with_name(FINISHED.format(self._number))
        os.replace(self._aside, path)
        return path

    def discard(self) -> None:
        """Give up what is in it, and the room it takes."""
        for close in (self._writer.close, self._sink.close, self._aside.unlink):
            with contextlib.suppress(Exception):  # the writer tries once more to write what it could not
                close()


def _folder(path: Any) -> Path:
    try:
        folder = Path(path)
        folder.mkdir(parents=True, exist_ok=True)
    except (TypeError, OSError) as exc:
        raise UsageError(f"path={path!r} cannot be the folder of a recording: {exc}") from exc
    return folder


def _reserve(folder: Path) -> tuple[int, Path, BinaryIO]:
    """Open a file under the first number behind all there are; another recording may be doing the same."""
    taken = (_NAME.fullmatch(name) for name in os.listdir(folder))
    number = max((int(match[1]) for match in taken if match), default=-1) + 1
    while True:
        aside = folder / UNFINISHED.format(number)
        try:
            sink = open(aside, "xb")  # noqa: SIM115
        except FileExistsError:
            number += 1
            continue
        if not aside.with_name(FINISHED.format(number)).exists():
            return number, aside, sink
        sink.close()
        aside.unlink()
        number += 1


def _as_json(gap: Gap) -> dict[str, Any]:
    ends = {"start": gap.start_ns, "end": gap.end_ns}
    return {**{name: timebase.to_iso(ns) if ns is not None else None for name, ns in ends.items()}, "reason": gap.reason}
