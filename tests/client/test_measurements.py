from __future__ import annotations

import datetime as dt
import uuid
from typing import Any

import pandas as pd
import pytest

from intdash_frames.client.connection import Connection
from intdash_frames.errors import ApiError, NotFound, UsageError
from intdash_frames.model import BasetimeType, DataPoint, DataType, Edge, Measurement
from tests.client.conftest import BASETIME


def test_a_measurement_keeps_its_base_time_to_the_nanosecond(connection: Connection, me: Edge) -> None:
    made = connection.measurements.create(me.uuid, BASETIME, "ntp", "run", "a run", True)
    assert (made.edge_uuid, made.name, made.description, made.protected) == (me.uuid, "run", "a run", True)
    assert made.basetime == pd.Timestamp(BASETIME)
    assert made.basetime_type is BasetimeType.ntp
    assert (made.ended, made.duration) == (False, pd.Timedelta(0))
    assert connection.measurements.get(uuid=made.uuid) == made


def test_changes_show(connection: Connection, measurement: Measurement) -> None:
    connection.measurements.update(measurement.uuid, name="x", ended=True)
    changed = connection.measurements.get(measurement.uuid)
    assert (changed.name, changed.description, changed.ended) == ("x", measurement.description, True)


def test_a_protected_measurement_is_deleted_only_when_it_no_longer_is(connection: Connection, measurement: Measurement) -> None:
    connection.measurements.protect(measurement.uuid)
    assert connection.measurements.get(measurement.uuid).protected
    with pytest.raises(ApiError):
        connection.measurements.delete(measurement.uuid)
    connection.measurements.unprotect(measurement.uuid)
    connection.measurements.delete(measurement.uuid)
    with pytest.raises(NotFound):
        connection.measurements.get(measurement.uuid)


def test_a_range_selects_by_base_time_or_by_any_part(connection: Connection, me: Edge) -> None:
    made = connection.measurements.create(me.uuid, "2021-01-01T00:00:00Z", name="ranged")
    end = pd.Timedelta("10s")
    connection.data_points.store(made.uuid, [DataPoint(end, DataType.string, 1, b"\x01ax")])
    middle = pd.Timestamp("2021-01-01T00:00:05Z")
    find = connection.measurements.list
    assert find(middle, middle + end, name="ranged") == []
    assert [found.uuid for found in find(middle, middle + end, name="ranged", partial_match=True)] == [made.uuid]
    assert [found.uuid for found in find("2020-12-31T00:00:00Z", middle, me.uuid, "ranged")] == [made.uuid]
    assert find(end=made.basetime, name="ranged") == []


def test_all_pages_are_one_frame(connection: Connection, me: Edge) -> None:
    names = [f"paged {number}" for number in range(5)]
    for name in names:
        connection.measurements.create(me.uuid, BASETIME, name=name)
    pages = list(connection.measurements.list(name="paged", limit=2, iterator=True))
    assert [found.name for page in pages for found in page] == names
    frame = connection.measurements.frame(name="paged", order="desc")
    assert frame["name"].tolist() == names[::-1]
    assert frame["basetime"].tolist() == [pd.Timestamp(BASETIME)] * 5
    assert frame["basetime_type"].tolist() == ["manual"] * 5
    empty = connection.measurements.frame(name="no such")
    assert empty.dtypes.to_dict() == frame.dtypes.to_dict()
    assert str(empty["duration"].dtype) == "timedelta64[ns]"


@pytest.mark.parametrize("basetime", ["2020-07-09T08:34:10", dt.datetime(2020, 7, 9), 1594283650, None])
def test_a_base_time_without_a_zone_is_refused(connection: Connection, basetime: Any) -> None:
    with pytest.raises(UsageError, match="basetime="):
        connection.measurements.create(str(uuid.uuid4()), basetime)


def test_what_is_no_uuid_is_refused_before_anything_is_sent() -> None:
    nowhere = Connection("http://127.0.0.1:1", "token", retries=0)
    measurements = nowhere.measurements
    for call in (measurements.get, measurements.delete, measurements.protect, measurements.unprotect, measurements.update):
        with pytest.raises(UsageError, match="uuid: 'x/y' is no UUID"):
            call("x/y")
    with pytest.raises(UsageError, match="marker_uuid: 'x' is no UUID"):
        measurements.get(marker_uuid="x")
    with pytest.raises(UsageError, match="give uuid= or marker_uuid="):
        measurements.get()
    with pytest.raises(UsageError, match="edge_uuid: 'x' is no UUID"):
        measurements.create("x", BASETIME)
    with pytest.raises(UsageError, match="start='2020-01-01' has no time zone"):
        measurements.list(start="2020-01-01")
