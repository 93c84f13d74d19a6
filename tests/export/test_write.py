from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from intdash_frames.export import write
from intdash_frames.export.write import write_part, write_table
from intdash_frames.folder.cell import Cell
from tests.export.test_layout import all_points

TABLE = pa.table({"time": pa.array([1, 2], pa.timestamp("ns", "UTC")), "payload": [b"a", b"b"]})


def test_a_part_is_a_file_for_each_data_type_and_the_digest_is_that_of_the_file(tmp_path: Path) -> None:
    points = all_points()
    part = write_part(tmp_path, "m", "e", Cell(0), [points], describe=lambda kind: {"kind": str(kind)})
    assert sum(file.rows for file in part.files) == len(points)
    assert len({file.data_type for file in part.files}) == len(part.files) > 15
    for file in part.files:
        content = (tmp_path / file.path).read_bytes()
        assert (len(content), hashlib.sha256(content).hexdigest()) == (file.bytes, file.sha256)
        times = pq.ParquetFile(tmp_path / file.path).read()["time"].cast(pa.int64())
        assert (times[0].as_py(), times[-1].as_py(), len(times)) == (file.first_ns, file.last_ns, file.rows)


def test_a_part_without_points_has_no_file(tmp_path: Path) -> None:
    assert write_part(tmp_path, "m", "e", Cell(0), [], describe=lambda kind: {}).files == ()
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_cannot_be_finished_leaves_nothing_and_what_was_there_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x.parquet"
    write_table(path, TABLE)
    before = path.read_bytes()

    def full(self: Any, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(write._Hashed, "write", full)
    with pytest.raises(OSError, match="No space left"):
        write_table(path, TABLE.slice(1))
    assert [each.name for each in tmp_path.iterdir()] == ["x.parquet"]
    assert path.read_bytes() == before


def test_payloads_have_no_extremes_in_the_file(tmp_path: Path) -> None:
    write_table(tmp_path / "x", TABLE)
    group = pq.ParquetFile(tmp_path / "x").metadata.row_group(0)
    assert group.column(0).statistics.has_min_max
    assert group.column(1).statistics is None
