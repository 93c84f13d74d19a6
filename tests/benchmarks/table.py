"""The rows of the benchmark: what one says, how it is measured by turns, and how it is shown."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.benchmarks.workers import medians


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table.

    Attributes
    ----------
    what : str
    points : int
        0 where no points are involved.
    ours, other : str
        What was measured, with its unit.
    value : float
        The ratio, or the number that the target is about.
    target : str
        ``">= 100"`` or ``"<= 2.5"``; empty without one.
    cpu_ratio : float or None
        The same ratio of processor times.
    """

    what: str
    points: int
    ours: str
    other: str
    value: float
    target: str = ""
    cpu_ratio: float | None = None

    @property
    def met(self) -> bool | None:
        """Whether the target is reached; None without one."""
        if not self.target:
            return None
        sign, limit = self.target.split()
        return self.value >= float(limit) if sign == ">=" else self.value <= float(limit)


def by_turns(
    ours: Callable[[int], Any], reference: Callable[[int], Any], our_runs: int, reference_runs: int
) -> tuple[dict[str, float], dict[str, float], bool]:
    """Medians of both sides, and whether they made the same of it."""
    ours(1)  # compiled kernels are loaded, code pages are in memory
    half = max(1, our_runs // (2 * reference_runs))
    mine, theirs = [], []
    for _ in range(reference_runs):
        before, between, after = ours(half), reference(1), ours(half)
        mine += before["times"] + after["times"]
        theirs += between["times"]
    return medians(mine), medians(theirs), _same(after["digest"], between["digest"])


def _same(ours: dict[str, Any], reference: dict[str, Any]) -> bool:
    """Compare what both have; the SDK's CAN objects drop the count byte, which is a column of ours."""
    if ours.keys() != reference.keys():
        return False
    return all(
        ours[kind] == theirs if isinstance(theirs, str) else all(ours[kind].get(name) == value for name, value in theirs.items())
        for kind, theirs in reference.items()
    )


def versus(what: str, points: int, target: str, turns: tuple[dict[str, float], dict[str, float], bool]) -> Row:
    ours, reference, same = turns
    if not same:
        raise SystemExit(f"{what}, {points} points: the two sides did not make the same of it, so their times say nothing")
    return Row(
        f"{what}, reference / ours",
        points,
        seconds(ours["wall_s"]),
        seconds(reference["wall_s"]),
        reference["wall_s"] / ours["wall_s"],
        target,
        reference["cpu_s"] / ours["cpu_s"],
    )


def seconds(value: float) -> str:
    return f"{value * 1000:.1f} ms" if value < 1 else f"{value:.2f} s"


def megabytes(value: float) -> str:
    return f"{value / 1e6:.0f} MB"


def line(row: Row) -> str:
    """One line of the table."""
    met = {True: "reached", False: "MISSED", None: ""}[row.met]
    points = f"{row.points:,}" if row.points else ""
    value = f"{row.value:,.0f}" if row.value >= 1000 else f"{row.value:.2f}"
    cpu = "" if row.cpu_ratio is None else f"{row.cpu_ratio:.1f}"
    return f"{row.what:<36}{points:>12}{row.ours:>12}{row.other:>12}{value:>11}{cpu:>9}  {row.target:<10} {met}".rstrip()


HEADER = f"{'':<36}{'points':>12}{'ours':>12}{'other':>12}{'value':>11}{'by CPU':>9}  target"
