"""Progress for those who look, and nothing for the others."""

from __future__ import annotations

from collections.abc import Callable
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


@pytest.mark.parametrize("option", ["yes", 1, None, []])
def test_what_cannot_show_progress_is_refused(option: Any) -> None:
    with pytest.raises(UsageError, match="progress="):
        check_progress(option)
    with pytest.raises(UsageError, match="progress="):
        Progress(option, total=1, label="x")
