"""Streams between the vendor's SDK and ours through our server: one side writes, the other reads, and the server keeps it.

The SDK's older client (`connect_websocket`) loses an element or two at each flush when it writes, also on a sound connection
(protocol 5.9): of what it sends these tests expect a part in order. Its reading is complete, and so is all of `connect_iscp`.
"""

from __future__ import annotations

import asyncio
import queue
import random
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from typing import Any

import pytest
import requests

import intdash_frames as idf
from intdash_frames import DataType
from intdash_frames.server.app import serve
from tests.interop.conftest import Reference, ReferenceFailed
from tests.interop.rows import BASETIME, BASETIME_NS, Recording, Row, as_data_points, random_objects, read_stored
from tests.interop.streaming import (
    MARKER_INTERVAL_S,
    NOBODY,
    SECOND,
    WAIT_S,
    Arrivals,
    Point,
    basetime_point,
    beside,
    downstream_spec,
    filters_of,
    has_filter,
    in_microseconds,
    new,
    new_name,
    open_reference_upstream,
    our_units,
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


@pytest.fixture(scope="module")
def recording(reference: Reference) -> Recording:
    """Random points of every class, in nanoseconds."""
    rng = random.Random(20200709)
    objects = [item for turn in range(12) for item in random_objects(rng, turn)]
    rng.shuffle(objects)
    return recording_of(reference, objects, step_ns=1_234_567_891)


# --- the reference writes, we read ---


@pytest.mark.parametrize("callback", ["a function", "a coroutine function"])
def test_what_the_reference_writes_we_read_and_the_server_keeps(
    reference: Reference, client: idf.Client, edge: str, measurement_uuid: str, recording: Recording, callback: str
) -> None:
    # Its writer stumbles over negative integers and cuts times to microseconds.
    rows = [row for row in recording.rows if not row.is_negative_int]
    expected = in_microseconds(rows)
    came, acks = Arrivals(), new_name()

    async def on_msg(point: idf.DataPoint) -> None:
        came.data_point(point)

    async def scenario() -> None:
        spec = downstream_spec(edge, [(kind, channel, None) for kind in {row.data_type for row in rows} for channel in (1, 2)])
        async with (
            await client.connect_iscp() as conn,
            await conn.open_downstream(spec=spec, on_msg=on_msg if callback == "a coroutine function" else came.data_point),
        ):
            theirs = await beside(reference.keep, "connect_iscp")
            up = await beside(
                open_reference_upstream,
                theirs,
                reference_upstream_spec(edge, measurement_uuid),
                on_ack={"$gather": acks},
            )
            serials = await beside(write_as_reference, up, rows)
            assert serials == sorted(serials)
            acknowledged = await beside(reference.gathered, acks, serials[-1] + 1)
            assert acknowledged == [[serial, 0] for serial in range(serials[-1] + 1)]
            assert await beside(came.take, len(rows)) == points(expected)
            await beside(up.call, "close")
            await beside(theirs.call, "close")
        assert came.nothing_left

    run(scenario())
    assert points(read_stored(client, measurement_uuid)) == points(expected)


def test_every_section_of_the_reference_is_acknowledged_in_its_order(
    reference: Reference, client: idf.Client, edge: str, measurement_uuid: str
) -> None:
    acks = new_name()
    conn = reference.keep("connect_iscp")
    up = open_reference_upstream(
        conn,
        reference_upstream_spec(edge, measurement_uuid),
        on_ack={"$gather": acks},
    )
    rows = recording_of(reference, [new("data.Int", data_id="n", value=i) for i in range(5)], step_ns=SECOND).rows
    for i, row in enumerate(rows):
        assert write_as_reference(up, [row]) == [i]
        assert reference.gathered(acks, i + 1) == [[serial, 0] for serial in range(i + 1)]
        assert read_stored(client, measurement_uuid) == rows[: i + 1]
    up.call("close")
    conn.call("close")


def test_what_the_reference_writes_our_older_face_reads(
    reference: Reference, client: idf.Client, edge: str, measurement_uuid: str, recording: Recording
) -> None:
    rows = in_microseconds([row for row in recording.rows if not row.is_negative_int])
    came = Arrivals()
    spec = downstream_spec(edge, [(kind, channel, None) for kind in {row.data_type for row in rows} for channel in (1, 2)])
    theirs = reference.keep("connect_iscp")
    up = open_reference_upstream(theirs, reference_upstream_spec(edge, measurement_uuid))
    # The base time, which a new downstream gets once its filter is set, says that it is: opening it does not wait.
    write_as_reference(up, [Row(BASETIME_NS, 0, BASETIME, None, basetime_point().data_payload)])
    with client.connect_websocket() as conn:
        conn.open_downstreams(specs=[spec], callbacks=[came.unit])
        assert [point.data_type for point in came.take(1)] == [BASETIME]
        write_as_reference(up, rows)
        assert came.take(len(rows)) == points(rows)
        up.call("close")
        theirs.call("close")
    assert came.nothing_left


def test_of_what_the_older_reference_writes_a_part_in_order_arrives_and_is_kept(
    reference: Reference, client: idf.Client, edge: str, measurement_uuid: str
) -> None:
    count, sentinel = 1_500, 9
    objects = [new("data.Int", data_id="n", value=i) for i in range(count)]
    rows = recording_of(reference, objects, step_ns=1_000_003).rows
    # Some of these will come, whichever are lost; the first that does says that all before it has.
    ends = [
        row._replace(time_ns=row.time_ns + rows[-1].elapsed_ns, channel=sentinel)
        for row in recording_of(reference, [new("data.Int", data_id="end", value=0)] * 50, step_ns=SECOND).rows
    ]
    units = [
        new("Unit", elapsed_time={"$duration": row.elapsed_ns}, channel=row.channel, data=made)
        for row, made in zip(rows + ends, objects + [new("data.Int", data_id="end", value=0)] * len(ends), strict=True)
    ]
    came = Arrivals()

    async def scenario() -> list[Point]:
        spec = downstream_spec(edge, [(DataType.int, channel, None) for channel in (1, 2, sentinel)])
        async with await client.connect_iscp() as conn, await conn.open_downstream(spec=spec, on_msg=came.data_point):
            theirs = await beside(reference.keep, "connect_websocket")
            await beside(
                theirs.call,
                "open_upstreams",
                specs=[reference_upstream_spec(edge, measurement_uuid)],
                iterators=[{"$iter": units}],
                marker_interval=MARKER_INTERVAL_S,
            )
            arrived = await beside(came.take_until, lambda point: point.channel == sentinel)
            await beside(theirs.call, "close")
            return arrived[:-1]

    async def limited() -> list[Point]:
        async with asyncio.timeout(2 * WAIT_S):
            return await scenario()

    arrived, sent = asyncio.run(limited()), points(rows)
    assert is_part_in_order(arrived, sent)
    assert len(arrived) > 0.9 * count
    stored = [row for row in stored_once_closed(client, measurement_uuid, len(arrived)) if row.channel != sentinel]
    assert points(stored) == arrived


def is_part_in_order(part: list[Point], whole: list[Point]) -> bool:
    remaining = iter(whole)
    return all(point in remaining for point in part)


# --- we write, the reference reads ---


def readable(rows: list[Row]) -> list[Row]:
    """What the SDK can ask for by filters and reads to the end: an empty body is lost to it, and only that one unit."""
    return [row for row in rows if has_filter(row) and not row.has_empty_body]


def test_what_we_write_the_reference_reads_and_the_server_keeps(
    reference: Reference, client: idf.Client, edge: str, measurement_uuid: str, recording: Recording
) -> None:
    rows = [row for row in recording.rows if has_filter(row)]
    expected = points(readable(rows))
    acks, got = Arrivals(), new_name()
    theirs = reference.keep("connect_iscp")
    down = theirs.keep(
        "open_downstream",
        spec=reference_downstream_spec(edge, filters_of(rows)),
        on_msg={"$gather": got},
    )

    async def scenario() -> None:
        async with await client.connect_iscp() as conn:
            up = await conn.open_upstream(
                spec=upstream_spec(edge, measurement_uuid), marker_interval=MARKER_INTERVAL_S, on_ack=acks.ack
            )
            for point in as_data_points(rows):
                await up.write(datapoint=point)
            sections = [await beside(acks.take, 1)]
            # A section is still open when the stream is closed: its acknowledgement comes all the same.
            extra = Row(rows[-1].time_ns + SECOND, 1, *rows[0][2:])
            last = await up.write(datapoint=as_data_points([extra])[0])
            await up.close()
            sections += [await beside(acks.take, 1) for _ in range(last)]
            assert sections == [[(serial, 0)] for serial in range(last + 1)]
            assert acks.nothing_left
            assert points(await beside(read_stored, client, measurement_uuid)) == points([*rows, extra])

    run(scenario())
    assert reference_points(reference.gathered(got, len(expected)))[: len(expected)] == expected
    down.call("close")
    theirs.call("close")


@pytest.mark.parametrize("method", ["connect_iscp", "connect_websocket"])
def test_what_our_older_face_writes_both_clients_of_the_reference_read(
    reference: Reference, client: idf.Client, edge: str, measurement_uuid: str, recording: Recording, method: str
) -> None:
    rows = [row for row in recording.rows if has_filter(row)]
    expected = points(readable(rows))
    got = new_name()
    spec = reference_downstream_spec(edge, filters_of(rows))
    go_on = queue.SimpleQueue[None]()

    def units() -> Iterable[idf.Unit]:
        start = basetime_point()
        yield idf.Unit(start.elapsed_time, start.channel, idf.data.Basetime.from_payload(start.data_payload))
        go_on.get(timeout=WAIT_S)
        yield from our_units(rows)

    theirs = reference.keep(method)
    with client.connect_websocket() as conn:
        conn.open_upstreams(specs=[upstream_spec(edge, measurement_uuid)], iterators=[iter(units())])
        if method == "connect_iscp":
            theirs.keep("open_downstream", spec=spec, on_msg={"$gather": got})
        else:
            theirs.call("open_downstreams", specs=[spec], callbacks=[{"$gather": got}])
        # Nothing else says when its downstream carries something.
        assert [point.data_type for point in reference_points(reference.gathered(got, 1))] == [BASETIME]
        go_on.put(None)
        assert reference_points(reference.gathered(got, 1 + len(expected)))[1:] == expected
        theirs.call("close")
    assert points(read_stored(client, measurement_uuid))[1:] == points(rows)


# --- who may, and how it ends ---


def test_a_stream_of_an_edge_that_is_not_there_is_refused_to_both(
    reference: Reference, client: idf.Client, measurement_uuid: str
) -> None:
    conn = reference.keep("connect_iscp")
    with pytest.raises(ReferenceFailed, match="ResultNGException"):
        open_reference_upstream(conn, reference_upstream_spec(NOBODY, measurement_uuid))
    with pytest.raises(ReferenceFailed, match="ResultNGException"):
        conn.keep("open_downstream", spec=reference_downstream_spec(NOBODY, [(DataType.int, 1, "n")]))

    async def scenario() -> None:
        async with await client.connect_iscp() as ours:
            with pytest.raises(idf.ResultNGException, match=NOBODY):
                await ours.open_upstream(spec=upstream_spec(NOBODY, measurement_uuid))
            with pytest.raises(idf.ResultNGException, match=NOBODY):
                await ours.open_downstream(spec=downstream_spec(NOBODY, [(DataType.int, 1, "n")]), on_msg=print)

    run(scenario())


def test_a_stream_into_a_measurement_that_is_not_there_is_refused_to_both(
    reference: Reference, client: idf.Client, edge: str
) -> None:
    conn = reference.keep("connect_iscp")
    for measurement_uuid in (NOBODY, "00000000-0000-0000-0000-000000000000"):
        with pytest.raises(ReferenceFailed, match="ResultNGException"):
            open_reference_upstream(conn, reference_upstream_spec(edge, measurement_uuid))

    async def scenario() -> None:
        async with await client.connect_iscp() as ours:
            with pytest.raises(idf.ResultNGException):
                await ours.open_upstream(spec=upstream_spec(edge, NOBODY))

    run(scenario())


def test_a_wrong_token_is_refused_before_the_connection_is_made(server: Any, start_reference: Callable[..., Reference]) -> None:
    stranger = start_reference(url=server.url, edge_token="guess")
    with pytest.raises(ReferenceFailed, match="401"):
        stranger.keep("connect_iscp")

    async def scenario() -> None:
        with idf.Client(server.url, "guess") as ours, pytest.raises(idf.Unauthorized):
            await ours.connect_iscp()

    run(scenario())


def test_a_user_streams_with_a_login_and_with_a_token_source(
    server: Any, start_reference: Callable[..., Reference], client: idf.Client, edge: str
) -> None:
    answer = requests.post(f"{server.url}/api/v1/authn", json={"username": "someone", "password": "password"}, timeout=WAIT_S)
    token = answer.json()["token"]
    someone = start_reference(url=server.url, username="someone", password="password")
    for credentials in ({}, {"token_source": new("StaticTokenSource", token=token)}):
        conn = someone.keep("connect_iscp", **credentials)
        open_reference_upstream(conn, new("UpstreamSpec", src_edge_uuid=edge))
        conn.call("close")

    async def scenario() -> None:
        async with await client.connect_iscp(token_source=idf.StaticTokenSource(token)) as ours:
            await ours.open_upstream(spec=idf.UpstreamSpec(src_edge_uuid=edge))

    run(scenario())


def test_a_url_with_a_prefix_reaches_the_streams(server: Any, start_reference: Callable[..., Reference], edge: str) -> None:
    prefixed = start_reference(url=f"{server.url}/some/prefix", edge_token="token")
    prefixed.keep("connect_iscp").keep("open_upstream", spec=new("UpstreamSpec", src_edge_uuid=edge))

    async def scenario() -> None:
        with idf.Client(f"{server.url}/some/prefix", "token") as ours:
            async with await ours.connect_iscp() as conn:
                await conn.open_upstream(spec=idf.UpstreamSpec(src_edge_uuid=edge))

    run(scenario())


def test_a_server_that_goes_away_closes_the_connections_of_both(start_reference: Callable[..., Reference]) -> None:
    with ExitStack() as running:
        server = running.enter_context(serve(edges={"demo": "token"}))
        ours = running.enter_context(idf.Client(server.url, "token"))
        theirs = start_reference(url=server.url, edge_token="token")
        edge = ours.edges.me().uuid
        up = open_reference_upstream(theirs.keep("connect_iscp"), new("UpstreamSpec", src_edge_uuid=edge))
        closed = Arrivals()

        async def on_close() -> None:
            closed.ack(0, 0)

        async def scenario() -> None:
            conn = await ours.connect_iscp(on_close=on_close)
            our_up = await conn.open_upstream(spec=idf.UpstreamSpec(src_edge_uuid=edge))
            await beside(server.close)
            await beside(closed.take, 1)
            with pytest.raises(idf.ISCPConnClosedException):
                await our_up.write(datapoint=basetime_point())
            await conn.close()
            assert closed.nothing_left

        run(scenario())
        # It never calls its own `on_close` then: it waits for its reading to end while it is reading. Writing tells.
        rows = [Row(BASETIME_NS, 1, DataType.int, "n", idf.data.Int("n", 1).to_payload())] * 10_000
        with pytest.raises(ReferenceFailed, match="ISCPConnClosedException"):
            write_as_reference(up, rows)


def test_a_connection_that_is_closed_says_so_once_to_both(reference: Reference, client: idf.Client, edge: str) -> None:
    closed, came = new_name(), Arrivals()
    theirs = reference.keep("connect_iscp", on_close={"$gather": closed})
    up = open_reference_upstream(theirs, new("UpstreamSpec", src_edge_uuid=edge))
    theirs.call("close")
    assert reference.gathered(closed, 1) == [[]]
    with pytest.raises(ReferenceFailed, match="ISCPConnClosedException"):
        write_as_reference(up, [Row(BASETIME_NS, 1, DataType.int, "n", idf.data.Int("n", 1).to_payload())])

    async def scenario() -> None:
        conn = await client.connect_iscp(on_close=lambda: came.ack(0, 0))
        our_up = await conn.open_upstream(spec=idf.UpstreamSpec(src_edge_uuid=edge))
        await conn.close()
        assert came.take(1) == [(0, 0)]
        with pytest.raises(idf.ISCPConnClosedException):
            await our_up.write(datapoint=basetime_point())

    run(scenario())
    assert came.nothing_left
