"""Bodies of the data calls: the vendor's bytes, any bytes, and any cut of them."""

import base64
import hashlib
import json
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from intdash_frames.codecs.points import (
    Points,
    ResponseReader,
    check_storable,
    read_store,
    response_frames,
    series_of_wire_id,
    store_body,
)
from intdash_frames.codecs.series import Series, SeriesTable
from intdash_frames.errors import LocalProtocolError, RemoteProtocolError
from tests.codecs.some_points import UUID, answer_rows, points_of, rows_of, stored, stored_rows

GOLDEN = Path(__file__).parents[2] / "fixtures" / "golden"
ANSWERS = json.loads((GOLDEN / "data_responses.json").read_text())
STORES = json.loads((GOLDEN / "store_requests.json").read_text())["protobuf"]
PIECES = (1, 3, 8, 100, 10**6)
NOT_AS_WE_WRITE = {"no_time", "created_at", "unknown_field", "fields_in_reverse_order"}
quick = settings(deadline=None, max_examples=60)


def named(cases):
    return pytest.mark.parametrize("case", cases, ids=[case["name"] for case in cases])


def read(body, piece=10**6, keys=None):
    """All points of an answer that arrives in pieces, and the reader."""
    reader = ResponseReader(keys)
    parts = [reader.feed(body[at : at + piece]) for at in range(0, len(body), piece)]
    reader.finish()
    return Points.concat([part for part in parts if part is not None], reader.keys), reader


def as_golden(row):
    time_ns, series, payload = row
    wire_id = series.data_id if series.channel is None else f"{series.channel}/{series.data_id}"
    return (time_ns, series.type_text, wire_id, payload.hex(), series.measurement_uuid)


# --- answers -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("piece", PIECES)
@named(ANSWERS["cases"])
def test_golden_answer_is_read_whatever_its_pieces(case, piece):
    points, reader = read(bytes.fromhex(case["body_hex"]), piece)
    wanted = ("data_type", "data_id", "payload_hex", "measurement_uuid")
    assert list(map(as_golden, rows_of(points))) == [(r["time_ns"] or 0, *(r[key] for key in wanted)) for r in case["rows"]]
    assert [points.keys[code].channel for code in points.series] == [row["channel"] for row in case["rows"]]
    assert [points.keys[code].data_id for code in points.series] == [row["id"] for row in case["rows"]]
    assert reader.untimed == sum(row["time_ns"] is None for row in case["rows"])
    assert reader.position == len(case["body_hex"]) // 2


@named([case for case in ANSWERS["cases"] if case["name"] not in NOT_AS_WE_WRITE])
def test_golden_answer_is_written_with_the_same_bytes(case):
    points, _ = read(bytes.fromhex(case["body_hex"]))
    assert bytes(response_frames(points)).hex() == case["body_hex"]


@pytest.mark.parametrize("piece", PIECES)
@named(ANSWERS["malformed"])
def test_malformed_golden_answer_is_an_error(case, piece):
    assert case["must_raise"]
    with pytest.raises(RemoteProtocolError, match="data answer"):
        read(bytes.fromhex(case["body_hex"]), piece)


@pytest.mark.parametrize("piece", [997, 10**6])
def test_long_golden_answer_is_read_and_written(piece):
    golden = ANSWERS["generated"]
    body = zlib.decompress(base64.b64decode(golden["body_zlib_base64"]))
    points, _ = read(body, piece)
    assert len(points) == golden["count"]
    lines = [" ".join([str(t), uuid, kind, id_, payload]) for t, kind, id_, payload, uuid in map(as_golden, rows_of(points))]
    assert hashlib.sha256("\n".join(lines).encode()).hexdigest() == golden["rows_sha256"]
    assert hashlib.sha256(response_frames(points)).hexdigest() == golden["body_sha256"]


@quick
@given(answer_rows, st.integers(1, 60))
@example([(-1, series_of_wire_id("", "", ""), b"")], 1)
def test_written_answer_reads_back_at_any_cut(rows, piece):
    points, _ = read(bytes(response_frames(points_of(rows))), piece)
    assert rows_of(points) == rows


