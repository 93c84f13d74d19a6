"""Everything the vendor's tutorial does, as programs written anew, with the package under the name of the vendor's SDK."""

from __future__ import annotations

import asyncio
import queue
import re
import threading
from collections.abc import Iterator
from typing import Any

import pandas as pd
import pytest

import intdash_frames as intdash
from intdash_frames import data, timeutils

WAIT_S = 30
# What the package promises of the vendor's vocabulary.
NAMES = {
    "BasetimeType",
    "Capture",
    "Captures",
    "Client",
    "Conversion",
    "ConversionCSV",
    "ConversionJSON",
    "ConversionNone",
    "ConversionNumFixedPoint",
    "ConversionNumFloatingPoint",
    "ConversionSubBytes",
    "ConversionSubString",
    "ConversionType",
    "DataFilter",
    "DataPoint",
    "DataPoints",
    "DataResponse",
    "DataType",
    "Display",
    "Downstream",
    "DownstreamSpec",
    "Edge",
    "EdgeType",
    "Edges",
    "ISCPConn",
    "ISCPConnClosedException",
    "IdQuery",
    "Measurement",
    "MeasurementBasetime",
    "MeasurementBasetimes",
    "MeasurementMarker",
    "MeasurementMarkerDetail",
    "MeasurementMarkerDetailPoint",
    "MeasurementMarkerDetailRange",
    "MeasurementMarkerType",
    "MeasurementMarkers",
    "Measurements",
    "ResultNGException",
    "Signal",
    "Signals",
    "StaticTokenSource",
    "TokenSource",
    "Unit",
    "Units",
    "Upstream",
    "UpstreamSpec",
    "WebSocketConn",
    "data",
    "timeutils",
}
OF_A_CLIENT = {
    "captures",
    "connect_iscp",
    "connect_websocket",
    "data_points",
    "edges",
    "measurement_basetimes",
    "measurement_markers",
    "measurements",
    "signals",
    "units",
}


@pytest.fixture(scope="module")
def server() -> Iterator[intdash.LocalServer]:
    with intdash.LocalServer(edges={"admin": "admin-token", "administrator's car": "car-token"}) as running:
        yield running


@pytest.fixture(scope="module")
def client(server: intdash.LocalServer) -> Iterator[intdash.Client]:
    with intdash.Client(url=server.url, edge_token="admin-token") as made:
        yield made


@pytest.fixture(scope="module")
def edge(client: intdash.Client) -> intdash.Edge:
    (found,) = client.edges.list(name='"admin"')
    return found


def new_measurement(client: intdash.Client, edge: intdash.Edge, basetime: str = "2020-01-01 05:08:25.676942+00:00") -> Any:
    moment = timeutils.str2timestamp(basetime)
    return client.measurements.create(edge_uuid=edge.uuid, basetime=moment, name="measurement")


def can(channel: int, elapsed_time: pd.Timedelta) -> intdash.Unit:
    content = data.CAN(decimal_id=1, data=b"\x00\x01\x02\x03\x04\x05\x06\x07")
    return intdash.Unit(elapsed_time=elapsed_time, channel=channel, data=content)


def printed(record: object) -> dict[str, str]:
    """The lines that `print` gives, by the word in front."""
    return dict(line.split(": ", maxsplit=1) for line in str(record).splitlines())


def test_the_names_of_the_tutorial_are_there(client: intdash.Client) -> None:
    assert set(intdash.__all__) >= NAMES
    assert {name for name in NAMES if not hasattr(intdash, name)} == set()
    assert {name for name in OF_A_CLIENT if not hasattr(client, name)} == set()


# --- edges and measurements ---


def test_edges_are_listed_by_the_beginning_of_their_name(client: intdash.Client) -> None:
    edges = client.edges
    lst = edges.list(name="admin", limit=10)
    assert [edge.name for edge in lst] == ["admin", "administrator's car"]
    assert [[edge.name for edge in page] for page in edges.list(name="admin", limit=1, iterator=True)] == [
        ["admin"],
        ["administrator's car"],
    ]


def test_an_edge_prints_the_lines_of_the_tutorial(edge: intdash.Edge) -> None:
    assert printed(edge) == {
        "uuid": edge.uuid,
        "name": "admin",
        "nickname": edge.nickname,
        "description": edge.description,
        "type": "device",
        "disabled": "False",
        "created_at": str(edge.created_at),
        "updated_at": str(edge.updated_at),
        "last_login_at": str(edge.last_login_at),
    }
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d+)?\+00:00", str(edge.created_at))


