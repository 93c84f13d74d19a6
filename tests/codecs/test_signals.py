"""Which points a signal is about, and points made of what it says, against one Python object per point."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from intdash_frames.codecs import signals as signals_module
from intdash_frames.codecs.points import ResponseReader, response_frames
from intdash_frames.codecs.series import Series, SeriesTable
from intdash_frames.codecs.signals import convert, converted_points, in_slices, is_source, refusal
from intdash_frames.errors import LocalProtocolError
from intdash_frames.model import (
    ConversionCSV,
    ConversionNone,
    ConversionNumFixedPoint,
    ConversionSubBytes,
    ConversionSubString,
    Display,
    Signal,
)
from intdash_frames.model.signals import ERROR_ID
from tests.codecs.some_points import UUID, points_of, rows_of

quick = settings(deadline=None, max_examples=100)
GOLDEN = Path(__file__).parents[2] / "fixtures" / "golden" / "data_responses.json"


def byte(startbyte=0):
    return ConversionNumFixedPoint(8 * startbyte, 8, "little", "unsigned", 1, 0)


def signal(label, conversion, *, data_type=1, channel=1, data_id="000001a0"):
    display = Display("", 0.0, 1.0, "%f")
    return Signal("", label, "", data_type, data_id, channel, conversion, display, "", None, None)


def can(can_id, channel=1, uuid=UUID):
    return Series(uuid, 1, channel, f"{can_id:08x}", "1")


def frame(can_id, data):
    return can_id.to_bytes(4, "little") + bytes([len(data)]) + data


def named(label, value):
    raw = label.encode()
    return bytes([len(raw)]) + raw + value


def number(label, value):
    return named(label, struct.pack("<d", value))


# --- which points ---


def test_hexadecimal_ids_compare_without_regard_to_case_and_others_with():
    assert is_source(signal("a", byte(), data_id="000001A0"), 1, 1, "000001a0")
    assert is_source(signal("a", byte(), data_type=3, data_id="000A"), 3, 1, "000a")
    assert not is_source(signal("a", byte(), data_type=10, data_id="Text"), 10, 1, "text")
    assert is_source(signal("a", byte(), data_type=10, data_id="Text"), 10, 1, "Text")
    for other in ((3, 1, "000001a0"), (1, 2, "000001a0"), (1, 1, "000001a1"), (None, None, "000001a0")):
        assert not is_source(signal("a", byte()), *other)


def test_a_signal_converts_its_own_points_in_all_measurements():
    rows = [
        (5, can(0x1A0), frame(0x1A0, b"\x07")),
        (6, can(0x1A1), frame(0x1A1, b"\x08")),
        (7, can(0x1A0, channel=2), frame(0x1A0, b"\x09")),
        (8, can(0x1A0, uuid="other"), frame(0x1A0, b"\x0a\x0b")),
        (9, can(0x1A0), frame(0x1A0, b"")),
    ]
    first, second, nobody = convert(
        points_of(rows), [signal("a", byte(), data_id="000001A0"), signal("b", byte(1)), signal("c", byte(), data_id="0")]
    )
    assert (first.rows.tolist(), first.values.to_pylist(), first.failures) == ([0, 3, 4], [7.0, 10.0, None], 1)
    assert (second.rows.tolist(), second.values.to_pylist(), second.failures) == ([0, 3, 4], [None, 11.0, None], 2)
    assert (nobody.rows.tolist(), nobody.values.to_pylist(), nobody.failures) == ([], [], 0)


def test_switches_reach_the_conversion():
    points = points_of([(0, can(0x1A0), frame(0x1A0, b"\x00\x12\x34"))])
    sixteen = [signal("a", ConversionNumFixedPoint(15, 16, "big", "unsigned", 1, 0))]
    assert convert(points, sixteen)[0].values.to_pylist() == [None]
    assert convert(points, sixteen, big_endian_bits="motorola_msb")[0].values.to_pylist() == [0x1234]
    sentence = points_of([(0, Series(UUID, 2, 1, "GPRMC", "2"), b"$GPRMC,1")])
    cell = [signal("a", ConversionCSV([","], 1, "num"), data_type=2, data_id="GPRMC")]
    assert convert(sentence, cell)[0].values.to_pylist() == [None]
    assert convert(sentence, cell, nmea_cells="from_start")[0].values.to_pylist() == [1.0]


def test_parts_of_a_batch_convert_like_copies():
    points = points_of([(i, can(0x1A0), frame(0x1A0, bytes([i]))) for i in range(5)])
    assert convert(points.slice(2, 4), [signal("a", byte())])[0].values.to_pylist() == [2.0, 3.0]


# --- as points ---


def test_each_kind_of_value_travels_as_its_data_type_under_the_label():
    points = points_of([(5, can(0x1A0, uuid="m"), frame(0x1A0, b"AB"))])
    signals = [
        signal("número", byte()),
        signal("text", ConversionSubString(0, 2)),
        signal("bytes", ConversionSubBytes(1, 1)),
        signal("same", ConversionNone()),
    ]
    assert rows_of(converted_points(points, convert(points, signals))) == [
        (5, Series("m", 11, 1, "número", "11"), number("número", 65.0)),
        (5, Series("m", 10, 1, "text", "10"), named("text", b"AB")),
        (5, Series("m", 14, 1, "bytes", "14"), named("bytes", b"B")),
        (5, Series("m", 1, 1, "same", "1"), frame(0x1A0, b"AB")),
    ]


def test_a_failure_is_the_error_row_that_a_server_was_seen_to_send():
    case = next(case for case in json.loads(GOLDEN.read_text())["cases"] if case["name"] == "error_point")
    points = points_of(
        [(case["rows"][0]["time_ns"], Series(case["rows"][0]["measurement_uuid"], 2, 1, "GPRMC", "2"), b"$GPRMC,")]
    )
    nmea = signal("nmea", ConversionCSV([","], 9, "num"), data_type=2, data_id="GPRMC")
    body = response_frames(converted_points(points, convert(points, [nmea])))
    assert bytes(body).hex() == case["body_hex"]


def slow(rows, signals, keeps, failures):
    """The result, a row at a time; each signal takes a byte of a CAN frame."""
    out = []
    for time_ns, key, payload in rows:
        if keeps(key):
            out.append((time_ns, key, payload))
        for each in signals:
            if (key.data_type, key.channel, key.data_id) != (1, each.channel, each.data_id.lower()):
                continue
            label, data = each.label, payload[5:]
            start = each.conversion.startbit // 8
            if start < len(data):
                out.append((time_ns, Series(key.measurement_uuid, 11, each.channel, label, "11"), number(label, data[start])))
            elif failures == "stop":
                return out
            elif failures == "empty":
                out.append((time_ns, Series(key.measurement_uuid, 11, each.channel, label, "11"), b""))
            else:
                said = {
                    "error": "converted_error",
                    "error_description": "Error occurred in signal conversion",
                    "error_extra": {
                        "signal_channel": each.channel,
                        "signal_data_id": each.data_id,
                        "signal_data_type": 1,
                        "signal_label": label,
                    },
                }
                text = json.dumps(said, separators=(",", ":"), ensure_ascii=False).encode()
                error = Series(key.measurement_uuid, 10, each.channel, ERROR_ID, "10")
                out.append((time_ns, error, named("error", text)))
    return out


can_rows = st.lists(
    st.tuples(
        st.integers(0, 3),
        st.builds(can, st.integers(0xA, 0xC), st.integers(1, 2), st.sampled_from([UUID, "other"])),
        st.binary(max_size=3),
    ).map(lambda row: (row[0], row[1], frame(int(row[1].data_id, 16), row[2]))),
    max_size=12,
).map(lambda rows: sorted(rows, key=lambda row: row[0]))
byte_signals = st.lists(
    st.builds(
        lambda label, start, channel, can_id: signal(label, byte(start), channel=channel, data_id=f"{can_id:08X}"),
        st.sampled_from(["a", "é", "long label"]),
        st.integers(0, 2),
        st.integers(1, 2),
        st.integers(0xA, 0xC),
    ),
    max_size=4,
)


@quick
@given(can_rows, byte_signals, st.sets(st.integers(0xA, 0xC)), st.sampled_from(["rows", "stop", "empty"]), st.booleans())
def test_converted_points_stand_behind_the_point_that_they_come_from(rows, signals, kept_ids, failures, as_slice):
    def keeps(key):
        return int(key.data_id, 16) in kept_ids

    points = points_of([(0, can(0xF), b"before"), *rows]).slice(1, 1 + len(rows)) if as_slice else points_of(rows)
    kept = np.array([keeps(points.keys[code]) for code in points.series], np.bool_)
    found = converted_points(points, convert(points, signals), kept=kept, failures=failures)
    assert rows_of(found) == slow(rows, signals, keeps, failures)
    body = bytes(response_frames(found))
    reader = ResponseReader(SeriesTable())
    again = reader.feed(body) if body else None
    assert (rows_of(again) if again is not None else []) == slow(rows, signals, keeps, failures)


def test_without_kept_only_what_was_made_is_there():
    points = points_of([(0, can(0x1A0), frame(0x1A0, b"\x01")), (1, can(0x1A1), frame(0x1A1, b"\x02"))])
    assert [key.data_id for _, key, _ in rows_of(converted_points(points, convert(points, [signal("a", byte())])))] == ["a"]
    assert len(converted_points(points, [])) == 0


def test_a_definition_that_cannot_be_carried_out_is_refused_and_fails_on_every_row():
    points = points_of([(0, can(0x1A0), frame(0x1A0, b"\x01"))])
    impossible = [
        signal("x" * 256, byte()),
        signal("", byte()),
        signal("a", ConversionNumFixedPoint(0, 99, "little", "signed", 1, 0)),
    ]
    says = ["256 bytes", "0 bytes", "bitsize is 99"]
    for each, text in zip(impossible, says, strict=True):
        assert text in str(refusal(each))
        ((_, key, payload),) = rows_of(converted_points(points, convert(points, [each])))
        assert key.data_id == ERROR_ID
        assert json.loads(payload[6:])["error_extra"]["signal_label"] == each.label
    assert refusal(signal("é" * 127, byte())) is None


def test_more_failures_than_a_batch_can_say_are_refused(monkeypatch):
    monkeypatch.setattr(signals_module, "INT32_MAX", 1000)
    points = points_of([(i, can(0x1A0), frame(0x1A0, b"")) for i in range(10)])
    with pytest.raises(LocalProtocolError, match="10 failures of 'a' in one batch; cut the points with in_slices"):
        converted_points(points, convert(points, [signal("a", byte())]))


# --- bounded pieces ---


@quick
@given(can_rows, byte_signals, st.integers(1, 6), st.integers(1, 60))
def test_slices_cut_nothing_away_and_keep_to_the_bounds_where_a_point_can(rows, signals, most_points, most_bytes):
    points = points_of(rows)
    pieces = list(in_slices(points, signals, most_points=most_points, most_bytes=most_bytes))
    assert [row for piece in pieces for row in rows_of(piece)] == rows

    def cost(row):
        copies = 1 + sum(is_source(each, *row[1][1:4]) for each in signals)
        return np.array([copies, copies * len(row[2])])

    bounds = np.array([most_points, most_bytes])
    at = 0
    for piece in pieces:
        own = rows[at : at + len(piece)]
        at += len(piece)
        assert len(own) == 1 or (sum(map(cost, own)) <= bounds).all()
        if at < len(rows):
            assert (sum(map(cost, own)) + cost(rows[at]) > bounds).any()
