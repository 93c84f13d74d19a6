"""What users make first, and which client is the default."""

from __future__ import annotations

import gc
import inspect
import operator
import pickle
from collections.abc import Callable, Iterator

import pandas as pd
import pytest

import intdash_frames as idf
from intdash_frames import Unauthorized, UsageError
from intdash_frames.client import newest

FRAME = pd.DataFrame({"a": [1.0, 2.0]}, index=pd.date_range("2024-01-01", periods=2, freq="s", tz="UTC"))


@pytest.fixture(scope="module")
def server() -> Iterator[idf.LocalServer]:
    with idf.LocalServer(edges={"demo": "token", "other": "secret-of-other"}, users={"alice": "pass-word"}) as running:
        yield running


@pytest.fixture(autouse=True)
def _no_client(monkeypatch: pytest.MonkeyPatch) -> None:
    """No client of another test, and none from the environment."""
    monkeypatch.delenv("INTDASH_URL", raising=False)
    monkeypatch.delenv("INTDASH_EDGE_TOKEN", raising=False)
    monkeypatch.setattr(newest, "_newest", [])
    monkeypatch.setattr(newest, "_older", [])


def test_the_newest_client_is_the_default(server: idf.LocalServer) -> None:
    first, second = server.client(), server.client("other")
    assert idf.default_client() is second
    assert FRAME.intdash.store().measurement.edge_uuid == second.edges.me().uuid
    second.close()
    assert idf.default_client() is first
    assert FRAME.intdash.store().measurement.edge_uuid == first.edges.me().uuid
    first.close()
    first.close()
    with pytest.raises(UsageError, match="INTDASH_URL"):
        idf.default_client()


def test_closing_an_older_client_leaves_the_newest(server: idf.LocalServer) -> None:
    first, second, third = server.client(), server.client(), server.client()
    second.close()
    assert idf.default_client() is third
    third.close()
    assert idf.default_client() is first
    first.close()


def test_the_newest_client_is_kept_alive_and_older_ones_are_not(server: idf.LocalServer) -> None:
    url = server.client().url
    gc.collect()
    assert idf.default_client().url == url
    newer = server.client()
    gc.collect()
    newer.close()
    with pytest.raises(UsageError):
        idf.default_client()


def test_leaving_a_with_block_closes_the_client(server: idf.LocalServer) -> None:
    with server.client() as client:
        assert idf.default_client() is client
    with pytest.raises(UsageError, match="INTDASH_URL"):
        FRAME.intdash.store()


