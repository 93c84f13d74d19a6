"""What both sides of a connection of iSCP v1 keep of a stream, and the table by which it moves from state to state.

Source: protocol 5.3, 5.4, 5.6 to 5.8.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from intdash_frames.protocol.elements import (
    DataFilter,
    DownstreamFilterRequest,
    DownstreamFilterResponse,
    DownstreamSpec,
    DownstreamSpecRequest,
    DownstreamSpecResponse,
    Element,
    MeasurementIDRequest,
    MeasurementIDResponse,
    UpstreamSpec,
    UpstreamSpecRequest,
    UpstreamSpecResponse,
)
from intdash_frames.protocol.framing import write_elements
from intdash_frames.protocol.wire import NULL_UUID, BytesLike

__all__ = ["ANSWER_OF", "TRANSITIONS", "Outbox", "Request", "Response", "State", "Step", "Stream", "is_close"]

Request: TypeAlias = UpstreamSpecRequest | DownstreamSpecRequest | DownstreamFilterRequest | MeasurementIDRequest
Response: TypeAlias = UpstreamSpecResponse | DownstreamSpecResponse | DownstreamFilterResponse | MeasurementIDResponse

ANSWER_OF: Final[Mapping[type[Request], type[Response]]] = {
    UpstreamSpecRequest: UpstreamSpecResponse,
    DownstreamSpecRequest: DownstreamSpecResponse,
    DownstreamFilterRequest: DownstreamFilterResponse,
    MeasurementIDRequest: MeasurementIDResponse,
}


class State(enum.Enum):
    """Where a stream is in its life."""

    OPENING = "opening"
    OPEN = "open"
    CLOSING = "closing"
    CLOSED = "closed"


class Step(enum.Enum):
    """What happens to a stream; for whom it is news depends on the side."""

    ACCEPTED = "accepted"
    REFUSED = "refused"
    CLOSE_ASKED = "close asked"
    LOST = "lost"


TRANSITIONS: Final[Mapping[State, Mapping[Step, State]]] = {
    State.OPENING: {
        Step.ACCEPTED: State.OPEN,
        Step.REFUSED: State.CLOSED,
        Step.CLOSE_ASKED: State.CLOSING,
        Step.LOST: State.CLOSED,
    },
    State.OPEN: {Step.CLOSE_ASKED: State.CLOSING, Step.LOST: State.CLOSED},
    # A refused close leaves nothing to use either.
    State.CLOSING: {Step.ACCEPTED: State.CLOSED, Step.REFUSED: State.CLOSED, Step.LOST: State.CLOSED},
    State.CLOSED: {},
}


@dataclass(slots=True)
class Stream:
    """One stream of a connection, as either side keeps it.

    Attributes
    ----------
    spec : UpstreamSpec or DownstreamSpec
        What was asked for; says the direction.
    state : State
    data_filters : tuple of DataFilter
        Of a downstream, as last set.
    serial_number : int
        Of an upstream: of the section that is open, or of the next one.
    section_units : int
        Units of the open section so far [count].
    in_section : bool
        A start marker was sent or received and no end marker after it.
    unacknowledged : set of int
        Serial numbers of ended sections without an answer.
    """

    spec: UpstreamSpec | DownstreamSpec
    state: State = State.OPENING
    data_filters: tuple[DataFilter, ...] = ()
    serial_number: int = 0
    section_units: int = 0
    in_section: bool = False
    unacknowledged: set[int] = field(default_factory=set)

    @property
    def stream_id(self) -> int:
        """The number of the stream on its connection."""
        return self.spec.stream_id

    def step(self, step: Step) -> None:
        """Move on by `TRANSITIONS`; LookupError if there is no such way."""
        if step not in TRANSITIONS[self.state]:
            raise LookupError(f"stream {self.stream_id} is {self.state.value}: nothing is {step.value}")
        self.state = TRANSITIONS[self.state][step]


@dataclass(slots=True)
class Outbox:
    """What is to be sent: chunks of whole elements."""

    chunks: list[BytesLike] = field(default_factory=list)
    size: int = 0

    def put(self, *elements: Element) -> None:
        """Add elements as one chunk."""
        self.put_bytes(write_elements(elements))

    def put_bytes(self, chunk: BytesLike) -> None:
        """Add whole elements."""
        self.chunks.append(chunk)
        self.size += len(chunk)

    def take(self, most: int | None = None) -> bytes:
        """What is to be sent now, as one message; empty if nothing is.

        Parameters
        ----------
        most : int, optional
            Size at most [byte], unless the first chunk alone is larger; call again for the rest.
        """
        chunks, self.chunks, size = self.chunks, [], 0
        for number, chunk in enumerate(chunks):
            if most is not None and size and size + len(chunk) > most:
                chunks, self.chunks = chunks[:number], chunks[number:]
                break
            size += len(chunk)
        self.size -= size
        return b"".join(chunks)


def is_close(spec: UpstreamSpec | DownstreamSpec) -> bool:
    """Tell whether a spec asks to close its stream: its source is the null uuid (protocol 5.7, 5.8)."""
    return spec.src_edge_uuid == NULL_UUID
