"""An iterator that is read ahead in a thread, so that who takes from it seldom waits."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Iterator
from types import TracebackType
from typing import Any, Final, Generic, Self, TypeVar

__all__ = ["ReadAhead"]

T = TypeVar("T")

# How often the thread looks whether it is still wanted [s], and how long the end waits for it.
LOOK_S, PATIENCE_S = 0.1, 0.5
END: Final = object()


class ReadAhead(Generic[T]):
    """Reads a few items ahead; an iterator and a context manager.

    Parameters
    ----------
    source : iterator
        Run in the thread only, and closed there if it can be.
    most : int
        Items that may wait [count].
    """

    def __init__(self, source: Iterator[T], most: int = 4) -> None:
        self._source = source
        self._items: queue.Queue[Any] = queue.Queue(most)
        self._unwanted = threading.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._work, name="intdash-frames-read-ahead", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None) -> None:
        self._unwanted.set()
        with contextlib.suppress(queue.Empty):  # a thread that waits for room goes on at once
            self._items.get_nowait()
        self._thread.join(PATIENCE_S)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> T:
        item = self._items.get()
        if item is END:
            self._items.put(END)
            if self._failure is not None:
                raise self._failure
            raise StopIteration
        taken: T = item
        return taken

    def _work(self) -> None:
        try:
            for item in self._source:
                self._put(item)
                if self._unwanted.is_set():
                    break
        except BaseException as exc:
            self._failure = exc
        finally:
            close: Any = getattr(self._source, "close", None)
            if close is not None:
                close()
            self._put(END)

    def _put(self, item: Any) -> None:
        while not self._unwanted.is_set():
            try:
                self._items.put(item, timeout=LOOK_S)
            except queue.Full:
                continue
            return
