"""What streams carry between the vendor's SDK and ours: filters of every kind, times, large pictures, converted values."""

from __future__ import annotations

import random
from typing import Any

import pytest

import intdash_frames as idf
from intdash_frames import DataType
from tests.interop.conftest import Reference
from tests.interop.ours import Ours
from tests.interop.rows import BASETIME, BASETIME_NS, Row, as_data_points, read_stored
from tests.interop.streaming import (
    RULED,
    SECOND,
    Arrivals,
    Point,
    basetime_point,
    beside,
    downstream_spec,
    new,
    new_name,
    open_reference_upstream,
    points,
    recording_of,
    reference_downstream_spec,
    reference_points,
    reference_upstream_spec,
    run,
    stored_once_closed,
    upstream_spec,
    write_as_reference,
)


def everything_by_turns() -> list[dict[str, Any]]:
    """Objects of three ids of every type whose filters have rules, and one of the others."""
    content = {"$bytes": "00ff80"}
    return [
        *(new("data.CAN", decimal_id=i, data=content) for i in (1, 0x14A, 2**32 - 1)),
        *(new("data.NMEA", string=text) for text in ("$GPRMC,1", "$GPGGA,2", "$PX,3")),
        *(new("data.GeneralSensor", decimal_id=i, data=content) for i in (1, 0x0A, 0xFFFF)),
        *(new("data.Generic", decimal_id=i, data=content) for i in (1, 0x014A, 2**31)),
        *(new("data.String", data_id=i, value="on") for i in ("a", "a/b", "名前")),
        *(new("data.Float", data_id=i, value=-0.5) for i in ("a", "a/b", "名前")),
        *(new("data.Int", data_id=i, value=5) for i in ("a", "a/b", "名前")),
        *(new("data.Bytes", data_id=i, value=content) for i in ("a", "a/b", "名前")),
        new("data.Controlpad", decimal_id=7, data=content),
        new("data.JPEG", data=content),
        new("data.H264", type_id=8, data=content),
        new("data.AAC", data=content),
        new("data.PCM", format_id=1, channels=2, sample_rate=48_000, bit_per_sample=16, data=content),
    ]


@pytest.mark.parametrize("writer", ["the reference", "we"])
def test_filters_of_every_kind_let_the_same_through_to_all_readers(
    reference: Reference, client: idf.Client, edge: str, measurement_uuid: str, writer: str
) -> None:
    both = [item for made in everything_by_turns() for item in (made, made)]
    rows = recording_of(reference, both, step_ns=SECOND, channels=(1, 2)).rows
    # Of each type the second id on channel 1 and the third on channel 2; all of the types without rules on channel 2.
    ids: dict[int, list[str | None]] = {}
    for row in rows:
        if row.data_id not in ids.setdefault(row.data_type, []):
            ids[row.data_type].append(row.data_id)
    filters: list[tuple[int, int, str | None]] = []
    for kind, (*_, third) in ids.items():
        filters += [(kind, 1, ids[kind][1]), (kind, 2, third)] if kind in RULED else [(kind, 2, None)]
    wanted = {(kind, channel, data_id if kind in RULED else None) for kind, channel, data_id in filters}
    expected = points(r for r in rows if (r.data_type, r.channel, r.data_id if r.data_type in RULED else None) in wanted)
    assert len(expected) == 2 * len(RULED) + 5

    first = Row(BASETIME_NS, 0, BASETIME, None, basetime_point().data_payload)
    got, got_older = new_name(), new_name()
    came, came_older = Arrivals(), Arrivals()

    async def scenario() -> None:
        theirs = await beside(reference.keep, "connect_iscp")
        older = await beside(reference.keep, "connect_websocket")
        async with await client.connect_iscp() as conn:
            if writer == "we":
                up = await conn.open_upstream(spec=upstream_spec(edge, measurement_uuid))
                await up.write(datapoint=basetime_point())
            else:
                up = await beside(open_reference_upstream, theirs, reference_upstream_spec(edge, measurement_uuid))
                await beside(write_as_reference, up, [first])
            spec = reference_downstream_spec(edge, filters)
            await beside(theirs.keep, "open_downstream", spec=spec, on_msg={"$gather": got})
            await beside(older.call, "open_downstreams", specs=[spec], callbacks=[{"$gather": got_older}])
            await conn.open_downstream(spec=downstream_spec(edge, filters), on_msg=came.data_point)
            with client.connect_websocket() as ours_older:
                ours_older.open_downstreams(specs=[downstream_spec(edge, filters)], callbacks=[came_older.unit])
                # All are there once each has the base time.
                for reader in (came, came_older):
                    await beside(reader.take, 1)
                for gathered in (got, got_older):
                    await beside(reference.gathered, gathered, 1)
                if writer == "we":
                    for point in as_data_points(rows):
                        await up.write(datapoint=point)
                else:
                    await beside(write_as_reference, up, rows)
                for reader in (came, came_older):
                    assert await beside(reader.take, len(expected)) == expected
                for gathered in (got, got_older):
                    assert reference_points(await beside(reference.gathered, gathered, 1 + len(expected)))[1:] == expected
        await beside(older.call, "close")
        await beside(theirs.call, "close")

    run(scenario())
    assert came.nothing_left
    assert came_older.nothing_left


