"""The stretches of time that a recording is cut into: UTC days and their halves, always at the same instants."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

__all__ = ["DAY_NS", "Cell"]

DAY_NS: Final = 86_400 * 10**9
# A day halved so often is a nanosecond or two; what shares an instant stays together.
DEEPEST: Final = 46


@dataclass(frozen=True, slots=True, order=True)
class Cell:
    """A stretch of time: a UTC day, or a half of a cell.

    Attributes
    ----------
    day : int
        Since 1970-01-01.
    level : int
        How often the day was halved.
    index : int
        Which of the ``2**level`` cells of that level.
    """

    day: int
    level: int = 0
    index: int = 0

    @property
    def start_ns(self) -> int:
        """First instant [ns since the epoch]."""
        return self.day * DAY_NS + (DAY_NS * self.index >> self.level)

    @property
    def end_ns(self) -> int:
        """First instant behind it [ns since the epoch]."""
        return self.day * DAY_NS + (DAY_NS * (self.index + 1) >> self.level)

    @property
    def halves(self) -> tuple[Cell, Cell]:
        """The two cells it is made of."""
        return Cell(self.day, self.level + 1, 2 * self.index), Cell(self.day, self.level + 1, 2 * self.index + 1)

    @property
    def is_smallest(self) -> bool:
        """Whether it is not halved any more."""
        return self.level >= DEEPEST

    @property
    def around(self) -> Iterator[Cell]:
        """The cells that it is a piece of, smallest first."""
        level, index = self.level, self.index
        while level:
            level, index = level - 1, index >> 1
            yield Cell(self.day, level, index)
