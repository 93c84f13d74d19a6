"""A lazy frame gives what the eager one gives, whatever is asked of it, and reads no more than it must."""

from __future__ import annotations

import datetime as dt
import zoneinfo
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

import intdash_frames as idf
from intdash_frames import ConversionSubBytes, DataType, Display, Fault, IncompleteRead, Signal, UsageError
from intdash_frames.frames import lazy as lazy_module
from intdash_frames.frames.signals import apply
from intdash_frames.transport.retry import RetryPolicy
from tests.frames.stored import (
    BASETIME_NS,
    Row,
    can_row,
    float_row,
    int_row,
    named,
    sensor_row,
    store_rows,
    string_row,
)

LENGTH_NS = 40_000
MIXED = [
    row
    for at in range(0, LENGTH_NS, 500)
    for row in (
        float_row(at, at / 1000, "speed", 1 + at // 500 % 3),
        float_row(at, -at / 1000, "torque"),
        int_row(at + at % 1500, at),
        string_row(at + 1, f"é{at}"),
        can_row(at + 250, 0x1A0 + at // 500 % 4),
    )
]


@pytest.fixture(scope="module")
def mixed(client: idf.Client) -> str:
    return store_rows(client, MIXED)


def data_requests(sent: list[str]) -> list[dict[str, list[str]]]:
    """The questions for points among the paths of requests."""
    return [parse_qs(urlsplit(path).query) for path in sent if path.startswith("/api/v1/data?")]


def ns(text: str) -> int:
    return pd.Timestamp(text).value


def at(elapsed_ns: int) -> pl.Expr:
    return pl.lit(BASETIME_NS + elapsed_ns).cast(pl.Datetime("ns", "UTC"))


# --- the same as eager ---


def moments() -> st.SearchStrategy[Any]:
    """An instant near the points, in any precision and zone, as users write them."""
    elapsed = st.integers(-2000, LENGTH_NS + 2000).map(lambda each: BASETIME_NS + each)
    stamps = elapsed.map(lambda each: pd.Timestamp(each, unit="ns", tz="UTC"))
    return st.one_of(
        elapsed.map(lambda each: pl.lit(each).cast(pl.Datetime("ns", "UTC"))),
        elapsed.map(lambda each: pl.lit(each // 1000).cast(pl.Datetime("us", "UTC"))),
        elapsed.map(lambda each: pl.lit(each // 1_000_000).cast(pl.Datetime("ms", "UTC"))),
        stamps.map(lambda each: each.floor("us").to_pydatetime()),
        stamps.map(
            lambda each: each.floor("us").to_pydatetime().astimezone(dt.timezone(dt.timedelta(hours=9))).astimezone(dt.UTC)
        ),
    )


COMPARE: tuple[Callable[[Any, Any], pl.Expr], ...] = (
    lambda left, right: left >= right,
    lambda left, right: left > right,
    lambda left, right: left <= right,
    lambda left, right: left < right,
    lambda left, right: left == right,
    lambda left, right: left != right,
)
time, data_id = pl.col("time"), pl.col("data_id")


def conditions() -> st.SearchStrategy[pl.Expr]:
    ids = st.sampled_from(["speed", "torque", "gear", "note", "000001a0", "000001a2", "absent", ""])
    kinds = st.sampled_from(["float", "int", "can", "string", "jpeg"])
    channels = st.integers(0, 4)
    return st.one_of(
        st.builds(lambda compare, value: compare(time, value), st.sampled_from(COMPARE), moments()),
        st.builds(
            lambda compare, value: compare(value if isinstance(value, pl.Expr) else pl.lit(value), time),
            st.sampled_from(COMPARE),
            moments(),
        ),
        st.builds(
            lambda low, high, closed: time.is_between(low, high, closed=closed),
            moments(),
            moments(),
            st.sampled_from(["both", "left", "right", "none"]),
        ),
        st.lists(st.integers(0, 3000), max_size=3).map(
            lambda values: time.is_in(
                pl.Series([BASETIME_NS + each for each in values], dtype=pl.Datetime("ns", "UTC")).implode()
            )
        ),
        st.builds(lambda compare, value: compare(pl.col("channel"), value), st.sampled_from(COMPARE), channels),
        st.builds(lambda values: pl.col("channel").is_in(values), st.lists(channels, min_size=1, max_size=3)),
        st.builds(lambda value: data_id == value, ids),
        st.builds(data_id.is_in, st.lists(ids, min_size=1, max_size=3)),
        st.builds(data_id.cast(pl.String).str.starts_with, st.sampled_from(["0", "s", "000001a"])),
        st.builds(lambda value: pl.col("data_type") == value, kinds),
        st.builds(lambda values: pl.col("data_type").is_in(values), st.lists(kinds, min_size=1, max_size=3)),
        st.builds(lambda value: pl.col("float.value") > value, st.floats(-50, 50)),
        st.just(pl.col("int.value").is_null()),
        st.just(pl.col("measurement_uuid").is_not_null()),
    )


def predicates() -> st.SearchStrategy[pl.Expr]:
    return st.recursive(
        conditions(),
        lambda inner: st.one_of(
            st.builds(lambda left, right: left & right, inner, inner),
            st.builds(lambda left, right: left | right, inner, inner),
            inner.map(lambda each: ~each),
        ),
        max_leaves=4,
    )


COLUMNS = st.one_of(
    st.none(), st.lists(st.sampled_from(["time", "data_id", "channel", "float.value", "can.data"]), min_size=1, unique=True)
)


@pytest.fixture(scope="module")
def eager(client: idf.Client, mixed: str) -> pl.DataFrame:
    return client.frames(mixed).to_polars()


@settings(max_examples=150)
@given(predicate=predicates(), columns=COLUMNS, head=st.one_of(st.none(), st.integers(0, 500)), first=st.booleans())
def test_any_predicate_gives_what_it_gives_on_the_eager_frame(
    client: idf.Client,
    mixed: str,
    eager: pl.DataFrame,
    predicate: pl.Expr,
    columns: list[str] | None,
    head: int | None,
    first: bool,
) -> None:
    def asked(frame: pl.LazyFrame) -> pl.DataFrame:
        frame = frame.head(head) if head is not None and first else frame
        frame = frame.filter(predicate)
        frame = frame.head(head) if head is not None and not first else frame
        return (frame if columns is None else frame.select(columns)).collect()

    assert_frame_equal(asked(client.frames(mixed).lazy()), asked(eager.lazy()))


def test_the_two_engines_of_polars_agree(client: idf.Client, mixed: str, eager: pl.DataFrame) -> None:
    lazy = client.frames(mixed).lazy().filter(pl.col("float.value") > 3).select("time", "float.value")
    wanted = eager.filter(pl.col("float.value") > 3).select("time", "float.value")
    for engine in ("in-memory", "streaming"):
        assert_frame_equal(lazy.collect(engine=engine), wanted)  # type: ignore[call-overload]


@pytest.mark.parametrize(
    "signals", [None, "float:*/*", "can:*/*", "general_sensor:*/*", "h264:*/*", "jpeg:*/*", "200:*/*", "gen*"]
)
def test_columns_and_types_are_those_of_the_eager_frame_but_for_raw_payloads(
    client: idf.Client, everything: str, signals: str | None
) -> None:
    lazy, eager = client.frames(everything, signals).lazy(), client.frames(everything, signals).to_polars()
    raw = [name for name in eager.columns if name == "payload" or name.endswith(".payload")]
    kept = [name for name in eager.columns if name not in raw or name in lazy.collect_schema()]
    assert lazy.collect_schema() == eager.select(kept).schema
    assert lazy.collect_schema().names() == kept
    assert_frame_equal(lazy.collect(), eager.select(kept))


def test_a_part_of_the_time_has_the_columns_of_the_types_that_occur_there(client: idf.Client, make: Callable[..., str]) -> None:
    uuid = make([float_row(0, 1.0), int_row(2000, 2), can_row(9_000_000, 0x1A0)])
    for end, columns in (("2us", ["value"]), ("4us", ["data_type", "float.value", "int.value"])):
        f = client.frames(uuid, end=pd.Timedelta(end))
        assert f.lazy().collect_schema().names()[4:] == columns
        assert_frame_equal(f.lazy().collect(), client.frames(uuid, end=pd.Timedelta(end)).to_polars())
    nothing = client.frames(uuid, start=pd.Timedelta("5us"), end=pd.Timedelta("6us"))
    assert nothing.lazy().collect_schema() == nothing.to_polars().schema


def test_only_the_sensors_that_are_there_have_columns(client: idf.Client, make: Callable[..., str]) -> None:
    f = client.frames(make([sensor_row(1, 1, (1, 2, 3)), sensor_row(2, 7, (4,)), sensor_row(3, 99, (4,))]))
    lazy = f.lazy()
    assert lazy.collect_schema().names()[4:] == ["sensor_id", "data", "ax", "ay", "az", "alt"]
    assert_frame_equal(lazy.filter(pl.col("data_id") == "0001").collect(), f.to_polars().filter(pl.col("data_id") == "0001"))


@pytest.mark.parametrize("signals", [None, "general_sensor:*/*"])
def test_a_sensor_that_does_not_occur_in_a_part_of_the_time_has_no_columns(
    client: idf.Client, make: Callable[..., str], signals: str | None
) -> None:
    uuid = make([sensor_row(1, 1, (1, 2, 3)), sensor_row(9000, 7, (4,)), float_row(9000, 1.0)])
    for end in ("1us", "9us", None):
        f = client.frames(uuid, signals, end=None if end is None else pd.Timedelta(end))
        assert f.lazy().collect_schema() == f.to_polars().schema
        assert_frame_equal(f.lazy().collect(), f.to_polars())


def test_an_edge_is_read_lazily_too(client: idf.Client, server: idf.LocalServer) -> None:
    with server.client("other") as other:
        first = store_rows(other, MIXED[:50], basetime_ns=BASETIME_NS + 10**15)
        store_rows(other, MIXED[:70], basetime_ns=BASETIME_NS + 2 * 10**15)
        given = {"edge": "other", "start": pd.Timestamp(BASETIME_NS + 10**15, tz="UTC"), "end": "2030-01-01T00:00:00Z"}
        wanted = other.frames(**given).to_polars()
        for predicate in (pl.lit(True), pl.col("measurement_uuid") == first, pl.col("data_id") == "speed"):
            assert_frame_equal(other.frames(**given).lazy().filter(predicate).collect(), wanted.filter(predicate))


@pytest.mark.parametrize("apart_ns", [0, 7, 700, 1_000_000])
def test_measurements_that_overlap_come_in_the_order_of_time(client: idf.Client, make: Callable[..., str], apart_ns: int) -> None:
    uuids = [make(MIXED[:300], basetime_ns=BASETIME_NS + number * apart_ns) for number in range(3)]
    for bounds in ({}, {"start": "2020-01-01T00:00:00Z", "end": "2030-01-01T00:00:00Z"}):
        wanted = client.frames(uuids, **bounds).to_polars()
        assert_frame_equal(client.frames(uuids, **bounds).lazy().collect(), wanted)
        one = pl.col("measurement_uuid") == uuids[1]
        assert_frame_equal(client.frames(uuids, **bounds).lazy().filter(one).collect(), wanted.filter(one))


@pytest.mark.parametrize("zone", ["Asia/Tokyo", "America/New_York", "UTC"])
def test_the_zone_is_that_of_the_frames(client: idf.Client, mixed: str, zone: str) -> None:
    f = client.frames(mixed, "float:*/*", tz=zone)
    since = dt.datetime(2020, 7, 9, 8, 34, 10, 832_620, dt.UTC).astimezone(zoneinfo.ZoneInfo(zone))
    wanted = client.frames(mixed, "float:*/*", tz=zone).to_polars().filter(pl.col("time") > since)
    assert_frame_equal(f.lazy().filter(pl.col("time") > since).collect(), wanted)
    assert 0 < f.report.points < 160
    assert wanted.schema["time"] == pl.Datetime("ns", zone)


# --- what is asked of the server ---


HUNDRED = 100


@pytest.fixture(scope="module")
def hundred(client: idf.Client) -> str:
    """A measurement of a hundred signals, of a thousand points each."""
    uuid = store_rows(client, [])
    frame = pd.DataFrame(
        {f"signal_{number:03d}": range(1000) for number in range(HUNDRED)},
        index=pd.to_timedelta(range(0, 1_000_000_000, 1_000_000), unit="ns"),
        dtype=float,
    )
    idf.store(frame, uuid, client=client)
    return uuid


def test_one_signal_of_a_hundred_costs_hardly_more_bytes_than_its_own(
    counting: tuple[idf.Client, list[str]], hundred: str
) -> None:
    client, sent = counting
    alone = client.frames(hundred, "float:1/signal_042")
    alone.to_arrow()
    sent.clear()
    f = client.frames(hundred)
    got = f.lazy().filter(pl.col("data_id") == "signal_042").select("time", "value").collect()
    assert got["value"].to_list() == list(range(1000))
    assert f.report.points == 1000
    assert f.report.bytes <= 1.02 * alone.report.bytes
    (asked,) = data_requests(sent)
    assert asked["idq"] == ["11:1/signal_042"]
    assert len(sent) <= 4  # the measurement, its ids, the points, and perhaps the version


def test_a_range_of_time_and_ids_go_to_the_server(counting: tuple[idf.Client, list[str]], mixed: str) -> None:
    client, sent = counting
    inside = pl.col("time").is_between(at(10_000), at(12_000), closed="left")
    chosen = pl.col("channel").is_in([1, 2]) & (pl.col("data_type") == "float") & (pl.col("data_id") != "torque")
    f = client.frames(mixed)
    f.lazy().filter(inside & chosen & (pl.col("float.value") > 0)).collect()
    (asked,) = data_requests(sent)
    assert asked["idq"] == ["11:1/speed", "11:2/*"]  # on channel 2 there is no other float
    assert (ns(asked["start"][0]), ns(asked["end"][0])) == (BASETIME_NS + 10_000, BASETIME_NS + 12_001)
    assert f.report.points == 3


def test_one_measurement_of_several_is_read_alone(counting: tuple[idf.Client, list[str]], make: Callable[..., str]) -> None:
    client, sent = counting
    uuids = [make(MIXED[:20]) for _ in range(3)]
    lazy = client.frames(uuids).lazy()
    assert lazy.filter(pl.col("measurement_uuid") == uuids[1]).collect()["measurement_uuid"].unique().to_list() == [uuids[1]]
    assert [asked["name"] for asked in data_requests(sent)] == [[uuids[1]]]


def test_a_type_that_is_wanted_whole_is_asked_for_by_its_number(counting: tuple[idf.Client, list[str]], mixed: str) -> None:
    client, sent = counting
    client.frames(mixed).lazy().filter(pl.col("data_type").is_in(["can", "string"])).collect()
    (asked,) = data_requests(sent)
    assert sorted(asked["idq"]) == ["10:*/*", "1:*/*"]


def test_what_can_match_nothing_asks_for_no_points(counting: tuple[idf.Client, list[str]], mixed: str) -> None:
    client, sent = counting
    lazy = client.frames(mixed).lazy()
    late = dt.datetime(2100, 1, 1, tzinfo=dt.UTC)
    for predicate in (
        pl.col("data_id") == "absent",
        pl.col("time") > late,
        (pl.col("channel") == 9) & pl.col("data_type").is_null(),
    ):
        assert lazy.filter(predicate).collect().height == 0
    assert data_requests(sent) == []


def test_head_stops_the_download(counting: tuple[idf.Client, list[str]], hundred: str) -> None:
    client, sent = counting
    f = client.frames(hundred)
    assert f.lazy().head(10).collect().height == 10
    (asked,) = data_requests(sent)
    assert asked["limit"] == ["10"]
    assert f.report.points == 10


def test_the_schema_is_known_without_reading_points(counting: tuple[idf.Client, list[str]], mixed: str) -> None:
    client, sent = counting
    client.frames(mixed).lazy().collect_schema()
    assert data_requests(sent) == []
    sent.clear()
    client.frames(mixed, "float:*/*").lazy().collect_schema()
    assert sent == []


def test_nothing_is_sent_before_a_lazy_frame_is_used(counting: tuple[idf.Client, list[str]], mixed: str) -> None:
    client, sent = counting
    client.frames(mixed).lazy().filter(pl.col("float.value") > 1).select("time")
    assert sent == []


def test_payloads_are_decoded_only_for_the_columns_that_are_wanted(client: idf.Client, make: Callable[..., str]) -> None:
    f = client.frames(make([float_row(1, 1.0), Row(2, DataType.float, 1, b"\x05short"), Row(3, DataType.can, 1, b"\x01\x02")]))
    lazy = f.lazy()
    lazy.select("time", "data_id", "data_type").collect()
    assert (f.report.points, f.report.undecodable) == (3, 0)
    lazy.select("float.value").collect()
    assert f.report.undecodable == 1
    lazy.collect()
    assert f.report.undecodable == 2


# --- what is there already, and what goes wrong ---


def raises(kind: type[Exception], match: str) -> pytest.RaisesExc[Exception]:
    """An error as polars passes it on; before version 2 in an error of its own that holds only the text."""
    return pytest.raises(kind if int(pl.__version__.split(".")[0]) >= 2 else pl.exceptions.ComputeError, match=match)


def test_what_was_read_before_is_used(counting: tuple[idf.Client, list[str]], mixed: str) -> None:
    client, sent = counting
    f = client.frames(mixed)
    wanted = f.to_polars()
    sent.clear()
    assert_frame_equal(f.lazy().filter(pl.col("channel") == 2).collect(), wanted.filter(pl.col("channel") == 2))
    assert_frame_equal(f.lazy().head(3).collect(), wanted.head(3))
    assert sent == []


def test_computed_frames_can_be_lazy(client: idf.Client, mixed: str) -> None:
    signal = Signal(
        "", "twice", "", DataType.can, "000001a0", 1, ConversionSubBytes(0, 1), Display("", 0.0, 1.0, "%d"), "", None, None
    )
    computed = apply(client.frames(mixed), [signal])
    wanted = apply(client.frames(mixed), [signal]).to_polars()
    early = pl.col("time") < at(20_000)
    assert_frame_equal(computed.lazy().filter(early).collect(), wanted.filter(early))
    assert 0 < wanted.filter(early).height < wanted.height


def test_a_query_with_head_gives_its_first_points_whatever_is_asked_of_them(client: idf.Client, mixed: str) -> None:
    for signals in (None, "float:*/*"):
        wanted = client.frames(mixed, signals, head=20).to_polars()
        lazy = client.frames(mixed, signals, head=20).lazy()
        assert_frame_equal(lazy.filter(pl.col("data_id") == "torque").collect(), wanted.filter(pl.col("data_id") == "torque"))
        assert_frame_equal(lazy.head(5).collect(), wanted.head(5))


def test_a_signal_that_is_nowhere_is_refused_as_by_other_sinks(client: idf.Client, mixed: str) -> None:
    for signals in (["float:1/spede"], ["float:1/speed", "float:1/spede"]):
        with raises(UsageError, match=r"no signal 'float:1/spede'.*speed"):
            client.frames(mixed, signals).lazy().collect()
    assert client.frames(mixed, "float:1/spede", errors="collect").lazy().collect().height == 0


@pytest.fixture
def faulty() -> Iterator[tuple[idf.LocalServer, idf.Client, str]]:
    with idf.LocalServer() as server, server.client(retries=0) as client:
        client.connection.transport.policy = RetryPolicy(0)
        yield server, client, store_rows(client, MIXED)


def test_an_incomplete_read_is_an_error_of_collect(faulty: tuple[idf.LocalServer, idf.Client, str]) -> None:
    server, client, uuid = faulty
    lazy = client.frames(uuid, "float:*/*").lazy()
    for query in (lazy, lazy.filter(pl.col("value") > 1), lazy.select("time")):
        server.inject(Fault.cut_body(at=0.7, path="/api/v1/data"))
        with raises(IncompleteRead, match="but not all"):
            query.collect()
        assert query.collect().height > 0
    whole = client.frames(uuid, head=300).lazy()
    server.inject(Fault.cut_body(at=0.7, path="/api/v1/data"))
    with raises(IncompleteRead, match="but not all"):
        whole.collect()
    assert whole.collect().height == 300
    server.inject(Fault.cut_body(at=0.7, path="/api/v1/data"))
    f = client.frames(uuid, "float:*/*", errors="collect")
    assert f.lazy().collect().height < 160
    assert not f.report.complete


def test_a_server_that_does_not_tell_its_ids_is_read_for_the_columns(faulty: tuple[idf.LocalServer, idf.Client, str]) -> None:
    server, client, uuid = faulty
    wanted = client.frames(uuid).to_polars().filter(pl.col("data_id") == "speed")
    server.inject(Fault.status(404, times=1, path=f"/api/v1/measurements/{uuid}/getids"))
    assert_frame_equal(client.frames(uuid).lazy().filter(pl.col("data_id") == "speed").collect(), wanted)


def test_ids_that_look_like_patterns_are_asked_for_as_they_are(client: idf.Client, make: Callable[..., str]) -> None:
    names = ["a*", "ab", "a?", "[b]", "b"]
    f = client.frames(make([float_row(number, float(number), name) for number, name in enumerate(names)]))
    for name in names:
        assert f.lazy().filter(pl.col("data_id") == name).collect()["value"].to_list() == [float(names.index(name))]


def test_frames_come_as_the_points_do(client: idf.Client, make: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lazy_module, "MOST_BYTES", 4000)
    f = client.frames(make([Row(number, DataType.bytes, 1, named("b", bytes(1500))) for number in range(200)]))
    heights: list[int] = []

    def noted(frame: pl.DataFrame) -> pl.DataFrame:
        heights.append(frame.height)
        return frame

    assert f.lazy().map_batches(noted, streamable=True).collect(engine="streaming").height == 200
    assert len(heights) > 1
