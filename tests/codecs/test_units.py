"""Bodies of the units call: the vendor's bytes, what the generic reader of elements says, and what is refused."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from intdash_frames.codecs.points import Points
from intdash_frames.codecs.series import Series, SeriesTable
from intdash_frames.codecs.units import read_units, units_body
from intdash_frames.errors import LocalProtocolError, RemoteProtocolError
from intdash_frames.protocol.elements import LONGEST_ELAPSED_NS, EOSMarker, SectionAck, SOSMarker, TimePrecision, Unit
from intdash_frames.protocol.framing import read_elements, write_elements
from tests.codecs.some_points import points_of, rows_of, stored, stored_rows

GOLDEN = json.loads((Path(__file__).parents[2] / "fixtures" / "golden" / "store_requests.json").read_text())["iscp"]
SOS, EOS = SOSMarker(1, 7), EOSMarker(1, 7, final=True)
UNIT = Unit(1, 2, 9, 5, b"picture")
quick = settings(deadline=None, max_examples=60)


def as_units(section):
    return [(t, key.channel, key.data_type, payload) for t, key, payload in rows_of(section.points)]


@pytest.mark.parametrize("case", GOLDEN, ids=[case["name"] for case in GOLDEN])
def test_golden_units_pass_both_ways(case):
    section = read_units(bytes.fromhex(case["body_hex"]))
    units = [(u["elapsed_ns"], u["channel"], u["data_type"], bytes.fromhex(u["payload_hex"])) for u in case["units"]]
    assert as_units(section) == units
    ids = [section.points.keys[code].data_id for code in section.points.series]
    assert [
        (wanted, seen) for wanted, seen in zip((u["data_id"] for u in case["units"]), ids, strict=True) if wanted is not None
    ] == [(seen, seen) for unit, seen in zip(case["units"], ids, strict=True) if unit["data_id"] is not None]
    assert (section.serial_number, section.final) == (case["serial_number"], case["final"])
    assert (section.measurement_uuid, section.section_end, section.section_total_count) == ("", True, None)
    assert units_body(section.points, serial_number=section.serial_number, final=section.final).hex() == case["body_hex"]


@quick
@given(stored_rows(st.integers(0, LONGEST_ELAPSED_NS)), st.integers(0, 2**32 - 1), st.booleans(), st.integers(0, 255))
@example([(LONGEST_ELAPSED_NS, stored(255, 255, b""), b"")], 0, False, 0)
def test_written_units_are_what_the_generic_writer_makes_and_read_back(rows, serial_number, final, stream_id):
    body = units_body(points_of(rows), serial_number=serial_number, final=final, stream_id=stream_id)
    units = [Unit(stream_id, key.channel, key.data_type, time_ns, payload) for time_ns, key, payload in rows]
    assert body == write_elements([SOSMarker(stream_id, serial_number), *units, EOSMarker(stream_id, serial_number, final)])
    section = read_units(body)
    assert rows_of(section.points) == rows
    assert (section.serial_number, section.final) == (serial_number, final)


@quick
@given(st.lists(st.binary(min_size=2, max_size=3) | st.binary(min_size=4, max_size=4), max_size=4), st.data())
def test_any_time_of_a_unit_is_read_as_the_generic_reader_reads_it(fractions, data):
    body = write_elements([SOS])
    for raw in fractions:
        fraction = bytes([raw[0] & 0xFC | len(raw) - 2]) + raw[1:]  # a second or more in it is legal on the wire
        seconds = data.draw(st.sampled_from([b"\x02\x00", b"\xff\xff\xff", b"\x03\x00\x00"]))
        body += (
            b"\xaa\x03\x01\x02\x09" + seconds + fraction + data.draw(st.sampled_from([b"\x04x", b"\x05\x00x", b"\x07\0\0\0x"]))
        )
    body += write_elements([EOS])
    generic = read_elements(body).elements[1:-1]
    assert as_units(read_units(body)) == [(u.elapsed_ns, u.channel, u.data_type, bytes(u.payload)) for u in generic]


@pytest.mark.parametrize("precision", list(TimePrecision))
def test_every_precision_is_read(precision):
    unit = dataclasses.replace(UNIT, elapsed_ns=3_007_000_000, time_precision=precision)
    assert as_units(read_units(write_elements([SOS, unit, EOS])))[0][0] == 3_007_000_000


@pytest.mark.parametrize(
    "elements",
    [
        [],
        [SOS],
        [EOS],
        [SOS, UNIT],
        [UNIT, EOS],
        [UNIT, SOS, EOS],
        [SOS, EOS, UNIT],
        [SOS, SOS, EOS],
        [SOS, EOS, EOS],
        [SOS, UNIT, EOS, SOS, UNIT, EOS],
        [SOS, SectionAck(1, 0, 7), EOS],
        [SOS, EOSMarker(1, 8, final=True)],
        [SOS, EOSMarker(2, 7, final=True)],
        [SOS, UNIT, dataclasses.replace(UNIT, stream_id=3), EOS],
    ],
    ids=lambda elements: "-".join(type(element).__name__ for element in elements),
)
def test_anything_but_one_section_of_one_stream_is_an_error(elements):
    with pytest.raises(RemoteProtocolError, match=r"units body|stream id"):
        read_units(write_elements(elements))


def test_units_body_cut_anywhere_is_an_error():
    body = write_elements([SOS, UNIT, dataclasses.replace(UNIT, payload=b""), EOS])
    for size in range(len(body)):
        with pytest.raises(RemoteProtocolError, match="units body"):
            read_units(body[:size])


@settings(deadline=None, max_examples=200)
@given(st.integers(0, 60), st.integers(0, 3), st.binary(max_size=3))
def test_spoiled_units_body_is_an_error_or_what_the_generic_reader_reads(at, removed, put):
    body = bytearray(write_elements([SOS, UNIT, dataclasses.replace(UNIT, payload=b"", elapsed_ns=10**15), UNIT, EOS]))
    body[at : at + removed] = put
    try:
        section = read_units(body)
    except RemoteProtocolError:
        return
    first, *units, last = read_elements(body).elements
    assert (first.stream_id, first.serial_number) == (last.stream_id, last.serial_number)
    assert section.final == last.final
    assert as_units(section) == [(u.elapsed_ns, u.channel, u.data_type, bytes(u.payload)) for u in units]


@pytest.mark.parametrize(
    ("row", "complaint"),
    [
        ((-1, stored(1, 9, b""), b""), "elapsed time -1 ns"),
        ((LONGEST_ELAPSED_NS + 1, stored(1, 9, b""), b""), "point 1 has an elapsed time"),
        ((0, Series("", 9, None, "", "9"), b""), "channel None"),
        ((0, Series("", 9, 256, "", "9"), b""), "channel 256"),
        ((0, Series("", 256, 1, "", "256"), b""), "data type 256"),
    ],
)
def test_point_that_no_unit_can_carry_is_refused(row, complaint):
    with pytest.raises(LocalProtocolError, match=complaint):
        units_body(points_of([(0, stored(1, 9, b""), b""), row]))


def test_payload_of_a_gibibyte_is_refused_before_a_byte_is_written():
    keys = SeriesTable()
    keys.code(stored(1, 9, b""))
    offsets = np.array([0, 2**30], np.int32)
    points = Points(np.zeros(1, np.int64), np.zeros(1, np.int32), np.empty(2**30, np.uint8), offsets, keys)
    with pytest.raises(LocalProtocolError, match="a payload"):
        units_body(points)


@pytest.mark.parametrize("options", [{"serial_number": -1}, {"serial_number": 2**32}, {"stream_id": 256}])
def test_section_that_no_marker_can_carry_is_refused(options):
    with pytest.raises(LocalProtocolError, match=next(iter(options))):
        units_body(points_of([]), **options)


@quick
@given(stored_rows(st.integers(0, 10**15)), st.data())
def test_units_of_a_slice_are_the_units_of_a_copy(rows, data):
    start = data.draw(st.integers(0, len(rows)))
    stop = data.draw(st.integers(start, len(rows)))
    assert units_body(points_of(rows).slice(start, stop)) == units_body(points_of(rows[start:stop]))
