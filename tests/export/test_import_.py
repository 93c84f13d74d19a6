from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import intdash_frames as idf
from intdash_frames.errors import IncompleteStore, UsageError
from intdash_frames.export.import_ import import_
from tests.export.exporting import digests, export_small, some_rows, stored_points
from tests.frames.stored import BASETIME_NS, contents, float_row, golden_rows, store_rows


@pytest.fixture(scope="module")
def elsewhere() -> Iterator[idf.LocalServer]:
    """Another server, that has other edges."""
    with idf.LocalServer(edges={"copy": "copy-token", "second": "second-token"}) as running:
        yield running


@pytest.fixture
def there(elsewhere: idf.LocalServer) -> Iterator[idf.Client]:
    with elsewhere.client() as made:
        yield made


@pytest.fixture
def exported(client: idf.Client, tmp_path: Path) -> tuple[Path, str]:
    """A folder of many parts, and the measurement it is of."""
    uuid = store_rows(client, some_rows(300, seed=3), basetime_ns=BASETIME_NS)
    client.measurement_basetimes.update(uuid, pd.Timestamp(BASETIME_NS + 77, unit="ns", tz="UTC"), "ntp")
    client.measurement_markers.create(
        uuid, "range", idf.MeasurementMarkerDetailRange(pd.Timedelta("1s"), pd.Timedelta("2s")), "curve", "left", {"a": "b"}
    )
    client.measurements.update(uuid, name="drive 走行", description="with rain")
    export_small(client, uuid, tmp_path)
    return tmp_path, uuid


def points_of(client: idf.Client, uuid: str) -> list[tuple[Any, ...]]:
    return contents(client.frames(uuid).to_arrow())


def test_every_payload_arrives_bit_for_bit(client: idf.Client, there: idf.Client, everything: str, tmp_path: Path) -> None:
    client.export(everything, tmp_path)
    report = there.import_(tmp_path)
    assert report.complete
    assert report.points == len(golden_rows())
    assert points_of(there, report.measurements[everything]) == points_of(client, everything)


def test_base_times_markers_name_and_end_come_along(client: idf.Client, there: idf.Client, exported: tuple[Path, str]) -> None:
    folder, uuid = exported
    target = there.import_(folder).measurements[uuid]
    old, new = client.measurements.get(uuid), there.measurements.get(target)
    for name in ("name", "description", "basetime", "basetime_type", "duration", "ended", "protected"):
        assert getattr(new, name) == getattr(old, name), name
    times = [
        {(each.type, each.basetime) for each in side.measurement_basetimes.list(which)}
        for side, which in ((client, uuid), (there, target))
    ]
    assert times[0] == times[1]
    assert len(times[0]) == 2
    (marker,) = there.measurement_markers.list(target)
    (original,) = client.measurement_markers.list(uuid)
    for name in ("name", "description", "type", "detail", "tag"):
        assert getattr(marker, name) == getattr(original, name), name


