"""Several streams of points -> one in the order of time, a batch of each in memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from intdash_frames.codecs.points import Points
from intdash_frames.frames.build import in_time_order
from intdash_frames.frames.sources import Range

__all__ = ["merged", "overlapping"]


def overlapping(ranges: Sequence[Range]) -> Iterator[list[Range]]:
    """Group ranges, which ascend by their starts, so that no group begins before the one before it has ended."""
    group, end_ns = list[Range](), 0
    for each in ranges:
        if group and each.start_ns >= end_ns:
            yield group
            group = []
        end_ns = max(end_ns, each.end_ns) if group else each.end_ns
        group.append(each)
    if group:
        yield group


def merged(streams: Sequence[Iterator[Points]]) -> Iterator[Points]:
    """Give the points of several streams in ascending time; of one instant, those of earlier streams first.

    Parameters
    ----------
    streams : sequence of iterator of Points
        Each in ascending time, all with the same keys; no batch is empty.

    Yields
    ------
    Points
        Together what `build.in_time_order` makes of all batches, one stream after the other.
    """
    if len(streams) == 1:
        yield from streams[0]
        return
    open_ = list(streams)
    held: list[Points | None] = [next(stream, None) for stream in open_]
    ended = [batch is None for batch in held]
    while not all(ended):
        # Up to here, exclusively, nothing more can come from any stream.
        known = min(int(batch.time_ns[-1]) for batch, end in zip(held, ended, strict=True) if batch is not None and not end)
        ready = []
        for number, batch in enumerate(held):
            if batch is not None:
                stop = int(np.searchsorted(batch.time_ns, known))
                ready += [batch.slice(0, stop)] if stop else []
                held[number] = batch.slice(stop, len(batch)) if stop < len(batch) else None
        for number, batch in enumerate(held):
            if ended[number] or (batch is not None and int(batch.time_ns[-1]) > known):
                continue
            more = next(open_[number], None)
            ended[number] = more is None
            held[number] = Points.concat([part for part in (batch, more) if part is not None]) if more is not None else batch
        if ready:
            yield from in_time_order(ready)
    left = [batch for batch in held if batch is not None]
    if left:
        yield from in_time_order(left)
