from __future__ import annotations

import threading

from intdash_frames.export.room import Room


def takes(room: Room, reader: object, size: int) -> tuple[threading.Thread, list[bool]]:
    """Take room in a thread of its own, that may have to wait."""
    done: list[bool] = []
    thread = threading.Thread(target=lambda: done.append(room.take(reader, size)))
    thread.start()
    return thread, done


def test_one_reader_goes_on_beyond_the_limit_and_the_others_wait_for_its_part() -> None:
    room = Room(100)
    assert room.take("a", 60)
    assert room.take("b", 60)  # b is ahead: nobody else may pass the limit now
    waiting, done = takes(room, "a", 10)
    assert room.take("b", 60)
    assert done == []
    room.hand_on("b", 120)
    assert done == []
    room.written(120)
    waiting.join(10)
    assert done == [True]
    assert room.held_bytes == 70


def test_what_is_dropped_is_room_again() -> None:
    room = Room(100)
    assert room.take("a", 100)
    assert room.take("b", 50)
    waiting, done = takes(room, "a", 50)
    room.dropped("b", 50)
    waiting.join(10)
    assert done == [True]


def test_nobody_waits_any_more_when_all_is_to_end() -> None:
    room = Room(10)
    assert room.take("a", 10)
    assert room.take("b", 1)
    waiting, done = takes(room, "a", 5)
    room.stop()
    waiting.join(10)
    assert done == [False]


def test_memory_stays_bounded_with_many_readers_and_a_slow_writer() -> None:
    room, part, most = Room(100), 40, 0
    lock, queue, rest = threading.Lock(), [], threading.Semaphore(0)

    def read(name: int) -> None:
        nonlocal most
        for _ in range(20):
            for _ in range(4):
                room.take(name, part // 4)
                with lock:
                    most = max(most, room.held_bytes)
            room.hand_on(name, part)
            queue.append(part)
            rest.release()

    readers = [threading.Thread(target=read, args=(number,)) for number in range(6)]
    for each in readers:
        each.start()
    for _ in range(20 * len(readers)):
        assert rest.acquire(timeout=10)
        room.written(queue.pop())
    for each in readers:
        each.join(10)
    assert room.held_bytes == 0
    assert most <= 100 + part
