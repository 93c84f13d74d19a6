from __future__ import annotations

import pandas as pd
import pytest

import intdash_frames as idf
from intdash_frames.errors import NotFound
from intdash_frames.export.wanted import wanted
from tests.frames.stored import BASETIME_NS, float_row, store_rows

ABSENT = "414c343c-1e2f-7ed4-c2ce-78e57311d8a3"


def test_a_range_is_cut_to_what_the_measurement_has(client: idf.Client) -> None:
    uuid = store_rows(client, [float_row(5, 1.0), float_row(7_000, 2.0)])
    query = client.frames(uuid, start=pd.Timestamp(0, tz="UTC"), end=pd.Timestamp("2099-01-01", tz="UTC"))._query
    (found,) = wanted(client.connection, query)
    assert (found.uuid, found.start_ns, found.end_ns) == (uuid, BASETIME_NS, BASETIME_NS + 8_000)


def test_a_measurement_named_twice_is_wanted_once(client: idf.Client) -> None:
    uuid = store_rows(client, [float_row(5, 1.0)])
    assert len(wanted(client.connection, client.frames([uuid, uuid])._query)) == 1


def test_all_that_belongs_to_a_measurement_is_in_its_record(client: idf.Client) -> None:
    uuid = store_rows(client, [float_row(5, 1.0)])
    client.measurement_basetimes.update(uuid, pd.Timestamp(BASETIME_NS + 9, unit="ns", tz="UTC"), "ntp")
    client.measurement_markers.create(uuid, "point", idf.MeasurementMarkerDetailPoint(pd.Timedelta("1s")), "here")
    (found,) = wanted(client.connection, client.frames(uuid)._query)
    assert {each["type"] for each in found.record["basetimes"]} == {"manual", "ntp"}
    assert [each["name"] for each in found.record["markers"]] == ["here"]


def test_a_measurement_that_is_not_there_is_an_error(client: idf.Client) -> None:
    with pytest.raises(NotFound):
        wanted(client.connection, client.frames(ABSENT)._query)
