"""Dask workers, in processes of their own, make the frame that pandas makes."""

from __future__ import annotations

import pickle
import sys
from collections.abc import Iterator
from typing import Any

import pandas as pd
import pytest

import intdash_frames as idf
from intdash_frames import DataType, Fault, MissingDependency, Signal
from intdash_frames.frames.signals import apply
from intdash_frames.model import ConversionSubBytes, Display
from intdash_frames.transport.retry import RetryPolicy
from tests.frames.stored import Row, can_row, float_row, int_row, sensor_row, store_rows, string_row

dd = pytest.importorskip("dask.dataframe")
distributed = pytest.importorskip("distributed")

TOKEN = "a-secret-token"


@pytest.fixture(scope="module")
def served() -> Iterator[tuple[idf.LocalServer, idf.Client]]:
    with idf.LocalServer(edges={"demo": TOKEN}) as server, server.client(retries=0) as client:
        client.connection.transport.policy = RetryPolicy(0)
        yield server, client


@pytest.fixture(scope="module")
def uuid(served: tuple[idf.LocalServer, idf.Client]) -> str:
    """Points of every kind of column: numbers, text, bytes, nothing; a new signal in the middle, and instants that repeat."""
    rows: list[Row] = []
    for number in range(600):
        at = 1000 * (number // 2)
        rows += [
            float_row(at, float("nan") if number == 7 else number / 3, f"s{number // 250}"),
            string_row(at + 1, f"é{number}"),
        ]
        rows += [int_row(at + 2, number, channel=1 + number % 2)] if number > 400 else []
        rows += [can_row(at + 3, number % 3), sensor_row(at + 4, 1 if number % 2 else 7, (1, 2, 3) if number % 2 else (4,))]
    return store_rows(served[1], rows)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """Two worker processes, which have the token in their environment as real ones would."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("INTDASH_EDGE_TOKEN", TOKEN)
        patch.setenv("PYTHONWARNINGS", "default")
        with (
            distributed.LocalCluster(
                n_workers=2,
                threads_per_worker=1,
                processes=True,
                dashboard_address="127.0.0.1:0",
                host="127.0.0.1",
                silence_logs=50,
            ) as running,
            distributed.Client(running) as made,
        ):
            yield made


@pytest.mark.parametrize("signals", [None, "float:*/*", "can:*/*", "string:*/*", "general_sensor:*/*", ["int:*/*", "string:*/*"]])
@pytest.mark.parametrize("npartitions", [1, 5])
def test_workers_make_the_frame_that_pandas_makes(
    served: tuple[idf.LocalServer, idf.Client], uuid: str, cluster: Any, signals: Any, npartitions: int
) -> None:
    f = served[1].frames(uuid, signals, tz="Asia/Tokyo")
    lazy = f.to_dask(npartitions)
    assert lazy.npartitions == npartitions
    got, wanted = cluster.compute(lazy, sync=True), f.to_pandas()
    pd.testing.assert_frame_equal(got, wanted)
    assert got.attrs == wanted.attrs
    assert lazy.dtypes.map(str).to_dict() == wanted.dtypes.map(str).to_dict()


def test_divisions_are_known_and_right(served: tuple[idf.LocalServer, idf.Client], uuid: str) -> None:
    f = served[1].frames(uuid, "float:*/*", tz="Asia/Tokyo")
    lazy = f.to_dask(4)
    assert lazy.known_divisions
    assert str(lazy.divisions[0].tz) == "Asia/Tokyo"
    for number in range(4):
        part = lazy.get_partition(number).compute(scheduler="sync")
        assert lazy.divisions[number] <= part.index[0]
        assert part.index[-1] < lazy.divisions[number + 1]
    instant = f.to_pandas().index[201]
    pd.testing.assert_frame_equal(
        lazy.loc[instant:].compute(scheduler="sync"), f.to_pandas().loc[instant:], check_categorical=False
    )


def test_dask_computes_what_pandas_computes(served: tuple[idf.LocalServer, idf.Client], uuid: str, cluster: Any) -> None:
    f = served[1].frames(uuid)
    lazy, frame = f.to_dask(3), f.to_pandas()
    got = cluster.compute(lazy.groupby("data_id", observed=True)["int.value"].sum(), sync=True)
    wanted = frame.groupby("data_id", observed=True)["int.value"].sum()
    pd.testing.assert_series_equal(got.sort_index(), wanted.sort_index(), check_index_type=False)
    assert len(lazy) == len(frame)


def test_a_worker_that_fails_is_tried_again(served: tuple[idf.LocalServer, idf.Client], uuid: str, cluster: Any) -> None:
    server, client = served
    f = client.frames(uuid, "can:*/*")
    wanted, lazy = f.to_pandas(), f.to_dask(4)
    server.inject(Fault.cut_body(at=0.3, times=2, path="/api/v1/data"))
    pd.testing.assert_frame_equal(cluster.compute(lazy, sync=True, retries=4), wanted)


def test_an_incomplete_read_is_an_error_of_compute(cluster: Any) -> None:
    with idf.LocalServer(edges={"demo": TOKEN}) as server, server.client(retries=0) as client:
        lazy = client.frames(store_rows(client, [can_row(1000 * number, number % 3) for number in range(100)])).to_dask(2)
        server.inject(Fault.cut_body(at=0.3, times=1000, path="/api/v1/data"))
        with pytest.raises(idf.IncompleteRead, match="but not all") as caught:
            cluster.compute(lazy, sync=True)
    assert isinstance(caught.value.partial, pd.DataFrame)


def test_no_credential_is_in_the_graph(served: tuple[idf.LocalServer, idf.Client], uuid: str) -> None:
    lazy = served[1].frames(uuid).to_dask(3)
    for graph in (lazy, dict(lazy.__dask_graph__()), lazy.optimize()):
        assert TOKEN.encode() not in pickle.dumps(graph)
    assert TOKEN not in str(dict(lazy.__dask_graph__()))


def test_what_can_only_be_known_by_reading_is_read_once(
    served: tuple[idf.LocalServer, idf.Client], uuid: str, cluster: Any
) -> None:
    signal = Signal(
        "", "twice", "", DataType.can, "00000001", 1, ConversionSubBytes(0, 1), Display("", 0.0, 1.0, "%d"), "", None, None
    )
    for f in (served[1].frames(uuid, head=50), apply(served[1].frames(uuid), [signal])):
        lazy = f.to_dask(3)
        assert lazy.npartitions == 3
        pd.testing.assert_frame_equal(cluster.compute(lazy, sync=True), f.to_pandas())


def test_an_undecodable_payload_is_null_as_in_pandas(served: tuple[idf.LocalServer, idf.Client]) -> None:
    rows = [*(float_row(1000 * number, float(number)) for number in range(20)), Row(19_500, DataType.float, 1, b"\x05short")]
    f = served[1].frames(store_rows(served[1], rows), "float:*/*")
    got, wanted = f.to_dask(4).compute(scheduler="sync"), f.to_pandas()
    pd.testing.assert_frame_equal(got, wanted.drop(columns="payload"))


def test_nothing_has_the_columns_of_something(served: tuple[idf.LocalServer, idf.Client], uuid: str) -> None:
    f = served[1].frames(uuid, "float:*/*", start=pd.Timedelta("1ns"), end=pd.Timedelta("2ns"))
    pd.testing.assert_frame_equal(f.to_dask(2).compute(scheduler="sync"), f.to_pandas(), check_categorical=False)


def test_a_million_points_are_a_partition_by_default(served: tuple[idf.LocalServer, idf.Client], uuid: str) -> None:
    assert served[1].frames(uuid).to_dask().npartitions == 1


def test_without_dask_the_error_says_what_to_install(
    served: tuple[idf.LocalServer, idf.Client], uuid: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [each for each in sys.modules if each == "dask" or each.startswith("dask.")]:
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingDependency, match=r"intdash-frames\[dask\]"):
        served[1].frames(uuid).to_dask()
