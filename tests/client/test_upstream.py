from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from intdash_frames.client import upstream as module
from intdash_frames.client.upstream import Upstream
from intdash_frames.codecs.points import Points
from intdash_frames.errors import (
    ISCPConnClosedException,
    LocalProtocolError,
    PayloadError,
    ResultNGException,
    TimedOut,
    UsageError,
)
from intdash_frames.model import NULL_UUID, DataType, UpstreamSpec
from intdash_frames.protocol.elements import ResultCode, UpstreamSpecRequest
from tests.client.stream_peer import EDGE, MEASUREMENT, Row, columns, connected, row, rows_of, run, string_point, upstream_spec

ROWS = st.tuples(st.integers(0, 2**40), st.sampled_from([1, 10, 99, 135]), st.integers(0, 255), st.binary(max_size=12))


@settings(deadline=None, max_examples=30)
@given(st.lists(st.one_of(ROWS, st.lists(ROWS, max_size=5), st.just("end"))))
def test_everything_written_arrives_in_order_however_it_was_written(writes: list[Any]) -> None:
    wanted: list[Row] = []

    async def test() -> None:
        async with connected() as (connection, peer):
            stream = await connection.open_upstream(upstream_spec())
            for each in writes:
                if each == "end":
                    stream.end_section()
                elif isinstance(each, list):
                    await stream.write_points(columns(each))
                    wanted.extend(each)
                else:
                    elapsed_ns, data_type, channel, payload = each
                    await stream.write_parts(pd.Timedelta(elapsed_ns, unit="ns"), data_type, channel, payload)
                    wanted.append(each)
            await stream.close()
            assert [row for serial in sorted(peer.sections) for row in peer.sections[serial]] == wanted
            assert sorted(peer.sections) == list(range(len(peer.sections)))
            assert all(peer.sections.values())
            assert stream.points == len(wanted)

    run(test())


def test_what_is_written_is_sent_without_anybody_asking() -> None:
    async def test() -> None:
        async with connected(flush_interval_s=0.001) as (connection, peer):
            stream = await connection.open_upstream(upstream_spec())
            for number in range(3):
                await stream.write(string_point(number))
            await peer.until(lambda peer: len(peer.rows) == 3)
            await stream.write(string_point(3))
            await peer.until(lambda peer: len(peer.rows) == 4)
            assert peer.rows == [row(number) for number in range(4)]

    run(test())


def test_a_section_ends_after_the_marker_interval_and_an_empty_one_is_not_cut() -> None:
    async def test() -> None:
        async with connected() as (connection, peer):
            stream = await connection.open_upstream(upstream_spec(), marker_interval_s=0.001)
            for number in range(3):
                assert await stream.write(string_point(number)) == number
                await peer.until(lambda peer, number=number: number in peer.sections)
            await stream.close()
            assert peer.sections == {number: [row(number)] for number in range(3)}
            assert not any(end.final for end in peer.ends)

    run(test())


@pytest.mark.parametrize("is_coroutine", [False, True])
def test_every_acknowledgement_is_reported_the_last_one_before_close_returns(is_coroutine: bool) -> None:
    seen: list[tuple[int, int]] = []

    async def coroutine(serial: int, result: int) -> None:
        await asyncio.sleep(0)
        seen.append((serial, result))

    async def test() -> None:
        async with connected() as (connection, _):
            on_ack = coroutine if is_coroutine else lambda serial, result: seen.append((serial, result))
            async with await connection.open_upstream(upstream_spec(), on_ack=on_ack) as stream:
                await stream.write(string_point(1))
                await stream.flush()
                await stream.write(string_point(2))

    run(test())
    assert seen == [(0, ResultCode.OK), (1, ResultCode.OK)]


