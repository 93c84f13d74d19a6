from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

import intdash_frames as idf
from intdash_frames.errors import IncompleteRead, UsageError
from intdash_frames.export.sync import sync
from tests.export.exporting import SMALL, digests, export_small, some_rows, stored_points
from tests.frames.conftest import CountingSession
from tests.frames.stored import BASETIME_NS, contents, store_rows

DAY_NS = 86_400 * 10**9


@pytest.fixture
def recording() -> Iterator[tuple[idf.Client, list[str]]]:
    """The client of an edge that has recorded nothing yet, and the paths of the requests it sends."""
    with (
        idf.LocalServer(edges={"car": "car-token"}) as server,
        CountingSession() as session,
        idf.Client(server.url, "car-token", session=session) as client,
    ):
        yield client, session.sent


def data_requests(sent: list[str]) -> list[str]:
    return [path for path in sent if "/data?" in path]


def of_edge(client: idf.Client) -> list[tuple[object, ...]]:
    start = pd.Timestamp(BASETIME_NS - DAY_NS, unit="ns", tz="UTC")
    return contents(client.frames(edge="car", start=start).to_arrow())


def test_only_what_is_new_or_has_grown_is_read(recording: tuple[idf.Client, list[str]], tmp_path: Path) -> None:
    client, sent = recording
    rows = some_rows(80, seed=1)
    uuids = [store_rows(client, rows, basetime_ns=BASETIME_NS + number * DAY_NS) for number in range(3)]
    assert client.sync("car", tmp_path).measurements == tuple(sorted(uuids))
    assert stored_points(tmp_path) == of_edge(client)

    sent.clear()
    assert client.sync("car", tmp_path).measurements == ()
    assert data_requests(sent) == []

    uuids.append(store_rows(client, rows, basetime_ns=BASETIME_NS + 9 * DAY_NS))
    client.data_points.store(uuids[1], [idf.DataPoint(pd.Timedelta("1h"), 11, 1, b"\x01x" + b"\0" * 8)])
    sent.clear()
    report = client.sync("car", tmp_path)
    assert report.measurements == tuple(sorted([uuids[1], uuids[3]]))
    assert {path.split("name=")[1][:36] for path in data_requests(sent)} == {uuids[1], uuids[3]}
    assert stored_points(tmp_path) == of_edge(client)


def test_points_that_came_late_are_read_too(recording: tuple[idf.Client, list[str]], tmp_path: Path) -> None:
    client, _ = recording
    rows = some_rows(80, seed=2)
    uuid = store_rows(client, rows[40:])
    sync(client.connection, "car", tmp_path, limits=SMALL)
    late = [idf.DataPoint(pd.Timedelta(row.elapsed_ns, "ns"), row.data_type, row.channel, row.payload) for row in rows[:40]]
    client.data_points.store(uuid, late)
    client.sync("car", tmp_path)
    assert stored_points(tmp_path) == of_edge(client)


def test_a_synchronized_folder_is_that_of_an_export(recording: tuple[idf.Client, list[str]], tmp_path: Path) -> None:
    client, _ = recording
    uuids = [store_rows(client, some_rows(90, seed=number)) for number in range(2)]
    sync(client.connection, "car", tmp_path / "one", limits=SMALL)
    export_small(client, uuids, tmp_path / "other")
    assert digests(tmp_path / "one") == digests(tmp_path / "other")


def test_the_signals_that_a_folder_was_begun_with_hold_on(recording: tuple[idf.Client, list[str]], tmp_path: Path) -> None:
    client, _ = recording
    first = store_rows(client, some_rows(50, seed=3))
    client.export(first, tmp_path, "can:*/*", decode=False)
    second = store_rows(client, some_rows(50, seed=4), basetime_ns=BASETIME_NS + DAY_NS)
    assert client.sync("car", tmp_path).measurements == (second,)
    assert {path.name for path in tmp_path.glob("data_type=*")} == {"data_type=can"}


def test_a_file_that_is_gone_comes_back(recording: tuple[idf.Client, list[str]], tmp_path: Path) -> None:
    client, _ = recording
    store_rows(client, some_rows(90, seed=5))
    sync(client.connection, "car", tmp_path, limits=SMALL)
    before = digests(tmp_path)
    sorted(tmp_path.rglob("*.parquet"))[3].unlink()
    client.sync("car", tmp_path)
    assert digests(tmp_path) == before


def test_what_failed_is_read_the_next_time(tmp_path: Path) -> None:
    with idf.LocalServer(edges={"car": "car-token"}) as server, server.client(retries=0) as client:
        store_rows(client, some_rows(90, seed=6))
        store_rows(client, some_rows(90, seed=7))
        server.inject(idf.Fault.status(503, path="/api/v1/data"))
        with pytest.raises(IncompleteRead):
            client.sync("car", tmp_path)
        assert client.sync("car", tmp_path).complete
        assert stored_points(tmp_path) == of_edge(client)


def test_an_edge_without_measurements_is_a_folder_without_files(recording: tuple[idf.Client, list[str]], tmp_path: Path) -> None:
    client, _ = recording
    assert client.sync("car", tmp_path).complete
    assert sorted(digests(tmp_path)) == ["README.md", "manifest.json"]


def test_a_folder_of_a_range_cannot_be_kept_up_to_date(recording: tuple[idf.Client, list[str]], tmp_path: Path) -> None:
    client, _ = recording
    uuid = store_rows(client, some_rows(20))
    client.export(uuid, tmp_path, end=pd.Timedelta("1s"))
    with pytest.raises(UsageError, match="range of time"):
        client.sync("car", tmp_path)


@pytest.mark.parametrize("wrong", [{"errors": "no"}, {"path": 3}, {"edge": "nobody"}, {"progress": 3}])
def test_arguments_that_cannot_work_are_refused(
    recording: tuple[idf.Client, list[str]], tmp_path: Path, wrong: dict[str, object]
) -> None:
    client, _ = recording
    with pytest.raises(UsageError):
        client.sync(**{"edge": "car", "path": tmp_path / "new", **wrong})
    assert not (tmp_path / "new").exists()
