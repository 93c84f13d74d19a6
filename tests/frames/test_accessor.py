"""``df.intdash`` on frames of pandas and polars."""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd
import polars as pl
import pytest

import intdash_frames as idf
from intdash_frames import UsageError
from intdash_frames.frames.accessor import IntdashAccessor
from tests.frames.stored import contents, float_row, sensor_row

INDEX = pd.date_range("2024-01-01", periods=2, freq="s", tz="UTC")


def test_store_is_the_function_of_that_name(client: idf.Client, make: Callable[..., str]) -> None:
    f = client.frames(make([float_row(0, 1.0), sensor_row(1, 1, [1, 2, 3])]))
    for frame in (f.to_pandas(), f.to_polars()):
        result = frame.intdash.store(client=client, name="copy")
        assert result.measurement.name == "copy"
        assert contents(client.frames(result.measurement).to_arrow()) == contents(f.to_arrow())


def test_store_takes_a_measurement(client: idf.Client, make: Callable[..., str]) -> None:
    uuid = make([])
    result = pd.DataFrame({"a": [1.0, 2.0]}, index=INDEX).intdash.store(uuid, client=client, signals={"a": "float:9/x"})
    assert result.measurement.uuid == uuid
    assert [str(key) for key in client.frames(uuid, end="2030-01-01T00:00:00Z").signals] == ["float:9/x"]


def test_meta_and_units_are_those_of_the_frame(client: idf.Client, make: Callable[..., str]) -> None:
    frame = client.frames(make([sensor_row(1, 7, [1500])])).to_pandas()
    assert frame.intdash.meta["data_type"] == "general_sensor"
    assert frame.intdash.units == {"alt": "m"}
    assert frame.rename(columns=str.upper).intdash.units == {"alt": "m"}
    strange = pd.DataFrame({"a": [1]}, index=INDEX[:1])
    assert (strange.intdash.meta, strange.intdash.units) == ({}, {})


@pytest.mark.parametrize("index", [INDEX, pd.to_timedelta([1, 2]), INDEX.tz_localize(None)])
def test_a_frame_with_times_has_it(index: pd.Index) -> None:
    assert isinstance(pd.DataFrame({"a": [1, 2]}, index=index).intdash, IntdashAccessor)


def test_a_frame_without_times_has_not() -> None:
    frame = pd.DataFrame({"a": [1]})
    with pytest.raises(UsageError, match=r"this index is a RangeIndex of int64, try df\.set_index"):
        frame.intdash.store()
    assert not hasattr(frame, "intdash")
    assert "intdash" not in dir(frame)
    assert "intdash" in dir(pd.DataFrame({"a": [1, 2]}, index=INDEX))


def test_polars_says_what_it_lacks(client: idf.Client) -> None:
    with pytest.raises(UsageError, match="no column 'time'"):
        pl.DataFrame({"a": [1]}).intdash.store(client=client)
    with pytest.raises(UsageError, match="no time zone"):
        pl.DataFrame({"time": INDEX.tz_localize(None).to_list(), "a": [1, 2]}).intdash.store(client=client)
