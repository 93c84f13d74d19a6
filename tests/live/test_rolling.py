"""A window shows what frames of the same points show, whatever comes, in whatever order, while more comes."""

import struct
import threading
from dataclasses import astuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import intdash_frames as idf
from intdash_frames import DataType, SignalKey, UsageError
from intdash_frames.codecs.points import Points, series_of_wire_id
from intdash_frames.codecs.series import Series, SeriesTable
from intdash_frames.frames.envelope import to_points
from intdash_frames.live import buffer, ring, rolling
from intdash_frames.live.rolling import Counts, RollingFrame
from tests.codecs.some_points import points_of
from tests.frames.stored import BASETIME_NS, golden_rows, named, store_rows
from tests.live.given import frames_of

DAY_NS = 86_400 * 10**9
M1, M2 = "8f6a776e-545e-92c1-7373-873d76d72fcb", "00000000-0000-0000-0000-000000000002"


def series(data_type, channel, data_id, uuid=M1):
    return Series(uuid, int(data_type), channel, data_id, str(int(data_type)))


def float_of(value, data_id="speed"):
    return named(data_id, struct.pack("<d", value))


SPEED, TORQUE = series(DataType.float, 1, "speed"), series(DataType.float, 2, "torque")
# Every kind of column there is, good payloads and odd ones: another inner id, cut, not UTF-8, a known and an unknown sensor.
POOL = [
    (SPEED, float_of(1.5)),
    (SPEED, float_of(float("nan"))),
    (SPEED, float_of(2.5, "other id")),
    (SPEED, b"\x05spe"),
    (series(DataType.float, 1, "speed", M2), float_of(-0.0)),
    (TORQUE, float_of(3.5, "torque")),
    (series(DataType.int, 1, "gear"), named("gear", struct.pack("<q", -5))),
    (series(DataType.int, 1, "gear"), b""),
    (series(DataType.string, 1, "note"), named("note", "走行中".encode())),
    (series(DataType.string, 1, "note"), named("note", b"\xff")),
    (series(DataType.string, 1, "note"), named("a longer id than its own", b"x")),
    (series(DataType.bytes, 1, "raw"), named("raw", b"\x00\x01")),
    (series(DataType.can, 1, "000001a0"), b"\xa0\x01\x00\x00\x02\xca\xfe"),
    (series(DataType.can, 2, "000001a1"), b"\xa1\x01\x00\x00\x08"),
    (series(DataType.can, 2, "000001a1"), b"\xa1\x01"),
    (series(DataType.nmea, 1, "GPRMC"), b"$GPRMC,1*4F"),
    (series(DataType.nmea, 1, "GPRMC"), b"$GPRMC\xff"),
    (series(DataType.general_sensor, 1, "0001"), struct.pack("<H3i", 1, 1, -2, 3)),
    (series(DataType.general_sensor, 1, "0001"), struct.pack("<H1i", 1, 1)),
    (series(DataType.general_sensor, 1, "000a"), struct.pack("<H1i", 10, 7)),
    (series(DataType.general_sensor, 1, "00ff"), struct.pack("<H2i", 255, 7, 8)),
    (series(DataType.general_sensor, 1, ""), b"\x01"),
    (series(DataType.jpeg, 1, "jpeg"), b"\xff\xd8picture"),
    (series(DataType.h264, 1, "01"), b"\x01\x00\x00"),
    (series(DataType.basetime, 0, "basetime"), struct.pack("<BII", 3, 1_700_000_000, 5)),
    (series(DataType.basetime, 0, "basetime"), struct.pack("<BII", 3, 1_700_000_000, 10**9)),
    (series(200, 1, "opaque"), b"opaque"),
    (series_of_wire_id(M1, "string", "1/odd"), b"textual"),
]
META = {"source": {"url": "http://here", "names": [M1]}, "query": {"signals": []}}

rows = st.tuples(st.integers(0, 40), st.sampled_from(POOL)).map(lambda row: (row[0], *row[1]))
one_type = st.sampled_from([SPEED, TORQUE]).flatmap(
    lambda key: st.tuples(st.integers(0, 40), st.just(key), st.sampled_from([float_of(0.5, key.data_id), b""]))
)
batches = st.lists(st.tuples(st.lists(rows, max_size=7), st.none() | st.integers(0, 40)), max_size=6)
batches_of_one_type = st.lists(st.tuples(st.lists(one_type, max_size=7), st.none()), max_size=6)