def test_without_a_client_the_environment_says_how_to_make_one(server: idf.LocalServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INTDASH_URL", server.url)
    monkeypatch.setenv("INTDASH_EDGE_TOKEN", "token")
    assert FRAME.intdash.store().points == 2
    with idf.default_client() as client:
        assert client.edges.me().name == "demo"
        assert idf.default_client() is client


def test_a_client_shows_its_server_and_no_credentials(server: idf.LocalServer) -> None:
    with server.client("other") as client:
        assert repr(client) == f"Client({server.url!r})"
        assert client.url == server.url
        assert client.version == "1.17.0"
        assert b"secret-of-other" not in pickle.dumps(client.connection)
        stored = FRAME.intdash.store()
        frame = client.frames(stored.measurement).to_pandas()
        for shown in (repr(client.frames(stored.measurement)), repr(stored), repr(frame.attrs), repr(vars(client))):
            assert "secret-of-other" not in shown


def test_a_client_may_log_in_with_a_name(server: idf.LocalServer) -> None:
    with idf.Client(server.url, username="alice", password="pass-word") as client:
        assert {edge.name for edge in client.edges.list()} >= {"demo", "other"}
    with idf.Client(server.url, username="alice", password="wrong") as client, pytest.raises(Unauthorized):
        client.edges.list()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"url": "ftp://x"}, "url"),
        ({"url": "http://x", "retries": -1}, "retries"),
        ({"url": "http://x", "tz": "Mars"}, "tz="),
        ({"url": "http://x", "timeout": 0}, "timeout"),
        ({"url": "http://x", "edge_token": ""}, "edge_token"),
        ({"url": "http://x", "edge_token": "a", "username": "b", "password": "c"}, "edge_token"),
    ],
)
def test_a_client_that_cannot_work_is_refused(options: dict[str, object], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        idf.Client(**{"edge_token": "token", **options})
    with pytest.raises(UsageError):
        idf.default_client()


# As `inspect.signature` gives the methods of the vendor's SDK 2.1.1.
VENDOR = {
    "edges.me": "()",
    "edges.list": "(name=None, nickname=None, type=None, email=None, disabled=False, sort='name', order='asc', limit=100, page=1,"
    " iterator=False)",
    "measurement_basetimes.get": "(measurement_uuid, type)",
    "measurement_basetimes.update": "(measurement_uuid, basetime, type='manual')",
    "measurement_basetimes.delete": "(measurement_uuid, type)",
    "measurement_basetimes.list": "(measurement_uuid)",
    "measurement_markers.create": "(measurement_uuid, type, detail, name=None, description=None, tag=None)",
    "measurement_markers.get": "(marker_uuid)",
    "measurement_markers.update": "(marker_uuid, measurement_uuid=None, name=None, description=None, type=None, detail=None,"
    " tag=None)",
    "measurement_markers.delete": "(marker_uuid, measurement_uuid=None)",
    "measurement_markers.list": "(measurement_uuid)",
    "signals.create": "(label, data_type, data_id, channel, conversion, display, description='')",
    "signals.get": "(uuid)",
    "signals.update": "(uuid, label=None, description=None, data_type=None, data_id=None, channel=None, conversion=None,"
    " display=None)",
    "signals.delete": "(uuid)",
    "signals.list": "(label=None, sort='label', order='asc', limit=100, page=1, iterator=False)",
    "captures.create": "(name, start, duration=None, shared=True, description='')",
    "captures.get": "(uuid)",
    "captures.update": "(uuid, name=None, start=None, duration=None, shared=None, description=None)",
    "captures.delete": "(uuid)",
    "captures.list": "(start, end, name=None, sort='name', order='asc', limit=100, page=1, iterator=False)",
    "units.store": "(measurement_uuid, units, serial_number=0, final=True)",
    "units.list": "(start, end, measurement_uuid=None, edge_uuid=None, edge_name=None, id_queries=None, labels=None, limit=None,"
    " iterator=False, exit_on_error=False)",
    "data_points.store": "(measurement_uuid, data_points, serial_number=0, final=True)",
    "data_points.list": "(start, end, measurement_uuid=None, edge_uuid=None, edge_name=None, id_queries=None, labels=None,"
    " limit=None, iterator=False, exit_on_error=False)",
}
VENDOR_CLASSES = {
    "DataFilter": "(data_type, channel, data_id=None)",
    "DataPoint": "(elapsed_time, data_type, channel, data_payload)",
    "DownstreamSpec": "(src_edge_uuid, filters, dst_edge_uuid='00000000-0000-0000-0000-000000000000')",
    "IdQuery": "(data_type='*', channel='*', data_id='*')",
    "Unit": "(elapsed_time, channel, data, measurement_uuid=None)",
    "UpstreamSpec": "(src_edge_uuid, dst_edge_uuids=None, resend=False, store=False,"
    " measurement_uuid='00000000-0000-0000-0000-000000000000')",
}


def bare(function: Callable[..., object]) -> str:
    """A signature without its annotations."""
    parameters = inspect.signature(function).parameters.values()
    return str(inspect.Signature([each.replace(annotation=inspect.Parameter.empty) for each in parameters]))


@pytest.mark.parametrize("name", VENDOR)
def test_a_call_takes_the_vendors_arguments(name: str) -> None:
    with idf.Client("http://127.0.0.1:1", "token") as client:
        assert bare(operator.attrgetter(name)(client)) == VENDOR[name]


@pytest.mark.parametrize("name", VENDOR_CLASSES)
def test_a_class_takes_the_vendors_arguments(name: str) -> None:
    assert bare(getattr(idf, name)) == VENDOR_CLASSES[name]


def test_every_resource_has_its_lists_as_frames() -> None:
    resources = {name.partition(".")[0] for name in VENDOR} | {"measurements"}
    with idf.Client("http://127.0.0.1:1", "token") as client:
        for name in resources:
            resource = getattr(client, name)
            listed, framed = (inspect.signature(method).parameters for method in (resource.list, resource.frame))
            assert set(framed) == set(listed) - {"limit", "page", "iterator"}
