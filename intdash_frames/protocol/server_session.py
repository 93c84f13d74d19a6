"""The server's side of one connection of iSCP v1, without I/O.

It takes the client's elements one by one (`receive`), says what they ask for, and collects what is to be sent (`take`). Units are
bytes here: `codecs.units` reads and writes those.

Source: protocol 5.3, 5.4, 5.6 to 5.9.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from intdash_frames.errors import RemoteProtocolError
from intdash_frames.protocol.elements import (
    DataFilter,
    DownstreamFilterRequest,
    DownstreamFilterResponse,
    DownstreamSpec,
    DownstreamSpecRequest,
    DownstreamSpecResponse,
    Element,
    EOSMarker,
    MeasurementIDRequest,
    MeasurementIDResponse,
    ResultCode,
    SectionAck,
    SOSMarker,
    UpstreamSpec,
    UpstreamSpecRequest,
    UpstreamSpecResponse,
)
from intdash_frames.protocol.session import Outbox, Request, State, Step, Stream, is_close
from intdash_frames.protocol.wire import NULL_UUID

__all__ = ["Asked", "SectionEnded", "ServerSession"]


@dataclass(frozen=True, slots=True)
class Asked:
    """The client asked for something; `ServerSession.answer` it.

    Attributes
    ----------
    request : Request
    opening : tuple of Stream
        Streams that it opens.
    closing : tuple of Stream
        Streams that it closes; an open section of theirs has not been ended.
    filtered : tuple of Stream
        Open downstreams whose filters it sets.
    """

    request: Request
    opening: tuple[Stream, ...] = ()
    closing: tuple[Stream, ...] = ()
    filtered: tuple[Stream, ...] = ()


@dataclass(frozen=True, slots=True)
class SectionEnded:
    """A section has come whole; `ServerSession.acknowledge` it once it is kept.

    Attributes
    ----------
    stream_id, serial_number : int
    final : bool
        It is the last one of its measurement.
    """

    stream_id: int
    serial_number: int
    final: bool


class ServerSession:
    """The server's side of one connection.

    Attributes
    ----------
    streams : dict of int to Stream
        Every stream that is not closed, by stream id.
    skipped : Counter
        What came and was left alone, by what it was [count].
    """

    def __init__(self) -> None:
        self.streams: dict[int, Stream] = {}
        self.skipped: Counter[str] = Counter()
        # A client may set the filters of a downstream before it asks for it (protocol 5.9).
        self._early_filters: dict[int, tuple[DataFilter, ...]] = {}
        self._outbox = Outbox()

    def receive(self, element: Element) -> Asked | SectionEnded | None:
        """Take an element that is not a unit.

        Returns
        -------
        Asked, SectionEnded or None
            None for what needs no answer, or was answered with a no because it cannot be.

        Raises
        ------
        RemoteProtocolError
            If it is one that only a server sends.
        """
        match element:
            case UpstreamSpecRequest() | DownstreamSpecRequest():
                return self._specs(element)
            case DownstreamFilterRequest():
                return self._filters(element)
            case MeasurementIDRequest():
                return Asked(element)
            case SOSMarker():
                self._start(element)
                return None
            case EOSMarker():
                return self._end(element)
        raise RemoteProtocolError(f"{type(element).__name__} came from the client; only a server sends it")

    def answer(self, asked: Asked, *, ok: bool, measurement_uuid: str = NULL_UUID) -> None:
        """Answer a request, and open or close its streams accordingly."""
        step = Step.ACCEPTED if ok else Step.REFUSED
        for stream in (*asked.opening, *asked.closing):
            stream.step(step)
            if stream.state is State.CLOSED:
                del self.streams[stream.stream_id]
        self._respond(asked.request, ok=ok, measurement_uuid=measurement_uuid)

    def acknowledge(self, stream_id: int, serial_number: int, *, ok: bool) -> None:
        """Say that a section is kept, or could not be."""
        self._outbox.put(SectionAck(stream_id, ResultCode.OK if ok else ResultCode.NG, serial_number))
        if stream_id in self.streams:
            self.streams[stream_id].unacknowledged.discard(serial_number)

    def carries(self, stream_id: int, units: int) -> bool:
        """Tell whether units belong to an open upstream and count them; others are counted in `skipped`.

        Units outside a section are taken like any other (protocol 5.9).
        """
        stream = self.streams.get(stream_id)
        if stream is not None and isinstance(stream.spec, UpstreamSpec) and stream.state is State.OPEN:
            stream.section_units += units
            return True
        self.skipped[f"units of stream {stream_id}, which is no open upstream"] += units
        return False

    def take(self, most: int | None = None) -> bytes:
        """What is to be sent now, as one message; see `ClientSession.take`."""
        return self._outbox.take(most)

    @property
    def waiting_bytes(self) -> int:
        """What `take` would give [byte]."""
        return self._outbox.size

    def lost(self) -> list[Stream]:
        """The connection is gone: close every stream and give them back."""
        streams = list(self.streams.values())
        for stream in streams:
            stream.step(Step.LOST)
        self.streams.clear()
        return streams

    def _specs(self, request: UpstreamSpecRequest | DownstreamSpecRequest) -> Asked | None:
        closing = [self.streams[spec.stream_id] for spec in request.specs if is_close(spec) and spec.stream_id in self.streams]
        wanted = [spec for spec in request.specs if not is_close(spec)]
        numbers = [spec.stream_id for spec in request.specs]
        kind = UpstreamSpec if isinstance(request, UpstreamSpecRequest) else DownstreamSpec
        if (
            len(set(numbers)) < len(numbers)
            or any(spec.stream_id in self.streams for spec in wanted)
            or not all(isinstance(stream.spec, kind) and stream.state is State.OPEN for stream in closing)
        ):
            self.skipped["spec request for a stream id that is in use, or of the other direction"] += 1
            self._respond(request, ok=False)
            return None
        opening = [Stream(spec) for spec in wanted]
        for stream in opening:
            self.streams[stream.stream_id] = stream
            stream.data_filters = self._early_filters.pop(stream.stream_id, ())
        for stream in closing:
            stream.step(Step.CLOSE_ASKED)
        # To close what is not open is answered with a yes: the client wants it gone, and it is.
        return Asked(request, opening=tuple(opening), closing=tuple(closing))

    def _filters(self, request: DownstreamFilterRequest) -> Asked | None:
        filtered = []
        for each in request.filters:
            stream = self.streams.get(each.stream_id)
            if stream is None:
                if each.data_filters:  # none follow the closing of a stream (protocol 5.8)
                    self._early_filters[each.stream_id] = each.data_filters
            elif isinstance(stream.spec, DownstreamSpec):
                stream.data_filters = each.data_filters
                filtered.append(stream)
            else:
                self.skipped["filters for an upstream"] += 1
                self._respond(request, ok=False)
                return None
        return Asked(request, filtered=tuple(filtered))

    def _start(self, marker: SOSMarker) -> None:
        if (stream := self._upstream(marker)) is not None:
            stream.serial_number, stream.in_section = marker.serial_number, True

    def _end(self, marker: EOSMarker) -> SectionEnded | None:
        stream = self._upstream(marker)
        if stream is None:
            return None
        # An end without its start is taken: a client may have lost the start (protocol 5.9).
        stream.serial_number, stream.in_section, stream.section_units = marker.serial_number, False, 0
        stream.unacknowledged.add(marker.serial_number)
        return SectionEnded(marker.stream_id, marker.serial_number, marker.final)

    def _upstream(self, marker: SOSMarker | EOSMarker) -> Stream | None:
        stream = self.streams.get(marker.stream_id)
        if stream is not None and isinstance(stream.spec, UpstreamSpec) and stream.state is State.OPEN:
            return stream
        self.skipped[f"{type(marker).__name__} of stream {marker.stream_id}, which is no open upstream"] += 1
        return None

    def _respond(self, request: Request, *, ok: bool, measurement_uuid: str = NULL_UUID) -> None:
        result = ResultCode.OK if ok else ResultCode.NG
        match request:
            case MeasurementIDRequest():
                self._outbox.put(MeasurementIDResponse(request.req_id, result, measurement_uuid))
            case UpstreamSpecRequest():
                self._outbox.put(UpstreamSpecResponse(request.req_id, result))
            case DownstreamSpecRequest():
                self._outbox.put(DownstreamSpecResponse(request.req_id, result))
            case DownstreamFilterRequest():
                self._outbox.put(DownstreamFilterResponse(request.req_id, result))
