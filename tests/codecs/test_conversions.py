"""Conversions against slow readers of their own: bit by bit, `struct`, plain Python text."""

from __future__ import annotations

import json
import math
import struct

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from intdash_frames.codecs.conversions import Bodies, Conventions, refusal, values_of
from intdash_frames.codecs.series import Series
from intdash_frames.model import (
    Conversion,
    ConversionCSV,
    ConversionJSON,
    ConversionNone,
    ConversionNumFixedPoint,
    ConversionNumFloatingPoint,
    ConversionSubBytes,
    ConversionSubString,
)
from tests.codecs.some_points import points_of

quick = settings(deadline=None, max_examples=150)
JPEG = 9  # its payload is its body


def convert(payloads, conversion, data_type=JPEG, data_id="x", **conventions):
    """Values of some payloads of one series."""
    points = points_of([(i, Series("", data_type, 1, data_id, str(data_type)), each) for i, each in enumerate(payloads)])
    bodies = Bodies(points, np.arange(len(payloads)), data_type)
    values = values_of(bodies, conversion, Conventions(**conventions))
    values.validate(full=True)
    return values.to_pylist()


def bits_of(values):
    return [None if value is None else struct.pack("<d", value) for value in values]


def fixed(startbit, bitsize, endian="little", sign="unsigned", scale=1, offset=0):
    return ConversionNumFixedPoint(startbit, bitsize, endian, sign, scale, offset)


# --- num_fixed_point ---


def little(startbit, bitsize):
    """(byte, bit counted from the least significant) of each bit of a field, least significant first."""
    return [divmod(startbit + i, 8) for i in range(bitsize)]


def sequential(startbit, bitsize):
    return [(at // 8, 7 - at % 8) for at in reversed(range(startbit, startbit + bitsize))]


def motorola_msb(startbit, bitsize):
    """Walk down from the most significant bit in the numbering of DBC files."""
    walk = [startbit]
    while len(walk) < bitsize:
        walk.append(walk[-1] - 1 if walk[-1] % 8 else walk[-1] + 15)
    return [divmod(at, 8) for at in reversed(walk)]


def motorola_lsb(startbit, bitsize):
    """Walk up from the least significant bit."""
    walk = [startbit]
    while len(walk) < bitsize:
        walk.append(walk[-1] + 1 if walk[-1] % 8 != 7 else walk[-1] - 15)
    return [divmod(at, 8) for at in walk]


NUMBERINGS = {"little": little, "sequential": sequential, "motorola_msb": motorola_msb, "motorola_lsb": motorola_lsb}


def slow_fixed_point(body, conversion, numbering):
    places = NUMBERINGS[numbering](conversion.startbit, conversion.bitsize)
    if any(not 0 <= byte < len(body) for byte, _ in places):
        return None
    raw = sum((body[byte] >> bit & 1) << i for i, (byte, bit) in enumerate(places))
    if conversion.sign == "signed" and raw >= 2 ** (conversion.bitsize - 1):
        raw -= 2**conversion.bitsize
    return float(raw) * float(conversion.scale) + float(conversion.offset)


numbers = st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**70), 2**70) | st.sampled_from([1, 0.1, 1e-6, 0])


@quick
@given(
    bodies=st.lists(st.binary(max_size=14) | st.binary(min_size=9, max_size=9), max_size=6),
    startbit=st.integers(0, 100) | st.integers(0, 24),
    bitsize=st.integers(1, 64) | st.integers(57, 64),
    sign=st.sampled_from(["signed", "unsigned"]),
    scale=numbers,
    offset=numbers,
    numbering=st.sampled_from(list(NUMBERINGS)),
)
@example([bytes(range(9, 0, -1))], 1, 64, "signed", 1, 0, "little")
@example([bytes(range(9, 0, -1))], 7, 64, "unsigned", 1, 0, "sequential")
@example([b"\xff" * 8], 0, 64, "signed", 0.5, -3, "sequential")
@example([b"\xff" * 8], 0, 64, "unsigned", 1e300, 1e308, "little")
def test_a_fixed_point_number_is_the_sum_of_its_bits_times_scale_plus_offset(
    bodies, startbit, bitsize, sign, scale, offset, numbering
):
    conversion = fixed(startbit, bitsize, "little" if numbering == "little" else "big", sign, scale, offset)
    conventions = {} if numbering == "little" else {"big_endian_bits": numbering}
    expected = [slow_fixed_point(body, conversion, numbering) for body in bodies]
    assert bits_of(convert(bodies, conversion, **conventions)) == bits_of(expected)


