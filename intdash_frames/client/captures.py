"""Captures: named stretches of time.

Source: protocol 2.7.
"""

from __future__ import annotations

import builtins
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Literal, overload

from intdash_frames.client.catalogue import frame_of_all, listing
from intdash_frames.model import Capture
from intdash_frames.protocol import endpoints
from intdash_frames.timebase import duration_ns, moment_ns

if TYPE_CHECKING:
    import pandas as pd

    from intdash_frames.client.connection import Connection

__all__ = ["Captures"]


class Captures:
    """The captures of a server: one's own, and those of devices. Newer servers may have none (protocol 2.7)."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def create(self, name: str, start: Any, duration: Any = None, shared: bool = True, description: str = "") -> Capture:
        """Make a capture.

        Parameters
        ----------
        name : str
        start : moment with a zone
        duration : duration with a unit, optional
            For example ``"10s"``; cut to microseconds. None is 0.
        shared : bool
            Whether others see it.
        description : str

        Raises
        ------
        UsageError
            If an argument cannot work; nothing was sent.
        """
        created: Capture = self._connection.call(
            endpoints.CAPTURES_CREATE,
            name=name,
            start=moment_ns(start, name="start"),
            duration=_duration(duration),
            shared=shared,
            description=description,
        )
        return created

    def get(self, uuid: str) -> Capture:
        """Get a capture.

        Raises
        ------
        NotFound
            If there is none.
        """
        found: Capture = self._connection.call(endpoints.CAPTURES_GET, uuid=uuid)
        return found

    def update(
        self,
        uuid: str,
        name: str | None = None,
        start: Any = None,
        duration: Any = None,
        shared: bool | None = None,
        description: str | None = None,
    ) -> None:
        """Change what is given."""
        self._connection.call(
            endpoints.CAPTURES_UPDATE,
            uuid=uuid,
            name=name,
            start=None if start is None else moment_ns(start, name="start"),
            duration=_duration(duration),
            shared=shared,
            description=description,
        )

    def delete(self, uuid: str) -> None:
        """Delete a capture; the data of its stretch stay."""
        self._connection.call(endpoints.CAPTURES_DELETE, uuid=uuid)

    @overload
    def list(
        self,
        start: Any,
        end: Any,
        name: str | None = None,
        sort: str = "name",
        order: str = "asc",
        limit: int = 100,
        page: int = 1,
        iterator: Literal[False] = False,
    ) -> builtins.list[Capture]: ...
    @overload
    def list(
        self,
        start: Any,
        end: Any,
        name: str | None = None,
        sort: str = "name",
        order: str = "asc",
        limit: int = 100,
        page: int = 1,
        *,
        iterator: Literal[True],
    ) -> Iterator[builtins.list[Capture]]: ...
    def list(
        self,
        start: Any,
        end: Any,
        name: str | None = None,
        sort: str = "name",
        order: str = "asc",
        limit: int = 100,
        page: int = 1,
        iterator: bool = False,
    ) -> Any:
        """List captures.

        Parameters
        ----------
        start, end : moment with a zone
            Range of the captures; cut to microseconds.
        name : str, optional
            What the name begins with; in double quotes, the whole name.
        sort, order : str
            Field, and ``"asc"`` or ``"desc"``.
        limit, page : int
            Captures a page [count], and which page, from 1.
        iterator : bool
            Give an iterator over this page and all that follow, each as a list.
        """
        return listing(
            self._connection,
            endpoints.CAPTURES_LIST,
            iterator=iterator,
            start=moment_ns(start, name="start"),
            end=moment_ns(end, name="end"),
            name=name,
            sort=sort,
            order=order,
            limit=limit,
            page=page,
        )

    def frame(self, start: Any, end: Any, name: str | None = None, *, sort: str = "name", order: str = "asc") -> pd.DataFrame:
        """List all captures that fit, as a frame with a column for each field of `Capture`."""
        return frame_of_all(
            self._connection,
            endpoints.CAPTURES_LIST,
            Capture,
            start=moment_ns(start, name="start"),
            end=moment_ns(end, name="end"),
            name=name,
            sort=sort,
            order=order,
        )


def _duration(duration: Any) -> int | None:
    return None if duration is None else duration_ns(duration, name="duration")
