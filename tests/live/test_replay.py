"""A recording as live data again, by a clock that the tests move."""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import intdash_frames as idf
from intdash_frames.codecs.points import Points
from intdash_frames.errors import UsageError
from intdash_frames.live import replay as module
from intdash_frames.live.replay import Replay, ReplayResult
from intdash_frames.live.upstream import LiveUpstream
from tests.live.feeding import WAIT_S, basetime_point

BEGIN = pd.Timestamp("2026-01-01", tz="UTC")


class Clock:
    """Time passes when somebody waits, and a little with every look at the clock: work takes time."""

    def __init__(self, work_ns: int = 300_000) -> None:
        self.now_ns, self.work_ns, self.waits = 10**15, work_ns, list[float]()

    def __call__(self) -> int:
        self.now_ns += self.work_ns
        return self.now_ns

    def wait(self, seconds: float) -> bool:
        self.waits.append(seconds)
        self.now_ns += round(seconds * 1e9)
        return False


class Sent:
    """What was handed on, and when."""

    def __init__(self, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
        self.times_ns, self.at_ns = list[int](), list[int]()
        write = LiveUpstream.write

        def recorded(up: LiveUpstream, points: Points, **options: Any) -> int:
            self.times_ns += points.time_ns.tolist()
            self.at_ns += [clock.now_ns] * len(points)
            return write(up, points, **options)

        monkeypatch.setattr(LiveUpstream, "write", recorded)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def sent(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Sent:
    return Sent(clock, monkeypatch)


def recording(seconds: int = 20) -> pd.DataFrame:
    """Two signals of different rates, out of step and not in order."""
    fast = BEGIN + pd.to_timedelta(np.arange(seconds * 100) * 10, unit="ms")
    slow = BEGIN + pd.to_timedelta(np.arange(seconds * 7) * 142 + 3, unit="ms")
    frame = pd.concat([pd.DataFrame({"fast": np.arange(len(fast), dtype="f8")}, fast), pd.DataFrame({"slow": 1.5}, slow)])
    assert not frame.index.is_monotonic_increasing
    return frame


def played(client: idf.Client, source: Any, clock: Clock, **options: Any) -> ReplayResult:
    return Replay(client.connection, source, clock_ns=clock, wait=clock.wait, **options).run()


def stored(client: idf.Client, result: ReplayResult) -> pd.DataFrame:
    assert result.measurement is not None
    return client.frames(result.measurement, "float:*/*", progress=False).to_pandas()


@pytest.mark.parametrize("speed", [0.1, 1, 3.0])
def test_points_go_in_order_of_time_each_at_its_time_and_no_delay_adds_up(
    client: idf.Client, clock: Clock, sent: Sent, speed: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BATCH_ROWS", 100)
    result = played(client, recording(), clock, speed=speed)
    assert sent.times_ns == sorted(sent.times_ns)
    assert result.points == len(sent.times_ns) == 2000 + 140
    began_ns = sent.at_ns[0]
    drift_ns = [at - began_ns - (time - sent.times_ns[0]) / speed for at, time in zip(sent.at_ns, sent.times_ns, strict=True)]
    assert max(map(abs, drift_ns)) < 4 * 10**6
    assert 0 < result.lateness_s < 0.004
    assert abs(result.seconds - 19.99 / speed) < 0.01
    assert result.complete


def test_one_signal_that_is_not_in_order_is_put_in_order(client: idf.Client, clock: Clock, sent: Sent) -> None:
    frame = recording(1)[["fast"]].dropna().iloc[::-1]
    assert played(client, frame, clock).points == 100
    assert sent.times_ns == sorted(sent.times_ns)


def test_a_delay_is_made_up_for_and_reported(client: idf.Client, sent: Sent) -> None:
    class Stuck(Clock):
        def wait(self, seconds: float) -> bool:
            return super().wait(seconds + 0.5 * (len(self.waits) == 100))

    clock = Stuck()
    result = played(client, recording(), clock)
    assert 0.5 <= result.lateness_s < 0.51
    assert abs(result.seconds - 19.99) < 0.01
    assert result.points == 2140


def test_a_folder_is_played_in_order_of_time_each_point_at_its_time(
    client: idf.Client, clock: Clock, sent: Sent, tmp_path: Path
) -> None:
    first, second = (client.frames(client_store(client, recording(2), seconds)) for seconds in (0, 1))
    client.export([*first.meta["source"]["names"], *second.meta["source"]["names"]], tmp_path)
    result = played(client, tmp_path, clock)
    assert sent.times_ns == sorted(sent.times_ns)
    assert result.points == first.report.points + second.report.points
    drift_ns = [at - sent.at_ns[0] - (time - sent.times_ns[0]) for at, time in zip(sent.at_ns, sent.times_ns, strict=True)]
    assert max(map(abs, drift_ns)) < 4 * 10**6
    assert 2.9 < result.seconds < 3.1
    kept = stored(client, result)
    payloads = [each.to_arrow()["payload"].to_pylist() for each in (first, second)]
    assert sorted(client.frames(result.measurement, "float:*/*").to_arrow()["payload"].to_pylist()) == sorted(
        [*payloads[0], *payloads[1]]
    )
    # elapsed times are those of the first recording
    assert result.measurement is not None
    assert (kept.index[0] - result.measurement.basetime) == pd.Timedelta(0)


def client_store(client: idf.Client, frame: pd.DataFrame, seconds: int) -> str:
    shifted = frame.set_axis(frame.index + pd.Timedelta(seconds, "s")).sort_index()
    return idf.store(shifted, client=client).measurement.uuid


def test_at_full_speed_nothing_waits_and_everything_arrives(client: idf.Client, clock: Clock) -> None:
    result = played(client, recording(), clock, speed="max")
    assert clock.waits == []
    assert result.lateness_s == 0
    assert (result.points, result.stats.acknowledged) == (2140, 2140)
    found = stored(client, result)
    assert len(found) == 2140
    assert found.index.is_monotonic_increasing


def test_a_measurement_comes_with_elapsed_times_as_recorded_and_the_first_point_is_now(client: idf.Client, clock: Clock) -> None:
    source = client.measurements.create(client.edges.me().uuid, BEGIN - pd.Timedelta("5s"))
    client.data_points.store(source.uuid, [basetime_point(BEGIN - pd.Timedelta("5s"))])
    kept = idf.store(recording(), source, client=client).measurement
    before = pd.Timestamp.now("UTC")
    selected = client.frames(source, "float:*/*", progress=False)
    for given in (source.uuid, kept, client.frames(source, progress=False), selected):
        result = played(client, given, clock)
        assert (result.points, result.skipped) == (2140, given is not selected)
        assert result.measurement is not None
        assert result.measurement.basetime is not None
        assert result.measurement.ended
        elapsed = stored(client, result).index - result.measurement.basetime
        assert elapsed.tolist() == (recording().index.sort_values() - BEGIN + pd.Timedelta("5s")).tolist()
        assert before - pd.Timedelta("1ms") <= stored(client, result).index[0] <= pd.Timestamp.now("UTC")


def test_several_measurements_that_overlap_are_played_in_order(client: idf.Client, clock: Clock, sent: Sent) -> None:
    some = [idf.store(recording(2) + number, client=client).measurement for number in range(2)]
    result = played(client, some, clock)
    assert result.points == 2 * 214
    assert sent.times_ns == sorted(sent.times_ns)


def test_who_follows_sees_it_in_a_window_of_now(client: idf.Client) -> None:
    with client.live(edge="demo", signals="float:1/fast", window="60s") as live:
        result = client.replay(recording(5), speed="max", store=False)
        assert live.wait(500, WAIT_S)
        assert len(live.frame()) == 500
    assert result.measurement is None
    assert result.stats.acknowledged == 535


def test_it_can_go_into_a_measurement_that_is_there(client: idf.Client) -> None:
    target = client.measurements.create(client.edges.me().uuid, BEGIN)
    result = client.replay(recording(1), measurement=target, speed="max")
    assert result.measurement is not None
    assert result.measurement.uuid == target.uuid
    assert stored(client, result).index[0] == BEGIN


def test_it_stops_where_it_is_when_it_is_closed(client: idf.Client, clock: Clock) -> None:
    def wait(seconds: float) -> bool:
        clock.wait(seconds)
        if len(clock.waits) == 50:
            replay.close()
            return True
        return False

    replay = Replay(client.connection, recording(), clock_ns=clock, wait=wait)
    result = replay.run()
    assert not result.complete
    assert 0 < result.points < 100
    assert result.stats.acknowledged == result.points == len(stored(client, result))


def test_an_interrupt_ends_it_and_leaves_nothing_behind(client: idf.Client, clock: Clock) -> None:
    def wait(seconds: float) -> bool:
        raise KeyboardInterrupt

    replay = Replay(client.connection, recording(), clock_ns=clock, wait=wait)
    with pytest.raises(KeyboardInterrupt):
        replay.run()
    left = [each.name for each in threading.enumerate()]
    assert not [name for name in left if name.startswith(("intdash-frames-upstream", "intdash-frames-read-ahead"))]


def test_a_source_that_breaks_off_is_an_error_after_what_came(
    server: idf.LocalServer, client: idf.Client, clock: Clock, sent: Sent, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_order = module._in_order

    def broken(source: Any) -> Iterator[tuple[Points, bool]]:
        yield from in_order(source)
        raise idf.ConnectionLost("the source")

    monkeypatch.setattr(module, "_in_order", broken)
    with pytest.raises(idf.ConnectionLost, match="the source"):
        played(client, recording(1), clock)
    assert len(sent.times_ns) == 107


def test_the_garbage_collector_makes_no_long_pauses_while_points_have_their_times(client: idf.Client, clock: Clock) -> None:
    seen: list[int] = []

    def wait(seconds: float) -> bool:
        seen.append(gc.get_freeze_count())
        return clock.wait(seconds)

    before = gc.get_freeze_count()
    Replay(client.connection, recording(1), clock_ns=clock, wait=wait).run()
    assert min(seen) > 10_000
    assert gc.get_freeze_count() == before == 0
    gc.freeze()
    try:
        Replay(client.connection, recording(1), clock_ns=clock, wait=wait).run()
        assert gc.get_freeze_count() > 0
    finally:
        gc.unfreeze()


def test_nothing_to_play_sends_nothing(client: idf.Client) -> None:
    before = len(client.measurements.frame())
    result = client.replay(recording(1).iloc[:0])
    assert (result.points, result.complete, result.measurement) == (0, True, None)
    assert len(client.measurements.frame()) == before


def test_progress_is_told_how_far_it_is(client: idf.Client, clock: Clock) -> None:
    told: list[dict[str, Any]] = []
    played(client, recording(1), clock, progress=told.append)
    assert told[-1]["points"] == 107
    assert told[-1]["done"] == told[-1]["total"] == 990 * 10**6


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"speed": 0}, "speed=0; expected a number above 0"),
        ({"speed": -1.0}, "speed=-1"),
        ({"speed": float("nan")}, "speed=nan"),
        ({"speed": "fast"}, "speed='fast'"),
        ({"speed": True}, "speed=True"),
        ({"source": "run1/"}, "source='run1' is neither the UUID of a measurement nor the folder of an export"),
        ({"source": Path("run1")}, "nor the folder of an export"),
        ({"source": 7}, "int cannot be stored"),
        ({"progress": "yes"}, "progress='yes'"),
    ],
)
def test_arguments_that_cannot_work_are_refused(client: idf.Client, given: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        client.replay(given.pop("source", recording(1)), **given)