@pytest.mark.parametrize(
    ("startbit", "conventions"), [(8, {}), (15, {"big_endian_bits": "motorola_msb"}), (16, {"big_endian_bits": "motorola_lsb"})]
)
def test_the_three_ways_to_number_big_endian_bits_agree_on_whole_bytes(startbit, conventions):
    """The example of protocol 7: a u16 in bytes 1 and 2."""
    assert convert([b"\x00\x12\x34\xff"], fixed(startbit, 16, "big"), **conventions) == [0x1234]


@pytest.mark.parametrize(("numbering", "value"), [("sequential", 0x81), ("motorola_msb", 0b1010_0000), ("motorola_lsb", 0x81)])
def test_start_bit_0_with_8_bits_is_byte_0_but_where_it_is_the_most_significant_bit(numbering, value):
    assert convert([b"\x81\x40"], fixed(0, 8, "big"), big_endian_bits=numbering) == [value]


def test_a_can_signal_crosses_a_byte():
    """Eight bits from bit 2 with scale 0.3 (protocol 7)."""
    assert convert([bytes.fromhex("4a010000 02 ac03")], fixed(2, 8, scale=0.3), 1) == [(0x03AC >> 2 & 0xFF) * 0.3]


def test_an_axis_is_multiplied_and_not_divided_as_the_server_does():
    payload = struct.pack("<Hiii", 1, 41493, -2, 2**31 - 1)
    axes = [convert([payload], fixed(startbit, 32, sign="signed", scale=1e-6), 3)[0] for startbit in (0, 32, 64)]
    assert axes == [0.041492999999999995, -2 * 1e-6, (2**31 - 1) * 1e-6]


def test_a_field_that_leaves_the_body_is_null():
    assert convert([b"", b"\x01", b"\x01\x02"], fixed(4, 8)) == [None, None, 0x20]
    assert convert([b"\xff" * 100], fixed(10**30, 8)) == [None]
    assert convert([b"\xff" * 100], fixed(0, 9, "big"), big_endian_bits="motorola_lsb") == [None]


# --- num_floating_point ---


