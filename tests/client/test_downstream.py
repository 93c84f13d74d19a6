from __future__ import annotations

import asyncio
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from intdash_frames.client.downstream import PointObjects
from intdash_frames.codecs.points import Points
from intdash_frames.codecs.units import write_units
from intdash_frames.errors import ResultNGException, UsageError
from intdash_frames.model import NULL_UUID, DataFilter, DataPoint, DataType, DownstreamSpec
from intdash_frames.protocol import elements
from intdash_frames.protocol.elements import DownstreamFilterRequest, DownstreamSpecRequest
from tests.client.stream_peer import (
    EDGE,
    Peer,
    Row,
    columns,
    connected,
    downstream_spec,
    row,
    rows_of,
    run,
    string_point,
    upstream_spec,
)

ROWS = st.tuples(st.integers(0, 2**40), st.integers(0, 255), st.integers(0, 255), st.binary(max_size=12))


def row_of(point: DataPoint) -> Row:
    return point.elapsed_time.value, point.data_type, point.channel, point.data_payload


async def send(peer: Peer, rows: list[Row], stream_id: int = 1) -> None:
    await peer.socket.send(bytes(write_units(columns(rows), stream_id)))


@given(st.lists(ROWS))
def test_objects_are_the_points_of_the_columns(rows: list[Row]) -> None:
    objects = list(PointObjects(lambda _: None, str).objects(columns(rows)))
    assert [row_of(point) for point in objects] == rows
    assert all(isinstance(point.elapsed_time, pd.Timedelta) and type(point.data_payload) is bytes for point in objects)
    known = set(map(int, DataType))
    assert all(isinstance(point.data_type, DataType) == (point.data_type in known) for point in objects)


def test_objects_of_columns_with_other_keys_are_not_mixed_up() -> None:
    objects = PointObjects(lambda _: None, str)
    for rows in ([(1, 1, 1, b"a")], [(2, 10, 2, b"\x00b"), (3, 1, 1, b"c")]):
        assert [row_of(point) for point in objects.objects(columns(rows))] == rows


def test_columns_come_as_they_were_sent_message_by_message() -> None:
    seen: list[list[Row]] = []

    async def test() -> None:
        async with connected() as (connection, peer):
            stream = await connection.open_downstream(downstream_spec(), on_points=lambda points: seen.append(rows_of(points)))
            await send(peer, [row(1), row(2)])
            await send(peer, [row(3)])
            await peer.socket.send(b"")
            while stream.points < 3:
                await asyncio.sleep(0)
            await stream.close()

    run(test())
    assert seen == [[row(1), row(2)], [row(3)]]


@pytest.mark.parametrize("is_coroutine", [False, True])
def test_points_come_as_objects_in_order_each_after_the_one_before_is_done(is_coroutine: bool) -> None:
    seen: list[Row] = []
    running: list[int] = []

    def plain(point: DataPoint) -> None:
        seen.append(row_of(point))

    async def coroutine(point: DataPoint) -> None:
        running.append(1)
        assert len(running) == 1
        await asyncio.sleep(0)
        plain(point)
        running.pop()

    async def test() -> None:
        async with connected() as (connection, peer):
            on_msg: Any = coroutine if is_coroutine else plain
            async with await connection.open_downstream(downstream_spec(), on_msg=on_msg) as stream:
                await send(peer, [row(number) for number in range(5)])
                while stream.points < 5:
                    await asyncio.sleep(0)

    run(test())
    assert seen == [row(number) for number in range(5)]


def test_what_came_before_closing_is_still_handed_over_and_nothing_after() -> None:
    seen: list[Row] = []

    async def slow(point: DataPoint) -> None:
        await asyncio.sleep(0)
        seen.append(row_of(point))

    async def test() -> None:
        async with connected() as (connection, peer):
            peer.answers = True
            stream = await connection.open_downstream(downstream_spec(), on_msg=slow)
            await send(peer, [row(number) for number in range(20)])
            while stream.points < 20:
                await asyncio.sleep(0)
            await stream.close()
            assert len(seen) == 20
            assert stream.is_closed
            await send(peer, [row(99)])
            other = await connection.open_downstream(downstream_spec(), on_msg=slow)
            assert connection.session.skipped == {"units of stream 1, which is no open downstream": 1}
            await other.close()
            await stream.close()

    run(test())
    assert len(seen) == 20


@pytest.mark.parametrize("kind", ["on_msg", "on_points"])
def test_a_callback_that_raises_is_logged_with_its_stream_and_the_next_is_called(
    caplog: pytest.LogCaptureFixture, kind: str
) -> None:
    seen: list[Any] = []

    def broken(given: Any) -> None:
        seen.append(given)
        raise KeyError("broken callback")

    async def test() -> None:
        async with connected() as (connection, peer):
            options: Any = {kind: broken}
            async with await connection.open_downstream(downstream_spec(), **options) as stream:
                await send(peer, [row(1), row(2)])
                await send(peer, [row(3), row(4)])
                while stream.points < 4:
                    await asyncio.sleep(0)

    run(test())
    assert len(seen) == (4 if kind == "on_msg" else 2)
    assert caplog.text.count(f"the callback of Downstream(1, edge {EDGE}) raised") == len(seen)


def test_everything_else_has_its_turn_while_a_function_is_called_many_times() -> None:
    turns: list[int] = []

    async def test() -> None:
        async with connected() as (connection, peer):
            others = 0
            stream = await connection.open_downstream(downstream_spec(), on_msg=lambda _: turns.append(others))
            await send(peer, [row(number) for number in range(5000)])
            while len(turns) < 5000:
                others += 1
                await asyncio.sleep(0)
            await stream.close()

    run(test())
    assert len(set(turns)) > 2