def test_a_callback_that_raises_is_logged_and_the_stream_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    def broken(serial: int, result: int) -> None:
        raise KeyError("broken on_ack")

    async def test() -> None:
        async with connected() as (connection, peer):
            stream = await connection.open_upstream(upstream_spec(), on_ack=broken)
            for number in range(2):
                await stream.write(string_point(number))
                await stream.flush()
            await stream.close()
            assert len(peer.sections) == 2

    run(test())
    assert caplog.text.count(f"the callback of Upstream(1, edge {EDGE}) raised") == 2
    assert "broken on_ack" in caplog.text


def test_the_count_of_unacknowledged_sections_goes_up_and_down() -> None:
    async def test() -> None:
        async with connected() as (connection, peer):
            peer.acks = False
            stream = await connection.open_upstream(upstream_spec())
            for number in range(3):
                await stream.write(string_point(number))
                stream.end_section()
            assert stream.unacknowledged == 3
            await peer.until(lambda peer: len(peer.ends) == 3)
            peer.acknowledge_all()
            await peer.flush()
            await stream.flush()
            assert stream.unacknowledged == 0
            await stream.close()

    run(test())


def test_closing_ends_the_section_and_asks_with_null_uuids() -> None:
    async def test() -> None:
        async with connected() as (connection, peer):
            stream = await connection.open_upstream(upstream_spec(dst_edge_uuids=[EDGE], resend=True))
            await stream.write(string_point(1))
            await stream.close(final=True)
            opened, closed = (request.specs[0] for request in peer.asked if isinstance(request, UpstreamSpecRequest))
            assert (opened.measurement_uuid, opened.src_edge_uuid, opened.dst_edge_uuids) == (MEASUREMENT, EDGE, (EDGE,))
            assert (opened.store, opened.resend) == (True, True)
            assert (closed.measurement_uuid, closed.src_edge_uuid, closed.dst_edge_uuids) == (NULL_UUID, NULL_UUID, ())
            assert [end.final for end in peer.ends] == [True]
            assert stream.is_closed
            assert peer.session.streams == {}

    run(test())


def test_writing_to_a_closed_stream_is_refused() -> None:
    async def test() -> None:
        async with connected() as (connection, _):
            stream = await connection.open_upstream(upstream_spec())
            await stream.close()
            await stream.close()
            for write in (stream.write(string_point(1)), stream.write_points(columns([row(1)]))):
                with pytest.raises(ISCPConnClosedException, match="upstream 1 is closed; open another"):
                    await write

    run(test())


def test_after_the_connection_is_lost_every_write_says_so() -> None:
    async def test() -> None:
        async with connected() as (connection, peer):
            stream = await connection.open_upstream(upstream_spec())
            peer.socket.cut("the cable")
            await connection.wait_closed()
            for write in (stream.write(string_point(1)), stream.write_points(columns([row(1)]))):
                with pytest.raises(ISCPConnClosedException, match="the cable"):
                    await write
            await stream.close()

    run(test())


def test_closing_while_the_connection_is_lost_says_what_was_not_acknowledged() -> None:
    async def test() -> None:
        async with connected() as (connection, peer):
            peer.acks = False
            stream = await connection.open_upstream(upstream_spec())
            await stream.write(string_point(1))
            closing = asyncio.ensure_future(stream.close())
            await peer.until(lambda peer: peer.ends)
            peer.socket.cut("the cable")
            with pytest.raises(ISCPConnClosedException, match="the cable; 1 sections of Upstream"):
                await closing

    run(test())


@pytest.mark.parametrize("writes_again", [False, True])
def test_closing_after_the_connection_was_lost_says_what_is_in_doubt_once(writes_again: bool) -> None:
    async def test() -> None:
        async with connected(flush_interval_s=3600) as (connection, peer):
            stream = await connection.open_upstream(upstream_spec())
            await stream.write(string_point(1))
            peer.socket.cut("the cable")
            await connection.wait_closed()
            if writes_again:
                with pytest.raises(ISCPConnClosedException, match="the cable"):
                    await stream.write(string_point(2))
            else:
                with pytest.raises(ISCPConnClosedException, match=r"the cable; 0 sections .* and 1 points were not sent"):
                    await stream.close()
            await stream.close()

    run(test())


