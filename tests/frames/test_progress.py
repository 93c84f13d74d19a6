"""Progress for those who look, and nothing for the others."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import intdash_frames as idf
from intdash_frames import UsageError
from intdash_frames.frames.progress import Progress, check_progress
from tests.frames.stored import float_row


def test_a_function_is_told_how_far_a_read_is(client: idf.Client, make: Callable[..., str]) -> None:
    told: list[dict[str, Any]] = []
    first, second = make([float_row(i, 1.0) for i in range(100)]), make([float_row(i, 1.0) for i in range(50)])
    client.frames([first, second], progress=told.append).to_arrow()
    assert {tuple(each) for each in told} == {("done", "total", "points", "bytes")}
    done = [each["done"] for each in told]
    assert done == sorted(done)
    assert told[-1]["done"] == told[-1]["total"]
    assert (told[-1]["points"], told[-1]["bytes"]) == (150, 150 * 14)


def test_a_bar_is_shown_on_demand_and_removed(
    capsys: pytest.CaptureFixture[str], client: idf.Client, make: Callable[..., str]
) -> None:
    uuid = make([float_row(i, 1.0) for i in range(100)])
    client.frames(uuid, progress=True).to_arrow()
    assert "reading" in capsys.readouterr().err
    for quiet in ("auto", False):
        client.frames(uuid, progress=quiet).to_arrow()  # type: ignore[arg-type]
        assert capsys.readouterr().err == ""


@pytest.mark.parametrize(("total", "done"), [(0, [0, 5]), (10, [5, 20])])
def test_a_bar_never_passes_its_end(total: int, done: list[int]) -> None:
    with Progress(True, total=total, label="more") as bar:
        for each in done:
            bar.update(each, points=1, size_bytes=1)
        assert bar._bar.n == 100


def test_what_was_done_before_moves_the_bar_and_not_the_rate(capsys: pytest.CaptureFixture[str]) -> None:
    told: list[dict[str, Any]] = []
    for option in (told.append, True):
        with Progress(option, total=10, label="more") as bar:
            bar.skip(8)
            bar.update(1, points=1_000, size_bytes=2_000_000)
            if option is True:
                assert (bar._bar.initial, bar._bar.n) == (80, 90)
                assert "1,000 points, 2.0 MB, " in str(bar._bar)
                assert " points/s" in str(bar._bar)
                assert " left" in str(bar._bar)
    assert told == [
        {"done": 8, "total": 10, "points": 0, "bytes": 0},
        {"done": 9, "total": 10, "points": 1_000, "bytes": 2_000_000},
    ]


def test_an_export_that_goes_on_begins_where_it_was(client: idf.Client, make: Callable[..., str], tmp_path: Path) -> None:
    first, second = make([float_row(i, 1.0) for i in range(100)]), make([float_row(i, 1.0) for i in range(100)])
    client.export(first, tmp_path)
    told: list[dict[str, Any]] = []
    client.export([first, second], tmp_path, progress=told.append)
    assert [each["done"] / each["total"] for each in told] == [0.5, 1.0]
    assert told[-1]["points"] == 100


@pytest.mark.parametrize("option", ["yes", 1, None, []])
def test_what_cannot_show_progress_is_refused(option: Any) -> None:
    with pytest.raises(UsageError, match="progress="):
        check_progress(option)
    with pytest.raises(UsageError, match="progress="):
        Progress(option, total=1, label="x")


@pytest.mark.skipif(sys.platform == "win32", reason="has no pseudo-terminals")
def test_a_terminal_without_a_size_shows_a_bar_too(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = os.openpty()
    with open(theirs, "w", encoding="utf-8") as terminal, monkeypatch.context() as patch:
        assert os.get_terminal_size(theirs) == (0, 0)
        patch.setattr(sys, "stderr", terminal)
        with Progress(True, total=10, label="more") as bar:
            bar.update(10, points=1, size_bytes=1)
        shown = os.read(ours, 65536).decode()
    os.close(ours)
    assert "more: " in shown


def test_what_only_says_that_it_is_a_terminal_shows_a_bar_too(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stderr", terminal)
        with Progress(True, total=10, label="more") as bar:
            bar.update(10, points=1, size_bytes=1)
    assert "more: " in terminal.getvalue()
