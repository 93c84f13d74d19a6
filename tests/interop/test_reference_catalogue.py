"""What belongs to measurements and edges, made by one side and read equal by the other: each test runs both ways round."""

from __future__ import annotations

import json
import struct
import uuid
from typing import Any, NamedTuple

import pandas as pd
import pytest

import intdash_frames as idf
from tests.interop.conftest import Reference, ReferenceFailed
from tests.interop.ours import Ours
from tests.interop.rows import BASETIME_NS

MICROSECOND = 1_000
SECOND = 1_000_000_000
Refused = (ReferenceFailed, idf.ApiError)
NOBODY = "00000000-0000-4000-8000-000000000000"


class Sides(NamedTuple):
    """Who writes, and who reads what was written."""

    writer: Reference | Ours
    reader: Reference | Ours


@pytest.fixture(params=["the reference writes", "we write"])
def sides(request: pytest.FixtureRequest, reference: Reference, ours: Ours) -> Sides:
    return Sides(reference, ours) if request.param == "the reference writes" else Sides(ours, reference)


@pytest.fixture
def measurement(sides: Sides) -> str:
    edge = sides.writer.call("edges.me")
    return sides.writer.call("measurements.create", edge_uuid=edge["uuid"], basetime={"$time": BASETIME_NS}, name="drive")["uuid"]


def new_name() -> str:
    return uuid.uuid4().hex


def new(kind: str, **arguments: Any) -> dict[str, Any]:
    return {"$new": kind, **arguments}


# --- markers ---

POINT = new("MeasurementMarkerDetailPoint", occurred_elapsed_time={"$duration": 1_500_000 * MICROSECOND})
RANGE = new(
    "MeasurementMarkerDetailRange",
    start_elapsed_time={"$duration": 0},
    end_elapsed_time={"$duration": 3_600 * SECOND + MICROSECOND},
)
TAG = {"weather": "雨", "driver": ""}


def marker_times(marker: Any) -> Any:
    """A marker with its times as moments: the SDK leaves them as text."""
    times = {name: marker[name] for name in ("created_at", "updated_at")}
    return marker | {
        name: {"$time": pd.Timestamp(value).as_unit("ns").value} if isinstance(value, str) else value
        for name, value in times.items()
    }


def test_versions_let_both_sides_use_markers(reference: Reference, client: idf.Client) -> None:
    assert reference.api_version == client.version


@pytest.mark.parametrize(("kind", "detail"), [("point", POINT), ("range", RANGE)])
def test_a_marker_reads_as_it_was_made(sides: Sides, measurement: str, kind: str, detail: dict[str, Any]) -> None:
    fields = {"type": kind, "detail": detail, "name": "tunnel", "description": "no GNSS", "tag": TAG}
    made = marker_times(sides.writer.call("measurement_markers.create", measurement_uuid=measurement, **fields))
    read = marker_times(sides.reader.call("measurement_markers.get", marker_uuid=made["uuid"]))
    assert read == made
    assert read["detail"] == {name: value for name, value in detail.items() if name != "$new"}
    assert (read["type"], read["name"], read["description"], read["tag"]) == (kind, "tunnel", "no GNSS", TAG)
    me = sides.reader.call("edges.me")["uuid"]
    assert (read["created_by"], read["updated_by"]) == (me, me)


def test_markers_are_listed_and_stand_in_their_measurement(sides: Sides, measurement: str) -> None:
    made = [
        marker_times(sides.writer.call("measurement_markers.create", measurement_uuid=measurement, type=kind, detail=detail))
        for kind, detail in (("point", POINT), ("range", RANGE), ("point", POINT))
    ]
    listed = sides.reader.call("measurement_markers.list", measurement_uuid=measurement)
    shown = sides.reader.call("measurements.get", uuid=measurement)["markers"]
    for seen in (listed, shown):
        assert sorted((marker_times(marker) for marker in seen), key=lambda marker: marker["uuid"]) == sorted(
            made, key=lambda marker: marker["uuid"]
        )


def test_a_measurement_is_found_by_its_marker(sides: Sides, measurement: str) -> None:
    made = sides.writer.call("measurement_markers.create", measurement_uuid=measurement, type="point", detail=POINT)
    assert sides.reader.call("measurements.get", marker_uuid=made["uuid"])["uuid"] == measurement


