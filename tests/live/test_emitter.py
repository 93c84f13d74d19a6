"""An emitter over connections in memory: the peer says nothing, or no, or is cut off, whenever a test says so."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from intdash_frames.codecs.points import Points
from intdash_frames.errors import ConnectFailed, ConnectionLost, NotFound, ResultNGException, TimedOut, Unauthorized, UsageError
from intdash_frames.live import emitter as module
from intdash_frames.live.emitter import Emitter, EmitterOptions
from intdash_frames.live.tally import Gap
from intdash_frames.model import NULL_UUID, BasetimeType, DataType
from intdash_frames.protocol.elements import UpstreamSpecRequest
from intdash_frames.transport.in_memory import MemorySocket, joined_pair
from tests.client.stream_peer import Peer, Row, columns, row, run, upstream_spec

BASETIME_NS = 10**18
RELAYED = upstream_spec(store=False, measurement_uuid=NULL_UUID)


class Server:
    """Peers in memory, one for each connection; the first settings hold for all of them."""

    def __init__(self, **settings: Any) -> None:
        self.settings, self.peers, self.tasks = settings, list[Peer](), list[asyncio.Task[None]]()
        self.failures: list[Exception] = []
        self.is_down = False
        self.news = asyncio.Event()

    async def open(self, _: Any) -> MemorySocket:
        if self.is_down:
            raise ConnectFailed("down")
        if self.failures:
            raise self.failures.pop(0)
        ours, theirs = joined_pair()
        peer = Peer(theirs)
        for name, value in self.settings.items():
            setattr(peer, name, value)
        self.peers.append(peer)
        self.tasks.append(asyncio.create_task(peer.run()))
        self.news.set()
        return ours

    async def connections(self, count: int) -> None:
        while len(self.peers) < count:
            self.news.clear()
            await self.news.wait()

    @property
    def serials(self) -> list[int]:
        return [end.serial_number for peer in self.peers for end in peer.ends]


def data_rows(rows: Sequence[Row]) -> list[Row]:
    return [each for each in rows if each[1] != DataType.basetime]


@contextlib.asynccontextmanager
async def sending(server: Server, spec: Any = None, *, timeout_s: float = 5.0, **options: Any) -> AsyncIterator[Emitter]:
    """An emitter that is open; whatever the test leaves is ended."""
    apart = SimpleNamespace(transport=SimpleNamespace(cut=lambda: None), close=lambda: None)
    connection: Any = SimpleNamespace(timeout=(1.0, timeout_s), apart=lambda: apart)
    given = {"marker_interval_s": 3600.0, "flush_interval_s": 0.0, "settle_s": 0.0} | options
    emitter = Emitter(connection, EmitterOptions(open_socket=server.open, **given))
    await emitter.connect()
    try:
        await emitter.open(upstream_spec() if spec is None else spec, BASETIME_NS, BasetimeType.manual)
        yield emitter
    finally:
        for peer in server.peers:
            peer.socket.cut("the test is over")
        server.failures = [Unauthorized(401, "GET", "the test is over")]
        with contextlib.suppress(Exception):
            await emitter.close(in_haste=True)
        await asyncio.gather(*server.tasks)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PATIENCE_S", "LONGEST_PATIENCE_S", "HASTE_S"):
        monkeypatch.setattr(module, name, 0.05)
    monkeypatch.setattr(module, "BACK_OFF", module.RetryPolicy(first_s=0.0))


@pytest.fixture
def nothing_arrived(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading back finds nothing."""
    monkeypatch.setattr(module, "not_stored", lambda connection, uuid, sent, known: dict(sent))


def test_a_stream_begins_with_its_base_time_and_every_point_is_acknowledged() -> None:
    async def test() -> None:
        server = Server()
        async with sending(server) as emitter:
            assert await emitter.write(columns([row(1), row(2)])) == 2
            await emitter.flush()
            await emitter.write(columns([row(3)]))
            await emitter.close()
            [peer] = server.peers
            first, *others = peer.written
            assert first == (0, DataType.basetime, 0, b"\xff" + (10**9).to_bytes(4, "little") + bytes(4))
            assert others == [row(1), row(2), row(3)]
            stats = emitter.stats
            assert (stats.written, stats.acknowledged, stats.waiting, stats.reconnects) == (3, 3, 0, 0)
            assert peer.session.streams == {}

    run(test())


