"""What a command that moved data says at its end: one line for people, or one JSON report; and what an interrupt becomes."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Final, NoReturn

import typer

__all__ = ["INCOMPLETE", "AsReport", "counted", "interruptible", "note", "say", "size"]

AsReport = Annotated[bool, typer.Option("--json", help="One JSON report.")]

INCOMPLETE: Final = 3
INTERRUPTED: Final = 130  # as shells say it of SIGINT
# What a request under way may take before it is left alone [s].
PATIENCE_S: Final = 2.0
# Of what went wrong; the JSON report has all.
MOST_LINES: Final = 5


def say(report: dict[str, Any], text: str, as_json: bool) -> None:
    """Print what was done: the only thing on stdout."""
    typer.echo(json.dumps(report, ensure_ascii=False, indent=2, default=_json) if as_json else text)


def note(kind: str, lines: Sequence[str]) -> None:
    """Print lines aside, a few of them."""
    for line in lines[:MOST_LINES]:
        typer.echo(f"{kind}: {' '.join(line.split())}", err=True)
    if len(lines) > MOST_LINES:
        typer.echo(f"{kind}: and {len(lines) - MOST_LINES:,} more; --json lists all", err=True)


@contextlib.contextmanager
def interruptible(text: str) -> Iterator[None]:
    """Make Ctrl-C one line that says how to go on, and an exit code.

    What waits for a server is given a moment; a second Ctrl-C ends it at once. Neither harms what has been written: it would
    bear a kill.
    """
    at_last = threading.Timer(PATIENCE_S, _end, [text])
    at_last.daemon = True

    def interrupt(*_: object) -> None:
        if at_last.is_alive():
            _end(text)
        at_last.start()
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, interrupt)
    try:
        yield
    except KeyboardInterrupt:
        at_last.cancel()
        _say_interrupted(text)
        raise typer.Exit(INTERRUPTED) from None
    finally:
        at_last.cancel()
        signal.signal(signal.SIGINT, before)


def _say_interrupted(text: str) -> None:
    clear_line = "\r\x1b[K" if sys.stderr.isatty() else ""  # of a bar that nobody took away
    typer.echo(f"{clear_line}interrupted: {text}", err=True)


def _end(text: str) -> NoReturn:
    _say_interrupted(text)
    os._exit(INTERRUPTED)


def counted(count: int, noun: str) -> str:
    """Write a number of things for people."""
    return f"{count:,} {noun}{'s' * (count != 1)}"


def size(count: int) -> str:
    """Write a number of bytes for people."""
    value = float(count)
    for unit in ("bytes", "kB", "MB"):
        if value < 1000:
            return f"{value:.0f} {unit}" if unit == "bytes" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} GB"


def _json(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no form in a report")
