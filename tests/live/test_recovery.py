"""What is missing of sections, against a count of points one by one."""

from __future__ import annotations

from collections import Counter

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import intdash_frames as idf
from intdash_frames.codecs.points import Points
from intdash_frames.codecs.series import Series, SeriesTable
from intdash_frames.live.recovery import as_sent, missing_from, not_stored
from tests.client.stream_peer import Row, columns, rows_of

# Few different points, so that equal ones are common.
ROWS = st.lists(
    st.tuples(st.integers(0, 3), st.sampled_from([10, 14]), st.integers(1, 2), st.sampled_from([b"\x01xa", b"\x01yb"]))
)


def known_elsewhere(rows: list[Row]) -> Points:
    """The same points as a server names them: another table, with ids and the measurement."""
    keys, points = SeriesTable(), columns(rows)
    keys.code(Series("m", 1, 1, "something else", "1"))
    codes = [
        keys.code(Series("m", data_type, channel, payload[1:2].decode(), str(data_type)))
        for _, data_type, channel, payload in rows
    ]
    series = points.series.copy()
    series[:] = codes
    return Points(points.time_ns, series, points.data, points.offsets, keys)


@settings(deadline=None)
@given(st.lists(ROWS, max_size=3), st.lists(ROWS, max_size=3), ROWS)
def test_what_is_missing_is_what_is_not_stored_each_as_often(
    sections: list[list[Row]], batches: list[list[Row]], known: list[Row]
) -> None:
    keys = SeriesTable()
    sent = {serial: as_sent(columns(rows), keys) for serial, rows in enumerate(sections)}
    found = missing_from([known_elsewhere(rows) for rows in batches], sent, [as_sent(columns(known), keys)])

    there = Counter(row for rows in batches for row in rows)
    there.subtract(known)
    there = +there
    written = Counter(row for rows in sections for row in rows)
    assert Counter(row for points in found.values() for row in rows_of(points)) == written - there
    for serial, rows in enumerate(sections):
        left = iter(rows)
        assert all(row in left for row in rows_of(found[serial]))  # a part of the section, in its order


def test_what_a_measurement_holds_is_found_under_its_base_time_of_now(client: idf.Client) -> None:
    basetime = pd.Timestamp("2026-01-01", tz="UTC")
    measurement = client.measurements.create(client.edges.me().uuid, basetime)
    rows = [(number * 1000, 10, 1, b"\x01x" + str(number).encode()) for number in range(6)]
    points = [idf.DataPoint(pd.Timedelta(row[0]), row[1], row[2], row[3]) for row in rows[:4]]
    client.data_points.store(measurement.uuid, points)
    client.measurement_basetimes.update(measurement.uuid, basetime + pd.Timedelta("1h"), "ntp")
    client.measurements.update(measurement.uuid, basetime_type="ntp")
    keys = SeriesTable()
    sent = {4: as_sent(columns(rows[1:3]), keys), 7: as_sent(columns(rows[3:]), keys), 8: as_sent(columns([]), keys)}
    found = not_stored(client.connection, measurement.uuid, sent, [])
    assert {serial: rows_of(part) for serial, part in found.items()} == {4: [], 7: rows[4:], 8: []}


def test_a_measurement_that_is_gone_is_an_error(client: idf.Client) -> None:
    sent = {0: as_sent(columns([(0, 10, 1, b"\x01x")]), SeriesTable())}
    with pytest.raises(idf.NotFound):
        not_stored(client.connection, "00000000-0000-4000-8000-000000000000", sent, [])
