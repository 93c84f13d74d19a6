"""Data points of a range of time, in columns: drives the time walk, decodes while bytes arrive, goes on after a cut."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from intdash_frames.codecs.points import Points, ResponseReader
from intdash_frames.codecs.series import SeriesTable
from intdash_frames.errors import ConnectionLost, RemoteProtocolError, TimedOut
from intdash_frames.protocol.endpoints import DATA_LIST
from intdash_frames.protocol.time_walk import OutOfOrder, Question, TimeWalk

if TYPE_CHECKING:
    from intdash_frames.client.connection import Connection

__all__ = ["PointsQuery", "Tally", "first", "pages", "points"]

# What is read from the socket before it is decoded. The first pieces are small, so that the first rows come early and a
# connection that never lives long still gets on; the last ones are so large that the fixed cost of a batch vanishes, and so small
# that they stay in the cache (4 MiB took a third longer to decode).
FIRST_PIECE_BYTES, LARGEST_PIECE_BYTES = 1 << 16, 1 << 20


@dataclass(frozen=True, slots=True)
class PointsQuery:
    """Which data points to ask for.

    Attributes
    ----------
    name : str
        UUID of a measurement or edge, or name of an edge.
    start_ns, end_ns : int
        Half open range in nanoseconds since the Unix epoch.
    idq, labels : tuple of str
        Which ids, and which signals (protocol 3.1); both empty means all.
    exit_on_error : bool
        Stop at the first conversion error.
    """

    name: str
    start_ns: int
    end_ns: int
    idq: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    exit_on_error: bool = False


@dataclass(slots=True)
class Tally:
    """What a read has done so far; the report of a query is made from it."""

    points: int = 0
    pages: int = 0
    requests: int = 0
    retries: int = 0
    duplicates: int = 0
    untimed: int = 0
    bytes: int = 0
    disordered: bool = field(default=False)


def points(
    connection: Connection,
    query: PointsQuery,
    *,
    head: int | None = None,
    keys: SeriesTable | None = None,
    tally: Tally | None = None,
) -> Iterator[Points]:
    """Give the points of a range in one answer, batch by batch as they arrive; after a cut, go on without loss or repetition.

    Parameters
    ----------
    connection : Connection
    query : PointsQuery
    head : int, optional
        Only the first so many points.
    keys : SeriesTable, optional
        Where series get their codes.
    tally : Tally, optional
        Counts what is done.

    Yields
    ------
    Points
        In ascending time, unless the server does not sort (`Tally.disordered`).

    Raises
    ------
    IntdashError
        Of the transport, the server or the protocol, when the tries are used up.
    """
    yield from first(head, (batch for page in _walk(connection, query, limit=head, keys=keys, tally=tally) for batch in page))


def first(count: int | None, batches: Iterator[Points]) -> Iterator[Points]:
    """Give batches up to so many points, and ask for no more; all of them without a number."""
    left = count
    for batch in batches:
        if left is None:
            yield batch
            continue
        yield batch.slice(0, min(left, len(batch)))
        left -= len(batch)
        if left <= 0:
            return


def pages(connection: Connection, query: PointsQuery, *, limit: int | None = None) -> Iterator[Points]:
    """Give the points of a range page by page, none twice and none lost.

    Parameters
    ----------
    connection : Connection
    query : PointsQuery
    limit : int, optional
        Points a page, at most; None gives everything in one page.

    Yields
    ------
    Points
    """
    keys = SeriesTable()
    if limit is None:
        yield Points.concat(list(points(connection, query, keys=keys)), keys)
        return
    for page in _walk(connection, query, limit=limit, keys=keys):
        whole = Points.concat(list(page), keys)
        for start in range(0, len(whole), limit):  # a page that had to be asked for in double length is handed out in parts
            yield whole.slice(start, min(start + limit, len(whole)))


def _walk(
    connection: Connection,
    query: PointsQuery,
    *,
    limit: int | None,
    keys: SeriesTable | None = None,
    tally: Tally | None = None,
) -> Iterator[Iterator[Points]]:
    """Give the answers one after the other, each as its batches of new points.

    A limited answer is given when it has ended, since only then is it known to be in order; one without limit as it arrives.
    """
    tally = tally if tally is not None else Tally()
    keys = keys if keys is not None else SeriesTable()
    walk = TimeWalk(query.start_ns, query.end_ns, limit=limit, short_page_ends=not query.labels)
    policy = connection.transport.policy
    tried = 0
    while walk.question is not None:
        answer = _Answer(connection, query, walk, keys, tally)
        if walk.question.limit is None:
            yield iter(answer)
        else:
            held = list(answer)
            if not answer.in_order:
                tally.points -= answer.fresh
                walk.ask_without_limit()
                continue
            yield iter(held)
        if answer.fresh:
            tried = 0
        if answer.cut is not None:
            tried += 1
            # What a server sends in no order cannot be continued: nobody knows what is missing.
            if tried > policy.retries or (tally.disordered and walk.question.limit is None):
                raise answer.cut
            tally.retries += 1
            policy.wait(tried, answer.cut)
        walk.end_answer(whole=answer.cut is None)
        tally.pages += 1
        tally.duplicates = walk.repeated


class _Answer:
    """One request and its rows; iterating it asks."""

    def __init__(self, connection: Connection, query: PointsQuery, walk: TimeWalk, keys: SeriesTable, tally: Tally) -> None:
        self._connection, self._query, self._walk, self._keys, self._tally = connection, query, walk, keys, tally
        self.cut: ConnectionLost | TimedOut | None = None
        self.in_order = True
        self.fresh = 0
        self._opened = False

    def __iter__(self) -> Iterator[Points]:
        question = self._walk.question
        assert question is not None
        try:
            for batch in self._in_order(question):
                fresh = self._new_rows(batch)
                if len(fresh):
                    self.fresh += len(fresh)
                    self._tally.points += len(fresh)
                    yield fresh
        except OutOfOrder:
            self.in_order = False
        except (ConnectionLost, TimedOut) as exc:
            if not self._opened:  # the transport tried as often as it may
                raise
            self.cut = exc

    def _in_order(self, question: Question) -> Iterator[Points]:
        """Give the batches of an answer, each in ascending time; that of a limited answer ends at a step back."""
        last = np.int64(np.iinfo(np.int64).min)
        for batch in self._batches(question):
            if batch.time_ns[0] >= last and (np.diff(batch.time_ns) >= 0).all():
                last = batch.time_ns[-1]
                yield batch
            elif question.limit is not None:
                raise OutOfOrder("the times of a limited answer decrease; expected ascending times")
            else:
                self._tally.disordered = True
                last = batch.time_ns.max()
                yield batch.take(np.argsort(batch.time_ns, kind="stable"))

    def _new_rows(self, batch: Points) -> Points:
        def identity(row: int) -> tuple[int, bytes]:
            return int(batch.series[row]), batch.payload(row)

        admitted = self._walk.admit(batch.time_ns, identity)  # type: ignore[arg-type]
        if not admitted.positions:
            return batch.slice(admitted.rest, len(batch))
        rows = np.concatenate([np.asarray(admitted.positions, np.int64), np.arange(admitted.rest, len(batch))])
        return batch if len(rows) == len(batch) else batch.take(rows)

    def _batches(self, question: Question) -> Iterator[Points]:
        query, tally = self._query, self._tally
        request = DATA_LIST.request(
            name=query.name,
            start=question.start_ns,
            end=question.end_ns,
            exit_on_error=query.exit_on_error,
            limit=question.limit,
            label=query.labels or None,
            idq=query.idq or None,
        )
        reader = ResponseReader(self._keys)
        tally.requests += 1
        with self._connection.transport.stream(request) as stream:
            self._opened = True
            tally.retries += stream.retries
            size = FIRST_PIECE_BYTES
            while piece := stream.read(size):
                size = min(2 * size, LARGEST_PIECE_BYTES)
                tally.bytes += len(piece)
                untimed = reader.untimed
                batch = reader.feed(piece)
                tally.untimed += reader.untimed - untimed
                if batch is not None:
                    yield batch
        try:
            reader.finish()
        except RemoteProtocolError as exc:
            # Without a length header, a closed connection looks like the end. Only the frames tell: a cut like any other.
            raise ConnectionLost(str(exc)) from exc
