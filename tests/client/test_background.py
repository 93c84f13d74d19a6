from __future__ import annotations

import asyncio
import threading

import pytest

from intdash_frames.client.background import BackgroundLoop, CallThread
from intdash_frames.errors import UsageError


async def _thread() -> threading.Thread:
    return threading.current_thread()


def test_work_runs_in_one_daemon_thread_that_ends_with_stop() -> None:
    background = BackgroundLoop("one thread")
    first, second = background.run(_thread()), background.submit(_thread()).result()
    assert first is second is not threading.current_thread()
    assert (first.daemon, first.name) == (True, "one thread")
    background.stop()
    assert not first.is_alive()
    assert background.loop.is_closed()


def test_it_works_while_the_caller_has_a_running_loop() -> None:
    async def caller() -> threading.Thread:
        background = BackgroundLoop()
        try:
            return background.run(_thread())
        finally:
            background.stop()

    assert asyncio.run(caller()) is not threading.current_thread()


def test_errors_come_to_the_caller() -> None:
    async def fail() -> None:
        raise KeyError("what")

    background = BackgroundLoop()
    with pytest.raises(KeyError, match="what"):
        background.run(fail())
    background.stop()


def test_stop_cancels_what_still_runs_and_may_be_called_twice() -> None:
    background = BackgroundLoop()
    started, cancelled = threading.Event(), threading.Event()

    async def forever() -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    future = background.submit(forever())
    assert started.wait(10)
    background.stop()
    background.stop()
    assert cancelled.is_set()
    assert future.cancelled()


def test_work_after_stop_is_refused() -> None:
    background = BackgroundLoop()
    background.stop()
    with pytest.raises(UsageError, match="was stopped"):
        background.run(_thread())


def test_waiting_for_its_own_thread_is_refused() -> None:
    background = BackgroundLoop()

    async def nested() -> None:
        background.run(_thread())

    with pytest.raises(UsageError, match="own thread"):
        background.run(nested())
    background.stop()


def test_an_interrupted_wait_cancels_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    background = BackgroundLoop()
    cancelled = threading.Event()

    async def forever() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    submit = background.submit

    def interrupted(work: object) -> object:
        future = submit(work)  # type: ignore[arg-type]

        def result() -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr(future, "result", result)
        return future

    monkeypatch.setattr(background, "submit", interrupted)
    with pytest.raises(KeyboardInterrupt):
        background.run(forever())
    assert cancelled.wait(10)
    background.stop()


def test_calls_run_one_at_a_time_in_their_order_outside_the_loop() -> None:
    calls = CallThread("calls")
    seen: list[tuple[int, bool]] = []

    async def caller() -> list[int]:
        def call(number: int) -> int:
            seen.append((number, calls.is_current))
            return -number

        return await asyncio.gather(*(calls.call(call, number) for number in range(5)))

    assert asyncio.run(caller()) == [0, -1, -2, -3, -4]
    assert seen == [(number, True) for number in range(5)]
    assert not calls.is_current
    assert calls.stop()


def test_what_a_call_raises_comes_to_who_waits_and_the_next_one_runs() -> None:
    calls = CallThread("calls")

    async def caller() -> int:
        with pytest.raises(ZeroDivisionError):
            await calls.call(lambda: 1 // 0)
        return await calls.call(lambda: 7)

    assert asyncio.run(caller()) == 7
    assert calls.stop()


def test_a_call_that_does_not_end_holds_up_stop_for_its_time_out_only() -> None:
    calls = CallThread("calls")
    release = threading.Event()

    async def caller() -> bool:
        waiting = asyncio.ensure_future(calls.call(release.wait))
        await asyncio.wait([waiting], timeout=0)
        stopped = calls.stop(0.01)
        release.set()
        await waiting
        return stopped

    assert asyncio.run(caller()) is False
    assert calls.stop(10)
