"""A row a signal."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd

import intdash_frames as idf
from tests.frames.stored import BASETIME_NS, Row, can_row, float_row, sensor_row

MS = 1_000_000
COLUMNS = ["type", "channel", "id", "label", "unit", "points", "first", "last", "rate_hz", "gaps"]


def test_a_row_a_signal_with_rate_and_gaps(client: idf.Client, make: Callable[..., str]) -> None:
    rows = [float_row(10 * MS * i, 1.0) for i in range(11)]
    rows += [can_row(MS * i, 0x1A0, channel=2) for i in (0, 1, 2, 3, 14, 15, 26)]  # a step of 11 median steps, twice
    rows += [sensor_row(5, 7, [1]), Row(6, 200, 1, b""), Row(6, 200, 1, b"")]
    summary = client.frames(make(rows)).summary()
    assert summary.columns.tolist() == COLUMNS
    by_id = summary.set_index("id")
    speed, can = by_id.loc["speed"], by_id.loc["000001a0"]
    assert (speed["type"], speed["channel"], speed["points"], speed["rate_hz"], speed["gaps"]) == ("float", 1, 11, 100.0, 0)
    assert (speed["first"].value, speed["last"].value) == (BASETIME_NS, BASETIME_NS + 100 * MS)
    assert (can["type"], can["channel"], can["points"], can["gaps"]) == ("can", 2, 7, 2)
    assert by_id.loc["0007", "unit"] == "m"
    assert np.isnan(by_id.loc["0007", "rate_hz"])
    assert (by_id.loc["", "type"], by_id.loc["", "points"], by_id.loc["", "gaps"]) == ("200", 2, 0)
    assert summary["points"].sum() == len(rows)


def test_its_columns_are_of_the_same_kinds_when_there_is_nothing(client: idf.Client, make: Callable[..., str]) -> None:
    full, empty = client.frames(make([float_row(0, 1.0)])).summary(), client.frames(make([])).summary()
    assert full.dtypes.to_dict() == empty.dtypes.to_dict()
    assert isinstance(full["first"].dtype, pd.DatetimeTZDtype)
    assert len(empty) == 0


def test_it_agrees_with_the_frames(client: idf.Client, everything: str) -> None:
    f = client.frames(everything)
    for row, (key, frame) in zip(f.summary().itertuples(), f.by_signal().items(), strict=True):
        assert (row.channel, row.id, row.points) == (key.channel, key.data_id, len(frame))
        assert (row.first, row.last) == (frame.index[0], frame.index[-1])
        assert str(key) == f"{row.type}:{row.channel}/{row.id}"
