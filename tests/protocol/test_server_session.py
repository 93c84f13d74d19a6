"""The server's side alone, and both sides joined: whatever happens in whatever order, they agree in the end."""

from __future__ import annotations

import json
from collections import deque
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from intdash_frames.errors import RemoteProtocolError
from intdash_frames.protocol.client_session import Acked, Answered, ClientSession
from intdash_frames.protocol.elements import (
    DataFilter,
    DownstreamFilter,
    DownstreamFilterRequest,
    DownstreamFilterResponse,
    DownstreamSpec,
    DownstreamSpecRequest,
    DownstreamSpecResponse,
    EOSMarker,
    MeasurementIDRequest,
    MeasurementIDResponse,
    SectionAck,
    SOSMarker,
    Unit,
    UpstreamSpec,
    UpstreamSpecRequest,
    UpstreamSpecResponse,
)
from intdash_frames.protocol.framing import read_elements, write_elements
from intdash_frames.protocol.server_session import Asked, SectionEnded, ServerSession
from intdash_frames.protocol.session import State
from intdash_frames.protocol.wire import NULL_UUID

GOLDEN = json.loads((Path(__file__).parents[2] / "fixtures" / "golden" / "iscp_elements.json").read_text())
EDGE, MEASUREMENT = "00112233-4455-6677-8899-aabbccddeeff", "10112233-4455-6677-8899-aabbccddeeff"
FILTERS = (DataFilter(1, 11, ("speed",)),)


def up(stream_id: int) -> UpstreamSpec:
    return UpstreamSpec(stream_id, MEASUREMENT, EDGE, store=True)


def down(stream_id: int) -> DownstreamSpec:
    return DownstreamSpec(stream_id, EDGE, NULL_UUID)


def asked(session: ServerSession, element: Any) -> Asked:
    event = session.receive(element)
    assert isinstance(event, Asked)
    return event


def opened() -> ServerSession:
    """A session with upstream 1 and downstream 2 open and nothing to send."""
    session = ServerSession()
    session.answer(asked(session, UpstreamSpecRequest(0, (up(1),))), ok=True)
    session.answer(asked(session, DownstreamSpecRequest(1, (down(2),))), ok=True)
    session.take()
    return session


def sent(session: ServerSession) -> list[object]:
    return list(read_elements(session.take()).elements)


def test_answers_carry_the_id_of_their_request_in_any_order() -> None:
    session = ServerSession()
    requests: list[Any] = [
        UpstreamSpecRequest(7, (up(1), up(3))),
        DownstreamSpecRequest(8, (down(2),)),
        DownstreamFilterRequest(9, (DownstreamFilter(2, FILTERS),)),
        MeasurementIDRequest(10, EDGE),
    ]
    events = [asked(session, request) for request in requests]
    session.answer(events[3], ok=True, measurement_uuid=MEASUREMENT)
    for event in events[2::-1]:
        session.answer(event, ok=event.request.req_id != 7)
    assert sent(session) == [
        MeasurementIDResponse(10, 0, MEASUREMENT),
        DownstreamFilterResponse(9, 0),
        DownstreamSpecResponse(8, 0),
        UpstreamSpecResponse(7, 1),
    ]
    assert {number: stream.data_filters for number, stream in session.streams.items()} == {2: FILTERS}


def test_filters_may_come_before_their_stream() -> None:
    session = ServerSession()
    early = asked(session, DownstreamFilterRequest(0, (DownstreamFilter(4, FILTERS),)))
    session.answer(early, ok=True)
    assert early.filtered == ()
    assert asked(session, DownstreamSpecRequest(1, (down(4),))).opening[0].data_filters == FILTERS


def test_the_empty_filter_request_that_follows_a_close_is_answered_and_forgotten() -> None:
    session = opened()
    session.answer(asked(session, DownstreamSpecRequest(2, (DownstreamSpec(2, NULL_UUID, NULL_UUID),))), ok=True)
    session.answer(asked(session, DownstreamFilterRequest(3, (DownstreamFilter(2, ()),))), ok=True)
    assert sent(session) == [DownstreamSpecResponse(2, 0), DownstreamFilterResponse(3, 0)]
    assert asked(session, DownstreamSpecRequest(4, (down(2),))).opening[0].data_filters == ()


def test_closing_what_is_not_open_is_a_yes() -> None:
    session = ServerSession()
    event = asked(session, UpstreamSpecRequest(0, (UpstreamSpec(9, NULL_UUID, NULL_UUID),)))
    session.answer(event, ok=True)
    assert (event.closing, sent(session)) == ((), [UpstreamSpecResponse(0, 0)])


