"""What users ask of a downstream, as the recorded requests have it, and what passes it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from intdash_frames.errors import UsageError
from intdash_frames.model import DataFilter, DataType
from intdash_frames.protocol import elements
from intdash_frames.protocol.elements import DownstreamFilter, DownstreamFilterRequest, MaskRule
from intdash_frames.protocol.filters import MASK_BYTES, FilterSet, wire_filters
from intdash_frames.protocol.framing import read_elements, write_elements

GOLDEN = json.loads((Path(__file__).parents[2] / "fixtures" / "golden" / "iscp_elements.json").read_text())
REQUESTS = {case["name"]: case for case in GOLDEN["elements"] if case["element"] == "downstream_filter_request"}
# Requests that no list of ids makes: masks by hand, and the type whose number has no name.
BY_HAND = {name for name in REQUESTS if name.endswith("_mask")}


def id_text(data_type: int, result: bytes) -> str:
    """The id that an exact rule of the recording selects, as points show it."""
    if data_type == DataType.nmea:
        return result.rstrip(b"\0").decode()
    return result[::-1].hex()


def asked(recorded: dict[str, Any]) -> list[DataFilter]:
    """What a user would have asked for to make a recorded data filter."""
    data_type, channel = recorded["data_type"], recorded["channel"]
    if recorded.get("any"):
        return [DataFilter(data_type, channel)]
    ids = recorded.get("labels") or [id_text(data_type, bytes.fromhex(each["result_hex"])) for each in recorded["specs"]]
    return [DataFilter(data_type, channel, each) for each in ids]


def wire_of(case: dict[str, Any]) -> bytes:
    if "hex" in case:
        return bytes.fromhex(case["hex"])
    return bytes.fromhex(case["prefix_hex"] + case["fill_byte"] * case["fill_count"])


@pytest.mark.parametrize("name", sorted(REQUESTS.keys() - BY_HAND))
def test_a_recorded_request_is_made_of_what_a_user_asks_for(name: str) -> None:
    fields = REQUESTS[name]["fields"]
    filters = [
        DownstreamFilter(
            stream["stream_id"], wire_filters(each for recorded in stream["data_filters"] for each in asked(recorded))
        )
        for stream in fields["filters"]
    ]
    assert write_elements([DownstreamFilterRequest(fields["req_id"], tuple(filters))]) == wire_of(REQUESTS[name])


def recorded_set(name: str) -> FilterSet:
    (request,) = read_elements(wire_of(REQUESTS[name])).elements
    assert isinstance(request, DownstreamFilterRequest)
    return FilterSet(request.filters[0].data_filters)


@pytest.mark.parametrize(
    ("name", "data_type", "channel", "passing", "others"),
    [
        # mask 1fffff00, result 18fef100; then a rule that matches everything and rejects
        ("can", 1, 237, ["18fef142", "38fef100", "98FEF1FF"], ["18fef200", "08fef100", "00000000"]),
        ("gs", 3, 109, ["0000", "0003", "000f"], ["0010", "1000"]),
        ("nmea", 2, 170, ["GPRMC", "GNRMC"], ["GPRMB", "GPGGA", "RMC"]),
    ],
)
def test_a_recorded_mask_lets_pass_what_it_says(
    name: str, data_type: int, channel: int, passing: list[str], others: list[str]
) -> None:
    filters = recorded_set(f"downstream_filter_request_{name}_mask")
    assert [data_id for data_id in passing + others if filters.matches(data_type, channel, data_id)] == passing


def test_a_group_stands_where_its_first_filter_does_and_keeps_the_order_of_ids() -> None:
    found = wire_filters(
        [
            DataFilter("float", 1, "b"),
            DataFilter(DataType.can, 1, "0000000A"),
            DataFilter(DataType.float, 1, "a"),
            DataFilter(DataType.float, 2, "a"),
            DataFilter(1, 1, "a"),
            DataFilter(11, 1, "b"),
        ]
    )
    assert found == (
        elements.DataFilter(1, 11, ("b", "a")),
        elements.DataFilter(1, 1, (MaskRule(b"\xff" * 4, b"\x0a\0\0\0"),)),
        elements.DataFilter(2, 11, ("a",)),
    )


@pytest.mark.parametrize("order", [1, -1])
def test_ids_win_over_every_id(order: int) -> None:
    both = [DataFilter(DataType.int, 1), DataFilter(DataType.int, 1, "x")]
    assert wire_filters(both[::order]) == (elements.DataFilter(1, 12, ("x",)),)


@pytest.mark.parametrize("data_type", [DataType.h264, DataType.jpeg, DataType.controlpad, 99])
def test_a_type_without_rules_is_asked_for_whole(data_type: int) -> None:
    assert wire_filters([DataFilter(data_type, 3, "00")]) == (elements.DataFilter(3, int(data_type), None),)


def test_no_filters_make_no_filters() -> None:
    assert wire_filters([]) == ()


numbers = st.sampled_from([1, 3, 127]).flatmap(
    lambda data_type: st.tuples(
        st.just(data_type), st.text("0123456789abcdef", min_size=2 * MASK_BYTES[data_type], max_size=2 * MASK_BYTES[data_type])
    )
)
sentences = st.tuples(st.just(2), st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=5))
labels = st.tuples(st.sampled_from([10, 11, 12, 14]), st.text(min_size=1, max_size=60))
series = st.tuples(numbers | sentences | labels, st.integers(0, 255)).map(lambda each: (each[0][0], each[1], each[0][1]))


@given(st.lists(series, min_size=1, max_size=8), st.lists(series, max_size=8))
def test_exact_filters_select_exactly_their_ids(wanted: list[tuple[int, int, str]], others: list[tuple[int, int, str]]) -> None:
    filters = FilterSet(wire_filters(DataFilter(data_type, channel, data_id) for data_type, channel, data_id in wanted))
    for each in wanted:
        assert filters.matches(*each)
        data_type, channel, data_id = each
        # the nearest strangers: another channel, another type, one more or one other character
        others = [*others, (data_type, (channel + 1) % 256, data_id), (9, channel, data_id), (data_type, channel, f"{data_id}0")]
        others += [(data_type, channel, data_id[:-1] + chr(ord(data_id[-1]) ^ 1))] if data_id else []
    for each in others:
        assert filters.matches(*each) == (each in wanted)


@given(series, st.data())
def test_the_case_of_hexadecimal_digits_does_not_matter(each: tuple[int, int, str], choose: st.DataObject) -> None:
    data_type, channel, data_id = each
    if data_type not in MASK_BYTES or data_type == DataType.nmea:
        return
    spelled = "".join(choose.draw(st.sampled_from([digit.lower(), digit.upper()])) for digit in data_id)
    assert FilterSet(wire_filters([DataFilter(data_type, channel, spelled)])).matches(*each)


def rules(*each: tuple[str, str, bool]) -> FilterSet:
    """Filters of general sensors on channel 1, masks and results as they stand on the wire."""
    made = tuple(MaskRule(bytes.fromhex(mask), bytes.fromhex(result), accept) for mask, result, accept in each)
    return FilterSet([elements.DataFilter(1, 3, made)])


def test_the_first_rule_that_matches_decides() -> None:
    all_but_one = rules(("ffff", "0500", False), ("0000", "0000", True))
    assert not all_but_one.matches(3, 1, "0005")
    assert all_but_one.matches(3, 1, "0006")
    never = rules(("0000", "0000", True), ("ffff", "0500", False))
    assert never.matches(3, 1, "0005")


def test_what_no_rule_matches_does_not_pass() -> None:
    assert not rules(("ffff", "0500", False)).matches(3, 1, "0006")
    assert not rules(("f0ff", "0500", True)).matches(3, 1, "0005")  # the result has bits that its mask cuts off
    assert not rules().matches(3, 1, "0005")
    assert not rules(("0000", "0000", True)).matches(3, 1, "no id")


def test_data_filters_of_one_type_and_channel_add_up() -> None:
    each = [wire_filters([DataFilter("string", 1, name)])[0] for name in "ab"]
    assert [FilterSet(each).matches(10, 1, name) for name in "abc"] == [True, True, False]


def test_every_id_is_every_id() -> None:
    for data_type in range(256):
        filters = FilterSet(wire_filters([DataFilter(data_type, 1)]))
        assert filters.matches(data_type, 1, "what ever")
        assert filters.matches(data_type, 1, "")
    assert FilterSet(wire_filters([DataFilter("float", 1, "")])).matches(11, 1, "speed")


def test_base_times_pass_unless_nothing_does() -> None:
    assert FilterSet(wire_filters([DataFilter("can", 1, "1")])).matches(DataType.basetime, 0, "basetime")
    assert not FilterSet().matches(DataType.basetime, 0, "basetime")
    assert not FilterSet().matches(1, 1, "00000001")
    assert not FilterSet()


def test_the_body_of_a_type_without_rules_narrows_nothing() -> None:
    assert FilterSet([elements.DataFilter(1, 13, b"\x01\x02")]).matches(13, 1, "08")


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        (DataFilter("CAN", 1), "filter 1: data_type='CAN'; expected a number or one of can, "),
        (DataFilter(256, 1), "filter 1: data_type=256; expected 0 to 255"),
        (DataFilter(True, 1), "filter 1: data_type=True"),
        (DataFilter(1, -1), "filter 1: channel=-1; expected 0 to 255"),
        (DataFilter(1, "1"), "filter 1: channel='1'"),  # type: ignore[arg-type]
        (
            DataFilter(1, 1, "*"),
            r"filter 1: data_id='\*' is no id of can; expected 1 to 8 hexadecimal digits, or None",
        ),
        (DataFilter(1, 1, ""), "filter 1: data_id='' is no id of can"),
        (DataFilter(1, 1, "000000001"), "filter 1: data_id='000000001' is no id of can"),
        (DataFilter(3, 1, "0x1"), "filter 1: data_id='0x1' is no id of general_sensor; expected 1 to 4 hexadecimal"),
        (DataFilter(2, 1, "GPRMC,"), "filter 1: data_id='GPRMC,' is no id of nmea; expected 5 bytes, such as 'GPRMC'"),
        (DataFilter(11, 1, "é" * 128), "has 256 bytes of UTF-8; the limit is 255"),
        (DataFilter(11, 1, "\ud800"), "cannot be written in UTF-8"),
        (DataFilter(1, 1, 1), "filter 1: data_id=1 is no text"),  # type: ignore[arg-type]
        ("can", "filter 1 is str, expected DataFilter"),
    ],
)
def test_a_filter_that_cannot_work_is_named_by_its_position(bad: Any, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        wire_filters([DataFilter(1, 1), bad])


@pytest.mark.parametrize("filters", [DataFilter(1, 1), 5, None])
def test_filters_are_a_list(filters: Any) -> None:
    with pytest.raises(UsageError, match="expected a list of DataFilter"):
        wire_filters(filters)


def test_255_ids_of_a_type_and_channel_fit_and_256_do_not() -> None:
    most = [DataFilter("int", 1, str(number)) for number in range(255)]
    (each,) = wire_filters(most)
    request = DownstreamFilterRequest(0, (DownstreamFilter(1, (each,)),))
    assert read_elements(write_elements([request])).elements == (request,)
    with pytest.raises(UsageError, match="filter 255 is id number 256 of type 12 on channel 1; the limit is 255"):
        wire_filters([*most, DataFilter("int", 1, "255")])
