"""A stream to the server: points in, sections out, acknowledgements back.

Source: protocol 5.4, 5.5, 5.7 and 5.9.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

from intdash_frames.client.delivery import DELIVERING, Delivery, call_safely
from intdash_frames.client.point_buffer import PointBuffer
from intdash_frames.client.sections import split
from intdash_frames.codecs.points import Points
from intdash_frames.codecs.units import LARGEST_PAYLOAD, check_writable, write_units
from intdash_frames.errors import ISCPConnClosedException, LocalProtocolError, ResultNGException, TimedOut, UsageError
from intdash_frames.model import DataPoint, UpstreamSpec
from intdash_frames.model.kinds import member
from intdash_frames.protocol import elements
from intdash_frames.protocol.call import uuid_text
from intdash_frames.protocol.client_session import Acked
from intdash_frames.protocol.elements import LONGEST_ELAPSED_NS, ResultCode
from intdash_frames.protocol.wire import NULL_UUID

if TYPE_CHECKING:
    from intdash_frames.client.stream import StreamConnection

__all__ = ["Upstream", "kept_bytes"]

logger = logging.getLogger("intdash_frames.client")

# So much is handed on at once, without waiting for the flush interval, and then everything else has its turn.
BATCH_POINTS, BATCH_BYTES = 4096, 2**18
# How often a section that the server did not take is sent again.
MOST_RESENDS: Final = 3
# A server may have nothing to say about a section that it does not keep, and nothing is lost if it does not.
UNSTORED_ACK_TIMEOUT_S: Final = 1.0
POINT_BYTES: Final = 16  # of a point without its payload, in columns


@dataclass(slots=True)
class _Section:
    """A section that was begun and is not acknowledged."""

    parts: list[Points] = field(default_factory=list)
    size_bytes: int = 0
    ended: bool = False
    resends: int = 0


class Upstream:
    """An upstream of a `StreamConnection`, which opens it.

    Parameters
    ----------
    spec : UpstreamSpec
    marker_interval_s : float
        A section is ended so long after its first point [s].
    on_ack : callable, optional
        Function or coroutine function of serial number and result.
    keep_bytes : int
        What may be kept of sections that are not acknowledged, so that they can be sent again [byte]; beyond it, writing waits.
        0 keeps nothing: a section that the server refuses, or that a lost connection leaves in doubt, is not sent again.
    on_settled : callable, optional
        Function of what was kept of a section, and whether the server took it; called at once, before `on_ack`.

    Attributes
    ----------
    spec : UpstreamSpec
        As it was asked for.
    stream_id : int
        On the connection.
    points : int
        Points that were handed to the connection, those sent again not counted [count].
    refused : list of int
        Serial numbers of sections that the server did not take.
    """

    def __init__(
        self,
        spec: UpstreamSpec,
        *,
        marker_interval_s: float = 1.0,
        on_ack: Callable[[int, int], Any] | None = None,
        keep_bytes: int = 0,
        on_settled: Callable[[Sequence[Points], bool], object] | None = None,
    ) -> None:
        self.spec, self.wire_spec, self.stream_id = spec, wire_spec(spec), -1
        self.points, self.refused = 0, list[int]()
        self._marker_interval_s, self._on_ack, self._keep_bytes = marker_interval_s, on_ack, keep_bytes
        self._on_settled = on_settled
        self._buffer = PointBuffer(longest_ns=LONGEST_ELAPSED_NS, largest_bytes=LARGEST_PAYLOAD)
        self._connection: StreamConnection | None = None
        self._serial = 0
        self._sections: dict[int, _Section] = {}
        self._kept_bytes = 0
        self._marker: asyncio.TimerHandle | None = None
        self._timeout_s: float | None = None
        self._is_open, self._closing, self._gone = True, False, False
        self._why_gone, self._told = "", False
        self._changed, self._done = asyncio.Event(), asyncio.Event()
        self._delivery = Delivery(self._hand_over) if on_ack is not None else None

    def __repr__(self) -> str:
        return f"Upstream({self.stream_id}, edge {self.spec.src_edge_uuid})"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None) -> None:
        await self.close()

    # --- writing

    async def write(self, datapoint: DataPoint) -> int:
        """Write a point; it is sent after the flush interval, or as soon as there are many.

        Parameters
        ----------
        datapoint : DataPoint

        Returns
        -------
        int
            Serial number of the section to which the point belongs, unless the section ends before the point is sent.

        Raises
        ------
        UsageError, PayloadError
            If a unit cannot carry the point; nothing of it was taken.
        ISCPConnClosedException
            If the stream or its connection is closed.
        """
        if not self._is_open:
            raise self._closed_error()
        buffer = self._buffer
        buffer.add(datapoint)
        if buffer.count == 1 or buffer.count >= BATCH_POINTS or buffer.size_bytes >= BATCH_BYTES:
            await self._hand_on()
        return self._serial

    async def write_parts(self, *point: Any) -> int:
        """Write a point given as elapsed time, data type, channel and payload; as `write`."""
        if not self._is_open:
            raise self._closed_error()
        self._buffer.add_parts(*point)
        await self._hand_on()
        return self._serial

    async def write_points(self, points: Points) -> int:
        """Write columns; returns when they are on their way, or wait for a socket that is not far behind.

        Parameters
        ----------
        points : Points
            Times since the base time [ns].

        Returns
        -------
        int
            Serial number of the section of the last point.

        Raises
        ------
        LocalProtocolError
            If a unit cannot carry a point; nothing was sent.
        ISCPConnClosedException
            If the stream or its connection is closed.
        """
        if not self._is_open:
            raise self._closed_error()
        check_writable(points)
        await self._room()
        self.encode()
        for part in split(points, section_bytes=BATCH_BYTES):
            await self._room()
            self._send(part)
            await asyncio.sleep(0)  # as much is read from a socket in one turn of the loop: nothing comes faster than it goes
        return self._serial

    def encode(self) -> None:
        """Turn the points that were written one by one into bytes that wait for the socket."""
        if self._buffer.count and self._connection is not None:
            for part in split(self._buffer.take(), section_bytes=BATCH_BYTES):
                self._send(part)

    def flush_now(self) -> None:
        """Send what was written, without waiting for the flush interval."""
        if self._connection is not None:
            self._connection.flush_now()

    def end_section(self, *, final: bool = False) -> None:
        """End the open section now; nothing happens if nothing was written since the last one.

        Parameters
        ----------
        final : bool
            The measurement ends with it.
        """
        if self._connection is None:
            return
        self.encode()
        serial = self._connection.session.end_section(self.stream_id, final=final)
        if serial is not None:
            self._serial = serial + 1
            self._sections[serial].ended = True
            self._connection.flush_now()
        self._stop_marker()

    # --- what becomes of it

    @property
    def unacknowledged(self) -> int:
        """Sections that were ended and have not been acknowledged [count]."""
        return sum(section.ended for section in self._sections.values())

    @property
    def is_closed(self) -> bool:
        """Whether nothing can be written any more."""
        return not self._is_open

    @property
    def is_settled(self) -> bool:
        """Whether a connection has nothing more to do for the stream: it is closed to the end, or was given up."""
        return self._done.is_set() or self._gone

    @property
    def kept(self) -> dict[int, list[Points]]:
        """What is kept of the sections that are not acknowledged, by serial number, in their order."""
        return {serial: list(section.parts) for serial, section in sorted(self._sections.items())}

    def keep_only(self, points: Mapping[int, Points], *, first: Points) -> None:
        """Say, between two connections, what is still to be sent of the sections that are not acknowledged.

        Parameters
        ----------
        points : mapping of int to Points
            By serial number. A section without any is not sent again. The section that was open ends with what it has here, so
            that no other points share its number.
        first : Points
            Sent before them, in the first of these sections, or in one of its own.
        """
        if self._connection is not None:
            raise LocalProtocolError(f"{self!r} is sending; what it keeps can be replaced between two connections")
        self._serial = max([self._serial, *(serial + 1 for serial in self._sections)])
        parts = {serial: [given] for serial, given in sorted(points.items()) if len(given)}
        if not parts:
            parts, self._serial = {self._serial: []}, self._serial + 1
        parts[min(parts)].insert(0, first)
        self._sections = {serial: _Section(given, sum(map(kept_bytes, given)), ended=True) for serial, given in parts.items()}
        self._kept_bytes = sum(section.size_bytes for section in self._sections.values())
        self._changed.set()

    def forget(self, most_bytes: int) -> None:
        """Keep no more than so much [byte] of sections that were ended: the oldest are as good as acknowledged."""
        for serial in [serial for serial, section in sorted(self._sections.items()) if section.ended]:
            if self._kept_bytes <= most_bytes:
                return
            self._kept_bytes -= self._sections.pop(serial).size_bytes

    async def flush(self) -> None:
        """End the open section and wait until the server has taken everything.

        Raises
        ------
        TimedOut
            If it does not say so in time.
        ISCPConnClosedException
            If the connection is lost before.
        ResultNGException
            If it refused a section, and nobody is told by `on_ack`.
        """
        self.end_section()
        await self._settled(self._serial + bool(self._buffer.count))

    async def close(self, *, final: bool = False) -> None:
        """Send what is left, wait for its acknowledgement, and close the stream.

        Parameters
        ----------
        final : bool
            The measurement ends with the last section.

        Raises
        ------
        TimedOut
            If the server does not acknowledge or answer in time.
        ISCPConnClosedException
            If the connection is lost before everything was acknowledged.
        ResultNGException
            If the server refused a section and nobody is told by `on_ack`, or refuses to close the stream.
        """
        if self._closing:
            if DELIVERING.get() is None:
                await self._done.wait()
            return
        self._closing, self._is_open = True, False
        self._changed.set()
        try:
            self.end_section(final=final)
            try:
                await self._settled(self._serial + bool(self._buffer.count))
            finally:
                if self._connection is not None:
                    await self._connection.close_stream(self)
        finally:
            self._stop_marker()
            self._done.set()
            if self._delivery is not None:
                await self._delivery.finish()

    # --- what the connection says

    def attached(self, connection: StreamConnection, stream_id: int) -> None:
        """Hear that the stream now runs on this connection: what is not acknowledged is sent again, under the same serials."""
        self._connection, self.stream_id, self._timeout_s = connection, stream_id, connection.timeout_s
        for serial in sorted(self._sections):
            self._send_again(serial)
        connection.session.streams[stream_id].serial_number = min(
            (serial for serial, section in self._sections.items() if not section.ended), default=self._serial
        )
        connection.flush_soon()
        if self._closing:
            self.end_section()
        self._changed.set()

    def detached(self) -> None:
        """Hear that the connection is gone."""
        self._connection = None
        self._stop_marker()
        self._changed.set()

    async def ended(self, why: str) -> None:
        """Hear that it will not come back, and wait until what came is handed over."""
        self._is_open, self._gone, self._why_gone = False, True, why
        self._changed.set()
        if self._delivery is not None:
            await self._delivery.finish()

    async def acknowledged(self, acked: Acked) -> None:
        """Hear what became of a section."""
        serial, section = acked.serial_number, self._sections.get(acked.serial_number)
        if section is None:
            return
        if not acked.ok:
            logger.warning("%r: section %d was refused with result %d", self, serial, acked.result_code)
        if acked.ok or not section.parts or section.resends >= MOST_RESENDS:
            del self._sections[serial]
            self._kept_bytes -= section.size_bytes
            if not acked.ok:
                self.refused.append(serial)
            if self._on_settled is not None:
                self._on_settled(section.parts, acked.ok)
        else:
            section.resends += 1
            self.end_section()
            self._send_again(serial)
        self._changed.set()
        if self._delivery is not None:
            await self._delivery.put(acked)

    # --- inside

    def _send(self, points: Points) -> None:
        connection = self._open_connection()
        connection.session.write(self.stream_id, write_units(points, self.stream_id), len(points))
        section = self._sections.setdefault(self._serial, _Section())
        if self._keep_bytes:
            size = kept_bytes(points)
            section.parts.append(points)
            section.size_bytes += size
            self._kept_bytes += size
        self.points += len(points)
        if self._marker is None:
            self._marker = asyncio.get_running_loop().call_later(self._marker_interval_s, self.end_section)
        connection.flush_soon()

    def _send_again(self, serial: int) -> None:
        """Send a kept section once more, between two others; ended or open as it is."""
        connection, section = self._open_connection(), self._sections[serial]
        stream = connection.session.streams[self.stream_id]
        stream.serial_number = serial
        for part in section.parts:
            connection.session.write(self.stream_id, write_units(part, self.stream_id), len(part))
        if section.ended:
            connection.session.end_section(self.stream_id)
            stream.serial_number = self._serial
        elif section.parts:
            self._marker = asyncio.get_running_loop().call_later(self._marker_interval_s, self.end_section)
        connection.flush_now()

    async def _hand_on(self) -> None:
        """See to it that what is buffered is sent: soon, or now if it is much; then everything else on the loop has its turn."""
        if self._buffer.count < BATCH_POINTS and self._buffer.size_bytes < BATCH_BYTES:
            if self._connection is not None:
                self._connection.flush_soon()
            return
        await self._room()
        self.encode()
        if self._connection is not None:
            self._connection.flush_now()
        await asyncio.sleep(0)

    async def _room(self) -> None:
        """Wait until there is a connection, and it and what is kept are not too far behind."""
        while True:
            if not self._is_open:
                raise self._closed_error()
            if self._connection is None:
                await self._change()
            elif self._kept_bytes > self._keep_bytes > 0:
                self.end_section()  # an acknowledgement makes room, and only a section that has ended gets one
                await self._change()
            elif self._connection.is_behind:
                await self._connection.room()
            else:
                return

    async def _settled(self, end: int) -> None:
        """Wait until every section below a serial number is acknowledged."""
        timeout_s = self._timeout_s if self.spec.store else min(self._timeout_s or UNSTORED_ACK_TIMEOUT_S, UNSTORED_ACK_TIMEOUT_S)

        def waiting() -> int:
            return sum(serial < end for serial in self._sections) + (self._connection is None and self._buffer.count > 0)

        try:
            async with asyncio.timeout(timeout_s):
                while waiting() and not self._gone:
                    await self._change()
        except TimeoutError as exc:
            if self.spec.store:
                raise TimedOut(
                    f"{self!r}: {waiting()} sections were not acknowledged within {timeout_s} s; they may not be stored"
                ) from exc
        if self._gone and waiting() and not self._told:  # who was told by `write` need not be told again
            raise self._doubt()
        if self.refused and self._on_ack is None:
            raise ResultNGException(elements.EOSMarker(self.stream_id, self.refused[0]))

    async def _change(self) -> None:
        self._changed.clear()
        await self._changed.wait()

    async def _hand_over(self, acked: Acked) -> None:
        if self._on_ack is not None:
            await call_safely(repr(self), self._on_ack, acked.serial_number, member(ResultCode, acked.result_code))

    def _stop_marker(self) -> None:
        if self._marker is not None:
            self._marker.cancel()
            self._marker = None

    def _open_connection(self) -> StreamConnection:
        if self._connection is None:
            raise self._closed_error()
        return self._connection

    def _doubt(self) -> ISCPConnClosedException:
        open_points = f" and {self._buffer.count} points were not sent" if self._buffer.count else ""
        sections = f"{len(self._sections)} sections of {self!r} were not acknowledged"
        return ISCPConnClosedException(f"{self._why_gone}; {sections}{open_points}")

    def _closed_error(self) -> ISCPConnClosedException:
        self._told = True
        return ISCPConnClosedException(self._why_gone or f"upstream {self.stream_id} is closed; open another")


def kept_bytes(points: Points) -> int:
    """Give the size of points in columns [byte]."""
    return int(points.offsets[-1] - points.offsets[0]) + POINT_BYTES * len(points)


def wire_spec(spec: UpstreamSpec) -> elements.UpstreamSpec:
    """A spec as a request carries it, without a stream id yet.

    Raises
    ------
    UsageError
        If it cannot work; nothing was sent.
    """
    if not isinstance(spec, UpstreamSpec):
        raise UsageError(f"spec is {type(spec).__name__}, expected UpstreamSpec")
    source = uuid_text(spec.src_edge_uuid)
    if source == NULL_UUID:  # it would close the stream
        raise UsageError("src_edge_uuid is the null uuid; expected that of the edge whose data are sent")
    measurement = uuid_text(spec.measurement_uuid or NULL_UUID)
    return elements.UpstreamSpec(
        0, measurement, source, tuple(map(uuid_text, spec.dst_edge_uuids or ())), store=bool(spec.store), resend=bool(spec.resend)
    )
