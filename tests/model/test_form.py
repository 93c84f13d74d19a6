from __future__ import annotations

import pickle
from typing import Any

import pytest

from intdash_frames import model
from intdash_frames.errors import RemoteProtocolError
from intdash_frames.model.form import form_of


@pytest.mark.parametrize("json", [None, [], "x", 3])
def test_a_record_is_made_of_an_object_only(json: Any) -> None:
    with pytest.raises(RemoteProtocolError, match="JSON object of Edge"):
        model.load(model.Edge, json)


@pytest.mark.parametrize("duration", ["5", 1.5, True, 2**60])
def test_a_duration_that_is_no_count_of_microseconds_is_the_servers_fault(duration: Any) -> None:
    with pytest.raises(RemoteProtocolError, match="integer of microseconds"):
        model.load(model.Measurement, {"duration": duration})


def test_a_record_prints_a_line_per_field() -> None:
    edge = model.load(
        model.Edge, {"uuid": "u", "name": "admin", "type": "user", "disabled": False, "created_at": "2020-01-01T00:00:00Z"}
    )
    lines = str(edge).splitlines()
    assert lines[:2] == ["uuid: u", "name: admin"]
    assert "type: user" in lines
    assert "created_at: 2020-01-01 00:00:00+00:00" in lines
    assert "basetime_type: ntp" in str(model.load(model.Measurement, {"basetime_type": "ntp"})).splitlines()


def test_every_field_names_a_dtype_that_pandas_knows() -> None:
    import dataclasses

    import pandas as pd

    for record in (
        model.Edge,
        model.Measurement,
        model.MeasurementBasetime,
        model.MeasurementMarker,
        model.Signal,
        model.Capture,
    ):
        for each in dataclasses.fields(record):
            assert pd.Series([], dtype=form_of(each).dtype).empty


def test_records_compare_and_travel_by_value() -> None:
    json = {"uuid": "u", "basetime": "2020-07-09T08:34:10.832607123Z", "duration": 7}
    one, other = model.load(model.Measurement, json), model.load(model.Measurement, json)
    assert one == other
    assert pickle.loads(pickle.dumps(one)) == one
    with pytest.raises(AttributeError):
        one.name = "x"  # type: ignore[misc]


def test_an_optional_list_is_left_out_when_there_is_none() -> None:
    assert "markers" not in model.dump(model.load(model.Measurement, {}))
    assert model.dump(model.load(model.Measurement, {"markers": []}))["markers"] == []
    assert model.dump(model.load(model.Measurement, {}))["basetime_type"] == "undefined"
