"""Frames of pandas from Arrow tables, and what `df.attrs` says of them."""

from __future__ import annotations

import copy
import json
import pickle
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest

import intdash_frames as idf
from intdash_frames.frames.attributes import FrozenDict, freeze
from intdash_frames.frames.pandas_frame import to_pandas, typed_frame
from tests.frames.stored import contents, float_row, sensor_row, string_row

ROWS = [float_row(0, 1.0), sensor_row(1, 6, [1, 2]), sensor_row(2, 6, [3, 4]), string_row(3, "é")]


def test_both_ways_to_a_typed_frame_give_the_same(client: idf.Client, everything: str) -> None:
    for each in client.frames(everything)._typed().values():
        ids = dict.fromkeys(("measurement_uuid", "channel", "data_id"), object)  # categories may come in another order
        pd.testing.assert_frame_equal(typed_frame(each).astype(ids), to_pandas(each.table).astype(ids))


def test_a_column_may_be_backed_by_arrow_without_a_null_in_it(client: idf.Client, make: Callable[..., str]) -> None:
    table = client.frames(make([float_row(0, 1.0)]))._typed().popitem()[1].table
    assert str(to_pandas(table)["value"].dtype) == "float64"
    assert str(to_pandas(table, nullable=["value"])["value"].dtype) == "double[pyarrow]"


def test_attributes_say_where_a_frame_came_from(client: idf.Client, make: Callable[..., str]) -> None:
    uuid = make(ROWS)
    f = client.frames(uuid, "general_sensor:*/*", start=pd.Timedelta("1ns"), end="2030-01-01T00:00:00Z", head=5)
    attrs = f.to_pandas().attrs["intdash"]
    assert attrs["source"] == {"url": client.url, "names": (uuid,)}
    assert attrs["query"] == {
        "signals": ("general_sensor:*/*",),
        "labels": (),
        "start": "basetime+1ns",
        "end": "2030-01-01T00:00:00.000000000Z",
        "head": 5,
    }
    assert (attrs["shape"], attrs["data_type"], attrs["units"]) == ("typed", "general_sensor", {"lat": "deg", "lng": "deg"})
    assert client.frames(uuid).to_pandas().attrs["intdash"]["shape"] == "long"
    assert "token" not in json.dumps(attrs)


def test_attributes_cannot_change_and_cost_nothing_to_copy(client: idf.Client, make: Callable[..., str]) -> None:
    frame = client.frames(make(ROWS), "float:*/*").to_pandas()
    attrs = frame.attrs["intdash"]
    for change in (
        lambda: attrs.update(a=1),
        lambda: attrs.pop("source"),
        lambda: attrs["source"].__setitem__("url", "x"),
        lambda: attrs.__delitem__("source"),
        attrs.clear,
        lambda: attrs.setdefault("new", 1),
        lambda: attrs.__ior__({"a": 1}),
    ):
        with pytest.raises(TypeError, match="cannot be changed"):
            change()
    assert copy.deepcopy(frame).attrs["intdash"] is attrs
    assert frame[frame["value"] > 0].attrs["intdash"] is attrs
    assert frame.copy().intdash.meta is attrs
    assert pickle.loads(pickle.dumps(frame)).attrs["intdash"] == attrs
    assert isinstance(pickle.loads(pickle.dumps(attrs))["source"], FrozenDict)
    assert dict(attrs) == attrs
    json.dumps(attrs)


def test_freezing_goes_all_the_way_down() -> None:
    frozen = freeze({"a": [{"b": [1]}], 2: ("c",)})
    assert frozen == {"a": ({"b": (1,)},), "2": ("c",)}
    with pytest.raises(TypeError):
        frozen["a"][0]["b"] = 1
    assert copy.copy(frozen) is frozen
    assert len({frozen, frozen}) == 1


@pytest.mark.parametrize("shape", ["typed", "long", "wide"])
def test_a_frame_goes_through_parquet_and_back_to_the_server(
    client: idf.Client, make: Callable[..., str], tmp_path: Path, shape: str
) -> None:
    uuid = make(ROWS)
    f = client.frames(uuid, "general_sensor:*/*") if shape == "typed" else client.frames(uuid)
    if shape == "wide":
        f = client.frames(uuid, ["general_sensor:*/*", "float:*/*"])
    frame = f.wide() if shape == "wide" else f.to_pandas()
    frame.to_parquet(tmp_path / "frame.parquet")
    back = pd.read_parquet(tmp_path / "frame.parquet")
    assert back.attrs["intdash"]["shape"] == shape
    assert back.index.equals(frame.index)
    for data in (back, pq.read_table(tmp_path / "frame.parquet")) if shape != "wide" else (back,):
        stored = idf.store(data, client=client).measurement
        assert stored is not None
        assert contents(client.frames(stored).to_arrow()) == contents(f.to_arrow())