def test_export_import_export_gives_equal_data(
    client: idf.Client, there: idf.Client, exported: tuple[Path, str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder, uuid = exported
    again = tmp_path_factory.mktemp("again")
    export_small(there, there.import_(folder).measurements[uuid], again)
    assert stored_points(again) == stored_points(folder)
    for name in digests(folder):
        if name.endswith(".parquet"):
            kind, _, date, _, file = name.split("/")
            (other,) = again.glob(f"{kind}/*/{date}/*/{file}")
            one, two = (pq.ParquetFile(path).read().drop_columns(["measurement_uuid"]) for path in (folder / name, other))
            assert [column.to_pylist() for column in one.drop_columns(["value"] if "value" in one.column_names else [])] == [
                column.to_pylist() for column in two.drop_columns(["value"] if "value" in two.column_names else [])
            ]


def test_a_second_import_sends_nothing(there: idf.Client, exported: tuple[Path, str]) -> None:
    folder, uuid = exported
    first = there.import_(folder)
    second = there.import_(folder)
    assert (second.points, second.sections, second.complete) == (0, 0, True)
    assert second.measurements == first.measurements
    assert len(there.measurement_markers.list(first.measurements[uuid])) == 1


def test_without_resume_the_measurements_are_made_anew(client: idf.Client, there: idf.Client, exported: tuple[Path, str]) -> None:
    folder, uuid = exported
    first, second = there.import_(folder), there.import_(folder, resume=False)
    assert first.measurements[uuid] != second.measurements[uuid]
    assert points_of(there, second.measurements[uuid]) == points_of(client, uuid)


def test_the_edge_is_the_one_chosen_else_the_one_it_was_of_else_ones_own(
    client: idf.Client, there: idf.Client, elsewhere: idf.LocalServer, exported: tuple[Path, str]
) -> None:
    folder, uuid = exported
    other = there.import_(folder, edge="second").measurements[uuid]
    assert [each.name for each in there.edges.list(name='"second"')] == ["second"]
    assert there.measurements.get(other).edge_uuid == there.edges.list(name='"second"')[0].uuid
    mine = there.import_(folder, resume=False).measurements[uuid]
    assert there.measurements.get(mine).edge_uuid == there.edges.me().uuid
    same = client.import_(folder).measurements[uuid]
    assert client.measurements.get(same).edge_uuid == client.measurements.get(uuid).edge_uuid
    assert same != uuid


KILLED = """
import os, signal, sys
import intdash_frames as idf
from intdash_frames.export import import_, ledger
from intdash_frames.transport.over_http import HttpTransport

left = int(sys.argv[3])

def step(make, before):
    def stepped(*arguments, **options):
        global left
        if before:
            left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        made = make(*arguments, **options)
        if not before:
            left -= 1
            if left < 0:
                os.kill(os.getpid(), signal.SIGKILL)
        return made
    return stepped

ledger.Ledger._note = step(ledger.Ledger._note, True)
HttpTransport.send = step(HttpTransport.send, False)
with idf.Client(sys.argv[1], "copy-token") as client:
    import_.import_(client.connection, sys.argv[2], section_bytes=600)
print("done")
"""


@pytest.mark.parametrize("steps", [[2, 1], [5, 9, 30], [60]])
def test_killed_anywhere_and_run_again_each_point_is_there_once(
    client: idf.Client, there: idf.Client, exported: tuple[Path, str], steps: list[int]
) -> None:
    folder, uuid = exported
    before = len(there.measurements.frame())
    for left in steps:
        command = [sys.executable, "-c", KILLED, there.url, str(folder), str(left)]
        ended = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2])
        assert ended.returncode == -9, ended.stderr
    report = import_(there.connection, folder, section_bytes=600)
    assert report.complete
    assert points_of(there, report.measurements[uuid]) == points_of(client, uuid)
    assert len(there.measurement_markers.list(report.measurements[uuid])) == 1
    assert len(there.measurements.frame()) == before + 1


@pytest.mark.parametrize("fault", [idf.Fault.lose_answer(times=2), idf.Fault.status(503, times=2), idf.Fault.nack()])
def test_a_server_that_stumbles_gets_each_point_once(
    client: idf.Client, elsewhere: idf.LocalServer, exported: tuple[Path, str], fault: idf.Fault
) -> None:
    import dataclasses

    folder, uuid = exported
    with elsewhere.client() as there:
        elsewhere.inject(dataclasses.replace(fault, path="/api/v1/measurements/data"))
        report = there.import_(folder)
        assert points_of(there, report.measurements[uuid]) == points_of(client, uuid)


def test_what_failed_is_said_and_sent_later(client: idf.Client, elsewhere: idf.LocalServer, exported: tuple[Path, str]) -> None:
    folder, uuid = exported
    with elsewhere.client(retries=0) as there:
        elsewhere.inject(idf.Fault.status(400, path="/api/v1/measurements/data"))
        with pytest.raises(IncompleteStore, match="400") as caught:
            there.import_(folder)
        assert not caught.value.result.complete
        report = there.import_(folder)
        assert report.complete
        assert points_of(there, report.measurements[uuid]) == points_of(client, uuid)


