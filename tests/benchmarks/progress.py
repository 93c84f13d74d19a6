"""How many points have come, told from one process to another."""

from __future__ import annotations

from pathlib import Path

import numpy as np


class Progress:
    """A count in a file that two processes share.

    Parameters
    ----------
    path : str or Path
    create : bool
        Begin with 0.
    """

    def __init__(self, path: str | Path, *, create: bool = False) -> None:
        self._count = np.memmap(path, np.int64, "w+" if create else "r+", shape=(1,))

    @property
    def points(self) -> int:
        """Points so far [count]."""
        return int(self._count[0])

    @points.setter
    def points(self, value: int) -> None:
        self._count[0] = value
