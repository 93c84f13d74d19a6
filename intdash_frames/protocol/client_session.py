"""The client's side of one connection of iSCP v1, without I/O.

It takes the server's elements one by one (`receive`), says what they mean, and collects what is to be sent (`take`). Units are
bytes here: `codecs.units` reads and writes those.

Source: protocol 5.3, 5.4, 5.6 to 5.8.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from intdash_frames.errors import LocalProtocolError, RemoteProtocolError
from intdash_frames.protocol.elements import (
    DataFilter,
    DownstreamFilter,
    DownstreamFilterRequest,
    DownstreamSpec,
    DownstreamSpecRequest,
    Element,
    EOSMarker,
    MeasurementIDRequest,
    MeasurementIDResponse,
    ResultCode,
    SectionAck,
    SOSMarker,
    UpstreamSpec,
    UpstreamSpecRequest,
)
from intdash_frames.protocol.session import ANSWER_OF, Outbox, Request, Response, State, Step, Stream, is_close
from intdash_frames.protocol.wire import NULL_UUID, U32, BytesLike

__all__ = ["Acked", "Answered", "ClientSession"]

IDS: Final = 256  # of requests and of streams, each a u8 (protocol 5.10)
FIRST_STREAM_ID: Final = 1  # protocol 5.6

_S = TypeVar("_S", UpstreamSpec, DownstreamSpec)


@dataclass(frozen=True, slots=True)
class Answered:
    """The server answered a request.

    Attributes
    ----------
    request : Request
        As it was sent.
    result_code : int
    measurement_uuid : str
        The answer to a `MeasurementIDRequest`, else the null uuid.
    """

    request: Request
    result_code: int
    measurement_uuid: str = NULL_UUID

    @property
    def ok(self) -> bool:
        """Whether the server said yes; any code other than `ResultCode.OK` is a no."""
        return self.result_code == ResultCode.OK


@dataclass(frozen=True, slots=True)
class Acked:
    """The server has kept a section, or could not.

    Attributes
    ----------
    stream_id, serial_number, result_code : int
    """

    stream_id: int
    serial_number: int
    result_code: int

    @property
    def ok(self) -> bool:
        """Whether the section is kept."""
        return self.result_code == ResultCode.OK


class ClientSession:
    """The client's side of one connection.

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
        self._waiting: dict[int, Request] = {}
        self._next_request, self._next_stream = 0, FIRST_STREAM_ID
        self._outbox = Outbox()

    # --- asking

    def open_upstreams(self, specs: Sequence[UpstreamSpec], *, first_serial: int = 0) -> UpstreamSpecRequest:
        """Ask for upstreams.

        Parameters
        ----------
        specs : sequence of UpstreamSpec
            Their stream ids are replaced by free ones.
        first_serial : int
            Serial number of the first section of each.

        Returns
        -------
        UpstreamSpecRequest
            What was asked, with its ids; `receive` gives it back with the answer.

        Raises
        ------
        LocalProtocolError
            If no stream or request id is free, or a spec does not fit the wire; nothing is sent then.
        """
        numbered = tuple(self._number(specs))
        request = UpstreamSpecRequest(self._request_id(), numbered)
        self._ask(request)
        for spec in numbered:
            self.streams[spec.stream_id] = Stream(spec, serial_number=first_serial)
        return request

    def open_downstreams(self, specs: Sequence[DownstreamSpec]) -> DownstreamSpecRequest:
        """Ask for downstreams; they carry nothing before `set_filters`. As `open_upstreams`."""
        numbered = tuple(self._number(specs))
        request = DownstreamSpecRequest(self._request_id(), numbered)
        self._ask(request)
        for spec in numbered:
            self.streams[spec.stream_id] = Stream(spec)
        return request

    def set_filters(self, filters: Mapping[int, Sequence[DataFilter]]) -> DownstreamFilterRequest:
        """Say what downstreams carry; may be asked right behind their specs.

        Parameters
        ----------
        filters : mapping of int to sequence of DataFilter
            By stream id; replaces what was set before.
        """
        for stream_id in filters:
            self._stream(stream_id, DownstreamSpec)
        wire = tuple(DownstreamFilter(stream_id, tuple(data_filters)) for stream_id, data_filters in filters.items())
        request = DownstreamFilterRequest(self._request_id(), wire)
        self._ask(request)
        for each in wire:
            self.streams[each.stream_id].data_filters = each.data_filters
        return request

    def ask_measurement(self, edge_uuid: str) -> MeasurementIDRequest:
        """Ask for a new measurement of an edge."""
        request = MeasurementIDRequest(self._request_id(), edge_uuid)
        self._ask(request)
        return request

    def close(self, stream_id: int) -> UpstreamSpecRequest | DownstreamSpecRequest:
        """Ask to close a stream; an open section of it is ended first."""
        stream = self._stream(stream_id)
        self.end_section(stream_id)
        # Null uuids and no destination are the request to close (protocol 5.7, 5.8).
        request: UpstreamSpecRequest | DownstreamSpecRequest
        if isinstance(stream.spec, UpstreamSpec):
            request = UpstreamSpecRequest(self._request_id(), (UpstreamSpec(stream_id, NULL_UUID, NULL_UUID),))
        else:
            request = DownstreamSpecRequest(self._request_id(), (DownstreamSpec(stream_id, NULL_UUID, NULL_UUID),))
        self._ask(request)
        stream.step(Step.CLOSE_ASKED)
        return request

    # --- sending data

    def write(self, stream_id: int, units: BytesLike, count: int) -> None:
        """Send units, in a new section if none is open.

        Parameters
        ----------
        stream_id : int
            An upstream of this session that is open.
        units : bytes-like
            Whole units of this stream, as `codecs.units.write_units` gives them.
        count : int
            How many [count].
        """
        stream = self._stream(stream_id, UpstreamSpec)
        if stream.state is not State.OPEN:
            raise LocalProtocolError(f"stream {stream_id} is {stream.state.value}; units go to an open one")
        if not stream.in_section:
            if stream.serial_number > U32.largest:
                raise LocalProtocolError(f"stream {stream_id} has used up its serial numbers, up to {U32.largest}")
            self._outbox.put(SOSMarker(stream_id, stream.serial_number))
            stream.in_section = True
        self._outbox.put_bytes(units)
        stream.section_units += count

    def end_section(self, stream_id: int, *, final: bool = False) -> int | None:
        """End the open section.

        Returns
        -------
        int or None
            Its serial number, to be acknowledged; None if no section is open.
        """
        stream = self._stream(stream_id)
        if not stream.in_section:
            return None
        serial_number = stream.serial_number
        self._outbox.put(EOSMarker(stream_id, serial_number, final))
        stream.unacknowledged.add(serial_number)
        stream.in_section, stream.section_units, stream.serial_number = False, 0, serial_number + 1
        return serial_number

    def take(self, most: int | None = None) -> bytes:
        """What is to be sent now, as one message; empty if nothing is.

        Parameters
        ----------
        most : int, optional
            Size at most [byte], unless the first piece alone is larger; call again for the rest.
        """
        return self._outbox.take(most)

    @property
    def waiting_bytes(self) -> int:
        """What `take` would give [byte]."""
        return self._outbox.size

    # --- what comes

    def receive(self, element: Element) -> Answered | Acked | None:
        """Take an element that is not a unit.

        Returns
        -------
        Answered, Acked or None
            None for what is to be skipped, such as section markers on a downstream (protocol 5.8); counted in `skipped`.

        Raises
        ------
        RemoteProtocolError
            If the answer is not of the kind that was asked for.
        """
        if isinstance(element, SectionAck):
            return self._acked(element)
        if isinstance(element, Response):
            return self._answered(element)
        self.skipped[f"{type(element).__name__} from the server"] += 1
        return None

    def carries(self, stream_id: int, units: int) -> bool:
        """Tell whether units of a stream are wanted; those of another are counted in `skipped`."""
        stream = self.streams.get(stream_id)
        if stream is not None and isinstance(stream.spec, DownstreamSpec) and stream.state is not State.CLOSING:
            return True
        self.skipped[f"units of stream {stream_id}, which is no open downstream"] += units
        return False

    def lost(self) -> list[Request]:
        """The connection is gone: close every stream; returns the requests that stay without an answer."""
        for stream in self.streams.values():
            stream.step(Step.LOST)
        self.streams.clear()
        unanswered = list(self._waiting.values())
        self._waiting.clear()
        self._outbox = Outbox()
        return unanswered

    def _acked(self, ack: SectionAck) -> Acked | None:
        stream = self.streams.get(ack.stream_id)
        if stream is None or ack.serial_number not in stream.unacknowledged:
            self.skipped["SectionAck of a section that waits for none"] += 1
            return None
        stream.unacknowledged.remove(ack.serial_number)
        return Acked(ack.stream_id, ack.serial_number, ack.result_code)

    def _answered(self, response: Response) -> Answered | None:
        request = self._waiting.get(response.req_id)
        if request is None:
            self.skipped[f"{type(response).__name__} to a request that waits for none"] += 1
            return None
        if not isinstance(response, ANSWER_OF[type(request)]):
            raise RemoteProtocolError(
                f"request {response.req_id} was a {type(request).__name__} and was answered by a {type(response).__name__}"
            )
        del self._waiting[response.req_id]
        measurement_uuid = response.measurement_uuid if isinstance(response, MeasurementIDResponse) else NULL_UUID
        answered = Answered(request, response.result_code, measurement_uuid)
        if isinstance(request, UpstreamSpecRequest | DownstreamSpecRequest):
            for spec in request.specs:
                stream = self.streams[spec.stream_id]
                # A close may have been asked before the answer to the opening came; that answer changes nothing then.
                if stream.state is State.CLOSING and not is_close(spec):
                    continue
                stream.step(Step.ACCEPTED if answered.ok else Step.REFUSED)
                if stream.state is State.CLOSED:
                    del self.streams[spec.stream_id]
        return answered

    # --- numbers

    def _ask(self, request: Request) -> None:
        self._outbox.put(request)
        self._waiting[request.req_id] = request
        self._next_request = (request.req_id + 1) % IDS

    def _request_id(self) -> int:
        for step in range(IDS):
            if (number := (self._next_request + step) % IDS) not in self._waiting:
                return number
        raise LocalProtocolError(f"{IDS} requests wait for their answers; a request needs a free id")

    def _number(self, specs: Sequence[_S]) -> list[_S]:
        free = [number for step in range(IDS) if (number := (self._next_stream + step) % IDS) not in self.streams]
        if len(free) < len(specs):
            raise LocalProtocolError(f"{len(self.streams)} streams are open and {len(specs)} more wanted; expected {IDS} at most")
        if specs:
            self._next_stream = (free[len(specs) - 1] + 1) % IDS
        return [dataclasses.replace(spec, stream_id=number) for spec, number in zip(specs, free, strict=False)]

    def _stream(self, stream_id: int, kind: type[UpstreamSpec | DownstreamSpec] | None = None) -> Stream:
        stream = self.streams.get(stream_id)
        if stream is None or (kind is not None and not isinstance(stream.spec, kind)):
            wanted = "stream" if kind is None else "upstream" if kind is UpstreamSpec else "downstream"
            raise LocalProtocolError(f"there is no {wanted} {stream_id}; open are {sorted(self.streams)}")
        return stream