@quick
@given(answer_rows.filter(bool), st.data())
def test_answer_cut_inside_a_frame_gives_its_whole_frames_and_an_error(rows, data):
    body = bytes(response_frames(points_of(rows)))
    last = len(response_frames(points_of(rows[-1:])))
    reader = ResponseReader()
    points = reader.feed(body[: len(body) - last + data.draw(st.integers(1, last - 1))])
    assert (rows_of(points) if points is not None else []) == rows[:-1]
    with pytest.raises(RemoteProtocolError, match="ended inside a frame"):
        reader.finish()


# An independent reader of protobuf, to the letter of the encoding and with no thought of speed.


def varint(data, at):
    number = 0
    for count in range(10):
        number |= (data[at + count] & 0x7F) << 7 * count
        if data[at + count] < 0x80:
            return number & 2**64 - 1, at + count + 1
    raise ValueError("too long")


def fields(data):
    at = 0
    while at < len(data):
        tag, at = varint(data, at)
        if tag < 8 or tag >= 2**63:
            raise ValueError("no such field")
        if tag & 7 == 0:
            value, at = varint(data, at)
        else:
            size, at = varint(data, at) if tag & 7 == 2 else ({1: 8, 5: 4}[tag & 7], at)
            if at + size > len(data):
                raise ValueError("cut")
            value, at = data[at : at + size], at + size
        yield tag >> 3, tag & 7, value


def signed(number):
    return number - 2**64 if number >= 2**63 else number


def slowly(body):
    """Rows of an answer, or an exception."""
    rows = []
    while body:
        size = int.from_bytes(body[:8], "little")
        if len(body) < 8 + size:
            raise ValueError("cut")
        time, values = {1: 0, 2: 0}, {2: b"", 3: b"", 4: b"", 5: b""}
        for number, kind, value in fields(body[8 : 8 + size]):
            if kind == 2 and number == 1:
                time.update({inner: signed(v) for inner, inner_kind, v in fields(value) if inner_kind == 0})
            elif kind == 2:
                values[number] = value
        if not 0 <= time[2] < 10**9 or not -9_223_372_036 <= time[1] <= 9_223_372_035:
            raise ValueError("no such time")
        series = series_of_wire_id(values[5].decode(), values[2].decode(), values[3].decode())
        rows.append((time[1] * 10**9 + time[2], series, values[4]))
        body = body[8 + size :]
    return rows


def tagged(number, kind, value=b""):
    def number_bytes(n):
        return bytes([n & 0x7F]) if n < 0x80 else bytes([n & 0x7F | 0x80]) + number_bytes(n >> 7)

    tag = number_bytes(number << 3 | kind)
    return tag + (number_bytes(value) if kind == 0 else number_bytes(len(value)) + value if kind == 2 else value)


def some_fields(numbers, blobs):
    """Fields in any order, repeated, unknown ones and known ones of another wire type among them."""
    return st.lists(
        st.builds(lambda n, v: tagged(n, 0, v), numbers, st.integers(0, 2**64 - 1) | st.integers(0, 10**9))
        | st.builds(lambda n, v: tagged(n, 1, v), numbers, st.binary(min_size=8, max_size=8))
        | st.builds(lambda n, v: tagged(n, 5, v), numbers, st.binary(min_size=4, max_size=4))
        | st.builds(lambda n, v: tagged(n, 2, v), numbers, blobs),
        max_size=8,
    ).map(b"".join)


times = some_fields(st.integers(1, 3), st.binary(max_size=3)).map(lambda value: tagged(1, 2, value))
messages = st.lists(
    times | some_fields(st.integers(2, 7) | st.just(2**20), st.sampled_from([b"11", b"1/x", b"a", b""]) | st.binary(max_size=4)),
    max_size=4,
).map(b"".join)


def framed(message):
    return len(message).to_bytes(8, "little") + message


