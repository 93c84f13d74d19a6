"""Several streams of points -> one in the order of time, with no more of each in memory than a batch or two."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterable

import numpy as np

from intdash_frames.codecs.points import Points

__all__ = ["merged"]


def merged(sources: Iterable[tuple[int, Generator[Points]]]) -> Generator[Points]:
    """Join points that are in order of time each into one order of time.

    Parameters
    ----------
    sources : iterable of (int, generator of Points)
        An instant that no point of a source is before [ns], and its points, none of the batches empty. They share their keys. A
        source is not read before its instant comes.

    Yields
    ------
    Points
        What shares an instant is in the order of `sources`.
    """
    waiting = deque(sorted(((first_ns, rank, each) for rank, (first_ns, each) in enumerate(sources)), key=lambda due: due[:2]))
    # By rank: the sources that may give more, and what they gave that is not handed on yet.
    reading: dict[int, Generator[Points]] = {}
    held: dict[int, list[Points]] = {}

    def read(rank: int) -> None:
        batch = next(reading[rank], None)
        if batch is None:
            del reading[rank]
        else:
            held[rank].append(batch)

    try:
        while waiting or reading:
            # Before this instant nothing more can come, at it there may be more.
            known_ns = min([int(held[rank][-1].time_ns[-1]) for rank in reading] + [due[0] for due in list(waiting)[:1]])
            yield from _joined([_taken(held[rank], known_ns) for rank in sorted(held)])
            if waiting and waiting[0][0] == known_ns:
                _, rank, reading[rank] = waiting.popleft()
                held[rank] = []
                read(rank)
                continue
            for rank in [rank for rank in reading if int(held[rank][-1].time_ns[-1]) == known_ns]:
                read(rank)
        yield from _joined([held[rank] for rank in sorted(held)])
    finally:
        for source in reading.values():
            source.close()


def _taken(parts: list[Points], until_ns: int) -> list[Points]:
    """Take the points before an instant off the beginning of batches."""
    taken = []
    while parts:
        stop = int(np.searchsorted(parts[0].time_ns, until_ns))
        if stop:
            taken.append(parts[0].slice(0, stop))
        if stop < len(parts[0]):
            parts[0] = parts[0].slice(stop, len(parts[0]))
            break
        del parts[0]
    return taken


def _joined(taken: list[list[Points]]) -> list[Points]:
    """Put what came of several sources into order of time; what came of one is."""
    some = [parts for parts in taken if parts]
    if len(some) < 2:
        return [part for parts in some for part in parts]
    joined = Points.concat([part for parts in some for part in parts])
    return [joined.take(np.argsort(joined.time_ns, kind="stable"))]
