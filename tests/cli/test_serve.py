import re
import signal
import socket
import subprocess
from pathlib import Path

import pandas as pd
import pytest

from intdash_frames import Client, LocalServer
from tests.cli.conftest import Run, Start


def url_of(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    line = process.stdout.readline()
    assert re.fullmatch(r"listening on http://127\.0\.0\.1:[1-9]\d*\n", line), line
    return line.split()[-1]


def end(process: "subprocess.Popen[str]", number: signal.Signals = signal.SIGTERM) -> tuple[int, str, str]:
    """Exit code and what was still printed."""
    process.send_signal(number)
    rest = process.communicate(timeout=60)
    return process.returncode, *rest


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_server_answers_once_it_says_so_and_a_signal_stops_it_cleanly(start: Start, number: signal.Signals) -> None:
    with start("serve", "--port", 0, "--edge", "first=t0ken", "--edge", "second=other=sign") as process:
        url = url_of(process)
        for name, token in (("first", "t0ken"), ("second", "other=sign")):
            with Client(url, token, retries=0) as client:
                assert client.edges.me().name == name
        assert end(process, number) == (0, "", "")


def test_without_an_edge_there_is_a_demo_with_a_random_token(start: Start) -> None:
    tokens = []
    for _ in range(2):
        with start("serve", "--port", "0") as process:
            url = url_of(process)
            assert process.stdout is not None
            made = re.fullmatch(r"edge demo=(\S{20,})\n", process.stdout.readline())
            assert made is not None
            with Client(url, made[1], retries=0) as client:
                assert client.edges.me().name == "demo"
            tokens.append(made[1])
    assert tokens[0] != tokens[1]


def test_a_user_can_log_in(start: Start) -> None:
    with (
        start("serve", "--port", "0", "--edge", "demo=t0ken", "--user", "somebody=pass word") as process,
        Client(url_of(process), username="somebody", password="pass word", retries=0) as client,
    ):
        assert client.edges.me().name == "somebody"


def test_what_was_stored_is_there_on_the_next_start(start: Start, tmp_path: Path) -> None:
    data = tmp_path / "with space.duckdb"
    found = []
    for _ in range(2):
        with start("serve", "--port", "0", "--data", data, "--edge", "demo=t0ken") as process:
            with Client(url_of(process), "t0ken", retries=0) as client:
                found.append([each.name for each in client.measurements.list()])
                client.measurements.create(client.edges.me().uuid, "2024-05-14T00:00:00Z", name="kept")
            assert end(process) == (0, "", "")
    assert found == [[], ["kept"]]


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "", "192.0.2.1", "example.org"])
def test_other_machines_are_let_in_only_with_a_token_of_ones_own(run: Run, host: str) -> None:
    ran = run("serve", "--port", "0", "--host", host)
    assert (ran.code, ran.out) == (2, "")
    assert "--edge NAME=TOKEN" in ran.err


def test_with_host_and_edge_it_listens_beyond_loopback(start: Start) -> None:
    with start("serve", "--port", "0", "--host", "0.0.0.0", "--edge", "demo=t0ken") as process:
        assert process.stdout is not None
        port = re.fullmatch(r"listening on http://0\.0\.0\.0:(\d+)\n", process.stdout.readline())
        assert port is not None
        with Client(f"http://127.0.0.1:{port[1]}", "t0ken", retries=0) as client:
            assert client.edges.me().name == "demo"
        assert end(process) == (0, "", "")


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--edge", "s3cret"], "such as demo="),
        (["--edge", "name="], "expected a name"),
        (["--user", "=s3cret"], "expected a name"),
        (["--edge", "a=s3cret", "--edge", "a=other"], "'a' was given twice"),
        (["--edge", "a=s3cret", "--edge", "b=s3cret"], "same token"),
    ],
)
def test_pairs_that_cannot_work_are_refused(run: Run, arguments: list[str], complaint: str) -> None:
    ran = run("serve", *arguments)
    assert (ran.code, ran.out) == (2, "")
    assert complaint in ran.err


def test_a_secret_without_its_name_is_not_repeated(run: Run) -> None:
    assert "hunter2" not in run("serve", "--edge", "hunter2").err


def test_a_port_that_is_taken_is_one_line(start: Start) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with start("serve", "--port", port) as process:
            out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (1, "")
    assert re.fullmatch(rf"error: cannot listen on 127\.0\.0\.1 port {port}: .*\n", err)


def test_a_file_that_is_no_database_is_one_line(start: Start, tmp_path: Path) -> None:
    data = tmp_path / "notes.txt"
    data.write_text("not a database " * 1000)
    with start("serve", "--port", "0", "--data", data) as process:
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (1, "")
    assert re.fullmatch(r"error: cannot open the data file .*notes\.txt.*\n", err)
    assert data.read_text() == "not a database " * 1000


@pytest.mark.parametrize("as_option", [False, True])
def test_the_folder_of_an_export_is_served(start: Start, tmp_path: Path, as_option: bool) -> None:
    frame = pd.DataFrame({"speed": [1.0, 2.0]}, index=pd.date_range("2024-01-01", periods=2, freq="s", tz="UTC"))
    with LocalServer() as server, server.client() as origin:
        uuid = frame.intdash.store(client=origin).measurement.uuid
        origin.export(uuid, tmp_path)
        expected = origin.frames(uuid).to_arrow()
    arguments = ["--data", tmp_path] if as_option else [tmp_path]
    with start("serve", *arguments, "--port", "0", "--edge", "reader=t0ken", "--speed", "max") as process:
        with Client(url_of(process), "t0ken", retries=0) as client:
            assert client.frames(uuid).to_arrow() == expected
            assert [each.name for each in client.edges.list()] == ["demo", "reader"]
            with client.live(edge="demo", signals="float:*/*") as live:
                live.wait(2, timeout=30)
                assert live.frame()["value"].tolist() == [1.0, 2.0]
        assert end(process) == (0, "", "")


@pytest.mark.parametrize(
    ("arguments", "code", "complaint"),
    [
        (["folder", "--data", "x.duckdb"], 2, "not both"),
        (["absent"], 2, "'absent' is no folder"),
        (["folder"], 1, "no manifest.json"),
        (["folder", "--speed", "fast"], 1, "speed='fast'"),
    ],
)
def test_a_folder_that_cannot_be_served_is_refused(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], code: int, complaint: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    ran = run("serve", "--port", "0", *arguments)
    assert (ran.code, ran.out) == (code, "")
    assert complaint in ran.err
