"""The data classes against payloads that the vendor's SDK made, and against what only they promise."""

import json
import math
import pickle
import struct
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from intdash_frames import data
from intdash_frames.codecs.table import LAYOUTS
from intdash_frames.errors import PayloadError, UsageError
from intdash_frames.model import BasetimeType, DataType

GOLDEN = json.loads((Path(__file__).parents[1] / "fixtures" / "golden" / "payloads.json").read_text("utf-8"))

# How the vectors write a value that JSON has no form for.
READ = {
    "data_hex": ("data", bytes.fromhex),
    "value_hex": ("value", bytes.fromhex),
    "value_f64_be_hex": ("value", lambda text: struct.unpack(">d", bytes.fromhex(text))[0]),
    "basetime_ns": ("basetime", lambda time_ns: pd.Timestamp(time_ns, tz="UTC")),
}


def arguments(case):
    given_ = dict(case["input"])
    given_.pop("raw_int32", None)
    if "value_f64_be_hex" in given_:
        del given_["value"]
    return {
        READ[name][0] if name in READ else name: READ[name][1](value) if name in READ else value for name, value in given_.items()
    }


def named(cases):
    return [pytest.param(case, id=case["name"]) for case in cases]


@pytest.mark.parametrize("case", named(GOLDEN["cases"]))
def test_golden_payload_both_ways(case):
    payload = bytes.fromhex(case["payload_hex"])
    content = data.type_to_data_class(case["data_type"])(**arguments(case))
    assert content.to_payload() == payload
    read = type(content).from_payload(payload)
    assert read == content
    assert read.to_payload() == payload
    for name, value in arguments(case).items():
        got = getattr(read, name)
        assert got == value or (math.isnan(got) and math.isnan(value))
    if case["data_id"] is not None:
        assert read.data_id == case["data_id"]


@pytest.mark.parametrize("case", named(GOLDEN["malformed"]))
def test_malformed_payload_is_refused_or_read_as_the_protocol_says(case):
    payload, cls = bytes.fromhex(case["payload_hex"]), data.type_to_data_class(case["data_type"])
    if case["expect"] == "undecodable":
        with pytest.raises(PayloadError, match=DataType(case["data_type"]).name):
            cls.from_payload(payload)
    else:
        read = cls.from_payload(payload)
        expected = {READ[name][0] if name in READ else name: value for name, value in case["expect"].items()}
        assert {name: getattr(read, name) for name in expected} == expected | {"data": bytes.fromhex(case["expect"]["data_hex"])}
        assert read.to_payload() == payload


@given(bits=st.binary(min_size=8, max_size=8))
@settings(deadline=None)
def test_every_bit_of_a_float_survives(bits):
    payload = b"\x01f" + bits
    read = data.Float.from_payload(payload)
    assert read.to_payload() == payload
    assert read == data.Float("f", read.value)
    assert read.data == bits


@given(value=st.integers(-(2**63), 2**63 - 1), name=st.text(max_size=60))
@settings(deadline=None)
def test_ints_are_signed(value, name):
    assert data.Int.from_payload(data.Int(name, value).to_payload()).value == value


@given(time_ns=st.integers(0, 2**32 * 10**9 - 1), number=st.integers(0, 255))
@settings(deadline=None)
def test_base_times_keep_their_nanoseconds_and_unknown_numbers(time_ns, number):
    read = data.Basetime.from_payload(data.Basetime(number, pd.Timestamp(time_ns, tz="UTC")).to_payload())
    assert (read.type, read.basetime.value) == (number, time_ns)
    assert isinstance(read.type, BasetimeType) == (number in {1, 2, 3, 253, 254, 255})


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (data.Float("é" * 128, 1.0), "256 bytes of UTF-8; the limit is 255"),
        (data.Int("i", 2**63), str(2**63)),
        (data.Int("i", 1.5), "1.5"),
        (data.Float("f", "1.5"), "'1.5'"),
        (data.Float(5, 1.5), "5 is not text"),
        (data.CAN(-1, b""), "can_id=-1"),
        (data.CAN(2**32, b""), "can_id=4294967296"),
        (data.CAN(1, bytes(256)), "256 data bytes; the limit is 255"),
        (data.CAN(1, b"", dlc=256), "dlc=256"),
        (data.GeneralSensor(1, 5), "5 is not bytes"),
        (data.JPEG("text"), "'text' is not bytes"),
        (data.String("s", b"bytes"), "is not text"),
        (data.String("s", "\ud800"), "is not text"),
        (data.PCM(1, 2, -1, 16, b""), "sample_rate=-1"),
        (data.Basetime(256, pd.Timestamp(0, tz="UTC")), "basetime_type=256"),
        (data.Basetime(1, pd.Timestamp(-1, tz="UTC")), "-1"),
    ],
)
def test_what_does_not_fit_is_refused_with_the_value(content, message):
    with pytest.raises(PayloadError, match=message.replace("(", r"\(")):
        content.to_payload()


