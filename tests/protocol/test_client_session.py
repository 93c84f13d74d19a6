"""The client's side alone: what it sends, and what it makes of answers."""

from __future__ import annotations

import pytest

from intdash_frames.errors import LocalProtocolError, RemoteProtocolError
from intdash_frames.protocol.client_session import Acked, ClientSession
from intdash_frames.protocol.elements import (
    DataFilter,
    DownstreamFilterResponse,
    DownstreamSpec,
    DownstreamSpecResponse,
    EOSMarker,
    MeasurementIDResponse,
    SectionAck,
    SOSMarker,
    Unit,
    UpstreamSpec,
    UpstreamSpecResponse,
)
from intdash_frames.protocol.framing import read_elements, write_elements
from intdash_frames.protocol.session import State
from intdash_frames.protocol.wire import NULL_UUID

EDGE, MEASUREMENT = "00112233-4455-6677-8899-aabbccddeeff", "10112233-4455-6677-8899-aabbccddeeff"
UP, DOWN = UpstreamSpec(0, MEASUREMENT, EDGE, store=True), DownstreamSpec(0, EDGE, NULL_UUID)
UNITS = write_elements([Unit(1, 1, 9, 5, b"picture")])


def opened(first_serial: int = 0) -> ClientSession:
    """A session with upstream 1 open and nothing to send."""
    session = ClientSession()
    session.open_upstreams([UP], first_serial=first_serial)
    session.receive(UpstreamSpecResponse(0, 0))
    session.take()
    return session


def sent(session: ClientSession) -> list[object]:
    return list(read_elements(session.take()).elements)


def test_request_ids_count_from_0_and_stream_ids_from_1_for_all_kinds_together() -> None:
    session = ClientSession()
    up = session.open_upstreams([UP, UP])
    down = session.open_downstreams([DOWN])
    filters = session.set_filters({3: [DataFilter(1, 11, ("speed",))]})
    asked = session.ask_measurement(EDGE)
    assert [request.req_id for request in (up, down, filters, asked)] == [0, 1, 2, 3]
    assert [spec.stream_id for spec in (*up.specs, *down.specs)] == [1, 2, 3]
    assert sent(session) == [up, down, filters, asked]


def test_ids_wrap_and_skip_those_in_use() -> None:
    session = ClientSession()
    for _ in range(256):
        stream_id = session.open_downstreams([DOWN]).specs[0].stream_id
        session.receive(DownstreamSpecResponse((stream_id - 1) % 256, 0))
        if stream_id not in (5, 7):
            session.receive(DownstreamSpecResponse(session.close(stream_id).req_id, 0))
            session._next_request = stream_id  # keeps request and stream ids side by side
    assert sorted(session.streams) == [5, 7]
    ids = [session.open_downstreams([DOWN]).specs[0].stream_id for _ in range(8)]
    assert ids == [1, 2, 3, 4, 6, 8, 9, 10]


def test_more_streams_or_requests_than_there_are_numbers_are_refused_before_anything_is_sent() -> None:
    session = ClientSession()
    session.open_downstreams([DOWN] * 200)
    session.take()
    with pytest.raises(LocalProtocolError, match="200 streams are open and 57 more wanted; expected 256 at most"):
        session.open_upstreams([UP] * 57)
    for _ in range(255):
        session.ask_measurement(EDGE)
    session.take()
    with pytest.raises(LocalProtocolError, match="256 requests wait"):
        session.ask_measurement(EDGE)
    assert session.take() == b""


def test_a_refused_stream_is_gone_and_its_number_free() -> None:
    session = ClientSession()
    request = session.open_upstreams([UP])
    answered = session.receive(UpstreamSpecResponse(0, 1))
    assert answered is not None
    assert (answered.ok, getattr(answered, "request", None), session.streams) == (False, request, {})


@pytest.mark.parametrize("code", [1, 2, 255])
def test_every_code_but_0_is_a_no(code: int) -> None:
    session = ClientSession()
    session.open_upstreams([UP])
    answered = session.receive(UpstreamSpecResponse(0, code))
    assert answered is not None
    assert not answered.ok
    assert answered.result_code == code


def test_a_section_starts_with_its_first_units_and_serial_numbers_go_up() -> None:
    session = opened(first_serial=7)
    assert session.end_section(1) is None
    session.write(1, UNITS, 1)
    session.write(1, UNITS, 1)
    assert session.end_section(1) == 7
    session.write(1, UNITS, 1)
    assert session.end_section(1, final=True) == 8
    unit = read_elements(UNITS).elements[0]
    assert sent(session) == [SOSMarker(1, 7), unit, unit, EOSMarker(1, 7), SOSMarker(1, 8), unit, EOSMarker(1, 8, final=True)]


