from __future__ import annotations

import asyncio

import pytest

from intdash_frames.client.delivery import Delivery, call_safely
from tests.client.stream_peer import run


def test_items_are_handed_over_in_order_one_after_the_other() -> None:
    seen: list[int] = []

    async def hand_over(item: int) -> None:
        await asyncio.sleep(0)
        seen.append(item)

    async def test() -> None:
        delivery = Delivery(hand_over)
        for item in range(10):
            await delivery.put(item)
        await delivery.finish()
        await delivery.put(99)
        await delivery.finish()

    run(test())
    assert seen == list(range(10))


def test_putting_waits_while_too_much_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("intdash_frames.client.delivery.MOST_WAITING_BYTES", 10)
    gate = asyncio.Event()

    async def hand_over(_: int) -> None:
        await gate.wait()

    async def test() -> None:
        delivery = Delivery(hand_over)
        await delivery.put(1, 11)
        await asyncio.sleep(0)  # the first is out of the queue and being handed over
        await delivery.put(2, 11)
        third = asyncio.ensure_future(delivery.put(3, 1))
        await asyncio.wait([third], timeout=0)
        assert not third.done()
        gate.set()
        await third
        await delivery.finish()

    run(test())


def test_what_is_handed_over_may_end_the_delivery_without_waiting_for_itself() -> None:
    seen: list[int] = []

    async def test() -> None:
        async def hand_over(item: int) -> None:
            await delivery.finish()
            seen.append(item)

        delivery = Delivery(hand_over)
        await delivery.put(1)
        await delivery.put(2)
        await asyncio.sleep(0)
        await delivery.finish()

    run(test())
    assert seen == [1, 2]


def test_what_is_abandoned_is_not_handed_over() -> None:
    seen: list[int] = []
    gate = asyncio.Event()

    async def hand_over(item: int) -> None:
        await gate.wait()
        seen.append(item)

    async def test() -> None:
        delivery = Delivery(hand_over)
        for item in (1, 2, 3):
            await delivery.put(item)
        await asyncio.sleep(0)
        delivery.abandon()
        gate.set()
        await delivery.finish()

    run(test())
    assert seen == [1]


@pytest.mark.parametrize("is_coroutine", [False, True])
def test_functions_and_coroutine_functions_are_called_and_what_they_raise_is_logged_with_the_name(
    caplog: pytest.LogCaptureFixture, is_coroutine: bool
) -> None:
    seen: list[tuple[int, ...]] = []

    def plain(*arguments: int) -> None:
        seen.append(arguments)
        raise ValueError("broken callback")

    async def coroutine(*arguments: int) -> None:
        plain(*arguments)

    run(call_safely("stream 7", coroutine if is_coroutine else plain, 1, 2))
    assert seen == [(1, 2)]
    assert "stream 7" in caplog.text
    assert "broken callback" in caplog.text
