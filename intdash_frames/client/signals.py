"""Signal definitions: which bytes of which points a label stands for, and how the server converts them.

Source: protocol 2.6.
"""

from __future__ import annotations

import builtins
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Literal, overload

from intdash_frames.client.catalogue import frame_of_all, listing
from intdash_frames.codecs.conversions import refusal
from intdash_frames.errors import UsageError
from intdash_frames.model import Conversion, DataType, Display, Signal
from intdash_frames.protocol import endpoints

if TYPE_CHECKING:
    import pandas as pd

    from intdash_frames.client.connection import Connection

__all__ = ["Signals"]


class Signals:
    """The signal definitions of a server."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def create(
        self,
        label: str,
        data_type: DataType | int,
        data_id: str,
        channel: int,
        conversion: Conversion,
        display: Display,
        description: str = "",
    ) -> Signal:
        """Define a signal.

        Parameters
        ----------
        label : str
            What converted points are called.
        data_type : DataType or int
        data_id : str
            As points show it.
        channel : int
            0 to 255.
        conversion : Conversion
            One of the `Conversion` classes.
        display : Display
            Unit, range and format for whoever shows it.
        description : str

        Raises
        ------
        UsageError
            If an argument cannot work; nothing was sent.
        ApiError
            With status 409 if there is such a label.
        """
        _check(conversion)
        created: Signal = self._connection.call(
            endpoints.SIGNALS_CREATE,
            label=label,
            data_type=data_type,
            data_id=data_id,
            channel=channel,
            conversion=conversion,
            display=display,
            description=description,
        )
        return created

    def get(self, uuid: str) -> Signal:
        """Get a definition.

        Raises
        ------
        NotFound
            If there is none.
        """
        found: Signal = self._connection.call(endpoints.SIGNALS_GET, uuid=uuid)
        return found

    def update(
        self,
        uuid: str,
        label: str | None = None,
        description: str | None = None,
        data_type: DataType | int | None = None,
        data_id: str | None = None,
        channel: int | None = None,
        conversion: Conversion | None = None,
        display: Display | None = None,
    ) -> None:
        """Change what is given."""
        _check(conversion)
        self._connection.call(
            endpoints.SIGNALS_UPDATE,
            uuid=uuid,
            label=label,
            description=description,
            data_type=data_type,
            data_id=data_id,
            channel=channel,
            conversion=conversion,
            display=display,
        )

    def delete(self, uuid: str) -> None:
        """Delete a definition; the points that it converts stay."""
        self._connection.call(endpoints.SIGNALS_DELETE, uuid=uuid)

    @overload
    def list(
        self,
        label: str | None = None,
        sort: str = "label",
        order: str = "asc",
        limit: int = 100,
        page: int = 1,
        iterator: Literal[False] = False,
    ) -> builtins.list[Signal]: ...
    @overload
    def list(
        self,
        label: str | None = None,
        sort: str = "label",
        order: str = "asc",
        limit: int = 100,
        page: int = 1,
        *,
        iterator: Literal[True],
    ) -> Iterator[builtins.list[Signal]]: ...
    def list(
        self,
        label: str | None = None,
        sort: str = "label",
        order: str = "asc",
        limit: int = 100,
        page: int = 1,
        iterator: bool = False,
    ) -> Any:
        """List definitions.

        Parameters
        ----------
        label : str, optional
            What the label begins with; in double quotes, the whole label.
        sort, order : str
            Field, and ``"asc"`` or ``"desc"``.
        limit, page : int
            Definitions a page [count], and which page, from 1.
        iterator : bool
            Give an iterator over this page and all that follow, each as a list.
        """
        return listing(
            self._connection,
            endpoints.SIGNALS_LIST,
            iterator=iterator,
            label=label,
            sort=sort,
            order=order,
            limit=limit,
            page=page,
        )

    def frame(self, label: str | None = None, *, sort: str = "label", order: str = "asc") -> pd.DataFrame:
        """List all definitions that fit, as a frame with a column for each field of `Signal`."""
        return frame_of_all(self._connection, endpoints.SIGNALS_LIST, Signal, label=label, sort=sort, order=order)


def _check(conversion: Any) -> None:
    """Refuse what no server could carry out; what is no conversion at all is refused by the row of the call."""
    said = refusal(conversion) if isinstance(conversion, Conversion) else None
    if said is not None:
        raise UsageError(said)
