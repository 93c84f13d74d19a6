from __future__ import annotations

from intdash_frames.export.report import summed
from intdash_frames.frames.report import Report


def test_counts_of_several_readers_add_up_and_one_that_missed_something_is_enough() -> None:
    one = Report(points=3, requests=1, bytes=10, errors=({"a": 1},), complete=False)
    whole = summed([one, Report(points=4, requests=2, retries=5, seconds=9.0)], 2.5)
    assert (whole.points, whole.requests, whole.retries, whole.bytes) == (7, 3, 5, 10)
    assert (whole.errors, whole.complete, whole.seconds) == (({"a": 1},), False, 2.5)


def test_nothing_read_is_nothing_missing() -> None:
    assert summed([], 1.0) == Report(seconds=1.0)