def test_measurements_of_an_edge_are_listed_within_a_range_and_got_by_uuid(client: intdash.Client, edge: intdash.Edge) -> None:
    measurements = client.measurements
    made = [new_measurement(client, edge, f"2019-12-3{day} 12:00:00+00:00") for day in (0, 1)]
    lst = measurements.list(
        edge_uuid=edge.uuid,
        start=timeutils.str2timestamp("2019-12-31 00:00:00.000000+00:00"),
        end=timeutils.str2timestamp("2020-01-01 00:00:00.000000+00:00"),
        limit=10,
    )
    assert lst == made[1:]
    assert measurements.get(uuid=made[1].uuid) == made[1]


def test_a_measurement_prints_the_lines_of_the_tutorial(client: intdash.Client, edge: intdash.Edge) -> None:
    measurement = new_measurement(client, edge)
    client.measurements.update(uuid=measurement.uuid, description="this is updated description")
    lines = printed(client.measurements.get(uuid=measurement.uuid))
    shown = ("uuid", "name", "description", "edge_uuid", "ended", "basetime", "basetime_type")
    assert {name: lines[name] for name in shown} == {
        "uuid": measurement.uuid,
        "name": "measurement",
        "description": "this is updated description",
        "edge_uuid": edge.uuid,
        "ended": "False",
        "basetime": "2020-01-01 05:08:25.676942+00:00",
        "basetime_type": "manual",
    }
    assert pd.Timedelta(lines["duration"]) == pd.Timedelta(0)
    assert {"created_at", "updated_at"} <= lines.keys()


# --- time series ---


def strings(*values: str) -> list[intdash.DataPoint]:
    return [
        intdash.DataPoint(
            elapsed_time=pd.Timedelta(seconds=second),
            data_type=intdash.DataType.string,
            channel=1,
            data_payload=intdash.data.String(data_id="str_test", value=value).to_payload(),
        )
        for second, value in enumerate(values)
    ]


ONE_DAY = {
    "start": timeutils.str2timestamp("2020-01-01T00:00:00.000000Z"),
    "end": timeutils.str2timestamp("2020-01-02T00:00:00.000000Z"),
    "id_queries": [intdash.IdQuery(data_type=intdash.DataType.string)],
}


def test_points_are_stored_and_listed(client: intdash.Client, edge: intdash.Edge) -> None:
    measurement = new_measurement(client, edge)
    data_points = client.data_points
    data_points.store(measurement_uuid=measurement.uuid, data_points=strings("test1", "test2", "test3"))

    it = data_points.list(measurement_uuid=measurement.uuid, **ONE_DAY, limit=2, iterator=True)
    listed = [dp for lst in it for dp in lst]
    assert [intdash.data.String.from_payload(dp.data_payload).value for dp in listed] == ["test1", "test2", "test3"]
    assert printed(listed[0]) == {
        "time": "2020-01-01 05:08:25.676942+00:00",
        "measurement_uuid": measurement.uuid,
        "data_type": "10",
        "channel": "1",
        "data_id": "str_test",
        "data_payload": r"b'\x08str_testtest1'",
    }

    dps = data_points.list(measurement_uuid=measurement.uuid, **ONE_DAY, limit=1000, iterator=False)
    assert dps == listed
    content = intdash.data.String.from_payload(dps[0].data_payload)
    assert printed(content) == {"data_type": "string", "data_id": "str_test", "value": "test1"}


def test_points_of_an_edge_are_listed_across_its_measurements(server: intdash.LocalServer, client: intdash.Client) -> None:
    with server.client("administrator's car") as car:
        edge = car.edges.me()
        measurements = [new_measurement(car, edge, f"2020-01-01T0{hour}:00:00Z") for hour in (5, 6)]
        for measurement, value in zip(measurements, ("test", "test2"), strict=True):
            car.data_points.store(measurement_uuid=measurement.uuid, data_points=strings(value))
    for whose in ({"edge_name": edge.name}, {"edge_uuid": edge.uuid}):
        it = client.data_points.list(**whose, **ONE_DAY, limit=1000, iterator=True)
        seen = [(dp.measurement_uuid, dp.data_id, dp.data_payload) for dps in it for dp in dps]
        assert seen == [(m.uuid, "str_test", b"\x08str_test" + v) for m, v in zip(measurements, (b"test", b"test2"), strict=True)]


# --- streams ---


def stored(client: intdash.Client, measurement: intdash.Measurement) -> list[tuple[int, int, bytes]]:
    """Channel, data type and payload of what the server keeps."""
    everything = {"start": pd.Timestamp(0, tz="UTC"), "end": pd.Timestamp.max.tz_localize("UTC")}
    points = client.data_points.list(measurement_uuid=measurement.uuid, **everything)
    return [(point.channel, int(point.data_type), point.data_payload) for point in points]


