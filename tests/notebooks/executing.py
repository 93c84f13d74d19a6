"""Notebooks, run top to bottom in a kernel of their own: by the tests, and by ``make notebooks`` to keep the outputs."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import nbformat
from nbclient import NotebookClient

__all__ = ["NOTEBOOKS", "executed"]

FOLDER: Final = Path(__file__).parents[2] / "notebooks"
NOTEBOOKS: Final = sorted(FOLDER.glob("*.ipynb"))
CELL_TIMEOUT_S: Final = 60


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


def main() -> None:
    """Run all notebooks and keep their outputs."""
    for path in NOTEBOOKS:
        notebook = executed(path)
        notebook.metadata.language_info = {"name": "python"}  # not the version of who ran it
        nbformat.write(notebook, path)
        print(path.name)


if __name__ == "__main__":
    main()
