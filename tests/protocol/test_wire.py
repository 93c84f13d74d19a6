"""Primitive fields: numbers, varints, uuids, text, and the places of a record."""

from __future__ import annotations

import json
import mmap
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from intdash_frames.errors import LocalProtocolError, RemoteProtocolError
from intdash_frames.protocol.wire import (
    NULL_UUID,
    U8,
    U16,
    U32,
    VARINTS,
    Blob,
    Count,
    Field,
    Fixed,
    Flags,
    Items,
    Kind,
    Reader,
    Record,
    Text,
    Uuid,
    Varint,
)

GOLDEN = Path(__file__).parents[2] / "fixtures" / "golden" / "iscp_elements.json"
GOLDEN_VARINTS = json.loads(GOLDEN.read_text())["varints"]
KINDS = {"u8_32": VARINTS["A"], "u16_24": VARINTS["B"], "u16_32": VARINTS["C"]}


def encode(kind: Kind, value: Any, **options: Any) -> bytes:
    out = bytearray()
    kind.write(out, value, "value", **options)
    return bytes(out)


def assert_both_ways(kind: Kind, value: Any, wire: bytes) -> None:
    assert encode(kind, value) == wire
    reader = Reader(wire + b"after")
    assert kind.read(reader, "value") == value
    assert reader.left == len(b"after")


@pytest.mark.parametrize("case", GOLDEN_VARINTS, ids=lambda case: f"{case['kind']}-{case['value']}-{case['length']}")
def test_golden_varint_passes_both_ways(case: dict[str, Any]) -> None:
    kind, wire = KINDS[case["kind"]], bytes.fromhex(case["hex"])
    assert kind.read_sized(Reader(wire), "value") == (case["value"], case["length"])
    assert encode(kind, case["value"], size=case["length"]) == wire
    if kind.name in "AB":  # in C the writer is told the length
        assert (encode(kind, case["value"]) == wire) is case["minimal"]


@pytest.mark.parametrize("kind", VARINTS.values(), ids=VARINTS)
@settings(deadline=None)
@given(data=st.data())
def test_varint_survives_in_every_length_that_holds_it(kind: Varint, data: st.DataObject) -> None:
    value = data.draw(st.integers(0, kind.largest(kind.longest)))
    sizes = [size for size in range(kind.shortest, kind.longest + 1) if value <= kind.largest(size)]
    for size in sizes:
        wire = encode(kind, value, size=size)
        assert len(wire) == size
        assert kind.read_sized(Reader(wire), "value") == (value, size)
    assert encode(kind, value) == encode(kind, value, size=sizes[0])


@pytest.mark.parametrize("kind", VARINTS.values(), ids=VARINTS)
@settings(deadline=None)
@given(junk=st.binary(max_size=6))
def test_varint_reader_takes_junk_or_refuses_it(kind: Varint, junk: bytes) -> None:
    reader = Reader(junk)
    try:
        value, size = kind.read_sized(reader, "value")
    except RemoteProtocolError:
        return
    assert encode(kind, value, size=size) == junk[:size]
    assert reader.position == size


def test_kind_c_has_no_fifth_byte() -> None:
    with pytest.raises(RemoteProtocolError, match="fraction claims 5 bytes, but kind C has 2 to 4"):
        VARINTS["C"].read(Reader(b"\x03\x00\x00\x00\x00"), "fraction")


@pytest.mark.parametrize(
    ("kind", "value", "size"),
    [
        (VARINTS["A"], 1 << 30, None),
        (VARINTS["B"], 1 << 23, None),
        (VARINTS["C"], 1 << 30, None),
        (VARINTS["A"], 64, 1),
        (VARINTS["C"], 16384, 2),
        (VARINTS["A"], -1, None),
        (VARINTS["A"], 1, 0),
        (VARINTS["A"], 1, 5),
        (VARINTS["B"], 1, 4),
    ],
)
def test_varint_that_does_not_fit_is_not_written(kind: Varint, value: int, size: int | None) -> None:
    out = bytearray()
    with pytest.raises(LocalProtocolError):
        kind.write(out, value, "value", size=size)
    assert not out


@pytest.mark.parametrize(
    ("kind", "value", "wire"),
    [
        (U8, 255, b"\xff"),
        (U16, 0x0102, b"\x02\x01"),
        (U32, 65536, b"\x00\x00\x01\x00"),
        (Uuid(), "00112233-4455-6677-8899-aabbccddeeff", bytes.fromhex("00112233445566778899aabbccddeeff")),
        (Uuid(), NULL_UUID, bytes(16)),
        (Text(U8), "", b"\x00"),
        (Text(U8), "温度", b"\x06\xe6\xb8\xa9\xe5\xba\xa6"),
        (Fixed(3), b"abc", b"abc"),
        (Blob(U16), b"abc", b"\x03\x00abc"),
        (Blob(VARINTS["A"]), b"", b"\x00"),
    ],
)
def test_kind_passes_both_ways_and_takes_no_more_than_its_bytes(kind: Kind, value: Any, wire: bytes) -> None:
    assert_both_ways(kind, value, wire)
    for cut in range(len(wire)):
        with pytest.raises(RemoteProtocolError, match="cut inside"):
            kind.read(Reader(wire[:cut]), "value")