def test_units_are_sent_and_received_by_callbacks_and_iterators(client: intdash.Client, edge: intdash.Edge) -> None:
    measurement = new_measurement(client, edge)
    listening, received = threading.Event(), queue.SimpleQueue[intdash.Unit]()
    wsconn = client.connect_websocket()

    def gen() -> Iterator[intdash.Unit]:
        basetime = pd.Timestamp.now("UTC")
        yield intdash.Unit(
            elapsed_time=pd.Timestamp.now("UTC") - basetime,
            channel=1,
            data=data.Basetime(type=intdash.BasetimeType.ntp, basetime=basetime),
        )
        listening.wait(WAIT_S)
        for _ in range(10):
            yield can(1, pd.Timedelta(pd.Timestamp.now("UTC") - basetime))
            yield can(2, pd.Timedelta(pd.Timestamp.now("UTC") - basetime))
            yield can(3, pd.Timedelta(pd.Timestamp.now("UTC") - basetime))

    up = intdash.UpstreamSpec(
        src_edge_uuid=edge.uuid, dst_edge_uuids=None, resend=False, store=True, measurement_uuid=measurement.uuid
    )
    down = intdash.DownstreamSpec(
        src_edge_uuid=edge.uuid,
        filters=[
            intdash.DataFilter(data_type=intdash.DataType.can, data_id="00000001", channel=1),
            intdash.DataFilter(data_type=intdash.DataType.can, data_id="00000001", channel=2),
        ],
    )
    wsconn.open_upstreams(specs=[up], iterators=[gen()])
    wsconn.open_downstreams(specs=[down], callbacks=[received.put])
    listening.set()

    first, *units = [received.get(timeout=WAIT_S) for _ in range(21)]
    assert (first.channel, first.data.data_type, first.data.type) == (1, intdash.DataType.basetime, intdash.BasetimeType.ntp)
    assert [(unit.channel, unit.data) for unit in units] == [(channel, can(1, pd.Timedelta(0)).data) for channel in (1, 2)] * 10
    assert printed(units[0]) == {
        "elapsed_time": str(units[0].elapsed_time),
        "channel": "1",
        "measurement_uuid": "None",
        "data_type": "can",
        "data_id": "00000001",
        "data": "00 01 02 03 04 05 06 07",
    }

    wsconn.close()
    client.measurements.update(uuid=measurement.uuid, ended=True)
    assert client.measurements.get(uuid=measurement.uuid).ended is True
    assert len(stored(client, measurement)) == 1 + 30


def test_an_endless_iterator_ends_with_the_connection(client: intdash.Client, edge: intdash.Edge) -> None:
    closed, received = threading.Event(), queue.SimpleQueue[intdash.Unit]()

    def gen() -> Iterator[intdash.Unit]:
        try:
            while True:
                yield can(1, pd.Timedelta(0))
        finally:
            closed.set()

    wsconn = client.connect_websocket()
    spec = intdash.DownstreamSpec(src_edge_uuid=edge.uuid, filters=[intdash.DataFilter(intdash.DataType.can, 1, "00000001")])
    wsconn.open_downstreams(specs=[spec], callbacks=[received.put])
    wsconn.open_upstreams(specs=[intdash.UpstreamSpec(src_edge_uuid=edge.uuid)], iterators=[gen()])
    received.get(timeout=WAIT_S)
    wsconn.close()
    assert closed.wait(WAIT_S)


def run(program: Any) -> Any:
    async def limited() -> Any:
        async with asyncio.timeout(2 * WAIT_S):
            return await program

    loop = asyncio.new_event_loop()
    try:
        return loop.run_until_complete(limited())
    finally:
        loop.close()


def can_point(channel: int, basetime: pd.Timestamp) -> intdash.DataPoint:
    d = data.CAN(decimal_id=1, data=b"\x00\x01\x02\x03\x04\x05\x06\x07")
    return intdash.DataPoint(
        elapsed_time=pd.Timedelta(pd.Timestamp.now("UTC") - basetime),
        channel=channel,
        data_type=d.data_type,
        data_payload=d.to_payload(),
    )


def basetime_point(basetime: pd.Timestamp) -> intdash.DataPoint:
    d = intdash.data.Basetime(type=intdash.BasetimeType.ntp, basetime=basetime)
    return intdash.DataPoint(
        elapsed_time=pd.Timestamp.now("UTC") - basetime, channel=1, data_type=d.data_type, data_payload=d.to_payload()
    )


