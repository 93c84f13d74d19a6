"""The table of elements: golden elements, what the table promises, and the limits."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Any, get_args

import pytest

from intdash_frames.errors import LocalProtocolError, RemoteProtocolError
from intdash_frames.protocol.elements import (
    ELEMENTS,
    FILTER_ITEMS,
    LONGEST_ELAPSED_NS,
    DataFilter,
    Direction,
    DownstreamFilter,
    DownstreamFilterRequest,
    DownstreamSpec,
    DownstreamSpecRequest,
    Element,
    EOSMarker,
    MaskRule,
    MeasurementIDRequest,
    SectionAck,
    SOSMarker,
    TimePrecision,
    Unit,
    UpstreamSpec,
    UpstreamSpecRequest,
    UpstreamSpecResponse,
)
from intdash_frames.protocol.framing import read_elements, write_elements
from intdash_frames.protocol.wire import NULL_UUID

GOLDEN = json.loads((Path(__file__).parents[2] / "fixtures" / "golden" / "iscp_elements.json").read_text())
ROWS = {row.name: row for row in ELEMENTS}
FORMS = {form.__name__: form for form in get_args(Element)}


def _data_filter(fields: dict[str, Any]) -> DataFilter:
    rules: Any = None
    if "specs" in fields:
        rules = tuple(
            MaskRule(bytes.fromhex(r["mask_hex"]), bytes.fromhex(r["result_hex"]), accept=r["accept"]) for r in fields["specs"]
        )
    elif "labels" in fields:
        rules = tuple(fields["labels"])
    else:
        assert fields["any"] is True
    return DataFilter(fields["channel"], fields["data_type"], rules)


def _unit(fields: dict[str, Any], elapsed_ns: int) -> Unit:
    payload = bytes.fromhex(fields["payload_hex"])
    assert len(payload) == fields["payload_len"]
    precision = TimePrecision(fields["time_precision"])
    return Unit(fields["stream_id"], fields["channel"], fields["data_type"], elapsed_ns, payload, precision)


def golden_element(name: str, fields: dict[str, Any], *, given: bool) -> Any:
    """The object of a golden element; `given` chooses the time that the writer got over the time that a reader gets."""
    form = ROWS[name].body.form
    if name == "unit":
        return _unit(fields, fields.get("elapsed_ns_given", fields["elapsed_ns"]) if given else fields["elapsed_ns"])
    nested: dict[str, Any] = {}
    if name == "upstream_spec_request":
        specs = (spec | {"dst_edge_uuids": tuple(spec["dst_edge_uuids"])} for spec in fields["specs"])
        nested["specs"] = tuple(UpstreamSpec(**spec) for spec in specs)
    elif name == "downstream_spec_request":
        nested["specs"] = tuple(DownstreamSpec(**spec) for spec in fields["specs"])
    elif name == "downstream_filter_request":
        nested["filters"] = tuple(
            DownstreamFilter(one["stream_id"], tuple(map(_data_filter, one["data_filters"]))) for one in fields["filters"]
        )
    return form(**fields | nested)


def golden_wire(case: dict[str, Any]) -> bytes:
    if "hex" in case:
        return bytes.fromhex(case["hex"])
    wire = bytes.fromhex(case["prefix_hex"]) + bytes([case["fill_byte"]]) * case["fill_count"]
    assert len(wire) == case["total_len"]
    assert hashlib.sha256(wire).hexdigest() == case["sha256"]
    return wire


def assert_golden(cases: list[dict[str, Any]], wire: bytes) -> None:
    reading = read_elements(wire)
    assert reading.reason is None
    assert reading.unread == b""
    assert list(reading.elements) == [golden_element(case["element"], case["fields"], given=False) for case in cases]
    assert write_elements(golden_element(case["element"], case["fields"], given=True) for case in cases) == wire


@pytest.mark.parametrize("case", GOLDEN["elements"], ids=lambda case: case["name"])
def test_golden_element_passes_both_ways(case: dict[str, Any]) -> None:
    wire = golden_wire(case)
    if "payload_hex" not in case["fields"] and case["element"] == "unit":  # long payloads are told by their filling only
        payload_hex = bytes([case["fill_byte"]] * case["fill_count"]).hex()
        case = case | {"fields": case["fields"] | {"payload_hex": payload_hex}}
    assert wire[:2] == bytes((0xAA, case["type_byte"]))
    assert ROWS[case["element"]].type_byte == case["type_byte"]
    assert_golden([case], wire)


@pytest.mark.parametrize("message", GOLDEN["messages"], ids=lambda message: message["name"])
def test_golden_message_passes_both_ways(message: dict[str, Any]) -> None:
    assert_golden(message["elements"], bytes.fromhex(message["hex"]))


@pytest.mark.parametrize("step", GOLDEN["session"]["exchange"], ids=lambda step: step["element"])
def test_recorded_session_passes_both_ways_in_the_direction_of_the_table(step: dict[str, Any]) -> None:
    assert_golden([step], bytes.fromhex(step["hex"]))
    sent = {"client_to_server": Direction.TO_SERVER, "server_to_client": Direction.TO_CLIENT}[step["direction"]]
    assert ROWS[step["element"]].direction in (sent, Direction.BOTH)


def test_golden_elements_cover_the_table() -> None:
    assert {case["element"] for case in GOLDEN["elements"]} == set(ROWS)


def test_table_names_every_element_once() -> None:
    assert len({row.type_byte for row in ELEMENTS}) == len(ROWS) == len(ELEMENTS)
    assert [row.body.form for row in ELEMENTS] == list(FORMS.values())


@pytest.mark.parametrize("row", ELEMENTS, ids=lambda row: row.name)
def test_objects_are_frozen(row: Any) -> None:
    (field, *_) = dataclasses.fields(row.body.form)
    element = read_elements(golden_wire(next(c for c in GOLDEN["elements"] if c["element"] == row.name))).elements[0]
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(element, field.name, 0)


@pytest.mark.parametrize(("precision", "kept_ns"), [("ms", 1_999_000_000), ("us", 1_999_999_000), ("ns", 1_999_999_999)])
def test_time_is_cut_and_not_rounded_to_its_precision(precision: str, kept_ns: int) -> None:
    (unit,) = read_elements(write_elements([Unit(1, 1, 9, 1_999_999_999, b"", TimePrecision(precision))])).elements
    assert isinstance(unit, Unit)
    assert (unit.elapsed_ns, unit.time_precision) == (kept_ns, precision)


def test_fraction_of_a_second_or_more_is_added_to_the_seconds() -> None:
    (unit,) = read_elements(bytes.fromhex("aa030101090200a00f00")).elements  # 1 s and 1000 ms
    assert isinstance(unit, Unit)
    assert unit.elapsed_ns == 2_000_000_000


def test_longer_varints_than_needed_are_read() -> None:
    (unit,) = read_elements(bytes.fromhex("aa03010109" + "010000" + "02000000" + "07000000" + "5a")).elements
    assert unit == Unit(1, 1, 9, 0, b"Z")


def test_payload_is_a_view_of_the_message() -> None:
    message = write_elements([Unit(1, 1, 9, 0, b"jpeg")])
    (unit,) = read_elements(message).elements
    assert isinstance(unit, Unit)
    assert isinstance(unit.payload, memoryview)
    assert unit.payload.obj is message


def test_payload_stays_out_of_the_repr() -> None:
    assert "secret" not in repr(Unit(1, 1, 14, 0, b"secret"))


@pytest.mark.parametrize("result_code", [2, 255])
def test_unknown_result_code_and_flag_bits_are_read(result_code: int) -> None:
    assert read_elements(bytes((0xAA, 0x81, 1, result_code))).elements == (UpstreamSpecResponse(1, result_code),)
    assert read_elements(bytes.fromhex("aaf801ff00000000")).elements == (EOSMarker(1, 0, final=True),)
    assert read_elements(bytes.fromhex("aaf801fe00000000")).elements == (EOSMarker(1, 0, final=False),)


def test_closing_an_upstream_is_a_spec_with_nothing_in_it() -> None:
    close = UpstreamSpecRequest(3, (UpstreamSpec(2, NULL_UUID, NULL_UUID),))
    assert write_elements([close]) == bytes.fromhex("aa9003010200" + "00" + "00" * 32)


def test_any_and_an_empty_list_of_rules_are_two_things() -> None:
    def body(data_filter: DataFilter) -> str:
        return write_elements([DownstreamFilterRequest(0, (DownstreamFilter(1, (data_filter,)),))]).hex()[14:]

    assert body(DataFilter(3, 1)) == "03010000"
    assert body(DataFilter(3, 1, ())) == "0301010000"


def test_body_of_a_type_without_rules_is_kept_as_bytes() -> None:
    wire = bytes.fromhex("aa860001010100" + "0509" + "0300" + "aabbcc")
    (request,) = read_elements(wire).elements
    assert request == DownstreamFilterRequest(0, (DownstreamFilter(1, (DataFilter(5, 9, b"\xaa\xbb\xcc"),)),))
    assert write_elements([request]) == wire


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("0101" + "0200" + "0000", "end 1 bytes before"),
        ("0101" + "0100" + "01", "cut inside mask"),
        ("010b" + "0300" + "010561", r"cut inside rules\[0\]"),
        ("010b" + "0300" + "0101ff", "expected UTF-8"),
        ("0101" + "ffff" + "00", "cut inside rules"),
    ],
)
def test_filter_body_whose_length_lies_is_refused(body: str, message: str) -> None:
    with pytest.raises(RemoteProtocolError, match=f"downstream_filter_request at byte 0: .*{message}"):
        read_elements(bytes.fromhex("aa860001010100" + body))


def _filters(*rules: Any, data_type: int = 1) -> DownstreamFilterRequest:
    return DownstreamFilterRequest(0, (DownstreamFilter(1, (DataFilter(1, data_type, *rules),)),))


ANY = DataFilter(0, 9)
RULE = MaskRule(b"\xff" * 4, b"\x01\x00\x00\x00")
SPEC = UpstreamSpec(1, NULL_UUID, NULL_UUID)
AT_THE_LIMIT = [
    UpstreamSpecRequest(255, (SPEC,) * 255),
    UpstreamSpecRequest(0, (dataclasses.replace(SPEC, dst_edge_uuids=(NULL_UUID,) * 255),)),
    DownstreamFilterRequest(0, (DownstreamFilter(255, ()),) * 255),
    DownstreamFilterRequest(0, (DownstreamFilter(1, (ANY,) * 65535),)),
    _filters((RULE,) * 255),
    _filters(("x" * 255,) * 255, data_type=11),
    _filters(b"x" * 65535, data_type=9),
    SOSMarker(255, 2**32 - 1),
    Unit(255, 255, 255, LONGEST_ELAPSED_NS, b""),
]
OVER_THE_LIMIT = [
    (UpstreamSpecRequest(256, ()), "req_id is 256"),
    (UpstreamSpecRequest(0, (SPEC,) * 256), "number of specs is 256"),
    (UpstreamSpecRequest(0, (dataclasses.replace(SPEC, dst_edge_uuids=(NULL_UUID,) * 256),)), "number of dst_edge_uuids is 256"),
    (DownstreamFilterRequest(0, (DownstreamFilter(1, ()),) * 256), "number of filters is 256"),
    (DownstreamFilterRequest(0, (DownstreamFilter(1, (ANY,) * 65536),)), "number of data_filters is 65536"),
    (_filters((RULE,) * 256), "number of rules is 256"),
    (_filters(("é" * 128,), data_type=11), r"length of rules\[0\] is 256"),
    (_filters(b"x" * 65536, data_type=9), "length of rules is 65536"),
    (_filters((MaskRule(b"\xff" * 3, b"\x01\x00\x00\x00"),)), "mask has 3 bytes, expected 4"),
    (_filters((RULE,), data_type=2), "mask has 4 bytes, expected 5"),
    (_filters(("label",)), "expected MaskRule"),
    (_filters((RULE,), data_type=11), "expected text"),
    (_filters("label", data_type=11), "rules is 'label', expected a tuple"),
    (_filters((RULE,), data_type=9), "None selects every id"),
    (_filters(b"", data_type=9), "None selects every id"),
    (DownstreamSpecRequest(0, (SPEC,)), r"specs\[0\] is .*, expected DownstreamSpec"),  # type: ignore[arg-type]
    (MeasurementIDRequest(0, "edge"), "edge_uuid is 'edge'"),
    (SOSMarker(256, 0), "stream_id is 256"),
    (SectionAck(1, 0, 2**32), "serial_number is 4294967296"),
    (Unit(1, 256, 9, 0, b""), "channel is 256"),
    (Unit(1, -1, 9, 0, b""), "channel is -1"),
    (Unit(1, 1, 256, 0, b""), "data_type is 256"),
    (Unit(1, 1, 9, -1, b""), "elapsed_ns is -1, expected 0 to 8388607999999999"),
    (Unit(1, 1, 9, 8_388_608_000_000_000, b""), "elapsed_ns is 8388608000000000"),
    (Unit(1, 1, 9, 1.5, b""), "elapsed_ns is 1.5, expected a whole number"),  # type: ignore[arg-type]
    (Unit(1, 1, 9, 0, b"", "s"), r"time_precision is 's', expected one of \['ms', 'us', 'ns'\]"),  # type: ignore[arg-type]
    (Unit(1, 1, 9, 0, "text"), "payload is str"),  # type: ignore[arg-type]
]


@pytest.mark.parametrize("element", AT_THE_LIMIT, ids=lambda element: type(element).__name__)
def test_value_at_the_limit_survives(element: Element) -> None:
    assert read_elements(write_elements([element])).elements == (element,)


@pytest.mark.parametrize(("element", "message"), OVER_THE_LIMIT, ids=[message for _, message in OVER_THE_LIMIT])
def test_value_over_the_limit_is_refused(element: Element, message: str) -> None:
    with pytest.raises(LocalProtocolError, match=message):
        write_elements([element])


def test_types_with_rules_are_those_of_the_protocol() -> None:
    assert set(FILTER_ITEMS) == {1, 2, 3, 10, 11, 12, 14, 127}