def test_a_base_time_needs_a_zone():
    with pytest.raises(UsageError, match="zone"):
        data.Basetime(BasetimeType.ntp, pd.Timestamp("2020-01-01")).to_payload()


def test_a_payload_has_to_be_bytes():
    with pytest.raises(PayloadError, match="not bytes"):
        data.String.from_payload("0161")


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (data.String("str_test", "test"), "data_type: string\ndata_id: str_test\nvalue: test"),
        (data.CAN(330, b"\x02\xff"), "data_type: can\ndata_id: 0000014a\ndata: 02 FF"),
        (data.JPEG(bytes(30)), "data_type: jpeg\ndata_id: jpeg\ndata: " + "00 " * 20 + "..."),
        (
            data.Basetime(BasetimeType.ntp, pd.Timestamp(1, tz="UTC")),
            "data_type: basetime\ntype: ntp\nbasetime: 1970-01-01 00:00:00.000000001+00:00",
        ),
    ],
)
def test_printed_form(content, text):
    assert str(content) == text


def test_repr_is_short_for_long_content():
    assert repr(data.H264(1, b"ab")) == "H264(type_id=1, data=b'ab')"
    assert len(repr(data.JPEG(bytes(100_000)))) < 200


def test_equality_is_that_of_payloads_within_a_class():
    assert data.Float("x", float("nan")) == data.Float("x", float("nan"))
    assert data.Float("x", -0.0) != data.Float("x", 0.0)
    assert data.CAN(1, b"ab") == data.CAN(1, b"ab", dlc=2)
    assert data.CAN(1, b"ab") != data.CAN(1, b"ab", dlc=8)
    assert data.H264(1, b"ab") != data.Controlpad(1, b"ab")
    assert data.CAN(1, b"") != 1
    assert len({data.Int("x", 1), data.Int("x", 1), data.Int("y", 1)}) == 2


def test_contents_can_be_pickled():
    content = data.CAN(1, b"ab", dlc=8)
    assert pickle.loads(pickle.dumps(content)) == content


def test_value_classes_show_their_value_as_data_in_the_vendors_way():
    assert data.String("s", "é").data == b"\xc3\xa9"
    assert data.Int("i", -5).data == -5
    assert data.Bytes("b", b"v").data == b"v"
    assert (data.NMEA("$GPRMC,1").data, data.NMEA("$GPRMC,1").value) == (b"$GPRMC,1", "$GPRMC,1")


@pytest.mark.parametrize("case", GOLDEN["cases"] + GOLDEN["malformed"], ids=lambda case: case["name"])
def test_any_payload_is_read_and_comes_back_bit_for_bit(case):
    payload = bytes.fromhex(case["payload_hex"])
    content = data.from_any_payload(case["data_type"], payload, "its id")
    assert content.data_type == case["data_type"]
    assert content.to_payload() == payload
    opaque = isinstance(content, data.Opaque)
    assert opaque == (case.get("expect") == "undecodable")
    if opaque:
        assert (content.data_id, content.data) == ("its id", payload)
        assert content.reason


@given(st.integers(0, 255) | st.sampled_from(sorted(LAYOUTS)), st.binary(max_size=40))
def test_no_payload_is_lost(data_type, payload):
    content = data.from_any_payload(data_type, payload)
    assert (content.data_type, content.to_payload()) == (data_type, payload)


def test_content_that_cannot_be_read_says_why_and_shows_its_bytes():
    unknown = data.from_any_payload(99, b"\x01\x02", "x")
    assert unknown == data.Opaque(99, "x", b"\x01\x02")
    assert unknown.reason == "there is no class for this data type"
    assert str(unknown) == "data_type: 99\ndata_id: x\ndata: 01 02"
    cut = data.from_any_payload(DataType.can, b"\x01")
    assert cut.reason == "1 bytes; expected at least 5"
    assert str(cut) == "data_type: can\ndata_id: \ndata: 01"
    newer = data.from_any_payload("can_frame", b"\x01")
    assert (newer.data_type, newer.data) == ("can_frame", b"\x01")
    assert unknown != data.Opaque(98, "x", b"\x01\x02")
    assert len({unknown, data.Opaque(99, "y", b"\x01\x02"), data.Opaque(98, "x", b"\x01\x02")}) == 2
    assert pickle.loads(pickle.dumps(unknown)) == unknown


@pytest.mark.parametrize("data_type", sorted(LAYOUTS))
def test_class_of_a_data_type(data_type):
    if data_type in {DataType.mavlink, DataType.can_bulk, DataType.general_sensor_bulk}:
        with pytest.raises(UsageError, match=str(int(data_type))):
            data.type_to_data_class(data_type)
    else:
        cls = data.type_to_data_class(data_type)
        assert cls.data_type == data_type
        if LAYOUTS[data_type].id_text and cls is not data.Basetime:
            assert cls.data_id == LAYOUTS[data_type].id_text


def test_import_does_not_load_numba():
    script = "import sys; import intdash_frames.data; print('numba' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout == "False\n"
