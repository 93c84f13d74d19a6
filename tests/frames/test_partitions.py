"""Partitions are together the query, each of them may be carried out anywhere, and none of them says a secret."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from itertools import pairwise

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import requests
from hypothesis import given, settings
from hypothesis import strategies as st

import intdash_frames as idf
from intdash_frames import DataType, Fault, IncompleteRead, Partition, Signal, UsageError
from intdash_frames.frames.signals import apply
from intdash_frames.model import ConversionSubBytes, Display
from intdash_frames.transport.retry import RetryPolicy
from tests.frames.stored import BASETIME_NS, can_row, float_row, int_row, store_rows

MANY = 4000


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a worker has."""
    monkeypatch.setenv("INTDASH_EDGE_TOKEN", "token")


@pytest.fixture(scope="module")
def uneven(client: idf.Client) -> str:
    """Nine tenths of the points in the first tenth of the time, and many at one instant."""
    dense = [float_row(1_000 * number, float(number), f"s{number % 3}") for number in range(MANY)]
    sparse = [can_row(4_000_000 + 90_000 * number, number % 5) for number in range(MANY // 10)]
    return store_rows(client, [*dense, *sparse, *(int_row(2_000_000, number) for number in range(50))])


def elsewhere(partition: Partition) -> pa.Table:
    """Read as another process would."""
    return pickle.loads(pickle.dumps(partition)).read()


def rows(tables: list[pa.Table]) -> pl.DataFrame:
    return pl.DataFrame(pl.from_arrow(pa.concat_tables(tables)))


@settings(max_examples=25)
@given(n=st.integers(1, 40), start=st.integers(0, 5_000_000), length=st.integers(1, 50_000_000))
def test_together_partitions_are_the_rows_of_the_query_in_order(
    client: idf.Client, uneven: str, n: int, start: int, length: int
) -> None:
    first = pd.Timestamp(BASETIME_NS + start, tz="UTC")
    f = client.frames(uneven, start=first, end=first + pd.Timedelta(length, "ns"))
    partitions = f.partitions(n)
    assert 1 <= len(partitions) <= n
    assert all(before.end_ns == after.start_ns for before, after in pairwise(partitions))
    assert rows([each.read() for each in partitions]).equals(rows([f.to_arrow()]))


def test_measurements_that_overlap_are_cut_at_the_same_instants(
    client: idf.Client, make: Callable[..., str], uneven: str
) -> None:
    other = make([float_row(500 * number, float(number)) for number in range(1000)], basetime_ns=BASETIME_NS + 777)
    far = make([float_row(500 * number, float(number)) for number in range(1000)], basetime_ns=BASETIME_NS + 10**12)
    f = client.frames([far, uneven, other])
    for n in (1, 2, 7):
        partitions = f.partitions(n)
        assert len(partitions) == n
        assert rows([elsewhere(each) for each in partitions]).equals(rows([f.to_arrow()]))


def test_partitions_have_about_as_many_points_each(client: idf.Client, uneven: str) -> None:
    sizes = [len(each.read()) for each in client.frames(uneven).partitions(8)]
    assert len(sizes) == 8
    assert max(sizes) < 2.5 * np.mean(sizes)


def test_cuts_are_whole_microseconds(client: idf.Client, uneven: str) -> None:
    assert [each.start_ns % 1000 for each in client.frames(uneven).partitions(8)][1:] == [0] * 7


def test_where_density_cannot_be_learnt_times_are_equal(uneven: str) -> None:
    with idf.LocalServer() as server, server.client(retries=0) as client:
        client.connection.transport.policy = RetryPolicy(0)
        uuid = store_rows(client, [float_row(number, 1.0) for number in range(1000)] + [float_row(8_000_000, 1.0)])
        f = client.frames(uuid)
        server.inject(Fault.status(500, times=1, path="/api/v1/data"))
        lengths = [each.end_ns - each.start_ns for each in f.partitions(4)]
        assert max(lengths) - min(lengths) < 2500
        assert sum(len(each.read()) for each in f.partitions(4)) == 1001


def test_a_measurement_is_as_good_as_its_uuid(client: idf.Client, uneven: str) -> None:
    parts = client.frames(client.measurements.get(uneven)).partitions(3)
    assert rows([elsewhere(each) for each in parts]).equals(rows([client.frames(uneven).to_arrow()]))


def test_reading_again_gives_the_same(client: idf.Client, uneven: str) -> None:
    partition = client.frames(uneven).partitions(3)[1]
    copied = pickle.loads(pickle.dumps(pickle.loads(pickle.dumps(partition))))
    assert copied.read().equals(copied.read())
    assert rows([partition.read()]).equals(rows([copied.read()]))


def test_a_partition_that_failed_can_be_read_again() -> None:
    with idf.LocalServer() as server, server.client(retries=0) as client:
        client.connection.transport.policy = RetryPolicy(0)
        f = client.frames(store_rows(client, [float_row(1000 * number, 1.0) for number in range(2000)]))
        (partition,) = f.partitions(1)
        server.inject(Fault.cut_body(at=0.5, path="/api/v1/data"))
        with pytest.raises(IncompleteRead, match="but not all"):
            partition.read()
        assert len(partition.read()) == 2000


@pytest.mark.parametrize("take", [pa.table, pl.DataFrame], ids=["pyarrow", "polars"])
def test_engines_take_a_partition_as_it_is(client: idf.Client, uneven: str, take: Callable[..., object]) -> None:
    partition = client.frames(uneven).partitions(3)[1]
    assert len(take(partition)) == len(partition.read())  # type: ignore[arg-type]
    assert duckdb.sql("SELECT count(*) FROM partition").fetchall() == [(len(partition.read()),)]


def test_all_other_forms_are_those_of_its_frames(client: idf.Client, uneven: str) -> None:
    f = client.frames(uneven, "can:*/*", tz="Asia/Tokyo")
    parts = [each.frames().to_pandas() for each in f.partitions(3)]
    pd.testing.assert_frame_equal(
        pd.concat([each.drop(columns="data_id") for each in parts]),
        f.to_pandas().drop(columns="data_id"),
        check_categorical=False,
    )
    assert parts[0].attrs == f.to_pandas().attrs
    assert f.partitions(3)[0].frames().report.points > 0


def test_a_head_is_one_partition(client: idf.Client, uneven: str) -> None:
    f = client.frames(uneven, head=17)
    (partition,) = f.partitions(5)
    assert rows([elsewhere(partition)]).equals(rows([f.to_arrow()]))


def test_a_computed_frame_gives_its_points_to_its_partitions(
    client: idf.Client, uneven: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    signal = Signal(
        "", "twice", "", DataType.can, "00000001", 1, ConversionSubBytes(0, 1), Display("", 0.0, 1.0, "%d"), "", None, None
    )
    f = apply(client.frames(uneven), [signal])
    partitions = [pickle.dumps(each) for each in f.partitions(4)]
    monkeypatch.delenv("INTDASH_EDGE_TOKEN")
    copies = [pickle.loads(each) for each in partitions]
    assert len(copies) == 4
    assert rows([each.read() for each in copies]).equals(rows([f.to_arrow()]))
    assert "20 points of" in repr(copies[0])
    assert copies[0].frames().to_pandas().attrs == f.to_pandas().attrs


def test_an_instant_of_computed_points_is_in_one_partition(client: idf.Client, make: Callable[..., str]) -> None:
    uuid = make([can_row(1000 * (number // 10), 1) for number in range(40)])
    signal = Signal(
        "", "twice", "", DataType.can, "00000001", 1, ConversionSubBytes(0, 1), Display("", 0.0, 1.0, "%d"), "", None, None
    )
    parts = apply(client.frames(uuid), [signal]).partitions(7)
    assert [len(each.read()) for each in parts] == [10, 10, 10, 10]
    assert all(before.end_ns <= after.start_ns for before, after in pairwise(parts))


def test_nothing_is_one_empty_partition(client: idf.Client, make: Callable[..., str]) -> None:
    f = client.frames([make([]), make([])], start="1980-01-01T00:00:00Z", end="1980-01-02T00:00:00Z")
    (partition,) = f.partitions(4)
    assert (len(elsewhere(partition)), partition.read().schema) == (0, f.to_arrow().schema)


def test_no_pickle_holds_a_credential(server: idf.LocalServer, uneven: str) -> None:
    with idf.LocalServer(edges={"demo": "a-secret-token"}) as other, other.client() as client:
        f = client.frames(store_rows(client, [float_row(1, 1.0)]))
        f.to_arrow()
        for partition in f.partitions(2):
            assert b"a-secret-token" not in pickle.dumps(partition)
            assert "a-secret-token" not in repr(partition)


class Issued:
    """A token source that travels: it gets its token where it is."""

    def token(self) -> str:
        return os.environ["ISSUED_TOKEN"]


def test_a_token_source_travels_with_the_partitions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("INTDASH_EDGE_TOKEN")
    with idf.LocalServer(users={"somebody": "password"}) as server, server.client() as client:
        f = client.frames(store_rows(client, [float_row(1000 * number, 1.0) for number in range(10)]))
        with pytest.raises(UsageError, match="carries no credentials"):
            elsewhere(f.partitions(2)[0])
        there_and_on = [pickle.loads(pickle.dumps(each)) for each in f.partitions(2, token_source=Issued())]
        copies = [pickle.loads(pickle.dumps(each)) for each in there_and_on]
        login = requests.post(server.url + "/api/v1/authn", json={"username": "somebody", "password": "password"}, timeout=10)
        monkeypatch.setenv("ISSUED_TOKEN", login.json()["token"])
        assert rows([each.read() for each in copies]).equals(rows([f.to_arrow()]))
        monkeypatch.setenv("ISSUED_TOKEN", "nobody's")
        with pytest.raises(idf.Unauthorized):
            copies[0].read()


@pytest.mark.parametrize(
    ("source", "says"),
    [(idf.StaticTokenSource("a-secret"), "StaticTokenSource"), (lambda: "token", "cannot be pickled|method token")],
)
def test_a_token_source_that_cannot_travel_is_refused(client: idf.Client, uneven: str, source: object, says: str) -> None:
    with pytest.raises(UsageError, match=says) as caught:
        client.frames(uneven).partitions(2, token_source=source)  # type: ignore[arg-type]
    assert "a-secret" not in str(caught.value)


@pytest.mark.parametrize("n", [0, -1, 1.5, True, "3"])
def test_a_wrong_number_of_partitions_is_refused(client: idf.Client, uneven: str, n: int) -> None:
    with pytest.raises(UsageError, match="partitions; expected"):
        client.frames(uneven).partitions(n)


def test_a_signal_that_is_nowhere_is_refused_before_anything_is_handed_out(client: idf.Client, uneven: str) -> None:
    with pytest.raises(UsageError, match="no signal 'float:1/s9'"):
        client.frames(uneven, ["float:1/s1", "float:1/s9"]).partitions(2)
    parts = client.frames(uneven, ["float:1/s1", "can:1/00000001"]).partitions(8)  # not every part has both
    assert sum(len(each.read()) for each in parts) == len(client.frames(uneven, ["float:1/s1", "can:1/00000001"]).to_arrow())


def test_the_repr_says_what_a_partition_is_of(client: idf.Client, uneven: str) -> None:
    first, second = client.frames(uneven).partitions(2)
    assert repr(first).startswith(f"<Partition 1 of 2: {uneven}, 2020-07-09T08:34:10.832607123Z to ")
    assert repr(second).startswith(f"<Partition 2 of 2: {uneven}, ")