@quick
@given(
    bodies=st.lists(st.binary(max_size=12), max_size=6),
    startbyte=st.integers(0, 6),
    endian=st.sampled_from(["little", "big"]),
    precision=st.sampled_from([32, 64]),
)
@example([bytes.fromhex("0100f07f000000f4 010000000000f07f")], 8, "little", 64)
def test_a_floating_point_number_is_what_struct_reads(bodies, startbyte, endian, precision):
    def slow(body):
        cut = body[startbyte : startbyte + precision // 8]
        form = ("<" if endian == "little" else ">") + ("f" if precision == 32 else "d")
        return struct.unpack(form, cut)[0] if len(cut) == precision // 8 else None

    found = convert(bodies, ConversionNumFloatingPoint(startbyte, endian, precision))
    expected = [slow(body) for body in bodies]
    if precision == 64:
        assert bits_of(found) == bits_of(expected)
    else:  # which of its bits a NaN keeps when it gets wider is the machine's to say
        plain = [
            ["nan" if value is not None and math.isnan(value) else value for value in values] for values in (found, expected)
        ]
        assert plain[0] == plain[1]


# --- sub_bytes, sub_string ---


@quick
@given(
    texts=st.lists(st.text(st.sampled_from("aé€😀"), max_size=5).map(str.encode) | st.binary(max_size=6), max_size=6),
    startbyte=st.integers(0, 5),
    bytesize=st.integers(0, 6),
)
def test_bytes_and_texts_are_cut_out_and_null_where_they_are_short_or_no_text(texts, startbyte, bytesize):
    cuts = [each[startbyte : startbyte + bytesize] if startbyte + bytesize <= len(each) else None for each in texts]
    assert convert(texts, ConversionSubBytes(startbyte, bytesize)) == cuts
    assert convert(texts, ConversionSubString(startbyte, bytesize)) == [
        None if cut is None else text_or_none(cut) for cut in cuts
    ]


def text_or_none(raw):
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return None


def test_a_size_that_no_memory_holds_is_only_null():
    assert convert([b"abc"], ConversionSubBytes(0, 2**40)) == [None]
    assert convert([b"abc"], ConversionSubString(2**70, 1)) == [None]


# --- csv ---


def slow_cells(text, delimiters):
    cells, at, start = [], 0, 0
    while at < len(text):
        here = [each for each in delimiters if text.startswith(each, at)]
        if here:
            cells.append(text[start:at])
            at = start = at + max(map(len, here))
        else:
            at += 1
    return [*cells, text[start:]]


@quick
@given(
    texts=st.lists(st.text(st.sampled_from(",;a.|é1\n\\"), max_size=12).map(str.encode) | st.binary(max_size=4), max_size=6),
    delimiters=st.lists(st.sampled_from([",", ";", ",,", "é", "a;", ".", "|", "\\", "\n", ",;"]), max_size=3, unique=True),
    index=st.integers(0, 5),
)
@example([b"a,,b"], [",", ",,"], 1)
@example([b"a;,;b"], [";", ",", ";,"], 1)
def test_a_cell_is_what_stands_between_delimiters(texts, delimiters, index):
    def slow(raw):
        text = text_or_none(raw)
        cells = [] if text is None else slow_cells(text, delimiters)
        return cells[index] if index < len(cells) else None

    assert convert(texts, ConversionCSV(delimiters, index, "str")) == [slow(raw) for raw in texts]


@quick
@given(st.lists(st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(10**30), 10**30), max_size=6))
def test_a_number_in_a_cell_is_read_to_the_last_bit(values):
    texts = [f"x, {value!r} ,y".encode() for value in values]
    assert bits_of(convert(texts, ConversionCSV([","], 1, "num"))) == bits_of([float(repr(value)) for value in values])


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1", 1.0),
        ("-.5", -0.5),
        ("+1.", 1.0),
        ("1E-3\r\n", 0.001),
        ("1e-999", 0.0),
        ("1e999", None),
        ("", None),
        (".", None),
        ("1e", None),
        ("nan", None),
        ("inf", None),
        ("0x10", None),
        ("1_0", None),
        ("1 0", None),
        ("١", None),
    ],
)
def test_a_number_is_decimal_and_finite(text, value):
    assert convert([text.encode()], ConversionCSV([","], 0, "num")) == [value]


RMC = b"$GPRMC,085120.307,A,3541.1493,N,13945.3994,E,000.0,240.3,181211,,,A*6A\r\n"


def test_cells_of_a_sentence_are_counted_behind_its_address_unless_told_otherwise():
    """Published: index 0 is the time, index 2 the latitude (protocol 7)."""

    def cell(index, kind="num", delimiters=(",",), **conventions):
        return convert([RMC], ConversionCSV(list(delimiters), index, kind), 2, "GPRMC", **conventions)[0]

    assert (cell(0), cell(2), cell(3, "str")) == (85120.307, 3541.1493, "N")
    assert (cell(0, "str", nmea_cells="from_start"), cell(3, nmea_cells="from_start")) == ("$GPRMC", 3541.1493)
    assert cell(12, "str", ",*") == "6A\r\n"
    assert cell(1, "str", "*") == "6A\r\n"
    assert cell(12) is None