def test_a_stored_section_without_acknowledgement_is_an_error_and_the_stream_is_closed_all_the_same() -> None:
    async def test() -> None:
        async with connected(timeout_s=0.05) as (connection, peer):
            peer.acks = False
            stream = await connection.open_upstream(upstream_spec())
            await stream.write(string_point(1))
            with pytest.raises(TimedOut, match=r"1 sections were not acknowledged within 0\.05 s"):
                await stream.close()
            assert peer.session.streams == {}

    run(test())


def test_a_stream_that_is_not_stored_does_without_acknowledgements(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "UNSTORED_ACK_TIMEOUT_S", 0.01)

    async def test() -> None:
        async with connected() as (connection, peer):
            peer.acks = False
            async with await connection.open_upstream(upstream_spec(store=False, measurement_uuid=NULL_UUID)) as stream:
                await stream.write(string_point(1))
            assert peer.sections == {0: [row(1)]}
            assert peer.session.streams == {}

    run(test())


def test_a_refused_section_raises_where_nobody_is_told_of_it() -> None:
    async def test() -> None:
        async with connected() as (connection, peer):
            peer.refusals = 1
            stream = await connection.open_upstream(upstream_spec())
            await stream.write(string_point(1))
            with pytest.raises(ResultNGException, match="serial_number=0"):
                await stream.close()
            assert stream.refused == [0]
            assert peer.session.streams == {}

    run(test())


def test_a_refused_section_is_reported_to_who_asked_for_it(caplog: pytest.LogCaptureFixture) -> None:
    seen: list[tuple[int, int]] = []

    async def test() -> None:
        async with connected() as (connection, peer):
            peer.refusals = 1
            stream = await connection.open_upstream(upstream_spec(), on_ack=lambda *ack: seen.append(ack))
            await stream.write(string_point(1))
            await stream.close()

    with caplog.at_level(logging.WARNING):
        run(test())
    assert seen == [(0, ResultCode.NG)]
    assert "section 0 was refused" in caplog.text


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"elapsed_time": pd.Timedelta(-1)}, UsageError),
        ({"elapsed_time": pd.Timedelta(98, "D")}, UsageError),
        ({"channel": 256}, UsageError),
        ({"data_type": -1}, UsageError),
        ({"data_payload": "text"}, PayloadError),
    ],
)
def test_a_point_that_a_unit_cannot_carry_is_refused_at_once_and_others_are_sent(
    fields: dict[str, Any], error: type[Exception]
) -> None:
    async def test() -> None:
        async with connected() as (connection, peer):
            stream = await connection.open_upstream(upstream_spec())
            await stream.write(string_point(1))
            with pytest.raises(error):
                await stream.write(string_point(2, **fields))
            await stream.write(string_point(3))
            await stream.close()
            assert peer.rows == [row(1), row(3)]

    run(test())


def test_columns_that_units_cannot_carry_are_refused_and_nothing_of_them_is_sent() -> None:
    async def test() -> None:
        async with connected() as (connection, peer):
            stream = await connection.open_upstream(upstream_spec())
            points = columns([row(1), row(2)])
            points.time_ns[1] = -1
            with pytest.raises(LocalProtocolError, match="point 1 has elapsed time -1 ns"):
                await stream.write_points(points)
            await stream.close()
            assert peer.rows == []

    run(test())


def test_messages_stay_under_a_mebibyte_unless_one_unit_is_larger() -> None:
    rows = [(number, 14, 1, bytes(100_000)) for number in range(40)] + [(99, 13, 1, bytes(3 * 2**20)), (100, 14, 1, b"\x00")]

    async def test() -> None:
        async with connected() as (connection, peer):
            stream = await connection.open_upstream(upstream_spec())
            await stream.write_points(columns(rows))
            await stream.close()
            assert peer.rows == rows
            large = [size for size in peer.message_sizes if size > 2**20]
            assert len(large) == 1
            assert large[0] < 3 * 2**20 + 32

    run(test())


