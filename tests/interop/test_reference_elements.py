"""The elements of a stream between the vendor's SDK and ours: every golden element, through both readers and both writers."""

from typing import Any

import pytest

from intdash_frames.protocol.framing import read_elements, write_elements
from tests.interop.conftest import Reference
from tests.protocol.test_elements import GOLDEN, golden_wire

END_OF_MESSAGE = "EOFError"
MESSAGES = [message for message in GOLDEN["messages"] if not message["name"].startswith("empty_payload")]


def assert_passes_both_ways(reference: Reference, wire: bytes) -> None:
    ours = read_elements(wire).elements
    written, ended_by = reference.rewrite(write_elements(ours))
    assert [bytes.fromhex(each) for each in written] == [write_elements([each]) for each in ours]
    assert read_elements(bytes.fromhex("".join(written))).elements == ours
    assert ended_by == END_OF_MESSAGE


@pytest.mark.parametrize("case", GOLDEN["elements"], ids=lambda case: case["name"])
def test_every_golden_element_passes_both_ways_between_the_reference_and_us(reference: Reference, case: dict[str, Any]) -> None:
    wire = golden_wire(case)
    if case["reference_read"] == "ok":
        assert_passes_both_ways(reference, wire)
    else:
        # An empty body ends its reading. It writes such units all the same, and we read them.
        assert write_elements(read_elements(wire).elements) == wire
        assert reference.rewrite(wire) == ([], case["reference_read"])


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: message["name"])
def test_every_golden_message_passes_both_ways_between_the_reference_and_us(
    reference: Reference, message: dict[str, Any]
) -> None:
    assert_passes_both_ways(reference, bytes.fromhex(message["hex"]))


def test_a_whole_recorded_session_passes_both_ways_between_the_reference_and_us(reference: Reference) -> None:
    assert_passes_both_ways(reference, b"".join(bytes.fromhex(step["hex"]) for step in GOLDEN["session"]["exchange"]))


def test_the_reference_loses_what_follows_an_empty_body_in_a_message(reference: Reference) -> None:
    # Why our server ends a message with such a unit.
    (message,) = (each for each in GOLDEN["messages"] if each["name"] == "empty_payload_in_the_middle")
    ours = read_elements(bytes.fromhex(message["hex"])).elements
    written, ended_by = reference.rewrite(bytes.fromhex(message["hex"]))
    assert ended_by == END_OF_MESSAGE
    assert len(written) < len(ours) == len(message["elements"])