def test_points_are_sent_and_received_with_await(client: intdash.Client, edge: intdash.Edge) -> None:
    closed: list[str] = []
    acknowledged: list[tuple[int, int]] = []
    received: asyncio.Queue[intdash.DataPoint] = asyncio.Queue()

    async def on_close() -> None:
        closed.append("connection closed!")

    async def on_ack(serial: int, result: int) -> None:
        acknowledged.append((serial, result))

    async def on_msg(datapoint: intdash.DataPoint) -> None:
        await received.put(datapoint)

    async def program() -> tuple[intdash.Measurement, int]:
        conn = await client.connect_iscp(on_close=on_close)
        downstream = await conn.open_downstream(
            spec=intdash.DownstreamSpec(
                src_edge_uuid=edge.uuid,
                filters=[
                    intdash.DataFilter(data_type=intdash.DataType.can, data_id="00000001", channel=1),
                    intdash.DataFilter(data_type=intdash.DataType.can, data_id="00000001", channel=2),
                ],
            ),
            on_msg=on_msg,
        )

        basetime = pd.Timestamp.now("UTC")
        meas = client.measurements.create(edge_uuid=edge.uuid, basetime=basetime, basetime_type="ntp")
        upstream = await conn.open_upstream(
            spec=intdash.UpstreamSpec(
                src_edge_uuid=edge.uuid, dst_edge_uuids=None, resend=False, store=True, measurement_uuid=meas.uuid
            ),
            on_ack=on_ack,
        )
        await upstream.write(datapoint=basetime_point(basetime))

        async def deadline(upstream: Any) -> None:
            for _ in range(101):
                await received.get()
            await upstream.close()

        ending = asyncio.ensure_future(deadline(upstream))
        written = 0
        # Nothing in this loop waits for anything: writing itself has to let the rest of the program go on.
        while True:
            try:
                await upstream.write(datapoint=can_point(1, basetime))
                written += 1
                await upstream.write(datapoint=can_point(2, basetime))
                written += 1
            except intdash.ISCPConnClosedException:
                break
        await ending

        client.measurements.update(uuid=meas.uuid, ended=True)
        await downstream.close()
        await conn.close()
        return meas, written

    meas, written = run(program())
    assert closed == ["connection closed!"]
    assert acknowledged == [(serial, 0) for serial in range(len(acknowledged))]
    assert len(acknowledged) >= 1
    ended = client.measurements.get(meas.uuid)
    assert (ended.ended, ended.basetime_type) == (True, intdash.BasetimeType.ntp)
    assert len(stored(client, meas)) == 1 + written


def test_connections_and_streams_are_closed_by_async_with(client: intdash.Client, edge: intdash.Edge) -> None:
    closed: list[str] = []
    acknowledged: list[int] = []
    received: list[intdash.DataPoint] = []
    all_there = asyncio.Event()

    async def on_close() -> None:
        closed.append("connection closed!")

    async def on_ack(serial: int, result: int) -> None:
        acknowledged.append(result)

    async def on_msg(datapoint: intdash.DataPoint) -> None:
        received.append(datapoint)
        if len(received) == 21:
            all_there.set()

    async def program() -> intdash.Measurement:
        async with await client.connect_iscp(on_close=on_close) as conn:
            dspec = intdash.DownstreamSpec(
                src_edge_uuid=edge.uuid,
                filters=[intdash.DataFilter(data_type=intdash.DataType.can, data_id="00000001", channel=n) for n in (1, 2)],
            )
            async with await conn.open_downstream(spec=dspec, on_msg=on_msg):
                basetime = pd.Timestamp.now("UTC")
                meas = client.measurements.create(edge_uuid=edge.uuid, basetime=basetime, basetime_type="ntp")
                uspec = intdash.UpstreamSpec(src_edge_uuid=edge.uuid, store=True, measurement_uuid=meas.uuid)
                async with await conn.open_upstream(spec=uspec, on_ack=on_ack) as upstream:
                    await upstream.write(datapoint=basetime_point(basetime))
                    for _ in range(10):
                        await upstream.write(datapoint=can_point(1, basetime))
                        await upstream.write(datapoint=can_point(2, basetime))
                with pytest.raises(intdash.ISCPConnClosedException):
                    await upstream.write(datapoint=can_point(1, basetime))
                await all_there.wait()
                client.measurements.update(uuid=meas.uuid, ended=True)
        with pytest.raises(intdash.ISCPConnClosedException):
            await conn.open_upstream(spec=uspec)
        return meas

    meas = run(program())
    assert closed == ["connection closed!"]
    assert acknowledged == [0]
    frames = [(point.channel, int(point.data_type), point.data_payload) for point in received]
    assert frames == stored(client, meas)
    assert [channel for channel, _, _ in frames] == [1] + [1, 2] * 10
