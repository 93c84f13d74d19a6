from __future__ import annotations

import pandas as pd
import pytest

import intdash_frames as idf
from intdash_frames.errors import ApiError, NotFound
from intdash_frames.export.wanted import edges_of, signals_of, wanted
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


def test_the_edges_of_what_is_wanted_come_without_what_reading_changes(server: idf.LocalServer, client: idf.Client) -> None:
    uuid = store_rows(client, [float_row(5, 1.0)])
    edges = edges_of(client.connection, wanted(client.connection, client.frames(uuid)._query))
    me = client.edges.me()
    assert [(each["uuid"], each["name"], each["last_login_at"]) for each in edges.values()] == [(me.uuid, "demo", None)]
    assert edges_of(client.connection, []) == {}


def test_a_server_that_refuses_its_edges_and_signals_has_none_to_be_kept() -> None:
    with idf.LocalServer() as server, server.client(retries=0) as client:
        uuid = store_rows(client, [float_row(5, 1.0)])
        found = wanted(client.connection, client.frames(uuid)._query)
        server.inject(idf.Fault.status(403, times=2, path="/api/v1/edges"))
        server.inject(idf.Fault.status(404, path="/api/v1/signals"))
        assert edges_of(client.connection, found) == {}
        assert signals_of(client.connection) == []
        server.inject(idf.Fault.status(503, path="/api/v1/signals"))
        with pytest.raises(ApiError, match="503"):
            signals_of(client.connection)
