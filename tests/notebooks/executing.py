"""Notebooks, run top to bottom in a kernel of their own: by the tests, and by ``make notebooks`` to keep the outputs."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Final

import nbformat
from nbclient import NotebookClient

import intdash_frames as idf

__all__ = ["NOTEBOOKS", "executed", "is_waiting"]

FOLDER: Final = Path(__file__).parents[2] / "notebooks"
NOTEBOOKS: Final = sorted(FOLDER.glob("*.ipynb"))
CELL_TIMEOUT_S: Final = 60
# Cells with such a tag wait for something that is not there yet.
WAITING: Final = {"needs-open": not hasattr(idf, "open")}


def is_waiting(cell: nbformat.NotebookNode) -> bool:
    """Say whether a cell cannot run yet."""
    return any(WAITING.get(tag, False) for tag in cell.metadata.get("tags", ()))


def executed(path: Path) -> nbformat.NotebookNode:
    """Run a notebook, without changing the file; cells that wait are left as they are.

    Raises
    ------
    nbclient.exceptions.CellExecutionError
        If a cell raises.
    """
    notebook = nbformat.read(path, as_version=4)
    running = copy.deepcopy(notebook)
    running.cells = [cell for cell in running.cells if not is_waiting(cell)]
    NotebookClient(
        running,
        timeout=CELL_TIMEOUT_S,
        record_timing=False,
        extra_arguments=["--log-level=ERROR"],  # a kernel warns of its sockets, which are on loopback
        resources={"metadata": {"path": str(FOLDER)}},
    ).execute()
    ran = {cell.id: cell for cell in running.cells}
    notebook.cells = [ran.get(cell.id, cell) for cell in notebook.cells]
    return notebook


def main() -> None:
    """Run all notebooks and keep their outputs."""
    for path in NOTEBOOKS:
        notebook = executed(path)
        notebook.metadata.language_info = {"name": "python"}  # not the version of who ran it
        nbformat.write(notebook, path)
        print(path.name)


if __name__ == "__main__":
    main()
