"""A client's definitions, applied to what it reads."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

import intdash_frames as idf
from intdash_frames import ConversionNumFixedPoint, DataType, Display, IncompleteRead
from tests.frames.stored import can_row


@pytest.fixture
def measurement(client: idf.Client, make: Callable[..., str]) -> Iterator[str]:
    conversion = ConversionNumFixedPoint(0, 16, "little", "unsigned", 0.01, 0.0)
    signal = client.signals.create("applied", DataType.can, "000001a0", 1, conversion, Display("m/s", 0, 9, "%f"))
    yield make([can_row(0, 0x1A0, b"\x10\x27"), can_row(5, 0x1A0, b"\x01")])
    client.signals.delete(signal.uuid)


def test_definitions_applied_here_give_what_the_server_gives(client: idf.Client, measurement: str) -> None:
    here = client.signals.apply(client.frames(measurement), "applied")["applied"]
    there = client.frames(measurement, labels="applied", errors="collect")["applied"]
    assert there["value"].tolist() == here["value"].dropna().tolist() == [100.0]
    assert here["value"].isna().tolist() == [False, True]


def test_values_that_cannot_be_converted_are_counted_or_raised(client: idf.Client, measurement: str) -> None:
    applied = client.signals.apply(client.frames(measurement), ["applied"])
    assert (applied.report.points, applied.report.error_points) == (2, 1)
    with pytest.raises(IncompleteRead, match="1 values could not be converted"):
        client.signals.apply(client.frames(measurement), errors="raise").to_arrow()
