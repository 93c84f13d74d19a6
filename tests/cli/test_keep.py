"""`intdash-frames export`, `import` and `sync`, each over a server."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import intdash_frames as idf
from intdash_frames.export import export as export_module
from intdash_frames.export import import_ as import_module
from tests.cli.conftest import COMMAND, EDGES, Ran, Run
from tests.export.exporting import digests, stored_points
from tests.frames.stored import BASETIME_NS, contents, float_row, golden_rows, int_row, store_rows

WAIT_S = 20
DATA = "/api/v1/data"
SECOND = 10**9


@pytest.fixture(scope="module")
def server() -> Iterator[idf.LocalServer]:
    with idf.LocalServer(edges=EDGES) as running:
        yield running


@pytest.fixture(scope="module")
def client(server: idf.LocalServer) -> Iterator[idf.Client]:
    with server.client() as made:
        yield made


@pytest.fixture(scope="module")
def everything(client: idf.Client) -> str:
    """A measurement with every golden payload."""
    return store_rows(client, golden_rows())


@pytest.fixture(scope="module")
def drive(client: idf.Client) -> str:
    """Ten speeds and ten gears, a second apart."""
    rows = [each for n in range(10) for each in (float_row(n * SECOND, n), int_row(n * SECOND, n))]
    return store_rows(client, rows, basetime_ns=BASETIME_NS)


@pytest.fixture
def elsewhere() -> Iterator[idf.LocalServer]:
    with idf.LocalServer(edges={"there": "s3cret"}) as running:
        yield running


def report_of(ran: Ran, code: int = 0) -> dict[str, Any]:
    assert ran.code == code, ran
    found: dict[str, Any] = json.loads(ran.out)
    return found


# --- export ---


def test_an_export_holds_the_points_and_the_same_command_again_reads_nothing(
    ask: Run, client: idf.Client, everything: str, tmp_path: Path
) -> None:
    ran = ask("export", everything, tmp_path)
    assert (ran.code, ran.err) == (0, ran.err)
    assert stored_points(tmp_path) == contents(client.frames(everything).to_arrow())
    assert ran.out.startswith(f"{len(golden_rows())} points of 1 measurement in {tmp_path}: ")
    again = report_of(ask("export", everything, tmp_path, "--json"))
    assert (again["written"], again["kept"], again["read"]["points"]) == (0, again["files"], 0)
    anew = report_of(ask("export", everything, tmp_path, "--no-resume", "--json"))
    assert anew["written"] == anew["files"] == again["files"]
    assert anew["path"] == str(tmp_path)
    assert anew["complete"] is True


def test_several_measurements_go_into_one_folder(ask: Run, everything: str, drive: str, tmp_path: Path) -> None:
    report = report_of(ask("export", everything, drive, tmp_path, "--json"))
    assert sorted(report["measurements"]) == sorted([everything, drive])
    assert report["points"] == len(golden_rows()) + 20


@pytest.mark.parametrize(
    ("options", "asked"),
    [
        (["--signals", "float:*/*"], {"signals": "float:*/*"}),
        (["--signals", "float:1/speed", "--signals", "int:1/gear"], {"signals": ["float:1/speed", "int:1/gear"]}),
        (["--start", "+2s", "--end", "+4s"], {"start": pd.Timedelta("2s"), "end": pd.Timedelta("4s")}),
        (["--start", "2020-07-09T17:34:15", "--tz", "Asia/Tokyo"], {"start": "2020-07-09T17:34:15", "tz": "Asia/Tokyo"}),
    ],
)
def test_options_mean_what_they_mean_in_python(
    ask: Run, client: idf.Client, drive: str, tmp_path: Path, options: list[str], asked: dict[str, Any]
) -> None:
    assert ask("export", drive, tmp_path, *options).code == 0
    found = stored_points(tmp_path)
    assert found == contents(client.frames(drive, **asked).to_arrow())
    assert 0 < len(found) <= 20


def test_without_decoding_there_are_payloads_alone(ask: Run, drive: str, tmp_path: Path) -> None:
    assert ask("export", drive, tmp_path, "--no-decode").code == 0
    assert "value" not in pd.read_parquet(tmp_path / "data_type=float")


def test_labels_are_converted_by_the_server(ask: Run, client: idf.Client, drive: str, tmp_path: Path) -> None:
    client.signals.create(
        label="double_gear",
        data_type=idf.DataType.int,
        data_id="gear",
        channel=1,
        conversion=idf.ConversionNone(),
        display=idf.Display(unit="", min=0, max=9, format="f"),
    )
    assert ask("export", drive, tmp_path, "--labels", "double_gear").code == 0
    assert stored_points(tmp_path) == contents(client.frames(drive, labels=["double_gear"]).to_arrow())


def test_an_edge_is_exported_from_a_start_on(ask: Run, everything: str, drive: str, tmp_path: Path) -> None:
    start = pd.Timestamp(BASETIME_NS, tz="UTC").isoformat()
    report = report_of(ask("export", "--edge", "demo", tmp_path, "--start", start, "--json"))
    assert {everything, drive} <= set(report["measurements"])


def test_what_could_not_be_read_is_said_and_the_same_command_again_completes_it(
    ask: Run, server: idf.LocalServer, client: idf.Client, everything: str, drive: str, tmp_path: Path
) -> None:
    assert ask("export", drive, tmp_path).code == 0
    server.inject(idf.Fault.status(400, path=DATA))
    ran = ask("export", everything, drive, tmp_path, "--json")
    (failed,) = report_of(ran, 3)["failed"]
    assert failed["measurement"] == everything
    assert "400" in failed["reason"]
    first, last = ran.err.splitlines()
    assert first.startswith(f"incomplete: {everything} from ")
    assert last == "incomplete: the same command again reads what is missing"
    assert ask("export", everything, drive, tmp_path).code == 0
    assert stored_points(tmp_path) == sorted(contents(client.frames([everything, drive]).to_arrow()))


def test_where_nothing_could_be_read_it_is_an_error(ask: Run, server: idf.LocalServer, drive: str, tmp_path: Path) -> None:
    server.inject(idf.Fault.status(403, path=DATA))
    ran = ask("export", drive, tmp_path)
    assert ran.code == 1
    assert "403" in ran.err


def test_a_signal_that_is_nowhere_is_said_and_the_others_are_there(ask: Run, drive: str, tmp_path: Path) -> None:
    ran = ask("export", drive, tmp_path, "--signals", "float:1/sped", "--signals", "int:1/gear")
    assert ran.code == 2
    assert ran.out.startswith("10 points")
    assert "no signal 'float:1/sped'" in ran.err


NOWHERE = "00000000-0000-4000-8000-000000000000"


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["export", NOWHERE, "out"], 1, "404"),
        (["export", "no-uuid", "out"], 2, "no-uuid"),
        (["export", "out"], 2, "expected: export MEASUREMENT... FOLDER"),
        (["export", "DRIVE", NOWHERE], 2, "expected a folder behind the measurements"),
        (["export", "DRIVE", "--edge", "demo", "out"], 2, "1 measurements and an edge"),
        (["export", "--edge", "demo", "out"], 2, "--edge needs --start"),
        (["export", "--edge", "nobody", "--start", "-1d", "out"], 1, "0 edges of that name"),
        (["export", "DRIVE", "out", "--start", "2020-07-09"], 2, "no time zone"),
        (["export", "DRIVE", "out", "--signals", "nokind:1/x"], 2, "nokind"),
        (["export", "DRIVE", "file"], 1, "cannot be the folder"),
        (["export", "DRIVE", "file/below"], 1, "cannot be the folder"),
        (["export", "DRIVE", "full", "--no-decode"], 2, "another query"),
        (["import", "absent"], 1, "no folder"),
        (["import", "."], 2, "no manifest.json"),
        (["import", "full", "--edge", "nobody"], 1, "0 edges of that name"),
        (["import", "full", "--token", "wrong"], 1, "401"),
        (["sync", "nobody", "out"], 1, "0 edges of that name"),
        (["sync", "demo", "file"], 1, "cannot be the folder"),
    ],
)
def test_what_cannot_work_is_one_line_and_no_output(
    ask: Run, drive: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], code: int, said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    if "full" in arguments:
        assert ask("export", drive, "full").code == 0
    ran = ask(*(drive if each == "DRIVE" else each for each in arguments))
    assert (ran.code, ran.out) == (code, "")
    assert ran.err.startswith("error: ")
    assert ran.err.count("\n") == 1
    assert said in ran.err


# --- import and sync ---


def test_an_import_makes_the_same_measurement_once(
    ask: Run, run: Run, everything: str, elsewhere: idf.LocalServer, tmp_path: Path
) -> None:
    assert ask("export", everything, tmp_path / "out").code == 0
    there = ["--url", elsewhere.url]
    ran = run("import", tmp_path / "out", *there)
    assert ran.code == 0
    report = report_of(run("import", tmp_path / "out", *there, "--json"))
    target = report["measurements"][everything]
    assert f"{everything} is now {target}" in ran.out
    assert (report["points"], report["complete"]) == (0, True)
    with elsewhere.client() as client:
        assert contents(client.frames(target).to_arrow()) == stored_points(tmp_path / "out")
        assert len(client.measurements.frame()) == 1
        anew = report_of(run("import", tmp_path / "out", *there, "--no-resume", "--edge", "there", "--json"))
        assert anew["measurements"][everything] != target


def test_what_could_not_be_sent_is_said_and_the_same_command_again_completes_it(
    ask: Run, run: Run, elsewhere: idf.LocalServer, drive: str, tmp_path: Path
) -> None:
    assert ask("export", drive, tmp_path).code == 0
    elsewhere.inject(idf.Fault.status(400, path="/api/v1/measurements/data"))
    there = ["--url", elsewhere.url]
    ran = run("import", tmp_path, *there, "--json")
    (failed,) = report_of(ran, 3)["failed"]
    assert failed["points"] == 20
    assert ran.err.splitlines()[-1] == "incomplete: the same command again sends what is missing"
    target = report_of(run("import", tmp_path, *there, "--json"))["measurements"][drive]
    with elsewhere.client() as client:
        assert contents(client.frames(target).to_arrow()) == stored_points(tmp_path)


def test_an_import_of_an_incomplete_export_is_incomplete(
    ask: Run, run: Run, server: idf.LocalServer, elsewhere: idf.LocalServer, everything: str, drive: str, tmp_path: Path
) -> None:
    assert ask("export", drive, tmp_path).code == 0
    server.inject(idf.Fault.status(400, path=DATA))
    assert ask("export", everything, drive, tmp_path).code == 3
    ran = run("import", tmp_path, "--url", elsewhere.url)
    assert ran.code == 3
    assert "20 points sent" in ran.out
    assert ran.err == "incomplete: the export was not complete, see 'failed' in manifest.json; the same export again mends it\n"


def test_a_sync_reads_what_is_new(ask: Run, run: Run, elsewhere: idf.LocalServer, tmp_path: Path) -> None:
    there = ["--url", elsewhere.url]
    with elsewhere.client() as client:
        uuids = [store_rows(client, [float_row(0, 1.0)])]
        assert report_of(run("sync", "there", tmp_path, *there, "--json"))["measurements"] == uuids
        assert run("sync", "there", tmp_path, *there) == (0, f"nothing new for {tmp_path}\n", "")
        uuids.append(store_rows(client, [float_row(0, 2.0)]))
        assert report_of(run("sync", "there", tmp_path, *there, "--json"))["measurements"] == uuids[1:]
        assert stored_points(tmp_path) == sorted(contents(client.frames(uuids).to_arrow()))


# --- a terminal, and what is typed there ---


def interrupt(monkeypatch: pytest.MonkeyPatch, module: Any, name: str) -> None:
    """Send SIGINT in front of the first call of a function, and let it go on when that has been noticed."""
    noticed, function, install = threading.Event(), getattr(module, name), signal.signal
    main = threading.main_thread().ident
    assert main is not None

    def noticing(number: int, handler: Any) -> Any:
        def handle(*arguments: Any) -> None:
            noticed.set()
            handler(*arguments)

        return install(number, handle if handler is not signal.default_int_handler else handler)

    def interrupted(*arguments: Any, **options: Any) -> Any:
        if not noticed.is_set():
            signal.pthread_kill(main, signal.SIGINT)
            assert noticed.wait(WAIT_S)
        return function(*arguments, **options)

    monkeypatch.setattr(signal, "signal", noticing)
    monkeypatch.setattr(module, name, interrupted)


@pytest.mark.skipif(sys.platform == "win32", reason="has no pthread_kill")
def test_ctrl_c_leaves_an_export_that_goes_on(
    ask: Run, everything: str, drive: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert ask("export", everything, drive, tmp_path / "unbroken").code == 0
    with monkeypatch.context() as patch:
        interrupt(patch, export_module, "write_part")
        ran = ask("export", everything, drive, tmp_path / "broken")
    assert (ran.code, ran.out) == (130, "")
    assert ran.err.startswith("interrupted: ")
    assert "the same command again goes on" in ran.err
    assert ran.err.count("\n") == 1
    assert not (tmp_path / "broken" / "manifest.json").exists()
    assert ask("export", everything, drive, tmp_path / "broken").code == 0
    assert digests(tmp_path / "broken") == digests(tmp_path / "unbroken")


@pytest.mark.skipif(sys.platform == "win32", reason="has no pthread_kill")
def test_ctrl_c_leaves_an_import_that_goes_on(
    ask: Run, run: Run, drive: str, elsewhere: idf.LocalServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert ask("export", drive, tmp_path).code == 0
    there = ["--url", elsewhere.url]
    with monkeypatch.context() as patch:
        interrupt(patch, import_module, "split")
        ran = run("import", tmp_path, *there)
    assert (ran.code, ran.out) == (130, "")
    assert ran.err.startswith("interrupted: ")
    target = report_of(run("import", tmp_path, *there, "--json"))["measurements"][drive]
    with elsewhere.client() as client:
        assert contents(client.frames(target).to_arrow()) == stored_points(tmp_path)
        assert len(client.measurements.frame()) == 1


@pytest.mark.skipif(sys.platform == "win32", reason="has no pseudo-terminals")
def test_a_terminal_shows_points_bytes_rate_and_time_left_beside_the_report(
    server: idf.LocalServer, drive: str, tmp_path: Path
) -> None:
    import pty

    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "120", "INTDASH_URL": server.url, "INTDASH_EDGE_TOKEN": "s3cret"}
    server.inject(idf.Fault.delay(1.2, path=DATA))  # a bar is for work that takes a second
    command = [*COMMAND, "export", drive, str(tmp_path), "--json"]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=theirs, env=environment) as process:
        try:
            shown = ""
            while " left, 20 points, 0.0 MB, " not in shown or "points/s" not in shown:
                assert select.select([ours], [], [], WAIT_S)[0], repr(shown)
                shown += os.read(ours, 65536).decode()
            out, _ = process.communicate(timeout=WAIT_S)
        finally:
            process.kill()
            os.close(theirs)
            os.close(ours)
    assert "exporting: " in shown
    assert json.loads(out)["points"] == 20


def test_what_is_no_terminal_sees_no_bar(ask: Run, server: idf.LocalServer, drive: str, tmp_path: Path) -> None:
    server.inject(idf.Fault.delay(1.2, path=DATA))
    assert ask("export", drive, tmp_path).err == ""