@st.composite
def spoiled(draw, bodies):
    body = bytearray(draw(bodies))
    for _ in range(draw(st.integers(0, 2))):
        at = draw(st.integers(0, len(body)))
        body[at : at + draw(st.integers(0, 1))] = draw(st.binary(max_size=1))
    return bytes(body)


@settings(deadline=None, max_examples=300)
@given(st.lists(spoiled(messages).map(framed), max_size=3).map(b"".join) | spoiled(messages.map(framed)))
@example(framed(tagged(1, 2, b"\x08\x01") + tagged(1, 2, b"\x10\x05") + tagged(4, 2, b"a") + tagged(4, 2, b"")))
@example(framed(tagged(1, 2, tagged(2, 0, 10**9))))
@example(framed(tagged(1, 2, tagged(1, 0, 9_223_372_036))))
@example(framed(b"\x0b"))
@example(framed(b"\x02\x00"))
@example(framed(b"\x79abcdefg"))  # eight bytes, seven there
@example(framed(b"\x7dabc"))
@example(framed(b"\x80" * 10 + b"\x01"))
def test_answer_means_what_an_independent_reader_says(body):
    try:
        expected = slowly(body)
    except (ValueError, LookupError):
        with pytest.raises(RemoteProtocolError):
            read(body)
    else:
        assert rows_of(read(body)[0]) == expected


def test_pieces_may_be_overwritten_after_they_were_fed():
    body = bytes(response_frames(points_of([(5, Series(UUID, 9, 1, "jpeg", "9"), b"abc" * 9)])))
    reader = ResponseReader()
    for at in range(0, len(body), 10):
        piece = bytearray(body[at : at + 10])
        points = reader.feed(piece)
        piece[:] = b"\xff" * len(piece)
    assert rows_of(points) == [(5, Series(UUID, 9, 1, "jpeg", "9"), b"abc" * 9)]


def test_readers_of_one_table_share_their_codes():
    keys = SeriesTable()
    a, b = Series(UUID, 9, 1, "jpeg", "9"), Series(UUID, 9, 2, "jpeg", "9")
    first, _ = read(bytes(response_frames(points_of([(1, a, b""), (2, b, b"")]))), keys=keys)
    second, _ = read(bytes(response_frames(points_of([(3, b, b"")]))), keys=keys)
    assert list(second.series) == [first.series[1]]
    assert list(keys) == [a, b]


def test_error_names_the_position_of_the_bad_frame():
    good = bytes(response_frames(points_of([(1, Series(UUID, 9, 1, "jpeg", "9"), b"")])))
    reader = ResponseReader()
    reader.feed(good)
    with pytest.raises(RemoteProtocolError, match=f"byte {2 * len(good)}:"):
        reader.feed(good + framed(b"\xff"))


def test_id_that_is_not_utf8_is_an_error():
    with pytest.raises(RemoteProtocolError, match="not UTF-8"):
        read(framed(tagged(3, 2, b"\xff")))


@pytest.mark.parametrize(
    ("type_text", "wire_id", "expected"),
    [
        ("12", "1/x", (12, 1, "x")),
        ("12", "7/a/b", (12, 7, "a/b")),
        ("135", "0/", (135, 0, "")),
        ("12", "255/x", (12, 255, "x")),
        ("12", "256/x", (12, None, "256/x")),
        ("12", "x", (12, None, "x")),
        ("12", "/x", (12, None, "/x")),
        ("12", "-1/x", (12, None, "-1/x")),
        ("12", "٣/x", (12, None, "٣/x")),
        ("12", "9" * 5000 + "/x", (12, None, "9" * 5000 + "/x")),
        ("string", "1/x", (None, None, "1/x")),
        ("", "", (None, None, "")),
        ("9" * 5000, "1/x", (None, None, "1/x")),
    ],
)
def test_ids_are_split_at_the_first_slash_or_kept_whole(type_text, wire_id, expected):
    assert series_of_wire_id(UUID, type_text, wire_id) == Series(UUID, *expected, type_text)


# --- stores --------------------------------------------------------------------------------------------------------------