def test_a_file_that_came_to_harm_is_not_sent(there: idf.Client, exported: tuple[Path, str]) -> None:
    folder, uuid = exported
    victim = sorted(folder.rglob("*.parquet"))[0]
    victim.write_bytes(victim.read_bytes()[:-1] + b"?")
    report = there.import_(folder, errors="collect")
    assert "not as it was exported" in report.failed[0]["reason"]
    assert not report.complete
    assert not there.measurements.get(report.measurements[uuid]).ended


def test_what_was_cut_anew_since_an_import_is_not_sent_twice(client: idf.Client, there: idf.Client, tmp_path: Path) -> None:
    rows = some_rows(100, seed=8)
    uuid = store_rows(client, rows[:40])
    export_small(client, uuid, tmp_path)
    first = there.import_(tmp_path)
    more = [idf.DataPoint(pd.Timedelta(row.elapsed_ns, "ns"), row.data_type, row.channel, row.payload) for row in rows[40:]]
    client.data_points.store(uuid, more)
    export_small(client, uuid, tmp_path)
    report = there.import_(tmp_path, errors="collect")
    assert any("since" in each["reason"] for each in report.failed)
    assert len(points_of(there, first.measurements[uuid])) < len(rows)


@pytest.mark.parametrize("wrong", [{"path": "absent"}, {"path": None}, {"errors": "no"}, {"resume": 1}, {"progress": 3}])
def test_arguments_that_cannot_work_are_refused(there: idf.Client, tmp_path: Path, wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        there.import_(**{"path": tmp_path, **wrong})


def test_two_imports_at_once_are_one_too_many(there: idf.Client, exported: tuple[Path, str]) -> None:
    from intdash_frames.export.ledger import Ledger

    folder, _ = exported
    with Ledger(folder, there.url, resume=True), pytest.raises(UsageError, match="another import"):
        there.import_(folder)


def test_points_that_the_store_call_cannot_carry_are_counted(client: idf.Client, there: idf.Client, tmp_path: Path) -> None:
    uuid = store_rows(client, [float_row(0, 1.0)])
    client.export(uuid, tmp_path)
    from intdash_frames.export.write import write_table
    from intdash_frames.folder.manifest import Folder, Part, read_manifest

    manifest = read_manifest(tmp_path)
    assert manifest is not None
    (part,) = manifest.parts.values()
    (file,) = part.files
    table = pq.ParquetFile(tmp_path / file.path).read()
    table = table.set_column(table.column_names.index("channel"), "channel", pa.nulls(1, pa.uint8()))
    size, digest = write_table(tmp_path / file.path, table)
    import dataclasses

    manifest.add(Part(uuid, part.cell, (dataclasses.replace(file, bytes=size, sha256=digest),)))
    with Folder(tmp_path) as opened:
        opened.finish(manifest, "")
    report = there.import_(tmp_path)
    assert [(each["measurement"], each["points"]) for each in report.skipped] == [(uuid, 1)]
    assert not report.complete


def test_equal_points_on_both_sides_of_a_section_that_may_be_there_are_all_sent(
    client: idf.Client, there: idf.Client, tmp_path: Path
) -> None:
    uuid = store_rows(client, [float_row(5, 1.0)] * 40)
    client.export(uuid, tmp_path)

    def stop(state: dict[str, Any]) -> None:
        if state["points"] > 10:
            raise KeyError("stop")

    with pytest.raises(KeyError, match="stop"):
        import_(there.connection, tmp_path, section_bytes=400, progress=stop)
    report = import_(there.connection, tmp_path, section_bytes=400)
    assert 0 < report.points < 40
    assert len(points_of(there, report.measurements[uuid])) == 40
