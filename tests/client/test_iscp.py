from __future__ import annotations

import asyncio
from typing import Any

import pandas as pd
import pytest

from intdash_frames.client.connection import Connection
from intdash_frames.client.iscp import connect_iscp
from intdash_frames.connect import Client
from intdash_frames.errors import ISCPConnClosedException, ResultNGException, Unauthorized, UsageError
from intdash_frames.model import DataFilter, DataPoint, DataType, DownstreamSpec, Edge, Measurement, UpstreamSpec
from intdash_frames.server.app import Server, serve
from tests.client.stream_peer import run, string_point

NOWHERE = "00000000-1111-2222-3333-444444444444"


def row_of(point: DataPoint) -> tuple[int, int, int, bytes]:
    return point.elapsed_time.value, point.data_type, point.channel, point.data_payload


def stored(connection: Connection, measurement: Measurement) -> list[tuple[int, int, int | None, bytes]]:
    lists = connection.data_points.list("1970-01-01T00:00:00Z", "2200-01-01T00:00:00Z", measurement.uuid)
    start = measurement.basetime
    return [((each.time - start).value, each.data_type, each.channel, each.data_payload) for each in lists]  # type: ignore[misc]


def filters(*channels: int) -> list[DataFilter]:
    return [DataFilter(DataType.string, channel) for channel in channels]


def test_what_is_written_is_stored_acknowledged_and_comes_down(
    connection: Connection, me: Edge, measurement: Measurement
) -> None:
    points = [string_point(number, channel=number % 2) for number in range(1000)]
    acks: list[tuple[int, int]] = []
    came: list[DataPoint] = []
    closed: list[bool] = []

    async def on_ack(serial: int, result: int) -> None:
        acks.append((serial, result))

    async def on_msg(point: DataPoint) -> None:
        came.append(point)

    async def on_close() -> None:
        closed.append(True)

    async def test() -> None:
        async with await connect_iscp(connection, on_close=on_close) as conn:
            everything = asyncio.Event()

            def notice(point: DataPoint) -> None:
                if point.elapsed_time == points[-1].elapsed_time:
                    everything.set()

            downstream = await conn.open_downstream(DownstreamSpec(me.uuid, filters(0, 1)), on_msg=on_msg)
            await conn.open_downstream(DownstreamSpec(me.uuid, filters(0, 1)), notice)
            spec = UpstreamSpec(me.uuid, store=True, measurement_uuid=measurement.uuid)
            async with await conn.open_upstream(spec, on_ack=on_ack) as upstream:
                for point in points:
                    assert await upstream.write(datapoint=point) == 0
                await everything.wait()
            assert upstream.is_closed
            await downstream.close()
            assert not conn.is_closed
        assert conn.is_closed

    run(test())
    assert [row_of(point) for point in came] == [row_of(point) for point in points]
    assert sorted(stored(connection, measurement)) == sorted(row_of(point) for point in points)
    assert acks == [(0, 0)]
    assert closed == [True]


def test_a_client_connects_as_its_edge(server: Server, me: Edge) -> None:
    async def test() -> None:
        with Client(server.url, "token") as client:
            conn = await client.connect_iscp(flush_interval=0.001)
            stream = await conn.open_upstream(UpstreamSpec(me.uuid), marker_interval=0.01)
            await stream.write(string_point(1))
            await conn.close()
            assert conn.is_closed

    run(test())


def test_wrong_credentials_are_unauthorized(server: Server) -> None:
    async def test() -> None:
        with Client(server.url, "wrong") as client, pytest.raises(Unauthorized):
            await client.connect_iscp()

    run(test())


def test_a_refused_spec_raises_with_the_spec(connection: Connection, me: Edge) -> None:
    async def test() -> None:
        async with await connect_iscp(connection) as conn:
            for spec in (UpstreamSpec(NOWHERE), UpstreamSpec(me.uuid, store=True, measurement_uuid=NOWHERE)):
                with pytest.raises(ResultNGException) as caught:
                    await conn.open_upstream(spec)
                assert caught.value.request == spec
            down = DownstreamSpec(NOWHERE, filters(1))
            with pytest.raises(ResultNGException) as caught:
                await conn.open_downstream(down, print)
            assert caught.value.request == down

    run(test())


@pytest.mark.parametrize("closes", ["here", "server"])
def test_after_the_connection_has_ended_writing_and_opening_raise_and_on_close_is_called_once(closes: str) -> None:
    calls: list[int] = []

    async def test() -> None:
        with serve(edges={"demo": "token"}) as server, Connection(server.url, "token") as connection:
            ended = asyncio.Event()

            def on_close() -> None:
                calls.append(1)
                ended.set()

            conn = await connect_iscp(connection, on_close=on_close)
            stream = await conn.open_upstream(UpstreamSpec(connection.edges.me().uuid))
            await (asyncio.to_thread(server.close) if closes == "server" else conn.close())
            await ended.wait()
            with pytest.raises(ISCPConnClosedException):
                await stream.write(string_point(1))
            with pytest.raises(ISCPConnClosedException):
                await conn.open_upstream(UpstreamSpec(NOWHERE))
            await conn.close()

    run(test())
    assert calls == [1]


@pytest.mark.parametrize(
    "options", [{"flush_interval": -1}, {"flush_interval": "1"}, {"flush_interval": True}, {"flush_interval": float("nan")}]
)
def test_an_interval_that_is_none_is_refused(connection: Connection, options: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="flush_interval="):
        run(_connect(connection, **options))


async def _connect(connection: Connection, **options: Any) -> None:
    await (await connect_iscp(connection, **options)).close()


def test_a_marker_interval_of_nothing_is_refused(connection: Connection, me: Edge) -> None:
    async def test() -> None:
        async with await connect_iscp(connection) as conn:
            with pytest.raises(UsageError, match="marker_interval=0"):
                await conn.open_upstream(UpstreamSpec(me.uuid), 0)

    run(test())


def test_a_unit_over_a_mebibyte_passes_whole(connection: Connection, me: Edge, measurement: Measurement) -> None:
    key_frame = DataPoint(pd.Timedelta(1), DataType.h264, 1, b"\x00" + bytes(range(256)) * 8192)
    came: list[DataPoint] = []

    async def test() -> None:
        arrived = asyncio.Event()

        def on_msg(point: DataPoint) -> None:
            came.append(point)
            arrived.set()

        async with await connect_iscp(connection) as conn:
            await conn.open_downstream(DownstreamSpec(me.uuid, [DataFilter(DataType.h264, 1)]), on_msg)
            upstream = await conn.open_upstream(UpstreamSpec(me.uuid, store=True, measurement_uuid=measurement.uuid))
            await upstream.write(key_frame)
            await arrived.wait()

    run(test())
    assert [row_of(point) for point in came] == [row_of(key_frame)]
    assert stored(connection, measurement) == [row_of(key_frame)]