def test_only_a_sentence_has_an_address():
    assert convert([b"\x01x1,2,3"], ConversionCSV([","], 0, "num"), 10, "x") == [1.0]
    assert convert([b"$GPRMC", b"$GPRMC,"], ConversionCSV([","], 0, "str"), 2, "GPRMC") == [None, ""]
    assert convert([b"$GPRMC,1"], ConversionSubString(1, 5), 2, "GPRMC") == ["GPRMC"]


# --- json ---


@pytest.mark.parametrize(
    ("document", "path", "kind", "value"),
    [
        ('{"sp_ACCX": 0.048094, "sp_ACCY": 1}', "sp_ACCX", "num", 0.048094),
        ('{"a": 3}', "a", "num", 3.0),
        ('{"a": {"b": [1, {"c": "x"}]}}', "a.b.1.c", "str", "x"),
        ('{"a.b": 1, "a": {"b": 2}}', "a.b", "num", 1.0),
        ('{"": 5}', "", "num", 5.0),
        ("[7, 8]", "1", "num", 8.0),
        ("[7, 8]", "2", "num", None),
        ("[7, 8]", "-1", "num", None),
        ('{"a": "é"}', "a", "str", "é"),
        ('{"a": "\\ud800"}', "a", "str", None),
        ('{"a": "\\ud83d\\ude00"}', "a", "str", "😀"),
        ('{"a": 1}', "a", "str", None),
        ('{"a": "1"}', "a", "num", None),
        ('{"a": true}', "a", "num", None),
        ('{"a": null}', "a", "num", None),
        ('{"a": NaN}', "a", "num", None),
        ('{"a": 1e999}', "a", "num", None),
        (f'{{"a": 1{"0" * 400}}}', "a", "num", None),
        (f'{{"a": 1{"0" * 5000}}}', "a", "num", None),
        ("[" * 100_000, "a", "num", None),
        ('{"a": 1', "a", "num", None),
        ("", "a", "num", None),
    ],
)
def test_a_field_is_found_by_its_path_or_null(document, path, kind, value):
    assert convert([document.encode()], ConversionJSON(path, kind)) == [value]


nested = st.recursive(
    st.integers(-9, 9) | st.text("ab.", max_size=2), lambda inner: st.dictionaries(st.sampled_from("ab"), inner), max_leaves=6
)


@quick
@given(st.lists(nested, max_size=5), st.lists(st.sampled_from("ab"), min_size=1, max_size=3), st.binary(max_size=3))
def test_dots_go_down(documents, path, junk):
    def slow(document):
        for step in path:
            document = document.get(step) if isinstance(document, dict) else None
        return document

    found = [slow(document) for document in documents]
    bodies = [json.dumps(document).encode() for document in documents]
    dotted = ".".join(path)
    assert convert(bodies, ConversionJSON(dotted, "num")) == [each if isinstance(each, int) else None for each in found]
    assert convert(bodies, ConversionJSON(dotted, "str")) == [each if isinstance(each, str) else None for each in found]
    assert convert([junk + b"\xff"], ConversionJSON(dotted, "num")) == [None]


# --- what a conversion sees ---


def named(data_id, body):
    raw = data_id.encode()
    return bytes([len(raw)]) + raw + body