def test_acknowledgements_come_in_any_order_and_each_counts_once() -> None:
    session = opened()
    for _ in range(3):
        session.write(1, UNITS, 1)
        session.end_section(1)
    assert session.receive(SectionAck(1, 1, 2)) == Acked(1, 2, 1)
    assert session.receive(SectionAck(1, 0, 0)) == Acked(1, 0, 0)
    assert session.receive(SectionAck(1, 0, 0)) is None
    assert session.receive(SectionAck(9, 0, 0)) is None
    assert session.streams[1].unacknowledged == {1}
    assert session.skipped == {"SectionAck of a section that waits for none": 2}


def test_closing_ends_the_open_section_and_asks_with_null_uuids() -> None:
    session = opened()
    session.write(1, UNITS, 1)
    session.take()
    request = session.close(1)
    assert sent(session) == [EOSMarker(1, 0), request]
    assert request.specs == (UpstreamSpec(1, NULL_UUID, NULL_UUID),)
    assert session.receive(SectionAck(1, 0, 0)) == Acked(1, 0, 0)
    with pytest.raises(LocalProtocolError, match="stream 1 is closing"):
        session.write(1, UNITS, 1)
    session.receive(UpstreamSpecResponse(request.req_id, 0))
    assert session.streams == {}
    with pytest.raises(LocalProtocolError, match="no upstream 1"):
        session.write(1, UNITS, 1)


def test_a_stream_may_be_closed_before_it_was_answered() -> None:
    session = ClientSession()
    opening = session.open_downstreams([DOWN])
    closing = session.close(1)
    session.receive(DownstreamSpecResponse(opening.req_id, 0))
    assert session.streams[1].state is State.CLOSING
    session.receive(DownstreamSpecResponse(closing.req_id, 0))
    assert session.streams == {}


def test_the_refusal_of_a_stream_that_is_being_closed_is_no_fault() -> None:
    session = ClientSession()
    opening = session.open_downstreams([DOWN])
    closing = session.close(1)
    session.receive(DownstreamSpecResponse(opening.req_id, 1))
    session.receive(DownstreamSpecResponse(closing.req_id, 1))
    assert session.streams == {}


def test_units_of_downstreams_are_wanted_and_others_counted() -> None:
    session = opened()
    session.open_downstreams([DOWN])
    assert session.carries(2, 10)  # its answer may still be on the way
    assert not session.carries(1, 3)
    session.close(2)
    assert not session.carries(2, 4)
    assert sum(session.skipped.values()) == 7


def test_section_markers_of_a_server_are_skipped_and_counted() -> None:
    session = opened()
    assert session.receive(SOSMarker(2, 0)) is None
    assert session.receive(EOSMarker(2, 0)) is None
    assert session.skipped == {"SOSMarker from the server": 1, "EOSMarker from the server": 1}


def test_an_answer_of_another_kind_breaks_the_rules_and_one_nobody_waits_for_does_not() -> None:
    session = ClientSession()
    session.open_upstreams([UP])
    with pytest.raises(RemoteProtocolError, match="request 0 was a UpstreamSpecRequest and was answered by a DownstreamSpec"):
        session.receive(DownstreamSpecResponse(0, 0))
    assert session.receive(DownstreamFilterResponse(44, 0)) is None


def test_a_new_measurement_comes_with_its_answer() -> None:
    session = ClientSession()
    request = session.ask_measurement(EDGE)
    answered = session.receive(MeasurementIDResponse(0, 0, MEASUREMENT))
    assert answered is not None
    assert (getattr(answered, "request", None), getattr(answered, "measurement_uuid", None)) == (request, MEASUREMENT)


def test_filters_go_to_downstreams_only() -> None:
    session = opened()
    with pytest.raises(LocalProtocolError, match="no downstream 1; open are"):
        session.set_filters({1: []})


def test_after_a_loss_nothing_is_open_and_nothing_to_send() -> None:
    session = opened()
    session.write(1, UNITS, 1)
    request = session.ask_measurement(EDGE)
    stream = session.streams[1]
    assert session.lost() == [request]
    assert (stream.state, session.streams, session.take(), session.waiting_bytes) == (State.CLOSED, {}, b"", 0)


def test_serial_numbers_end_at_32_bits() -> None:
    session = opened(first_serial=2**32 - 1)
    session.write(1, UNITS, 1)
    session.end_section(1)
    with pytest.raises(LocalProtocolError, match="used up its serial numbers"):
        session.write(1, UNITS, 1)