@pytest.mark.parametrize(
    "request_",
    [
        UpstreamSpecRequest(5, (up(1),)),
        UpstreamSpecRequest(5, (up(6), up(6))),
        DownstreamSpecRequest(5, (down(1),)),
        UpstreamSpecRequest(5, (UpstreamSpec(2, NULL_UUID, NULL_UUID),)),
        DownstreamFilterRequest(5, (DownstreamFilter(1, FILTERS),)),
    ],
    ids=["in use", "twice", "the other direction", "closing the other direction", "filters for an upstream"],
)
def test_what_cannot_be_is_answered_with_a_no_and_changes_nothing(request_: Any) -> None:
    session = opened()
    before = {number: stream.state for number, stream in session.streams.items()}
    assert session.receive(request_) is None
    [answer] = sent(session)
    assert getattr(answer, "result_code", None) == 1
    assert {number: stream.state for number, stream in session.streams.items()} == before
    assert sum(session.skipped.values()) == 1


def test_a_section_ends_with_its_marker_even_where_its_start_was_lost() -> None:
    session = opened()
    assert session.receive(SOSMarker(1, 3)) is None
    assert session.carries(1, 2)
    assert session.receive(EOSMarker(1, 3)) == SectionEnded(1, 3, final=False)
    assert session.carries(1, 1)  # outside a section
    assert session.receive(EOSMarker(1, 4, final=True)) == SectionEnded(1, 4, final=True)
    session.acknowledge(1, 4, ok=False)
    session.acknowledge(1, 3, ok=True)
    assert sent(session) == [SectionAck(1, 1, 4), SectionAck(1, 0, 3)]
    assert session.streams[1].unacknowledged == set()


def test_units_and_markers_of_no_open_upstream_are_counted() -> None:
    session = opened()
    assert not session.carries(2, 5)
    assert not session.carries(77, 6)
    assert session.receive(EOSMarker(77, 0)) is None
    assert session.receive(SOSMarker(2, 0)) is None
    assert sum(session.skipped.values()) == 13


@pytest.mark.parametrize("element", [UpstreamSpecResponse(0, 0), SectionAck(1, 0, 0), MeasurementIDResponse(0, 0, EDGE)])
def test_what_only_a_server_sends_breaks_the_rules(element: Any) -> None:
    with pytest.raises(RemoteProtocolError, match=f"{type(element).__name__} came from the client; only a server sends it"):
        opened().receive(element)


def test_a_lost_connection_closes_every_stream_and_gives_them_back() -> None:
    session = opened()
    session.receive(UpstreamSpecRequest(4, (up(9),)))
    streams = session.lost()
    assert ([stream.stream_id for stream in streams], {stream.state for stream in streams}) == ([1, 2, 9], {State.CLOSED})
    assert session.streams == {}


def test_the_recorded_exchange_of_the_vendors_client_is_answered_as_it_was_recorded() -> None:
    session = ServerSession()
    answers: list[object] = []
    for step in GOLDEN["session"]["exchange"]:
        [element] = read_elements(bytes.fromhex(step["hex"])).elements
        if step["direction"] == "server_to_client":
            assert answers.pop(0) == element
            continue
        if isinstance(element, Unit):
            assert session.carries(element.stream_id, 1)
            continue
        event = session.receive(element)
        if isinstance(event, Asked):
            session.answer(event, ok=True)
        elif isinstance(event, SectionEnded):
            session.acknowledge(event.stream_id, event.serial_number, ok=True)
        answers += sent(session)
    assert (answers, session.streams, session.skipped) == ([], {}, {})


# --- both sides joined ------------------------------------------------------------------------------------------------


