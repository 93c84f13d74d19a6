"""The embedded server as users make it: empty, of a file, or of the folder of an export."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

import intdash_frames as idf
from intdash_frames import UsageError
from tests.connect.twin import Recorded

FRAME = pd.DataFrame({"a": [1.0, 2.0]}, index=pd.date_range("2024-01-01", periods=2, freq="s", tz="UTC"))


@pytest.fixture(scope="module")
def server() -> Iterator[idf.LocalServer]:
    with idf.LocalServer(edges={"demo": "token", "other": "secret-of-other"}) as running:
        yield running


def test_a_local_server_shows_its_streams(server: idf.LocalServer) -> None:
    assert server.streams().empty
    with server.client() as client, client.connect_websocket() as stream:
        edge = client.edges.me().uuid
        stream.open_downstreams([idf.DownstreamSpec(edge, [idf.DataFilter("float", 1)])], [print])
        [row] = server.streams().to_dict("records")
        assert (row["direction"], row["account"], row["src_edge_uuid"]) == ("down", edge, edge)
        assert (row["points"], row["dropped"]) == (0, 0)


def test_a_local_server_knows_its_edges(server: idf.LocalServer) -> None:
    assert repr(server) == f"LocalServer({server.url!r})"
    with server.client() as demo, server.client("other", tz="Asia/Tokyo") as other:
        assert (demo.edges.me().name, other.edges.me().name) == ("demo", "other")
        assert str(other.connection.tz) == "Asia/Tokyo"
    with pytest.raises(UsageError, match="edge 'nobody' is not one of this server's: 'demo', 'other'"):
        server.client("nobody")


def test_an_injected_fault_happens(server: idf.LocalServer) -> None:
    server.inject(idf.Fault.status(404, path="/api/v1/edges/me"))
    with server.client() as client:
        with pytest.raises(idf.NotFound):
            client.edges.me()
        assert client.edges.me().name == "demo"


def test_two_servers_share_nothing() -> None:
    with idf.LocalServer() as first, idf.LocalServer() as second:
        assert first.url != second.url
        with first.client() as client:
            uuid = FRAME.intdash.store().measurement.uuid
            assert client.frames(uuid).report.points == 2
        with second.client() as client, pytest.raises(idf.NotFound):
            client.frames(uuid).to_arrow()


def test_a_folder_is_served_with_its_edges_and_can_be_read_by_any_client(
    folder: Path, origin: idf.Client, recorded: Recorded
) -> None:
    with idf.LocalServer(folder) as server, server.client() as client:
        assert client.edges.me().name == "demo"
        assert {each.name for each in client.edges.list()} == {"demo", "other"}
        assert client.frames(recorded.uuids).to_arrow() == origin.frames(recorded.uuids).to_arrow()
        assert client.measurements.list() == origin.measurements.list()
        with pytest.raises(idf.Unauthorized, match="is a recording and stays as it is"):
            client.measurements.update(recorded.dense, name="x")


def test_an_edge_that_the_folder_has_not_may_read_it(folder: Path, recorded: Recorded) -> None:
    with idf.LocalServer(folder, edges={"reader": "secret"}, users={"alice": "pass word"}) as server:
        for credentials in ({"edge_token": "secret"}, {"username": "alice", "password": "pass word"}):
            with idf.Client(server.url, **credentials) as client:
                assert client.frames(recorded.dense).report.points == 400


def test_a_folder_takes_no_points_of_a_stream(folder: Path, recorded: Recorded) -> None:
    with (
        idf.LocalServer(folder) as server,
        server.client() as client,
        pytest.raises(idf.IntdashError),
        client.upstream(recorded.dense, reconnect=False) as up,
    ):
        up.write(FRAME.set_index(pd.to_timedelta([0, 1], unit="s")))


def test_a_folder_that_is_no_export_is_not_served(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="has no manifest"):
        idf.LocalServer(tmp_path)
    with pytest.raises(UsageError, match="speed='fast'"):
        idf.LocalServer(tmp_path, speed="fast")  # type: ignore[arg-type]
