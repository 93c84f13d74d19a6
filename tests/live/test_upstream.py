"""What `Client.upstream` gives, over a real server: whatever was written is stored, once."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import intdash_frames as idf
from intdash_frames.errors import LocalProtocolError, NotFound, ResultNGException, TimedOut, UsageError
from intdash_frames.live import emitter
from intdash_frames.live.emitter import EmitterOptions
from intdash_frames.live.upstream import LiveUpstream, upstream
from tests.live.feeding import WAIT_S, floats
from tests.live.proxy import Proxy

BEGIN = pd.Timestamp("2026-01-01T00:00:00.000000001Z")


def frame(first: int, count: int) -> pd.DataFrame:
    index = BEGIN + pd.to_timedelta(np.arange(first, first + count), unit="ms")
    return pd.DataFrame({"n": np.arange(first, first + count, dtype="f8")}, index=index)


def stored(client: idf.Client, up: LiveUpstream) -> pd.DataFrame:
    assert up.measurement is not None
    return client.frames(up.measurement, "float:*/*", progress=False).to_pandas()


def our_threads() -> list[str]:
    return [each.name for each in threading.enumerate() if each.name.startswith("intdash-frames-upstream")]


@pytest.fixture
def quick(client: idf.Client) -> Callable[..., LiveUpstream]:
    """An upstream with short sections, which looks for what it sent before a loss a little less patiently."""
    options = EmitterOptions(marker_interval_s=0.02, settle_s=0.2)
    return lambda *args, **given: upstream(client.connection, *args, options=options, **given)


# --- what can be written


def as_typed(_: idf.Client, given: pd.DataFrame) -> Any:
    typed = pd.DataFrame({"channel": 1, "data_id": "n", "value": given["n"]}, index=given.index)
    typed.index.name = "time"
    return typed


FORMS: dict[str, Callable[[idf.Client, pd.DataFrame], Any]] = {
    "pandas": lambda client, given: given,
    "polars": lambda client, given: pl.from_pandas(given.rename_axis("time").reset_index()),
    "Arrow": lambda client, given: pa.Table.from_pandas(given.rename_axis("time").reset_index(), preserve_index=False),
    "typed": as_typed,
    "Frames": lambda client, given: client.frames(idf.store(given, client=client).measurement, progress=False),
    "elapsed": lambda client, given: given.set_index(given.index - BEGIN),
    "Points": lambda client, given: floats(int(given["n"].iloc[0]), len(given)),
    "data points": lambda client, given: list(data_points(given)),
    "iterator": lambda client, given: data_points(given),
}


def data_points(given: pd.DataFrame) -> Iterator[idf.DataPoint]:
    for moment, value in zip(given.index, given["n"], strict=True):
        payload = idf.data.Float(data_id="n", value=value).to_payload()
        yield idf.DataPoint(moment - BEGIN, idf.DataType.float, 1, payload)


@pytest.mark.parametrize("form", FORMS)
def test_everything_that_holds_points_can_be_written(client: idf.Client, form: str) -> None:
    with client.upstream(basetime=BEGIN) as up:
        assert up.write(FORMS[form](client, frame(0, 7))) == 7
        assert up.write(FORMS[form](client, frame(7, 3))) == 3
    found = stored(client, up)
    assert found["value"].tolist() == list(range(10))
    assert found.index.tolist() == frame(0, 10).index.tolist()
    assert set(found["data_id"]) == {"n"}
    assert up.stats.written == up.stats.acknowledged == 10


def test_the_first_stamp_is_the_base_time_of_a_new_measurement_which_ends(client: idf.Client) -> None:
    with client.upstream(name="run 1") as up:
        assert up.measurement is None
        assert up.write([]) == 0
        up.write(frame(5, 2), channel=3, signals={"n": "float:4/m"})
        assert up.measurement is not None
    found = client.measurements.get(up.measurement.uuid)
    assert (found.basetime, found.ended, found.name) == (frame(5, 1).index[0], True, "run 1")
    assert found.edge_uuid == client.edges.me().uuid
    assert stored(client, up)["data_id"].tolist() == ["m", "m"]
    assert set(stored(client, up)["channel"]) == {4}


def test_elapsed_times_count_from_now_and_a_measurement_may_go_on(client: idf.Client) -> None:
    before = pd.Timestamp.now("UTC")
    with client.upstream(final=False) as up:
        up.write(FORMS["elapsed"](client, frame(0, 2)))
        up.write(pd.DataFrame({"n": [7.0]}, index=[pd.Timestamp.now("UTC")]))
    assert up.measurement is not None
    found = client.measurements.get(up.measurement.uuid)
    assert found.basetime is not None
    assert before - pd.Timedelta("1ms") <= found.basetime <= pd.Timestamp.now("UTC")
    assert not found.ended
    assert len(stored(client, up)) == 3


def test_nothing_written_makes_no_measurement(client: idf.Client) -> None:
    before = len(client.measurements.frame())
    with client.upstream() as up:
        up.flush()
    assert len(client.measurements.frame()) == before
    assert up.measurement is None


def test_a_measurement_that_is_there_gets_the_points_under_its_base_time(client: idf.Client) -> None:
    target = client.measurements.create(client.edges.me().uuid, BEGIN - pd.Timedelta("1s"), "ntp")
    with client.upstream(target.uuid) as up:
        up.write(frame(0, 3))
    assert stored(client, up).index.tolist() == frame(0, 3).index.tolist()
    [basetime] = client.frames(target.uuid, "basetime:*/*", progress=False).to_pandas().itertuples()
    assert (basetime.channel, basetime.Index) == (0, target.basetime)
    assert [each.type for each in client.measurement_basetimes.list(target.uuid)] == [idf.BasetimeType.ntp]


def test_points_out_of_order_are_fine_but_none_may_be_before_the_base_time(client: idf.Client) -> None:
    with client.upstream() as up:
        up.write(frame(10, 2))
        up.write(frame(12, 3).iloc[::-1])
        with pytest.raises(LocalProtocolError, match=r"before the base time 2026-01-01T00:00:00\.010000001"):
            up.write(frame(9, 5))
        with pytest.raises(LocalProtocolError, match="carries at most"):
            up.write(frame(10**11, 1))
        with pytest.raises(UsageError, match="cannot be stored"):
            up.write(7)
        assert up.stats.written == 5
    assert stored(client, up)["value"].tolist() == [10, 11, 12, 13, 14]


def test_what_cannot_be_sent_makes_no_measurement(client: idf.Client) -> None:
    before = len(client.measurements.frame())
    with client.upstream() as up, pytest.raises(LocalProtocolError):
        up.write(pd.concat([frame(0, 1), frame(10**11, 1)]))
    assert len(client.measurements.frame()) == before


# --- lost connections


@settings(max_examples=6, deadline=None, derandomize=True)
@given(st.lists(st.integers(1, 9), min_size=1, max_size=2), st.lists(st.integers(1, 300), min_size=1, max_size=6), st.booleans())
def test_whatever_is_cut_all_that_was_written_is_stored_once(drops: list[int], sizes: list[int], flushes: bool) -> None:
    with idf.LocalServer() as server, server.client() as client:
        options = EmitterOptions(marker_interval_s=0.02, settle_s=0.2)
        with upstream(client.connection, options=options) as up:
            for after in drops:
                server.inject(idf.Fault.drop_socket(after=after))
            first = 0
            for size in sizes:
                up.write(frame(first, size))
                first += size
                if flushes:
                    up.flush()
            up.flush()
            stats = up.stats
        assert stored(client, up)["value"].tolist() == list(range(first))
        assert (stats.written, stats.acknowledged, stats.maybe_lost, stats.maybe_twice) == (first, first, 0, 0)
        assert up.gaps.empty


def test_equal_points_are_stored_as_often_as_they_were_written(
    server: idf.LocalServer, client: idf.Client, quick: Callable[..., LiveUpstream]
) -> None:
    with quick() as up:
        up.write(frame(0, 3))
        up.flush()
        server.inject(idf.Fault.drop_socket(after=1))
        up.write(frame(0, 3))
        up.flush()
        up.write(frame(0, 3))
    assert stored(client, up)["value"].tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]


def test_a_refused_section_is_sent_again(server: idf.LocalServer, client: idf.Client) -> None:
    server.inject(idf.Fault.nack(times=2))
    with client.upstream() as up:
        up.write(frame(0, 3))
    assert stored(client, up)["value"].tolist() == [0, 1, 2]


def test_a_section_that_is_refused_for_good_raises_at_the_end(server: idf.LocalServer, client: idf.Client) -> None:
    server.inject(idf.Fault.nack(times=4))
    up = client.upstream()
    with pytest.raises(ResultNGException, match="refused"), up:
        up.write(frame(0, 3))
    assert up.stats.refused == 3
    assert up.measurement is not None
    assert not client.measurements.get(up.measurement.uuid).ended
    assert our_threads() == []


def test_when_the_server_is_gone_closing_says_what_may_be_lost(server: idf.LocalServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(emitter, "PATIENCE_S", 0.1)
    with Proxy(server.url) as proxy, idf.Client(proxy.url, "token", retries=0) as client:
        options = EmitterOptions(marker_interval_s=3600)
        up = upstream(client.connection, options=options).start()
        up.write(frame(0, 3))
        up.flush()
        up.write(frame(3, 2))
        proxy.cut(blocked=True)
        with pytest.raises(TimedOut, match="2 points in 1 sections were not acknowledged in time; there is no connection"):
            up.close()
        up.close()
    assert (up.stats.acknowledged, up.stats.maybe_lost, up.stats.waiting) == (3, 2, 0)
    [gap] = up.gaps.itertuples()
    assert (gap.start, gap.reason) == (frame(3, 1).index[0], "not acknowledged before the end")
    assert our_threads() == []


# --- where nothing is stored


def test_what_is_not_stored_reaches_those_who_follow(client: idf.Client) -> None:
    before = len(client.measurements.frame())
    with client.live(edge="demo", signals="float:1/n", window="100000D") as live, client.upstream(store=False) as up:
        up.write(frame(0, 5))
        assert live.wait(5, WAIT_S)
        assert live.frame().index.tolist() == frame(0, 5).index.tolist()
    assert len(client.measurements.frame()) == before
    assert up.measurement is None
    assert up.stats.acknowledged == 5


# --- the beginning and the end


def test_leaving_by_an_error_raises_that_error_and_leaves_nothing_behind(client: idf.Client) -> None:
    up = client.upstream()

    def work() -> None:
        with up:
            up.write(frame(0, 3))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        work()
    assert our_threads() == []
    assert stored(client, up)["value"].tolist() == [0, 1, 2]
    assert up.measurement is not None
    assert not client.measurements.get(up.measurement.uuid).ended
    with pytest.raises(UsageError, match="is closed"):
        up.write(frame(3, 1))
    up.flush()
    up.close()


def test_the_first_write_connects_and_several_threads_may_write(client: idf.Client) -> None:
    up = client.upstream(basetime=BEGIN)
    threads = [threading.Thread(target=lambda first=first: up.write(frame(first, 10))) for first in range(0, 50, 10)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    up.close()
    assert stored(client, up)["value"].tolist() == list(range(50))
    assert our_threads() == []


def test_it_runs_beside_a_loop_of_the_caller(client: idf.Client) -> None:
    async def work() -> LiveUpstream:
        async with client.upstream() as up:
            assert await asyncio.to_thread(up.write, frame(0, 3)) == 3
            up.write(frame(3, 1))  # as in a notebook, whose own loop is running
        return up

    assert stored(client, asyncio.run(work()))["value"].tolist() == [0, 1, 2, 3]


def test_a_connection_that_cannot_be_made_is_an_error_and_leaves_nothing_behind() -> None:
    with idf.LocalServer() as server, server.client(retries=0) as client:
        up = client.upstream()
        server.close()
    with pytest.raises(idf.ConnectFailed):
        up.start()
    assert our_threads() == []


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"store": 1}, "store=1; expected True or False"),
        ({"final": None}, "final=None"),
        ({"reconnect": "no"}, "reconnect='no'"),
        ({"measurement": "x"}, "source='x' is no measurement"),
        ({"measurement": "8f6a776e-545e-92c1-7373-873d76d72fcb", "edge": "demo"}, "leave out edge="),
        ({"measurement": "8f6a776e-545e-92c1-7373-873d76d72fcb", "basetime": BEGIN}, "leave out basetime="),
        ({"measurement": "8f6a776e-545e-92c1-7373-873d76d72fcb", "store": False}, "leave out one of the two"),
        ({"edge": "nobody"}, "0 edges of that name"),
        ({"basetime": "2026-01-01"}, "basetime"),
    ],
)
def test_arguments_that_cannot_work_are_refused(client: idf.Client, given: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        client.upstream(**given)


def test_a_measurement_that_is_not_there_is_said_before_anything_is_sent(client: idf.Client) -> None:
    with pytest.raises(NotFound):
        client.upstream("8f6a776e-545e-92c1-7373-873d76d72fcb")


def test_a_negative_time_to_wait_is_refused(client: idf.Client) -> None:
    with client.upstream() as up, pytest.raises(UsageError, match="timeout=-1"):
        up.flush(-1)