@pytest.mark.usefixtures("nothing_arrived")
def test_after_a_loss_what_is_missing_comes_under_its_serial_and_what_is_new_under_a_higher_one() -> None:
    async def test() -> None:
        server = Server()
        async with sending(server) as emitter:
            await emitter.write(columns([row(0)]))
            await emitter.flush()
            server.settings = {"acks": False}
            server.peers[0].acks = False
            for number in (1, 2):
                await emitter.write(columns([row(number)]))
                assert emitter._stream is not None
                emitter._stream.end_section()
            await emitter.write(columns([row(3)]))  # in a section that is open
            await server.peers[0].until(lambda peer: peer.open_rows)
            server.settings = {}
            server.peers[0].socket.cut()
            await server.connections(2)
            await emitter.write(columns([row(4)]))
            await emitter.flush()
            sections = {serial: data_rows(rows) for serial, rows in server.peers[1].sections.items()}
            assert sections == {1: [row(1)], 2: [row(2)], 3: [row(3)], 4: [row(4)]}
            assert server.peers[1].written[0][1] == DataType.basetime
            assert server.serials[-4:] == [1, 2, 3, 4]
            stats = emitter.stats
            assert (stats.written, stats.acknowledged, stats.sent_again, stats.reconnects) == (5, 5, 3, 1)

    run(test())


def test_what_was_found_is_not_sent_again_and_counts_as_acknowledged(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[int, int]] = []

    def not_stored(_: Any, uuid: str, sent: Mapping[int, Points], known: Sequence[Points]) -> dict[int, Points]:
        asked.append((sum(map(len, sent.values())), sum(map(len, known))))
        # The server is still storing: each time one point more is there.
        return {serial: part.slice(min(len(asked), 3), len(part)) for serial, part in sent.items()}

    monkeypatch.setattr(module, "not_stored", not_stored)

    async def test() -> None:
        server = Server()
        async with sending(server) as emitter:
            await emitter.write(columns([row(0)]))
            await emitter.flush()
            server.peers[0].acks = False
            await emitter.write(columns([row(number) for number in range(1, 6)]))
            server.peers[0].socket.cut()
            await emitter.flush()
            assert data_rows(server.peers[1].rows) == [row(4), row(5)]
            assert asked == [(5, 1)] * 4  # until it does not become less
            stats = emitter.stats
            assert (stats.written, stats.acknowledged, stats.sent_again, stats.maybe_twice) == (6, 6, 2, 0)

    run(test())


def test_where_nothing_is_missing_the_new_stream_still_hears_the_base_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "not_stored", lambda connection, uuid, sent, known: {serial: columns([]) for serial in sent})

    async def test() -> None:
        server = Server()
        async with sending(server) as emitter:
            server.peers[0].acks = False
            await emitter.write(columns([row(1)]))
            server.peers[0].socket.cut()
            await emitter.flush()
            await server.peers[1].until(lambda peer: peer.ends)
            assert [each[1] for each in server.peers[1].rows] == [DataType.basetime]
            assert emitter.stats.acknowledged == 1

    run(test())


def test_where_reading_back_is_refused_everything_is_sent_again_and_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def not_stored(*_: Any) -> dict[int, Points]:
        raise NotFound(404, "GET /api/v1/data")

    monkeypatch.setattr(module, "not_stored", not_stored)

    async def test() -> None:
        server = Server()
        async with sending(server) as emitter:
            server.peers[0].acks = False
            await emitter.write(columns([row(1), row(2)]))
            server.peers[0].socket.cut()
            await emitter.flush()
            assert data_rows(server.peers[1].rows) == [row(1), row(2)]
            assert (emitter.stats.sent_again, emitter.stats.maybe_twice) == (2, 2)

    run(test())


