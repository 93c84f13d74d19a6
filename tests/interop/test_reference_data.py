"""Points between the vendor's SDK and ours, through our server, both ways."""

import random
from typing import Any

import pandas as pd
import pytest

import intdash_frames as idf
from tests.interop.conftest import Reference, ReferenceFailed
from tests.interop.ours import Ours
from tests.interop.rows import (
    BASETIME,
    BASETIME_NS,
    IDS,
    INT,
    Recording,
    Row,
    as_data_points,
    driver_units,
    random_objects,
    read_stored,
    without_basetime_ids,
)


@pytest.fixture(scope="module")
def recording(reference: Reference) -> Recording:
    """Twenty of each type, shuffled, at least a microsecond apart: closer ones are lost where the SDK turns a page."""
    rng = random.Random(20200709)
    objects = [item for turn in range(20) for item in random_objects(rng, turn)]
    rng.shuffle(objects)
    elapsed_ns, now = [], 0
    for _ in objects:
        elapsed_ns.append(now)
        now += rng.choice((1_000, 1_001, 5_000_000, 999_999_999, 70_000_000_007))
    rows = [
        Row(BASETIME_NS + elapsed, rng.randrange(256), made["data_type"], made["data_id"], bytes.fromhex(made["$bytes"]))
        for elapsed, made in zip(elapsed_ns, reference.encode(objects), strict=True)
    ]
    return Recording(objects, rows)


@pytest.fixture
def measurement(client: idf.Client) -> idf.Measurement:
    edge = client.edges.me()
    return client.measurements.create(edge_uuid=edge.uuid, basetime=pd.Timestamp(BASETIME_NS, tz="UTC"), name="interop")


def whole_range(rows: list[Row]) -> dict[str, Any]:
    return {"start": {"$time": BASETIME_NS}, "end": {"$time": rows[-1].time_ns + 1}}


def read_reference(reference: Reference, measurement_uuid: str, rows: list[Row], **arguments: Any) -> list[Row]:
    listed = reference.call("data_points.list", measurement_uuid=measurement_uuid, **whole_range(rows), **arguments)
    if arguments.get("iterator"):
        listed = [item for page in listed for item in page]
    return without_basetime_ids(
        [
            Row(p["time"]["$time"], p["channel"], p["data_type"], p["data_id"], bytes.fromhex(p["data_payload"]["$bytes"]))
            for p in listed
        ]
    )


def test_every_type_that_the_reference_stores_we_read_equal(
    reference: Reference, client: idf.Client, measurement: idf.Measurement, recording: Recording
) -> None:
    points = [
        {
            "$new": "DataPoint",
            "elapsed_time": {"$duration": row.elapsed_ns},
            "data_type": row.data_type,
            "channel": row.channel,
            "data_payload": {"$payload": made},
        }
        for made, row in zip(recording.objects, recording.rows, strict=True)
    ]
    reference.call("data_points.store", measurement_uuid=measurement.uuid, data_points=points)
    assert read_stored(client, measurement.uuid) == recording.rows


def test_every_type_that_the_reference_stores_as_stream_elements_we_read_equal(
    reference: Reference, client: idf.Client, measurement: idf.Measurement, recording: Recording
) -> None:
    reference.call("units.store", measurement_uuid=measurement.uuid, units=driver_units(recording), serial_number=3)
    assert read_stored(client, measurement.uuid) == recording.rows


def test_every_type_that_we_store_the_reference_reads_equal(
    reference: Reference, client: idf.Client, measurement: idf.Measurement, recording: Recording
) -> None:
    client.data_points.store(measurement_uuid=measurement.uuid, data_points=as_data_points(recording.rows))
    assert read_reference(reference, measurement.uuid, recording.rows) == recording.rows
    assert read_reference(reference, measurement.uuid, recording.rows, limit=17, iterator=True) == recording.rows


