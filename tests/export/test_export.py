from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

import intdash_frames as idf
from intdash_frames.errors import IncompleteRead, IntdashError, UsageError
from intdash_frames.folder.manifest import Folder
from tests.export.exporting import SMALL, digests, export_small, hidden, some_rows, stored_points
from tests.frames.stored import BASETIME_NS, can_row, column, contents, float_row, store_rows, string_row


@pytest.fixture(scope="module")
def recorded(client: idf.Client) -> str:
    return store_rows(client, some_rows(), basetime_ns=BASETIME_NS)


@pytest.fixture(scope="module")
def unbroken(client: idf.Client, recorded: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("unbroken")
    export_small(client, recorded, folder)
    return folder


# --- what is in it ---


def test_every_point_is_in_the_folder_bit_for_bit(client: idf.Client, everything: str, tmp_path: Path) -> None:
    report = client.export(everything, tmp_path)
    assert stored_points(tmp_path) == contents(client.frames(everything).to_arrow())
    assert report.complete
    assert report.points == len(stored_points(tmp_path))


def test_cut_into_many_parts_nothing_is_lost_or_twice(client: idf.Client, recorded: str, unbroken: Path) -> None:
    assert stored_points(unbroken) == contents(client.frames(recorded).to_arrow())
    assert len({path.name for path in unbroken.rglob("*.parquet")}) > 20


@pytest.mark.parametrize("workers", [1, 2, 7])
def test_any_number_of_workers_makes_the_same_files(
    server: idf.LocalServer, recorded: str, unbroken: Path, tmp_path: Path, workers: int
) -> None:
    with server.client(max_workers=workers) as client:
        export_small(client, recorded, tmp_path)
    assert digests(tmp_path) == digests(unbroken)


def test_decoded_columns_are_those_of_typed_frames(client: idf.Client, everything: str, tmp_path: Path) -> None:
    client.export(everything, tmp_path)
    for kind, frame in client.frames(everything).by_type().items():
        (path,) = tmp_path.glob(f"data_type={getattr(kind, 'name', kind)}/*/*/*/*.parquet")
        table = pq.ParquetFile(path).read()
        for name in ("time", *(each for each in frame.columns if each != "payload")):
            assert column(table, name) == column(frame, name), (kind, name)


def test_files_of_a_data_type_have_one_schema_whatever_is_in_them(client: idf.Client, tmp_path: Path) -> None:
    uuid = store_rows(client, [float_row(0, 1.0), float_row(10**9, 2.0, "x" * 9), float_row(1, 3.0, channel=9)])
    export_small(client, uuid, tmp_path, limits=type(SMALL)(1, 10))
    schemas = [pq.read_schema(path) for path in tmp_path.rglob("*.parquet")]
    assert len(schemas) == 3
    assert all(schema.equals(schemas[0], check_metadata=True) for schema in schemas)
    assert schemas[0].field("time").type == pa.timestamp("ns", "UTC")


def test_the_payload_alone_is_kept_where_decoding_is_not_wanted(client: idf.Client, everything: str, tmp_path: Path) -> None:
    client.export(everything, tmp_path, decode=False)
    assert stored_points(tmp_path) == contents(client.frames(everything).to_arrow())
    names = {tuple(pq.read_schema(path).names) for path in tmp_path.rglob("*.parquet")}
    assert names == {("time", "measurement_uuid", "channel", "data_id", "payload")}


def test_signals_and_range_are_those_of_frames(client: idf.Client, recorded: str, tmp_path: Path) -> None:
    asked = {"signals": ["float:*/speed", "can:1/*"], "start": pd.Timedelta("0.5s"), "end": pd.Timedelta("2s")}
    client.export(recorded, tmp_path, **asked)
    assert stored_points(tmp_path) == contents(client.frames(recorded, **asked).to_arrow())


def test_a_query_keeps_itself_with_to_parquet(client: idf.Client, recorded: str, tmp_path: Path) -> None:
    asked = client.frames(recorded, "string:*/*")
    report = asked.to_parquet(tmp_path)
    assert report.points == len(asked.to_arrow())
    assert stored_points(tmp_path) == contents(asked.to_arrow())


def test_an_edge_is_exported_across_its_measurements(server: idf.LocalServer, tmp_path: Path) -> None:
    with server.client("other") as client:
        day = 86_400 * 10**9
        edge_uuid = client.edges.me().uuid
        bases = [BASETIME_NS, BASETIME_NS + day, BASETIME_NS + 9 * day]
        uuids = [
            store_rows(client, [float_row(0, n), float_row(day, n)], basetime_ns=b, edge_uuid=edge_uuid)
            for n, b in enumerate(bases)
        ]
        start, end = (pd.Timestamp(BASETIME_NS + n * day - 5, unit="ns", tz="UTC") for n in (1, 9))
        report = client.export(path=tmp_path, edge="other", start=start, end=end)
        assert report.measurements == tuple(sorted(uuids[:2]))
        assert stored_points(tmp_path) == contents(client.frames(edge="other", start=start, end=end).to_arrow())


def test_days_are_those_of_utc(client: idf.Client, tmp_path: Path) -> None:
    midnight = 1_600_000_000_000_000_000 // (86_400 * 10**9) * 86_400 * 10**9
    uuid = store_rows(client, [float_row(0, 1.0), float_row(1, 2.0)], basetime_ns=midnight - 1)
    client.export(uuid, tmp_path)
    assert sorted(path.name for path in tmp_path.glob("*/*/*")) == ["date=2020-09-12", "date=2020-09-13"]


def test_data_ids_are_no_part_of_paths(client: idf.Client, tmp_path: Path) -> None:
    uuid = store_rows(client, [float_row(0, 1.0, "../../../etc/passwd"), float_row(1, 1.0, "a\x00b"), float_row(2, 1.0, "..")])
    report = client.export(uuid, tmp_path / "in")
    assert report.points == 3
    assert [path.name for path in tmp_path.iterdir()] == ["in"]
    assert not any("etc" in name for name in digests(tmp_path))


def test_a_measurement_without_points_is_a_folder_without_files(client: idf.Client, tmp_path: Path) -> None:
    uuid = store_rows(client, [])
    report = client.export(uuid, tmp_path)
    assert (report.points, report.files, report.complete) == (0, 0, True)
    assert sorted(digests(tmp_path)) == ["README.md", "manifest.json"]


# --- read by others ---

# Before version 2, it reads stamps with a zone as microseconds.
DUCKDB_CUTS = int(duckdb.__version__.split(".")[0]) < 2


@pytest.fixture(scope="module")
def plain(client: idf.Client, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    folder = tmp_path_factory.mktemp("plain")
    rows = [float_row(0, 1.5), float_row(1, float("nan")), string_row(2, "走行中"), can_row(3, 0x1A0, b"\x00\xff")]
    uuid = store_rows(client, rows, basetime_ns=BASETIME_NS)
    client.export(uuid, folder)
    return folder, uuid


def test_pandas_reads_it_with_attributes(plain: tuple[Path, Any]) -> None:
    folder, uuid = plain
    frame = pd.read_parquet(folder / "data_type=float")
    assert [stamp.value for stamp in frame["time"]] == [BASETIME_NS, BASETIME_NS + 1]
    assert str(frame["time"].dtype) == "datetime64[ns, UTC]"
    assert frame["value"][0] == 1.5
    assert isinstance(frame["data_id"].dtype, pd.CategoricalDtype)
    assert list(frame["data_id"]) == ["speed", "speed"]
    assert set(frame["measurement"]) == {uuid}
    assert frame.attrs["intdash"]["source"]["names"] == [uuid]
    text = pd.read_parquet(folder / "data_type=string")
    assert list(text["value"]) == ["走行中"]
    frames = pd.read_parquet(folder / "data_type=can")
    assert list(frames["data"]) == [b"\x00\xff"]


def test_polars_reads_it(plain: tuple[Path, Any]) -> None:
    folder, uuid = plain
    frame = pl.read_parquet(folder / "data_type=can")
    assert frame["time"].dtype == pl.Datetime("ns", "UTC")
    assert frame["time"].to_physical().to_list() == [BASETIME_NS + 3]
    assert frame["data"].to_list() == [b"\x00\xff"]
    assert frame["data_id"].cast(pl.String).to_list() == ["000001a0"]
    assert frame["measurement"].to_list() == [uuid]
    lazy = pl.scan_parquet(folder / "**/data_type=string/**/*.parquet", hive_partitioning=True)
    assert lazy.select("value").collect()["value"].to_list() == ["走行中"]


def test_duckdb_reads_it(plain: tuple[Path, Any]) -> None:
    folder, uuid = plain
    relation = duckdb.sql(f"select * from read_parquet('{folder}/data_type=string/**/*.parquet', hive_partitioning=true)")
    table = relation.to_arrow_table()
    stamp_ns = BASETIME_NS + 2
    if DUCKDB_CUTS:
        stamp_ns = stamp_ns // 1000 * 1000
    assert table["time"].cast(pa.timestamp("ns", "UTC")).cast(pa.int64()).to_pylist() == [stamp_ns]
    assert table["value"].to_pylist() == ["走行中"]
    assert table["payload"].to_pylist() == [b"\x04note" + "走行中".encode()]
    assert table["measurement"].cast(pa.string()).to_pylist() == [uuid]
    assert table["data_type"].to_pylist() == ["string"]


def test_duckdb_reads_all_data_types_at_once(plain: tuple[Path, Any]) -> None:
    folder, _ = plain
    query = f"select data_type, count(*) from read_parquet('{folder}/**/*.parquet', union_by_name=true) group by 1 order by 1"
    assert duckdb.sql(query).fetchall() == [("can", 1), ("float", 2), ("string", 1)]


def test_a_dataset_of_pyarrow_reads_it(plain: tuple[Path, Any]) -> None:
    folder, uuid = plain
    dataset = ds.dataset(folder / "data_type=float", partitioning="hive")
    table = dataset.to_table(filter=ds.field("measurement") == uuid)
    assert table["time"].cast(pa.int64()).to_pylist() == [BASETIME_NS, BASETIME_NS + 1]
    assert pa.types.is_dictionary(table.schema.field("data_id").type)


def test_readers_can_pass_over_what_they_do_not_want(client: idf.Client, recorded: str, unbroken: Path) -> None:
    for path in unbroken.glob("data_type=can/**/*.parquet"):
        file = pq.ParquetFile(path)
        group = file.metadata.row_group(0)
        times = file.read()["time"].cast(pa.int64()).to_pylist()
        assert times == sorted(times)
        assert group.sorting_columns == (pq.SortingColumn(0),)
        assert group.column(0).statistics.min.value == times[0]
        assert group.column(0).statistics.max.value == times[-1]
        assert group.column(0).compression == "ZSTD"


def test_units_stand_in_the_fields(client: idf.Client, everything: str, tmp_path: Path) -> None:
    client.export(everything, tmp_path)
    (path,) = tmp_path.glob("data_type=general_sensor/*/*/*/*.parquet")
    schema = pq.read_schema(path)
    assert schema.field("ax").metadata == {b"unit": "m/s²".encode()}
    assert schema.field("time").metadata[b"unit"].startswith(b"ns since")
    assert pd.read_parquet(path, partitioning=None).attrs["intdash"]["units"]["lat"] == "deg"


def test_no_file_holds_the_token(client: idf.Client, recorded: str, tmp_path: Path) -> None:
    client.export(recorded, tmp_path)
    assert not any(b"token" in path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())


# --- again ---


def test_a_second_export_reads_nothing(counting: tuple[idf.Client, list[str]], recorded: str, tmp_path: Path) -> None:
    client, sent = counting
    export_small(client, recorded, tmp_path)
    before = digests(tmp_path)
    sent.clear()
    report = export_small(client, recorded, tmp_path)
    assert [path for path in sent if "/data?" in path] == []
    assert (report.written, report.kept) == (0, len(before) - 2)
    assert digests(tmp_path) == before


@pytest.mark.parametrize("harm", ["delete", "shorten", "flip"])
def test_a_file_that_came_to_harm_is_made_again(
    client: idf.Client, recorded: str, unbroken: Path, tmp_path: Path, harm: str
) -> None:
    export_small(client, recorded, tmp_path)
    victim = sorted(tmp_path.rglob("*.parquet"))[7]
    content = victim.read_bytes()
    victim.unlink()
    if harm != "delete":
        victim.write_bytes(content[:-1] if harm == "shorten" else content[:9] + bytes([content[9] ^ 1]) + content[10:])
    report = export_small(client, recorded, tmp_path)
    assert digests(tmp_path) == digests(unbroken)
    assert 0 < report.written < 8


def test_a_measurement_that_has_grown_is_read_again_and_its_old_parts_go(client: idf.Client, tmp_path: Path) -> None:
    rows = some_rows(100, seed=5)
    uuid = store_rows(client, rows[::2])
    export_small(client, uuid, tmp_path)
    more = [idf.DataPoint(pd.Timedelta(row.elapsed_ns, "ns"), row.data_type, row.channel, row.payload) for row in rows[1::2]]
    client.data_points.store(uuid, more)
    report = export_small(client, uuid, tmp_path)
    assert report.points == 100
    assert stored_points(tmp_path) == contents(client.frames(uuid).to_arrow())
    assert len(list(tmp_path.rglob("*.parquet"))) == report.files


def test_without_resume_everything_is_read_again(client: idf.Client, recorded: str, unbroken: Path, tmp_path: Path) -> None:
    export_small(client, recorded, tmp_path)
    report = export_small(client, recorded, tmp_path, resume=False)
    assert (report.kept, report.written) == (0, report.files)
    assert digests(tmp_path) == digests(unbroken)


def test_another_measurement_joins_the_folder(client: idf.Client, recorded: str, everything: str, tmp_path: Path) -> None:
    client.export(recorded, tmp_path)
    client.export(everything, tmp_path)
    both = [*contents(client.frames(recorded).to_arrow()), *contents(client.frames(everything).to_arrow())]
    assert stored_points(tmp_path) == sorted(both)


def test_an_export_of_another_query_is_refused(client: idf.Client, recorded: str, tmp_path: Path) -> None:
    client.export(recorded, tmp_path)
    before = digests(tmp_path)
    with pytest.raises(UsageError, match="another query"):
        client.export(recorded, tmp_path, "can:*/*")
    assert digests(tmp_path) == before


def test_a_second_export_at_the_same_time_is_refused(client: idf.Client, recorded: str, tmp_path: Path) -> None:
    with Folder(tmp_path), pytest.raises(UsageError, match="another export is writing"):
        client.export(recorded, tmp_path)
    assert client.export(recorded, tmp_path).complete


# --- stopped ---

KILLED = """
import os, signal, sys
import intdash_frames as idf
from intdash_frames.export import export, write
from intdash_frames.folder import manifest
from pathlib import Path
from tests.export.exporting import export_small

left = int(sys.argv[4])

def step(make):
    def stepped(*arguments, **options):
        global left
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return make(*arguments, **options)
    return stepped

os.replace = step(os.replace)
manifest.Folder.note = step(manifest.Folder.note)
write._Hashed.write = step(write._Hashed.write)
manifest.Folder.finish = step(manifest.Folder.finish)
Path.unlink = step(Path.unlink)
with idf.Client(sys.argv[1], "token", max_workers=2) as client:
    export_small(client, sys.argv[2], Path(sys.argv[3]))
print("done")
"""


@pytest.mark.parametrize("steps", [[0], [3, 500], [120, 7, 333]])
def test_killed_anywhere_and_run_again_the_result_is_that_of_an_unbroken_export(
    server: idf.LocalServer, client: idf.Client, recorded: str, unbroken: Path, tmp_path: Path, steps: list[int]
) -> None:
    for left in steps:
        command = [sys.executable, "-c", KILLED, server.url, recorded, str(tmp_path), str(left)]
        ended = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2])
        assert ended.returncode == -9, ended.stderr
    report = export_small(client, recorded, tmp_path)
    assert digests(tmp_path) == digests(unbroken)
    assert hidden(tmp_path) == [".lock"]
    assert report.complete


