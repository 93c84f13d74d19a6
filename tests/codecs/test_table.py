"""The rows of the layout table against the protocol page and the vendor's payloads."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from intdash_frames.codecs.layout import IdRule, Tail
from intdash_frames.codecs.points import name_points
from intdash_frames.codecs.table import ID_KINDS, ID_WIDTHS, LAYOUTS, SENSORS, layout_of, markdown
from intdash_frames.model import DataType

GOLDEN = json.loads((Path(__file__).parents[2] / "fixtures" / "golden" / "payloads.json").read_text())
# Protocol 6.1: the typed columns of each type.
COLUMNS = {
    1: {"can_id": "uint32", "dlc": "uint8", "data": "binary"},
    2: {"sentence": "string"},
    3: {"sensor_id": "uint16", "data": "binary"},
    4: {"pad_id": "uint8", "data": "binary"},
    9: {"data": "binary"},
    10: {"value": "string"},
    11: {"value": "double"},
    12: {"value": "int64"},
    13: {"type_id": "uint8", "data": "binary"},
    14: {"value": "binary"},
    15: {"format_id": "uint16", "channels": "uint16", "sample_rate": "uint32", "bits_per_sample": "uint16", "data": "binary"},
    16: {"data": "binary"},
    17: {"type_id": "uint8", "data": "binary"},
    127: {"generic_id": "uint32", "data": "binary"},
    135: {"basetime_type": "uint8", "basetime": "timestamp[ns, tz=UTC]"},
}


@pytest.mark.parametrize("number", sorted({*LAYOUTS, *COLUMNS, 0, 6, 99, 255}))
def test_columns_are_those_of_the_protocol_and_binary_for_every_other_type(number):
    schema = layout_of(number).schema
    assert {field.name: str(field.type) for field in schema} == COLUMNS.get(number, {"payload": "binary"})


def test_every_type_with_a_name_has_a_row():
    assert set(LAYOUTS) == set(map(int, DataType))
    assert layout_of(None).schema == pa.schema([("payload", pa.binary())])


def test_arrays_for_the_kernels_say_what_the_rows_say():
    for number in range(256):
        row = LAYOUTS.get(number)
        assert ID_KINDS[number] == (row.id_rule if row else IdRule.FIXED)
        assert ID_WIDTHS[number] == (row.id_width if row else 0)
        assert row is None or not row.id_width or row.head[0].name.endswith("_id")


@pytest.mark.parametrize("case", GOLDEN["cases"], ids=[case["name"] for case in GOLDEN["cases"]])
def test_data_id_is_found_in_a_golden_payload(case):
    payload = np.frombuffer(bytes.fromhex(case["payload_hex"]), np.uint8)
    bounds, types = np.array([0, len(payload)], np.int32), np.array([case["data_type"]])
    points = name_points(np.zeros(1, np.int64), np.array([3]), types, payload, bounds, "uuid")
    series = points.keys[points.series[0]]
    assert (series.data_type, series.channel, series.type_text) == (case["data_type"], 3, str(case["data_type"]))
    if case["data_id"] is not None:
        assert series.data_id == case["data_id"]


@pytest.mark.parametrize(
    ("sentence", "data_id"),
    [("$GPRMC,1", "GPRMC"), ("GPRMC", "PRMC"), ("$", ""), ("", ""), ("£速速速速速速", "速速速速速"), ("😀a", "a")],
)
def test_sentence_id_is_characters_one_to_five(sentence, data_id):
    raw = np.frombuffer(sentence.encode(), np.uint8)
    bounds, one = np.array([0, len(raw)], np.int32), np.array([1])
    points = name_points(np.zeros(1, np.int64), one, one * 2, raw, bounds, "")
    assert points.keys[0].data_id == data_id


@pytest.mark.parametrize(
    "case", [case for case in GOLDEN["cases"] if "raw_int32" in case["input"]], ids=lambda case: case["name"]
)
def test_golden_sensor_body_has_the_fields_of_its_row(case):
    raw = case["input"]["raw_int32"]
    assert np.frombuffer(bytes.fromhex(case["input"]["data_hex"]), "<i4").tolist() == raw
    assert len(SENSORS[case["input"]["decimal_id"]].fields) == len(raw)


def test_tail_names_do_not_collide_with_fields():
    for row in LAYOUTS.values():
        names = [field.name for field in row.head] + ([] if row.tail is Tail.NOTHING else [row.tail_name])
        assert len(names) == len(set(names)) > 0


def test_table_for_the_documentation_has_every_row():
    cells = [line.split("|")[1].strip() for line in markdown().splitlines() if line]
    assert set(map(str, LAYOUTS)) | {f"{number:04x}" for number in SENSORS} <= set(cells)
    assert "`can_id` uint32, `dlc` uint8, `data` binary" in markdown()
