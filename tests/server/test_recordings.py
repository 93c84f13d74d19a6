from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from intdash_frames.codecs.points import Points
from intdash_frames.codecs.series import SeriesTable
from intdash_frames.export.parts import Limits
from intdash_frames.folder import read
from intdash_frames.folder.manifest import Part
from intdash_frames.model import DataType
from intdash_frames.server.answers import data_answer
from intdash_frames.server.folder_store import folder_store
from intdash_frames.server.selection import DataQuery, IdPattern, find_sources, stored_ids
from intdash_frames.server.store import Refused, Store
from intdash_frames.timebase import INT64_MAX, INT64_MIN
from tests.export.exporting import some_rows, stored_points
from tests.frames.stored import BASETIME_NS, can_row, float_row, string_row
from tests.server.conftest import read_points
from tests.server.folders import exported

EVER = INT64_MIN, INT64_MAX


def rows_of(store: Store, query: DataQuery) -> list[tuple[Any, ...]]:
    answer, body = data_answer(store, query), b""
    try:
        while (piece := answer.next()) is not None:
            body += piece
    finally:
        answer.close()
    if not body:
        return []
    points = read_points(body)
    keys = [points.keys[code] for code in points.series.tolist()]
    return [
        (time, key.data_type, key.channel, key.data_id, points.payload(row))
        for row, (time, key) in enumerate(zip(points.time_ns.tolist(), keys, strict=True))
    ]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    path = tmp_path_factory.mktemp("recordings")
    return path, exported(path, [some_rows(200, seed=each) for each in range(3)], shift_ns=10**9)


def test_an_edge_is_answered_across_its_measurements_in_order_of_time(folder: tuple[Path, list[str]]) -> None:
    path, _ = folder
    store = folder_store(path)
    found = rows_of(store, DataQuery("demo", *EVER))
    assert sorted(found) == stored_points(path)
    assert [row[0] for row in found] == sorted(row[0] for row in found)
    store.close()


@pytest.fixture
def begun(monkeypatch: pytest.MonkeyPatch) -> list[Part]:
    """The parts that were begun to be read."""
    parts: list[Part] = []
    read_part = read.read_part

    def told(folder: Path, part: Part, *rest: Any, **named: Any) -> Points:
        parts.append(part)
        return read_part(folder, part, *rest, **named)

    monkeypatch.setattr(read, "read_part", told)
    return parts


def test_files_of_other_types_are_not_even_opened(folder: tuple[Path, list[str]], begun: list[Part]) -> None:
    path, (uuid, *_) = folder
    store = folder_store(path)
    found = rows_of(store, DataQuery(uuid, *EVER, patterns=[IdPattern(int(DataType.string), None, None)]))
    assert {row[1] for row in found} == {DataType.string}
    assert {file.data_type for part in begun for file in part.files} == {"string"}
    store.close()


def test_a_limited_answer_reads_no_further_than_it_has_to(folder: tuple[Path, list[str]], begun: list[Part]) -> None:
    path, (uuid, *_) = folder
    store = folder_store(path)
    assert len(rows_of(store, DataQuery(uuid, *EVER, limit=1))) == 1
    assert len(begun) == 1
    store.close()


def test_no_more_than_two_parts_are_held_and_no_thread_is_left(folder: tuple[Path, list[str]], begun: list[Part]) -> None:
    path, (uuid, *_) = folder
    store = folder_store(path)
    answer = data_answer(store, DataQuery(uuid, *EVER))
    assert answer.next() is not None
    answer.close()
    assert len(begun) <= 2
    assert not [each for each in threading.enumerate() if each.name.startswith("intdash-frames-folder-read")]
    store.close()


def test_ids_are_those_of_the_points(folder: tuple[Path, list[str]]) -> None:
    path, (uuid, *_) = folder
    store = folder_store(path)
    rows = rows_of(store, DataQuery(uuid, *EVER))
    assert stored_ids(store, uuid) == sorted({row[1:4] for row in rows})
    middle_ns = rows[len(rows) // 3][0]
    assert stored_ids(store, uuid, middle_ns) == sorted({row[1:4] for row in rows if row[0] >= middle_ns})
    assert stored_ids(store, uuid, None, middle_ns) == sorted({row[1:4] for row in rows if row[0] < middle_ns})
    assert stored_ids(store, uuid, 0, 5) == []
    store.close()


def test_equal_instants_of_several_measurements_are_in_the_order_of_their_making(tmp_path: Path) -> None:
    rows = [float_row(n, float(n), "speed") for n in range(5)]
    uuids = exported(tmp_path, [rows, rows, rows], limits=Limits(rows=2, size_bytes=4096))
    store = folder_store(tmp_path)
    with store.read() as cursor:
        sources = find_sources(cursor, DataQuery("demo", *EVER))
    assert store.recordings is not None
    query = DataQuery("demo", *EVER)
    batches = list(store.recordings.parts(query, sources, SeriesTable(), 1000))
    found = [
        (time - BASETIME_NS, batch.keys[code].measurement_uuid)
        for batch in batches
        for time, code in zip(batch.time_ns.tolist(), batch.series.tolist(), strict=True)
    ]
    assert found == [(n, uuid) for n in range(5) for uuid in uuids]
    store.close()


def test_a_file_that_is_gone_is_said_and_the_others_are_still_read(tmp_path: Path) -> None:
    (uuid,) = exported(tmp_path, [[float_row(0, 1.0), can_row(1, 7), string_row(2, "x")]])
    (victim,) = tmp_path.rglob("data_type=float/*/*/*/*.parquet")
    victim.unlink()
    store = folder_store(tmp_path)
    for ask in (lambda: rows_of(store, DataQuery(uuid, *EVER)), lambda: stored_ids(store, uuid)):
        with pytest.raises(Refused, match=victim.name) as caught:
            ask()
        assert caught.value.status == 410
    kept = [IdPattern(int(each), None, None) for each in (DataType.can, DataType.string)]
    assert len(rows_of(store, DataQuery(uuid, *EVER, patterns=kept))) == 2
    store.close()
