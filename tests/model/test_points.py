from __future__ import annotations

from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from intdash_frames.errors import UsageError
from intdash_frames.model import DataResponse, DataType, IdQuery, SignalKey


@pytest.mark.parametrize(
    ("query", "text"),
    [
        (IdQuery(), "*:*/*"),
        (IdQuery(DataType.can, 2, "00000001"), "1:2/00000001"),
        (IdQuery("float", "1", "speed"), "11:1/speed"),
        (IdQuery(data_type=99, data_id="a/b"), "99:*/a/b"),
    ],
)
def test_a_query_is_written_with_numbers(query: IdQuery, text: str) -> None:
    assert query.text == text


@pytest.mark.parametrize(
    "query",
    [IdQuery(256), IdQuery(-1), IdQuery("Float"), IdQuery(True), IdQuery(channel=1.0), IdQuery(channel=""), IdQuery(data_id=5)],  # type: ignore[arg-type]
)
def test_a_query_for_what_cannot_exist_is_refused(query: IdQuery) -> None:
    with pytest.raises(UsageError, match="IdQuery: "):
        _ = query.text


@given(
    st.one_of(st.sampled_from(DataType), st.integers(200, 999), st.just("can_frame")),
    st.none() | st.integers(0, 255),
    st.text(),
)
@settings(deadline=None)
def test_a_signal_key_comes_back_from_its_text(data_type: Any, channel: int | None, data_id: str) -> None:
    key = SignalKey(data_type, channel, data_id)
    again = SignalKey.parse(str(key))
    assert again == key
    assert type(again.data_type) is type(data_type)


@pytest.mark.parametrize("text", ["", "can", "can:1", "can:/x", "can:x/y", ":1/x", "can:*/x"])
def test_what_names_no_signal_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="'can:1/000001a0'"):
        SignalKey.parse(text)


def test_a_response_prints_the_lines_of_the_tutorial_in_their_order() -> None:
    response = DataResponse(pd.Timestamp("2020-01-01", tz="UTC"), "m", DataType.string, "x", 1, b"a")
    assert [line.partition(":")[0] for line in str(response).splitlines()] == [
        "time",
        "measurement_uuid",
        "data_type",
        "channel",
        "data_id",
        "data_payload",
    ]
