"""A feed over a real server: whatever is cut, all that is stored is shown, once; what cannot be is said."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator

import pandas as pd
import pytest

import intdash_frames as idf
from intdash_frames.codecs.series import SeriesTable
from intdash_frames.errors import ConnectFailed, ConnectionLost
from intdash_frames.frames.selection import select
from intdash_frames.live.feed import Feed, FeedOptions
from intdash_frames.model import BasetimeType
from tests.live.feeding import WAIT_S, Sender, Shown, basetime_point, floats, following
from tests.live.proxy import Proxy


@pytest.fixture
def server() -> Iterator[idf.LocalServer]:
    with idf.LocalServer() as server:
        yield server


@pytest.fixture
def client(server: idf.LocalServer) -> Iterator[idf.Client]:
    with server.client() as client:
        yield client


def test_live_points_are_shown_in_order_with_their_measurement(client: idf.Client) -> None:
    async def run() -> None:
        shown = Shown()
        async with Sender(client) as sender, following(client, shown) as feed:
            for _ in range(5):
                await sender.send(20)
            await shown.until(100)
            assert shown.numbers == list(range(100))
            assert shown.measurements == {sender.measurement}
            stats = feed.stats
            assert (stats.received, stats.shown, stats.recovered, stats.dropped, stats.waiting) == (100, 100, 0, 0, 0)
        assert feed.gaps == []

    asyncio.run(run())


def test_a_backfill_meets_what_is_live_without_a_hole_or_a_repetition(client: idf.Client) -> None:
    async def run() -> None:
        shown = Shown()
        async with Sender(client) as sender:
            await sender.send(50)
            await sender.stream.flush()
            await sender.send(7)  # a section that is open when the feed begins: neither stored yet nor live any more
            async with following(client, shown, backfill_ns=600 * 10**9) as feed:
                await sender.send(43)
                await shown.until(100)
                assert sorted(shown.numbers) == list(range(100))
                assert shown.numbers == sorted(shown.numbers)
                stats = feed.stats
                assert stats.received + stats.recovered == stats.shown == 100
                assert feed.gaps == []

    asyncio.run(run())


def test_what_was_sent_while_the_connection_was_lost_is_read_back(client: idf.Client) -> None:
    async def run(proxy: Proxy, viewer: idf.Client) -> None:
        shown = Shown()
        async with Sender(client) as sender, following(viewer, shown) as feed:
            for times in (1, 2, 3):
                await sender.send(30)
                await shown.until(sender.sent)
                await asyncio.to_thread(proxy.cut, blocked=True)
                await sender.send(30)  # while nobody listens
                await sender.stream.flush()
                proxy.unblock()
                await shown.until(sender.sent)
                await reconnected(feed, times)
                await sender.send(30)
                await shown.until(sender.sent)
            assert shown.numbers == list(range(270))
            stats = feed.stats
            assert stats.received + stats.recovered == stats.shown == 270
            assert (stats.dropped, stats.waiting) == (0, 0)
            assert stats.recovered >= 90
            assert stats.reconnects == 3
            await read_back(feed)
        assert feed.gaps == []

    through_a_proxy(client, run)


def test_a_loss_after_more_points_than_are_remembered_repeats_none(client: idf.Client) -> None:
    async def run(proxy: Proxy, viewer: idf.Client) -> None:
        shown = Shown()
        async with Sender(client) as sender, following(viewer, shown, most_waiting=20) as feed:
            for _ in range(5):
                await sender.send(10)
            await shown.until(50)
            await asyncio.to_thread(proxy.cut, blocked=True)
            await sender.send(10)
            await sender.stream.flush()
            proxy.unblock()
            await shown.until(60)
            assert shown.numbers == list(range(60))
        assert feed.gaps == []

    through_a_proxy(client, run)


def test_signals_that_are_seconds_behind_others_lose_nothing(client: idf.Client) -> None:
    async def run(proxy: Proxy, viewer: idf.Client) -> None:
        shown = Shown()
        async with Sender(client) as sender, following(viewer, shown, signals="float:1/*") as feed:

            async def send(count: int) -> None:
                ahead = floats(sender.sent + 7000, count, "ahead")
                await sender.stream.write_points(ahead)
                await sender.send(count)  # 7 s before it

            await send(10)
            await shown.until(20)
            await asyncio.to_thread(proxy.cut, blocked=True)
            await send(10)
            await sender.stream.flush()
            proxy.unblock()
            await reconnected(feed)
            await send(10)
            await shown.until(60)
            assert sorted(shown.numbers) == [*range(30), *range(7000, 7030)]
            assert feed.stats.recovered >= 20
            await read_back(feed)
        assert feed.gaps == []

    through_a_proxy(client, run)


def test_a_stamp_of_the_far_future_does_not_hide_what_is_lost_later(client: idf.Client) -> None:
    async def run(proxy: Proxy, viewer: idf.Client) -> None:
        shown = Shown()
        async with Sender(client) as sender, following(viewer, shown) as feed:
            await sender.send(10)
            await sender.stream.write_points(floats(3 * 86_400_000, 1))
            await sender.send(10)
            await shown.until(21)
            await asyncio.to_thread(proxy.cut, blocked=True)
            await sender.send(10)
            await sender.stream.flush()
            proxy.unblock()
            await reconnected(feed)
            await sender.send(10)
            await shown.until(41)
            assert sorted(shown.numbers) == [*range(40), 3 * 86_400_000]
            await read_back(feed)
        assert feed.gaps == []

    through_a_proxy(client, run)


def test_what_is_lost_before_anything_was_shown_is_read_back(client: idf.Client) -> None:
    async def run(proxy: Proxy, viewer: idf.Client) -> None:
        shown = Shown()
        async with following(viewer, shown) as feed, Sender(client) as sender:
            await asyncio.to_thread(proxy.cut, blocked=True)
            await sender.send(10)
            await sender.stream.flush()
            proxy.unblock()
            await reconnected(feed)
            await sender.send(10)
            await shown.until(20)
            assert shown.numbers == list(range(20))
            await read_back(feed)
        assert feed.gaps == []

    through_a_proxy(client, run)


def test_base_times_that_are_repeated_after_a_loss_are_shown_once(client: idf.Client) -> None:
    async def run(proxy: Proxy, viewer: idf.Client) -> None:
        shown = Shown()
        async with Sender(client) as sender, following(viewer, shown, signals=None) as feed:
            await sender.stream.write(basetime_point(sender.basetime - pd.Timedelta("1s"), BasetimeType.edge_rtc))
            await sender.send(10)
            await shown.until(10)
            await asyncio.to_thread(proxy.cut)
            await reconnected(feed)
            await sender.send(10)
            await shown.until(20)
            async with asyncio.timeout(WAIT_S):
                while feed.stats.received < 22 or feed.is_reading_back:
                    await asyncio.sleep(0)
            stats = feed.stats
            assert (stats.received, stats.recovered, stats.shown, stats.dropped) == (22, 0, 22, 0)
            assert shown.measurements == {sender.measurement}
        assert feed.gaps == []

    through_a_proxy(client, run)


def test_a_base_time_that_a_stream_adds_moves_no_points(client: idf.Client) -> None:
    async def run() -> None:
        shown = Shown()
        async with Sender(client) as sender, following(client, shown):
            await sender.send(10)
            await sender.stream.write(basetime_point(sender.basetime - pd.Timedelta("7s"), BasetimeType.edge_rtc))
            await sender.send(10)
            await shown.until(20)
            assert shown.measurements == {sender.measurement}
            # The server lists it a moment later, and goes on counting from the one that is in use.
            assert shown.time_ns == [sender.basetime.value + number * 10**6 for number in range(20)]

    asyncio.run(run())


@pytest.mark.parametrize("fault", [idf.Fault.delay, idf.Fault.retry_after], ids=["an answer", "another try"])
def test_the_end_does_not_wait_for_a_server_that_does_not_answer(
    server: idf.LocalServer, client: idf.Client, fault: Callable[..., idf.Fault]
) -> None:
    async def run() -> None:
        shown = Shown()
        server.inject(fault(110, times=100, path="/api/v1/data"))
        async with Sender(client) as sender:
            await sender.send(10)
            await sender.stream.flush()
            async with following(client, shown, backfill_ns=10**12) as feed:
                await sender.send(10)
                await sender.stream.flush()
        assert [each.name for each in threading.enumerate() if "live-reader" in each.name] == []
        assert shown.numbers == list(range(10, 20))
        stats = feed.stats
        assert (stats.received, stats.shown, stats.waiting) == (10, 10, 0)
        [gap] = feed.gaps
        assert gap.reason == "not read back before the end"

    asyncio.run(run())


def test_a_hole_that_nothing_comes_behind_is_closed_when_all_must_be_stored(client: idf.Client) -> None:
    async def run(proxy: Proxy, viewer: idf.Client) -> None:
        shown = Shown()
        async with Sender(client) as sender, following(viewer, shown, patience_s=0.3) as feed:
            await sender.send(10)
            await shown.until(10)
            await asyncio.to_thread(proxy.cut, blocked=True)
            await sender.send(10)
            await sender.stream.flush()
            proxy.unblock()
            await reconnected(feed)
            await shown.until(20)
            await read_back(feed)
            assert (feed.stats.recovered, feed.stats.waiting) == (10, 0)
        assert feed.gaps == []

    through_a_proxy(client, run)


def test_what_waits_and_is_never_stored_is_shown_when_nothing_comes_behind_it(client: idf.Client) -> None:
    async def run(proxy: Proxy, viewer: idf.Client) -> None:
        shown = Shown()
        async with Sender(client) as sender, following(viewer, shown, patience_s=0.3) as feed:
            sender.sent = 5000
            await sender.send(10)
            await shown.until(10)
            await asyncio.to_thread(proxy.cut)
            await reconnected(feed)
            await sender.stream.write_points(floats(0, 3))  # from before the hole, so it is not found in it
            async with asyncio.timeout(WAIT_S):
                while not feed.stats.waiting:
                    await asyncio.sleep(0)
            await asyncio.to_thread(proxy.cut)
            await shown.until(13)
            assert shown.numbers == [*range(5000, 5010), *range(3)]
        [gap] = feed.gaps
        assert gap.reason == "not stored within 0.3 s"

    through_a_proxy(client, run)


def test_an_end_right_after_a_loss_says_what_may_be_missing(client: idf.Client) -> None:
    async def run(proxy: Proxy, viewer: idf.Client) -> None:
        shown = Shown()
        async with Sender(client) as sender, following(viewer, shown) as feed:
            await sender.send(10)
            await shown.until(10)
            await asyncio.to_thread(proxy.cut, blocked=True)
            async with asyncio.timeout(WAIT_S):
                while not feed.is_reading_back:
                    await asyncio.sleep(0)
        [gap] = feed.gaps
        assert (gap.start_ns, gap.end_ns) == (sender.basetime.value + 9 * 10**6, None)
        assert gap.reason == "not read back before the end"

    through_a_proxy(client, run)


def test_a_server_that_hangs_up_again_and_again_is_tried_less_and_less_often(
    server: idf.LocalServer, client: idf.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[int] = []
    enough = asyncio.Event()

    class Delays:
        def delay_s(self, number: int, _: object) -> float:
            tried.append(number)
            if number == 4:
                enough.set()
            return 0.0

    async def run() -> None:
        monkeypatch.setattr("intdash_frames.live.feed.BACK_OFF", Delays())
        server.inject(idf.Fault.drop_socket(after=4, times=10_000))  # two requests and their answers
        async with following(client, Shown()), asyncio.timeout(WAIT_S):
            await enough.wait()

    asyncio.run(run())
    assert tried[:4] == [1, 2, 3, 4]


def test_what_nobody_stores_is_a_gap_after_a_loss(client: idf.Client) -> None:
    async def run(proxy: Proxy, viewer: idf.Client) -> None:
        shown = Shown()
        async with Sender(client, store=False) as sender, following(viewer, shown) as feed:
            await sender.send(10)
            await shown.until(10)
            await asyncio.to_thread(proxy.cut, blocked=True)
            await sender.send(10)
            await sender.stream.flush()
            proxy.unblock()
            await reconnected(feed)
            await sender.send(10)
            await shown.until(20)
            [gap] = feed.gaps
            assert (gap.reason, gap.recovered) == ("not stored", 0)
            begin = sender.basetime.value
            assert (gap.start_ns, gap.end_ns) == (begin + 9 * 10**6, begin + 20 * 10**6)
            assert shown.numbers == [*range(10), *range(20, 30)]

    through_a_proxy(client, run)


def test_without_reconnection_a_loss_ends_the_feed_and_says_so(client: idf.Client) -> None:
    async def run(proxy: Proxy, viewer: idf.Client) -> None:
        shown = Shown()
        async with Sender(client) as sender, following(viewer, shown, reconnect=False) as feed:
            await sender.send(10)
            await shown.until(10)
            await asyncio.to_thread(proxy.cut)
            async with asyncio.timeout(WAIT_S):
                await feed.ended.wait()
            assert isinstance(feed.error, ConnectionLost)
            [gap] = feed.gaps
            assert gap.reason.startswith("the connection was lost")
            assert (gap.start_ns, gap.end_ns) == (sender.basetime.value + 9 * 10**6, None)

    through_a_proxy(client, run)


def test_points_that_wait_beyond_a_bound_are_given_up_counted_and_a_gap(server: idf.LocalServer, client: idf.Client) -> None:
    async def run(viewer: idf.Client) -> None:
        shown = Shown()
        server.inject(idf.Fault.status(503, times=1000, path="/api/v1/data"))
        options = {"backfill_ns": 10**9, "most_waiting": 20, "patience_s": 0.5}
        async with Sender(client) as sender, following(viewer, shown, **options) as feed:
            for _ in range(6):
                await sender.send(10)
                await sender.stream.flush()
            await shown.until(20)
            assert shown.numbers == list(range(40, 60))
            stats = feed.stats
            assert (stats.received, stats.shown, stats.dropped, stats.reasons) == (60, 20, 40, {"bound": 40})
            reasons = [gap.reason for gap in feed.gaps]
            assert reasons[:4] == ["too many points waited for a hole to be read back"] * 4
            assert reasons[4].startswith("what is stored cannot be read: ")

    with server.client(retries=0) as viewer:
        asyncio.run(run(viewer))


def test_a_server_that_is_not_there_is_an_error_at_the_start(server: idf.LocalServer, client: idf.Client) -> None:
    async def run() -> None:
        client.edges.me()
        feed = Feed(client.connection, client.edges.me().uuid, select(), SeriesTable(), lambda _: {}, FeedOptions())
        server.close()
        with pytest.raises(ConnectFailed):
            await feed.start()
        await feed.close()

    asyncio.run(run())


def test_wrong_credentials_are_an_error_at_the_start(server: idf.LocalServer, client: idf.Client) -> None:
    async def run(stranger: idf.Client) -> None:
        feed = Feed(stranger.connection, client.edges.me().uuid, select(), SeriesTable(), lambda _: {}, FeedOptions())
        with pytest.raises(idf.Unauthorized):
            await feed.start()
        await feed.close()

    with idf.Client(server.url, "wrong") as stranger:
        asyncio.run(run(stranger))


async def reconnected(feed: Feed, times: int = 1) -> None:
    async with asyncio.timeout(WAIT_S):
        while feed.stats.reconnects < times:
            await asyncio.sleep(0)


async def read_back(feed: Feed) -> None:
    """Wait until what came live has been found among what is stored."""
    async with asyncio.timeout(WAIT_S):
        while feed.is_reading_back:
            await asyncio.sleep(0)


def through_a_proxy(client: idf.Client, run: Callable[[Proxy, idf.Client], Coroutine[None, None, None]]) -> None:
    """Let a viewer look through a network that can be cut."""
    with Proxy(client.url) as proxy, idf.Client(proxy.url, "token") as viewer:
        asyncio.run(run(proxy, viewer))