def test_a_frame_that_we_store_the_reference_reads_with_its_own_classes(reference: Reference, client: idf.Client) -> None:
    index = pd.date_range("2025-01-01T12:00:00.000000001", periods=4, freq="10ms", tz="UTC", unit="ns", name="time")
    frame = pd.DataFrame(
        {"speed": [0.5, -1.5, float("inf"), 4.0], "gear": [1, 2, -3, 4], "mode": ["eco", "雪", "", "x"]}, index=index
    )
    stored = frame.intdash.store(client=client, channel=7, name="a frame")
    expected = reference.encode(
        [
            {"$new": f"data.{kind}", "data_id": column, "value": value}
            for i in range(len(frame))
            for kind, column, value in (
                ("Float", "speed", float(frame["speed"].iloc[i])),
                ("Int", "gear", int(frame["gear"].iloc[i])),
                ("String", "mode", frame["mode"].iloc[i]),
            )
        ]
    )
    listed = reference.call(
        "data_points.list",
        measurement_uuid=stored.measurement.uuid,
        start={"$time": index[0].value},
        end={"$time": index[-1].value + 1},
    )
    assert [point["channel"] for point in listed] == [7] * 12
    assert [point["time"]["$time"] for point in listed] == [stamp for stamp in index.as_unit("ns").asi8 for _ in range(3)]
    # Three points share each instant and nothing says in which order they come.
    assert sorted(point["data_payload"]["$bytes"] for point in listed) == sorted(made["$bytes"] for made in expected)


def test_a_frame_of_our_own_stores_back_what_the_reference_had_stored(
    reference: Reference, client: idf.Client, measurement: idf.Measurement, recording: Recording
) -> None:
    client.data_points.store(measurement_uuid=measurement.uuid, data_points=as_data_points(recording.rows))
    copy = client.measurements.create(edge_uuid=client.edges.me().uuid, basetime=measurement.basetime, name="copy")
    for frame in client.frames(measurement.uuid).by_type().values():
        frame.intdash.store(copy.uuid, client=client)
    assert read_reference(reference, copy.uuid, recording.rows) == recording.rows


def test_units_that_the_reference_lists_carry_our_payloads(
    reference: Reference, client: idf.Client, measurement: idf.Measurement, recording: Recording
) -> None:
    # Left out: base times, which the SDK cannot write again after reading them, and negative integers, which it reads as
    # unsigned. CAN frames come with the count byte made anew, which is the same for the SDK's own payloads.
    rows = [row for row in recording.rows if row.data_type != BASETIME and not (row.data_type == INT and row.payload[-1] & 0x80)]
    client.data_points.store(measurement_uuid=measurement.uuid, data_points=as_data_points(rows))
    first, *units = reference.call("units.list", measurement_uuid=measurement.uuid, **whole_range(rows))
    assert (first["data"]["data_type"], first["channel"]) == (BASETIME, 0)
    # Elapsed times of this call count from its first row, not from the base time.
    read = [
        Row(
            rows[0].time_ns + u["elapsed_time"]["$duration"],
            u["channel"],
            u["data"]["data_type"],
            u["data"]["data_id"],
            bytes.fromhex(u["data"]["$bytes"]),
        )
        for u in units
    ]
    assert read == rows
    pages = reference.call("units.list", measurement_uuid=measurement.uuid, **whole_range(rows), limit=50, iterator=True)
    # Every page begins with an invented base time.
    assert [u["data"]["$bytes"] for page in pages for u in page[1:]] == [row.payload.hex() for row in rows]


def test_units_that_we_store_the_reference_reads_equal(
    reference: Reference, ours: Ours, measurement: idf.Measurement, recording: Recording
) -> None:
    ours.call("units.store", measurement_uuid=measurement.uuid, units=driver_units(recording), final=False)
    assert read_reference(reference, measurement.uuid, recording.rows) == recording.rows


def test_units_that_we_list_are_what_the_reference_stored_with_times_since_the_base_time(
    reference: Reference, ours: Ours, measurement: idf.Measurement, recording: Recording
) -> None:
    reference.call("units.store", measurement_uuid=measurement.uuid, units=driver_units(recording))
    expected = [(row.elapsed_ns, row.channel, row.data_type, row.payload.hex()) for row in recording.rows]

    def stored(units: list[Any]) -> list[Any]:
        # In front stands the base time in use, which was not stored: as in the SDK, but nothing counts from anything else.
        assert (units[0]["channel"], units[0]["data"]["data_type"], units[0]["elapsed_time"]) == (0, BASETIME, {"$duration": 0})
        return [(u["elapsed_time"]["$duration"], u["channel"], u["data"]["data_type"], u["data"]["$bytes"]) for u in units[1:]]

    query = {"measurement_uuid": measurement.uuid, **whole_range(recording.rows)}
    assert stored(ours.call("units.list", **query)) == expected
    pages = ours.call("units.list", **query, limit=50, iterator=True)
    assert [unit for page in pages for unit in stored(page)] == expected
    assert len(pages) > 1