class JoinedSides(RuleBasedStateMachine):
    """A client and a server with a slow way in between: each message waits until it is let through."""

    @initialize()
    def join(self) -> None:
        self.client, self.server = ClientSession(), ServerSession()
        self.to_server: deque[bytes] = deque()
        self.to_client: deque[bytes] = deque()
        self.asked: list[Asked] = []
        self.ended: list[SectionEnded] = []
        self.sent_serials: list[tuple[int, int, int]] = []
        self.seen_serials: list[tuple[int, int, int]] = []
        self.acked: list[tuple[int, int, bool]] = []
        self.acks: list[tuple[int, int, bool]] = []
        self.units = 0
        self.requests = self.answers = 0
        self.generation: dict[int, int] = {}

    def drawn(self, data: st.DataObject, kind: type, *states: State) -> int | None:
        found = self.of_state(kind, *states)
        return data.draw(st.sampled_from(found)) if found else None

    def of_state(self, kind: type, *states: State) -> list[int]:
        return [
            number
            for number, stream in self.client.streams.items()
            if isinstance(stream.spec, kind) and stream.state in (states or tuple(State))
        ]

    @rule(specs=st.integers(1, 3), upward=st.booleans(), filtered=st.booleans())
    def open(self, specs: int, upward: bool, filtered: bool) -> None:
        if len(self.client.streams) > 20:
            return
        if upward:
            self.client.open_upstreams([up(0)] * specs)
        else:
            request = self.client.open_downstreams([down(0)] * specs)
            if filtered:
                self.client.set_filters({spec.stream_id: FILTERS for spec in request.specs})
                self.requests += 1
        self.requests += 1

    @rule(data=st.data(), count=st.integers(1, 3))
    def write(self, data: st.DataObject, count: int) -> None:
        if (stream_id := self.drawn(data, UpstreamSpec, State.OPEN)) is None:
            return
        self.client.write(stream_id, write_elements([Unit(stream_id, 0, 9, 0, b"x")] * count), count)
        self.units += count

    @rule(data=st.data())
    def end(self, data: st.DataObject) -> None:
        if (stream_id := self.drawn(data, UpstreamSpec, State.OPEN)) is None:
            return
        units = self.client.streams[stream_id].section_units
        serial = self.client.end_section(stream_id)
        assert (serial is None) == (units == 0)
        if serial is not None:
            self.sent_serials.append((stream_id, serial, units))

    @rule(data=st.data())
    def close(self, data: st.DataObject) -> None:
        if (stream_id := self.drawn(data, object, State.OPENING, State.OPEN)) is None:
            return
        stream = self.client.streams[stream_id]
        if stream.in_section:
            self.sent_serials.append((stream_id, stream.serial_number, stream.section_units))
        self.client.close(stream_id)
        self.requests += 1

    @rule(most=st.none() | st.integers(1, 60))
    def flush(self, most: int | None) -> None:
        if message := self.client.take(most):
            self.to_server.append(message)
        if message := self.server.take(most):
            self.to_client.append(message)

    @rule()
    def let_through_to_the_server(self) -> None:
        if self.to_server:
            self._server_reads(self.to_server.popleft())

    def _server_reads(self, message: bytes) -> None:
        for element in read_elements(message).elements:
            if isinstance(element, Unit):
                assert self.server.carries(element.stream_id, 1)
                continue
            if isinstance(element, EOSMarker):
                self.seen_serials.append(
                    (element.stream_id, element.serial_number, self.server.streams[element.stream_id].section_units)
                )
            event = self.server.receive(element)
            if isinstance(event, Asked):
                # A request is answered at once: on one connection, a stream must be open before its close can come.
                self.server.answer(event, ok=True)
            elif isinstance(event, SectionEnded):
                self.ended.append(event)

    @rule(data=st.data(), ok=st.booleans())
    def acknowledge(self, data: st.DataObject, ok: bool) -> None:
        if not self.ended:
            return
        event = self.ended.pop(data.draw(st.integers(0, len(self.ended) - 1)))
        self.server.acknowledge(event.stream_id, event.serial_number, ok=ok)
        self.acked.append((event.stream_id, event.serial_number, ok))

    @rule()
    def let_everything_through(self) -> None:
        for _ in range(2):
            self.flush(None)
            while self.to_server:
                self.let_through_to_the_server()
            while self.to_client:
                self.let_through_to_the_client()

    @rule()
    def let_through_to_the_client(self) -> None:
        if self.to_client:
            self._client_reads(self.to_client.popleft())

    def _client_reads(self, message: bytes) -> None:
        for element in read_elements(message).elements:
            event = self.client.receive(element)
            if isinstance(event, Answered):
                assert event.ok
                self.answers += 1
            elif isinstance(event, Acked):
                self.acks.append((event.stream_id, event.serial_number, event.ok))

    @invariant()
    def every_section_comes_in_order_with_all_its_units(self) -> None:
        assert self.seen_serials == self.sent_serials[: len(self.seen_serials)]

    def teardown(self) -> None:
        for event in self.ended:
            self.server.acknowledge(event.stream_id, event.serial_number, ok=True)
            self.acked.append((event.stream_id, event.serial_number, True))
        self.ended.clear()
        while (message := self.client.take()) or self.to_server:
            if message:
                self.to_server.append(message)
            self._server_reads(self.to_server.popleft())
        for event in self.ended:
            self.server.acknowledge(event.stream_id, event.serial_number, ok=True)
            self.acked.append((event.stream_id, event.serial_number, True))
        while (message := self.server.take()) or self.to_client:
            if message:
                self.to_client.append(message)
            self._client_reads(self.to_client.popleft())
        assert self.seen_serials == self.sent_serials
        assert (self.answers, self.client._waiting) == (self.requests, {})
        # An acknowledgement that comes after its stream was closed has nobody who waits for it.
        unheard = self.client.skipped["SectionAck of a section that waits for none"]
        assert len(self.acks) + unheard == len(self.acked)
        assert set(self.acks) <= set(self.acked)
        for number, stream in self.client.streams.items():
            other = self.server.streams[number]
            assert (stream.spec, stream.state, stream.data_filters) == (other.spec, other.state, other.data_filters)
        assert self.client.streams.keys() == self.server.streams.keys()
        assert sum(self.server.skipped.values()) == 0


TestJoinedSides = JoinedSides.TestCase
TestJoinedSides.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