class Model:
    """The same, point by point: rows as they came."""

    def __init__(self, window_ns, max_points, max_ahead_ns):
        self.window_ns, self.max_points, self.max_ahead_ns = window_ns, max_points, max_ahead_ns
        self.rows, self.newest_ns = [], None
        self.received = self.evicted = self.late = self.ahead = self.out_of_order = 0

    def append(self, row, now_ns):
        self.received += 1
        time_ns, newest_ns = row[0], self.newest_ns
        if now_ns is not None and time_ns > now_ns + self.max_ahead_ns:
            self.ahead += 1
            return
        if newest_ns is not None and time_ns < newest_ns - self.window_ns:
            self.late += 1
            return
        self.out_of_order += newest_ns is not None and time_ns < newest_ns
        self.newest_ns = time_ns if newest_ns is None else max(time_ns, newest_ns)
        self.rows.append(row)
        kept = [row for row in self.rows if row[0] >= self.newest_ns - self.window_ns]
        if len(kept) > self.max_points:
            kept.remove(min(kept, key=lambda row: row[0]))
        self.evicted += len(self.rows) - len(kept)
        self.rows = kept

    @property
    def counts(self):
        return Counts(self.received, len(self.rows), self.evicted, self.late, self.ahead, self.out_of_order)

    def frames(self):
        ordered = sorted(self.rows, key=lambda row: row[0])
        return frames_of([points_of(ordered)] if ordered else [])


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """A few points are many, so that short examples fill, move and sort memory."""
    monkeypatch.setattr(buffer, "FIRST_ITEMS", 4)
    monkeypatch.setattr(ring, "MOST_UNSORTED", 3)
    monkeypatch.setattr(rolling, "MOST_AT_ONCE", 5)


def equal(found, expected):
    """Frames, or dictionaries of them: values, types, index, order of columns and categories, attributes."""
    if isinstance(expected, dict):
        assert list(found) == list(expected)
        for name in expected:
            equal(found[name], expected[name])
        return
    pd.testing.assert_frame_equal(found, expected, check_exact=True)
    assert found.attrs == expected.attrs
    if isinstance(expected.index, pd.DatetimeIndex):
        assert expected.index.dtype == found.index.dtype == "datetime64[ns, UTC]"


def outcome(make):
    """What a call gives, or its complaint."""
    try:
        return make(), None
    except UsageError as error:
        return None, str(error)


def shows_the_same(window, f):
    assert window.signals == f.signals
    assert window.to_arrow().equals(f.to_arrow(), check_metadata=True)
    assert pa.table(window).equals(f.to_arrow(), check_metadata=True)
    for part in window.points():
        assert part.keys is window.keys
    equal(window.frame(), f.to_pandas())
    equal(window.by_type(), f.by_type())
    equal(window.by_signal(), f.by_signal())
    for signal in f.signals:
        equal(window[signal], f[signal])
    equal(window.summary(), f.summary())
    for axis in ({}, {"every": "7ns"}, {"every": "7ns", "method": "mean"}, {"on": "speed", "method": "nearest"}):
        found, complaint = outcome(lambda axis=axis: window.wide(**axis))
        expected, expected_complaint = outcome(lambda axis=axis: f.wide(**axis))
        assert complaint == expected_complaint
        if expected is not None:
            equal(found, expected)


bounds = st.tuples(st.integers(1, 50), st.integers(1, 30), st.integers(0, 20))


@pytest.mark.parametrize("most_bytes", [buffer.MOST_PIECE_BYTES, 20])
@settings(deadline=None, max_examples=60)
@given(batches | batches_of_one_type, bounds)
def test_a_window_shows_what_frames_of_its_points_show(most_bytes, batches, bounds):
    model, keys = Model(*bounds), SeriesTable()
    window = RollingFrame(window_ns=bounds[0], max_points=bounds[1], max_ahead_ns=bounds[2], meta=frames_of([]).meta, keys=keys)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(buffer, "MOST_PIECE_BYTES", most_bytes)
        for batch, now_ns in batches:
            window.append(points_of(batch, keys), now_ns=now_ns)
            for row in batch:
                model.append(row, now_ns)
            assert window.counts == model.counts
            assert len(window) == len(model.rows)
            if now_ns is None:
                shows_the_same(window, model.frames())
        shows_the_same(window, model.frames())
    received, shown, evicted, late, ahead, _ = astuple(window.counts)
    assert received == shown + evicted + late + ahead


def window_of(*batches, now_ns=None, **options):
    keys = SeriesTable()
    window = RollingFrame(**{"window_ns": DAY_NS, "max_points": 1000, "meta": META, "keys": keys, **options})
    for batch in batches:
        window.append(points_of(batch, keys), now_ns=now_ns)
    return window


def speeds(*times):
    return [(time, SPEED, float_of(float(time))) for time in times]


