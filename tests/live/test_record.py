"""A recording: every point that is given, in whole files, whatever happens to the disk; first alone, then of a live view."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

import intdash_frames as idf
from intdash_frames import IntdashError, UsageError
from intdash_frames.codecs.points import Points
from intdash_frames.codecs.series import Series, SeriesTable
from intdash_frames.frames.envelope import ENVELOPE, to_table
from intdash_frames.live.readers import Reader
from intdash_frames.live.record import Recording
from tests.codecs.some_points import points_of
from tests.live.test_follow import SyncSender

WAIT_S = 20
KEYS = SeriesTable()
SPEED, PICTURE = Series("m", 11, 1, "speed", "11"), Series("m", 9, 2, "9", "9")
START_NS = 1_594_283_650_832_607_123


def some(first: int, count: int, key: Series = SPEED) -> Points:
    return points_of([(START_NS + number, key, f"payload {number}".encode()) for number in range(first, first + count)], KEYS)


class Source:
    """Gives points to a recording, and lets it be waited for; its clock stands still unless it is moved."""

    def __init__(self, most_points: int = 1_000_000) -> None:
        self.readers: list[Reader] = []
        self.now_s = 0.0
        self.most_points = most_points
        self.given: list[Points] = []

    def __call__(self, notify: Callable[[], object]) -> Reader:
        self.readers.append(Reader(self.most_points, notify))
        return self.readers[-1]

    def give(self, *parts: Points) -> None:
        for points in parts:
            self.given.append(points)
            for reader in self.readers:
                reader.give(points)

    def record(self, path: object, **options: Any) -> Recording:
        meta = {"source": {"url": "http://here"}}
        return Recording(path, self, self.readers.remove, meta=meta, clock=lambda: self.now_s, **options)

    def table(self) -> pa.Table:
        return to_table(self.given)


@pytest.fixture
def source() -> Source:
    return Source()


def until(reached: Callable[[], bool]) -> None:
    """Wait for the thread of a recording."""
    waiting, deadline = threading.Event(), WAIT_S * 1000
    while not reached():
        deadline -= 1
        assert deadline, "it never came to that"
        waiting.wait(0.001)


def read(folder: Path) -> pa.Table:
    return ds.dataset(folder, format="parquet").to_table()


def plain(table: pa.Table) -> list[dict[str, Any]]:
    """Rows whose times are whole nanoseconds."""
    return table.set_column(0, "time", table["time"].cast(pa.int64())).to_pylist()


def test_every_point_can_be_read_back_by_pyarrow_polars_and_duckdb(source: Source, tmp_path: Path) -> None:
    recording = source.record(tmp_path / "run1")
    source.give(
        some(0, 100), some(100, 3, PICTURE), some(103, 50), points_of([(START_NS, Series("", None, None, "x", "new"), b"")], KEYS)
    )
    recording.stop()
    assert [path.name for path in recording.files] == ["part-000000.parquet"]
    assert sorted(path.name for path in (tmp_path / "run1").iterdir()) == ["part-000000.parquet"]
    expected = plain(source.table())
    found = read(tmp_path / "run1")
    assert found.schema.equals(ENVELOPE)
    assert plain(found) == expected
    by_polars = pl.read_parquet(tmp_path / "run1" / "*.parquet").with_columns(pl.col("time").cast(pl.Int64))
    assert by_polars.schema["payload"] == pl.Binary
    assert by_polars.cast({"measurement_uuid": pl.String, "data_id": pl.String}).to_dicts() == expected
    # Releases of DuckDB before 2 have no nanoseconds in a time with a zone.
    query = f"select epoch_us(time::timestamptz), data_id, payload from '{tmp_path / 'run1'}/*.parquet'"
    assert duckdb.sql(query).fetchall() == [(row["time"] // 1000, row["data_id"], row["payload"]) for row in expected]
    assert (recording.rows, recording.gaps, recording.error) == (154, [], None)


def test_a_file_says_where_its_points_come_from(source: Source, tmp_path: Path) -> None:
    recording = source.record(tmp_path)
    source.give(some(0, 5))
    recording.stop()
    assert pd.read_parquet(recording.files[0]).attrs == {"intdash": {"source": {"url": "http://here"}}}
    file = pq.ParquetFile(recording.files[0])
    assert file.metadata.format_version == "2.6"
    assert {file.metadata.row_group(0).column(number).compression for number in range(len(ENVELOPE))} == {"ZSTD"}


def test_a_file_holds_no_more_rows_than_it_should_wherever_batches_end(source: Source, tmp_path: Path) -> None:
    recording = source.record(tmp_path, rows_per_file=10)
    source.give(some(0, 4), some(4, 5), some(9, 33), some(42, 1))
    recording.stop()
    assert [pq.read_metadata(path).num_rows for path in recording.files] == [10, 10, 10, 10, 3]
    assert plain(read(tmp_path)) == plain(source.table())
    assert recording.rows == 43


def test_row_groups_are_bounded_in_rows_and_in_bytes(source: Source, tmp_path: Path) -> None:
    recording = source.record(tmp_path)
    count = 70_000
    keys = SeriesTable()
    code = keys.code(SPEED)
    many = Points(
        np.arange(count, dtype=np.int64),
        np.full(count, code, np.int32),
        np.zeros(count, np.uint8),
        np.arange(count + 1, dtype=np.int32),
        keys,
    )
    megabytes = Points(
        np.arange(40, dtype=np.int64),
        np.full(40, code, np.int32),
        np.zeros(40 << 20, np.uint8),
        (np.arange(41) << 20).astype(np.int32),
        keys,
    )
    source.give(many.slice(0, 40_000), many.slice(40_000, count), *(megabytes.slice(each, each + 1) for each in range(40)))
    recording.stop()
    metadata = pq.read_metadata(recording.files[0])
    rows = [metadata.row_group(number).num_rows for number in range(metadata.num_row_groups)]
    assert rows == [65_536, 4_464, 32, 8]
    assert read(tmp_path)["payload"].combine_chunks()[-1].as_py() == bytes(1 << 20)


def test_a_file_is_whole_once_its_time_is_up_even_if_nothing_more_comes(source: Source, tmp_path: Path) -> None:
    recording = source.record(tmp_path, seconds_per_file=60)
    source.give(some(0, 10))
    until(lambda: recording.rows == 10)
    source.now_s = 59.9
    recording.wake()
    source.give(some(10, 1))
    until(lambda: recording.rows == 11)
    assert recording.files == []
    source.now_s = 60.0
    recording.wake()
    until(lambda: len(recording.files) == 1)
    source.give(some(11, 2))
    until(lambda: recording.rows == 13)
    assert plain(read(tmp_path)) == plain(source.table())[:11]  # what a crash would leave: a reader does not see the open file
    assert len(list(tmp_path.iterdir())) == 2
    recording.stop()
    assert plain(read(tmp_path)) == plain(source.table())


def test_no_bell_is_needed_for_a_file_whose_time_is_up(source: Source, tmp_path: Path) -> None:
    recording = Recording(tmp_path, source, source.readers.remove, meta={}, seconds_per_file=0.01)
    source.give(some(0, 10))
    until(lambda: len(recording.files) == 1)
    recording.stop()
    assert recording.rows == 10


def test_nothing_in_the_folder_is_written_over(source: Source, tmp_path: Path) -> None:
    (tmp_path / ".part-000007.parquet.unfinished").write_bytes(b"left by a crash")
    (tmp_path / "notes.txt").write_text("mine")
    both = source.record(tmp_path), source.record(tmp_path)
    source.give(some(0, 3))
    for recording in both:
        recording.stop()
    again = source.record(tmp_path)
    source.give(some(3, 3))
    again.stop()
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        ".part-000007.parquet.unfinished",
        "notes.txt",
        "part-000008.parquet",
        "part-000009.parquet",
        "part-000010.parquet",
    ]
    assert [pq.read_metadata(path).num_rows for path in sorted(tmp_path.glob("*.parquet"))] == [3, 3, 3]


def test_without_points_there_is_no_file(source: Source, tmp_path: Path) -> None:
    recording = source.record(tmp_path / "a" / "b")
    recording.stop()
    recording.stop()
    assert (recording.files, recording.rows, list(recording.path.iterdir())) == ([], 0, [])
    assert source.readers == []
    assert repr(recording).endswith("ended, 0 rows, 0 files>")


def test_what_was_left_out_for_a_slow_recording_stands_in_the_handle_and_in_the_file(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    source = Source(most_points=5)

    def subscribe(notify: Callable[[], object]) -> Reader:
        reader = source(notify)
        source.give(some(0, 5), some(5, 5))  # before the recording's thread begins: so it is as slow as can be
        return reader

    recording = Recording(tmp_path, subscribe, source.readers.remove, meta={})
    until(lambda: len(recording.gaps) == 1)
    recording.stop()
    (gap,) = recording.gaps
    assert (gap.start_ns, gap.end_ns) == (START_NS + 5, START_NS + 10)
    assert "too slow: 5 points were left out" in gap.reason
    assert "too slow" in caplog.text
    said = json.loads(pq.read_metadata(recording.files[0]).metadata[b"intdash.gaps"])
    assert said == [{"start": "2020-07-09T08:34:10.832607128Z", "end": "2020-07-09T08:34:10.832607133Z", "reason": gap.reason}]
    assert recording.rows == 5


def test_a_folder_that_goes_away_ends_the_recording_and_is_told_once(
    source: Source, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    recording = source.record(tmp_path / "run", rows_per_file=2)
    source.give(some(0, 2))
    until(lambda: len(recording.files) == 1)
    shutil.rmtree(recording.path)
    source.give(some(2, 2))
    until(lambda: recording.error is not None)
    assert source.readers == []  # so that nothing is kept for it
    with pytest.raises(IntdashError, match=r"recording into '.*run' has ended: .*No such file.*; whole are 1 files of 2 rows"):
        recording.stop()
    recording.stop()
    assert caplog.text.count("has ended") == 1


def test_a_full_disk_ends_the_recording_and_leaves_the_whole_files(source: Source, tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    recording = source.record(tmp_path, rows_per_file=1000)
    source.give(some(0, 1000))
    until(lambda: len(recording.files) == 1)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    noise = np.random.default_rng(1).integers(0, 256, 1 << 20, np.uint8)
    keys = SeriesTable()
    large = Points(np.zeros(1, np.int64), np.zeros(1, np.int32), noise, np.asarray([0, len(noise)], np.int32), keys)
    keys.code(PICTURE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 19, before[1]))  # a file that grows further fails as on a full disk
    try:
        source.give(large)
        recording.end()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert isinstance(recording.error, IntdashError)
    assert isinstance(recording.error.__cause__, OSError)
    assert [path.name for path in tmp_path.iterdir()] == ["part-000000.parquet"]
    assert (recording.rows, read(tmp_path).num_rows) == (1000, 1000)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"rows_per_file": 0}, "rows_per_file=0; expected a whole number"),
        ({"rows_per_file": True}, "rows_per_file=True"),
        ({"seconds_per_file": 0}, "seconds_per_file=0; expected more than 0"),
        ({"seconds_per_file": float("nan")}, "seconds_per_file=nan"),
        ({"path": None}, "path=None cannot be the folder"),
        ({"path": __file__}, "cannot be the folder of a recording"),
    ],
)
def test_arguments_that_cannot_work_are_refused(source: Source, tmp_path: Path, options: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        source.record(options.pop("path", tmp_path), **options)
    assert source.readers == []


# --- of a live view ---


@pytest.fixture
def sender(client: idf.Client) -> Iterator[SyncSender]:
    sender = SyncSender(client)
    yield sender
    sender.close()


def test_a_live_view_records_what_it_shows_until_it_ends(client: idf.Client, sender: SyncSender, tmp_path: Path) -> None:
    with client.live(edge="demo", signals="float:1/n") as live:
        first, second = live.record(tmp_path / "all"), live.record(tmp_path / "some")
        sender.send(30)
        assert live.wait(30, WAIT_S)
        second.stop()
        sender.send(20)
        assert live.wait(50, WAIT_S)
    assert plain(read(tmp_path / "all")) == plain(live.to_arrow())
    assert plain(read(tmp_path / "some")) == plain(live.to_arrow())[:30]
    assert (first.rows, second.rows) == (50, 30)
    assert pd.read_parquet(first.files[0]).attrs["intdash"]["source"] == {"url": client.url, "edge": client.edges.me().uuid}


@pytest.mark.parametrize(
    ("leave", "raised"), [(lambda: 0, IntdashError), (lambda: 1 / 0, ZeroDivisionError)], ids=["end", "error"]
)
def test_a_recording_that_fails_ends_no_live_view_and_is_raised_at_its_end_unless_something_else_is(
    client: idf.Client, sender: SyncSender, tmp_path: Path, leave: Callable[[], object], raised: type[Exception]
) -> None:
    live = client.live(edge="demo", signals="float:1/n")

    def watch() -> None:
        with live:
            recording = live.record(tmp_path / "run")
            shutil.rmtree(tmp_path / "run")
            sender.send(10)
            until(lambda: recording.error is not None)
            sender.send(10)
            assert live.wait(20, WAIT_S)
            leave()

    with pytest.raises(raised):
        watch()
    assert len(live) == 20