def test_where_reading_back_fails_for_now_it_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    failures = [TimedOut("not yet"), TimedOut("not yet")]

    def not_stored(_: Any, uuid: str, sent: Mapping[int, Points], known: Sequence[Points]) -> dict[int, Points]:
        if failures:
            raise failures.pop()
        return {serial: part.slice(1, len(part)) for serial, part in sent.items()}

    monkeypatch.setattr(module, "not_stored", not_stored)

    async def test() -> None:
        server = Server()
        async with sending(server) as emitter:
            server.peers[0].acks = False
            await emitter.write(columns([row(1), row(2)]))
            server.peers[0].socket.cut()
            await emitter.flush()
            assert data_rows(server.peers[-1].rows) == [row(2)]
            assert (emitter.stats.sent_again, emitter.stats.maybe_twice) == (1, 0)

    run(test())


def test_what_nobody_stores_is_not_sent_again_and_is_a_gap() -> None:
    async def test() -> None:
        server = Server()
        async with sending(server, RELAYED) as emitter:
            await emitter.write(columns([row(1)]))
            await emitter.flush()
            server.peers[0].acks = False
            await emitter.write(columns([row(2), row(5)]))
            server.peers[0].socket.cut("the cable")
            await server.connections(2)
            await emitter.write(columns([row(6)]))
            await emitter.flush()
            assert data_rows(server.peers[1].rows) == [row(6)]
            stats = emitter.stats
            assert (stats.written, stats.acknowledged, stats.maybe_lost, stats.waiting) == (4, 2, 2, 0)
            assert emitter.gaps == [Gap(BASETIME_NS + 2, BASETIME_NS + 6, "the connection was lost; not stored", 0)]

    run(test())


def test_a_server_that_never_acknowledges_what_it_does_not_store_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "KEEP_BYTES", 0)

    async def test() -> None:
        server = Server(acks=False)
        async with sending(server, RELAYED, timeout_s=0.05) as emitter:
            for number in range(5):
                await emitter.write(columns([row(number)]))
                await emitter.flush()
            await emitter.close()
            assert data_rows(server.peers[0].written) == [row(number) for number in range(5)]
            assert emitter.stats.waiting == 5
            assert emitter._stream is not None
            assert len(emitter._stream.kept) == 1  # memory stays bounded

    run(test())


def test_closing_raises_if_the_server_never_acknowledges_and_says_what_may_be_lost() -> None:
    async def test() -> None:
        server = Server(acks=False)
        async with sending(server) as emitter:
            await emitter.write(columns([row(1), row(2)]))
            with pytest.raises(TimedOut, match="2 points in 1 sections were not acknowledged in time: they may be lost"):
                await emitter.flush(0.01)
            assert emitter.stats.waiting == 2
            with pytest.raises(TimedOut, match="2 points"):
                await emitter.close()
            assert (emitter.stats.maybe_lost, emitter.stats.waiting) == (2, 0)
            [gap] = emitter.gaps
            assert (gap.start_ns, gap.reason) == (BASETIME_NS + 1, "not acknowledged before the end")
            with pytest.raises(UsageError, match="this upstream is closed"):
                await emitter.write(columns([row(3)]))

    run(test())


