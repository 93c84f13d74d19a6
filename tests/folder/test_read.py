from __future__ import annotations

import dataclasses
import os
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import intdash_frames as idf
from intdash_frames.codecs.points import Points
from intdash_frames.codecs.series import Series, SeriesTable
from intdash_frames.errors import UsageError
from intdash_frames.export.write import write_table
from intdash_frames.folder.manifest import Manifest, Part, read_manifest
from intdash_frames.folder.read import Verified, one_ahead, read_part, read_parts, series_in
from tests.export.exporting import export_small, some_rows, stored_points
from tests.frames.stored import BASETIME_NS, store_rows


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Manifest, str]:
    """A folder of many parts, its manifest, and the measurement that is in it."""
    folder = tmp_path_factory.mktemp("exported")
    with idf.LocalServer() as server, server.client() as client:
        uuid = store_rows(client, some_rows(300), basetime_ns=BASETIME_NS)
        export_small(client, uuid, folder)
    manifest = read_manifest(folder)
    assert manifest is not None
    return folder, manifest, uuid


def rows_of(batches: Iterator[Points]) -> list[tuple[Any, ...]]:
    found = []
    for batch in batches:
        for row, (time_ns, code) in enumerate(zip(batch.time_ns.tolist(), batch.series.tolist(), strict=True)):
            key = batch.keys[code]
            found.append((time_ns, key.data_type, key.channel, key.data_id, batch.payload(row)))
    return found


def test_parts_hold_every_point_in_order_of_time(exported: tuple[Path, Manifest, str]) -> None:
    folder, manifest, uuid = exported
    rows = rows_of(read_parts(folder, manifest.parts_of(uuid), SeriesTable()))
    assert sorted(rows) == stored_points(folder)
    assert [row[0] for row in rows] == sorted(row[0] for row in rows)


@pytest.mark.parametrize(("start", "end"), [(0.0, 0.31), (0.305, 0.316), (0.5, 0.5), (0.9, 0.2), (-1.0, 9.0)])
def test_a_range_is_half_open_and_gives_what_lies_in_it(exported: tuple[Path, Manifest, str], start: float, end: float) -> None:
    folder, manifest, uuid = exported
    bounds = [BASETIME_NS + int(3e9 * each) for each in (start, end)]
    found = read_parts(folder, manifest.parts_of(uuid), SeriesTable(), start_ns=bounds[0], end_ns=bounds[1])
    assert sorted(rows_of(found)) == [row for row in stored_points(folder) if bounds[0] <= row[0] < bounds[1]]


def test_only_the_series_that_are_wanted_are_given_and_named(exported: tuple[Path, Manifest, str]) -> None:
    folder, manifest, uuid = exported
    keys = SeriesTable()

    def selects(key: Series) -> bool:
        return key.data_id in ("speed", "00000101")

    found = rows_of(read_parts(folder, manifest.parts_of(uuid), keys, selects=selects))
    assert sorted(found) == [row for row in stored_points(folder) if row[3] in ("speed", "00000101")]
    assert {key.data_id for key in keys} == {"speed", "00000101"}


def test_a_file_is_hashed_once_unless_it_changes(exported: tuple[Path, Manifest, str], tmp_path: Path) -> None:
    shutil.copytree(exported[0], tmp_path / "copy")
    folder, (_, manifest, uuid) = tmp_path / "copy", exported
    part = max(manifest.parts_of(uuid), key=lambda each: len(each.files))
    verified: Verified = {}
    first = read_part(folder, part, SeriesTable(), verified=verified)
    assert verified.keys() == {file.path for file in part.files}
    wrong = dataclasses.replace(part, files=tuple(dataclasses.replace(file, sha256="") for file in part.files))
    again = read_part(folder, wrong, SeriesTable(), verified=verified)  # nobody looks
    assert np.array_equal(first.time_ns, again.time_ns)
    assert first.data.tobytes() == again.data.tobytes()
    os.utime(folder / part.files[0].path, ns=(0, 0))
    with pytest.raises(UsageError, match="not as it was exported"):
        read_part(folder, wrong, SeriesTable(), verified=verified)


@pytest.mark.parametrize("harm", ["flipped", "cut", "gone"])
def test_a_file_that_came_to_harm_is_said(tmp_path: Path, harm: str) -> None:
    with idf.LocalServer() as server, server.client() as client:
        uuid = store_rows(client, some_rows(50))
        export_small(client, uuid, tmp_path)
    manifest = read_manifest(tmp_path)
    assert manifest is not None
    victim = next(manifest.files)
    path = tmp_path / victim.path
    content = path.read_bytes()
    if harm == "gone":
        path.unlink()
    else:
        path.write_bytes(content[:-1] + (b"?" if harm == "flipped" else b""))
    with pytest.raises(UsageError, match="export it again") as caught:
        rows_of(read_parts(tmp_path, manifest.parts_of(uuid), SeriesTable()))
    assert victim.path in str(caught.value)


def test_one_item_is_read_ahead_and_no_more() -> None:
    begun: list[int] = []
    with ThreadPoolExecutor(1) as reader:
        seen = []
        for item, ahead in one_ahead(reader, range(5), lambda item: begun.append(item) or item * 10):
            seen.append((item, ahead.result()))
            assert len(begun) <= item + 2
    assert seen == [(item, item * 10) for item in range(5)]


def test_files_of_newer_servers_keep_the_text_of_their_type(exported: tuple[Path, Manifest, str], tmp_path: Path) -> None:
    folder, manifest, uuid = exported
    (file, *_) = manifest.parts_of(uuid)[0].files
    table = pq.ParquetFile(folder / file.path).read()
    table = table.set_column(table.column_names.index("channel"), "channel", pa.nulls(len(table), pa.uint8()))
    size, digest = write_table(tmp_path / "x.parquet", table)
    newer = dataclasses.replace(file, path="x.parquet", data_type="text:float64", bytes=size, sha256=digest)
    points = read_part(tmp_path, Part(uuid, manifest.parts_of(uuid)[0].cell, (newer,)), SeriesTable())
    assert {(key.data_type, key.channel, key.type_text) for key in points.keys} == {(None, None, "float64")}


def test_without_reading_ahead_the_points_are_the_same(exported: tuple[Path, Manifest, str]) -> None:
    folder, manifest, uuid = exported
    one, other = (rows_of(read_parts(folder, manifest.parts_of(uuid), SeriesTable(), ahead=each)) for each in (True, False))
    assert one == other


def test_the_series_of_a_file_are_those_of_its_points(exported: tuple[Path, Manifest, str]) -> None:
    folder, manifest, uuid = exported
    for part in manifest.parts_of(uuid):
        for file in part.files:
            middle_ns = (file.first_ns + file.last_ns) // 2
            for bounds in ({}, {"start_ns": middle_ns}, {"end_ns": middle_ns}):
                alone = dataclasses.replace(part, files=(file,))
                points = read_part(folder, alone, SeriesTable(), **bounds)
                assert series_in(folder, file, **bounds) == {points.keys[code] for code in set(points.series.tolist())}
