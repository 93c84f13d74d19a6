from __future__ import annotations

import logging

import pytest

from intdash_frames.live import ledger as module
from intdash_frames.live.ledger import Ledger
from intdash_frames.live.tally import Gap
from tests.live.feeding import floats


def test_every_point_is_in_one_of_the_counts() -> None:
    ledger = Ledger()
    ledger.settle([floats(0, 5), floats(5, 2)], True)
    ledger.settle([floats(7, 3)], False)
    ledger.lose([floats(10, 4)], "cut", 0)
    stats = ledger.stats(written=20, reconnects=2)
    assert (stats.acknowledged, stats.refused, stats.maybe_lost, stats.waiting, stats.reconnects) == (7, 3, 4, 6, 2)
    assert stats.written == stats.acknowledged + stats.waiting + stats.refused + stats.maybe_lost


def test_what_may_be_lost_is_a_stretch_of_absolute_time_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    ledger = Ledger()
    with caplog.at_level(logging.WARNING):
        ledger.lose([floats(3, 2), floats(0, 1).slice(0, 0), floats(1, 1)], "cut", 10**9)
    assert ledger.gaps == [Gap(10**9 + 10**6, 10**9 + 4 * 10**6 + 1, "cut", 0)]
    assert "3 points may be lost: cut" in caplog.text


def test_nothing_lost_is_no_gap() -> None:
    ledger = Ledger()
    ledger.lose([floats(0, 1).slice(0, 0)], "cut", 0)
    assert (ledger.gaps, ledger.maybe_lost) == ([], 0)


def test_the_last_acknowledged_points_are_remembered_up_to_a_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "KNOWN_BYTES", 100)
    ledger = Ledger()
    for first in range(0, 40, 2):
        ledger.acknowledge(floats(first, 2))  # 2 points of 16 bytes beside 10 of payload
    assert [part.time_ns[0] for part in ledger.known] == [38 * 10**6]
    assert ledger.acknowledged == 40
