"""Edges: the accounts that send and receive data.

Source: protocol 2.2.
"""

from __future__ import annotations

import builtins
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Literal, overload

from intdash_frames.client.catalogue import frame_of_all, listing
from intdash_frames.model import Edge, EdgeType
from intdash_frames.protocol.endpoints import EDGES_LIST, EDGES_ME

if TYPE_CHECKING:
    import pandas as pd

    from intdash_frames.client.connection import Connection

__all__ = ["Edges"]


class Edges:
    """The edges of a server."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def me(self) -> Edge:
        """The edge that is asking."""
        edge: Edge = self._connection.call(EDGES_ME)
        return edge

    @overload
    def list(
        self,
        name: str | None = None,
        nickname: str | None = None,
        type: EdgeType | str | None = None,
        email: str | None = None,
        disabled: bool = False,
        sort: str = "name",
        order: str = "asc",
        limit: int = 100,
        page: int = 1,
        iterator: Literal[False] = False,
    ) -> builtins.list[Edge]: ...
    @overload
    def list(
        self,
        name: str | None = None,
        nickname: str | None = None,
        type: EdgeType | str | None = None,
        email: str | None = None,
        disabled: bool = False,
        sort: str = "name",
        order: str = "asc",
        limit: int = 100,
        page: int = 1,
        *,
        iterator: Literal[True],
    ) -> Iterator[builtins.list[Edge]]: ...
    def list(
        self,
        name: str | None = None,
        nickname: str | None = None,
        type: EdgeType | str | None = None,
        email: str | None = None,
        disabled: bool = False,
        sort: str = "name",
        order: str = "asc",
        limit: int = 100,
        page: int = 1,
        iterator: bool = False,
    ) -> Any:
        """List edges.

        Parameters
        ----------
        name, nickname, email : str, optional
            What the value begins with; in double quotes, the whole value.
        type : EdgeType or str, optional
        disabled : bool
            The disabled edges instead of the others.
        sort, order : str
            Field, and ``"asc"`` or ``"desc"``.
        limit, page : int
            Edges a page [count], and which page, from 1.
        iterator : bool
            Give an iterator over this page and all that follow, each as a list.
        """
        return listing(
            self._connection,
            EDGES_LIST,
            iterator=iterator,
            name=name,
            nickname=nickname,
            type=type,
            email=email,
            disabled=disabled,
            sort=sort,
            order=order,
            limit=limit,
            page=page,
        )

    def frame(
        self,
        name: str | None = None,
        nickname: str | None = None,
        type: EdgeType | str | None = None,
        email: str | None = None,
        disabled: bool = False,
        *,
        sort: str = "name",
        order: str = "asc",
    ) -> pd.DataFrame:
        """List all edges that fit, as a frame with a column for each field of `Edge`."""
        return frame_of_all(
            self._connection,
            EDGES_LIST,
            Edge,
            name=name,
            nickname=nickname,
            type=type,
            email=email,
            disabled=disabled,
            sort=sort,
            order=order,
        )