def test_a_callback_may_close_its_own_stream() -> None:
    seen: list[Row] = []

    async def test() -> None:
        async with connected() as (connection, peer):

            async def once(point: DataPoint) -> None:
                seen.append(row_of(point))
                await stream.close()

            stream = await connection.open_downstream(downstream_spec(), on_msg=once)
            await send(peer, [row(1)])
            await peer.until(lambda peer: not peer.session.streams and peer.asked[1:])
            await send(peer, [row(2)])

    run(test())
    assert seen == [row(1)]


def test_a_callback_may_write_to_an_upstream_and_open_another_stream() -> None:
    async def test() -> None:
        async with connected() as (connection, peer):
            peer.echoes = False
            upstream = await connection.open_upstream(upstream_spec())

            async def answer(point: DataPoint) -> None:
                await upstream.write(point)
                await (await connection.open_upstream(upstream_spec())).close()

            downstream = await connection.open_downstream(downstream_spec(), on_msg=answer)
            await send(peer, [row(1), row(2)], downstream.stream_id)
            await peer.until(lambda peer: len(peer.rows) == 2)
            await connection.close()
            assert peer.sections[0] == [row(1), row(2)]

    run(test())


def test_a_slow_callback_holds_up_reading_when_much_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("intdash_frames.client.delivery.MOST_WAITING_BYTES", 100)
    gate = asyncio.Event()
    seen: list[int] = []

    async def slow(points: Points) -> None:
        await gate.wait()
        seen.append(len(points))

    async def test() -> None:
        async with connected(capacity=1) as (connection, peer):
            stream = await connection.open_downstream(downstream_spec(), on_points=slow)
            sending = asyncio.ensure_future(_send_many(peer, 20))
            for _ in range(200):
                await asyncio.sleep(0)
            assert not sending.done()
            gate.set()
            await sending
            while stream.points < 20:
                await asyncio.sleep(0)
            await stream.close()

    run(test())
    assert sum(seen) == 20


async def _send_many(peer: Peer, count: int) -> None:
    for number in range(count):
        await send(peer, [(number, 14, 1, bytes(60))])


def test_opening_asks_for_the_edge_then_for_the_filters_and_closing_for_null_uuids() -> None:
    spec = DownstreamSpec(
        EDGE,
        [
            DataFilter(DataType.can, 1, "00000001"),
            DataFilter("can", 1, "00000002"),
            DataFilter(DataType.nmea, 2, "GPRMC"),
            DataFilter(DataType.general_sensor, 3, "0001"),
            DataFilter(DataType.float, 4, "label"),
            DataFilter(DataType.jpeg, 5),
        ],
        dst_edge_uuid=EDGE,
    )

    async def test() -> None:
        async with connected() as (connection, peer):
            async with await connection.open_downstream(spec, on_points=lambda _: None) as stream:
                assert peer.session.streams[stream.stream_id].data_filters == stream.wire_filters
            opened, filters, closed = peer.asked
            assert opened == DownstreamSpecRequest(0, (elements.DownstreamSpec(1, EDGE, EDGE),))
            assert isinstance(filters, DownstreamFilterRequest)
            assert [(each.data_type, each.channel, len(each.rules or ())) for each in filters.filters[0].data_filters] == [
                (1, 1, 2),
                (2, 2, 1),
                (3, 3, 1),
                (11, 4, 1),
                (9, 5, 0),
            ]
            assert closed == DownstreamSpecRequest(2, (elements.DownstreamSpec(1, NULL_UUID, NULL_UUID),))

    run(test())


def test_refused_filters_close_the_stream_and_raise_with_the_spec() -> None:
    async def test() -> None:
        async with connected() as (connection, peer):
            peer.refuses = DownstreamFilterRequest
            with pytest.raises(ResultNGException) as caught:
                await connection.open_downstream(downstream_spec(), on_points=lambda _: None)
            assert caught.value.request == downstream_spec()
            await peer.until(lambda peer: not peer.session.streams)

    run(test())


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        (DownstreamSpec("x", []), "'x' is no UUID"),
        (DownstreamSpec(NULL_UUID, []), "src_edge_uuid is the null uuid"),
        (DownstreamSpec(EDGE, [], "x"), "'x' is no UUID"),
        (DownstreamSpec(EDGE, [DataFilter("can", 1, "xyz")]), "data_id='xyz' is no id of can"),
        (DownstreamSpec(EDGE, None), "filters is NoneType"),  # type: ignore[arg-type]
        (EDGE, "spec is str, expected DownstreamSpec"),
    ],
)
def test_a_spec_that_cannot_work_is_refused_before_anything_is_sent(spec: Any, said: str) -> None:
    async def test() -> None:
        async with connected() as (connection, peer):
            with pytest.raises(UsageError, match=said):
                await connection.open_downstream(spec, on_points=lambda _: None)
            assert peer.asked == []

    run(test())


def test_one_kind_of_callback_is_wanted() -> None:
    async def test() -> None:
        async with connected() as (connection, _):
            for options in ({}, {"on_points": print, "on_msg": print}):
                with pytest.raises(UsageError, match="on_points= or on_msg="):
                    await connection.open_downstream(downstream_spec(), **options)

    run(test())


def test_what_one_sends_comes_back_on_the_same_connection() -> None:
    seen: list[Row] = []

    async def test() -> None:
        async with connected() as (connection, _):
            await connection.open_downstream(downstream_spec(), on_msg=lambda point: seen.append(row_of(point)))
            upstream = await connection.open_upstream(upstream_spec())
            for number in range(3):
                await upstream.write(string_point(number))
            await connection.close()

    run(test())
    assert seen == [row(number) for number in range(3)]