@pytest.mark.parametrize("with_measurement", [True, False], ids=["with the measurement in the path", "by the marker alone"])
def test_a_marker_is_changed_and_deleted_by_both_paths(sides: Sides, measurement: str, with_measurement: bool) -> None:
    made = sides.writer.call("measurement_markers.create", measurement_uuid=measurement, type="point", detail=POINT, tag=TAG)
    path = {"marker_uuid": made["uuid"]} | ({"measurement_uuid": measurement} if with_measurement else {})
    changed = sides.writer.call("measurement_markers.update", **path, name="later", type="range", detail=RANGE)
    read = marker_times(sides.reader.call("measurement_markers.get", marker_uuid=made["uuid"]))
    assert marker_times(changed) == read
    assert (read["name"], read["type"], read["tag"]) == ("later", "range", TAG)
    assert read["detail"]["end_elapsed_time"] == RANGE["end_elapsed_time"]
    sides.writer.call("measurement_markers.delete", **path)
    assert sides.reader.call("measurement_markers.list", measurement_uuid=measurement) == []
    with pytest.raises(Refused, match="404"):
        sides.reader.call("measurement_markers.get", marker_uuid=made["uuid"])


def test_a_marker_of_another_measurement_is_left_alone(sides: Sides, measurement: str) -> None:
    edge = sides.writer.call("edges.me")["uuid"]
    other = sides.writer.call("measurements.create", edge_uuid=edge, basetime={"$time": BASETIME_NS})["uuid"]
    made = sides.writer.call("measurement_markers.create", measurement_uuid=measurement, type="point", detail=POINT)
    for method, fields in (("update", {"name": "mine"}), ("delete", {})):
        with pytest.raises(Refused, match=r"40\d"):
            sides.writer.call(f"measurement_markers.{method}", marker_uuid=made["uuid"], measurement_uuid=other, **fields)
    assert sides.reader.call("measurement_markers.get", marker_uuid=made["uuid"])["name"] == made["name"]


def test_a_nested_tag_is_refused(sides: Sides, measurement: str) -> None:
    with pytest.raises((ReferenceFailed, idf.IntdashError), match=r"400|tag"):
        sides.writer.call(
            "measurement_markers.create", measurement_uuid=measurement, type="point", detail=POINT, tag={"a": {"b": "c"}}
        )
    assert sides.reader.call("measurement_markers.list", measurement_uuid=measurement) == []


# --- base times ---


def test_base_times_are_put_listed_and_deleted(sides: Sides, measurement: str) -> None:
    moved = BASETIME_NS + 123_456_789
    where = {"measurement_uuid": measurement}
    sides.writer.call("measurement_basetimes.update", **where, basetime={"$time": moved}, type="ntp")
    sides.writer.call("measurement_basetimes.update", **where, basetime={"$time": moved + 1}, type="gps")
    listed = sides.reader.call("measurement_basetimes.list", **where)
    assert listed == sides.writer.call("measurement_basetimes.list", **where)
    assert {item["type"]: item["basetime"]["$time"] for item in listed} == {255: BASETIME_NS, 2: moved, 3: moved + 1}
    got = sides.reader.call("measurement_basetimes.get", **where, type="gps")
    assert got in listed
    sides.writer.call("measurement_basetimes.update", **where, basetime={"$time": moved + 2}, type="gps")
    assert sides.reader.call("measurement_basetimes.get", **where, type="gps")["basetime"] == {"$time": moved + 2}
    sides.writer.call("measurement_basetimes.delete", **where, type="gps")
    with pytest.raises(Refused, match="404"):
        sides.reader.call("measurement_basetimes.get", **where, type="gps")


def test_the_base_time_in_use_is_chosen_by_its_type(sides: Sides, measurement: str) -> None:
    sides.writer.call("measurement_basetimes.update", measurement_uuid=measurement, basetime={"$time": 10**18 + 1}, type="ntp")
    before = sides.reader.call("measurements.get", uuid=measurement)
    sides.writer.call("measurements.update", uuid=measurement, basetime_type="ntp")
    after = sides.reader.call("measurements.get", uuid=measurement)
    assert [(m["basetime_type"], m["basetime"]["$time"]) for m in (before, after)] == [(255, BASETIME_NS), (2, 10**18 + 1)]


# --- signals ---

CONVERSIONS = [
    new("ConversionNone"),
    new("ConversionJSON", fieldpath="sp_ACCX", value_type="num"),
    new("ConversionCSV", delimiters=[",", "*"], index=2, value_type="str"),
    new("ConversionNumFloatingPoint", startbyte=4, endian="big", precision=32),
    new("ConversionNumFixedPoint", startbit=2, bitsize=13, endian="little", sign="signed", scale=0.3, offset=-40.5),
    new("ConversionSubString", startbyte=1, bytesize=5),
    new("ConversionSubBytes", startbyte=0, bytesize=3),
]
DISPLAY = {"unit": "km/h", "min": -1.5, "max": 250.0, "format": "%.1f"}


