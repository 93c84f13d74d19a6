"""What a lost connection left in doubt: which points of it the measurement does not hold.

Source: protocol 5.9.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from intdash_frames.client.sections import Section, held_before
from intdash_frames.codecs.points import Points
from intdash_frames.codecs.series import Series, SeriesTable
from intdash_frames.frames.store import basetime_ns_of
from intdash_frames.live.merge import without

if TYPE_CHECKING:
    from intdash_frames.client.connection import Connection

__all__ = ["as_sent", "missing_from", "not_stored"]


def not_stored(
    connection: Connection, measurement_uuid: str, sent: Mapping[int, Points], known: Sequence[Points]
) -> dict[int, Points]:
    """Read back what a measurement holds, and give what it does not.

    Parameters
    ----------
    connection : Connection
    measurement_uuid : str
    sent : mapping of int to Points
        Points of each section that is in doubt; see `as_sent`.
    known : sequence of Points
        What the measurement is known to hold besides; an equal point of a section is another one.

    Returns
    -------
    dict of int to Points
        Of each section, what is missing, in its order.

    Raises
    ------
    IntdashError
        If it cannot be read.
    """
    sections = [Section(serial, points) for serial, points in sent.items() if len(points)]
    if not sections:
        return dict(sent)
    # The base time may have been moved meanwhile, and with it what is read back.
    basetime_ns = basetime_ns_of(connection.measurements.get(uuid=measurement_uuid))
    return missing_from(held_before(connection, measurement_uuid, basetime_ns, sections), sent, known)


def missing_from(stored: Sequence[Points], sent: Mapping[int, Points], known: Sequence[Points]) -> dict[int, Points]:
    """Leave out of sections what is stored, each point as often as it is stored and not `known`.

    Parameters
    ----------
    stored : sequence of Points
        Batches of what is there, in any table of series.
    sent : mapping of int to Points
        Sections; all in one table, as `as_sent` gives them, and `known` in the same.
    known : sequence of Points

    Returns
    -------
    dict of int to Points
    """
    missing, others = dict(sent), list(known)
    keys = next((points.keys for points in missing.values()), SeriesTable())
    for batch in stored:
        there = as_sent(batch, keys)
        for number, other in enumerate(others):
            there, others[number] = without(there, other), without(other, there)
        for serial, points in missing.items():
            missing[serial], there = without(points, there), without(there, points)
    return missing


def as_sent(points: Points, keys: SeriesTable) -> Points:
    """The same points told apart by what travels, which is channel, type and payload, whatever they are called here or there.

    Parameters
    ----------
    points : Points
    keys : SeriesTable
        Takes the series.
    """
    codes = [keys.code(Series("", key.data_type, key.channel, "", str(key.data_type))) for key in points.keys]
    series = np.asarray(codes, np.int32)[points.series] if codes else points.series
    return Points(points.time_ns, series, points.data, points.offsets, keys)
