"""Messages: any elements survive, any cut is seen, junk does no harm."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from intdash_frames.errors import LocalProtocolError, RemoteProtocolError
from intdash_frames.protocol.elements import (
    ELEMENTS,
    FILTER_ITEMS,
    FRACTIONS,
    LONGEST_ELAPSED_NS,
    Elapsed,
    Element,
    FilterBody,
    SectionAck,
    SOSMarker,
    Unit,
)
from intdash_frames.protocol.framing import Reading, read_acks, read_elements, write_elements
from intdash_frames.protocol.wire import Blob, Count, Field, Fixed, Flags, Items, Kind, Record, Text, Unsigned, Uuid

STORE = json.loads((Path(__file__).parents[2] / "fixtures" / "golden" / "store_requests.json").read_text())
ACK = "aafa010000000000"


# --- strategies from the table ----------------------------------------------------------------------------------------


def kind_values(kind: Kind) -> st.SearchStrategy[Any]:
    match kind:
        case Unsigned():
            return st.integers(0, kind.largest)
        case Uuid():
            return st.uuids().map(str)
        case Text():
            return st.text(max_size=255).filter(lambda text: len(text.encode()) <= 255)
        case Fixed(size):
            return st.binary(min_size=size, max_size=size)
        case Blob():
            return st.binary(max_size=100)
        case Record():
            return records(kind)
    raise AssertionError(f"no strategy for {kind}")


@st.composite
def records(draw: st.DrawFn, record: Record) -> Any:
    values: dict[str, Any] = {}
    for part in record.parts:
        match part:
            case Field(name, kind):
                # Types with rules would be rare among 256 numbers.
                usual = st.sampled_from(sorted(FILTER_ITEMS)) if name == "data_type" else st.nothing()
                values[name] = draw(usual | kind_values(kind))
            case Flags(names):
                values |= {name: draw(st.booleans()) for name in names}
            case Count():
                pass  # its Items say how many
            case Items(name, kind):
                values[name] = tuple(draw(st.lists(kind_values(kind), max_size=3)))
            case Elapsed():
                values["time_precision"] = draw(st.sampled_from(list(FRACTIONS)))
                unit_ns = FRACTIONS[values["time_precision"]].unit_ns
                values["elapsed_ns"] = draw(st.integers(0, LONGEST_ELAPSED_NS // unit_ns)) * unit_ns
            case FilterBody():
                item = FILTER_ITEMS.get(values["data_type"])
                rules = st.lists(kind_values(item), max_size=3).map(tuple) if item else st.binary(min_size=1, max_size=9)
                values["rules"] = draw(st.none() | rules)
            case _:
                raise AssertionError(f"no strategy for {part}")
    return record.form(**values)


any_element = st.one_of([records(row.body) for row in ELEMENTS])
any_elements = st.lists(any_element, max_size=6)


# --- properties -------------------------------------------------------------------------------------------------------


@settings(max_examples=200, deadline=None)
@given(sent=any_elements)
def test_any_elements_survive_the_round_trip(sent: list[Element]) -> None:
    message = write_elements(sent)
    for form in (bytes, bytearray, memoryview):
        assert read_elements(form(message)) == Reading(tuple(sent))


@pytest.mark.parametrize("row", ELEMENTS, ids=lambda row: row.name)
@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_each_element_begins_with_its_type_and_survives(row: Any, data: st.DataObject) -> None:
    element = data.draw(records(row.body))
    message = write_elements([element])
    assert message[:2] == bytes((0xAA, row.type_byte))
    assert read_elements(message).elements == (element,)


@settings(max_examples=60, deadline=None)
@given(sent=st.lists(any_element, min_size=1, max_size=3))
def test_every_cut_of_a_message_is_an_error_or_falls_between_elements(sent: list[Element]) -> None:
    message = write_elements(sent)
    whole = {len(write_elements(sent[:count])): tuple(sent[:count]) for count in range(len(sent) + 1)}
    for cut in range(len(message) + 1):
        if cut in whole:
            assert read_elements(message[:cut]) == Reading(whole[cut])
        else:
            with pytest.raises(RemoteProtocolError, match="cut inside"):
                read_elements(message[:cut])


def _read_or_refuse(message: bytes) -> None:
    try:
        reading = read_elements(message)
    except RemoteProtocolError:
        return
    assert bool(reading.unread) == (reading.reason is not None)
    assert message.endswith(reading.unread)


known_start = st.sampled_from([bytes((0xAA, row.type_byte)) for row in ELEMENTS])


@settings(max_examples=300, deadline=None)
@given(start=known_start | st.just(b""), junk=st.binary(max_size=60))
def test_junk_gives_elements_or_a_protocol_error_and_nothing_else(start: bytes, junk: bytes) -> None:
    _read_or_refuse(start + junk)


@settings(max_examples=200, deadline=None)
@given(sent=st.lists(any_element, min_size=1, max_size=3), data=st.data())
def test_a_changed_byte_gives_elements_or_a_protocol_error_and_nothing_else(sent: list[Element], data: st.DataObject) -> None:
    message = bytearray(write_elements(sent))
    message[data.draw(st.integers(0, len(message) - 1))] = data.draw(st.integers(0, 255))
    _read_or_refuse(bytes(message))


# --- messages that cannot be read in full -----------------------------------------------------------------------------


def test_unknown_type_gives_what_came_before_it_and_reports_the_rest() -> None:
    message = bytes.fromhex("aaf96700000000" + "aa4201020304" + "aaf96700000000")
    reading = read_elements(message)
    assert reading.elements == (SOSMarker(0x67, 0),)
    assert reading.unread == message[7:]
    assert reading.reason == "unknown element type 0x42 at byte 7"


def test_wrong_first_byte_is_an_error_that_tells_its_place() -> None:
    with pytest.raises(RemoteProtocolError, match="element at byte 7 begins with 0xab, expected 0xaa"):
        read_elements(bytes.fromhex("aaf96700000000" + "abf96700000000"))


def test_cut_element_is_named_with_its_place() -> None:
    with pytest.raises(
        RemoteProtocolError, match="section_ack at byte 8: cut inside serial_number: 4 bytes expected at byte 12, 3"
    ):
        read_elements(bytes.fromhex(ACK + ACK)[:-1])


def test_empty_payload_does_not_hide_what_follows_it() -> None:
    sent = [Unit(1, 1, 9, 0, b""), Unit(1, 1, 9, 1, b"x"), Unit(1, 2, 2, 2, b"")]
    assert list(read_elements(write_elements(sent)).elements) == sent


def test_what_is_no_element_is_not_written() -> None:
    with pytest.raises(LocalProtocolError, match=r"str is not an element, expected one of \['downstream"):
        write_elements([SOSMarker(1, 0), "unit"])  # type: ignore[list-item]


def test_one_bad_element_keeps_the_whole_message_back() -> None:
    with pytest.raises(LocalProtocolError, match="sos_marker: stream_id is 300, expected 0 to 255"):
        write_elements([SOSMarker(1, 0), SOSMarker(300, 0)])


# --- answers of the store calls ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", STORE["responses"], ids=lambda case: case["name"])
def test_golden_answer_of_a_store_call(case: dict[str, Any]) -> None:
    body = bytes.fromhex(case["body_hex"])
    acks = [SectionAck(**ack) for ack in case["acks"]]
    assert read_acks(body) == acks
    assert write_elements(acks) == body


@pytest.mark.parametrize("case", STORE["iscp"], ids=lambda case: case["name"])
def test_golden_body_of_the_units_call_passes_both_ways(case: dict[str, Any]) -> None:
    body = bytes.fromhex(case["body_hex"])
    start, *units, end = read_elements(body).elements
    assert start == SOSMarker(1, case["serial_number"])
    assert [(u.elapsed_ns, u.channel, u.data_type, u.payload) for u in units if isinstance(u, Unit)] == [
        (u["elapsed_ns"], u["channel"], u["data_type"], bytes.fromhex(u["payload_hex"])) for u in case["units"]
    ]
    assert write_elements([start, *units, end]) == body


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (ACK + "aaf96700000000", "holds SOSMarker, expected SectionAck"),
        (ACK + "aa4200", "unknown element type 0x42 at byte 8, expected section_ack"),
        (ACK[:-2], "cut inside serial_number"),
        (b'{"error": 1}'.hex(), "begins with 0x7b"),
    ],
)
def test_answer_that_is_not_only_acknowledgements_is_refused(body: str, message: str) -> None:
    with pytest.raises(RemoteProtocolError, match=message):
        read_acks(bytes.fromhex(body))