def test_two_streams_of_one_request_carry_what_is_theirs(
    reference: Reference, client: idf.Client, edge: str, measurement_uuid: str
) -> None:
    rows = recording_of(reference, [new("data.Int", data_id="n", value=i) for i in range(20)], step_ns=SECOND).rows
    names = [new_name(), new_name()]
    older = reference.keep("connect_websocket")

    async def scenario() -> None:
        async with await client.connect_iscp() as conn:
            up = await conn.open_upstream(spec=upstream_spec(edge, measurement_uuid))
            await up.write(datapoint=basetime_point())
            await beside(
                older.call,
                "open_downstreams",
                specs=[reference_downstream_spec(edge, [(DataType.int, channel, "n")]) for channel in (1, 2)],
                callbacks=[{"$gather": each} for each in names],
            )
            for each in names:
                await beside(reference.gathered, each, 1)
            for point in as_data_points(rows):
                await up.write(datapoint=point)
            for each, channel in zip(names, (1, 2), strict=True):
                expected = points(row for row in rows if row.channel == channel)
                assert reference_points(await beside(reference.gathered, each, 1 + len(expected)))[1:] == expected

    run(scenario())
    older.call("close")


def test_nanoseconds_that_we_write_the_reference_reads(
    reference: Reference, client: idf.Client, edge: str, measurement_uuid: str
) -> None:
    rows = [
        Row(BASETIME_NS + elapsed_ns, 1, DataType.int, "n", idf.data.Int("n", i).to_payload())
        for i, elapsed_ns in enumerate(
            (0, 1, 999, 1_000, 999_999_999, 32_767 * SECOND + 1, 32_768 * SECOND, 8_388_607 * SECOND + 7)
        )
    ]
    got = new_name()
    theirs = reference.keep("connect_iscp")
    theirs.keep("open_downstream", spec=reference_downstream_spec(edge, [(DataType.int, 1, "n")]), on_msg={"$gather": got})

    async def scenario() -> None:
        async with (
            await client.connect_iscp() as conn,
            await conn.open_upstream(spec=upstream_spec(edge, measurement_uuid)) as up,
        ):
            for point in as_data_points(rows):
                await up.write(datapoint=point)

    run(scenario())
    assert reference_points(reference.gathered(got, len(rows))) == points(rows)
    assert read_stored(client, measurement_uuid) == rows
    theirs.call("close")


def test_negative_integers_that_we_write_the_reference_reads(
    reference: Reference, client: idf.Client, edge: str, measurement_uuid: str
) -> None:
    values = (-1, -5, -(2**63), 2**63 - 1)
    rows = recording_of(reference, [new("data.Int", data_id="n", value=value) for value in values], step_ns=1).rows
    got = new_name()
    theirs = reference.keep("connect_iscp")
    spec = reference_downstream_spec(edge, [(DataType.int, 1, "n"), (DataType.int, 2, "n")])
    theirs.keep("open_downstream", spec=spec, on_msg={"$gather": got})

    async def scenario() -> None:
        async with await client.connect_iscp() as conn, await conn.open_upstream(upstream_spec(edge, measurement_uuid)) as up:
            for point in as_data_points(rows):
                await up.write(point)

    run(scenario())
    assert reference_points(reference.gathered(got, len(rows))) == points(rows)
    theirs.call("close")


