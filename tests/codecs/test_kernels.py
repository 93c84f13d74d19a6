"""No kernel reads or writes outside what it was given, whatever the bytes and lengths in them say."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from intdash_frames.codecs import kernels
from intdash_frames.codecs.series import Interner
from intdash_frames.codecs.table import ID_KINDS, ID_WIDTHS, LAYOUTS
from intdash_frames.errors import RemoteProtocolError
from intdash_frames.protocol.elements import FRACTIONS, LONGEST_ELAPSED_NS
from intdash_frames.protocol.wire import VARINTS, Reader
from tests.codecs.two_ways import PLAIN, Outside, Strict, run, wire

GOLDEN = Path(__file__).parents[2] / "fixtures" / "golden"
STORES = json.loads((GOLDEN / "store_requests.json").read_text())
PAYLOADS = json.loads((GOLDEN / "payloads.json").read_text())
ANSWER_BODIES = [bytes.fromhex(case["body_hex"]) for case in json.loads((GOLDEN / "data_responses.json").read_text())["cases"]]
STORE_BODIES = [bytes.fromhex(case["body_hex"]) for case in STORES["protobuf"]]
UNIT_RUNS = [bytes.fromhex(case["body_hex"])[7:-8] for case in STORES["iscp"]]
PAYLOAD_BYTES = [bytes.fromhex(case["payload_hex"]) for case in PAYLOADS["cases"] + PAYLOADS["malformed"]]

INT64 = st.integers(-(2**63), 2**63 - 1)
fuzz = settings(deadline=None, max_examples=80)


@st.composite
def broken(draw, bodies, largest=600):
    """Sound bytes cut anywhere; or with a few replaced, removed or put in; or junk."""
    body = bytearray(draw(st.sampled_from([body for body in bodies if len(body) <= largest])))
    how = draw(st.sampled_from(["cut", "spoil", "junk"]))
    if how == "junk":
        return draw(st.binary(max_size=80))
    if how == "cut":
        return bytes(body[: draw(st.integers(0, len(body)))])
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(body)))
        body[at : at + draw(st.integers(0, 2))] = draw(st.binary(max_size=3) | st.sampled_from([b"\xff", b"\x7f", b"\x80"]))
    return bytes(body)


def columns(payloads):
    offsets = np.cumsum([0, *map(len, payloads)]).astype(np.int32)
    return wire(b"".join(payloads)), offsets


# --- readers of bodies ---------------------------------------------------------------------------------------------------


@fuzz
@given(broken(ANSWER_BODIES))
@example(bytes(8))
@example(b"\xff" * 16)
@example(b"\x0c" + bytes(7) + b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f\x00")
@example(b"\x04" + bytes(7) + b"\x22\x03ab")  # three bytes of payload, two there
@example(b"\x05" + bytes(7) + b"\x22\x02ab")  # a frame longer than the body
@example(b"\x04" + bytes(7) + b"\x79abc")  # an unknown field of eight bytes, three there
def test_reader_of_answers_stays_inside_any_bytes(body):
    end = len(body)
    time_ns, codes = np.zeros(end // 8, np.int64), np.zeros(end // 8, np.int32)
    offsets, data, untimed = np.zeros(end // 8 + 1, np.int32), np.zeros(end, np.uint8), np.zeros(1, np.int64)
    interner = Interner(keys=1, key_bytes=1)
    rows = at = 0
    for _ in range(100):
        rows, at, status = run(
            "read_response_frames", wire(body), at, end, rows, time_ns, codes, offsets, data, interner.state, untimed
        )
        if status != kernels.NEED_SPACE:
            break
        interner.grow(end)
    assert status in {kernels.DONE, kernels.BAD_LENGTH, kernels.BAD_PROTOBUF, kernels.BAD_TIME}
    assert 0 <= at <= end
    assert (codes[:rows] < len(interner)).all()
    assert (np.diff(offsets[: rows + 1]) >= 0).all()


def read_answer(body):
    end = len(body)
    time_ns, codes = np.zeros(end // 8, np.int64), np.zeros(end // 8, np.int32)
    offsets, data, untimed = np.zeros(end // 8 + 1, np.int32), np.zeros(end, np.uint8), np.zeros(1, np.int64)
    interner = Interner()
    rows, _, status = run("read_response_frames", wire(body), 0, end, 0, time_ns, codes, offsets, data, interner.state, untimed)
    keys = [interner.key(code) for code in codes[:rows]]
    payloads = [data[offsets[row] : offsets[row + 1]].tobytes() for row in range(rows)]
    return status, time_ns[:rows].tolist(), keys, payloads, int(untimed[0])


def field(tag, content):
    writer = bytearray([tag])
    size = len(content)
    while size > 0x7F:
        writer.append(size & 0x7F | 0x80)
        size >>= 7
    return bytes(writer) + bytes([size]) + content


# Numbers of one byte, of five, with needless zeros, of more than a word, cut; one second more than nanoseconds allow.
NUMBERS = [b"\x05", b"\x80\xe2\xcf\xaa\x06", b"\x85\x80\x00", b"\xff" * 9 + b"\x01", b"\x80" * 8, b"\x80\x94\xeb\xdc\x03"]
TIMES = st.lists(st.builds(bytes.__add__, st.sampled_from([b"\x08", b"\x10"]), st.sampled_from(NUMBERS)), max_size=3).map(
    b"".join
)


@fuzz
@given(
    st.lists(
        st.tuples(
            TIMES,
            st.sampled_from([b"1", b"10", b""]),
            st.sampled_from([b"1/00000001", b"255/speed", b"", b"1/" + b"x" * 130]),
            st.integers(0, 140).map(lambda size: bytes(range(1, size + 1))),
            st.sampled_from([b"6f1c0f34-5a5c-4a0e-9d0b-6f3a7a0c2e11", b""]),
        ),
        min_size=1,
        max_size=4,
    )
)
@example([(b"\x08\x05\x10\x06\x10\x07", b"1", b"1/a", b"", b"")])  # more behind the nanoseconds
@example([(b"\x08\x05\x10" + b"\x80" * 8, b"1", b"1/a", b"", b"6f1c0f34-5a5c-4a0e-9d0b-6f3a7a0c2e11")])  # a number without an end
@example([(b"\x08" + b"\x80" * 8 + b"\x10\x05", b"1", b"1/a", b"", b"6f1c0f34-5a5c-4a0e-9d0b-6f3a7a0c2e11")])  # one of nine bytes
@example([(b"\x08\x05\x10\x06", b"1", b"1/a", bytes(range(1, size + 1)), b"x" * 36) for size in (31, 32, 33, 40)])
def test_frame_of_the_usual_form_is_read_like_any_other(frames):
    def answer(behind):
        texts = (b"".join(map(field, (0x0A, 0x12, 0x1A, 0x22, 0x2A), frame)) + behind for frame in frames)
        return read_answer(b"".join(len(text).to_bytes(8, "little") + text for text in texts))

    usual = answer(b"")
    assert usual == answer(b"\x30\x00")  # a field that nobody asked for
    status, *columns, payloads, untimed = answer(field(0x22, b"the last one counts"))
    assert (status, *columns, untimed) == (*usual[:3], usual[4])
    assert set(payloads) <= {b"the last one counts"}


@fuzz
@given(broken(STORE_BODIES))
@example(b"\x0a\x03ab")
@example(b"\x32\x04\x22\xff\xff\x03")
@example(b"\x32\x04\x22\x03ab")
@example(b"\x2a\x02\x0a\x01")
def test_reader_of_stores_stays_inside_any_bytes(body):
    header = np.zeros(6, np.int64)
    count, status = run("count_store_points", wire(body), header)
    assert 0 <= header[0] <= header[1] <= len(body)
    if status != kernels.DONE:
        return
    elapsed, channels, types = (np.zeros(count, np.int64) for _ in range(3))
    offsets, data = np.zeros(count + 1, np.int32), np.zeros(len(body), np.uint8)
    rows, status = run("read_store_points", wire(body), elapsed, channels, types, offsets, data)
    assert rows == count or status == kernels.BAD_PROTOBUF


@fuzz
@given(broken(UNIT_RUNS), st.integers(0, 3), st.integers(0, 3))
@example(b"\xaa\x03\x01\x01\x09\x00\x00\x00\x00\x08ab", 0, 1)
@example(b"\xaa", 0, 0)
@example(b"\xaa\x03\x01\x01\x09\x00\x00\x03\x00\x00\x00\x00", 0, 0)  # no such width of a fraction
@example(b"\xaa\x03\x01\x01\x09\x00\x00\x00\x00\x10abc", 0, 0)  # four bytes of payload, three there
@example(b"\xaa\x03\x01\x01\x09\x00\x00\x00\x00\x03\x00\x00", 0, 0)  # a length of four bytes, three there
def test_reader_of_units_stays_inside_any_bytes_and_any_room(body, fewer_rows, fewer_bytes):
    def read(room, space):
        streams, channels, types = (np.zeros(room, np.uint8) for _ in range(3))
        elapsed, offsets, data = np.zeros(room, np.int64), np.zeros(room + 1, np.int32), np.zeros(space, np.uint8)
        result = run("read_unit_run", wire(body), 0, len(body), 0, streams, elapsed, channels, types, offsets, data)
        return *result, int(offsets[result[0]])

    count, past = run("count_units", wire(body), 0, len(body))
    rows, at, status, payload_bytes = read(count, len(body))
    assert (rows, at) == (count, past)
    assert status == kernels.DONE if past == len(body) else status in {kernels.BAD_LENGTH, kernels.OTHER_ELEMENT}
    fewer = read(max(count - fewer_rows, 0), max(payload_bytes - fewer_bytes, 0))
    assert (fewer[:3] == (rows, at, status)) if fewer[0] == count else fewer[2] == kernels.NEED_SPACE


# --- payloads ------------------------------------------------------------------------------------------------------------


@st.composite
def named_payloads(draw):
    """Payloads with the names that series have, some of them the ones that stand in the payloads."""
    names = [name.encode() for name in draw(st.lists(st.text("aé速😀", max_size=4), min_size=1, max_size=3))]
    tails = st.binary(max_size=10) | st.sampled_from([b"\xed\xa0\x80", b"\xf4\x90\x80\x80", "速".encode()[:2]])
    counted = st.builds(lambda name, tail: bytes([len(name)]) + name + tail, st.sampled_from(names), tails)
    by_characters = st.builds(lambda name, tail: bytes([len(name.decode())]) + name + tail, st.sampled_from(names), tails)
    payloads = draw(st.lists(counted | by_characters | broken(PAYLOAD_BYTES, 40) | tails, max_size=6))
    codes = draw(st.lists(st.integers(0, len(names) - 1), min_size=len(payloads), max_size=len(payloads)))
    return payloads, np.array(codes, np.int32), columns(names)


@fuzz
@given(named_payloads(), st.booleans(), st.integers(0, 10), st.booleans(), st.randoms())
def test_decoding_and_encoding_stay_inside_any_payloads(drawn, named, head_size, exact, random):
    payloads, codes, (names, bounds) = drawn
    data, offsets = columns(payloads)
    rows = np.array(sorted(random.sample(range(len(payloads)), random.randint(0, len(payloads)))), np.int64)
    starts, marks = np.zeros(len(rows), np.int64), np.zeros(len(rows), np.uint8)
    run("locate_heads", data, offsets, rows, codes, named, names, bounds, head_size, exact, starts, marks)
    if not exact:
        run("find_undecodable_text", data, offsets, rows, starts, head_size, marks)
    heads = np.zeros(len(rows) * head_size, np.uint8)
    run("gather_heads", data, starts, marks, head_size, heads)
    size = sum(len(payloads[row]) for row in rows)
    tails, tail_offsets = np.zeros(size, np.uint8), np.zeros(len(rows) + 1, np.int32)
    run("gather_tails", data, offsets, rows, starts, marks, head_size, tails, tail_offsets)
    kept, kept_offsets = np.zeros(size, np.uint8), np.zeros(len(rows) + 1, np.int32)
    assert run("copy_rows", data, offsets, rows, kept, kept_offsets) == size
    is_kept = marks != kernels.CANONICAL
    bound = len(heads) + len(tails) + len(kept) + sum(1 + bounds[code + 1] - bounds[code] for code in codes[rows])
    out, out_offsets = np.zeros(bound, np.uint8), np.zeros(len(rows) + 1, np.int32)
    used = run(
        "join_payloads", named, names, bounds, codes[rows], heads, head_size, tails, tail_offsets, kept, kept_offsets,
        is_kept, out, out_offsets,
    )  # fmt: skip
    assert [out[out_offsets[i] : out_offsets[i + 1]].tobytes() for i in range(len(rows))] == [payloads[row] for row in rows]
    assert used == size


@fuzz
@given(
    st.lists(st.tuples(broken(PAYLOAD_BYTES, 60), st.sampled_from([*LAYOUTS, 0, 200]), st.sampled_from([0, 1, 255])), max_size=8)
)
@example([(b"$A" + b"\x80" * 600, 2, 1)])
def test_ids_of_payloads_are_read_inside_any_payloads(points):
    data, offsets = columns([payload for payload, _, _ in points])
    channels, types = np.array([p[2] for p in points], np.int64), np.array([p[1] for p in points], np.int64)
    interner, codes, done = Interner(keys=1, key_bytes=1), np.zeros(len(points), np.int32), 0
    for _ in range(20):
        done = run("intern_payload_ids", done, channels, types, offsets, data, ID_KINDS, ID_WIDTHS, codes, interner.state)
        if done == len(points):
            break
        interner.grow(256)
    assert done == len(points)
    for code, (_, data_type, channel) in zip(codes, points, strict=True):
        tag, raw, *_ = interner.key(code)
        assert tag == data_type << 8 | channel
        assert len(raw) <= 255


@fuzz
@given(st.lists(st.binary(max_size=12), min_size=1, max_size=6))
@example(
    [
        b"\xc0\x80",
        b"\xed\x9f\xbf",
        b"\xed\xa0\x80",
        b"\xf4\x8f\xbf\xbf",
        b"\xf4\x90\x80\x80",
        b"\xe0\x9f\xbf",
        b"\xf0\x8f\xbf\xbf",
    ]
)
@example(
    [
        bytes([lead, second, 0x80, 0x80])
        for lead in range(0xBF, 0x100)
        for second in (0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC0)
    ]
)
@example([bytes([lead, second]) + b"\x80" * 2 for lead in (0xC2, 0xE1, 0xF1) for second in range(256)])
@example([b"", b"a\xc3"])
@example([b"\xe9\x80"])
@example([b"\xf0\x9f\x98"])
def test_utf8_check_agrees_with_python(texts):
    data, offsets = columns(texts)
    rows, starts = np.arange(len(texts)), offsets[:-1].astype(np.int64)
    marks = np.zeros(len(texts), np.uint8)
    run("find_undecodable_text", data, offsets, rows, starts, 0, marks)

    def valid(text):
        try:
            return bool(text.decode() or True)
        except UnicodeDecodeError:
            return False

    assert list(marks == kernels.CANONICAL) == list(map(valid, texts))


# --- writers -------------------------------------------------------------------------------------------------------------


@st.composite
def rows_to_write(draw, numbers=INT64):
    payloads = draw(st.lists(st.binary(max_size=9) | st.integers(120, 140).map(bytes), max_size=5))
    times = draw(st.lists(numbers, min_size=len(payloads), max_size=len(payloads)))
    codes = draw(st.lists(st.integers(0, 2), min_size=len(payloads), max_size=len(payloads)))
    skipped = draw(st.binary(max_size=3))  # the first payload need not stand at 0
    data, offsets = columns(payloads)
    return (
        np.array(times, np.int64),
        np.array(codes, np.int32),
        (offsets + len(skipped)).astype(np.int32),
        wire(skipped + data.tobytes()),
    )


@fuzz
@given(rows_to_write(), st.lists(st.binary(max_size=20), min_size=6, max_size=6))
def test_writer_of_answers_needs_no_more_room_than_it_says(rows, texts):
    times, codes, offsets, data = rows
    (heads, head_bounds), (tails, tail_bounds) = columns(texts[:3]), columns(texts[3:])
    room = sum(39 + len(texts[code]) + len(texts[3 + code]) for code in codes) + int(offsets[-1] - offsets[0])
    run("write_response_frames", times, codes, offsets, data, heads, head_bounds, tails, tail_bounds, np.zeros(room, np.uint8))


@fuzz
@given(rows_to_write(), st.lists(INT64, min_size=6, max_size=6))
@example((np.array([-1]), np.zeros(1, np.int32), np.array([0, 300], np.int32), wire(bytes(300))), [-1] * 6)
def test_writer_of_stores_needs_no_more_room_than_it_says(rows, numbers):
    times, codes, offsets, data = rows
    channels, types = np.array(numbers[:3], np.int64), np.array(numbers[3:], np.int64)
    room = 48 * len(times) + int(offsets[-1] - offsets[0])
    run("write_store_points", times, codes, channels, types, offsets, data, np.zeros(room, np.uint8))


@fuzz
@given(rows_to_write(st.integers(0, LONGEST_ELAPSED_NS)), st.lists(st.integers(0, 255), min_size=6, max_size=6))
def test_writer_of_units_needs_no_more_room_than_it_says(rows, numbers):
    times, codes, offsets, data = rows
    channels, types = np.array(numbers[:3], np.int64), np.array(numbers[3:], np.int64)
    room = 16 * len(times) + int(offsets[-1] - offsets[0])
    run("write_unit_run", 1, times, codes, channels, types, offsets, data, np.zeros(room, np.uint8))


def test_a_kernel_that_reads_outside_is_noticed():
    with pytest.raises(Outside):
        PLAIN._copy(Strict(np.zeros(4, np.uint8)), 0, 5, Strict(np.zeros(9, np.uint8)), 0)
    with pytest.raises(Outside):
        PLAIN._copy(Strict(np.zeros(20, np.uint8)), 0, 9, Strict(np.zeros(8, np.uint8)), 0)


# --- numbers of variable length ------------------------------------------------------------------------------------------

KINDS = [(kind.name, kind.shortest, kind.count_bits) for kind in VARINTS.values()]


@pytest.mark.parametrize(("name", "shortest", "count_bits"), KINDS)
@settings(deadline=None, max_examples=80)
@given(st.binary(max_size=6))
def test_counted_number_is_read_as_the_stream_protocol_reads_it(name, shortest, count_bits, body):
    value, at = PLAIN._counted_number(Strict(wire(body)), 0, len(body), shortest, count_bits)
    reader = Reader(body)
    try:
        expected = VARINTS[name].read(reader, "number"), reader.position
    except RemoteProtocolError:
        assert at == -1
    else:
        assert (value, at) == expected


@settings(deadline=None, max_examples=80)
@given(st.integers(0, VARINTS["B"].largest(3)), st.integers(0, 999_999_999), st.sampled_from([0, 63, 64, 16_383, 16_384, 70_000]))
@example(32_767, 999_999_999, 63)
@example(32_768, 0, 64)
def test_written_unit_has_the_numbers_that_the_stream_protocol_writes(seconds, nanos, size):
    out, one = np.zeros(16 + size, np.uint8), np.ones(1, np.int64)
    elapsed, offsets = np.array([seconds * 10**9 + nanos]), np.array([0, size], np.int32)
    codes = np.zeros(1, np.int32)
    used = kernels.write_unit_run(7, elapsed, codes, 2 * one, 9 * one, offsets, wire(bytes(size)), out)
    expected = bytearray(b"\xaa\x03\x07\x02\x09")
    VARINTS["B"].write(expected, seconds, "seconds")
    VARINTS["C"].write(expected, nanos, "fraction", size=FRACTIONS["ns"].size)
    VARINTS["A"].write(expected, size, "size")
    assert out[:used].tobytes() == bytes(expected) + bytes(size)


@settings(deadline=None, max_examples=200)
@given(st.integers(0, 2**64 - 1))
def test_protobuf_varint_is_written_and_read_back(number):
    signed = number - 2**64 if number >= 2**63 else number
    expected, left = bytearray(), number
    while left > 0x7F:
        expected.append(left & 0x7F | 0x80)
        left >>= 7
    expected.append(left)
    out = np.zeros(10, np.uint8)
    end = PLAIN._put_varint(Strict(out), 0, np.int64(signed))
    assert out[:end].tobytes() == expected
    assert PLAIN._varint_size(np.int64(signed)) == end
    assert PLAIN._varint(Strict(out), 0, end) == (signed, end)
    assert PLAIN._varint(Strict(out), 0, end - 1)[1] == -1
