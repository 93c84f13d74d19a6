from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pandas as pd
import pytest

from intdash_frames.client.connection import Connection
from intdash_frames.errors import ApiError, NotFound, UsageError
from intdash_frames.model import BasetimeType, Measurement, MeasurementBasetime
from tests.client.conftest import BASETIME
from tests.client.recorded import cases_of, repeat
from tests.transport.loopback import Loopback

UUID = "414c343c-1e2f-7ed4-c2ce-78e57311d8a3"
NTP = MeasurementBasetime(
    BasetimeType.ntp, pd.Timestamp(BASETIME), pd.Timestamp("2020-07-09T08:34:11Z"), pd.Timestamp("2020-07-09T08:34:12Z")
)

CALLS: dict[str, tuple[Callable[[Connection], Any], Any]] = {
    "basetimes_get": (lambda c: c.measurement_basetimes.get(UUID, BasetimeType.ntp), NTP),
    "basetimes_update_default": (lambda c: c.measurement_basetimes.update(UUID, pd.Timestamp(BASETIME)), None),
    "basetimes_update": (lambda c: c.measurement_basetimes.update(UUID, BASETIME, "api_first_received"), None),
    "basetimes_delete": (lambda c: c.measurement_basetimes.delete(UUID, "edge_rtc"), None),
    "basetimes_list": (
        lambda c: c.measurement_basetimes.list(UUID),
        [NTP, dataclasses.replace(NTP, type=BasetimeType.edge_rtc)],
    ),
}


@pytest.mark.parametrize("name", sorted(cases_of("basetimes")))
def test_a_call_is_the_recorded_one(peer: Loopback, name: str) -> None:
    call, expected = CALLS[name]
    assert repeat(peer, name, call) == expected


def test_a_base_time_is_there_once_it_was_set(connection: Connection, measurement: Measurement) -> None:
    resource, uuid = connection.measurement_basetimes, measurement.uuid
    with pytest.raises(NotFound):
        resource.get(uuid, "gps")
    resource.update(uuid, basetime="2020-07-09T08:34:11.000000001Z", type="gps")
    assert resource.get(measurement_uuid=uuid, type="gps").basetime == pd.Timestamp("2020-07-09T08:34:11.000000001Z")
    assert {each.type for each in resource.list(uuid)} == {BasetimeType.manual, BasetimeType.gps}
    assert connection.measurements.get(uuid).basetime == pd.Timestamp(BASETIME)
    connection.measurements.update(uuid, basetime_type=BasetimeType.gps)
    assert connection.measurements.get(uuid).basetime == pd.Timestamp("2020-07-09T08:34:11.000000001Z")


def test_a_base_time_that_is_not_in_use_can_be_deleted(connection: Connection, measurement: Measurement) -> None:
    resource, uuid = connection.measurement_basetimes, measurement.uuid
    resource.update(uuid, BASETIME, BasetimeType.ntp)
    resource.delete(uuid, BasetimeType.ntp)
    assert [each.type for each in resource.list(uuid)] == [BasetimeType.manual]
    with pytest.raises(ApiError) as caught:
        resource.delete(uuid, "manual")
    assert caught.value.status == 409


def test_all_base_times_are_one_frame(connection: Connection, measurement: Measurement) -> None:
    connection.measurement_basetimes.update(measurement.uuid, "2020-07-09T08:34:11Z", "ntp")
    frame = connection.measurement_basetimes.frame(measurement.uuid)
    listed = connection.measurement_basetimes.list(measurement.uuid)
    assert list(frame.columns) == [each.name for each in dataclasses.fields(MeasurementBasetime)]
    assert frame["type"].tolist() == [each.type.name for each in listed if each.type is not None]
    assert frame["basetime"].tolist() == [each.basetime for each in listed]


def test_what_cannot_work_is_refused_before_anything_is_sent() -> None:
    resource = Connection("http://127.0.0.1:1", "token", retries=0).measurement_basetimes
    for call in (
        lambda: resource.get(UUID, "sundial"),
        lambda: resource.delete(UUID, "sundial"),
        lambda: resource.update(UUID, BASETIME, "sundial"),
    ):
        with pytest.raises(UsageError, match="basetime type 'sundial' is unknown"):
            call()
    with pytest.raises(UsageError, match="has no time zone"):
        resource.update(UUID, "2020-07-09T08:34:10")
    with pytest.raises(UsageError, match="uuid: 'x' is no UUID"):
        resource.list("x")