def test_the_end_waits_for_as_long_as_acknowledgements_keep_coming(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE_S", 5.0)
    monkeypatch.setattr(module, "LONGEST_PATIENCE_S", 5.0)

    async def test() -> None:
        loop, passed_s = asyncio.get_running_loop(), 0.0
        true_time = loop.time
        monkeypatch.setattr(loop, "time", lambda: true_time() + passed_s)
        server = Server(acks=False)
        async with sending(server) as emitter:
            for number in range(3):
                await emitter.write(columns([row(number)]))
                assert emitter._stream is not None
                emitter._stream.end_section()
            [peer] = server.peers
            await peer.until(lambda peer: len(peer.ends) == 3)
            closing = asyncio.ensure_future(emitter.close())
            for number, end in enumerate(peer.ends):
                while emitter.stats.acknowledged < number:
                    await asyncio.sleep(0)
                await asyncio.sleep(0)
                assert not closing.done()
                passed_s += 3.0  # more than 5 in all
                peer.session.acknowledge(end.stream_id, end.serial_number, ok=True)
                await peer.flush()
            await closing
            assert emitter.stats.acknowledged == 3

    run(test())


def test_a_section_that_is_refused_again_and_again_is_an_error_and_counted() -> None:
    async def test() -> None:
        server = Server(refusals=4)
        async with sending(server) as emitter:
            await emitter.write(columns([row(1)]))
            with pytest.raises(ResultNGException, match="serial_number=0") as caught:
                await emitter.flush()
            assert caught.value.__notes__ == ["1 points in 1 sections were refused again and again"]
            assert (emitter.stats.refused, emitter.stats.waiting) == (1, 0)
            await emitter.write(columns([row(2)]))  # the stream goes on
            with pytest.raises(ResultNGException):
                await emitter.close()
            assert emitter.stats.acknowledged == 1

    run(test())


def test_a_spec_that_the_server_refuses_is_an_error() -> None:
    async def test() -> None:
        server = Server(refuses=UpstreamSpecRequest)
        with pytest.raises(ResultNGException, match="the server refused UpstreamSpec"):
            async with sending(server):
                raise AssertionError("it is not open")

    run(test())


def test_a_server_that_never_answers_is_an_error() -> None:
    async def test() -> None:
        server = Server(answers=False)
        with pytest.raises(TimedOut, match=r"0\.05 s"):
            async with sending(server, timeout_s=0.05):
                raise AssertionError("it is not open")

    run(test())


def test_a_connection_that_is_lost_before_the_stream_is_open_is_made_again() -> None:
    async def test() -> None:
        server = Server(answers=False)

        async def cut() -> None:
            await server.connections(1)
            await server.peers[0].until(lambda peer: peer.asked)
            server.settings = {}
            server.peers[0].socket.cut()

        cutting = asyncio.create_task(cut())
        async with sending(server) as emitter:
            await emitter.write(columns([row(1)]))
            await emitter.flush()
            assert data_rows(server.peers[1].rows) == [row(1)]
        await cutting

    run(test())


@pytest.mark.usefixtures("nothing_arrived")
def test_failures_that_may_pass_are_tried_again_and_others_end_the_upstream() -> None:
    async def test() -> None:
        server = Server()
        async with sending(server) as emitter:
            server.peers[0].acks = False
            await emitter.write(columns([row(1)]))
            server.failures = [ConnectFailed("not yet"), TimedOut("not yet"), ConnectFailed("not yet")]
            server.peers[0].socket.cut()
            await emitter.flush()
            assert emitter.stats.reconnects == 1

            server.peers[1].acks = False
            await emitter.write(columns([row(2)]))
            server.failures = [Unauthorized(401, "GET /ws", "no more")]
            server.peers[1].socket.cut()
            for work in (emitter.flush(), emitter.write(columns([row(3)])), emitter.close()):
                with pytest.raises(Unauthorized, match="no more"):
                    await work
            assert (emitter.stats.maybe_lost, emitter.stats.acknowledged) == (1, 1)

    run(test())


def test_without_reconnection_a_loss_ends_the_upstream() -> None:
    async def test() -> None:
        server = Server(acks=False)
        async with sending(server, reconnect=False) as emitter:
            await emitter.write(columns([row(1)]))
            server.peers[0].socket.cut("the cable")
            with pytest.raises(ConnectionLost, match="the cable"):
                await emitter.close()
            assert len(server.peers) == 1
            assert emitter.stats.maybe_lost == 1

    run(test())


def test_writing_waits_while_there_is_no_connection_and_gives_up_in_time() -> None:
    async def test() -> None:
        server = Server(acks=False)
        async with sending(server, timeout_s=0.05) as emitter:
            server.is_down = True
            server.peers[0].socket.cut()
            assert emitter._link is not None
            await emitter._link.wait_closed()
            with pytest.raises(TimedOut, match="0 of 1 points were taken"):
                await emitter.write(columns([row(1)]))
            assert emitter.stats.written == 0
            server.is_down = False

    run(test())


def test_a_section_that_grows_large_is_ended_early(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SECTION_BYTES", 100)

    async def test() -> None:
        server = Server()
        async with sending(server) as emitter:
            for number in range(10):
                await emitter.write(columns([row(number)]))
            [peer] = server.peers
            await peer.until(lambda peer: len(peer.written) == 11)
            assert [len(data_rows(rows)) for rows in peer.sections.values()] == [6]  # of 19 bytes each

    run(test())