@pytest.mark.parametrize(
    ("data_type", "payload", "body"),
    [
        (1, bytes.fromhex("4a010000 03 02ff80"), bytes.fromhex("02ff80")),
        (1, bytes.fromhex("4a010000 00 02ff80"), bytes.fromhex("02ff80")),  # the count is not believed (protocol 6.2)
        (2, b"$GPRMC,1", b"$GPRMC,1"),
        (3, b"\x01\x00ABCD", b"ABCD"),
        (4, b"\x07AB", b"AB"),
        (9, b"\xff\xd8", b"\xff\xd8"),
        (10, named("x", b"text"), b"text"),
        (11, named("x", struct.pack("<d", 1.5)), struct.pack("<d", 1.5)),
        (12, named("x", struct.pack("<q", -5)), struct.pack("<q", -5)),
        (13, b"\x00NAL", b"NAL"),
        (14, named("x", b"\x00\x01"), b"\x00\x01"),
        (15, struct.pack("<HHIH", 1, 2, 48000, 16) + b"samples", b"samples"),
        (16, b"adts", b"adts"),
        (127, b"\x01\x00\x00\x00rest", b"rest"),
        (135, b"\x02" + bytes(8), b"\x02" + bytes(8)),
        (200, b"opaque", b"opaque"),
    ],
)
def test_a_conversion_sees_what_follows_the_header_and_id(data_type, payload, body):
    assert convert([payload], ConversionSubBytes(0, len(body)), data_type) == [body]
    assert convert([payload], ConversionSubBytes(0, len(body) + 1), data_type) == [None]
    assert convert([payload], ConversionNone(), data_type) == [payload]


def test_a_name_counted_in_characters_is_still_no_part_of_the_body():
    payload = b"\x01" + "é".encode() + struct.pack("<d", 2.5)
    assert convert([payload], ConversionNumFloatingPoint(0, "little", 64), 11, "é") == [2.5]


@pytest.mark.parametrize(
    ("data_type", "payload"), [(1, b"\x01\x00\x00\x00"), (3, b"\x01"), (10, b"\x05ab"), (10, b""), (15, b"\x01")]
)
def test_a_payload_shorter_than_its_header_has_no_body(data_type, payload):
    for conversion in (ConversionSubBytes(0, 0), ConversionCSV([], 0, "str"), ConversionJSON("a", "str")):
        assert convert([payload], conversion, data_type) == [None]
    assert convert([payload], ConversionNone(), data_type) == [payload]


@pytest.mark.parametrize(
    "conversion",
    [
        fixed(0, 8),
        fixed(3, 64, "big"),
        ConversionNumFloatingPoint(0, "big", 32),
        ConversionSubBytes(0, 1),
        ConversionSubString(0, 1),
        ConversionCSV([","], 0, "num"),
        ConversionCSV([",", ";"], 0, "str"),
        ConversionJSON("a", "str"),
        ConversionNone(),
    ],
)
def test_nothing_becomes_nothing(conversion):
    assert refusal(conversion) is None
    assert convert([], conversion) == []


# --- definitions that cannot be carried out ---


@pytest.mark.parametrize(
    ("conversion", "says"),
    [
        (fixed(-1, 8), "startbit is -1"),
        (fixed("0", 8), "startbit is '0'"),
        (fixed(True, 8), "startbit is True"),
        (fixed(0, 0), "bitsize is 0"),
        (fixed(0, 65), "bitsize is 65; expected 1 to 64"),
        (fixed(0, 8, "middle"), "endian is 'middle'; expected 'little' or 'big'"),
        (fixed(0, 8, sign="-"), "sign is '-'"),
        (fixed(0, 8, scale=math.nan), "scale is nan"),
        (fixed(0, 8, offset=10**400), "offset is 1000"),
        (fixed(0, 8, scale=None), "scale is None"),
        (ConversionNumFloatingPoint(0, "little", 16), "precision is 16; expected 32 or 64"),
        (ConversionCSV([""], 0, "str"), "delimiters"),
        (ConversionCSV(",", 0, "str"), "delimiters"),
        (ConversionCSV([","], -1, "str"), "index is -1"),
        (ConversionJSON(None, "str"), "fieldpath is None"),
        (ConversionJSON("a", "int"), "value_type is 'int'"),
        (ConversionSubBytes(0, -1), "bytesize is -1"),
        ({"type": "newer"}, "newer"),
        (Conversion(), "expected one of none, "),
    ],
)
def test_an_impossible_definition_is_refused_and_gives_nulls(conversion, says):
    assert says in refusal(conversion)
    assert convert([b"12345678"], conversion) == [None]
