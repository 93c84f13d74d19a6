"""A stream from the server: columns, or one object per point, to a function of the user.

Source: protocol 5.8.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator
from types import CoroutineType, TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

import pandas as pd

from intdash_frames.client.data_points import payloads_of, type_of
from intdash_frames.client.delivery import Delivery, call_safely
from intdash_frames.codecs.series import SeriesTable
from intdash_frames.errors import UsageError
from intdash_frames.model import DataPoint, DownstreamSpec
from intdash_frames.protocol import elements
from intdash_frames.protocol.call import uuid_text
from intdash_frames.protocol.filters import wire_filters
from intdash_frames.protocol.wire import NULL_UUID

if TYPE_CHECKING:
    from intdash_frames.client.stream import StreamConnection
    from intdash_frames.codecs.points import Points

__all__ = ["Downstream", "PointObjects"]

logger = logging.getLogger("intdash_frames.client")

# After so many calls of a function that never waits, everything else gets its turn: sending, reading, pings.
CALLS_AT_ONCE: Final = 1024
POINT_BYTES: Final = 16  # of a point without its payload, in columns


class Downstream:
    """A downstream of a `StreamConnection`, which opens it.

    Attributes
    ----------
    spec : DownstreamSpec
        As it was asked for.
    stream_id : int
        On the connection.
    points : int
        Points that came [count].
    """

    def __init__(self, spec: DownstreamSpec, on_points: Callable[[Points], Any]) -> None:
        self.spec, self.stream_id, self.points = spec, -1, 0
        self.wire_spec, self.wire_filters = wire_spec(spec), wire_filters(spec.filters)
        self._on_points = on_points
        self._connection: StreamConnection | None = None
        self._closed = False
        self._delivery = Delivery(self._hand_over)

    def __repr__(self) -> str:
        return f"Downstream({self.stream_id}, edge {self.spec.src_edge_uuid})"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None) -> None:
        await self.close()

    @property
    def is_closed(self) -> bool:
        """Whether nothing can come any more."""
        return self._closed

    @property
    def is_settled(self) -> bool:
        """Whether a connection has nothing more to do for the stream."""
        return self._closed

    async def close(self) -> None:
        """Close the stream and wait for the server's answer; what came before is still handed over.

        Raises
        ------
        ResultNGException
            If the server refuses, which leaves the stream closed all the same.
        TimedOut
            If it does not answer.
        """
        if self._closed:
            return
        self._closed = True
        connection, self._connection = self._connection, None
        try:
            if connection is not None:
                await connection.close_stream(self)
        finally:
            await self._delivery.finish()

    def attached(self, connection: StreamConnection, stream_id: int) -> None:
        """Hear that the stream now runs on this connection."""
        self._connection, self.stream_id = connection, stream_id

    def detached(self) -> None:
        """Hear that the connection is gone."""
        self._connection = None

    async def ended(self, why: str) -> None:
        """Hear that the connection will not come back, and wait until what came is handed over."""
        self._closed = True
        await self._delivery.finish()

    def abandon(self) -> None:
        """Hand over nothing more once the call that runs is over."""
        self._delivery.abandon()

    async def receive(self, points: Points) -> None:
        """Take what came; waits while too much waits for the user's function."""
        self.points += len(points)
        await self._delivery.put(points, len(points.data) + POINT_BYTES * len(points))

    async def _hand_over(self, points: Points) -> None:
        await call_safely(repr(self), self._on_points, points)


class PointObjects:
    """Calls a function with every point of the columns it is given, each as a `DataPoint`.

    Parameters
    ----------
    on_msg : callable
        Function or coroutine function of one argument; the next point waits until it is done.
    name : callable
        Gives the name for the log.
    """

    def __init__(self, on_msg: Callable[[DataPoint], Any], name: Callable[[], str]) -> None:
        self._on_msg, self._name = on_msg, name
        self._keys: SeriesTable | None = None
        self._kinds: list[tuple[Any, int]] = []

    async def __call__(self, points: Points) -> None:
        on_msg = self._on_msg
        for number, point in enumerate(self.objects(points), start=1):
            try:
                result = on_msg(point)
                if result is not None and (type(result) is CoroutineType or isinstance(result, Awaitable)):
                    await result
            except Exception:
                logger.exception("the callback of %s raised", self._name())
            if not number % CALLS_AT_ONCE:
                await asyncio.sleep(0)

    def objects(self, points: Points) -> Iterator[DataPoint]:
        """The points as objects; only the objects themselves are made one by one."""
        if points.keys is not self._keys:
            self._keys, self._kinds = points.keys, []
        for code in range(len(self._kinds), len(points.keys)):
            key = points.keys[code]
            self._kinds.append((type_of(key), key.channel or 0))
        kinds = self._kinds
        elapsed = pd.to_timedelta(points.time_ns, unit="ns").tolist()
        for elapsed_time, code, payload in zip(elapsed, points.series.tolist(), payloads_of(points), strict=True):
            data_type, channel = kinds[code]
            yield DataPoint(elapsed_time, data_type, channel, payload)


def wire_spec(spec: DownstreamSpec) -> elements.DownstreamSpec:
    """A spec as a request carries it, without a stream id yet.

    Raises
    ------
    UsageError
        If it cannot work; nothing was sent.
    """
    if not isinstance(spec, DownstreamSpec):
        raise UsageError(f"spec is {type(spec).__name__}, expected DownstreamSpec")
    source = uuid_text(spec.src_edge_uuid)
    if source == NULL_UUID:  # it would close the stream
        raise UsageError("src_edge_uuid is the null uuid; expected that of the edge whose data are wanted")
    return elements.DownstreamSpec(0, source, uuid_text(spec.dst_edge_uuid or NULL_UUID))
