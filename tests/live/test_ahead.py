from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from intdash_frames.live.ahead import ReadAhead


def test_items_come_in_order_and_then_the_end_as_often_as_asked() -> None:
    with ReadAhead(iter(range(100)), most=2) as ahead:
        assert list(ahead) == list(range(100))
        assert list(ahead) == []


def test_no_more_is_read_ahead_than_allowed() -> None:
    taken: list[int] = []
    room = threading.Semaphore(0)

    def source() -> Iterator[int]:
        for number in range(100):
            taken.append(number)
            room.release()
            yield number

    with ReadAhead(source(), most=2) as ahead:
        for _ in range(3):  # two wait, and one waits for room
            room.acquire()
        assert taken == [0, 1, 2]
        assert next(ahead) == 0
        room.acquire()
        assert taken == [0, 1, 2, 3]


def test_what_the_source_raises_comes_behind_its_items() -> None:
    def source() -> Iterator[int]:
        yield 1
        raise KeyError("broken")

    with ReadAhead(source()) as ahead:
        assert next(ahead) == 1
        for _ in range(2):
            with pytest.raises(KeyError, match="broken"):
                next(ahead)


@pytest.mark.parametrize("taken", [0, 1])
def test_leaving_early_closes_the_source_and_ends_the_thread(taken: int) -> None:
    closed = threading.Event()

    def source() -> Iterator[int]:
        try:
            number = 0
            while True:
                yield number
                number += 1
        finally:
            closed.set()

    with ReadAhead(source(), most=1) as ahead:
        for _ in range(taken):
            next(ahead)
        next(ahead)
    assert closed.is_set()
    assert not [each for each in threading.enumerate() if each.name == "intdash-frames-read-ahead"]