def golden_points(case):
    return [(p["elapsed_ns"], p["channel"], p["data_type"], p["payload_hex"]) for p in case["data_points"]]


@named(STORES)
def test_golden_store_passes_both_ways(case):
    section = read_store(bytes.fromhex(case["body_hex"]))
    seen = [(time_ns, key.channel, key.data_type, payload.hex()) for time_ns, key, payload in rows_of(section.points)]
    assert seen == golden_points(case)
    for name in ("measurement_uuid", "serial_number", "final", "section_end", "section_total_count"):
        assert getattr(section, name) == case[name]
    body = store_body(
        section.points,
        measurement_uuid=section.measurement_uuid,
        serial_number=section.serial_number,
        final=section.final,
    )
    assert body.hex() == case["body_hex"]


@quick
@given(stored_rows(st.integers(-(2**63), 2**63 - 1), uuid=UUID), st.integers(0, 2**32 - 1), st.booleans())
def test_written_store_reads_back(rows, serial_number, final):
    section = read_store(store_body(points_of(rows), measurement_uuid=UUID, serial_number=serial_number, final=final))
    assert rows_of(section.points) == rows
    assert (section.serial_number, section.final) == (serial_number, final)


def slow_store(body):
    head, rows = {1: b"", 2: 0, 3: 0, 4: 0, 5: None}, []
    for number, kind, value in fields(body):
        if (number, kind) == (6, 2):
            point = {(1, 0): 0, (2, 0): 0, (3, 0): 0, (4, 2): b""}
            point.update({(inner, inner_kind): v for inner, inner_kind, v in fields(value)})
            rows.append((signed(point[1, 0]), point[2, 0] % 2**32, point[3, 0] % 2**32, point[4, 2]))
        elif (number, kind) == (5, 2):
            head[5] = dict([(1, 0), *((n, v) for n, k, v in fields(value) if k == 0)])[1] % 2**32
        elif kind == (2 if number == 1 else 0):
            head[number] = value
    if any(channel > 255 or data_type > 255 for _, channel, data_type, _ in rows):
        raise ValueError("no such channel or type")
    return (head[1].decode(), head[2] % 2**32, bool(head[3]), bool(head[4]), head[5]), rows


numbers = st.integers(0, 260)
stores = st.lists(
    some_fields(st.integers(1, 4), st.binary(max_size=3))
    | some_fields(st.integers(1, 3), st.binary(max_size=3)).map(lambda value: tagged(5, 2, value))
    | some_fields(st.integers(1, 5), st.binary(max_size=3)).map(lambda value: tagged(6, 2, value))
    | st.builds(lambda c, t, p: tagged(6, 2, tagged(2, 0, c) + tagged(3, 0, t) + tagged(4, 2, p)), numbers, numbers, st.binary()),
    max_size=4,
).map(b"".join)


@settings(deadline=None, max_examples=300)
@given(spoiled(stores))
@example(tagged(2, 0, 2**32 + 7) + tagged(5, 2, tagged(1, 0, 2**64 - 1)) + tagged(3, 0, 2**32))
def test_store_means_what_an_independent_reader_says(body):
    try:
        head, rows = slow_store(body)
    except (ValueError, LookupError):
        with pytest.raises(RemoteProtocolError):
            read_store(body)
        return
    section = read_store(body)
    assert (
        section.measurement_uuid,
        section.serial_number,
        section.final,
        section.section_end,
        section.section_total_count,
    ) == head
    assert [(t, key.channel, key.data_type, payload) for t, key, payload in rows_of(section.points)] == rows


def test_store_of_a_channel_over_255_is_refused_by_name():
    body = store_body(points_of([(0, Series("", 12, 256, "x", "12"), b"")]), measurement_uuid="")
    with pytest.raises(RemoteProtocolError, match="point 0 has channel 256"):
        read_store(body)


@pytest.mark.parametrize("serial_number", [-1, 2**32, 1.5])
def test_serial_number_that_does_not_fit_is_refused(serial_number):
    with pytest.raises(LocalProtocolError, match="serial_number"):
        store_body(points_of([]), measurement_uuid=UUID, serial_number=serial_number)


