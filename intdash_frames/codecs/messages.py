"""Messages of a stream -> runs of units as columns, and the elements between them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from intdash_frames.codecs.series import SeriesTable
from intdash_frames.codecs.units import UnitRun, as_buffer, read_run
from intdash_frames.protocol.elements import Element
from intdash_frames.protocol.framing import next_element
from intdash_frames.protocol.wire import Reader

__all__ = ["Unread", "read_message"]


@dataclass(frozen=True, slots=True)
class Unread:
    """The rest of a message, from an element of an unknown type on: it has no length, so nothing behind it can be read.

    Attributes
    ----------
    size : int
        Bytes not read [byte].
    reason : str
        Which type was seen.
    """

    size: int
    reason: str


def read_message(message: bytes | bytearray | memoryview, keys: SeriesTable) -> Iterator[Element | UnitRun | Unread]:
    """Read one message of a stream.

    Parameters
    ----------
    message : bytes-like
        One whole message. It must not change while what was read of it is in use.
    keys : SeriesTable
        Takes the series of the units; their measurement is the empty text, which says "not known here".

    Yields
    ------
    Element, UnitRun or Unread
        In the order of the message: units side by side as one run, everything else one by one.

    Raises
    ------
    RemoteProtocolError
        If the message is cut or malformed somewhere; what stood before it was yielded.

    Notes
    -----
    Source: protocol 5.1, 5.3, 5.5.
    """
    buffer, reader = as_buffer(message), Reader(message)
    while reader.left:
        run = read_run(buffer, reader.position, keys=keys)
        if len(run.points):
            reader.position = run.end
            yield run
            continue
        start = reader.position
        element = next_element(reader)
        if isinstance(element, str):
            yield Unread(len(buffer) - start, element)
            return
        yield element