def test_writing_waits_while_the_socket_is_behind() -> None:
    rows = [(number, 14, 1, bytes(500_000)) for number in range(40)]

    async def test() -> None:
        async with connected(capacity=1) as (connection, peer):
            stream = await connection.open_upstream(upstream_spec())
            peer.reads.clear()
            writing = asyncio.ensure_future(stream.write_points(columns(rows)))
            while not connection.is_behind:
                await asyncio.sleep(0)
            for _ in range(200):
                await asyncio.sleep(0)
            assert not writing.done()
            assert connection.session.waiting_bytes < 6 * 2**20
            peer.reads.set()
            await writing
            await stream.close()
            assert peer.rows == rows

    run(test())


def test_a_refused_section_is_sent_again_under_its_serial_if_it_was_kept() -> None:
    async def test() -> None:
        async with connected() as (connection, peer):
            peer.refusals = 1
            stream = await connection.open_upstream(upstream_spec(), keep_bytes=2**20)
            peer.socket.hold()
            await stream.write(string_point(1))
            stream.end_section()
            await stream.write(string_point(2))
            await peer.until(lambda peer: peer.sections and peer.open_rows)
            peer.socket.release()  # the refusal comes while the next section is open
            await peer.until(lambda peer: [end.serial_number for end in peer.ends] == [0, 1, 0])
            await stream.close()
            assert peer.sections == {0: [row(1)], 1: [row(2)]}
            assert stream.refused == []

    run(test())


def test_a_section_that_is_refused_again_and_again_is_given_up() -> None:
    async def test() -> None:
        async with connected() as (connection, peer):
            peer.refusals = 100
            stream = await connection.open_upstream(upstream_spec(), keep_bytes=2**20)
            await stream.write(string_point(1))
            with pytest.raises(ResultNGException):
                await stream.flush()
            assert [end.serial_number for end in peer.ends] == [0] * 4
            assert stream.refused == [0]

    run(test())


def test_on_another_connection_what_was_not_acknowledged_comes_again_and_serials_go_on() -> None:
    async def test() -> None:
        async with connected(keep_streams=True) as (first, old), connected(keep_streams=True) as (second, new):
            stream = Upstream(upstream_spec(), keep_bytes=2**20)
            await first.attach(stream)
            await stream.write(string_point(0))
            await stream.flush()
            old.acks = False
            await stream.write(string_point(1))
            stream.end_section()
            await stream.write(string_point(2))
            await old.until(lambda peer: peer.open_rows)
            old.socket.cut()
            await first.wait_closed()
            assert await stream.write(string_point(3)) == 2

            await second.attach(stream)
            assert stream.stream_id == 1
            await stream.write(string_point(4))
            await stream.flush()
            await stream.write(string_point(5))
            await stream.close()
            assert new.sections == {1: [row(1)], 2: [row(2), row(3), row(4)], 3: [row(5)]}
            assert stream.unacknowledged == 0

    run(test())


def test_a_stream_that_is_closing_when_the_connection_is_lost_ends_on_the_next_one() -> None:
    async def test() -> None:
        async with connected(keep_streams=True) as (first, old), connected(keep_streams=True) as (second, new):
            stream = Upstream(upstream_spec(), keep_bytes=2**20)
            await first.attach(stream)
            old.acks = False
            await stream.write(string_point(1))
            closing = asyncio.ensure_future(stream.close())
            await old.until(lambda peer: peer.ends)
            old.socket.cut()
            await first.wait_closed()
            await second.attach(stream)
            await closing
            assert new.sections == {0: [row(1)]}
            assert new.session.streams == {}

    run(test())


