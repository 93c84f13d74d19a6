"""Sections of the upstreams of one connection on their way into the store: in order, and acknowledged only when they are kept.

Source: protocol 4.3, 5.4, 5.7 and 5.9.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from itertools import groupby
from typing import Final

from intdash_frames.codecs.points import Points
from intdash_frames.protocol.server_session import SectionEnded
from intdash_frames.server.store import Refused

__all__ = ["Sections"]

logger = logging.getLogger("intdash_frames.server")

# A section that grows beyond this goes into the store in parts, so that memory stays bounded; it is acknowledged when it ends.
PART_BYTES: Final = 8 * 2**20
# What may wait for the store before the client is not listened to for a while.
WAITING_BYTES: Final = 64 * 2**20
POINT_BYTES: Final = 16  # of a point in columns, without its payload

Acknowledge = Callable[[int, int, bool], None]
Append = Callable[[str, Points, bool], Awaitable[None]]


@dataclass(slots=True)
class _Section:
    """The open section of one stream.

    Attributes
    ----------
    parts : list of Points
        What came and was not handed on yet.
    size : int
        Of `parts`, roughly [byte].
    begun : bool
        Something of it was handed on.
    refused : bool
        A fault is to happen to it: nothing of it is kept.
    failed : bool
        Something of it could not be kept.
    """

    parts: list[Points] = field(default_factory=list)
    size: int = 0
    begun: bool = False
    refused: bool = False
    failed: bool = False


@dataclass(frozen=True, slots=True)
class _Job:
    section: _Section
    measurement_uuid: str | None
    parts: list[Points]
    size: int
    ended: SectionEnded | None


class Sections:
    """What the upstreams of one connection want to have kept.

    Parameters
    ----------
    append : callable
        ``await append(measurement_uuid, points, final)`` returns when the points are on disk.
    acknowledge : callable
        ``acknowledge(stream_id, serial_number, ok)``
    refuses : callable
        Asked once a section: whether it is to be refused, to try clients.
    """

    def __init__(self, append: Append, acknowledge: Acknowledge, refuses: Callable[[], bool]) -> None:
        self._append, self._acknowledge, self._refuses = append, acknowledge, refuses
        self._open: dict[int, tuple[str | None, _Section]] = {}
        self._jobs: asyncio.Queue[_Job] = asyncio.Queue()
        self._waiting_bytes = 0
        self._done = asyncio.Event()

    def open(self, stream_id: int, measurement_uuid: str | None) -> None:
        """Take sections of a stream; with no measurement they are acknowledged and not kept."""
        self._open[stream_id] = measurement_uuid, _Section()

    def add(self, stream_id: int, points: Points) -> None:
        """Take points of the open section of a stream."""
        measurement_uuid, section = self._open[stream_id]
        if measurement_uuid is None:
            return
        section.parts.append(points)
        section.size += int(points.offsets[-1] - points.offsets[0]) + POINT_BYTES * len(points)
        if section.size >= PART_BYTES:
            self._hand_on(stream_id, None)

    def end(self, ended: SectionEnded) -> None:
        """Keep a section that is whole, then acknowledge it."""
        measurement_uuid, _ = self._open[ended.stream_id]
        self._hand_on(ended.stream_id, ended)
        self._open[ended.stream_id] = measurement_uuid, _Section()

    def close(self, stream_id: int) -> None:
        """Keep what came of a section that nobody will end (protocol 5.9)."""
        _, section = self._open[stream_id]
        section.begun = True  # a fault waits for a section that is to be acknowledged
        self._hand_on(stream_id, None)
        del self._open[stream_id]

    async def drained(self) -> None:
        """Wait until everything handed on is kept and acknowledged."""
        await self._jobs.join()

    async def room(self) -> None:
        """Wait until not too much waits for the store."""
        while self._waiting_bytes > WAITING_BYTES:
            self._done.clear()
            await self._done.wait()

    async def run(self) -> None:
        """Keep what comes, for ever."""
        while True:
            job = await self._jobs.get()
            await self._keep(job)
            self._waiting_bytes -= job.size
            self._done.set()
            self._jobs.task_done()

    def _hand_on(self, stream_id: int, ended: SectionEnded | None) -> None:
        measurement_uuid, section = self._open[stream_id]
        if ended is None and not section.parts:
            return
        if not section.begun:
            section.begun, section.refused = True, self._refuses()
        self._jobs.put_nowait(_Job(section, measurement_uuid, section.parts, section.size, ended))
        self._waiting_bytes += section.size
        section.parts, section.size = [], 0

    async def _keep(self, job: _Job) -> None:
        section, final = job.section, job.ended is not None and job.ended.final
        if job.measurement_uuid is not None and not section.refused and not section.failed:
            try:
                # Codes of series are those of one table, so only points of one table can be joined.
                batches = [Points.concat(list(parts)) for _, parts in groupby(job.parts, lambda part: id(part.keys))]
                if final and not batches:
                    batches = [Points.concat([])]
                for number, batch in enumerate(batches, 1):
                    await self._append(job.measurement_uuid, batch, final and number == len(batches))
            except Refused as exc:
                section.failed = True
                logger.info("a section for measurement %s is not kept: %s", job.measurement_uuid, exc.reason)
            except Exception:
                section.failed = True
                logger.exception("a section for measurement %s is not kept", job.measurement_uuid)
        if job.ended is not None:
            self._acknowledge(job.ended.stream_id, job.ended.serial_number, not (section.refused or section.failed))
