"""What the resources of the catalogue share: a list, the same list page by page, the same query as a frame."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, Final, TypeVar

from intdash_frames.errors import UsageError
from intdash_frames.model.form import form_of
from intdash_frames.model.kinds import BasetimeType
from intdash_frames.protocol.call import Endpoint

if TYPE_CHECKING:
    import pandas as pd

    from intdash_frames.client.connection import Connection

__all__ = ["FRAME_PAGE", "frame_of", "frame_of_all", "listing"]

R = TypeVar("R")

# Records a request when all of them are wanted: the default of newer servers (protocol 2.1).
FRAME_PAGE: Final = 1000


def listing(connection: Connection, endpoint: Endpoint, *, iterator: bool, **arguments: Any) -> list[Any] | Iterator[list[Any]]:
    """One page as a list, or with `iterator` every page from there on, each as a list."""
    if not isinstance(iterator, bool):
        raise UsageError(f"iterator={iterator!r}; expected True or False")
    if iterator:
        return connection.walk(endpoint, **arguments)
    answer: list[Any] = connection.call(endpoint, **arguments)
    return answer or []


def frame_of_all(connection: Connection, endpoint: Endpoint, record: type[Any], **arguments: Any) -> pd.DataFrame:
    """All pages of a list as one frame."""
    pages = connection.walk(endpoint, **{"limit": FRAME_PAGE, **arguments} if endpoint.paged else arguments)
    return frame_of((each for page in pages for each in page), record)


def frame_of(records: Iterable[Any], record: type[Any]) -> pd.DataFrame:
    """Records as a frame.

    Parameters
    ----------
    records : iterable
        Of the class `record`.
    record : type
        Its fields are the columns, also when there are no records.

    Returns
    -------
    pandas.DataFrame
        Times are ``datetime64[ns, UTC]``, durations ``timedelta64[ns]``; what has parts of its own stays an object.
    """
    import pandas as pd

    rows = list(records)
    columns = {}
    for each in dataclasses.fields(record):
        values = [getattr(row, each.name) for row in rows]
        named = [value.name if isinstance(value, BasetimeType) else value for value in values]
        columns[each.name] = pd.Series(named, dtype=form_of(each).dtype)
    return pd.DataFrame(columns)
