from __future__ import annotations

import datetime as dt
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from intdash_frames.client.point_buffer import PointBuffer
from intdash_frames.errors import PayloadError, UsageError
from intdash_frames.model import DataPoint, DataType
from tests.client.stream_peer import rows_of


def point(**fields: Any) -> DataPoint:
    return DataPoint(
        **({"elapsed_time": pd.Timedelta(1), "data_type": DataType.can, "channel": 2, "data_payload": b"x"} | fields)
    )


@given(
    st.lists(
        st.tuples(
            st.integers(0, 2**62),
            st.one_of(st.sampled_from(DataType), st.integers(0, 255)),
            st.integers(0, 255),
            st.binary(max_size=20),
        )
    )
)
def test_columns_hold_the_points_in_their_order(points: list[tuple[int, int, int, bytes]]) -> None:
    buffer = PointBuffer("uuid")
    for elapsed_ns, data_type, channel, payload in points:
        buffer.add(DataPoint(pd.Timedelta(elapsed_ns, unit="ns"), data_type, channel, payload))
    assert (buffer.count, buffer.size_bytes) == (len(points), sum(len(each[3]) for each in points))
    taken = buffer.take()
    assert rows_of(taken) == points
    assert {key.measurement_uuid for key in taken.keys} <= {"uuid"}
    assert (buffer.count, buffer.size_bytes, len(buffer.take())) == (0, 0, 0)


def test_codes_stay_the_same_from_one_take_to_the_next() -> None:
    buffer = PointBuffer()
    buffer.add(point(channel=1))
    first = buffer.take()
    buffer.add(point(channel=2))
    buffer.add(point(channel=1))
    second = buffer.take()
    assert second.keys is first.keys
    assert second.series.tolist() == [1, 0]


@pytest.mark.parametrize(
    "elapsed",
    [
        pd.Timedelta(5, unit="s"),
        pd.Timedelta(5, unit="s").as_unit("s"),
        dt.timedelta(seconds=5),
        np.timedelta64(5, "s"),
        "5s",
    ],
)
def test_every_kind_of_duration_with_a_unit_is_taken(elapsed: Any) -> None:
    buffer = PointBuffer()
    buffer.add(point(elapsed_time=elapsed))
    assert buffer.take().time_ns.tolist() == [5_000_000_000]


@pytest.mark.parametrize(
    ("fields", "error", "said"),
    [
        ({"elapsed_time": pd.Timedelta(-1)}, UsageError, "before the base time"),
        ({"elapsed_time": pd.Timedelta(101)}, UsageError, "too long"),
        ({"elapsed_time": 5}, UsageError, "elapsed_time=5 has no unit"),
        ({"elapsed_time": pd.NaT}, UsageError, "elapsed_time=NaT"),
        ({"channel": 256}, UsageError, "channel=256; expected 0 to 255"),
        ({"channel": -1}, UsageError, "channel=-1"),
        ({"channel": True}, UsageError, "channel=True"),
        ({"channel": None}, UsageError, "channel=None"),
        ({"data_type": 256}, UsageError, "data_type=256"),
        ({"data_type": True}, UsageError, "data_type=True"),
        ({"data_type": "can"}, UsageError, "data_type='can'"),
        ({"data_type": [1]}, UsageError, "data_type="),
        ({"data_payload": "x"}, PayloadError, "data_payload is str, expected bytes"),
        ({"data_payload": b"four"}, UsageError, "4 bytes; expected 3 at most"),
    ],
)
def test_a_point_that_cannot_be_sent_is_refused_and_nothing_of_it_is_taken(
    fields: dict[str, Any], error: type[Exception], said: str
) -> None:
    buffer = PointBuffer(longest_ns=100, largest_bytes=3)
    buffer.add(point(channel=1, data_type=1))  # what equals True, and is known by now
    with pytest.raises(error, match=said):
        buffer.add(point(**fields))
    with pytest.raises(error, match="row 7"):
        buffer.add(point(**fields), row=7)
    assert rows_of(buffer.take()) == [(1, 1, 1, b"x")]


def test_something_else_than_a_point_is_refused() -> None:
    with pytest.raises(UsageError, match="it is tuple, expected DataPoint"):
        PointBuffer().add((1, 2))  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="row 3 is tuple, expected DataPoint"):
        PointBuffer().add((1, 2), row=3)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", [bytearray, memoryview])
def test_payloads_that_may_change_are_copied(kind: type) -> None:
    source = bytearray(b"abc")
    buffer = PointBuffer()
    buffer.add(point(data_payload=kind(source)))
    source[0] = 0
    assert buffer.take().payload(0) == b"abc"


def test_more_than_a_column_holds_is_refused_when_it_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("intdash_frames.client.point_buffer.LARGEST_COLUMN", 3)
    buffer = PointBuffer()
    for _ in range(2):
        buffer.add(point(data_payload=b"ab"))
    with pytest.raises(UsageError, match="4 bytes of payload at once"):
        buffer.take()
