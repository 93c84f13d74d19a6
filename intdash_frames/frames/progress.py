"""Progress of long reads and writes, shown only to somebody who is looking."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import TracebackType
from typing import Any, Literal

from intdash_frames.errors import UsageError

__all__ = ["Progress", "ProgressOption", "check_progress"]

ProgressOption = Literal["auto"] | bool | Callable[[dict[str, Any]], None]


def check_progress(option: ProgressOption) -> None:
    """Refuse what cannot show progress.

    Raises
    ------
    UsageError
        If it is neither ``"auto"``, a boolean nor a function.
    """
    if option != "auto" and not isinstance(option, bool) and not callable(option):
        raise UsageError(f"progress={option!r}; expected 'auto', True, False or a function")


class Progress:
    """A bar from 0 to `total`, a callback, or nothing.

    Parameters
    ----------
    option : "auto", bool or callable
        "auto" shows a bar on a terminal or in a notebook once the work has taken a second. A callable gets
        ``{"done", "total", "points", "bytes"}``.
    total : float
        What `update` counts up to.
    label : str
        Stands before the bar.
    """

    def __init__(self, option: ProgressOption, *, total: float, label: str) -> None:
        check_progress(option)
        self._call = option if callable(option) else None
        self._total, self._done, self._points, self._bytes = total, 0.0, 0, 0
        self._bar: Any = None
        if option is True or (option == "auto" and _somebody_looks()):
            from tqdm.auto import tqdm

            self._bar = tqdm(total=100, desc=label, unit="%", delay=0 if option is True else 1, leave=False, bar_format=_FORMAT)

    def update(self, done: float, *, points: int, size_bytes: int) -> None:
        """Say how far the work is, and how many points and bytes came since the last call."""
        self._points, self._bytes = self._points + points, self._bytes + size_bytes
        if self._call is not None:
            self._call({"done": done, "total": self._total, "points": self._points, "bytes": self._bytes})
        if self._bar is not None:
            percent = 100 * done / self._total if self._total else 100
            self._bar.set_postfix_str(f"{self._points:,} points, {self._bytes / 1e6:.1f} MB", refresh=False)
            self._bar.update(min(percent, 100) - self._bar.n)

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None) -> None:
        if self._bar is not None:
            self._bar.close()


_FORMAT = "{desc}: {percentage:3.0f}%|{bar}| {elapsed}<{remaining}{postfix}"


def _somebody_looks() -> bool:
    return "ipykernel" in sys.modules or sys.stderr.isatty()