def signal_of(conversion: dict[str, Any], **others: Any) -> dict[str, Any]:
    return {
        "label": new_name(),
        "data_type": 1,
        "data_id": "0000014A",
        "channel": 2,
        "conversion": conversion,
        "display": new("Display", **DISPLAY),
        "description": "made in a test",
    } | others


@pytest.mark.parametrize("conversion", CONVERSIONS, ids=lambda conversion: conversion["$new"])
def test_a_signal_of_every_conversion_reads_as_it_was_made(sides: Sides, conversion: dict[str, Any]) -> None:
    fields = signal_of(conversion)
    made = sides.writer.call("signals.create", **fields)
    read = sides.reader.call("signals.get", uuid=made["uuid"])
    assert read == made
    assert read["conversion"] == {name: value for name, value in conversion.items() if name != "$new"}
    assert read["display"] == DISPLAY
    assert {name: read[name] for name in ("label", "data_type", "data_id", "channel", "description")} == {
        name: fields[name] for name in ("label", "data_type", "data_id", "channel", "description")
    }
    assert sides.reader.call("signals.list", label=fields["label"]) == [made]


def test_a_signal_is_changed_in_what_is_named_and_deleted(sides: Sides) -> None:
    made = sides.writer.call("signals.create", **signal_of(CONVERSIONS[0]))
    sides.writer.call(
        "signals.update", uuid=made["uuid"], conversion=CONVERSIONS[4], display=new("Display", **DISPLAY | {"unit": "m/s"})
    )
    read = sides.reader.call("signals.get", uuid=made["uuid"])
    assert read == made | {
        "conversion": {name: value for name, value in CONVERSIONS[4].items() if name != "$new"},
        "display": DISPLAY | {"unit": "m/s"},
        "hash": read["hash"],
        "updated_at": read["updated_at"],
    }
    assert read["hash"] != made["hash"]
    sides.writer.call("signals.delete", uuid=made["uuid"])
    with pytest.raises(Refused, match="404"):
        sides.reader.call("signals.get", uuid=made["uuid"])


def test_a_label_is_taken_once(sides: Sides) -> None:
    fields = signal_of(CONVERSIONS[0])
    sides.writer.call("signals.create", **fields)
    with pytest.raises(Refused, match="409"):
        sides.reader.call("signals.create", **fields)


def test_signals_are_walked_in_pages(sides: Sides) -> None:
    prefix = new_name()
    made = [sides.writer.call("signals.create", **signal_of(CONVERSIONS[0], label=f"{prefix} {i}")) for i in range(5)]
    assert sides.reader.call("signals.list", label=prefix) == made
    assert sides.reader.call("signals.list", label=prefix, order="desc", limit=2) == made[:2:-1]
    pages = sides.reader.call("signals.list", label=prefix, limit=2, iterator=True)
    assert pages == [made[:2], made[2:4], made[4:]]
    assert sides.reader.call("signals.list", label=f'"{prefix} 3"') == made[3:4]


# --- captures ---


def test_a_capture_reads_as_it_was_made(sides: Sides) -> None:
    span = {"$duration": 90 * SECOND + MICROSECOND}
    for more, expected in (({}, ({"$duration": 0}, True)), ({"duration": span, "shared": False}, (span, False))):
        fields = {"name": new_name(), "start": {"$time": BASETIME_NS}, "description": "急ブレーキ"}
        made = sides.writer.call("captures.create", **fields, **more)
        read = sides.reader.call("captures.get", uuid=made["uuid"])
        assert read == made
        assert {name: read[name] for name in fields} == fields
        assert (read["duration"], read["shared"]) == expected
        assert read["edge_uuid"] == sides.reader.call("edges.me")["uuid"]


def test_a_capture_is_changed_in_what_is_named_and_deleted(sides: Sides) -> None:
    made = sides.writer.call("captures.create", name="before", start={"$time": BASETIME_NS})
    sides.writer.call("captures.update", uuid=made["uuid"], name="after", duration={"$duration": SECOND}, shared=False)
    read = sides.reader.call("captures.get", uuid=made["uuid"])
    assert read == made | {"name": "after", "duration": {"$duration": SECOND}, "shared": False, "updated_at": read["updated_at"]}
    sides.writer.call("captures.delete", uuid=made["uuid"])
    with pytest.raises(Refused, match="404"):
        sides.reader.call("captures.get", uuid=made["uuid"])


