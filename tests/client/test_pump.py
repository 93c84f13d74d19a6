from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from intdash_frames import data
from intdash_frames.client import pump as module
from intdash_frames.client.pump import Pump
from intdash_frames.client.upstream import Upstream
from intdash_frames.errors import ISCPConnClosedException, TimedOut, UsageError
from intdash_frames.model import Unit
from tests.client.stream_peer import Row, connected, run, upstream_spec


def unit(number: int) -> Unit:
    return Unit(pd.Timedelta(number), 1, data.String("x", str(number)))


def row(number: int) -> Row:
    return number, 10, 1, b"\x01x" + str(number).encode()


def started(upstream: Upstream, iterator: Iterator[Any], flush_interval_s: float = 0.0) -> Pump:
    pump = Pump(asyncio.get_running_loop(), upstream, iterator, flush_interval_s=flush_interval_s)
    pump.start()
    return pump


async def ended(pump: Pump) -> None:
    await asyncio.gather(asyncio.wrap_future(pump.done), return_exceptions=True)
    await asyncio.to_thread(pump.leave, 10)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 3000), st.sampled_from([0.0, 0.001]))
def test_everything_an_iterator_gives_is_written_in_order(count: int, flush_interval_s: float) -> None:
    async def test() -> None:
        async with connected() as (connection, peer):
            upstream = await connection.open_upstream(upstream_spec())
            pump = started(upstream, (unit(number) if number % 5 else None for number in range(count)), flush_interval_s)
            await ended(pump)
            assert pump.failure() is None
            await upstream.close()
            assert peer.rows == [row(number) for number in range(count) if number % 5]

    run(test())


def test_units_are_written_while_the_iterator_waits() -> None:
    async def test() -> None:
        async with connected() as (connection, peer):
            gate = threading.Event()

            def waits() -> Iterator[Unit]:
                yield unit(1)
                gate.wait()
                yield unit(2)

            upstream = await connection.open_upstream(upstream_spec())
            pump = started(upstream, waits(), 0.001)
            await peer.until(lambda peer: peer.written == [row(1)])
            assert not pump.done.done()
            assert isinstance(pump.failure(), TimedOut)
            gate.set()
            await ended(pump)
            await peer.until(lambda peer: peer.written == [row(1), row(2)])

    run(test())


def test_an_iterator_far_ahead_of_its_stream_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_POINTS", 10)
    given_units: list[int] = []

    def endless() -> Iterator[Unit]:
        while True:
            given_units.append(len(given_units))
            yield unit(given_units[-1])

    async def test() -> None:
        async with connected() as (connection, peer):
            upstream = Upstream(upstream_spec())  # without a connection nothing is taken
            pump = started(upstream, endless())
            while len(given_units) < 11:
                await asyncio.to_thread(lambda: None)
            await asyncio.to_thread(pump.leave, 0.02)
            assert 11 <= len(given_units) <= 22  # what is buffered, what was taken of it, and the one that waits on either side
            pump.stop()
            await connection.attach(upstream)
            await ended(pump)
            await upstream.close()
            assert peer.rows == [row(number) for number in range(len(peer.rows))]
            assert len(peer.rows) >= 11

    run(test())


def test_stopping_takes_the_unit_that_is_on_its_way_and_closes_the_iterator() -> None:
    events: list[str] = []
    gate, waits = threading.Event(), threading.Event()

    def generator() -> Iterator[Unit]:
        try:
            waits.set()
            gate.wait()
            yield unit(1)
            events.append("asked for more")
        finally:
            events.append("closed")

    async def test() -> None:
        async with connected() as (connection, peer):
            upstream = await connection.open_upstream(upstream_spec())
            pump = started(upstream, generator())
            await asyncio.to_thread(waits.wait)
            pump.stop()
            gate.set()
            await ended(pump)
            await upstream.close()
            assert peer.rows == [row(1)]

    run(test())
    assert events == ["closed"]


@pytest.mark.parametrize("fails", [lambda: 1 // 0, lambda: "no unit"])
def test_what_goes_wrong_in_the_iterator_is_kept_and_what_came_before_is_written(
    fails: Callable[[], Any], caplog: pytest.LogCaptureFixture
) -> None:
    def broken() -> Iterator[Any]:
        yield unit(1)
        yield fails()
        yield unit(2)

    async def test() -> None:
        async with connected() as (connection, peer):
            upstream = await connection.open_upstream(upstream_spec())
            pump = started(upstream, broken())
            await ended(pump)
            assert isinstance(pump.failure(), (ZeroDivisionError, UsageError))
            await upstream.close()
            assert peer.rows == [row(1)]

    run(test())
    assert "its iterator raised" in caplog.text


def test_a_stream_that_ends_stops_the_iterator_and_says_why() -> None:
    asked: list[int] = []
    closed = threading.Event()

    def endless() -> Iterator[Unit]:
        try:
            while True:
                asked.append(1)
                yield unit(1)
        finally:
            closed.set()

    async def test() -> None:
        async with connected() as (connection, peer):
            upstream = await connection.open_upstream(upstream_spec())
            pump = started(upstream, endless())
            await peer.until(lambda peer: peer.written)
            peer.socket.cut("the cable")
            await ended(pump)
            assert isinstance(pump.failure(), ISCPConnClosedException)
            assert "the cable" in str(pump.failure())

    run(test())
    assert closed.wait(10)