@pytest.mark.parametrize(
    ("row", "complaint"),
    [
        ((-1, Series("", 12, 1, "x", "12"), b""), "elapsed time -1 ns"),
        ((0, Series("", 12, None, "x", "12"), b""), "channel None"),
        ((0, Series("", None, 1, "x", "string"), b""), "data type None"),
        ((0, Series("", 256, 1, "x", "256"), b""), "data type 256"),
    ],
)
def test_point_that_no_store_can_carry_is_refused(row, complaint):
    good = (0, stored(1, 12, b"\1x"), b"\1x")
    check_storable(points_of([good]))
    with pytest.raises(LocalProtocolError, match=complaint):
        check_storable(points_of([good, row]))


# --- columns -------------------------------------------------------------------------------------------------------------


@quick
@given(answer_rows, st.data())
def test_slices_copies_and_joins_hold_the_same_points(rows, data):
    points = points_of(rows)
    start = data.draw(st.integers(0, len(rows)))
    stop = data.draw(st.integers(start, len(rows)))
    part = points.slice(start, stop)
    assert len(part) == stop - start
    assert rows_of(part) == rows[start:stop]
    assert bytes(response_frames(part)) == bytes(response_frames(points_of(rows[start:stop])))
    chosen = np.array(data.draw(st.lists(st.integers(start, stop - 1)) if stop > start else st.just([])), np.int64)
    assert rows_of(part.take(chosen - start)) == [rows[i] for i in chosen]
    joined = Points.concat([part, points.slice(stop, len(rows)), points.slice(0, start)], points.keys)
    assert rows_of(joined) == rows[start:stop] + rows[stop:] + rows[:start]
    assert joined.offsets.dtype == np.int32


@quick
@given(stored_rows(st.integers(0, 10**15)), st.data())
def test_store_of_a_slice_is_the_store_of_a_copy(rows, data):
    start = data.draw(st.integers(0, len(rows)))
    part = points_of(rows).slice(start, len(rows))
    assert store_body(part, measurement_uuid=UUID) == store_body(points_of(rows[start:]), measurement_uuid=UUID)


def test_join_of_nothing_is_empty():
    keys = SeriesTable()
    assert len(Points.concat([], keys)) == 0
    assert Points.concat([], keys).keys is keys
    assert bytes(response_frames(Points.empty(keys))) == b""


def framed(*fields):
    """One frame of an answer from ready-made fields."""
    message = b"".join(fields)
    return len(message).to_bytes(8, "little") + message


def test_ids_whose_bytes_run_together_alike_are_told_apart():
    # Both lengths of field 2 take two bytes, and everything behind them is the same: only the lengths say where it ends.
    rest = b"1\x1a\x052\x1a\x02ab" + b"*\x01u"
    body = framed(b"\x12\x81\x00", rest) + framed(b"\x12\x84\x00", rest)
    points = ResponseReader().feed(body * 2)
    assert points.series.tolist() == [0, 1, 0, 1]
    assert [(key.type_text, key.data_id) for key in points.keys] == [("1", "2\x1a\x02ab"), ("1\x1a\x052", "ab")]


@settings(deadline=None, max_examples=40)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["u", "v" * 36, "w" * 36]),
            st.sampled_from(["", "ab", "speed", "x" * 17, "y" * 40]),
            st.integers(0, 3),
        )
    )
)
def test_ids_are_read_whatever_order_measurements_and_series_come_in(rows):
    body = b"".join(
        framed(
            b"\x12\x0211",
            b"\x1a" + bytes([len(data_id) + 2]) + f"{channel}/{data_id}".encode(),
            b"*" + bytes([len(uuid)]) + uuid.encode(),
        )
        for uuid, data_id, channel in rows
    )
    points = ResponseReader().feed(body)
    seen = [] if points is None else [points.keys[code] for code in points.series]
    assert [(key.measurement_uuid, key.data_id, key.channel) for key in seen] == rows
