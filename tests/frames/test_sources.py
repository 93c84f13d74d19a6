"""Which measurements, and from when to when."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

import intdash_frames as idf
from intdash_frames import NotFound, UsageError
from intdash_frames.codecs.series import Series
from intdash_frames.frames.sources import Bound, Range, Source, read_bound, read_source, stored_series
from tests.frames.stored import BASETIME_NS, contents, float_row, int_row, store_rows

S = 10**9
ROWS = [float_row(i * S, float(i)) for i in range(10)]
BASETIME = pd.Timestamp(BASETIME_NS, tz="UTC")


@pytest.fixture(scope="module")
def ten(client: idf.Client) -> str:
    """A point every second, from 0 to 9 s after the base time."""
    return store_rows(client, ROWS)


@pytest.mark.parametrize(
    ("bounds", "expected"),
    [
        ({}, range(10)),
        ({"start": BASETIME + pd.Timedelta("3s")}, range(3, 10)),
        ({"end": BASETIME + pd.Timedelta("3s")}, range(3)),  # half open
        ({"start": (BASETIME + pd.Timedelta("2s")).isoformat(), "end": str(BASETIME + pd.Timedelta("4s"))}, [2, 3]),
        (
            {"start": BASETIME + pd.Timedelta("2s") + pd.Timedelta(1, "ns"), "end": BASETIME + pd.Timedelta(4_000_000_001, "ns")},
            [3, 4],
        ),
        ({"start": BASETIME.tz_convert("Asia/Tokyo").tz_localize(None) + pd.Timedelta("8s"), "tz": "Asia/Tokyo"}, [8, 9]),
        (
            {"start": (BASETIME + pd.Timedelta("8s")).as_unit("us").to_pydatetime(), "end": BASETIME + dt.timedelta(days=1)},
            [8, 9],
        ),
        ({"start": pd.Timedelta("3s"), "end": pd.Timedelta("5s")}, [3, 4]),
        ({"start": dt.timedelta(seconds=8)}, [8, 9]),
        ({"start": np.timedelta64(8, "s"), "end": np.timedelta64(9_000_000_001, "ns")}, [8, 9]),
        ({"start": "+8s"}, [8, 9]),
        ({"end": "+2s"}, [0, 1]),
        ({"start": "-2s"}, [8, 9]),  # the end lies a microsecond after the last point
        ({"start": "-4s", "end": "-2s"}, [6, 7]),
        ({"start": " -1s "}, [9]),
        ({"start": pd.Timedelta("-1h"), "end": "2100-01-01T00:00:00Z"}, range(10)),
        ({"start": pd.Timedelta("5s"), "end": pd.Timedelta("5s")}, []),
        ({"start": "2100-01-01T00:00:00Z", "end": "2100-01-02T00:00:00Z"}, []),
    ],
)
def test_a_range_gives_the_points_in_it(client: idf.Client, ten: str, bounds: dict[str, Any], expected: Any) -> None:
    f = client.frames(ten, "float:*/*", **bounds)
    assert f.to_pandas()["value"].tolist() == [float(each) for each in expected]


@pytest.mark.parametrize(
    ("bounds", "says"),
    [
        ({"start": "-2s", "end": "+2s"}, "is after end"),
        ({"start": "+12s"}, "is after end"),
        ({"start": pd.Timedelta("5s"), "end": pd.Timedelta("4s")}, "is after end"),
        ({"end": "2000-01-01T00:00:00Z"}, "is after end"),
    ],
)
def test_a_range_that_ends_before_it_starts_is_refused(client: idf.Client, ten: str, bounds: dict[str, Any], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        client.frames(ten, **bounds).to_arrow()


@pytest.mark.parametrize("value", ["2024-01-01", dt.datetime(2024, 1, 1), np.datetime64("2024-01-01"), pd.Timestamp("2024")])
def test_a_moment_without_a_zone_is_refused_unless_tz_says_which(value: Any) -> None:
    with pytest.raises(UsageError, match="no time zone"):
        read_bound(value, tz=None, name="start")
    bound = read_bound(value, tz="Asia/Tokyo", name="start")
    assert bound == Bound(pd.Timestamp("2023-12-31T15:00:00Z").value, "epoch")


@pytest.mark.parametrize("value", ["10min", "-", "+", "-10", "-x", 5, 1.5, True, [], "yesterday-ish", pd.NaT, dt.time(1)])
def test_what_is_no_moment_is_refused(value: Any) -> None:
    with pytest.raises(UsageError, match="start="):
        read_bound(value, tz="UTC", name="start")


def test_a_measurement_may_be_said_in_many_ways(client: idf.Client, ten: str) -> None:
    measurement = client.measurements.get(uuid=ten)
    listed = client.measurements.frame()
    row = listed[listed["uuid"] == ten]
    polars = pl.DataFrame({"uuid": [ten]})
    ways = [
        ten,
        ten.upper(),
        uuid.UUID(ten),
        measurement,
        row,
        row.iloc[0],
        row.iloc[0].to_dict(),
        [ten],
        (measurement,),
        iter([ten]),
        polars,
    ]
    for way in ways:
        assert client.frames(way).report.points == 10, way


@pytest.mark.parametrize(
    "source",
    ["abc", "", 5, b"x", {"name": "x"}, pd.DataFrame({"name": ["x"]}), [None], pd.Series({"name": "x"}), object()],
)
def test_what_is_no_measurement_is_refused(source: Any) -> None:
    with pytest.raises(UsageError, match="is no measurement"):
        read_source(source, None, None)


@pytest.mark.parametrize(
    ("source", "edge", "start", "says"),
    [
        (None, None, None, "one of the two"),
        ("x", "demo", None, "not both"),
        ([], None, None, "source is empty"),
        (None, "", None, "expected the name or UUID"),
        (None, 5, None, "expected the name or UUID"),
        (None, "demo", None, "needs at least start="),
        (None, "demo", pd.Timedelta("1s"), "an edge has many measurements"),
    ],
)
def test_a_source_that_is_not_one_is_refused(source: Any, edge: Any, start: Any, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        read_source(source, edge, read_bound(start, tz=None, name="start"))


def test_an_end_since_the_base_time_is_refused_for_an_edge(client: idf.Client) -> None:
    with pytest.raises(UsageError, match="end= is a duration"):
        client.frames(edge="demo", start="-10min", end="+1s")


def test_an_edge_is_read_across_its_measurements(client: idf.Client, server: idf.LocalServer) -> None:
    with server.client("other") as other:
        me = other.edges.me()
        first = store_rows(other, [float_row(0, 1.0), float_row(10, 3.0)], edge_uuid=me.uuid)
        second = store_rows(other, [float_row(0, 2.0), float_row(10, 4.0)], edge_uuid=me.uuid, basetime_ns=BASETIME_NS + 5)
        for edge in ("other", me.uuid, uuid.UUID(me.uuid), me):
            frame = other.frames(edge=edge, start=BASETIME, end=BASETIME + pd.Timedelta(15, "ns")).to_pandas()
            assert frame["value"].tolist() == [1.0, 2.0, 3.0]
            assert frame["measurement_uuid"].tolist() == [first, second, first]
        now = pd.Timestamp.now("UTC").floor("us")
        store_rows(other, [float_row(0, 5.0)], edge_uuid=me.uuid, basetime_ns=now.value)
        assert other.frames(edge="other", start="-10min").to_pandas()["value"].tolist() == [5.0]
        newest = other.frames(edge="other", start=BASETIME, end="-10min", head=2)
        assert newest.to_pandas()["value"].tolist() == [1.0, 2.0]


def test_an_edge_nobody_knows_is_not_found(client: idf.Client) -> None:
    with pytest.raises(NotFound, match="nobody"):
        client.frames(edge="nobody", start="-10min").to_arrow()


@pytest.fixture
def overlapping(client: idf.Client, make: Callable[..., str]) -> list[str]:
    """Two measurements, one with even and one with odd values, that overlap; the later one first."""
    even = make([int_row(2 * i, 2 * i, "n") for i in range(10)])
    odd = make([int_row(2 * i, 2 * i + 1, "n") for i in range(10)], basetime_ns=BASETIME_NS + 1)
    return [odd, even]


def test_several_measurements_come_in_order_of_time(client: idf.Client, overlapping: list[str]) -> None:
    f = client.frames(overlapping)
    assert f["n"]["value"].tolist() == list(range(20))
    assert list(f.signals) == [idf.SignalKey(idf.DataType.int, 1, "n")]
    assert set(f["n"]["measurement_uuid"]) == set(overlapping)
    assert sorted(f.to_reader().read_all()["payload"].to_pylist()) == sorted(f.to_arrow()["payload"].to_pylist())


@pytest.mark.parametrize("head", [1, 2, 3, 10, 19, 20, 21])
def test_head_is_the_first_points_in_order_of_time(client: idf.Client, overlapping: list[str], head: int) -> None:
    f = client.frames(overlapping, head=head)
    assert f.to_pandas()["value"].tolist() == list(range(min(head, 20)))
    streamed = client.frames(overlapping, head=head).to_reader(3).read_all()
    assert contents(streamed) == contents(f.to_arrow())
    assert contents(f.to_reader(3).read_all()) == contents(f.to_arrow())


@pytest.mark.parametrize("head", [1, 3, 5])
def test_head_counts_what_a_glob_means_and_not_what_the_server_gave(
    client: idf.Client, make: Callable[..., str], head: int
) -> None:
    uuid = make([float_row(i, float(i), "speed" if i % 3 == 0 else "other") for i in range(20)])
    for form in (
        client.frames(uuid, "sp*", head=head).to_pandas(),
        client.frames(uuid, "float:1/sp[e]ed", head=head).to_pandas(),
    ):
        assert form["value"].tolist() == [3.0 * i for i in range(head)]


def test_head_asks_the_server_for_no_more(counting: tuple[idf.Client, list[str]], ten: str) -> None:
    client, sent = counting
    assert client.frames(ten, head=4).report.points == 4
    assert "limit=4" in next(path for path in sent if path.startswith("/api/v1/data?"))


def test_a_range_may_leave_out_some_measurements(client: idf.Client, make: Callable[..., str], ten: str) -> None:
    later = make(ROWS, basetime_ns=BASETIME_NS + 3600 * S)
    f = client.frames([ten, later], start=BASETIME + pd.Timedelta("30min"))
    assert f.report.points == 10
    assert f.to_pandas()["measurement_uuid"].unique().tolist() == [later]


def test_an_unknown_measurement_is_not_found(client: idf.Client, ten: str) -> None:
    nowhere = "00000000-0000-0000-0000-00000000dead"
    with pytest.raises(NotFound):
        client.frames(nowhere).to_arrow()
    with pytest.raises(NotFound):
        client.frames(nowhere, start=BASETIME, end=BASETIME + pd.Timedelta("1s")).to_arrow()
    with pytest.raises(NotFound):
        client.frames([ten, nowhere]).to_pandas()


def test_the_server_says_which_series_a_source_holds(client: idf.Client, ten: str) -> None:
    other = store_rows(client, [int_row(0, 1), float_row(1, 2.0)])
    ranges = [Range(ten, 0, 0), Range(other, 0, 0)]
    assert stored_series(client.connection, Source((ten, other)), ranges) == [
        Series(ten, 11, 1, "speed", "11"),
        Series(other, 11, 1, "speed", "11"),
        Series(other, 12, 1, "gear", "12"),
    ]


def test_of_an_edge_only_the_series_within_the_time_are_said(client: idf.Client) -> None:
    start_ns = BASETIME_NS + 500 * 365 * 86_400 * 10**5  # where no other test has stored anything
    store_rows(client, [float_row(0, 1.0), int_row(1_000, 1)], basetime_ns=start_ns)
    for end_ns, kinds in ((start_ns + 1, [11]), (start_ns + 2000, [11, 12])):
        found = stored_series(client.connection, Source(edge="demo"), [Range("demo", start_ns, end_ns)])
        assert [(each.measurement_uuid, each.data_type) for each in found] == [("", kind) for kind in kinds]
