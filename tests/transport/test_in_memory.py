from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from intdash_frames.errors import ConnectionLost
from intdash_frames.transport.in_memory import joined_pair


def run(test: Coroutine[Any, Any, None]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(10):
            await test

    asyncio.run(bounded())


def test_messages_arrive_whole_and_in_order_both_ways() -> None:
    async def test() -> None:
        one, other = joined_pair()
        for message in (b"a", b"bc", b""):
            await one.send(message)
        await other.send(b"back")
        assert [await other.receive() for _ in range(3)] == [b"a", b"bc", b""]
        assert await one.receive() == b"back"

    run(test())


def test_what_is_held_arrives_when_it_is_released() -> None:
    async def test() -> None:
        one, other = joined_pair()
        one.hold()
        await one.send(b"late")
        waiting = asyncio.ensure_future(other.receive())
        await asyncio.wait([waiting], timeout=0)
        assert not waiting.done()
        one.release()
        assert await waiting == b"late"
        await one.send(b"at once")
        assert await other.receive() == b"at once"

    run(test())


def test_dropped_messages_are_gone_and_later_ones_are_not() -> None:
    async def test() -> None:
        one, other = joined_pair()
        one.drop(2)
        for message in (b"1", b"2", b"3"):
            await one.send(message)
        assert await other.receive() == b"3"

    run(test())


def test_a_full_pair_makes_the_sender_wait_until_something_is_read() -> None:
    async def test() -> None:
        one, other = joined_pair(capacity=1)
        await one.send(b"1")
        sending = asyncio.ensure_future(one.send(b"2"))
        await asyncio.wait([sending], timeout=0)
        assert not sending.done()
        assert await other.receive() == b"1"
        await sending
        assert await other.receive() == b"2"

    run(test())


@pytest.mark.parametrize("cut_by", [0, 1])
def test_a_cut_reaches_both_ends_after_what_had_arrived(cut_by: int) -> None:
    async def test() -> None:
        pair = joined_pair()
        one, other = pair
        await one.send(b"arrived")
        one.hold()
        await one.send(b"lost")
        pair[cut_by].cut("the cable")
        assert await other.receive() == b"arrived"
        for end in pair:
            with pytest.raises(ConnectionLost, match="the cable"):
                await end.receive()
            with pytest.raises(ConnectionLost, match="the cable"):
                await end.send(b"more")

    run(test())


def test_a_cut_wakes_who_waits() -> None:
    async def test() -> None:
        one, other = joined_pair(capacity=1)
        await one.send(b"1")
        sending, receiving = asyncio.ensure_future(one.send(b"2")), asyncio.ensure_future(one.receive())
        await asyncio.wait([sending, receiving], timeout=0)
        other.cut()
        for waiting in (sending, receiving):
            with pytest.raises(ConnectionLost):
                await waiting

    run(test())


def test_closing_says_so_at_both_ends() -> None:
    async def test() -> None:
        one, other = joined_pair()
        await one.close()
        await other.close()
        for end in (one, other):
            with pytest.raises(ConnectionLost, match="closed with code 1000"):
                await end.receive()

    run(test())
