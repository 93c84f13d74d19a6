"""The notebooks run as they are written, and show what they gave."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest

from tests.notebooks.executing import NOTEBOOKS, executed, shown

# What differs from run to run, or says whose machine it was.
PRIVATE = re.compile(
    r"/(home|root|tmp|work|Users|private|var)/|[A-Z]:\\|[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-|127\.0\.0\.1|localhost"
)


@pytest.fixture(autouse=True)
def _no_traces_at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR"):
        monkeypatch.setenv(name, str(tmp_path / name.lower()))


def of_each(function: object) -> object:
    return pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)(function)


def code(notebook: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def kinds(cell: nbformat.NotebookNode) -> list[list[str]]:
    """What a cell shows: text, table, picture."""
    return [sorted(output.get("data", {"text": ""})) for output in shown(cell)]


def texts(notebook: nbformat.NotebookNode) -> Iterator[str]:
    for cell in code(notebook):
        for output in cell.outputs:
            yield output.get("text", "")
            yield from (text for kind, text in output.get("data", {}).items() if kind.startswith("text/"))


def test_there_are_notebooks() -> None:
    assert {path.stem for path in NOTEBOOKS} >= {"first_look", "live", "keep"}


@of_each
def test_it_runs_from_top_to_bottom_and_shows_what_is_stored(path: Path) -> None:
    ran, stored = executed(path), nbformat.read(path, as_version=4)
    for now, before in zip(code(ran), code(stored), strict=True):
        assert kinds(now) == kinds(before), now.source
        for output in now.outputs:
            assert "Warning" not in output.get("text", ""), now.source


@of_each
def test_its_outputs_are_those_of_one_run_without_errors(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    assert [cell.execution_count for cell in code(notebook)] == list(range(1, len(code(notebook)) + 1))
    assert {output.output_type for cell in code(notebook) for output in cell.outputs} <= {
        *("display_data", "execute_result", "stream"),
    }
    assert all(cell.outputs == shown(cell) for cell in code(notebook))
    assert any(cell.outputs for cell in code(notebook))


@of_each
def test_its_outputs_tell_of_nobodys_machine(path: Path) -> None:
    assert [found for text in texts(nbformat.read(path, as_version=4)) if (found := PRIVATE.search(text))] == []