@pytest.mark.parametrize("writer", ["the reference", "we"])
def test_pictures_of_more_than_a_mebibyte_pass(
    reference: Reference, client: idf.Client, edge: str, measurement_uuid: str, writer: str
) -> None:
    rng = random.Random(1)
    rows = [
        Row(BASETIME_NS + i * SECOND, 1, kind, None, rng.randbytes(size))
        for i, (kind, size) in enumerate(((DataType.jpeg, 3 << 19), (DataType.h264, (1 << 20) + 1), (DataType.jpeg, 10)))
    ]
    got, came = new_name(), Arrivals()
    filters = [(DataType.jpeg, 1, None), (DataType.h264, 1, None)]

    async def scenario() -> None:
        theirs = await beside(reference.keep, "connect_iscp")
        spec = reference_downstream_spec(edge, filters)
        await beside(theirs.keep, "open_downstream", spec=spec, on_msg={"$gather": got})
        async with (
            await client.connect_iscp() as conn,
            await conn.open_downstream(spec=downstream_spec(edge, filters), on_msg=came.data_point),
        ):
            if writer == "we":
                async with await conn.open_upstream(spec=upstream_spec(edge, measurement_uuid)) as up:
                    for point in as_data_points(rows):
                        await up.write(datapoint=point)
            else:
                kept = await beside(open_reference_upstream, theirs, reference_upstream_spec(edge, measurement_uuid))
                await beside(write_as_reference, kept, rows)
                await beside(kept.call, "close")
            assert await beside(came.take, len(rows)) == points(rows)
            assert reference_points(await beside(reference.gathered, got, len(rows))) == points(rows)
        await beside(theirs.call, "close")

    run(scenario())
    assert points(stored_once_closed(client, measurement_uuid, len(rows))) == points(rows)


def test_the_label_of_a_signal_yields_converted_values_live_and_stored(
    reference: Reference, client: idf.Client, ours: Ours, edge: str, measurement_uuid: str
) -> None:
    label = new_name()
    ours.call(
        "signals.create",
        label=label,
        data_type=DataType.can,
        data_id="0000014A",
        channel=2,
        conversion=new(
            "ConversionNumFixedPoint", startbit=8, bitsize=16, endian="little", sign="signed", scale=0.1, offset=-40.0
        ),
        display=new("Display", unit="degC", min=-40.0, max=215.0, format="%.1f"),
    )
    raw = [0, 1, -1, 32767, -32768, 415]
    objects = [
        new("data.CAN", decimal_id=i, data={"$bytes": (b"\xff" + value.to_bytes(2, "little", signed=True)).hex()})
        for value in raw
        for i in (0x14A, 0x14B)
    ]
    rows = recording_of(reference, objects, step_ns=SECOND, channels=(2,)).rows
    expected = [
        Point(row.elapsed_ns, 2, DataType.float, idf.data.Float(label, value * 0.1 + -40.0).to_payload())
        for row, value in zip(rows[::2], raw, strict=True)
    ]
    filters = [(DataType.float, 2, label)]
    got, came = new_name(), Arrivals()

    async def scenario() -> None:
        theirs = await beside(reference.keep, "connect_iscp")
        spec = reference_downstream_spec(edge, filters)
        await beside(theirs.keep, "open_downstream", spec=spec, on_msg={"$gather": got})
        async with (
            await client.connect_iscp() as conn,
            await conn.open_downstream(spec=downstream_spec(edge, filters), on_msg=came.data_point),
            await conn.open_upstream(spec=upstream_spec(edge, measurement_uuid)) as up,
        ):
            for point in as_data_points(rows):
                await up.write(datapoint=point)
            assert await beside(came.take, len(expected)) == expected
            assert reference_points(await beside(reference.gathered, got, len(expected))) == expected
        await beside(theirs.call, "close")

    run(scenario())
    within = {"start": {"$time": BASETIME_NS}, "end": {"$time": rows[-1].time_ns + 1}}
    stored = reference.call("data_points.list", measurement_uuid=measurement_uuid, labels=[label], **within)
    assert [bytes.fromhex(point["data_payload"]["$bytes"]) for point in stored] == [point.payload for point in expected]


def test_a_stream_that_is_not_stored_is_only_relayed(
    reference: Reference, client: idf.Client, edge: str, measurement_uuid: str
) -> None:
    rows = recording_of(reference, [new("data.Int", data_id="n", value=i) for i in range(5)], step_ns=SECOND, channels=(1,)).rows
    came = Arrivals()

    async def scenario() -> None:
        spec = downstream_spec(edge, [(DataType.int, 1, "n")])
        async with await client.connect_iscp() as conn, await conn.open_downstream(spec=spec, on_msg=came.data_point):
            theirs = await beside(reference.keep, "connect_iscp")
            up = await beside(open_reference_upstream, theirs, new("UpstreamSpec", src_edge_uuid=edge))
            await beside(write_as_reference, up, rows)
            assert await beside(came.take, len(rows)) == points(rows)
            await beside(up.call, "close")
            await beside(theirs.call, "close")

    run(scenario())
    assert read_stored(client, measurement_uuid) == []