def test_a_section_that_was_open_when_the_connection_was_lost_is_ended_on_the_next_one_if_the_stream_is_closing() -> None:
    async def test() -> None:
        async with connected(keep_streams=True) as (first, old), connected(keep_streams=True) as (second, new):
            stream = Upstream(upstream_spec(), keep_bytes=2**20, marker_interval_s=3600)
            await first.attach(stream)
            await stream.write(string_point(1))
            await old.until(lambda peer: peer.open_rows)
            old.socket.cut()
            await first.wait_closed()
            await stream.write(string_point(2))
            closing = asyncio.ensure_future(stream.close())
            await asyncio.wait([closing], timeout=0)
            await second.attach(stream)
            await closing
            assert new.sections == {0: [row(1), row(2)]}

    run(test())


def test_what_is_kept_is_bounded_and_an_acknowledgement_makes_room() -> None:
    async def test() -> None:
        async with connected() as (connection, peer):
            peer.acks = False
            stream = await connection.open_upstream(upstream_spec(), keep_bytes=1000)
            await stream.write_points(columns([(1, 14, 1, bytes(2000))]))
            writing = asyncio.ensure_future(stream.write_points(columns([row(2)])))
            await peer.until(lambda peer: peer.ends)  # the full section was ended early
            assert not writing.done()
            peer.acks = True
            peer.acknowledge_all()
            await peer.flush()
            assert await writing == 1
            await stream.close()

    run(test())


def test_without_a_connection_writing_many_points_waits_for_one() -> None:
    async def test() -> None:
        async with connected() as (connection, peer):
            stream = Upstream(upstream_spec(), keep_bytes=2**20)
            writing = asyncio.ensure_future(stream.write_points(columns([row(1)])))
            await asyncio.wait([writing], timeout=0)
            assert not writing.done()
            await connection.attach(stream)
            await writing
            await stream.close()
            assert peer.rows == [row(1)]

    run(test())


def test_many_points_are_handed_on_without_waiting_for_the_flush_interval() -> None:
    async def test() -> None:
        async with connected(flush_interval_s=3600) as (connection, peer):
            stream = await connection.open_upstream(upstream_spec())
            for number in range(module.BATCH_POINTS):
                await stream.write(string_point(number))
            await peer.until(lambda peer: len(peer.rows) == module.BATCH_POINTS)

    run(test())


def test_read_only_and_other_arrays_are_all_the_same() -> None:
    async def test() -> None:
        async with connected() as (connection, peer):
            stream = await connection.open_upstream(upstream_spec())
            points = columns([row(1), row(2), row(3)])
            frozen = points.time_ns.copy()
            frozen.setflags(write=False)
            await stream.write_points(Points(frozen, points.series, points.data.copy(), points.offsets, points.keys))
            reversed_time = np.array([3, 2, 1])[::-1]
            await stream.write_points(Points(reversed_time, points.series, points.data, points.offsets, points.keys))
            await stream.close()
            assert peer.rows == [row(number) for number in (1, 2, 3)] * 2

    run(test())


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        (upstream_spec(measurement_uuid="x"), "'x' is no UUID"),
        (UpstreamSpec("x"), "'x' is no UUID"),
        (UpstreamSpec(NULL_UUID), "src_edge_uuid is the null uuid"),
        (UpstreamSpec(EDGE, ["x"]), "'x' is no UUID"),
        (EDGE, "spec is str, expected UpstreamSpec"),
    ],
)
def test_a_spec_that_cannot_work_is_refused_before_anything_is_sent(spec: Any, said: str) -> None:
    async def test() -> None:
        async with connected() as (connection, peer):
            with pytest.raises(UsageError, match=said):
                await connection.open_upstream(spec)
            assert peer.asked == []

    run(test())