def test_the_reference_selects_by_id_query_and_the_range_is_half_open(
    reference: Reference, client: idf.Client, measurement: idf.Measurement, recording: Recording
) -> None:
    client.data_points.store(measurement_uuid=measurement.uuid, data_points=as_data_points(recording.rows))
    rows = recording.rows

    def listed(**query: Any) -> list[Row]:
        # The number, because the SDK writes the name of a member of its enumeration into the query.
        return read_reference(reference, measurement.uuid, rows, id_queries=[{"$new": "IdQuery", **query}])

    assert listed(data_type=INT) == [row for row in rows if row.data_type == INT]
    assert listed(channel=rows[5].channel) == [row for row in rows if row.channel == rows[5].channel]
    for data_id in IDS:
        # `*` alone means any id, also where a point is really called that.
        expected = [row for row in rows if row.data_type == INT and data_id in (row.data_id, "*")]
        assert listed(data_type=INT, data_id=data_id) == expected

    start, end = rows[3], rows[9]
    part = reference.call(
        "data_points.list", measurement_uuid=measurement.uuid, start={"$time": start.time_ns}, end={"$time": end.time_ns}
    )
    assert [point["time"]["$time"] for point in part] == [row.time_ns for row in rows[3:9]]


def test_an_edge_is_named_by_its_name_or_uuid(reference: Reference, client: idf.Client) -> None:
    edge = client.edges.me()
    # A time of its own, far from what other tests store for the same edge.
    basetime = pd.Timestamp("2031-05-06T07:08:09.123456789Z")
    made = client.measurements.create(edge_uuid=edge.uuid, basetime=basetime)
    point = idf.DataPoint(elapsed_time=pd.Timedelta(0), data_type=INT, channel=1, data_payload=b"\x01x" + bytes(8))
    client.data_points.store(measurement_uuid=made.uuid, data_points=[point])
    within = {"start": {"$time": basetime.value}, "end": {"$time": basetime.value + 1}}
    for name in ({"edge_uuid": edge.uuid}, {"edge_name": edge.name}):
        (read,) = reference.call("data_points.list", **name, **within)
        assert (read["measurement_uuid"], read["time"]) == (made.uuid, {"$time": basetime.value})


def test_the_last_section_ends_the_measurement(reference: Reference, measurement: idf.Measurement, client: idf.Client) -> None:
    point = {
        "$new": "DataPoint",
        "elapsed_time": {"$duration": 90_000_001_000},
        "data_type": INT,
        "channel": 1,
        "data_payload": {"$payload": {"$new": "data.Int", "data_id": "x", "value": -5}},
    }
    reference.call("data_points.store", measurement_uuid=measurement.uuid, data_points=[point], final=False)
    assert client.measurements.get(measurement.uuid).ended is False
    reference.call("data_points.store", measurement_uuid=measurement.uuid, data_points=[], final=True)
    ended = client.measurements.get(measurement.uuid)
    assert (ended.ended, ended.duration.value, ended.processed_ratio) == (True, 90_000_001_000, 1)


def test_a_measurement_without_points_lists_none(reference: Reference, measurement: idf.Measurement) -> None:
    within = {"start": {"$time": BASETIME_NS}, "end": {"$time": BASETIME_NS + 1}}
    assert reference.call("data_points.list", measurement_uuid=measurement.uuid, **within) == []
    assert reference.call("data_points.list", measurement_uuid=measurement.uuid, **within, limit=10, iterator=True) == []


def test_an_unknown_measurement_is_not_found(reference: Reference) -> None:
    nobody = "00000000-0000-4000-8000-000000000000"
    within = {"start": {"$time": BASETIME_NS}, "end": {"$time": BASETIME_NS + 1}}
    with pytest.raises(ReferenceFailed, match="HTTPError: 404"):
        reference.call("data_points.list", measurement_uuid=nobody, **within)
    with pytest.raises(ReferenceFailed, match="HTTPError: 404"):
        reference.call("data_points.store", measurement_uuid=nobody, data_points=[])
