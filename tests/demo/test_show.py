import io
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from PIL import Image

import intdash_frames as idf
from intdash_frames.demo.show import show

COMMAND = [sys.executable, "-m", "intdash_frames.cli.main"]
ENVIRONMENT = {name: value for name, value in os.environ.items() if name not in ("INTDASH_URL", "INTDASH_EDGE_TOKEN", "COLUMNS")}


class Demo(NamedTuple):
    """What the demo left behind: where it ran, and what it printed."""

    place: Path
    out: str
    err: str


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Demo:
    place = tmp_path_factory.mktemp("demo")
    ran = subprocess.run(
        [*COMMAND, "demo"], cwd=place, env=ENVIRONMENT, capture_output=True, encoding="utf-8", check=False, timeout=110
    )
    assert ran.returncode == 0, ran.stderr
    return Demo(place, ran.stdout, ran.stderr)


def test_the_demo_leaves_a_data_file_and_a_picture(demo: Demo) -> None:
    folder = demo.place / "intdash-demo"
    assert {path.name for path in folder.iterdir()} == {"drive.duckdb", "drive.png"}
    with Image.open(folder / "drive.png") as picture:
        picture.load()
        assert (picture.format, picture.size) == ("PNG", (1320, 900))
        assert len(picture.convert("RGB").getcolors(maxcolors=1 << 24) or ()) > 100
    with idf.LocalServer(folder / "drive.duckdb") as server, server.client() as client:
        (measurement,) = client.measurements.list()
        assert measurement.name == "demo drive"
        assert measurement.ended
        summary = client.frames(measurement).summary()
        assert set(summary["type"]) == {"can", "float", "general_sensor", "int", "jpeg", "nmea", "string"}
        assert set(summary["id"][summary["channel"] == 10]) == {"acceleration", "jerk"}


def test_it_prints_the_summary_typed_frames_and_that_the_derived_signal_came_back_equal(demo: Demo) -> None:
    assert re.search(r"^108,143 points, [\d.]+ MB, stored in [\d.]+ s$", demo.out, flags=re.MULTILINE)
    assert re.search(r"^\d+ +can +1 +000001a0 .* 12000 +100\.0", demo.out, flags=re.MULTILINE)
    assert r"b'\x00\x00\x00\x00\x00\x00\x01\x00'" in demo.out
    assert "float:1/speed" in demo.out
    assert re.search(r"^>>> back\[.*\.equals\(.*\)\nTrue$", demo.out, flags=re.MULTILINE)


def test_no_table_is_wider_than_a_page(demo: Demo) -> None:
    tables, _, _ = demo.out.partition("# What to type next")
    assert max(map(len, tables.splitlines())) <= 110


def test_no_bar_is_drawn_where_nobody_looks(demo: Demo) -> None:
    assert demo.err == ""
    assert "\r" not in demo.out


def test_what_it_ran_is_a_program_that_runs_elsewhere(demo: Demo, tmp_path: Path) -> None:
    program = "\n".join(line[4:] for line in demo.out.splitlines() if line.startswith((">>> ", "... ")))
    (tmp_path / "intdash-demo").mkdir()
    ran = subprocess.run(
        [sys.executable, "-c", f"{program}\nserver.close()"],
        cwd=tmp_path,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert (tmp_path / "intdash-demo" / "drive.png").exists()


@pytest.fixture
def served(demo: Demo) -> Iterator[str]:
    """URL of the server that the demo says how to start."""
    (line,) = re.findall(r"^    (\S+ serve --port 8080 .*)$", demo.out, flags=re.MULTILINE)
    with subprocess.Popen(
        shlex.split(line.replace("8080", "0")), cwd=demo.place, env=ENVIRONMENT, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().split()[-1]
        finally:
            process.terminate()


def test_what_it_says_to_type_next_works(demo: Demo, served: str) -> None:
    python, lines = re.findall(r"^Then, in (\S+):\n((?:    .*\n)+)", demo.out, flags=re.MULTILINE)[0]
    assert "http://127.0.0.1:8080" in lines
    program = "".join(line[4:] for line in lines.splitlines(keepends=True)).replace("http://127.0.0.1:8080", served)
    ran = subprocess.run(
        [python, "-c", f"{program}\nprint(len(df), *df)"],
        cwd=demo.place,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    rows, *columns = ran.stdout.split()
    assert int(rows) in (1200, 1201)
    assert {"speed", "throttle", "acceleration", "jerk"} <= set(columns)

    (command,) = re.findall(r"^    (\S+ signals .*)$", demo.out, flags=re.MULTILINE)
    ran = subprocess.run(
        shlex.split(command.replace("http://127.0.0.1:8080", served)),
        cwd=demo.place,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert "jerk" in ran.stdout


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_another_run_keeps_what_is_in_the_file_and_shows_a_bar_on_a_terminal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "new" / "my drive"
    folder.mkdir(parents=True)
    with idf.LocalServer(folder / "drive.duckdb") as server, server.client() as client:
        client.measurements.create(client.edges.me().uuid, "2024-05-14T00:00:00Z", name="precious")
    monkeypatch.setattr(sys, "stderr", Terminal())
    show(folder, seed=1)
    assert isinstance(sys.stderr, Terminal)
    assert "\r" in sys.stderr.getvalue()
    out = capsys.readouterr().out
    assert "drive(1, " in out
    assert f"--data '{folder / 'drive.duckdb'}'" in out
    with idf.LocalServer(folder / "drive.duckdb") as server, server.client() as client:
        assert sorted(each.name for each in client.measurements.list()) == ["demo drive", "precious"]


def test_a_file_of_another_kind_is_left_alone(tmp_path: Path) -> None:
    data = tmp_path / "drive.duckdb"
    data.write_bytes(b"no database" * 1000)
    with pytest.raises(idf.IntdashError, match="another folder"):
        show(tmp_path)
    assert data.read_bytes() == b"no database" * 1000


def test_a_folder_that_cannot_be_made_is_an_error_of_the_package(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(idf.IntdashError, match="another folder"):
        show(tmp_path / "taken")
