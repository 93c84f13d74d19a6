"""Labels in a data query: rows that signals make of stored ones, among the stored ones that were asked for.

Source: protocol 3.1, 3.5 and 7.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from itertools import islice

import duckdb
import numpy as np

from intdash_frames.codecs.points import Points
from intdash_frames.codecs.series import SeriesTable
from intdash_frames.codecs.signals import convert, converted_points, in_slices
from intdash_frames.server.definitions import signals_with_labels
from intdash_frames.server.selection import DataQuery
from intdash_frames.server.store import SeriesId

__all__ = ["labelled", "with_signals"]


def with_signals(cursor: duckdb.DuckDBPyConnection, query: DataQuery) -> DataQuery:
    """Look up what the labels of a query stand for; one that nobody defined stands for nothing (protocol 3.1)."""
    return dataclasses.replace(query, signals=signals_with_labels(cursor, query.labels)) if query.labels else query


def labelled(parts: Iterator[Points], query: DataQuery, keys: SeriesTable) -> Iterator[Points]:
    """Add converted rows to the parts of an answer.

    Parameters
    ----------
    parts : iterator of Points
        What the query selects, as it is stored.
    query : DataQuery
    keys : SeriesTable
        Of `parts`, which may add to it.

    Yields
    ------
    Points
        Pieces of a bounded size: each row that was asked for as itself, followed by what the signals make of it, in the order of
        `query.signals`. With `exit_on_error`, nothing from the first failure on.
    """
    known: list[bool] = []
    for part in parts:
        known += [query.keeps(SeriesId(key.data_type, key.channel, key.data_id)) for key in islice(keys, len(known), None)]
        kept = np.asarray(known, np.bool_)
        for piece in in_slices(part, query.signals):
            converted = convert(piece, query.signals)
            yield converted_points(piece, converted, kept=kept[piece.series], failures="stop" if query.exit_on_error else "rows")
            if query.exit_on_error and any(each.failures for each in converted):
                return
