"""What commands say at their end, and what Ctrl-C makes of them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import Any

import pytest
import typer

from intdash_frames.cli.reports import MOST_LINES, counted, interruptible, note, say, size


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 bytes"), (999, "999 bytes"), (1000, "1.0 kB"), (2_217_606, "2.2 MB"), (5 * 10**12, "5000.0 GB")]
)
def test_sizes_are_written_for_people(count: int, text: str) -> None:
    assert size(count) == text


def test_things_are_counted_in_their_number() -> None:
    assert [counted(number, "file") for number in (0, 1, 1200)] == ["0 files", "1 file", "1,200 files"]


def test_a_report_with_what_json_does_not_know_is_a_defect() -> None:
    with pytest.raises(TypeError, match="object"):
        say({"x": object()}, "text", as_json=True)


def test_of_many_lines_a_few_are_shown_each_as_one(capsys: pytest.CaptureFixture[str]) -> None:
    note("incomplete", [f"line\n{number}" for number in range(MOST_LINES + 3)])
    *lines, last = capsys.readouterr().err.splitlines()
    assert lines == [f"incomplete: line {number}" for number in range(MOST_LINES)]
    assert last == "incomplete: and 3 more; --json lists all"


def test_ctrl_c_is_a_line_and_an_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(typer.Exit) as ended, interruptible("go on"):
        os.kill(os.getpid(), signal.SIGINT)
    assert ended.value.exit_code == 130
    assert capsys.readouterr().err == "interrupted: go on\n"
    assert signal.getsignal(signal.SIGINT) is before


WAITS = """
import os, signal, threading
from intdash_frames.cli import reports
reports.PATIENCE_S = {patience}
with reports.interruptible("go on"):
    try:
        os.kill(os.getpid(), signal.SIGINT)
    finally:
        {then}
        threading.Event().wait(60)
"""


@pytest.mark.parametrize(
    ("patience", "then"), [(0.01, "pass"), (60, "os.kill(os.getpid(), signal.SIGINT)")], ids=["waits", "twice"]
)
def test_what_does_not_end_is_ended_after_a_while_or_by_a_second_ctrl_c(patience: float, then: Any) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", WAITS.format(patience=patience, then=then)],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (ran.returncode, ran.stdout, ran.stderr) == (130, "", "interrupted: go on\n")
