"""`intdash-frames store`, over a server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import intdash_frames as idf
from tests.cli.conftest import EDGES, Ran, Run
from tests.frames.stored import contents, golden_rows, store_rows

CSV = """time,speed,gear,note
2024-05-14T10:00:00.000000001+09:00,1.5,1,go
2024-05-14T01:00:01Z,,2,
2024-05-14T01:00:02Z,2.5,3,"stop, please"
"""
START_NS = pd.Timestamp("2024-05-14T01:00:00.000000001Z").value


@pytest.fixture(scope="module")
def server() -> Iterator[idf.LocalServer]:
    with idf.LocalServer(edges=EDGES) as running:
        yield running


@pytest.fixture(scope="module")
def client(server: idf.LocalServer) -> Iterator[idf.Client]:
    with server.client() as made:
        yield made


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "drive.csv"
    path.write_text(CSV, encoding="utf-8")
    return path


def report_of(ran: Ran, code: int = 0) -> dict[str, Any]:
    assert ran.code == code, ran
    found: dict[str, Any] = json.loads(ran.out)
    return found


def measurement_of(report: dict[str, Any]) -> str:
    return str(report["measurement"]["uuid"])


def test_each_column_of_a_csv_file_is_a_signal_without_its_empty_cells(ask: Run, client: idf.Client, file: Path) -> None:
    report = report_of(ask("store", file, "--name", "走行", "--json"))
    assert (report["points"], report["complete"], report["failed"]) == (7, True, [])
    assert report["measurement"]["name"] == "走行"
    assert report["measurement"]["ended"] is True
    frames = client.frames(measurement_of(report))
    assert frames["float:1/speed"]["value"].tolist() == [1.5, 2.5]
    assert frames["int:1/gear"]["value"].tolist() == [1, 2, 3]
    assert frames["string:1/note"]["value"].tolist() == ["go", "stop, please"]
    assert frames["int:1/gear"].index[0].value == START_NS


def test_people_read_how_much_went_where_and_from_when_to_when(ask: Run, client: idf.Client, file: Path) -> None:
    ran = ask("store", file)
    first, second = ran.out.splitlines()
    assert first.startswith("7 points, ")
    assert first.endswith("2024-05-14T01:00:00.000000001Z to 2024-05-14T01:00:02.000000000Z")
    assert client.frames(second.removeprefix("measurement ")).report.points == 7


def test_options_say_where_to_and_what_as(ask: Run, client: idf.Client, file: Path) -> None:
    options = ["--edge", "日本", "--signal", "speed=float:3/v", "--channel", "7", "--without", "note", "--not-final", "--json"]
    report = report_of(ask("store", file, *options))
    assert report["measurement"]["edge_uuid"] == client.edges.list(name="日本")[0].uuid
    assert report["measurement"]["ended"] is False
    uuid = measurement_of(report)
    assert {str(each) for each in client.frames(uuid).signals} == {"float:3/v", "int:7/gear"}
    more = report_of(ask("store", file, "--measurement", uuid, "--signal", "speed=float:9/v", "--json"))
    assert measurement_of(more) == uuid
    assert more["measurement"]["ended"] is True
    assert len(client.frames(uuid, "float:9/v").to_pandas()) == 2


def test_a_dry_run_needs_no_server_and_sends_nothing(run: Run, file: Path) -> None:
    report = report_of(run("store", file, "--dry-run", "--json"))
    assert (report["points"], report["measurement"], report["dry_run"]) == (7, None, True)
    assert "would be stored" in run("store", file, "--dry-run").out


@pytest.mark.parametrize("options", [[], ["--no-decode"]], ids=["decoded", "raw"])
def test_what_an_export_wrote_goes_back_to_the_same_bytes(
    ask: Run, client: idf.Client, tmp_path: Path, options: list[str]
) -> None:
    uuid = store_rows(client, golden_rows())
    assert ask("export", uuid, tmp_path, *options).code == 0
    wanted = contents(client.frames(uuid).to_arrow())
    found = []
    for path in tmp_path.rglob("*.parquet"):
        back = measurement_of(report_of(ask("store", path, "--json")))
        found += contents(client.frames(back).to_arrow())
    assert sorted(found) == wanted


def test_a_frame_of_ours_that_pandas_wrote_goes_back_to_the_same_bytes(ask: Run, client: idf.Client, tmp_path: Path) -> None:
    stamps = pd.date_range("2024-05-14", periods=5, freq="s", tz="Asia/Tokyo")
    frame = pd.DataFrame({"v": [1.0, 2.0, None, 4.0, 5.0], "n": range(5)}, index=stamps)
    uuid = frame.intdash.store(client=client, signals={"v": "float:3/speed", "n": "int:4/number"}).measurement.uuid
    client.frames(uuid).wide().to_parquet(tmp_path / "wide.parquet")
    back = measurement_of(report_of(ask("store", tmp_path / "wide.parquet", "--json")))
    assert contents(client.frames(back).to_arrow()) == contents(client.frames(uuid).to_arrow())


def test_where_nothing_could_be_stored_it_is_an_error_that_names_what_remains(
    ask: Run, server: idf.LocalServer, client: idf.Client, file: Path
) -> None:
    server.inject(idf.Fault.status(400, path="/api/v1/measurements/data"))
    ran = ask("store", file, "--name", "refused", "--json")
    assert (ran.code, ran.out) == (1, "")
    assert "400" in ran.err
    (left,) = client.measurements.list(name="refused")
    assert f"measurement {left.uuid} remains and has not ended" in ran.err


def test_what_could_not_be_stored_is_said_with_its_reason(
    ask: Run, server: idf.LocalServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from intdash_frames.frames import store as module

    whole = module.store
    monkeypatch.setattr(module, "store", lambda *data, **options: whole(*data, **options, section_bytes=200))
    path = tmp_path / "long.csv"
    path.write_text("time,v\n" + "".join(f"2024-05-14T01:00:{second:02d}Z,{second}\n" for second in range(60)))
    server.inject(idf.Fault.status(400, path="/api/v1/measurements/data"))
    ran = ask("store", path, "--json")
    report = report_of(ran, 3)
    (failed,) = report["failed"]
    assert report["points"] + failed["points"] == 60
    assert failed["fate"] == "refused"
    assert ran.err.startswith(f"incomplete: {failed['points']} points from ")
    assert f"measurement {measurement_of(report)} remains" in ran.err


def test_ctrl_c_says_that_a_part_may_be_there(ask: Run, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from intdash_frames.frames import store as module

    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "split", interrupt)
    assert ask("store", file) == (
        130,
        "",
        f"interrupted: a part of {str(file)!r} may be in a new measurement that has not ended\n",
    )


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["absent.csv"], 1, "No such file"),
        (["."], 1, "directory"),
        (["drive.csv", "--signal", "speed"], 2, "v=float:3/speed"),
        (["drive.csv", "--signal", "nope=float:1/x"], 2, "'nope'"),
        (["drive.csv", "--signal", "note=float:1/x"], 1, "note"),
        (["drive.csv", "--signal", "speed=nokind:1/x"], 2, "nokind"),
        (["drive.csv", "--without", "nope"], 2, "'nope' is no column"),
        (["drive.csv", "--edge", "nobody"], 1, "0 edges of that name"),
        (["drive.csv", "--measurement", "no-uuid"], 2, "no-uuid"),
        (["drive.csv", "--measurement", "00000000-0000-4000-8000-000000000000"], 1, "404"),
        (["drive.csv", "--tz", "Nowhere"], 2, "Nowhere"),
        (["drive.csv", "--token", "wrong"], 1, "401"),
    ],
)
def test_what_cannot_work_is_one_line_and_no_output(
    ask: Run, file: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], code: int, said: str
) -> None:
    monkeypatch.chdir(file.parent)
    ran = ask("store", *arguments)
    assert (ran.code, ran.out) == (code, "")
    assert ran.err.startswith("error: ")
    assert ran.err.count("\n") == 1
    assert said in ran.err


def test_a_channel_beyond_a_byte_is_a_matter_of_usage(ask: Run, file: Path) -> None:
    assert ask("store", file, "--channel", "256").code == 2