# --- bounds --------------------------------------------------------------------------------------------------------------


def test_points_older_than_the_window_go_and_those_at_its_edge_stay():
    window = window_of(speeds(0, 1, 5, 10, 11), window_ns=10)
    assert window["speed"]["value"].tolist() == [1.0, 5.0, 10.0, 11.0]
    assert window.counts == Counts(received=5, shown=4, evicted=1)


def test_the_oldest_points_go_when_there_are_too_many_whatever_their_order():
    window = window_of(speeds(5, 1, 3), speeds(4, 2), max_points=3)
    assert window["speed"]["value"].tolist() == [3.0, 4.0, 5.0]
    assert window.counts == Counts(received=5, shown=3, evicted=2, out_of_order=4)


def test_of_one_instant_what_came_first_goes_first():
    batch = [(7, SPEED, float_of(float(number))) for number in range(5)]
    assert window_of(batch, max_points=2)["speed"]["value"].tolist() == [3.0, 4.0]


def test_what_comes_twice_is_there_twice():
    assert window_of(speeds(1, 1), speeds(1))["speed"]["value"].tolist() == [1.0, 1.0, 1.0]


def test_a_point_that_is_older_than_the_window_when_it_comes_is_left_out_and_counted():
    window = window_of(speeds(100), speeds(89, 90, 101, 90), window_ns=10)
    assert window["speed"]["value"].tolist() == [100.0, 101.0]
    assert window.counts == Counts(received=5, shown=2, evicted=1, late=2, out_of_order=1)


def test_a_stamp_in_the_far_future_does_not_empty_the_window():
    now_ns = 10**18
    window = window_of(speeds(now_ns, now_ns + DAY_NS + 1, now_ns + 1), now_ns=now_ns, window_ns=10**9)
    assert window.frame().index.asi8.tolist() == [now_ns, now_ns + 1]
    assert window.counts == Counts(received=3, shown=2, ahead=1)
    assert window_of(speeds(now_ns + DAY_NS), now_ns=now_ns).counts.shown == 1
    assert window_of(speeds(now_ns + DAY_NS + 1)).counts.shown == 1  # nobody said what time it is


def test_the_ends_of_time_can_come():
    low, high = np.iinfo(np.int64).min + 1, np.iinfo(np.int64).max  # the least of all is no moment in pandas
    window = window_of(speeds(low), speeds(high, low), now_ns=high, window_ns=high)
    assert window.frame().index.asi8.tolist() == [high]
    assert window.counts == Counts(received=3, shown=1, evicted=1, late=1)


@pytest.mark.parametrize(
    "wrong", [{"window_ns": 0}, {"max_points": 0}, {"max_points": True}, {"window_ns": 1.5}, {"max_ahead_ns": -1}, {"tz": "Mars"}]
)
def test_a_bound_that_cannot_be_is_refused(wrong):
    (name,) = wrong
    with pytest.raises(UsageError, match=f"{name}="):
        window_of(**wrong)


def test_points_of_another_table_of_series_are_refused():
    with pytest.raises(UsageError, match="table of series"):
        window_of().append(points_of(speeds(1)))


def test_memory_does_not_grow_once_the_window_is_full(monkeypatch):
    monkeypatch.undo()
    keys = SeriesTable()
    window = RollingFrame(window_ns=DAY_NS, max_points=3000, meta=META, keys=keys)
    batch = points_of([(0, *POOL[i % len(POOL)]) for i in range(1000)], keys)
    held = []
    for turn in range(40):
        window.append(Points(np.arange(1000) + 1000 * turn, batch.series, batch.data, batch.offsets, keys))
        held.append(window.held_bytes)
    assert len(set(held[4:])) == 1


# --- what is shown -------------------------------------------------------------------------------------------------------


def test_a_window_is_equal_to_frames_of_what_was_stored():
    with idf.LocalServer() as server, server.client() as client:
        stored = client.frames(store_rows(client, golden_rows(), basetime_ns=BASETIME_NS))
        keys = SeriesTable()
        window = RollingFrame(window_ns=DAY_NS, max_points=10**6, meta=stored.meta, keys=keys)
        for batch in stored.to_batches(7):
            for points in to_points(pa.Table.from_batches([batch]), keys):
                window.append(points)
        shows_the_same(window, stored)


