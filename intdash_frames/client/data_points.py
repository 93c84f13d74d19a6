"""Data points in the vendor's vocabulary: one object per point, in and out. `frames` does the same in columns.

Source: protocol 3.1, 3.3, 3.5, 4.1 and 4.3.
"""

from __future__ import annotations

import builtins
import itertools
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar, overload

from intdash_frames.errors import ApiError, UsageError
from intdash_frames.model import DataPoint, DataResponse, DataType, IdQuery
from intdash_frames.model.signals import ERROR_ID
from intdash_frames.protocol.call import id_queries as idq_texts
from intdash_frames.protocol.call import text, texts, uuid_text
from intdash_frames.protocol.elements import ResultCode
from intdash_frames.protocol.endpoints import DATA_STORE
from intdash_frames.protocol.framing import read_acks
from intdash_frames.timebase import moment_ns, zone

if TYPE_CHECKING:
    import pandas as pd

    from intdash_frames.client.connection import Connection
    from intdash_frames.client.history import PointsQuery
    from intdash_frames.codecs.points import Points
    from intdash_frames.codecs.series import Series

__all__ = ["DataPoints"]

T = TypeVar("T")

LARGEST_SERIAL: Final = 2**32 - 1


class DataPoints:
    """The data points of a server."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def store(
        self,
        measurement_uuid: str,
        data_points: Iterable[DataPoint],
        serial_number: int = 0,
        final: bool = True,
    ) -> None:
        """Store points in one request.

        Parameters
        ----------
        measurement_uuid : str
        data_points : iterable of DataPoint
        serial_number : int
            Number of this section, from 0, when a measurement is stored in several.
        final : bool
            The measurement ends with this section.

        Raises
        ------
        UsageError, PayloadError
            If a point cannot be stored; the message names its row, and nothing was sent.
        ApiError
            If the server refuses.
        """
        from intdash_frames.codecs.points import store_body

        measurement_uuid = uuid_text(measurement_uuid)
        check_section(serial_number, final)
        points = points_of(measurement_uuid, data_points)
        body = store_body(points, measurement_uuid=measurement_uuid, serial_number=serial_number, final=final)
        answer = self._connection.call(DATA_STORE, body=body)
        for ack in read_acks(answer):
            if ack.result_code != ResultCode.OK:
                raise ApiError(200, f"{DATA_STORE.method} {DATA_STORE.path}", f"section {ack.serial_number} was not taken")

    @overload
    def list(
        self,
        start: Any,
        end: Any,
        measurement_uuid: str | None = None,
        edge_uuid: str | None = None,
        edge_name: str | None = None,
        id_queries: Sequence[IdQuery] | None = None,
        labels: Sequence[str] | None = None,
        limit: int | None = None,
        iterator: Literal[False] = False,
        exit_on_error: bool = False,
    ) -> builtins.list[DataResponse]: ...
    @overload
    def list(
        self,
        start: Any,
        end: Any,
        measurement_uuid: str | None = None,
        edge_uuid: str | None = None,
        edge_name: str | None = None,
        id_queries: Sequence[IdQuery] | None = None,
        labels: Sequence[str] | None = None,
        limit: int | None = None,
        *,
        iterator: Literal[True],
        exit_on_error: bool = False,
    ) -> Iterator[builtins.list[DataResponse]]: ...
    def list(
        self,
        start: Any,
        end: Any,
        measurement_uuid: str | None = None,
        edge_uuid: str | None = None,
        edge_name: str | None = None,
        id_queries: Sequence[IdQuery] | None = None,
        labels: Sequence[str] | None = None,
        limit: int | None = None,
        iterator: bool = False,
        exit_on_error: bool = False,
    ) -> Any:
        """Read points.

        Parameters
        ----------
        start, end : moment with a zone
            Half open range.
        measurement_uuid, edge_uuid, edge_name : str, optional
            Whose points; the first one given counts.
        id_queries : sequence of IdQuery, optional
            Which ids; all if neither these nor `labels` are given.
        labels : sequence of str, optional
            Which signals, converted by the server.
        limit : int, optional
            At most so many points: in all, or with `iterator` in each list. No limit if None or 0.
        iterator : bool
            Give an iterator over lists instead of one list; no point is lost or repeated between them.
        exit_on_error : bool
            Stop at the first point that the server cannot convert.

        Raises
        ------
        UsageError
            If an argument cannot work; nothing was sent.

        Warns
        -----
        UserWarning
            If the server could not convert some points; they are left out.
        """
        query = query_of(start, end, measurement_uuid, edge_uuid, edge_name, id_queries, labels, exit_on_error)
        return lists(self._connection, query, responses_of, limit=limit, iterator=iterator)

    def frame(
        self,
        start: Any,
        end: Any,
        measurement_uuid: str | None = None,
        edge_uuid: str | None = None,
        edge_name: str | None = None,
        id_queries: Sequence[IdQuery] | None = None,
        labels: Sequence[str] | None = None,
        *,
        exit_on_error: bool = False,
    ) -> pd.DataFrame:
        """Read all points of a range, as a frame with a column for each field of `DataResponse`.

        Returns
        -------
        pandas.DataFrame
            Payloads are not decoded; ``client.frames(...)`` does that.
        """
        from intdash_frames.client.points_frame import frame_of_points

        query = query_of(start, end, measurement_uuid, edge_uuid, edge_name, id_queries, labels, exit_on_error)
        return frame_of_points(list(batches(self._connection, query)))


def check_section(serial_number: Any, final: Any) -> None:
    """Refuse what no section can have."""
    if isinstance(serial_number, bool) or not isinstance(serial_number, int) or not 0 <= serial_number <= LARGEST_SERIAL:
        raise UsageError(f"serial_number={serial_number!r}; expected 0 to {LARGEST_SERIAL}")
    if not isinstance(final, bool):
        raise UsageError(f"final={final!r}; expected True or False")


def query_of(
    start: Any,
    end: Any,
    measurement_uuid: str | None,
    edge_uuid: str | None,
    edge_name: str | None,
    id_queries: Sequence[IdQuery] | None,
    labels: Sequence[str] | None,
    exit_on_error: bool,
) -> PointsQuery:
    """Make the question of the arguments that all reads in the vendor's vocabulary have.

    Raises
    ------
    UsageError
        If one of them cannot work.
    """
    from intdash_frames.client.history import PointsQuery

    if not isinstance(exit_on_error, bool):
        raise UsageError(f"exit_on_error={exit_on_error!r}; expected True or False")
    query = PointsQuery(
        _name(measurement_uuid, edge_uuid, edge_name),
        moment_ns(start, name="start"),
        moment_ns(end, name="end"),
        tuple(idq_texts(id_queries or ())),
        tuple(texts(labels or ())),
        exit_on_error,
    )
    if query.end_ns < query.start_ns:
        raise UsageError(f"end={end!r} is before start={start!r}")
    return query


def lists(
    connection: Connection,
    query: PointsQuery,
    objects: Callable[[Iterable[Points]], builtins.list[T]],
    *,
    limit: int | None,
    iterator: bool,
) -> builtins.list[T] | Iterator[builtins.list[T]]:
    """Read points as objects: as one list, or with `iterator` as lists of up to `limit` points."""
    if limit is not None and (isinstance(limit, bool) or not isinstance(limit, int) or limit < 0):
        raise UsageError(f"limit={limit!r}; expected a whole number, or None for no limit")
    if not isinstance(iterator, bool):
        raise UsageError(f"iterator={iterator!r}; expected True or False")
    found = batches(connection, query, limit=limit or None)
    if iterator:
        return (objects([points]) for points in found)
    return objects(itertools.islice(found, 1) if limit else found)


def batches(connection: Connection, query: PointsQuery, *, limit: int | None = None) -> Iterator[Points]:
    """Read points, without those that stand for a failed conversion: those are warned about."""
    from intdash_frames.client import history

    if query.start_ns == query.end_ns:
        return
    # without a limit, the batches as they arrive: their size is bounded, the answer's is not
    found = history.points(connection, query) if limit is None else history.pages(connection, query, limit=limit)
    for points in found:
        good = without_failed(points)
        if len(good) < len(points):
            warnings.warn(
                f"the server could not convert {len(points) - len(good)} points of {query.name}; they are left out. "
                "client.frames(...).report lists them",
                stacklevel=3,
            )
        yield good


def without_failed(points: Points) -> Points:
    """Leave out the points that stand for a failed conversion."""
    import numpy as np

    failed = np.asarray([key.data_type == DataType.string and key.data_id == ERROR_ID for key in points.keys], np.bool_)
    rows = failed[points.series] if failed.any() else failed
    return points.take(np.flatnonzero(~rows)) if rows.any() else points


def _name(measurement_uuid: str | None, edge_uuid: str | None, edge_name: str | None) -> str:
    if measurement_uuid is not None:
        return uuid_text(measurement_uuid)
    if edge_uuid is not None:
        return uuid_text(edge_uuid)
    if not edge_name:
        raise UsageError("give measurement_uuid=, edge_uuid= or edge_name=")
    return text(edge_name)


def responses_of(parts: Iterable[Points]) -> builtins.list[DataResponse]:
    """Points as objects."""
    import pandas as pd

    found: builtins.list[DataResponse] = []
    for points in parts:
        times = pd.DatetimeIndex(points.time_ns.view("M8[ns]"), tz=zone("UTC"))
        types = [type_of(key) for key in points.keys]
        for time, code, payload in zip(times, points.series.tolist(), payloads_of(points), strict=True):
            key = points.keys[code]
            found.append(DataResponse(time, key.measurement_uuid, types[code], key.data_id, key.channel, payload))
    return found


def payloads_of(points: Points) -> Iterator[bytes]:
    """The payload of each point."""
    data, ends = points.data[points.offsets[0] : points.offsets[-1]].tobytes(), (points.offsets - points.offsets[0]).tolist()
    return (data[start:end] for start, end in itertools.pairwise(ends))


def type_of(key: Series) -> DataType | int | str:
    """The data type of a series: a member, the number of an unknown one, or the text of a newer server."""
    if key.data_type is None:
        return key.type_text
    return DataType(key.data_type) if key.data_type in _NUMBERS else key.data_type


_NUMBERS: Final = frozenset(map(int, DataType))


def points_of(measurement_uuid: str, data_points: Iterable[DataPoint]) -> Points:
    """Objects as points with elapsed times.

    Raises
    ------
    UsageError, PayloadError
        If one of them cannot be stored; the message names its row.
    """
    from intdash_frames.client.point_buffer import PointBuffer

    if isinstance(data_points, DataPoint) or not isinstance(data_points, Iterable):
        raise UsageError(f"data_points is {type(data_points).__name__}, expected a list of DataPoint")
    buffer = PointBuffer(measurement_uuid)
    for row, point in enumerate(data_points):
        buffer.add(point, row)
    return buffer.take()
