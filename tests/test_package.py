"""What holds for the package as a whole: what importing it costs, its names, its version, and a test beside every module."""

import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

import intdash_frames as idf

ROOT = Path(__file__).parents[1]

# Loaded on first use. `import intdash_frames` should cost what pandas costs.
LOADED_LATER = {"dask", "duckdb", "matplotlib", "numba", "polars", "pyspark", "starlette", "typer", "uvicorn"}

# Modules that a test of their own would say nothing about.
NEED_NO_TEST = {"__init__.py", "__main__.py"}

# Folders of tests about the whole and not about one module.
ABOUT_THE_WHOLE = {"benchmarks", "docs", "interop", "notebooks"}
TESTS_ABOUT_THE_WHOLE = {"test_package.py", "test_real_drive.py", "test_tutorial.py", "test_drops.py"}

# Modules too small or too close to another to be tested apart from it, and the test that covers them.
TESTED_BY_A_NEIGHBOUR: dict[Path, str] = {}


def test_importing_the_package_loads_nothing_heavy() -> None:
    code = "import sys, intdash_frames; print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(answer.stdout.split())
    assert "pandas" in loaded, "the check itself is broken: the accessor needs pandas"
    assert loaded & LOADED_LATER == set()


def test_every_public_name_is_there_and_the_list_is_sorted() -> None:
    assert idf.__all__ == sorted(idf.__all__)
    assert len(set(idf.__all__)) == len(idf.__all__)
    missing = [name for name in idf.__all__ if not hasattr(idf, name)]
    assert missing == []


def test_the_version_is_that_of_the_installed_distribution() -> None:
    assert idf.__version__ == metadata.version("intdash-frames")


def test_the_package_says_that_it_is_typed() -> None:
    assert (Path(idf.__file__).parent / "py.typed").exists()


def test_the_tour_in_the_readme_runs(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tour,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), flags=re.DOTALL)
    names: dict[str, Any] = {}
    exec(compile(tour, "README.md", "exec"), names)
    assert "2000 points in" in capsys.readouterr().out
    assert len(names["speed"]) == 1000
    assert str(names["speed"].index.tz) == "Asia/Tokyo"
    assert names["table"].num_rows == 2000
    assert names["same"] == names["table"]


def modules() -> set[Path]:
    package = ROOT / "intdash_frames"
    return {path.relative_to(package) for path in package.rglob("*.py") if path.name not in NEED_NO_TEST}


def partners() -> set[Path]:
    """The module that each test is named after."""
    folder = ROOT / "tests"
    found = {path.relative_to(folder) for path in folder.rglob("test_*.py")}
    return {
        path.with_name(path.name.removeprefix("test_"))
        for path in found
        if path.parts[0] not in ABOUT_THE_WHOLE and path.name not in TESTS_ABOUT_THE_WHOLE
    }


def test_every_module_has_a_test_beside_it() -> None:
    assert sorted(map(str, modules() - partners() - TESTED_BY_A_NEIGHBOUR.keys())) == []


def test_every_test_has_a_module_beside_it() -> None:
    assert sorted(map(str, partners() - modules())) == []


def test_every_exception_still_is_one() -> None:
    for module, neighbour in TESTED_BY_A_NEIGHBOUR.items():
        assert module in modules() - partners(), f"{module} needs no exception"
        assert (ROOT / "tests" / neighbour).exists()
