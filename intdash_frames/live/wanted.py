"""Which signals of an edge -> the filters of a downstream.

Source: protocol 5.3.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from intdash_frames.frames.selection import Pattern, Selection
from intdash_frames.model import DataFilter, DataType
from intdash_frames.protocol.wire import U8

__all__ = ["filters_of"]


def filters_of(selection: Selection) -> list[DataFilter]:
    """Write what is selected as filters.

    Parameters
    ----------
    selection : Selection
        What filters cannot say (wildcards inside an id) is asked for more widely; `Selection.keeps` narrows what comes.

    Returns
    -------
    list of DataFilter
        Everything, where nothing is selected: every known type on every channel, since what an empty list means is not known
        (protocol 8.9).
    """
    every = Pattern("*", None, None, "*")
    found = dict.fromkeys(each for pattern in selection.patterns or (every,) for each in _filters(pattern))
    # More ids of one type and channel than a filter has rules: then all of them.
    ids = Counter((each.data_type, each.channel) for each in found if each.data_id is not None)
    crowded = {group for group, count in ids.items() if count > U8.largest}
    wide = {(each.data_type, each.channel) for each in found if each.data_id is None} | crowded
    # In a request, ids win over "every id" of the same type and channel; here everything was meant.
    return list(
        dict.fromkeys(
            DataFilter(each.data_type, each.channel) if (each.data_type, each.channel) in wide else each for each in found
        )
    )


def _filters(pattern: Pattern) -> Iterator[DataFilter]:
    types = [DataType(each) for each in DataType if each is not DataType.basetime]
    if pattern.data_type is not None:
        types = [pattern.data_type]  # type: ignore[list-item]
    # An id means another thing in each type, and only one type says how it is spelled.
    data_id = pattern.data_id if pattern.is_literal and pattern.data_type is not None else None
    for data_type in types:
        for channel in range(256) if pattern.channel is None else [pattern.channel]:
            yield DataFilter(data_type, channel, data_id)
