"""What a read did, and what it could not do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

__all__ = ["Report"]


@dataclass(frozen=True, slots=True)
class Report:
    """The record of a read.

    Attributes
    ----------
    points : int
        Data points read [count].
    pages, requests, retries : int
        Answers, requests and tries again after a cut [count].
    duplicates : int
        Points that a page repeated and that were removed [count].
    error_points : int
        Values that could not be converted [count]. Where the server converts, none of them is in the data; where
        `signals.apply` does, they are nulls in it.
    errors : tuple of dict
        What the server said of those, the first hundred; of those of `signals.apply`, one for each signal, with ``points``.
    gaps : tuple of dict
        What could not be read: ``start_ns``, ``end_ns``, ``source``, ``reason``.
    undecodable : int
        Payloads that do not fit the layout of their type: raw bytes are kept, columns are null [count]. Known after decoding.
    untimed : int
        Points that carried no time and were read as the epoch [count].
    textual_types : tuple of (str, int)
        Types that newer servers name by text, and their points [count]; their ``data_type`` is null.
    unmatched : tuple of str
        Patterns without wildcards that name no signal of the measurements; an error unless errors are collected.
    bytes : int
        Body bytes received.
    seconds : float
        Time the read took.
    complete : bool
        Whether everything asked for was read.
    """

    points: int = 0
    pages: int = 0
    requests: int = 0
    retries: int = 0
    duplicates: int = 0
    error_points: int = 0
    errors: tuple[dict[str, Any], ...] = ()
    gaps: tuple[dict[str, Any], ...] = ()
    undecodable: int = 0
    untimed: int = 0
    textual_types: tuple[tuple[str, int], ...] = ()
    unmatched: tuple[str, ...] = ()
    bytes: int = 0
    seconds: float = 0.0
    complete: bool = True
