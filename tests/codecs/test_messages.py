"""Messages of a stream: columns and elements in their order, and nothing but our errors for junk."""

import json
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from intdash_frames.codecs.messages import Unread, read_message
from intdash_frames.codecs.series import SeriesTable
from intdash_frames.codecs.units import UnitRun, write_units
from intdash_frames.errors import RemoteProtocolError
from intdash_frames.protocol.elements import LONGEST_ELAPSED_NS, EOSMarker, SectionAck, SOSMarker, TimePrecision, Unit
from intdash_frames.protocol.framing import read_elements, write_elements
from tests.codecs.some_points import rows_of

GOLDEN = json.loads((Path(__file__).parents[2] / "fixtures" / "golden" / "iscp_elements.json").read_text())
quick = settings(deadline=None, max_examples=80)

units = st.builds(
    Unit,
    st.integers(0, 3),
    st.integers(0, 255),
    st.sampled_from([1, 2, 9, 10, 11, 135, 200]),
    st.integers(0, LONGEST_ELAPSED_NS // 10**6).map(lambda ms: ms * 10**6),
    st.binary(max_size=80),
    st.sampled_from(list(TimePrecision)),
)
markers = st.builds(SOSMarker, st.integers(0, 255), st.integers(0, 9)) | st.builds(
    EOSMarker, st.integers(0, 255), st.integers(0, 9)
)
elements = st.lists(units | markers | st.just(SectionAck(1, 0, 2)), max_size=12)


def flat(message, keys=None):
    """Units as tuples, everything else as it is."""
    found = []
    for each in read_message(message, keys if keys is not None else SeriesTable()):
        if not isinstance(each, UnitRun):
            found.append(each)
            continue
        for stream_id, (elapsed_ns, key, payload) in zip(each.stream_ids, rows_of(each.points), strict=True):
            found.append((int(stream_id), key.channel, key.data_type, elapsed_ns, payload))
    return found


def as_read(element):
    if not isinstance(element, Unit):
        return element
    return (element.stream_id, element.channel, element.data_type, element.elapsed_ns, bytes(element.payload))


@quick
@given(elements)
def test_units_and_elements_come_in_the_order_of_the_message(sent):
    assert flat(write_elements(sent)) == [as_read(element) for element in sent]


@quick
@given(elements)
def test_units_side_by_side_are_one_run(sent):
    runs = [isinstance(each, UnitRun) for each in read_message(write_elements(sent), SeriesTable())]
    assert not any(before and after for before, after in pairwise(runs))


@quick
@given(st.lists(units, max_size=12))
def test_the_points_of_each_stream_are_its_units_in_order(sent):
    for run in read_message(write_elements(sent), SeriesTable()):
        for stream_id, points in run.by_stream():
            wanted = [as_read(unit)[1:] for unit in sent if unit.stream_id == stream_id]
            assert [(key.channel, key.data_type, t, payload) for t, key, payload in rows_of(points)] == wanted
        assert sorted({stream_id for stream_id, _ in run.by_stream()}) == sorted({unit.stream_id for unit in sent})


@quick
@given(st.lists(units, min_size=1, max_size=12), st.integers(0, 255))
def test_points_written_again_are_the_same_units_of_another_stream_with_nanoseconds(sent, stream_id):
    [run] = read_message(write_elements(sent), SeriesTable())
    again = read_elements(write_units(run.points, stream_id)).elements
    assert [as_read(unit) for unit in again] == [(stream_id, *as_read(unit)[1:]) for unit in sent]
    assert {unit.time_precision for unit in again} == {TimePrecision.ns}


@quick
@given(elements, st.integers(1, 30), st.data())
def test_a_cut_message_gives_what_stood_before_the_cut_and_an_error(sent, less, data):
    message = write_elements(sent)
    cut = message[: max(0, len(message) - less)]
    whole, size = [], 0
    for element in sent:
        size += len(write_elements([element]))
        if size <= len(cut):
            whole.append(as_read(element))
    ends = {len(write_elements(sent[:count])) for count in range(len(sent) + 1)}
    seen, keys = [], SeriesTable()
    try:
        for each in read_message(cut, keys):
            seen.append(each)
        assert len(cut) in ends
    except RemoteProtocolError:
        assert len(cut) not in ends
    count = sum(len(each.points) if isinstance(each, UnitRun) else 1 for each in seen)
    assert count == len(whole)


@quick
@given(st.binary(max_size=60) | st.lists(st.sampled_from([b"\xaa", b"\x03", b"\xf9", b"\x00", b"\xff", b"\x01"])).map(b"".join))
def test_junk_gives_elements_or_a_protocol_error_and_nothing_else(junk):
    try:
        for _ in read_message(junk, SeriesTable()):
            pass
    except RemoteProtocolError:
        pass


def test_what_follows_an_unknown_element_is_left_and_said():
    message = write_elements([SOSMarker(1, 0), Unit(1, 0, 9, 0, b"x")]) + b"\xaa\x77rest"
    *_, last = read_message(message, SeriesTable())
    assert last == Unread(6, "unknown element type 0x77 at byte 20")


def test_series_of_several_messages_share_a_table():
    keys = SeriesTable()
    for _ in range(3):
        flat(write_elements([Unit(1, 4, 11, 0, b"\x05speed" + bytes(8)), Unit(1, 4, 9, 0, b"")]), keys)
    assert [(key.data_type, key.channel, key.data_id) for key in keys] == [(11, 4, "speed"), (9, 4, "jpeg")]


@pytest.mark.parametrize(
    "case", [case for case in GOLDEN["elements"] if case["element"] == "unit"], ids=lambda case: case["name"]
)
def test_golden_units_are_read_as_columns(case):
    # Large payloads are given as one byte and how often it comes.
    message = (
        bytes.fromhex(case["hex"])
        if "hex" in case
        else bytes.fromhex(case["prefix_hex"]) + bytes([case["fill_byte"]]) * case["fill_count"]
    )
    assert flat(message) == [as_read(element) for element in read_elements(message).elements]
