"""The table of states, and what is to be sent."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from intdash_frames.protocol.elements import DownstreamSpec, SectionAck, UpstreamSpec
from intdash_frames.protocol.framing import read_elements
from intdash_frames.protocol.session import TRANSITIONS, Outbox, State, Step, Stream, is_close
from intdash_frames.protocol.wire import NULL_UUID

EDGE = "00112233-4455-6677-8899-aabbccddeeff"


@given(st.lists(st.sampled_from(list(Step))))
def test_any_steps_move_by_the_table_or_are_refused_and_change_nothing(steps: list[Step]) -> None:
    stream = Stream(DownstreamSpec(1, EDGE, NULL_UUID))
    for step in steps:
        before = stream.state
        if step in TRANSITIONS[before]:
            stream.step(step)
            assert stream.state is TRANSITIONS[before][step]
        else:
            with pytest.raises(LookupError, match=rf"stream 1 is {before.value}: nothing is {step.value}"):
                stream.step(step)
            assert stream.state is before


def test_every_state_but_the_last_can_be_lost_and_nothing_leaves_the_last() -> None:
    assert {state for state, ways in TRANSITIONS.items() if ways.get(Step.LOST) is State.CLOSED} == set(State) - {State.CLOSED}
    assert TRANSITIONS[State.CLOSED] == {}


@given(st.lists(st.binary(max_size=9)), st.integers(0, 20))
def test_messages_of_a_bounded_size_are_the_chunks_in_order_and_never_cut(chunks: list[bytes], most: int) -> None:
    outbox = Outbox()
    for chunk in chunks:
        outbox.put_bytes(chunk)
    assert outbox.size == sum(map(len, chunks))
    ends = {0}
    for chunk in chunks:
        ends.add(max(ends) + len(chunk))
    sent, position = [], 0
    while outbox.size:
        message = outbox.take(most)
        position += len(message)
        assert position in ends
        assert len(message) <= most or message in chunks
        sent.append(message)
    assert b"".join(sent) == b"".join(chunks)
    assert outbox.take() == b""


def test_elements_go_out_as_they_are_written() -> None:
    outbox = Outbox()
    acks = [SectionAck(1, 0, serial) for serial in range(3)]
    outbox.put(acks[0])
    outbox.put(*acks[1:])
    assert list(read_elements(outbox.take()).elements) == acks


def test_a_spec_with_a_null_source_asks_to_close() -> None:
    assert is_close(UpstreamSpec(2, NULL_UUID, NULL_UUID))
    assert not is_close(UpstreamSpec(2, NULL_UUID, EDGE))  # a stream that is not stored has no measurement
    assert is_close(DownstreamSpec(2, NULL_UUID, NULL_UUID))