def test_names_are_those_of_the_points_in_the_window_in_their_order():
    gear = (series(DataType.int, 1, "gear"), named("gear", bytes(8)))
    window = window_of([(1, *gear)], speeds(2), [(3, *gear)], max_points=2)
    assert [str(signal) for signal in window.signals] == ["float:1/speed", "int:1/gear"]
    assert list(window.by_type()) == [DataType.float, DataType.int]
    window.append(points_of(speeds(4), window.keys))
    window.append(points_of(speeds(5), window.keys))
    assert window.signals == [SignalKey(DataType.float, 1, "speed")]
    assert window.to_arrow()["data_id"].chunk(0).dictionary.to_pylist() == ["speed"]


def test_meta_may_be_made_of_the_measurements_in_the_window():
    batch = [(1, TORQUE, float_of(0.0)), (2, series(DataType.float, 1, "speed", M2), float_of(0.0)), (3, SPEED, float_of(0.0))]
    window = window_of(batch, meta=lambda uuids: {"names": uuids}, max_points=2)
    for frame in (window.frame(), window["speed"], window.by_type()[DataType.float], window.wide()):
        assert frame.attrs["intdash"]["names"] == (M2, M1)


def test_an_empty_window_is_an_empty_frame():
    window = window_of()
    equal(window.frame(), frames_of([]).to_pandas()) if frames_of([]).meta == META else None
    assert (len(window), len(window.frame()), window.signals, window.points()) == (0, 0, [], [])
    assert window.by_type() == window.by_signal() == {}
    with pytest.raises(UsageError, match="no points were read at all"):
        window["speed"]
    with pytest.raises(UsageError, match="no numeric columns"):
        window.wide()


def test_an_empty_window_of_one_type_has_its_columns():
    expected = frames_of([], "float:*/*")
    equal(window_of(data_type=DataType.float, meta=expected.meta).frame(), expected.to_pandas())


def test_a_signal_that_is_not_there_is_named_with_those_near():
    with pytest.raises(UsageError, match="near or present: speed"):
        window_of(speeds(1))["sped"]


def test_the_index_is_in_the_zone_asked_for():
    assert str(window_of(speeds(1), tz="Asia/Tokyo").frame().index.tz) == "Asia/Tokyo"


def test_numbers_of_a_snapshot_may_be_written_without_touching_the_window():
    window = window_of(speeds(1, 2))
    frame = window.frame()
    frame.loc[:, "value"] = 9.0
    values = frame["value"].to_numpy()
    assert window["speed"]["value"].tolist() == [1.0, 2.0]
    window.append(points_of(speeds(3, 4, 5), window.keys))
    assert values.tolist() == [9.0, 9.0]


def test_a_window_says_what_it_holds():
    assert repr(window_of(speeds(1, 2), window_ns=60 * 10**9)) == "<RollingFrame: 2 of at most 1,000 points in 0 days 00:01:00>"


# --- while more comes ----------------------------------------------------------------------------------------------------


def test_a_look_while_points_come_never_shows_a_torn_or_unsorted_row(monkeypatch):
    monkeypatch.undo()
    keys = SeriesTable()
    note = series(DataType.string, 1, "note")
    window = RollingFrame(window_ns=300, max_points=500, meta=META, keys=keys)
    done = threading.Event()

    def batch(first):
        # Pairs of a number and a text that say their own time; every fourth batch comes before the one it follows.
        times = range(first, first + 40)
        pairs = [((t, SPEED, float_of(float(t))), (t, note, named("note", b"%d" % t))) for t in times]
        return points_of([row for pair in pairs for row in pair], keys)

    def write():
        first = 0
        while not done.is_set():
            for start in (first, first + 80, first + 40, first + 120):
                window.append(batch(start))
            first += 160

    def check():
        frame = window.frame()
        stamps = frame.index.asi8
        assert (np.diff(stamps) >= 0).all()
        assert len(frame) <= 500
        assert not len(frame) or stamps[-1] - stamps[0] <= 300
        numbers, texts = frame["float.value"], frame["string.value"]
        assert numbers.dropna().tolist() == stamps[numbers.notna()].tolist()
        assert texts.dropna().tolist() == [str(stamp) for stamp in stamps[texts.notna()]]
        assert len(numbers.dropna()) + len(texts.dropna()) == len(frame)
        one = window["speed"]
        assert one["value"].tolist() == one.index.asi8.tolist()
        table = window.to_arrow().to_pylist()
        for row in table:
            expected = float_of(float(row["time"].value)) if row["data_type"] == 11 else named("note", b"%d" % row["time"].value)
            assert row["payload"] == expected

    writer = threading.Thread(target=write)
    window.append(batch(0))
    writer.start()
    try:
        for _ in range(60):
            check()
    finally:
        done.set()
        writer.join()
    received, shown, evicted, late, ahead, _ = astuple(window.counts)
    assert received == shown + evicted + late + ahead
    assert evicted > 0
