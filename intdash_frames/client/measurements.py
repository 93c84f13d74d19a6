"""Measurements: the recordings of edges.

Source: protocol 2.3.
"""

from __future__ import annotations

import builtins
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Literal, overload

from intdash_frames.client.catalogue import frame_of_all, listing
from intdash_frames.errors import UsageError
from intdash_frames.model import BasetimeType, Measurement
from intdash_frames.protocol import endpoints
from intdash_frames.timebase import moment_ns

if TYPE_CHECKING:
    import pandas as pd

    from intdash_frames.client.connection import Connection

__all__ = ["Measurements"]


class Measurements:
    """The measurements of a server."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def create(
        self,
        edge_uuid: str,
        basetime: Any,
        basetime_type: BasetimeType | str = "manual",
        name: str = "",
        description: str = "",
        protect: bool = False,
    ) -> Measurement:
        """Make a measurement.

        Parameters
        ----------
        edge_uuid : str
            The edge that records.
        basetime : moment with a zone
            When elapsed time is 0.
        basetime_type : BasetimeType or str
            Where the base time comes from.
        name, description : str
        protect : bool
            Whether it cannot be deleted.

        Raises
        ------
        UsageError
            If `basetime` has no time zone, or an argument cannot work; nothing was sent.
        """
        created: Measurement = self._connection.call(
            endpoints.MEASUREMENTS_CREATE,
            edge_uuid=edge_uuid,
            basetime=moment_ns(basetime, name="basetime"),
            basetime_type=basetime_type,
            name=name,
            description=description,
            protected=protect,
        )
        return created

    def get(self, uuid: str | None = None, marker_uuid: str | None = None) -> Measurement:
        """Get a measurement by its UUID, or by the UUID of one of its markers; the first wins if both are given.

        Raises
        ------
        NotFound
            If there is none.
        """
        if uuid is None and marker_uuid is None:
            raise UsageError("give uuid= or marker_uuid=")
        if uuid is not None:
            found: Measurement = self._connection.call(endpoints.MEASUREMENTS_GET, uuid=uuid)
        else:
            found = self._connection.call(endpoints.MEASUREMENTS_GET_BY_MARKER, marker_uuid=marker_uuid)
        return found

    def update(
        self,
        uuid: str,
        name: str | None = None,
        description: str | None = None,
        basetime_type: BasetimeType | str | None = None,
        ended: bool | None = None,
    ) -> None:
        """Change what is given.

        Parameters
        ----------
        basetime_type : BasetimeType or str, optional
            Which base time is in use; moves the absolute time of every point.
        ended : bool, optional
            Whether the edge finished recording.
        """
        self._connection.call(
            endpoints.MEASUREMENTS_UPDATE,
            uuid=uuid,
            name=name,
            description=description,
            basetime_type=basetime_type,
            ended=ended,
        )

    def delete(self, uuid: str) -> None:
        """Delete a measurement that is not protected, with all its data."""
        self._connection.call(endpoints.MEASUREMENTS_DELETE, uuid=uuid)

    def protect(self, uuid: str) -> None:
        """Keep a measurement from being deleted."""
        self._connection.call(endpoints.MEASUREMENTS_PROTECT, uuid=uuid)

    def unprotect(self, uuid: str) -> None:
        """Let a measurement be deleted again."""
        self._connection.call(endpoints.MEASUREMENTS_UNPROTECT, uuid=uuid)

    @overload
    def list(
        self,
        start: Any = None,
        end: Any = None,
        edge_uuid: str | None = None,
        name: str | None = None,
        partial_match: bool = False,
        ended: bool | None = None,
        sort: str = "name",
        order: str = "asc",
        limit: int = 100,
        page: int = 1,
        iterator: Literal[False] = False,
    ) -> builtins.list[Measurement]: ...
    @overload
    def list(
        self,
        start: Any = None,
        end: Any = None,
        edge_uuid: str | None = None,
        name: str | None = None,
        partial_match: bool = False,
        ended: bool | None = None,
        sort: str = "name",
        order: str = "asc",
        limit: int = 100,
        page: int = 1,
        *,
        iterator: Literal[True],
    ) -> Iterator[builtins.list[Measurement]]: ...
    def list(
        self,
        start: Any = None,
        end: Any = None,
        edge_uuid: str | None = None,
        name: str | None = None,
        partial_match: bool = False,
        ended: bool | None = None,
        sort: str = "name",
        order: str = "asc",
        limit: int = 100,
        page: int = 1,
        iterator: bool = False,
    ) -> Any:
        """List measurements.

        Parameters
        ----------
        start, end : moment with a zone, optional
            Range of the base time; cut to microseconds.
        edge_uuid : str, optional
        name : str, optional
            What the name begins with; in double quotes, the whole name.
        partial_match : bool
            Any part of the measurement may lie in the range, not only its base time.
        ended : bool, optional
        sort, order : str
            Field, and ``"asc"`` or ``"desc"``.
        limit, page : int
            Measurements a page [count], and which page, from 1.
        iterator : bool
            Give an iterator over this page and all that follow, each as a list.
        """
        return listing(
            self._connection,
            endpoints.MEASUREMENTS_LIST,
            iterator=iterator,
            **_range(start, end),
            edge_uuid=edge_uuid,
            name=name,
            partial_match=partial_match,
            ended=ended,
            sort=sort,
            order=order,
            limit=limit,
            page=page,
        )

    def frame(
        self,
        start: Any = None,
        end: Any = None,
        edge_uuid: str | None = None,
        name: str | None = None,
        partial_match: bool = False,
        ended: bool | None = None,
        *,
        sort: str = "name",
        order: str = "asc",
    ) -> pd.DataFrame:
        """List all measurements that fit, as a frame with a column for each field of `Measurement`."""
        return frame_of_all(
            self._connection,
            endpoints.MEASUREMENTS_LIST,
            Measurement,
            **_range(start, end),
            edge_uuid=edge_uuid,
            name=name,
            partial_match=partial_match,
            ended=ended,
            sort=sort,
            order=order,
        )


def _range(start: Any, end: Any) -> dict[str, int]:
    given = {"start": start, "end": end}
    return {name: moment_ns(value, name=name) for name, value in given.items() if value is not None}
