"""What `Client.live` gives, over a real server: frames that equal stored ones, readers, and an end without remains."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import intdash_frames as idf
from intdash_frames import UsageError, data
from intdash_frames.client.background import BackgroundLoop
from intdash_frames.errors import ConnectionLost
from tests.live.feeding import WAIT_S, Sender
from tests.live.proxy import Proxy


@pytest.fixture(scope="module")
def client() -> Iterator[idf.Client]:
    with idf.LocalServer() as server, server.client() as client:
        yield client


class SyncSender:
    """A `Sender` for tests without a loop of their own."""

    def __init__(self, client: idf.Client) -> None:
        self._loop, self.sender = BackgroundLoop("sender"), Sender(client)
        self._loop.run(self.sender.__aenter__())

    def send(self, count: int) -> None:
        self._loop.run(self.sender.send(count))
        self._loop.run(self.sender.stream.flush())

    def close(self) -> None:
        self._loop.run(self.sender.__aexit__())
        self._loop.stop()


@pytest.fixture
def sender(client: idf.Client) -> Iterator[SyncSender]:
    sender = SyncSender(client)
    yield sender
    sender.close()


def our_threads() -> list[str]:
    return sorted(
        each.name for each in threading.enumerate() if each.name.startswith("intdash-frames-live") or "on-batch" in each.name
    )


def test_a_live_frame_equals_the_stored_one_of_the_same_points(client: idf.Client, sender: SyncSender) -> None:
    with client.live(edge="demo", signals="float:1/n") as live:
        sender.send(50)
        assert live.wait(50, WAIT_S)
        stored = client.frames(sender.sender.measurement, "float:1/n")
        for found, expected in [
            (live.frame(), stored.to_pandas()),
            (live["float:1/n"], stored["float:1/n"]),
            (live.wide("5ms"), stored.wide("5ms")),
        ]:
            pd.testing.assert_frame_equal(found, expected, check_freq=True)
            assert found.attrs == expected.attrs
        assert live.to_arrow().combine_chunks().equals(stored.to_arrow().combine_chunks())
        assert pa.table(live).equals(live.to_arrow())
        assert pl.DataFrame(live).height == 50
        assert duckdb.sql("SELECT count(*) FROM live").fetchall() == [(50,)]
        assert len(live) == 50
        before = live.frame()
        sender.send(10)
        assert live.wait(60, WAIT_S)
        assert (len(before), len(live.frame())) == (50, 60)
    assert len(live.frame()) == 60  # what was shown stays when the stream has ended
    stats = live.stats
    assert (stats.received, stats.shown, stats.dropped) == (60, 60, 0)
    assert len(live.gaps) == 0


def test_everything_of_an_edge_can_be_followed(client: idf.Client, sender: SyncSender) -> None:
    with client.live(edge=client.edges.me()) as live:
        sender.send(5)
        assert live.wait(6, WAIT_S)
        assert sorted(str(key) for key in live.by_signal()) == ["basetime:0/basetime", "float:1/n"]
        assert sorted(kind.name for kind in live.by_type()) == ["basetime", "float"]
        assert live.summary()["points"].sum() == len(live)


def test_a_window_keeps_the_newest_points(client: idf.Client, sender: SyncSender) -> None:
    timed = client.live(edge="demo", signals="float:1/n", window="19ms")
    counted = client.live(edge="demo", signals="float:1/n", max_points=7)
    with timed, counted:
        sender.send(100)
        assert timed.wait(100, WAIT_S)
        assert counted.wait(100, WAIT_S)
        assert timed["n"]["value"].tolist() == list(range(80, 100))
        assert counted["n"]["value"].tolist() == list(range(93, 100))


def test_batches_are_handed_to_a_function_that_may_raise(
    client: idf.Client, sender: SyncSender, caplog: pytest.LogCaptureFixture
) -> None:
    seen: list[pa.RecordBatch] = []
    enough = threading.Event()

    def take(batch: pa.RecordBatch) -> None:
        seen.append(batch)
        if sum(map(len, seen)) >= 40:
            enough.set()
        raise ValueError("not today")

    with client.live(edge="demo", signals="float:1/n") as live:
        live.on_batch(take)
        for _ in range(4):
            sender.send(10)
        assert enough.wait(WAIT_S)
        assert live.wait(40, WAIT_S)
    assert pa.Table.from_batches(seen).to_pylist() == live.to_arrow().to_pylist()
    assert "a function given to on_batch" in caplog.text


def test_batches_come_one_after_the_other_in_a_coroutine(client: idf.Client, sender: SyncSender) -> None:
    async def run() -> int:
        points = 0
        async with client.live(edge="demo", signals="float:1/n") as live, asyncio.timeout(WAIT_S):
            batches = live.__aiter__()
            first = asyncio.ensure_future(batches.__anext__())
            await asyncio.sleep(0)
            await asyncio.to_thread(sender.send, 10)
            points += len(await first)
            await asyncio.to_thread(sender.send, 10)
            async for batch in batches:
                points += len(batch)
                if points == 20:
                    break
        return points

    assert asyncio.run(run()) == 20


def test_the_first_loop_over_batches_misses_nothing_and_the_next_repeats_nothing(client: idf.Client, sender: SyncSender) -> None:
    async def run() -> list[list[float]]:
        loops = []
        async with client.live(edge="demo", signals="float:1/n", max_points=30) as live, asyncio.timeout(WAIT_S):
            await asyncio.to_thread(sender.send, 10)
            await asyncio.to_thread(live.wait, 10, WAIT_S)
            for _ in range(2):
                numbers: list[float] = []
                batches = live.__aiter__()
                first = asyncio.ensure_future(batches.__anext__())
                await asyncio.sleep(0)
                await asyncio.to_thread(sender.send, 10)
                numbers += payload_numbers(await first)
                while numbers[-1] % 10 < 9 or (not loops and len(numbers) < 20):
                    numbers += payload_numbers(await batches.__anext__())
                loops.append(numbers)
        return loops

    assert asyncio.run(run()) == [list(range(20)), list(range(20, 30))]


def payload_numbers(batch: pa.RecordBatch) -> list[float]:
    return [data.Float.from_payload(each).value for each in batch["payload"].to_pylist()]


def test_a_recording_of_a_small_window_keeps_what_comes_faster(client: idf.Client, sender: SyncSender, tmp_path: Path) -> None:
    with client.live(edge="demo", signals="float:1/n", max_points=5) as live:
        recording = live.record(tmp_path)
        for _ in range(20):
            sender.send(50)
        assert live.wait(1000, WAIT_S)
    assert (recording.rows, recording.gaps) == (1000, [])


def test_a_loop_over_batches_ends_with_the_live_view(client: idf.Client, sender: SyncSender) -> None:
    async def run() -> list[int]:
        sizes = []
        async with asyncio.timeout(WAIT_S):
            async with client.live(edge="demo", signals="float:1/n") as live:

                async def read() -> None:
                    async for batch in live:
                        sizes.append(len(batch))

                reading = asyncio.create_task(read())
                await asyncio.sleep(0)
                await asyncio.to_thread(sender.send, 10)
                await asyncio.to_thread(live.wait, 10, WAIT_S)
            await reading
        return sizes

    assert sum(asyncio.run(run())) == 10


def test_a_loop_over_batches_ends_with_what_has_ended_the_stream(client: idf.Client, sender: SyncSender) -> None:
    async def run(proxy: Proxy, viewer: idf.Client) -> None:
        points = 0
        async with viewer.live(edge="demo", signals="float:1/n", reconnect=False) as live, asyncio.timeout(WAIT_S):
            batches = live.__aiter__()
            first = asyncio.ensure_future(batches.__anext__())
            await asyncio.sleep(0)
            await asyncio.to_thread(sender.send, 10)
            points += len(await first)
            await asyncio.to_thread(proxy.cut)
            for each in (batches, live.__aiter__()):  # who comes late hears it as well
                with pytest.raises(ConnectionLost):
                    await anext(each)
            assert points == 10

    with Proxy(client.url) as proxy, idf.Client(proxy.url, "token") as viewer:
        asyncio.run(run(proxy, viewer))


def test_a_function_given_to_on_batch_may_close_the_view(client: idf.Client, sender: SyncSender) -> None:
    closed = threading.Event()

    def close(_: pa.RecordBatch) -> None:
        live.close()
        closed.set()

    live = client.live(edge="demo", signals="float:1/n").start()
    live.on_batch(close)
    sender.send(5)
    assert closed.wait(WAIT_S)


def test_a_view_that_is_closed_before_it_starts_leaves_nothing_behind(client: idf.Client) -> None:
    live = client.live(edge="demo")
    live.on_batch(print)
    live.close()
    assert our_threads() == []
    with pytest.raises(UsageError, match="started or closed before"), live:
        pass


@pytest.mark.parametrize(
    "arguments", [{"points": -1}, {"points": 1.5}, {"timeout": -1}, {"timeout": float("nan")}, {"timeout": "5s"}]
)
def test_a_wait_that_makes_no_sense_is_refused(client: idf.Client, arguments: dict[str, object]) -> None:
    [(name, value)] = arguments.items()
    with pytest.raises(UsageError, match=f"{name}={value!r}; expected"):
        client.live(edge="demo").wait(**arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize("leave", [lambda: None, lambda: 1 / 0], ids=["normally", "by an error"])
def test_leaving_the_block_leaves_no_thread_behind(client: idf.Client, leave: Callable[[], object]) -> None:
    try:
        with client.live(edge="demo", backfill="10min") as live:
            live.on_batch(lambda batch: None)
            assert our_threads() != []
            leave()
    except ZeroDivisionError:
        pass
    assert our_threads() == []
    live.close()
    assert repr(live).endswith("ended>")


def test_waiting_ends_when_the_time_is_up(client: idf.Client) -> None:
    with client.live(edge="demo", signals="float:9/nobody") as live:
        assert not live.wait(1, 0.05)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"edge": "nobody"}, "the server has 0 edges of that name"),
        ({"edge": "demo", "window": "-1s"}, "window='-1s'; expected more than nothing"),
        ({"edge": "demo", "window": 60}, "window=60 has no unit"),
        ({"edge": "demo", "max_points": 0}, "max_points=0; expected a whole number, 1 or more"),
        ({"edge": "demo", "backfill": "0s"}, "backfill='0s'; expected more than nothing"),
        ({"edge": "demo", "signals": "nokind:1/x"}, "no data type is called 'nokind'"),
        ({"edge": "demo", "signals": "can:1/speed"}, "'speed' is no id of can"),
        ({"edge": "demo", "reconnect": "yes"}, "reconnect='yes'; expected True or False"),
    ],
)
def test_arguments_that_cannot_work_are_refused(client: idf.Client, arguments: dict[str, object], said: str) -> None:
    with pytest.raises(UsageError, match=said), client.live(**arguments):  # type: ignore[arg-type]
        pass
    assert our_threads() == []


def test_a_live_view_starts_once(client: idf.Client) -> None:
    live = client.live(edge="demo")
    assert (len(live), live.stats.received, len(live.gaps)) == (0, 0, 0)
    with live, pytest.raises(UsageError, match="was started or closed before"):
        live.start()
