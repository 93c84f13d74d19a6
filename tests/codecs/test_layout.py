"""Payloads <-> columns, derived from the rows of the table: the vendor's bytes, any values, any bytes."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from intdash_frames.codecs.layout import INSTANT, MAX_NAME_BYTES, IdRule, Run, Tail, Values
from intdash_frames.codecs.table import LAYOUTS, layout_of
from intdash_frames.errors import PayloadError
from intdash_frames.model import DataType

GOLDEN = json.loads((Path(__file__).parents[2] / "fixtures" / "golden" / "payloads.json").read_text())
NS = 1_000_000_000
every_layout = pytest.mark.parametrize("layout", LAYOUTS.values(), ids=lambda layout: layout.data_type.name)
quick = settings(deadline=None, max_examples=40)


def decode(layout, payloads, names, *, lead=b"", rows=None):
    """Decode payloads, each with the data id of its series; `lead` stands before them in the buffer."""
    known = list(dict.fromkeys(names))
    data = np.frombuffer(lead + b"".join(payloads), np.uint8)
    offsets = (np.cumsum([0, *map(len, payloads)]) + len(lead)).astype(np.int32)
    rows = np.arange(len(payloads)) if rows is None else np.array(rows, np.int64)
    codes = np.array([known.index(name) for name in names], np.int32)
    return layout.decode(data, offsets, rows, codes, Values.of([name.encode() for name in known]))


def encode(layout, columns, names, **kept):
    """Encode columns of Arrow or numpy values; returns payloads."""
    known = list(dict.fromkeys(names))
    codes = np.array([known.index(name) for name in names], np.int32)
    values = layout.encode(
        {name: as_given(layout, name, column) for name, column in columns.items()},
        codes,
        Values.of([name.encode() for name in known]),
        **kept,
    )
    return [values.data[values.offsets[i] : values.offsets[i + 1]].tobytes() for i in range(len(values))]


def as_given(layout, name, column):
    if not isinstance(column, pa.Array):
        return column
    if layout.tail is not Tail.NOTHING and name == layout.tail_name:
        return Values.of(column)
    if pa.types.is_timestamp(column.type):
        column = column.cast(pa.int64())
    return column.fill_null(0).to_numpy(zero_copy_only=False)


def kept_of(decoded):
    return {"kept": Values.of(decoded.payload), "is_kept": decoded.payload.is_valid().to_numpy(zero_copy_only=False)}


def bits(column):
    """Values that compare as bits, so that NaN equals itself and 0.0 is not -0.0."""
    if pa.types.is_floating(column.type):
        return [None if v is None else np.float64(v).tobytes() for v in column.to_pylist()]
    return column.cast(pa.int64()).to_pylist() if pa.types.is_timestamp(column.type) else column.to_pylist()


# --- the vendor's payloads -----------------------------------------------------------------------------------------------


def raw(given_, key="data_hex"):
    return bytes.fromhex(given_[key])


EXPECTED = {
    "can": lambda i: {"can_id": i["decimal_id"], "dlc": i.get("dlc", len(raw(i))), "data": raw(i)},
    "nmea": lambda i: {"sentence": i["string"]},
    "general_sensor": lambda i: {"sensor_id": i["decimal_id"], "data": raw(i)},
    "controlpad": lambda i: {"pad_id": i["decimal_id"], "data": raw(i)},
    "jpeg": lambda i: {"data": raw(i)},
    "aac": lambda i: {"data": raw(i)},
    "h264": lambda i: {"type_id": i["type_id"], "data": raw(i)},
    "generic": lambda i: {"generic_id": i["decimal_id"], "data": raw(i)},
    "pcm": lambda i: {
        **{name: i[name] for name in ("format_id", "channels", "sample_rate")},
        "bits_per_sample": i["bit_per_sample"],
        "data": raw(i),
    },
    "string": lambda i: {"value": i["value"]},
    "int": lambda i: {"value": i["value"]},
    "float": lambda i: {"value": raw(i, "value_f64_be_hex")[::-1]},
    "bytes": lambda i: {"value": raw(i, "value_hex")},
    "basetime": lambda i: {"basetime_type": i["type"], "basetime": i["basetime_ns"]},
}


@pytest.mark.parametrize("kind", EXPECTED)
def test_golden_payloads_decode_to_their_input_and_encode_to_the_same_bytes(kind):
    cases = [case for case in GOLDEN["cases"] if case["data_type_name"] == kind]
    layout = LAYOUTS[DataType[kind]]
    payloads, names = [raw(case, "payload_hex") for case in cases], [case["data_id"] or "" for case in cases]
    decoded = decode(layout, payloads, names)
    seen = {name: bits(column) for name, column in decoded.columns.items()}
    expected = [EXPECTED[kind](case["input"]) for case in cases]
    assert seen == {name: [row[name] for row in expected] for name in layout.schema.names}
    assert decoded.undecodable == 0
    assert decoded.payload.null_count == len(cases)
    assert encode(layout, decoded.columns, names) == payloads


def test_every_golden_payload_was_looked_at():
    assert {case["data_type_name"] for case in GOLDEN["cases"]} == set(EXPECTED)


@pytest.mark.parametrize("name", ["", "abc", "id", "other"])
@pytest.mark.parametrize("case", GOLDEN["malformed"], ids=lambda case: case["name"])
def test_malformed_golden_payload_is_kept_and_counted_or_read_as_the_page_says(case, name):
    layout, payload = LAYOUTS[case["data_type"]], raw(case, "payload_hex")
    decoded = decode(layout, [payload], [name])
    if case["expect"] == "undecodable":
        assert decoded.undecodable == 1
        assert all(column.to_pylist() == [None] for column in decoded.columns.values())
        assert decoded.payload.to_pylist() == [payload]
    else:
        expected = EXPECTED[case["data_type_name"]](case["expect"])
        assert {key: column[0].as_py() for key, column in decoded.columns.items()} == expected
        assert (decoded.undecodable, decoded.payload.null_count) == (0, 1)
    assert encode(layout, decoded.columns, [name], **kept_of(decoded)) == [payload]


# --- any values, any bytes -----------------------------------------------------------------------------------------------


def field_values(field):
    """Values of a fixed field, from its format."""
    if field.format == INSTANT:
        return st.integers(0, 2**32 * NS - 1)
    dtype = np.dtype(field.format)
    if dtype.kind == "f":
        return st.integers(0, 2**64 - 1).map(lambda n: np.uint64(n).view(np.float64)) | st.floats()
    return st.integers(np.iinfo(dtype).min, np.iinfo(dtype).max)


TAILS = {Tail.BYTES: st.binary(max_size=20), Tail.TEXT: st.text(max_size=20), Tail.NOTHING: st.none()}
names_of_series = st.sampled_from(["", "x", "速度", "😀" * 60, "n" * MAX_NAME_BYTES]) | st.text(max_size=5)


@st.composite
def some_columns(draw, layout):
    count = draw(st.integers(0, 6))

    def column(values):
        return draw(st.lists(values, min_size=count, max_size=count))

    names = column(names_of_series)
    columns = {
        field.name: np.array(column(field_values(field)), np.int64 if field.format == INSTANT else field.format)
        for field in layout.head
    }
    if layout.tail is not Tail.NOTHING:
        columns[layout.tail_name] = pa.array(column(TAILS[layout.tail]), layout.schema.field(layout.tail_name).type)
    return columns, names


@every_layout
@quick
@given(data=st.data())
def test_encoded_columns_decode_to_the_same_values(layout, data):
    columns, names = data.draw(some_columns(layout))
    decoded = decode(layout, encode(layout, columns, names), names)
    assert decoded.undecodable == 0
    assert decoded.payload.null_count == len(names)
    for name, column in columns.items():
        seen = decoded.columns[name]
        assert seen.type == layout.schema.field(name).type
        assert (
            bits(seen) == bits(column)
            if isinstance(column, pa.Array)
            else as_given(layout, name, seen).tobytes() == column.tobytes()
        )


@st.composite
def any_payloads(draw, layout):
    """Payloads with the names of their series: junk, good ones, ones with another name, ones with a count of characters."""
    size = layout.head_dtype.itemsize
    tails = st.binary(max_size=20) | st.binary(min_size=size, max_size=size + 1) | st.text(max_size=5).map(str.encode)
    rows = []
    for _ in range(draw(st.integers(0, 6))):
        name, payload = draw(names_of_series), draw(tails)
        if layout.id_rule is IdRule.NAME and draw(st.booleans()):
            inner = draw(st.sampled_from([name, "other", name[:1]]))
            count = draw(st.sampled_from([len(inner.encode()), len(inner)]))
            payload = bytes([count]) + inner.encode() + payload
        rows.append((payload, name))
    return [row[0] for row in rows], [row[1] for row in rows]


@every_layout
@quick
@given(data=st.data())
def test_any_payloads_are_given_back_byte_for_byte(layout, data):
    payloads, names = data.draw(any_payloads(layout))
    decoded = decode(layout, payloads, names)
    assert encode(layout, decoded.columns, names, **kept_of(decoded)) == payloads
    nulls = [column.null_count for column in decoded.columns.values()]
    assert nulls == [decoded.undecodable] * len(nulls)
    assert all(seen is None or seen == payload for seen, payload in zip(decoded.payload.to_pylist(), payloads, strict=True))
    for column in decoded.columns.values():
        column.validate(full=True)
    decoded.payload.validate(full=True)


@every_layout
@quick
@given(data=st.data())
def test_rows_of_a_slice_decode_like_a_copy(layout, data):
    payloads, names = data.draw(any_payloads(layout))
    rows = data.draw(st.lists(st.integers(0, len(payloads) - 1), max_size=6) if payloads else st.just([]))
    some = decode(layout, payloads, names, rows=rows, lead=data.draw(st.binary(max_size=5)))
    copied = decode(layout, [payloads[row] for row in rows], [names[row] for row in rows])
    # The codes of the series differ between the two, the values must not.
    assert {k: bits(v) for k, v in some.columns.items()} == {k: bits(v) for k, v in copied.columns.items()}
    assert (some.payload.to_pylist(), some.undecodable) == (copied.payload.to_pylist(), copied.undecodable)


@every_layout
@quick
@given(data=st.data())
def test_payloads_whose_heads_were_read_before_have_the_same_columns(layout, data):
    batches = data.draw(st.lists(any_payloads(layout), max_size=3))
    known = list(dict.fromkeys(name for _, names in batches for name in names))
    ids, runs, payloads = Values.of([name.encode() for name in known]), [], []
    for own, names in batches:
        offsets = np.cumsum([0, *map(len, own)]).astype(np.int32)
        codes = np.array([known.index(name) for name in names], np.int32)
        payloads.append(Values(np.frombuffer(b"".join(own), np.uint8), offsets))
        runs.append(Run(payloads[-1].data, offsets, np.arange(len(own)), codes))
    expected = layout.decode_runs(runs, ids)
    found = layout.to_columns(payloads, [layout.read_heads(run, ids) for run in runs])
    assert list(found.columns) == list(expected.columns)
    for name, column in expected.columns.items():
        assert type(found.columns[name]) is type(column)
        assert (
            bits(found.columns[name]) == bits(column)
            if isinstance(column, pa.ChunkedArray)
            else found.columns[name].tobytes() == column.tobytes()
        )
    assert (found.payload.to_pylist(), found.undecodable) == (expected.payload.to_pylist(), expected.undecodable)


@every_layout
@quick
@given(data=st.data())
def test_sliced_columns_encode_like_copies(layout, data):
    columns, names = data.draw(some_columns(layout))
    start = data.draw(st.integers(0, len(names)))
    sliced = {name: column[start:] for name, column in columns.items()}
    assert encode(layout, sliced, names[start:]) == encode(layout, columns, names)[start:]


# --- ids inside payloads (protocol 6.6) ----------------------------------------------------------------------------------

FIVE = np.float64(5.0).tobytes()


@pytest.mark.parametrize(
    ("payload", "value", "is_kept"),
    [
        (b"\x06" + "速度".encode() + FIVE, 5.0, False),
        (b"\x02" + "速度".encode() + FIVE, 5.0, True),  # an older sender: characters
        (b"\x03" + "速度".encode() + FIVE, None, True),  # neither characters nor bytes
        (b"\x03abc" + FIVE, 5.0, True),  # another id than that of its series
        (b"\x00" + FIVE, 5.0, True),
        (b"\x02" + "速".encode() + FIVE, None, True),
        (b"\x02" + "速度".encode() + FIVE[:-1], None, True),
    ],
)
def test_inner_id_may_be_counted_in_characters_or_be_another_one(payload, value, is_kept):
    decoded = decode(LAYOUTS[DataType.float], [payload], ["速度"])
    assert decoded.columns["value"].to_pylist() == [value]
    assert decoded.payload.to_pylist() == [payload if is_kept else None]
    assert decoded.undecodable == (value is None)


def test_id_that_only_begins_like_that_of_its_series_is_read_whole():
    decoded = decode(LAYOUTS[DataType.string], [b"\x03abcd"], ["ab"])
    assert decoded.columns["value"].to_pylist() == ["d"]


@pytest.mark.parametrize(
    ("data_type", "inner", "text"),
    [
        (1, b"\x4a\x01\0\0", "0000014a"),
        (3, b"\x0a\0", "000a"),
        (4, b"\xff", "ff"),
        (11, "速".encode(), "速"),
        (11, b"\xff", "\ufffd"),
        (9, b"", "jpeg"),
        (99, b"", ""),
    ],
)
def test_id_in_a_payload_becomes_text(data_type, inner, text):
    assert layout_of(data_type).data_id(inner) == text


# --- what cannot be encoded ----------------------------------------------------------------------------------------------

EMPTY = Values.of([b"", b""])
CAN = {"can_id": np.zeros(2, np.uint32), "dlc": np.zeros(2, np.uint8), "data": EMPTY}
BASETIME = {"basetime_type": np.zeros(2, np.uint8), "basetime": np.zeros(2, np.int64)}


@pytest.mark.parametrize(
    ("data_type", "columns", "row", "complaint"),
    [
        (1, {"can_id": np.zeros(2)}, None, r"\['dlc', 'data'\] are missing"),
        (1, CAN | {"can_id": np.array([1, 2**32])}, 1, "can_id is 4294967296; expected 0 to 4294967295"),
        (1, CAN | {"can_id": np.array([1, -1])}, 1, "can_id is -1"),
        (1, CAN | {"dlc": np.array([0.5, 1])}, 0, "'dlc' is float64; expected integers"),
        (1, CAN | {"dlc": np.array(["1", "2"])}, 0, "expected integers"),
        (1, CAN | {"data": [b"", b""]}, None, "expected Values"),
        (1, CAN | {"data": Values.of([b""])}, None, "rows; expected 2"),
        (1, CAN | {"dlc": np.zeros(3, np.uint8)}, None, "dlc"),
        (11, {"value": np.array(["x", "y"])}, None, "value"),
        (12, {"value": np.array([2**63, 0], np.uint64)}, 0, "value is 9223372036854775808"),
        (135, BASETIME | {"basetime": np.array([0, 2**32 * NS])}, 1, "basetime in nanoseconds"),
        (135, BASETIME | {"basetime": np.array(["NaT", "2020"], "M8[ns]")}, 0, "basetime in nanoseconds"),
    ],
)
def test_column_that_does_not_fit_is_refused_with_its_row(data_type, columns, row, complaint):
    with pytest.raises(PayloadError, match=complaint) as caught:
        LAYOUTS[data_type].encode(columns, np.zeros(2, np.int32), Values.of([b""]))
    assert caught.value.row == row


@pytest.mark.parametrize(
    "kept", [{"kept": EMPTY, "is_kept": np.zeros(1, bool)}, {"kept": Values.of([b""]), "is_kept": np.ones(2, bool)}]
)
def test_kept_payloads_of_another_length_are_refused(kept):
    with pytest.raises(PayloadError, match="rows; expected 2"):
        LAYOUTS[1].encode(CAN, np.zeros(2, np.int32), Values.of([b""]), **kept)


def test_inner_id_over_255_bytes_is_refused():
    with pytest.raises(PayloadError, match="256 bytes of UTF-8; the limit is 255"):
        encode(LAYOUTS[DataType.int], {"value": np.zeros(1, np.int64)}, ["é" * 128])


def test_booleans_and_narrow_integers_are_integers():
    assert encode(LAYOUTS[DataType.int], {"value": np.array([True, False])}, ["", ""]) == [b"\0\1" + bytes(7), bytes(9)]
    assert encode(LAYOUTS[DataType.int], {"value": np.array([-1], np.int8)}, [""]) == [b"\0" + b"\xff" * 8]


# --- byte strings as Arrow arrays ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "array",
    [
        pa.array([b"a", None, b"", b"bcd"]),
        pa.array(["a", None, "", "bcd"]),
        pa.array(["a", None, "", "bcd"], pa.large_string()),
        pa.array([b"a", None, b"", b"bcd"], pa.large_binary()),
        pa.array([b"a", None, b"", b"bcd"], pa.binary_view()),
        pa.array(["a", None, "", "bcd"]).dictionary_encode(),
        pa.array(["zz", "a", None, "", "bcd", "y"]).slice(1, 4),
    ],
    ids=lambda array: str(array.type),
)
def test_any_array_of_bytes_or_text_becomes_values(array):
    values = Values.of(array)
    assert values.to_arrow(pa.binary()).to_pylist() == [b"a", b"", b"", b"bcd"]
    assert values.to_arrow(pa.binary(), np.array([True, False, True, True])).to_pylist() == [b"a", None, b"", b"bcd"]


@settings(deadline=None, max_examples=60)
@given(st.lists(st.none() | st.binary(max_size=5), max_size=12), st.data())
@example([], None)
def test_slice_of_an_array_becomes_the_values_of_the_slice(items, data):
    start = data.draw(st.integers(0, len(items))) if data else 0
    values = Values.of(pa.array(items, pa.binary()).slice(start))
    assert values.to_arrow(pa.binary()).to_pylist() == [item or b"" for item in items[start:]]
    assert len(values) == len(items) - start
