"""Notebooks, run top to bottom in a kernel of their own: by the tests, and by ``make notebooks`` to keep the outputs."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import nbformat
from nbclient import NotebookClient

__all__ = ["NOTEBOOKS", "executed", "shown"]

FOLDER: Final = Path(__file__).parents[2] / "notebooks"
NOTEBOOKS: Final = sorted(FOLDER.glob("*.ipynb"))
CELL_TIMEOUT_S: Final = 60
WIDGET: Final = "application/vnd.jupyter.widget-view+json"


def executed(path: Path) -> nbformat.NotebookNode:
    """Run a notebook, without changing the file.

    Raises
    ------
    nbclient.exceptions.CellExecutionError
        If a cell raises.
    """
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(
        notebook,
        timeout=CELL_TIMEOUT_S,
        record_timing=False,
        store_widget_state=False,
        extra_arguments=["--log-level=ERROR"],  # a kernel warns of its sockets, which are on loopback
        resources={"metadata": {"path": str(FOLDER)}},
    ).execute()
    return notebook


def shown(cell: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    """Give the outputs of a cell without progress, which only a slow machine shows: as text, or as a widget."""
    return [each for each in cell.outputs if each.get("name") != "stderr" and WIDGET not in each.get("data", ())]


def main() -> None:
    """Run all notebooks and keep their outputs."""
    for path in NOTEBOOKS:
        notebook = executed(path)
        for cell in notebook.cells:
            if cell.cell_type == "code":
                cell.outputs = shown(cell)
        notebook.metadata.language_info = {"name": "python"}  # not the version of who ran it
        nbformat.write(notebook, path)
        print(path.name)


if __name__ == "__main__":
    main()