@pytest.mark.parametrize("after", [0, 5, 400])
def test_a_full_disk_leaves_a_folder_that_resumes(
    client: idf.Client, recorded: str, unbroken: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    from intdash_frames.export import write

    left = [after]
    whole = write._Hashed.write

    def full(self: Any, data: bytes) -> int:
        left[0] -= 1
        if left[0] < 0:
            raise OSError(28, "No space left on device")
        return whole(self, data)

    with monkeypatch.context() as patched:
        patched.setattr(write._Hashed, "write", full)
        with pytest.raises(IntdashError, match="No space left on device"):
            export_small(client, recorded, tmp_path)
    report = export_small(client, recorded, tmp_path)
    assert digests(tmp_path) == digests(unbroken)
    assert (report.kept > 0) == (after == 400)


def test_a_folder_that_may_not_be_written_says_so(client: idf.Client, recorded: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UsageError, match="cannot be the folder"):
        client.export(recorded, tmp_path / "file")


def test_what_could_not_be_read_is_said_and_read_later(
    server: idf.LocalServer, client: idf.Client, recorded: str, unbroken: Path, tmp_path: Path
) -> None:
    export_small(client, recorded, tmp_path)
    for path in sorted(tmp_path.glob("data_type=can/**/*.parquet"))[5:]:
        path.unlink()
    with server.client(retries=0, max_workers=1) as hasty:
        server.inject(idf.Fault.status(503, path="/api/v1/data"))
        with pytest.raises(IncompleteRead) as caught:
            export_small(hasty, recorded, tmp_path)
    report = caught.value.report
    assert not report.complete
    assert 0 < report.points < len(some_rows())
    assert [each["measurement"] for each in report.failed] == [recorded]
    assert '"complete": false' in (tmp_path / "manifest.json").read_text()
    again = export_small(client, recorded, tmp_path)
    assert again.complete
    assert digests(tmp_path) == digests(unbroken)


def test_where_nothing_could_be_read_the_error_is_what_the_server_said(
    server: idf.LocalServer, recorded: str, tmp_path: Path
) -> None:
    with server.client(retries=0) as hasty:
        server.inject(idf.Fault.status(503, path="/api/v1/data"))
        with pytest.raises(idf.ApiError, match="503"):
            hasty.export(recorded, tmp_path)
        server.inject(idf.Fault.status(503, path="/api/v1/data"))
        report = hasty.export(recorded, tmp_path, errors="collect")
        assert (report.complete, report.points, len(report.failed)) == (False, 0, 1)


def test_a_callback_that_raises_stops_the_export_and_the_folder_resumes(
    client: idf.Client, recorded: str, unbroken: Path, tmp_path: Path
) -> None:
    def enough(state: dict[str, Any]) -> None:
        if state["points"] > 100:
            raise KeyError("enough")

    with pytest.raises(KeyError, match="enough"):
        export_small(client, recorded, tmp_path, progress=enough)
    report = export_small(client, recorded, tmp_path)
    assert report.kept > 0
    assert digests(tmp_path) == digests(unbroken)


def test_what_ends_an_export_does_not_wait_for_a_server_that_hangs(tmp_path: Path) -> None:
    def enough(state: dict[str, Any]) -> None:
        if state["points"]:
            raise KeyError("enough")

    with idf.LocalServer() as server, server.client() as client:
        uuids = [store_rows(client, [float_row(5, 1.0)]) for _ in range(2)]
        server.inject(idf.Fault.delay(3600, path="/api/v1/data"))
        with pytest.raises(KeyError, match="enough"):
            client.export(uuids, tmp_path, progress=enough)
        assert client.frames(uuids[0]).to_arrow().num_rows == 1


@pytest.mark.parametrize("wrong", [{"decode": "can.dbc"}, {"resume": 1}, {"path": 7}])
def test_arguments_that_cannot_work_are_refused(client: idf.Client, recorded: str, tmp_path: Path, wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        client.export(recorded, **{"path": tmp_path / "new", **wrong})
    assert not (tmp_path / "new").exists()


def test_frames_that_were_computed_are_not_exported(client: idf.Client, recorded: str, tmp_path: Path) -> None:
    from intdash_frames.frames.query import frames

    with pytest.raises(UsageError, match="computed, not read"):
        frames(client.connection, recorded).to_parquet(tmp_path / "new")


def test_what_is_not_in_the_range_is_skipped_and_said(client: idf.Client, recorded: str, tmp_path: Path) -> None:
    report = client.export(recorded, tmp_path, start=pd.Timedelta("1h"), end=pd.Timedelta("2h"), errors="collect")
    assert [each["measurement"] for each in report.skipped] == [recorded]
    assert (report.points, report.complete) == (0, True)


def test_a_signal_that_is_nowhere_is_an_error_and_the_folder_can_be_used_with_the_right_one(
    client: idf.Client, recorded: str, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="no signal 'float:1/speeed'"):
        client.export(recorded, tmp_path, "float:1/speeed")
    report = client.export(recorded, tmp_path, ["float:1/speed", "float:1/speeed"], errors="collect")
    assert report.read.unmatched == ("float:1/speeed",)
    assert report.points > 0
