"""What an export did, and what it could not do."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from intdash_frames.frames.report import Report

__all__ = ["ExportReport", "summed"]


@dataclass(frozen=True, slots=True)
class ExportReport:
    """What an export did.

    Attributes
    ----------
    path : Path
        The folder.
    measurements : tuple of str
        UUIDs of those that were asked for.
    points, files, bytes : int
        What the folder holds of them now [count].
    written, kept : int
        Files written by this call, and files that were there and verified [count].
    undecodable : int
        Payloads that do not fit the layout of their type: null columns, raw payload kept [count].
    failed : tuple of dict
        What could not be read: ``measurement``, ``start``, ``end``, ``reason``.
    skipped : tuple of dict
        What holds nothing in the range: ``measurement``, ``reason``.
    read : Report
        What was read by this call.
    seconds : float
    complete : bool
        Whether everything asked for is in the folder.
    """

    path: Path
    measurements: tuple[str, ...]
    points: int
    files: int
    bytes: int
    written: int
    kept: int
    undecodable: int
    failed: tuple[dict[str, Any], ...]
    skipped: tuple[dict[str, Any], ...]
    read: Report
    seconds: float
    complete: bool


def summed(reports: Iterable[Report], seconds: float) -> Report:
    """Add up what several readers did."""
    whole = Report(seconds=seconds)
    for each in reports:
        whole = dataclasses.replace(
            whole,
            **{
                name: getattr(whole, name) + getattr(each, name)
                for name in ("points", "pages", "requests", "retries", "duplicates", "error_points", "untimed", "bytes")
            },
            errors=(*whole.errors, *each.errors),
            gaps=(*whole.gaps, *each.gaps),
            complete=whole.complete and each.complete,
        )
    return whole
