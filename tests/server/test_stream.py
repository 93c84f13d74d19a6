"""Streams over a real socket: what was acknowledged is there, who listens gets it, and who breaks the rules harms nobody else."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from websockets.exceptions import ConnectionClosed

from intdash_frames.codecs.units import write_units
from intdash_frames.model import DataType
from intdash_frames.protocol.elements import (
    DataFilter,
    DownstreamFilter,
    DownstreamFilterRequest,
    DownstreamSpec,
    DownstreamSpecRequest,
    EOSMarker,
    ResultCode,
    SectionAck,
    SOSMarker,
    Unit,
    UpstreamSpec,
)
from intdash_frames.protocol.framing import read_elements, write_elements
from intdash_frames.protocol.wire import NULL_UUID
from intdash_frames.server import catalogue
from intdash_frames.server.app import Server, serve
from intdash_frames.server.parcels import REFERENCE_AGENT
from tests.server.conftest import Caller
from tests.server.samples import Row, can_row, int_row, points_of
from tests.server.streaming import eventually, opened, ordered, run

NOWHERE = "99999999-9999-9999-9999-999999999999"
INTS = [DataFilter(1, 12)]


@pytest.fixture(autouse=True)
def _alone(server: Server) -> Iterator[None]:
    """No stream of another test is left."""
    yield
    eventually(lambda: server.streams() == [], server)


def basetime_row(seconds: int) -> Row:
    return 0, 135, 1, "basetime", b"\2" + seconds.to_bytes(4, "little") + bytes(4)


# --- up ---


def test_a_section_that_was_acknowledged_is_there(server: Server, call: Caller) -> None:
    uuid = call.create()

    async def test() -> None:
        async with opened(server) as peer:
            up = await peer.upstream(call.edge_uuid, uuid)
            for n in range(3):
                await peer.write(up, [int_row(n), can_row(n, 7)], end=True)
                assert await peer.acked(n + 1) == [True] * (n + 1)
                assert len(call.rows(uuid)) == 2 * (n + 1)
            assert [ack.serial_number for ack in peer.acks] == [0, 1, 2]
            assert not call.json(f"/api/v1/measurements/{uuid}")["ended"]
            await peer.write(up, [int_row(9)], final=True)
            await peer.acked(4)
            assert call.json(f"/api/v1/measurements/{uuid}")["ended"]

    run(test)
    assert call.rows(uuid) == [row for n in range(3) for row in (int_row(n), can_row(n, 7))] + [int_row(9)]


def test_what_was_acknowledged_is_in_the_file_whatever_happens_next(tmp_path: Path) -> None:
    async def test() -> None:
        with serve(tmp_path / "a.duckdb") as server:
            call = Caller(server.url)
            uuid = call.create()
            async with opened(server) as peer:
                up = await peer.upstream(call.edge_uuid, uuid)
                await peer.write(up, [int_row(1)], end=True)
                await peer.acked()
                await peer.write(up, [int_row(2)])
                await asyncio.to_thread(server.close)
                assert await peer.closed() == (1001, "the server is closing")
            call.session.close()
        with serve(tmp_path / "a.duckdb") as server:
            call = Caller(server.url)
            assert call.rows(uuid) == [int_row(1), int_row(2)]
            call.session.close()

    run(test)


def test_a_section_is_kept_whole_though_it_is_large(server: Server, call: Caller) -> None:
    uuid = call.create()
    rows = [(n, 9, 1, "jpeg", bytes([n]) * 2**22) for n in range(5)]

    async def test() -> None:
        async with opened(server) as peer:
            up, down = await peer.upstream(call.edge_uuid, uuid), await peer.downstream(call.edge_uuid, [DataFilter(1, 9)])
            for row in rows:
                await peer.write(up, [row])
            peer.session.end_section(up)
            await peer.send()
            assert await peer.acked() == [True]
            assert await peer.received(down, 5) == rows

    run(test)
    assert call.rows(uuid) == rows


def test_points_come_without_a_section_and_a_section_ends_without_a_start(server: Server, call: Caller) -> None:
    uuid = call.create()

    async def test() -> None:
        async with opened(server) as peer:
            up = await peer.upstream(call.edge_uuid, uuid)
            units = bytes(write_units(points_of([int_row(1)]), up))
            await peer.socket.send(units + units)
            await peer.socket.send(write_elements([EOSMarker(up, 65536)]))
            message = await peer.socket.recv()
            assert isinstance(message, bytes)
            assert read_elements(message).elements == (SectionAck(up, ResultCode.OK, 65536),)

    run(test)
    assert call.rows(uuid) == [int_row(1)] * 2


@pytest.mark.parametrize("way", ["close request", "closed socket", "cut socket", "broken rule"])
def test_what_came_of_an_open_section_is_kept(server: Server, call: Caller, way: str) -> None:
    uuid = call.create()

    async def test() -> None:
        async with opened(server) as watcher, opened(server) as peer:
            down = await watcher.downstream(call.edge_uuid, INTS)
            up = await peer.upstream(call.edge_uuid, uuid)
            await peer.write(up, [int_row(1)])
            await watcher.received(down, 1)
            if way == "close request":
                peer.session.streams[up].in_section = False  # so that the session sends no end of the section
                peer.session.close(up)
                assert (await peer.answered()).ok
                assert call.rows(uuid) == [int_row(1)]
            elif way == "closed socket":
                await peer.socket.close()
            elif way == "cut socket":
                peer.socket.transport.abort()
            else:
                await peer.socket.send(b"\0")
            assert peer.acks == []

    run(test)
    eventually(lambda: call.rows(uuid) == [int_row(1)], server)


def test_streams_for_what_is_not_there_are_refused(server: Server, call: Caller) -> None:
    uuid, edge = call.create(), call.edge_uuid
    refused = [
        UpstreamSpec(0, uuid, NOWHERE, store=True),
        UpstreamSpec(0, NOWHERE, edge, store=True),
        UpstreamSpec(0, NULL_UUID, edge, store=True),
        UpstreamSpec(0, NULL_UUID, NOWHERE),
    ]

    async def test() -> None:
        async with opened(server) as peer:
            for spec in refused:
                peer.session.open_upstreams([spec])
                assert not (await peer.answered()).ok
            peer.session.open_downstreams([DownstreamSpec(0, NOWHERE, NULL_UUID)])
            assert not (await peer.answered()).ok
            # one of two makes the request fail, and neither is open
            request = peer.session.open_upstreams([UpstreamSpec(0, uuid, edge, store=True), refused[0]])
            assert not (await peer.answered()).ok
            units = write_units(points_of([int_row(1)]), request.specs[0].stream_id)
            await peer.socket.send(bytes(units))
            assert await peer.upstream(edge, uuid)
            assert server.streams()[-1].points == 0

    run(test)
    assert call.rows(uuid) == []


def test_a_measurement_can_be_asked_for(server: Server, call: Caller) -> None:
    async def test() -> None:
        async with opened(server) as peer:
            peer.session.ask_measurement(call.edge_uuid)
            answer = await peer.answered()
            assert answer.ok
            made = call.json(f"/api/v1/measurements/{answer.measurement_uuid}")
            assert (made["edge_uuid"], made["basetime_type"], made["ended"]) == (call.edge_uuid, "api_first_received", False)
            up = await peer.upstream(call.edge_uuid, answer.measurement_uuid)
            await peer.write(up, [int_row(1)], end=True)
            assert await peer.acked() == [True]
            peer.session.ask_measurement(NOWHERE)
            assert not (await peer.answered()).ok

    run(test)


def test_a_section_for_a_measurement_that_is_gone_is_answered_with_a_no(server: Server, call: Caller) -> None:
    uuid = call.create()

    async def test() -> None:
        async with opened(server) as peer:
            up = await peer.upstream(call.edge_uuid, uuid)
            call("DELETE", f"/api/v1/measurements/{uuid}")
            await peer.write(up, [int_row(1)], end=True)
            assert await peer.acked() == [False]

    run(test)


# --- down ---


def test_points_reach_everyone_who_asked_and_the_sender_too(server: Server, call: Caller, second: Caller) -> None:
    async def test() -> None:
        async with opened(server) as sender, opened(server, "other token") as reader:
            own = await sender.downstream(call.edge_uuid, [DataFilter(1, 1)])
            everything = await reader.downstream(call.edge_uuid, [DataFilter(1, 1), DataFilter(1, 12)])
            named = await reader.downstream(call.edge_uuid, [DataFilter(1, 12, ("a",))])
            await reader.downstream(second.edge_uuid, INTS)
            up = await sender.upstream(call.edge_uuid)  # nothing is stored
            rows = [can_row(1, 2), int_row(2, data_id="a"), int_row(3, data_id="b"), int_row(4, channel=2)]
            await sender.write(up, rows, end=True)
            assert await sender.acked() == [True]
            assert await sender.received(own, 1) == rows[:1]
            assert await reader.received(everything, 3) == rows[:3]
            assert await reader.received(named, 1) == rows[1:2]
            assert set(reader.rows) == {everything, named}

    run(test)


def test_the_token_of_one_edge_opens_streams_of_another(server: Server, call: Caller, second: Caller) -> None:
    async def test() -> None:
        async with opened(server) as peer:
            down = await peer.downstream(second.edge_uuid, INTS)
            up = await peer.upstream(second.edge_uuid)
            await peer.write(up, [int_row(1)])
            assert await peer.received(down, 1) == [int_row(1)]

    run(test)


def test_destinations_choose_who_gets_points(server: Server, call: Caller, second: Caller) -> None:
    async def test() -> None:
        async with opened(server) as sender, opened(server, "other token") as reader:
            mine = await sender.downstream(call.edge_uuid, INTS)
            addressed = await sender.downstream(call.edge_uuid, INTS, second.edge_uuid)
            theirs = await reader.downstream(call.edge_uuid, INTS)
            for_second = await sender.upstream(call.edge_uuid, dst_edge_uuids=(second.edge_uuid,))
            for_all = await sender.upstream(call.edge_uuid)
            await sender.write(for_second, [int_row(1)])
            await sender.write(for_all, [int_row(2)])
            assert await reader.received(theirs, 2) == [int_row(1), int_row(2)]
            assert await sender.received(addressed, 2) == [int_row(1), int_row(2)]
            assert await sender.received(mine, 1) == [int_row(2)]

    run(test)


def test_old_data_are_kept_and_not_relayed(server: Server, call: Caller) -> None:
    uuid = call.create()

    async def test() -> None:
        async with opened(server) as peer:
            down = await peer.downstream(call.edge_uuid, INTS)
            old = await peer.upstream(call.edge_uuid, uuid, resend=True)
            new = await peer.upstream(call.edge_uuid)
            await peer.write(old, [int_row(1)], end=True)
            await peer.acked()
            await peer.write(new, [int_row(2)])
            assert await peer.received(down, 1) == [int_row(2)]

    run(test)
    assert call.rows(uuid) == [int_row(1)]


def test_a_filter_may_come_before_its_downstream(server: Server, call: Caller) -> None:
    async def test() -> None:
        async with opened(server) as peer:
            up = await peer.upstream(call.edge_uuid)
            await peer.write(up, [basetime_row(5)])
            request = [
                DownstreamFilterRequest(90, (DownstreamFilter(9, tuple(INTS)),)),
                DownstreamSpecRequest(91, (DownstreamSpec(9, call.edge_uuid, NULL_UUID),)),
            ]
            await peer.socket.send(write_elements(request) + bytes(write_units(points_of([int_row(1)]), up)))
            found: list[object] = []
            while len(found) < 4:
                message = await peer.socket.recv()
                assert isinstance(message, bytes)
                found += read_elements(message).elements
            assert [type(each).__name__ for each in found[:2]] == ["DownstreamFilterResponse", "DownstreamSpecResponse"]
            units = [each for each in found if isinstance(each, Unit)]
            assert [(each.stream_id, bytes(each.payload)) for each in units] == [(9, basetime_row(5)[4]), (9, int_row(1)[4])]

    run(test)


def test_who_comes_late_is_told_the_base_time(server: Server, call: Caller) -> None:
    async def test() -> None:
        async with opened(server) as sender, opened(server, "other token") as late:
            up = await sender.upstream(call.edge_uuid)
            await sender.write(up, [basetime_row(5), int_row(1)], end=True)
            await sender.acked()
            down = await late.downstream(call.edge_uuid, INTS)
            await sender.write(up, [int_row(2)])
            assert await late.received(down, 2) == [basetime_row(5), int_row(2)]

    run(test)


def test_a_downstream_that_was_closed_gets_nothing_more(server: Server, call: Caller) -> None:
    async def test() -> None:
        async with opened(server) as peer:
            first, other = await peer.downstream(call.edge_uuid, INTS), await peer.downstream(call.edge_uuid, INTS)
            up = await peer.upstream(call.edge_uuid)
            peer.session.close(first)
            assert (await peer.answered()).ok
            # the vendor's SDK sends this too (protocol 5.8)
            await peer.socket.send(write_elements([DownstreamFilterRequest(200, (DownstreamFilter(first, ()),))]))
            message = await peer.socket.recv()
            assert message == bytes.fromhex("aa87c800")
            await peer.write(up, [int_row(1)])
            assert await peer.received(other, 1) == [int_row(1)]
            assert first not in peer.rows

    run(test)


def test_what_waits_for_a_downstream_is_dropped_when_it_is_closed(server: Server, call: Caller) -> None:
    async def test() -> None:
        async with opened(server) as sender, opened(server, max_queue=1) as reader:
            down = await reader.downstream(call.edge_uuid, [DataFilter(1, 9)])
            up = await sender.upstream(call.edge_uuid)
            for n in range(30):
                await sender.write(up, [(n, 9, 1, "jpeg", bytes(2**20))])
            sender.session.end_section(up)
            await sender.send()
            await sender.acked()
            reader.session.close(down)
            await reader.answered()
            so_far = len(reader.rows[down])
            assert so_far < 30
            await reader.downstream(call.edge_uuid, INTS)
            assert len(reader.rows[down]) == so_far

    run(test)


def test_upstreams_of_one_edge_keep_their_order_among_each_other(server: Server, call: Caller, second: Caller) -> None:
    async def test() -> None:
        async with opened(server) as peer:
            downs = [await peer.downstream(edge, INTS) for edge in (call.edge_uuid, second.edge_uuid)]
            one, two, other = [await peer.upstream(edge) for edge in (call.edge_uuid, call.edge_uuid, second.edge_uuid)]
            rows = [int_row(n) for n in range(9)]
            await peer.socket.send(ordered((one, rows[0::3]), (two, rows[1::3]), (other, rows[2::3])))
            assert await peer.received(downs[0], 6) == [rows[n] for n in (0, 1, 3, 4, 6, 7)]
            assert await peer.received(downs[1], 3) == rows[2::3]

    run(test)


def test_signals_are_converted_live(server: Server, call: Caller) -> None:
    definition = {
        "label": "live speed",
        "description": "",
        "data_type": 1,
        "data_id": "00000007",
        "channel": 1,
        "conversion": {
            "type": "num_fixed_point",
            "options": {"startbit": 0, "bitsize": 8, "endian": "little", "sign": "unsigned", "scale": 2.0, "offset": 1.0},
        },
        "display": {"unit": "", "min": 0, "max": 0, "format": ""},
    }
    assert call("POST", "/api/v1/signals", json=definition).ok

    async def test() -> None:
        async with opened(server) as peer:
            down = await peer.downstream(call.edge_uuid, [DataFilter(1, 11, ("live speed",))])
            up = await peer.upstream(call.edge_uuid)
            cut = (2, 1, 1, "00000007", b"\7\0\0\0\0")
            await peer.write(up, [can_row(1, 7), cut, can_row(3, 8), can_row(4, 7)])
            payload = bytes([10]) + b"live speed" + bytes.fromhex("0000000000507940")  # 0xca * 2 + 1 = 405
            assert await peer.received(down, 2) == [(n, 11, 1, "live speed", payload) for n in (1, 4)]
            assert [each.unconverted for each in server.streams() if each.direction == "down"] == [1]

    run(test)


def test_many_readers_get_everything_in_order(server: Server, call: Caller) -> None:
    rows = [int_row(n, n) for n in range(200)]

    async def test() -> None:
        async with contextlib.AsyncExitStack() as stack:
            readers = [await stack.enter_async_context(opened(server)) for _ in range(50)]
            downs = [await reader.downstream(call.edge_uuid, INTS) for reader in readers]
            sender = await stack.enter_async_context(opened(server))
            up = await sender.upstream(call.edge_uuid)
            for start in range(0, 200, 20):
                await sender.write(up, rows[start : start + 20])
            got = await asyncio.gather(*(reader.received(down, 200) for reader, down in zip(readers, downs, strict=True)))
            assert all(each == rows for each in got)

    run(test)


def test_a_slow_reader_misses_the_oldest_points_and_the_server_says_how_many(server: Server, call: Caller) -> None:
    rows = [(n, 9, 1, "jpeg", bytes([n]) * 2**20) for n in range(120)]

    async def test() -> None:
        async with opened(server) as sender, opened(server, max_queue=1) as reader:
            down = await reader.downstream(call.edge_uuid, [DataFilter(1, 9)])
            up = await sender.upstream(call.edge_uuid)
            for row in rows:
                await sender.write(up, [row])
            sender.session.end_section(up)
            await sender.send()
            await sender.acked()
            (report,) = [each for each in server.streams() if each.direction == "down"]
            assert report.dropped > 0
            got = await reader.received(down, len(rows) - report.dropped)
            assert got[-1] == rows[-1]
            assert [row[0] for row in got] == sorted({row[0] for row in got})
            (report,) = [each for each in server.streams() if each.direction == "down"]
            assert (report.points, report.dropped) == (len(got), len(rows) - len(got))

    run(test)


def test_the_vendor_is_not_sent_what_it_cannot_read(server: Server, call: Caller) -> None:
    cut: Row = (2, 12, 1, "x", b"\1x\0")

    async def test() -> None:
        agent = {"user_agent_header": f"{REFERENCE_AGENT}/v2.1.1 (3.11.7-final-0)"}
        async with opened(server, **agent) as vendor, opened(server) as other:
            downs = [await peer.downstream(call.edge_uuid, INTS) for peer in (vendor, other)]
            up = await other.upstream(call.edge_uuid)
            await other.write(up, [int_row(1), cut, int_row(3)])
            assert await other.received(downs[1], 3) == [int_row(1), cut, int_row(3)]
            assert await vendor.received(downs[0], 2) == [int_row(1), int_row(3)]
            assert sorted(each.withheld for each in server.streams() if each.direction == "down") == [0, 1]

    run(test)


def test_streams_are_reported_while_they_are_open(server: Server, call: Caller, second: Caller) -> None:
    async def test() -> None:
        async with opened(server, "other token") as peer:
            down, up = await peer.downstream(call.edge_uuid, INTS), await peer.upstream(call.edge_uuid)
            await peer.write(up, [int_row(n) for n in range(5)])
            await peer.received(down, 5)
            found = [(each.account, each.stream_id, each.direction, each.src_edge_uuid, each.points) for each in server.streams()]
            assert sorted(found) == sorted(
                [(second.edge_uuid, up, "up", call.edge_uuid, 5), (second.edge_uuid, down, "down", call.edge_uuid, 5)]
            )

    run(test)
    eventually(lambda: server.streams() == [], server)


# --- rules broken ---


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (b"\0", "expected 0xaa"),
        (b"\xaa\x90\x01", "upstream_spec_request"),
        (b"\xaa\x03\x01\x01\x0c\x00\x00", "unit at byte 0"),
        (write_elements([SectionAck(1, 0, 1)]), "only a server sends it"),
        ("text", "a text message of 4 characters"),
        (bytes.fromhex("aa0301010c") + bytes.fromhex("fffffffeffffff") + b"\0", "the longest is"),
    ],
)
def test_who_breaks_a_rule_is_told_and_sent_away_and_no_other_is(
    server: Server, call: Caller, caplog: pytest.LogCaptureFixture, message: bytes | str, reason: str
) -> None:
    async def test() -> None:
        async with opened(server) as other, opened(server) as peer:
            down = await other.downstream(call.edge_uuid, INTS)
            up = await peer.upstream(call.edge_uuid)
            await peer.write(up, [int_row(1)])
            await peer.socket.send(message)
            code, said = await peer.closed()
            assert (code, reason in (said or "")) == (1002, True), said
            again = await other.upstream(call.edge_uuid)
            await other.write(again, [int_row(2)])
            assert await other.received(down, 2) == [int_row(1), int_row(2)]

    with caplog.at_level(logging.WARNING, "intdash_frames.server"):
        run(test)
    assert "broke the protocol" in caplog.text
    assert reason in caplog.text


def test_an_unknown_element_costs_the_rest_of_its_message_only(
    server: Server, call: Caller, caplog: pytest.LogCaptureFixture
) -> None:
    async def test() -> None:
        async with opened(server) as peer:
            down, up = await peer.downstream(call.edge_uuid, INTS), await peer.upstream(call.edge_uuid)
            units = [bytes(write_units(points_of([int_row(n)]), up)) for n in range(3)]
            await peer.socket.send(units[0] + b"\xaa\x42" + units[1])
            await peer.socket.send(units[2])
            assert await peer.received(down, 2) == [int_row(0), int_row(2)]

    with caplog.at_level(logging.INFO, "intdash_frames.server"):
        run(test)
        eventually(lambda: "'rest of a message from an unknown element on': 1" in caplog.text, server)


def test_units_and_markers_of_streams_that_are_not_open_are_left_alone(server: Server, call: Caller) -> None:
    async def test() -> None:
        async with opened(server) as peer:
            down, up = await peer.downstream(call.edge_uuid, INTS), await peer.upstream(call.edge_uuid)
            stray = b"".join(bytes(write_units(points_of([int_row(9)]), n)) for n in (77, down))
            await peer.socket.send(stray + write_elements([SOSMarker(77, 0), EOSMarker(77, 0), EOSMarker(down, 0)]))
            await peer.write(up, [int_row(1)], end=True)
            assert await peer.received(down, 1) == [int_row(1)]
            assert await peer.acked() == [True]

    run(test)


elements = st.sampled_from(
    [
        b"",
        b"\xaa",
        b"\xaa\x42rest",
        write_elements([SOSMarker(1, 0)]),
        write_elements([EOSMarker(1, 0, final=True)]),
        write_elements([DownstreamSpecRequest(0, (DownstreamSpec(1, NOWHERE, NULL_UUID),))]),
        write_elements([DownstreamFilterRequest(0, (DownstreamFilter(1, tuple(INTS)), DownstreamFilter(2, ())))]),
        bytes(write_units(points_of([int_row(1)]), 1)),
        bytes(write_units(points_of([(1, 200, 1, "", b"")]), 2)),
    ]
)


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(messages=st.lists(st.lists(elements | st.binary(max_size=12), max_size=4).map(b"".join), max_size=4))
def test_junk_is_answered_or_ends_its_connection_for_a_broken_rule(server: Server, call: Caller, messages: list[bytes]) -> None:
    async def test() -> None:
        async with opened(server) as other, opened(server) as peer:
            down = await other.downstream(call.edge_uuid, INTS)
            await peer.upstream(call.edge_uuid)
            try:
                for message in messages:
                    await peer.socket.send(message)
                await peer.socket.send(b"\0")
                await peer.closed()
            except ConnectionClosed:
                pass
            assert peer.socket.close_code == 1002
            before = len(other.rows.get(down, ()))
            up = await other.upstream(call.edge_uuid)
            await other.write(up, [int_row(7, 7)])
            await other.until(lambda: int_row(7, 7) in other.rows.get(down, [])[before:])

    run(test)


def test_a_failure_of_the_server_is_told_and_logged(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("broken on purpose")

    async def test() -> None:
        with serve() as server:
            call = Caller(server.url)
            edge_uuid = call.edge_uuid
            call.session.close()
            async with opened(server) as peer:
                monkeypatch.setattr(catalogue, "edge", broken)
                peer.session.open_upstreams([UpstreamSpec(0, NULL_UUID, edge_uuid)])
                await peer.send()
                assert await peer.closed() == (1011, "the server failed; its log says why")

    run(test)
    assert "broken on purpose" in caplog.text


def test_a_point_of_any_type_goes_up_and_down(server: Server, call: Caller) -> None:
    uuid = call.create()
    types = [int(each) for each in DataType if each is not DataType.basetime] + [200]
    rows: list[Row] = [(n, data_type, 3, "", bytes(range(1, 40))) for n, data_type in enumerate(types)]

    async def test() -> None:
        async with opened(server) as peer:
            down = await peer.downstream(call.edge_uuid, [DataFilter(3, data_type) for data_type in types])
            up = await peer.upstream(call.edge_uuid, uuid)
            await peer.write(up, rows, end=True)
            assert await peer.acked() == [True]
            got = await peer.received(down, len(rows))
            assert [(row[0], row[1], row[2], row[4]) for row in got] == [(row[0], row[1], row[2], row[4]) for row in rows]

    run(test)
    assert [row[4] for row in call.rows(uuid)] == [row[4] for row in rows]
