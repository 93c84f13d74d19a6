"""polars predicates -> what the server can be asked instead: a range of time, and conditions on ids.

An expression does not say what it is made of. So the parts that polars takes it apart into are put together again in each way
that is understood; what comes out equal is what it was. What is not understood narrows nothing: polars applies the whole
predicate to whatever comes.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from itertools import permutations
from typing import Any, Final

import polars as pl

from intdash_frames.timebase import INT64_MAX, INT64_MIN

__all__ = ["Narrowed", "narrowed"]

NS_OF: Final = {"ns": 1, "us": 1000, "ms": 1_000_000}


@dataclass(frozen=True, slots=True)
class Narrowed:
    """What a predicate keeps lies within this.

    Attributes
    ----------
    start_ns, end_ns : int
        Half open range [ns since the epoch].
    ids : tuple of polars.Expr
        Conditions on columns of ids alone, all of which hold.
    """

    start_ns: int = INT64_MIN
    end_ns: int = INT64_MAX + 1
    ids: tuple[pl.Expr, ...] = ()


def narrowed(predicate: pl.Expr, id_columns: Collection[str], zone: str) -> Narrowed:
    """Find what bounds a predicate.

    Parameters
    ----------
    predicate : polars.Expr
    id_columns : collection of str
        Columns that all rows of a signal have the same value in.
    zone : str
        Of the column ``time``.

    Returns
    -------
    Narrowed
        It may be wider than the predicate, and is never narrower.
    """
    found = Narrowed()
    for each in _conjuncts(predicate):
        columns = set(each.meta.root_names())
        if columns == {"time"}:
            first, stop = _range_of(each, zone)
            found = Narrowed(max(found.start_ns, first), min(found.end_ns, stop), found.ids)
        elif columns and columns <= set(id_columns):
            found = Narrowed(found.start_ns, found.end_ns, (*found.ids, each))
    return found


def _conjuncts(expr: pl.Expr) -> Iterator[pl.Expr]:
    parts = expr.meta.pop()
    if any((left & right).meta.eq(expr) for left, right in _orders(parts, 2)):
        for part in parts:
            yield from _conjuncts(part)
    else:
        yield expr


def _orders(parts: list[pl.Expr], count: int) -> Iterator[tuple[pl.Expr, ...]]:
    """Every order of the parts, if there are so many: polars does not promise in which it gives them."""
    return permutations(parts) if len(parts) == count else iter(())


Span = tuple[int, int]
EVERYTHING: Final[Span] = (INT64_MIN, INT64_MAX + 1)
# For `time OP value`; a value before the operator is found by putting the parts together the other way round.
COMPARISONS: Final[tuple[tuple[Callable[[Any, Any], pl.Expr], Callable[[Span], Span]], ...]] = (
    (operator.ge, lambda value: (value[0], EVERYTHING[1])),
    (operator.gt, lambda value: (value[0], EVERYTHING[1])),
    (operator.le, lambda value: (EVERYTHING[0], value[1])),
    (operator.lt, lambda value: (EVERYTHING[0], value[1])),
    (operator.eq, lambda value: value),
    (lambda time, values: time.is_in(values), lambda value: value),
)


def _range_of(expr: pl.Expr, zone: str) -> Span:
    """The range of times outside of which a condition on the time does not hold."""
    parts = expr.meta.pop()
    for time, value in _orders(parts, 2):
        slack_ns = _slack_ns(time, zone)
        if slack_ns is None or value.meta.root_names():
            continue
        for compare, span in COMPARISONS:
            if compare(time, value).meta.eq(expr):
                return span(_instants(value, slack_ns))
            # `value <= time` is `time >= value`
            mirrored = MIRRORED.get(compare)
            if mirrored is not None and mirrored(value, time).meta.eq(expr):
                return span(_instants(value, slack_ns))
    for time, low, high in _orders(parts, 3):
        slack_ns = _slack_ns(time, zone)
        if slack_ns is None or low.meta.root_names() or high.meta.root_names():
            continue
        for closed in ("both", "left", "right", "none"):
            if time.is_between(low, high, closed=closed).meta.eq(expr):
                return _instants(low, slack_ns)[0], _instants(high, slack_ns)[1]
    return EVERYTHING


MIRRORED: Final[dict[Any, Callable[[Any, Any], pl.Expr]]] = {
    operator.ge: operator.le,
    operator.gt: operator.lt,
    operator.le: operator.ge,
    operator.lt: operator.gt,
    operator.eq: operator.eq,
}


def _slack_ns(expr: pl.Expr, zone: str) -> int | None:
    """How far an expression is from the column of times: 0 for itself, more where polars made its unit coarser to compare it."""
    time = pl.col("time")
    if time.meta.eq(expr):
        return 0
    for unit, unit_ns in NS_OF.items():
        coarse = (time.cast(pl.Datetime(unit, zone), strict=strict) for strict in (True, False))  # type: ignore[arg-type]
        if any(each.meta.eq(expr) for each in coarse):
            return unit_ns
    return None


def _instants(value: pl.Expr, slack_ns: int) -> Span:
    """The range that one or more constant instants lie in; everything if they are none, or beyond what nanoseconds can hold."""
    values = pl.select(value).to_series()
    if isinstance(values.dtype, pl.List):
        values = values.explode()
    dtype = values.dtype
    if not isinstance(dtype, pl.Datetime) or dtype.time_unit is None:
        return EVERYTHING
    numbers = values.drop_nulls().to_physical()
    if not len(numbers):
        return EVERYTHING
    unit_ns = NS_OF[dtype.time_unit]
    first, last = int(numbers.min()) * unit_ns - slack_ns, int(numbers.max()) * unit_ns + slack_ns  # type: ignore[arg-type]
    return (first, last + 1) if first >= INT64_MIN and last <= INT64_MAX else EVERYTHING