def test_all_data_types_pass_untouched() -> None:
    rows = [(number, number, 7, bytes([number])) for number in range(256)]

    async def test() -> None:
        async with connected() as (connection, peer):
            stream = await connection.open_upstream(upstream_spec())
            await stream.write(string_point(1, data_type=DataType.int, data_payload=b"\x01x" + b"\xff" * 8))
            await stream.write_points(columns(rows))
            await stream.close()
            assert peer.rows == [(1, 12, 1, b"\x01x" + b"\xff" * 8), *rows]

    run(test())


def test_what_is_to_be_sent_again_can_be_replaced_between_two_connections() -> None:
    async def test() -> None:
        async with connected(keep_streams=True) as (first, old), connected(keep_streams=True) as (second, new):
            stream = Upstream(upstream_spec(), keep_bytes=2**20)
            await first.attach(stream)
            old.acks = False
            for number in range(3):
                await stream.write(string_point(number))
                stream.end_section()
            await stream.write_points(columns([row(3), row(4)]))
            assert {serial: [row for part in parts for row in rows_of(part)] for serial, parts in stream.kept.items()} == {
                0: [row(0)],
                1: [row(1)],
                2: [row(2)],
                3: [row(3), row(4)],
            }
            with pytest.raises(LocalProtocolError, match="between two connections"):
                stream.keep_only({}, first=columns([row(9)]))
            old.socket.cut()
            await first.wait_closed()
            stream.keep_only({0: columns([]), 1: columns([row(1)]), 3: columns([row(4)])}, first=columns([row(9)]))

            await second.attach(stream)
            await stream.write(string_point(5))
            await stream.close()
            assert new.sections == {1: [row(9), row(1)], 3: [row(4)], 4: [row(5)]}

    run(test())


def test_where_nothing_is_to_be_sent_again_what_comes_first_is_a_section_of_its_own() -> None:
    async def test() -> None:
        async with connected(keep_streams=True) as (first, old), connected(keep_streams=True) as (second, new):
            stream = Upstream(upstream_spec(), keep_bytes=2**20)
            await first.attach(stream)
            old.acks = False
            await stream.write_points(columns([row(1)]))
            old.socket.cut()
            await first.wait_closed()
            stream.keep_only({}, first=columns([row(9)]))
            await second.attach(stream)
            await stream.write(string_point(2))
            await stream.close()
            assert new.sections == {1: [row(9)], 2: [row(2)]}

    run(test())


def test_what_became_of_a_section_is_told_with_its_points() -> None:
    settled: list[tuple[list[Row], bool]] = []

    async def test() -> None:
        async with connected() as (connection, peer):

            def on_settled(parts: Sequence[Points], ok: bool) -> None:
                settled.append(([row for part in parts for row in rows_of(part)], ok))

            stream = Upstream(upstream_spec(), keep_bytes=2**20, on_settled=on_settled)
            await connection.attach(stream)
            await stream.write_points(columns([row(1), row(2)]))
            await stream.flush()
            peer.refusals = 4
            await stream.write_points(columns([row(3)]))
            with pytest.raises(ResultNGException):
                await stream.flush()

    run(test())
    assert settled == [([row(1), row(2)], True), ([row(3)], False)]


def test_the_oldest_sections_can_be_forgotten() -> None:
    async def test() -> None:
        async with connected() as (connection, peer):
            peer.acks = False
            stream = await connection.open_upstream(upstream_spec(), keep_bytes=2**20)
            for number in range(3):
                await stream.write_points(columns([row(number)]))
                stream.end_section()
            await stream.write_points(columns([row(3)]))
            stream.forget(2 * module.kept_bytes(columns([row(3)])))
            assert sorted(stream.kept) == [2, 3]
            stream.forget(0)
            assert sorted(stream.kept) == [3]  # it is open
            await peer.until(lambda peer: len(peer.ends) == 3)
            peer.acks = True
            peer.acknowledge_all()
            await peer.flush()
            await stream.close()

    run(test())
