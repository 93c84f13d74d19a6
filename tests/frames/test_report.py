"""The report of a read is a record that nobody changes afterwards."""

from __future__ import annotations

import dataclasses

import pytest

from intdash_frames.frames.report import Report


def test_a_report_of_nothing_is_complete() -> None:
    assert Report().complete
    assert Report().points == 0


def test_a_report_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Report().points = 3  # type: ignore[misc]
