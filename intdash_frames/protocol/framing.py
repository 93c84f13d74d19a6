"""Messages of a stream and bodies of the store calls <-> whole elements.

One message holds any number of whole elements; none spans two messages, so nothing is kept from one call to the next.

Source: protocol 4.3, 5.1, 5.3.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from intdash_frames.errors import LocalProtocolError, RemoteProtocolError
from intdash_frames.protocol.elements import ELEMENT_START, ELEMENTS, Element, SectionAck
from intdash_frames.protocol.wire import BytesLike, Reader

__all__ = ["Reading", "next_element", "read_acks", "read_elements", "write_elements"]

_BY_TYPE = {row.type_byte: row for row in ELEMENTS}
_BY_FORM = {row.body.form: row for row in ELEMENTS}


@dataclass(frozen=True, slots=True)
class Reading:
    """What a message held.

    Parameters
    ----------
    elements : tuple of Element
        In the order of the message.
    unread : bytes
        The rest of the message from the first element of an unknown type on; empty if all was read.
    reason : str, optional
        Why `unread` could not be read.
    """

    elements: tuple[Element, ...]
    unread: bytes = b""
    reason: str | None = None


def next_element(reader: Reader) -> Element | str:
    """Read the element at the position of a reader.

    Parameters
    ----------
    reader : Reader
        Over one whole message, not at its end. Moved behind the element.

    Returns
    -------
    Element or str
        Text says which unknown type byte stands there. It has no length, so nothing behind it can be read.

    Raises
    ------
    RemoteProtocolError
        If the message ends inside the element, does not begin it with ``aa``, or breaks a rule of it.
    """
    start = reader.position
    begin = reader.take(1, "element")[0]
    if begin != ELEMENT_START:
        raise RemoteProtocolError(f"element at byte {start} begins with {begin:#04x}, expected {ELEMENT_START:#04x}")
    type_byte = reader.take(1, "type byte")[0]
    row = _BY_TYPE.get(type_byte)
    if row is None:
        return f"unknown element type {type_byte:#04x} at byte {start}"
    try:
        element: Element = row.body.read(reader, row.name)
    except RemoteProtocolError as error:
        raise RemoteProtocolError(f"{row.name} at byte {start}: {error}") from error
    return element


def read_elements(message: BytesLike) -> Reading:
    """Read all elements of one message.

    Parameters
    ----------
    message : bytes-like
        One whole message. Payloads of units are views of it.

    Returns
    -------
    Reading
        A type byte that is not in `ELEMENTS` has no length, so everything from there on is given back unread.

    Raises
    ------
    RemoteProtocolError
        If the message ends inside an element, does not begin an element with ``aa``, or breaks a rule of its element.
    """
    elements: list[Element] = []
    reader = Reader(message)
    while reader.left:
        start = reader.position
        element = next_element(reader)
        if isinstance(element, str):
            return Reading(tuple(elements), bytes(memoryview(message)[start:]), element)
        elements.append(element)
    return Reading(tuple(elements))


def write_elements(elements: Iterable[Element]) -> bytes:
    """Write elements back to back as one message.

    Parameters
    ----------
    elements : iterable of Element

    Returns
    -------
    bytes
        Empty for no element.

    Raises
    ------
    LocalProtocolError
        If a value does not fit its field (the limits of protocol 5.10). Nothing is returned then, so nothing can be sent.
    """
    out = bytearray()
    for element in elements:
        row = _BY_FORM.get(type(element))
        if row is None:
            raise LocalProtocolError(
                f"{type(element).__name__} is not an element, expected one of {sorted(r.name for r in ELEMENTS)}"
            )
        out += bytes((ELEMENT_START, row.type_byte))
        try:
            row.body.write(out, element, row.name)
        except LocalProtocolError as error:
            raise LocalProtocolError(f"{row.name}: {error}") from error
    return bytes(out)


def read_acks(body: BytesLike) -> list[SectionAck]:
    """Read the answer of a store call.

    Parameters
    ----------
    body : bytes-like
        Zero or more acknowledgements back to back; an empty body counts as success (protocol 4.3).

    Returns
    -------
    list of SectionAck
        In the order of the body. The caller looks at the results: whatever is not `ResultCode.OK` is a no.

    Raises
    ------
    RemoteProtocolError
        If the body holds anything but acknowledgements.
    """
    reading = read_elements(body)
    if reading.reason is not None:
        raise RemoteProtocolError(f"answer of a store call: {reading.reason}, expected section_ack")
    acks: list[SectionAck] = []
    for element in reading.elements:
        if not isinstance(element, SectionAck):
            raise RemoteProtocolError(f"answer of a store call holds {type(element).__name__}, expected SectionAck")
        acks.append(element)
    return acks
