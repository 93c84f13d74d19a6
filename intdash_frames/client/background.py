"""An event loop in a thread of its own, for callers who have none, or whose own is busy (as that of Jupyter is)."""

from __future__ import annotations

import asyncio
import concurrent.futures
import queue
import threading
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from intdash_frames.errors import UsageError

__all__ = ["BackgroundLoop", "CallThread"]

T = TypeVar("T")


class BackgroundLoop:
    """A running event loop in a daemon thread; loops are never nested.

    Parameters
    ----------
    name : str
        Of the thread.
    """

    def __init__(self, name: str = "intdash-frames") -> None:
        started: concurrent.futures.Future[asyncio.AbstractEventLoop] = concurrent.futures.Future()
        self._thread = threading.Thread(target=self._work, args=(started,), name=name, daemon=True)
        self._thread.start()
        self.loop = started.result()

    def submit(self, work: Coroutine[Any, Any, T]) -> concurrent.futures.Future[T]:
        """Start a coroutine on the loop; from any thread.

        Raises
        ------
        UsageError
            If the loop was stopped.
        """
        if not self._thread.is_alive():
            work.close()
            raise UsageError("the background loop was stopped; connect anew")
        return asyncio.run_coroutine_threadsafe(work, self.loop)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on the loop and wait for what it returns; what interrupts the wait cancels it.

        Raises
        ------
        UsageError
            If called on the loop's own thread, which would wait for itself.
        """
        if threading.current_thread() is self._thread:
            work.close()
            raise UsageError("called from the connection's own thread; call it from another")
        future = self.submit(work)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def stop(self) -> None:
        """Cancel what still runs and end the thread; waits for that, except on the thread itself."""
        if self._thread.is_alive():
            self.loop.call_soon_threadsafe(self._stopped.set)
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def _work(self, started: concurrent.futures.Future[asyncio.AbstractEventLoop]) -> None:
        async def main() -> None:
            self._stopped = asyncio.Event()
            started.set_result(asyncio.get_running_loop())
            await self._stopped.wait()

        # Cancels what is left, ends async generators and the pool of threads, then closes the loop.
        with asyncio.Runner() as runner:
            runner.run(main())


class CallThread:
    """Calls functions of the user one at a time in a daemon thread, so that a slow one holds up no loop.

    Parameters
    ----------
    name : str
        Of the thread.
    """

    def __init__(self, name: str) -> None:
        self._calls: queue.SimpleQueue[tuple[concurrent.futures.Future[Any], Callable[[], Any]] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    @property
    def is_current(self) -> bool:
        """Whether the caller is in this thread."""
        return threading.current_thread() is self._thread

    async def call(self, function: Callable[..., T], *arguments: Any) -> T:
        """Call a function in the thread and wait for what it returns."""
        future: concurrent.futures.Future[T] = concurrent.futures.Future()
        self._calls.put((future, lambda: function(*arguments)))
        return await asyncio.wrap_future(future)

    def stop(self, timeout_s: float | None = None) -> bool:
        """End the thread after the calls that wait; False if one of them is still running after `timeout_s`."""
        self._calls.put(None)
        if not self.is_current:
            self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _work(self) -> None:
        while (item := self._calls.get()) is not None:
            future, call = item
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(call())
                except BaseException as exc:
                    future.set_exception(exc)
                del future, call