def test_captures_are_walked_in_pages(sides: Sides) -> None:
    prefix, first = new_name(), BASETIME_NS + 10**15
    made = [sides.writer.call("captures.create", name=f"{prefix} {i}", start={"$time": first + i * SECOND}) for i in range(5)]
    within = {"start": {"$time": first}, "end": {"$time": first + 10 * SECOND}, "name": prefix}
    assert sides.reader.call("captures.list", **within) == made
    assert sides.reader.call("captures.list", **within, order="desc") == made[::-1]
    assert sides.reader.call("captures.list", **within, limit=2, iterator=True) == [made[:2], made[2:4], made[4:]]
    elsewhere = {"start": {"$time": first - 20 * SECOND}, "end": {"$time": first - 10 * SECOND}, "name": prefix}
    assert sides.reader.call("captures.list", **elsewhere) == []


# --- points by label ---

CAN, STRING, FLOAT, BYTES = 1, 10, 11, 14
WHOLE = {"start": {"$time": BASETIME_NS}, "end": {"$time": BASETIME_NS + 10_000 * SECOND}}
ERROR_ID = "intdash/measurement/get/data/error"


class Conversion(NamedTuple):
    """A conversion, what it is applied to, and what comes out, told by hand."""

    conversion: dict[str, Any]
    data_type: int
    made: list[dict[str, Any]]
    result: str
    values: list[Any]


def can(data: bytes) -> dict[str, Any]:
    return new("data.CAN", decimal_id=0x14A, data={"$bytes": data.hex()})


def text(value: str) -> dict[str, Any]:
    return new("data.String", data_id="log", value=value)


FRAMES = [bytes((i, 255 - i, i * 7 % 256, 3, 65, 7 * i % 256, 11, 13)) for i in range(0, 250, 11)]


def fixed_point(data: bytes) -> float:
    """13 bits from bit 2 on, two's complement; multiplication before addition."""
    raw = int.from_bytes(data, "little") >> 2 & 0x1FFF
    return (raw - 0x2000 if raw & 0x1000 else raw) * 0.3 + -40.5


LINES = ("a,b*c", "1,2,drei", ",,")
RECORDS = ('{"sp_ACCX": 0.048094, "x": 1}', '{"sp_ACCX": -3}')
CONVERTED = {
    "num_fixed_point": Conversion(CONVERSIONS[4], CAN, [can(data) for data in FRAMES], "Float", [fixed_point(d) for d in FRAMES]),
    "num_floating_point": Conversion(
        CONVERSIONS[3], CAN, [can(data) for data in FRAMES], "Float", [struct.unpack(">f", d[4:8])[0] for d in FRAMES]
    ),
    "csv": Conversion(CONVERSIONS[2], STRING, [text(line) for line in LINES], "String", ["c", "drei", ""]),
    "json": Conversion(CONVERSIONS[1], STRING, [text(record) for record in RECORDS], "Float", [0.048094, -3.0]),
    "sub_string": Conversion(CONVERSIONS[5], STRING, [text("0speed1"), text("x雪é")], "String", ["speed", "雪é"]),
    "sub_bytes": Conversion(CONVERSIONS[6], CAN, [can(d) for d in FRAMES], "Bytes", [{"$bytes": d[:3].hex()} for d in FRAMES]),
}


def store(side: Reference | Ours, measurement: str, made: list[dict[str, Any]], data_type: int) -> None:
    points = [
        new("DataPoint", elapsed_time={"$duration": i * SECOND}, data_type=data_type, channel=2, data_payload={"$payload": each})
        for i, each in enumerate(made)
    ]
    side.call("data_points.store", measurement_uuid=measurement, data_points=points)


def make_signal(side: Reference | Ours, conversion: dict[str, Any], data_type: int) -> str:
    data_id = "0000014A" if data_type == CAN else "log"
    return str(side.call("signals.create", **signal_of(conversion, data_type=data_type, data_id=data_id))["label"])


