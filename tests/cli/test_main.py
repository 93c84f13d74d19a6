import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

from intdash_frames import ConnectFailed, IncompleteRead, IncompleteStore, UsageError
from intdash_frames.demo import show
from tests.cli.conftest import COMMAND, Run

COMMANDS = {
    *("demo", "doctor", "edges", "export", "import", "live", "measurements", "serve", "signals", "store", "sync"),
}


def test_help_names_every_command(run: Run) -> None:
    ran = run("--help")
    assert ran.code == 0
    listed = {
        line.split()[0] for line in ran.out.partition("Commands:")[2].splitlines() if line.startswith("  ") and line.split()
    }
    assert listed >= COMMANDS
    assert "0 done, 1 error, 2 usage, 3 incomplete" in " ".join(ran.out.split())


def test_the_version_is_that_of_the_distribution(run: Run) -> None:
    assert run("--version") == (0, f"intdash-frames {metadata.version('intdash-frames')}\n", "")


@pytest.mark.parametrize(
    "arguments", [["no-such-command"], ["serve", "--no-such-option"], ["serve", "--port", "70000"], ["signals"]]
)
def test_wrong_usage_ends_with_2_and_says_why(run: Run, arguments: list[str]) -> None:
    ran = run(*arguments)
    assert (ran.code, ran.out) == (2, "")
    assert "Error:" in ran.err


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ConnectFailed("no connection\nto this host"), 1),
        (UsageError("that cannot work"), 2),
        (IncompleteRead("half of it", partial=None, report=None), 3),
        (IncompleteStore("half of it", result=None), 3),
    ],
)
def test_an_error_of_the_package_is_one_line_and_an_exit_code(
    run: Run, monkeypatch: pytest.MonkeyPatch, error: Exception, code: int
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(show, "show", fail)
    ran = run("demo")
    assert (ran.code, ran.out) == (code, "")
    assert ran.err == f"error: {str(error).replace(chr(10), ' ')}\n"


def test_a_file_that_does_not_let_itself_be_had_is_no_matter_of_usage(run: Run, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    ran = run("demo", "--folder", tmp_path / "file" / "folder")
    assert ran.code == 1
    assert ran.err.startswith("error: ")


def test_the_installed_command_is_the_same_one() -> None:
    installed = Path(sys.executable).with_name("intdash-frames")
    answers = [
        subprocess.run([*command, "--help"], capture_output=True, text=True, check=True).stdout
        for command in ([installed], COMMAND)
    ]
    assert answers[0] == answers[1]
    assert "serve" in answers[0]


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys; sys.argv = ['intdash-frames', '--help']\n"
        "from intdash_frames.cli.main import main\n"
        "try: main()\n"
        "except SystemExit: print(*sorted({name.partition('.')[0] for name in sys.modules}), file=sys.stderr)"
    )
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stderr.split()
    assert "typer" in loaded
    assert {"duckdb", "matplotlib", "numba", "polars", "starlette", "uvicorn"}.isdisjoint(loaded)
