"""Where elapsed time 0 is: what a stream says, and which measurement it belongs to."""

import asyncio
from collections.abc import Iterator

import numpy as np
import pandas as pd
import pytest

import intdash_frames as idf
from intdash_frames import data
from intdash_frames.codecs.points import Points
from intdash_frames.codecs.series import Series, SeriesTable
from intdash_frames.live.origin import Origin, Placing, find_origin, rekeyed
from intdash_frames.model import BasetimeType
from tests.codecs.some_points import points_of, rows_of

START = pd.Timestamp("2026-01-01T00:00:00.123456789Z")
EARLIER, LATER = START - pd.Timedelta("10s"), START + pd.Timedelta("2h")
SPEED, BASE = Series("", 11, 1, "speed", "11"), Series("", 135, 0, "basetime", "135")


def basetime(moment, kind=BasetimeType.ntp):
    return data.Basetime(type=kind, basetime=moment).to_payload()


def place(*messages, find=lambda _: None, keys=None):
    """Everything placed, as (time, measurement, type), and how many points were not."""

    async def found(basetime_ns):
        return find(basetime_ns)

    async def run():
        placing, source, rows, unplaced = Placing(keys or SeriesTable(), found), SeriesTable(), [], 0
        for message in messages:
            parts, missed = await placing.place(points_of(message, source))
            rows += [(t, key.measurement_uuid, key.data_type) for part in parts for t, key, _ in rows_of(part)]
            unplaced += missed
        return rows, unplaced, placing.origin

    return asyncio.run(run())


def test_times_count_from_the_newest_base_time_even_in_the_middle_of_a_message():
    message = [(0, BASE, basetime(START)), (5, SPEED, b"a"), (0, BASE, basetime(LATER)), (7, SPEED, b"b")]
    rows, unplaced, _ = place(message)
    assert rows == [(START.value, "", 135), (START.value + 5, "", 11), (LATER.value, "", 135), (LATER.value + 7, "", 11)]
    assert unplaced == 0


def test_points_before_any_base_time_cannot_be_placed_and_are_counted():
    rows, unplaced, origin = place([(5, SPEED, b"a"), (6, SPEED, b"b")], [(7, SPEED, b"c")])
    assert (rows, unplaced, origin) == ([], 3, None)


def test_without_a_base_time_the_only_running_measurement_gives_it():
    rows, unplaced, _ = place([(5, SPEED, b"a")], find=lambda basetime_ns: Origin(100, "m") if basetime_ns is None else None)
    assert (rows, unplaced) == ([(105, "m", 11)], 0)


def test_the_base_time_in_use_of_the_measurement_is_what_counts():
    rows, _, _ = place([(0, BASE, basetime(START)), (5, SPEED, b"a")], find=lambda basetime_ns: Origin(1000, "m"))
    assert rows == [(1000, "m", 135), (1005, "m", 11)]


def test_a_base_time_that_is_repeated_for_a_new_subscriber_is_no_second_point():
    message = [(0, BASE, basetime(START))]
    rows, _, _ = place([*message, (5, SPEED, b"a")], message, [(6, SPEED, b"b")])
    assert [kind for _, _, kind in rows] == [135, 11, 11]


def test_all_base_times_that_a_new_connection_repeats_are_in_force_again_and_no_points():
    clocks = [(0, BASE, basetime(EARLIER, BasetimeType.edge_rtc)), (0, BASE, basetime(START))]

    async def run():
        async def found(_):
            return None

        placing, kinds = Placing(SeriesTable(), found), []
        for message in ([*clocks, (5, SPEED, b"a")], [*clocks, (6, SPEED, b"b")], [(0, BASE, basetime(LATER)), *clocks]):
            parts, _ = await placing.place(points_of(message, SeriesTable()))  # a table of its own is a connection of its own
            kinds.append([(time, key.data_type) for part in parts for time, key, _ in rows_of(part)])
        return kinds, placing.origin.basetime_ns

    kinds, basetime_ns = asyncio.run(run())
    assert kinds[1:] == [[(START.value + 6, 11)], [(LATER.value, 135)]]
    assert basetime_ns == START.value


@pytest.mark.parametrize(
    ("first", "second", "in_force"),
    [
        ((START, "ntp"), (EARLIER, "edge_rtc"), START),
        ((START, "edge_rtc"), (EARLIER, "ntp"), EARLIER),
        ((START, "gps"), (LATER, "edge_rtc"), LATER),
        ((START, "edge_rtc"), (EARLIER, "edge_rtc"), EARLIER),
    ],
    ids=["its own clock tells less", "a better clock", "another start", "said anew"],
)
def test_of_base_times_of_one_start_that_of_the_better_clock_counts(first, second, in_force):
    messages = [[(0, BASE, basetime(moment, BasetimeType[kind]))] for moment, kind in (first, second)]
    _, _, origin = place(*messages)
    assert origin.basetime_ns == in_force.value


def test_a_base_time_that_cannot_be_read_is_a_point_like_any_other():
    rows, unplaced, _ = place([(0, BASE, basetime(START)), (3, BASE, b"\x02")])
    assert (rows[-1], unplaced) == ((START.value + 3, "", 135), 0)


def test_series_of_two_tables_meet_in_a_third():
    keys = SeriesTable()
    one, other = points_of([(1, SPEED, b"a")]), points_of([(1, BASE, b""), (2, SPEED, b"b")])
    first, second = rekeyed(one, keys, "m"), rekeyed(other, keys, "m")
    assert (first.series[0], second.series[1]) == (0, 0)
    assert [key.measurement_uuid for key in keys] == ["m", "m"]
    assert rekeyed(Points.empty(keys), SeriesTable()).series.dtype == np.int32


# --- on a server ---


@pytest.fixture(scope="module")
def client() -> Iterator[idf.Client]:
    with idf.LocalServer() as server, server.client() as client:
        yield client


def test_the_running_measurement_is_found_by_any_of_its_base_times(client: idf.Client):
    edge = client.edges.me().uuid
    make = client.measurements.create
    ended = make(edge, START, "ntp")
    client.measurements.update(ended.uuid, ended=True)
    other, wanted = make(edge, LATER, "ntp"), make(edge, START, "ntp")
    client.measurement_basetimes.update(wanted.uuid, EARLIER, "edge_rtc")
    assert find_origin(client.connection, edge, START.value) == Origin(START.value, wanted.uuid)
    assert find_origin(client.connection, edge, EARLIER.value) == Origin(START.value, wanted.uuid)
    assert find_origin(client.connection, edge, LATER.value) == Origin(LATER.value, other.uuid)
    assert find_origin(client.connection, edge, START.value + 1) is None
    assert find_origin(client.connection, edge, None) is None  # two of them run
    client.measurements.update(other.uuid, ended=True)
    assert find_origin(client.connection, edge, None) == Origin(START.value, wanted.uuid)
