from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import intdash_frames as idf
from intdash_frames.errors import IntdashError
from intdash_frames.frames.store import StoreResult, store
from intdash_frames.model import Measurement, SignalKey
from intdash_frames.protocol.endpoints import BASETIMES_PUT
from intdash_frames.server.app import Server, serve
from intdash_frames.server.faults import Fault
from intdash_frames.transport.retry import RetryPolicy

STORE, READ = "/api/v1/measurements/data", "/api/v1/data"
BASE = pd.Timestamp("2024-03-01T09:30:00.000000123Z")
RETRIES = 2
FIELDS = ["time", "data_type", "channel", "data_id", "payload"]
NOWHERE = "http://127.0.0.1:1"


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with serve(edges={"demo": "token", "truck 7": "other-token"}) as running:
        yield running


@pytest.fixture
def client(server: Server) -> Iterator[idf.Client]:
    with idf.Client(server.url, "token") as made:
        made.connection.transport.policy = RetryPolicy(RETRIES, sleep=lambda _: None)
        yield made
    disarm(server)


def disarm(server: Server) -> None:
    """Forget the faults that no request met."""
    server._faults._armed.clear()


@pytest.fixture
def sent(client: idf.Client, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Requests of the client that change something."""
    sent = []
    send = client.connection.transport.send

    def watched(request: Any, **options: Any) -> Any:
        if request.method != "GET":
            sent.append(request.endpoint)
        return send(request, **options)

    monkeypatch.setattr(client.connection.transport, "send", watched)
    return sent


def frame(rows: int = 10, *, step: str = "10ms", start: pd.Timestamp = BASE, **columns: Any) -> pd.DataFrame:
    index = pd.to_datetime(start.value + np.arange(rows) * pd.Timedelta(step).as_unit("ns").value, unit="ns", utc=True)
    return pd.DataFrame(columns or {"speed": np.arange(rows) * 0.1}, index=index)


def contents(client: idf.Client, measurement: Any, **options: Any) -> list[tuple[Any, ...]]:
    """Everything that a measurement holds, in the order given."""
    table = client.frames(measurement, progress=False, **options).to_arrow().select(FIELDS)
    columns = [
        (column.cast(pa.int64()) if name == "time" else column).to_pylist()
        for name, column in zip(FIELDS, table.columns, strict=True)
    ]
    return list(zip(*columns, strict=True))


def doubled(rows: list[tuple[Any, ...]], times: int = 2) -> Counter[tuple[Any, ...]]:
    return Counter({row: count * times for row, count in Counter(rows).items()})


# --- where it goes ---


def test_a_frame_makes_a_measurement_that_begins_with_its_first_stamp_and_has_ended(client: idf.Client) -> None:
    result = frame(11).intdash.store()
    assert isinstance(result.measurement, Measurement)
    assert result.measurement.basetime == BASE
    assert result.measurement.ended
    assert result.measurement.duration == pd.Timedelta("100ms")
    assert result.measurement.edge_uuid == client.edges.me().uuid
    assert (result.points, result.sections, result.complete) == (11, 1, True)
    assert result.bytes > 11 * 20
    assert result.seconds > 0
    assert result.failed.empty
    assert list(result.failed.columns) == ["serial_number", "points", "first", "last", "fate", "reason"]
    back = client.frames(result.measurement)["float:1/speed"]
    assert (back.index == frame(11).index).all()
    assert (back["value"] == frame(11)["speed"]).all()


def test_a_measurement_that_is_not_final_goes_on(client: idf.Client) -> None:
    result = frame().intdash.store(final=False)
    assert not result.measurement.ended
    later = frame(start=BASE + pd.Timedelta("1s")).intdash.store(result.measurement)
    assert later.measurement.uuid == result.measurement.uuid
    assert later.measurement.ended
    assert len(contents(client, later.measurement)) == 20


def test_a_measurement_is_given_as_its_uuid_a_model_or_a_row(client: idf.Client) -> None:
    first = frame(1).intdash.store().measurement
    listed = client.measurements.frame(start=BASE - pd.Timedelta("1s"), end=BASE + pd.Timedelta("1s"))
    row = listed[listed["uuid"] == first.uuid].iloc[0]
    for given_as in (first.uuid, first, row):
        assert frame(1).intdash.store(given_as).measurement.uuid == first.uuid
    assert doubled(contents(client, first), 1) == doubled(contents(client, frame(1).intdash.store().measurement), 4)


def test_a_new_measurement_may_have_a_name_and_another_edge(client: idf.Client) -> None:
    truck = next(edge for edge in client.edges.list() if edge.name == "truck 7")
    for edge in ("truck 7", truck.uuid, truck):
        made = frame().intdash.store(edge=edge, name="a drive").measurement
        assert (made.edge_uuid, made.name) == (truck.uuid, "a drive")


def test_the_client_given_is_used_and_not_the_newest(client: idf.Client) -> None:
    with idf.Client(NOWHERE, "token", retries=0):
        for given_as in (client, client.connection):
            assert frame().intdash.store(client=given_as).points == 10


def test_elapsed_times_count_from_the_base_time_of_the_measurement(client: idf.Client) -> None:
    made = client.measurements.create(client.edges.me().uuid, BASE)
    df = frame(3)
    df.index = pd.to_timedelta([0, 5, 7], unit="ns")
    df.intdash.store(made)
    assert [row[0] - BASE.value for row in contents(client, made)] == [0, 5, 7]


def test_elapsed_times_make_a_measurement_that_begins_now(client: idf.Client) -> None:
    df = frame(2)
    df.index = pd.to_timedelta([1, 2], unit="s")
    before = pd.Timestamp.now("UTC")
    made = df.intdash.store().measurement
    assert before <= made.basetime <= pd.Timestamp.now("UTC")
    assert [row[0] - made.basetime.value for row in contents(client, made)] == [10**9, 2 * 10**9]


def test_several_frames_are_stored_together_in_the_order_of_time(client: idf.Client) -> None:
    late, early = frame(2, start=BASE + pd.Timedelta("1s"), a=[1.0, 2.0]), frame(2, b=[3, 4])
    for several in ([late, early], (late, early), {"late": late, "early": early}):
        made = idf.store(several).measurement
        assert made.basetime == BASE
        assert [row[3] for row in contents(client, made)] == ["b", "b", "a", "a"]


def test_rows_out_of_order_are_stored_all_the_same(client: idf.Client) -> None:
    df = frame(20).iloc[::-1]
    made = df.intdash.store(section_bytes=200).measurement
    assert made.basetime == BASE
    assert (client.frames(made)["speed"]["value"] == frame(20)["speed"]).all()


def test_nothing_makes_an_ended_measurement_of_nothing(client: idf.Client) -> None:
    result = frame(3, a=[np.nan] * 3).intdash.store()
    assert (result.points, result.sections, result.complete) == (0, 0, True)
    assert result.measurement.ended
    assert not frame(0).intdash.store(final=False).measurement.ended


def test_polars_and_arrow_frames_are_stored_as_the_pandas_one_is(client: idf.Client) -> None:
    expected = contents(client, frame().intdash.store().measurement)
    polars = pl.DataFrame({"time": frame().index.tz_localize(None).to_numpy(), "speed": frame()["speed"].to_numpy()})
    polars = polars.with_columns(pl.col("time").dt.replace_time_zone("UTC"))
    assert contents(client, polars.intdash.store().measurement) == expected
    assert contents(client, idf.store(polars.to_arrow()).measurement) == expected
    assert contents(client, idf.store(frame()["speed"]).measurement) == expected


def test_frames_that_were_read_go_back_to_the_same_bytes_whichever_way(client: idf.Client) -> None:
    df = frame(6, f=np.arange(6) / 7, i=range(6), s=list("abcdef"), b=[b"\0x"] * 6)
    made = idf.store(df, channel=7, signals={"f": "float:3/other name"}).measurement
    read = client.frames(made)
    assert {str(each) for each in read.signals} == {"float:3/other name", "int:7/i", "string:7/s", "bytes:7/b"}
    expected = Counter(contents(client, made))
    for sink in (read, read.to_arrow(), read.by_type(), read.by_signal(), read.to_pandas(), read.to_polars()):
        assert Counter(contents(client, idf.store(sink).measurement)) == expected


# --- how it is sent ---


def test_sections_split_what_is_sent_and_number_it(client: idf.Client, server: Server) -> None:
    df = frame(1000)
    whole, parts = df.intdash.store(), df.intdash.store(section_bytes=4000)
    assert (whole.sections, parts.sections) == (1, 11)
    assert whole.bytes <= parts.bytes
    assert contents(client, whole.measurement) == contents(client, parts.measurement)
    assert df.iloc[:3].intdash.store(section_bytes=1).sections == 3


@pytest.mark.parametrize("final", [False, True])
def test_a_dry_run_sends_nothing_and_says_what_would_be_sent(client: idf.Client, sent: list[str], final: bool) -> None:
    made = client.measurements.create(client.edges.me().uuid, BASE)
    sent.clear()
    trials = [frame(500).intdash.store(target, section_bytes=5000, final=final, dry_run=True) for target in (made, None)]
    assert sent == []
    real = frame(500).intdash.store(made, section_bytes=5000, final=final)
    assert len(sent) == real.sections > 1
    assert [trial.measurement for trial in trials] == [made, None]
    for trial in trials:
        assert (trial.points, trial.sections, trial.bytes) == (real.points, real.sections, real.bytes)
        assert not trial.complete
        assert trial.failed.empty


def test_a_dry_run_of_a_new_measurement_needs_no_server() -> None:
    with idf.Client(NOWHERE, "token", retries=0):
        assert frame().intdash.store(dry_run=True).points == 10


def test_progress_is_told_after_every_section(client: idf.Client) -> None:
    told: list[dict[str, Any]] = []
    result = frame(100).intdash.store(section_bytes=1000, progress=told.append)
    assert len(told) == result.sections > 2
    assert told[-1] == {"done": 100, "total": 100, "points": 100, "bytes": result.bytes}
    assert [each["done"] for each in told] == sorted(each["done"] for each in told)


def test_a_store_into_a_new_measurement_reads_nothing(client: idf.Client, server: Server) -> None:
    server.inject(Fault.status(404, times=99, path=READ))
    assert frame(100).intdash.store(section_bytes=1000).complete


# --- what goes wrong on the way ---


FAULTS = [
    Fault.lose_answer(path=STORE),
    Fault.cut_body(path=STORE),
    Fault.status(500, path=STORE),
    Fault.status(503, times=2, path=STORE),
    Fault.retry_after(0, path=STORE),
    Fault.nack(path=STORE),
]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: f"{fault.kind.value} {fault.amount:g}")
@pytest.mark.parametrize("again", [False, True], ids=["new", "equal points held"])
def test_every_point_is_there_once_whatever_happens_on_the_way(
    client: idf.Client, server: Server, fault: Fault, again: bool
) -> None:
    # Sections share instants at their borders, and points are equal within a section and across.
    df = pd.concat([frame(6, step="0s", a=[1.0] * 6), frame(6, a=range(6)), frame(6, step="0s", a=[0.0] * 6)])
    clean = contents(client, df.intdash.store().measurement)
    made = df.intdash.store(final=False).measurement if again else None
    target = made if again else client.measurements.create(client.edges.me().uuid, BASE)
    before = contents(client, target) if again else []

    def interfere(told: dict[str, Any]) -> None:
        server.inject(fault)

    result = df.intdash.store(target, section_bytes=150, progress=interfere)
    assert result.sections > 5
    assert result.complete
    assert Counter(contents(client, target)) == Counter(before) + Counter(clean)


def test_the_same_frame_stored_twice_is_there_twice_also_when_the_second_answer_is_lost(
    client: idf.Client, server: Server
) -> None:
    once = frame().intdash.store()
    rows = contents(client, once.measurement)
    frame().intdash.store(once.measurement)
    assert Counter(contents(client, once.measurement)) == doubled(rows)
    server.inject(Fault.lose_answer(path=STORE))
    frame().intdash.store(once.measurement)
    assert Counter(contents(client, once.measurement)) == doubled(rows, 3)


@pytest.fixture
def refused(client: idf.Client, server: Server) -> StoreResult:
    """A store of ten sections, the fourth to sixth of which the server did not take."""
    policy = client.connection.transport.policy
    client.connection.transport.policy = RetryPolicy(0)
    made = client.measurements.create(client.edges.me().uuid, BASE)

    def fail(told: dict[str, Any]) -> None:
        if told["done"] == 30:
            server.inject(Fault.nack(times=3, path=STORE))

    with pytest.raises(idf.IncompleteStore) as failed:
        frame(100).intdash.store(made, section_bytes=10 * 42 + 64, progress=fail)
    client.connection.transport.policy = policy
    assert "3 of 10 sections are not known to be stored; section 3: " in str(failed.value)
    result: StoreResult = failed.value.result
    return result


def test_what_failed_is_listed(client: idf.Client, refused: StoreResult) -> None:
    assert (refused.points, refused.sections, refused.complete) == (70, 7, False)
    failed = refused.failed
    assert failed["serial_number"].tolist() == [3, 4, 5]
    assert failed["points"].tolist() == [10, 10, 10]
    assert failed["first"].tolist() == [pd.Timedelta("300ms"), pd.Timedelta("400ms"), pd.Timedelta("500ms")]
    assert failed["last"].iloc[0] == pd.Timedelta("390ms")
    assert set(failed["fate"]) == {"refused"}
    assert "did not take the section" in failed["reason"].iloc[0]
    assert not refused.measurement.ended
    assert not client.measurements.get(refused.measurement.uuid).ended
    assert len(contents(client, refused.measurement)) == 70


def test_resuming_sends_exactly_what_is_missing_and_then_ends_the_measurement(
    client: idf.Client, sent: list[str], refused: StoreResult
) -> None:
    sent.clear()
    whole = frame(100).intdash.store(resume=refused)
    assert len(sent) == 3
    assert (whole.points, whole.sections, whole.complete) == (100, 10, True)
    assert whole.bytes > refused.bytes
    assert whole.seconds > refused.seconds
    assert whole.measurement.ended
    assert contents(client, whole.measurement) == contents(client, frame(100).intdash.store().measurement)
    sent.clear()
    assert idf.store(resume=whole) is whole
    assert sent == []


def test_resuming_may_fail_again_and_go_on_later(client: idf.Client, server: Server, refused: StoreResult) -> None:
    server.inject(Fault.nack(times=1 + RETRIES, path=STORE))
    partly = idf.store(resume=refused, errors="collect")
    assert (partly.points, partly.failed["serial_number"].tolist()) == (90, [3])
    assert not client.measurements.get(refused.measurement.uuid).ended
    server.inject(Fault.lose_answer(path=STORE))
    whole = idf.store(resume=partly)
    assert (whole.points, whole.sections, whole.measurement.ended) == (100, 10, True)
    assert Counter(contents(client, whole.measurement)) == Counter(contents(client, frame(100).intdash.store().measurement))


def test_collecting_returns_what_failed(client: idf.Client, server: Server) -> None:
    server.inject(Fault.nack(times=99, path=STORE))
    result = frame().intdash.store(errors="collect")
    assert (result.points, result.sections, result.complete, len(result.failed)) == (0, 0, False, 1)
    assert result.bytes > 0


def test_a_server_that_goes_away_leaves_something_to_resume(sent: list[str]) -> None:
    with serve() as first, idf.Client(first.url, "token") as client:
        client.connection.transport.policy = RetryPolicy(1, sleep=lambda _: None)
        made = client.measurements.create(client.edges.me().uuid, BASE)

        def leave(told: dict[str, Any]) -> None:
            first.close()

        result = frame(100).intdash.store(made, section_bytes=1000, progress=leave, errors="collect")
    assert result.sections == 1
    assert 0 < result.points < 100
    assert result.points + result.failed["points"].sum() == 100
    assert result.failed["reason"].iloc[-1].startswith("ConnectFailed")


def test_an_unknown_section_is_looked_for_when_the_store_is_resumed(client: idf.Client, server: Server, sent: list[str]) -> None:
    df = frame(60, step="0s", a=[1.0] * 60)
    server.inject(Fault.lose_answer(path=STORE))
    server.inject(Fault.status(404, path=READ))
    result = df.intdash.store(section_bytes=700, errors="collect")
    assert result.failed["fate"].tolist() == ["unknown"]
    assert result.failed["serial_number"].tolist() == [0]
    sent.clear()
    whole = idf.store(resume=result)
    assert whole.complete
    assert whole.measurement.ended
    assert len(sent) == 1  # it says the end, and nothing else
    assert whole.bytes - result.bytes < 100
    assert len(contents(client, whole.measurement)) == 60


@pytest.mark.parametrize("fault", [Fault.status(500, path=STORE), Fault.lose_answer(path=STORE)], ids=["lost", "arrived"])
def test_points_of_stored_sections_are_not_taken_for_equal_ones_of_an_unknown_section(
    client: idf.Client, server: Server, fault: Fault
) -> None:
    faults = [fault, Fault.status(404, path=READ)]

    def interfere(told: dict[str, Any]) -> None:
        while faults:
            server.inject(faults.pop(0))

    result = frame(9, step="0s", a=[1.0] * 9).intdash.store(section_bytes=180, errors="collect", progress=interfere)
    assert result.failed["serial_number"].tolist() == [1]
    assert result.failed["fate"].tolist() == ["unknown"]
    whole = idf.store(resume=result)
    assert len(contents(client, whole.measurement)) == whole.points == 9


def test_a_base_time_that_was_moved_meanwhile_does_not_hide_what_is_there(client: idf.Client, server: Server) -> None:
    server.inject(Fault.lose_answer(path=STORE))
    server.inject(Fault.status(404, path=READ))
    result = frame().intdash.store(errors="collect")
    client.connection.transport.send(
        BASETIMES_PUT.request(uuid=result.measurement.uuid, type="manual", basetime=BASE.value + 10**9)
    )
    assert idf.store(resume=result).complete
    assert len(contents(client, result.measurement)) == 10


def test_points_that_are_stored_are_reported_even_if_the_measurement_cannot_be_shown(client: idf.Client, server: Server) -> None:
    made = client.measurements.create(client.edges.me().uuid, BASE)

    def hide(told: dict[str, Any]) -> None:
        server.inject(Fault.status(500, times=99, path=f"/api/v1/measurements/{made.uuid}"))

    with pytest.warns(UserWarning, match="everything is stored"):
        result = frame().intdash.store(made, progress=hide)
    assert (result.points, result.complete) == (10, True)


values = st.one_of(st.none(), st.floats(width=64), st.integers(0, 3).map(float))
any_faults = st.lists(
    st.sampled_from(
        [
            *FAULTS,
            Fault.nack(times=5, path=STORE),
            Fault.status(500, times=4, path=STORE),
            Fault.lose_answer(times=3, path=STORE),
            Fault.status(400, path=STORE),
            Fault.status(503, times=3, path=READ),
            Fault.cut_body(0.4, times=3, path=READ),
        ]
    ),
    max_size=6,
)


@given(
    steps=st.lists(st.tuples(st.integers(0, 2), values, st.integers(0, 2)), min_size=1, max_size=25),
    section_bytes=st.integers(1, 600),
    faults=st.lists(any_faults, min_size=1, max_size=2),
    into=st.sampled_from(["new", "empty", "held"]),
    retries=st.integers(0, 2),
)
@settings(deadline=None, max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_frame_is_there_once_after_any_faults_and_resumes(
    client: idf.Client,
    server: Server,
    steps: list[tuple[int, float | None, int]],
    section_bytes: int,
    faults: list[list[Fault]],
    into: str,
    retries: int,
) -> None:
    index = BASE + pd.to_timedelta(np.cumsum([step for step, _, _ in steps]), unit="ns")
    df = pd.DataFrame({"v": [value for _, value, _ in steps], "n": [number for *_, number in steps]}, index=index)
    df["v"] = df["v"].astype("float64")
    expected = contents(client, df.intdash.store().measurement)
    made = None if into == "new" else client.measurements.create(client.edges.me().uuid, BASE)
    if into == "held":
        df.iloc[::2].intdash.store(made, final=False)
    held = contents(client, made) if into == "held" else []
    client.connection.transport.policy = RetryPolicy(retries, sleep=lambda _: None)
    for number, round_of_faults in enumerate([*faults, []]):
        for fault in round_of_faults:
            server.inject(fault)
        try:
            if number == 0:
                result = df.intdash.store(made, section_bytes=section_bytes, errors="collect")
            else:
                result = idf.store(resume=result, errors="collect")
        except idf.IntdashError:
            # looking at what the measurement holds failed, so nothing was sent
            assert into != "new"
            assert number == 0
            disarm(server)
            assert contents(client, made) == held
            result = df.intdash.store(made, section_bytes=section_bytes, errors="collect")
        disarm(server)
        there = contents(client, result.measurement)
        perhaps = result.failed[result.failed["fate"] == "unknown"]["points"].sum()
        assert result.points + result.failed["points"].sum() == len(expected)
        assert len(held) + result.points <= len(there) <= len(held) + result.points + perhaps
        if set(result.failed["fate"]) == {"refused"}:
            assert not client.measurements.get(result.measurement.uuid).ended
    assert result.complete
    assert result.measurement.ended
    assert Counter(there) == Counter(held) + Counter(expected)


# --- bad input ---


BAD_FRAMES: dict[str, tuple[Any, type[IntdashError], str]] = {
    "naive times": (frame().tz_localize(None), idf.UsageError, "no time zone"),
    "no time index": (frame().reset_index(drop=True), idf.UsageError, "RangeIndex"),
    "a missing stamp": (
        frame(3).set_axis(pd.DatetimeIndex([BASE, pd.NaT, BASE])),
        idf.UsageError,
        "no stamp at row 1",
    ),
    "mixed types": (frame(3, a=[1, "x", b""]), idf.UsageError, "column 'a' holds bytes and int and str"),
    "columns named twice": (pd.concat([frame(2), frame(2)], axis=1), idf.UsageError, "named twice"),
    "a column of objects": (frame(2, a=[{}, {}]), idf.UsageError, "column 'a'"),
    "a data id over 255 bytes": (frame(2, **{"é" * 128: [1, 2]}), idf.IntdashError, "256 bytes"),
    "naive times in polars": (
        pl.DataFrame({"time": frame(2).index.tz_localize(None).to_numpy(), "a": [1, 2]}),
        idf.UsageError,
        "zone",
    ),
    "no column of times": (pa.table({"a": [1]}), idf.UsageError, "no column 'time'"),
    "nothing": (None, idf.UsageError, "NoneType cannot be stored"),
    "a number": (5, idf.UsageError, "int cannot be stored"),
    "absolute and elapsed times": (
        [frame(2), frame(2).set_axis(pd.to_timedelta([0, 1], unit="s"))],
        idf.UsageError,
        "some frames have absolute stamps and some elapsed",
    ),
    "a negative elapsed time": (
        frame(2).set_axis(pd.to_timedelta([0, -1], unit="s")),
        idf.LocalProtocolError,
        "expected 0 or more",
    ),
    "a channel that cannot be": (
        pd.DataFrame({"channel": [256], "data_id": ["a"], "value": [1.0]}, index=frame(1).index),
        idf.UsageError,
        "expected 0 to 255",
    ),
}


@pytest.mark.parametrize("name", BAD_FRAMES)
def test_a_frame_that_cannot_be_stored_is_refused_before_anything_is_sent(client: idf.Client, sent: list[str], name: str) -> None:
    data, error, said = BAD_FRAMES[name]
    with pytest.raises(error, match=said):
        idf.store(data)
    assert sent == []


BAD_OPTIONS: list[tuple[dict[str, Any], str]] = [
    ({"channel": 256}, "channel=256; expected 0 to 255"),
    ({"channel": -1}, "channel=-1"),
    ({"channel": True}, "channel=True"),
    ({"channel": 1.0}, "channel=1.0"),
    ({"signals": {"speed": "float:256/x"}}, "256"),
    ({"signals": {"speed": "float:*/x"}}, "names no signal"),
    ({"signals": {"speed": "flaot:1/x"}}, "flaot"),
    ({"signals": {"spede": "float:1/x"}}, "spede"),
    ({"final": 1}, "final=1; expected True or False"),
    ({"dry_run": "yes"}, "dry_run='yes'"),
    ({"errors": "ignore"}, "errors='ignore'; expected 'raise' or 'collect'"),
    ({"section_bytes": 0}, "section_bytes=0"),
    ({"section_bytes": 2**31}, "section_bytes=2147483648"),
    ({"section_bytes": 1e6}, "section_bytes=1000000.0"),
    ({"progress": "bar"}, "progress='bar'"),
    ({"client": "http://example.com"}, "expected a Client"),
    ({"measurement": "x"}, "'x' is no measurement"),
    ({"measurement": "414c343c-1e2f-7ed4-c2ce-78e57311d8a3", "name": "x"}, "name= of a new one mean nothing"),
    ({"measurement": "414c343c-1e2f-7ed4-c2ce-78e57311d8a3", "edge": "demo"}, "edge= and"),
    ({"measurement": ["414c343c-1e2f-7ed4-c2ce-78e57311d8a3"] * 2}, "names 2 measurements; expected one"),
    ({"edge": "nobody"}, "0 edges of that name"),
    ({"name": 5}, "5 is int, expected text"),
    ({"resume": True}, "resume=True; expected the StoreResult"),
    ({"resume": idf.IncompleteStore("x", result=None)}, "such as error.result"),
]


@pytest.mark.parametrize(("options", "said"), BAD_OPTIONS, ids=[str(each)[:40] for each, _ in BAD_OPTIONS])
def test_an_option_that_cannot_work_is_refused_before_anything_is_sent(
    client: idf.Client, sent: list[str], options: dict[str, Any], said: str
) -> None:
    with pytest.raises(idf.UsageError, match=said):
        store(frame(), **options)
    assert sent == []


def test_a_measurement_that_is_not_there_is_not_found(client: idf.Client, sent: list[str]) -> None:
    with pytest.raises(idf.NotFound):
        frame().intdash.store("414c343c-1e2f-7ed4-c2ce-78e57311d8a3")
    assert sent == []


def test_stamps_before_the_base_time_are_refused(client: idf.Client, sent: list[str]) -> None:
    made = client.measurements.create(client.edges.me().uuid, BASE + pd.Timedelta(1, unit="ns"))
    sent.clear()
    with pytest.raises(idf.LocalProtocolError, match=r"30:00\.000000123Z, before the base time .*000124Z"):
        frame().intdash.store(made)
    assert sent == []


def test_a_dry_run_cannot_be_resumed(client: idf.Client, sent: list[str], refused: StoreResult) -> None:
    sent.clear()
    with pytest.raises(idf.UsageError, match="nothing to resume"):
        idf.store(resume=frame().intdash.store(dry_run=True))
    with pytest.raises(idf.UsageError, match="a dry run sends nothing"):
        idf.store(resume=refused, dry_run=True)
    assert sent == []


def test_a_server_that_cannot_be_reached_is_said_before_the_frame_is_half_stored() -> None:
    with idf.Client(NOWHERE, "token", retries=0), pytest.raises(idf.ConnectFailed):
        frame().intdash.store()


def test_what_the_measurement_holds_must_be_readable_before_anything_is_sent(
    client: idf.Client, server: Server, sent: list[str]
) -> None:
    made = client.measurements.create(client.edges.me().uuid, BASE)
    sent.clear()
    server.inject(Fault.status(403, path=READ))
    with pytest.raises(idf.Unauthorized):
        frame().intdash.store(made)
    assert sent == []


def test_signals_that_were_stored_are_the_signals_that_are_read(client: idf.Client) -> None:
    made = idf.store(frame(2, a=[1, 2], b=["x", "y"]), channel=255, signals={"a": "float:0/A a"}).measurement
    assert set(client.frames(made).signals) == {SignalKey.parse("float:0/A a"), SignalKey.parse("string:255/b")}