@pytest.mark.parametrize(
    ("kind", "value", "message"),
    [
        (U8, 256, "value is 256, expected 0 to 255"),
        (U16, -1, "value is -1, expected 0 to 65535"),
        (U32, 1 << 32, "value is 4294967296, expected 0 to 4294967295"),
        (U8, 1.0, "value is 1.0, expected a whole number"),
        (U8, "1", "value is '1', expected a whole number"),
        (Uuid(), "nobody", "value is 'nobody', expected a uuid"),
        (Uuid(), None, "value is None, expected a uuid"),
        (Text(U8), "é" * 128, "length of value is 256, expected 0 to 255"),
        (Text(U8), b"bytes", "expected text"),
        (Text(U8), "\ud800", "UTF-8 cannot hold"),
        (Fixed(4), b"abc", "value has 3 bytes, expected 4"),
        (Fixed(4), "abcd", "value is str, expected contiguous bytes"),
        (Blob(U8), memoryview(b"abcdef")[::2], "value is memoryview, expected contiguous bytes"),
    ],
)
def test_value_that_does_not_fit_is_named_and_not_written(kind: Kind, value: Any, message: str) -> None:
    out = bytearray()
    with pytest.raises(LocalProtocolError, match=message):
        kind.write(out, value, "value")
    assert not out


def test_whole_numbers_of_numpy_are_written() -> None:
    assert encode(U16, np.int64(258)) == b"\x02\x01"


def test_view_of_wide_items_is_written_with_the_length_of_its_bytes() -> None:
    assert encode(Blob(U8), memoryview(np.array([1, 2], dtype="<u2"))) == b"\x04\x01\x00\x02\x00"


def test_text_that_is_not_utf8_is_refused() -> None:
    with pytest.raises(RemoteProtocolError, match="expected UTF-8: invalid start byte at 0"):
        Text(U8).read(Reader(b"\x01\xff"), "label")


def test_payload_over_the_limit_is_refused_before_it_is_copied() -> None:
    with mmap.mmap(-1, 1 << 30) as pages, memoryview(pages) as payload:
        out = bytearray()
        with pytest.raises(LocalProtocolError, match="length of payload is 1073741824, expected 0 to 1073741823"):
            Blob(VARINTS["A"]).write(out, payload, "payload")
        assert not out


def test_blob_is_a_view_of_the_message() -> None:
    message = bytearray(b"\x03abc")
    view = Blob(U8).read(Reader(message), "payload")
    message[1] = ord("X")
    assert view == b"Xbc"


def test_cut_is_named_with_its_place() -> None:
    reader = Reader(b"abcdef")
    reader.take(4, "head")
    with pytest.raises(RemoteProtocolError, match="cut inside tail: 3 bytes expected at byte 4, 2 left"):
        reader.take(3, "tail")


def test_part_of_a_reader_ends_where_it_should_and_counts_from_the_message() -> None:
    reader = Reader(b"abcdef")
    reader.take(1, "head")
    inner = reader.part(2, "body")
    assert (reader.position, inner.position, inner.left) == (3, 1, 2)
    with pytest.raises(RemoteProtocolError, match="at byte 1, 2 left"):
        inner.take(3, "tail")


@dataclass(frozen=True)
class Thing:
    number: int
    low: bool
    high: bool
    names: tuple[str, ...]


THING = Record(Thing, (Count("names", U8), Flags(("low", "high")), Field("number", U16), Items("names", Text(U8))))


def test_record_has_its_parts_in_the_order_of_the_wire() -> None:
    assert_both_ways(THING, Thing(7, low=False, high=True, names=("a", "bc")), b"\x02\x02\x07\x00\x01a\x02bc")


def test_unknown_flag_bits_are_ignored_on_reading() -> None:
    assert THING.read(Reader(b"\x00\xfe\x07\x00"), "thing") == Thing(7, low=False, high=True, names=())


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (Thing(7, low=False, high=True, names=("a",) * 256), "number of names is 256, expected 0 to 255"),
        (Thing(7, low=False, high=True, names="abc"), "names is 'abc', expected a tuple"),  # type: ignore[arg-type]
        (Thing(7, low=False, high=True, names=("a", 5)), r"names\[1\] is 5, expected text"),  # type: ignore[arg-type]
        ("thing", "value is 'thing', expected Thing"),
    ],
)
def test_record_that_does_not_fit_is_refused(value: Any, message: str) -> None:
    with pytest.raises(LocalProtocolError, match=message):
        encode(THING, value)
