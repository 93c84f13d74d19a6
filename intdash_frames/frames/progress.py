"""Progress of long reads and writes, shown only to somebody who is looking."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import warnings
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
        self._total, self._skipped, self._done = total, 0.0, 0.0
        self._points = self._bytes = 0
        self._bar: Any = None
        if option is True or (option == "auto" and _somebody_looks()):
            self._bar = _bar(label, delay_s=0 if option is True else 1)

    def skip(self, amount: float) -> None:
        """Count `amount` as done before: the bar goes on from there, and neither rate nor time left believe it was that fast."""
        self._skipped += amount
        if self._bar is not None:
            self._bar.initial = self._percent(self._skipped)
        self._tell()

    def update(self, done: float, *, points: int, size_bytes: int) -> None:
        """Say how far the work is, without what was skipped, and how many points and bytes came since the last call."""
        self._done, self._points, self._bytes = done, self._points + points, self._bytes + size_bytes
        self._tell()

    def _tell(self) -> None:
        done = self._skipped + self._done
        if self._call is not None:
            self._call({"done": done, "total": self._total, "points": self._points, "bytes": self._bytes})
        if self._bar is not None:
            elapsed_s = self._bar.format_dict["elapsed"]
            rate_hz = f", {self._points / elapsed_s:,.0f} points/s" if elapsed_s > 0 else ""
            self._bar.set_postfix_str(f"{self._points:,} points, {self._bytes / 1e6:.1f} MB{rate_hz}", refresh=False)
            self._bar.update(self._percent(done) - self._bar.n)

    def _percent(self, done: float) -> float:
        return min(100 * done / self._total, 100) if self._total else 100

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None) -> None:
        if self._bar is not None:
            self._bar.close()


def _bar(label: str, *, delay_s: float) -> Any:
    with warnings.catch_warnings():
        # Where Jupyter has no ipywidgets, tqdm recommends them and draws with characters, which does as well.
        warnings.filterwarnings("ignore", "IProgress not found")
        from tqdm.auto import tqdm

    # Time left is reckoned with the mean speed, as the rate beside it is. Any step counts: they are of all sizes.
    ncols, nrows = _shape()
    return tqdm(
        total=100,
        desc=label,
        unit="%",
        delay=delay_s,
        leave=False,
        bar_format=_FORMAT,
        smoothing=0,
        miniters=0,
        ncols=ncols,
        nrows=nrows,
    )


_FORMAT = "{desc}: {percentage:3.0f}%|{bar}| {elapsed}, {remaining} left{postfix}"


def _shape() -> tuple[int | None, int | None]:
    """Columns and rows for a terminal that says it has none, as a pseudo-terminal may; of any other, tqdm knows."""
    with contextlib.suppress(OSError):  # of what has no size to ask for: tqdm copes with that
        if sys.stderr.isatty() and not all(os.get_terminal_size(sys.stderr.fileno())):
            return shutil.get_terminal_size()
    return None, None


def _somebody_looks() -> bool:
    return "ipykernel" in sys.modules or sys.stderr.isatty()