@pytest.mark.parametrize("name", CONVERTED)
def test_labels_give_both_sides_equal_values(
    sides: Sides, reference: Reference, client: idf.Client, measurement: str, name: str
) -> None:
    conversion, data_type, made, result, values = CONVERTED[name]
    label = make_signal(sides.writer, conversion, data_type)
    store(sides.writer, measurement, made, data_type)
    expected = reference.encode([new(f"data.{result}", data_id=label, value=value) for value in values])
    for side in sides:
        read = side.call("data_points.list", measurement_uuid=measurement, labels=[label], **WHOLE)
        assert [(p["time"]["$time"], p["channel"], p["data_type"], p["data_id"], p["data_payload"]["$bytes"]) for p in read] == [
            (BASETIME_NS + i * SECOND, 2, each["data_type"], label, each["$bytes"]) for i, each in enumerate(expected)
        ]
    column = client.frames(measurement, labels=[label]).to_pandas()["value"].tolist()
    assert [{"$bytes": value.hex()} if isinstance(value, bytes) else value for value in column] == values


def test_a_label_without_conversion_gives_the_points_under_its_name(sides: Sides, measurement: str) -> None:
    label = make_signal(sides.writer, CONVERSIONS[0], CAN)
    store(sides.writer, measurement, [can(data) for data in FRAMES], CAN)
    for side in sides:
        read = side.call("data_points.list", measurement_uuid=measurement, labels=[label], **WHOLE)
        assert [(p["data_type"], p["data_id"]) for p in read] == [(CAN, label)] * len(FRAMES)
        assert [bytes.fromhex(p["data_payload"]["$bytes"])[5:] for p in read] == FRAMES


def test_labels_and_ids_select_the_union(sides: Sides, measurement: str) -> None:
    label = make_signal(sides.writer, CONVERSIONS[4], CAN)
    store(sides.writer, measurement, [can(data) for data in FRAMES], CAN)
    query = {"labels": [label], "id_queries": [new("IdQuery", data_type=CAN)]}
    read, again = (side.call("data_points.list", measurement_uuid=measurement, **query, **WHOLE) for side in sides)
    assert sorted((p["data_type"], p["data_id"]) for p in read) == [(CAN, "0000014a")] * len(FRAMES) + [(FLOAT, label)] * len(
        FRAMES
    )
    assert [p["time"] for p in read] == sorted((p["time"] for p in read), key=lambda time: time["$time"])
    assert again == read


def test_a_label_that_nobody_defined_gives_nothing(sides: Sides, measurement: str) -> None:
    store(sides.writer, measurement, [can(data) for data in FRAMES], CAN)
    for side in sides:
        assert side.call("data_points.list", measurement_uuid=measurement, labels=[new_name()], **WHOLE) == []


def test_a_failed_conversion_is_an_error_point_to_the_reference_and_no_point_to_us(
    reference: Reference, client: idf.Client, ours: Ours
) -> None:
    made = ours.call("measurements.create", edge_uuid=ours.call("edges.me")["uuid"], basetime={"$time": BASETIME_NS})
    label = make_signal(reference, CONVERSIONS[3], CAN)
    store(reference, made["uuid"], [can(FRAMES[0]), can(b"short"), can(FRAMES[1])], CAN)
    query = {"measurement_uuid": made["uuid"], "labels": [label], **WHOLE}
    first, failed, last = reference.call("data_points.list", **query)
    assert (first["data_id"], last["data_id"]) == (label, label)
    assert (failed["channel"], failed["data_type"], failed["data_id"]) == (2, STRING, ERROR_ID)
    said = json.loads(idf.data.String.from_payload(bytes.fromhex(failed["data_payload"]["$bytes"])).value)
    assert said["error"] == "converted_error"
    assert said["error_extra"] == {
        "signal_channel": 2,
        "signal_data_id": "0000014A",
        "signal_data_type": CAN,
        "signal_label": label,
    }
    assert reference.call("data_points.list", **query, exit_on_error=True) == [first]
    with pytest.warns(UserWarning, match="1 "):
        assert ours.call("data_points.list", **query) == [first, last]
    with pytest.raises(idf.IncompleteRead) as raised:
        client.frames(made["uuid"], labels=[label]).to_pandas()
    assert len(raised.value.partial) == 2


# --- units ---


def test_units_by_label_are_equal(sides: Sides, measurement: str) -> None:
    label = make_signal(sides.writer, CONVERSIONS[4], CAN)
    store(sides.writer, measurement, [can(data) for data in FRAMES], CAN)
    read = [
        [
            (unit["elapsed_time"], unit["channel"], unit["data"])
            for unit in side.call("units.list", measurement_uuid=measurement, labels=[label], **WHOLE)
            if unit["data"]["data_type"] == FLOAT
        ]
        for side in sides
    ]
    # The first point stands at the base time, so the time that the SDK counts from its first row is the elapsed time here.
    assert read[0] == read[1]
    assert [unit[0]["$duration"] for unit in read[0]] == [i * SECOND for i in range(len(FRAMES))]
