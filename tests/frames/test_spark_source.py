"""Spark reads what Arrow holds, with no digit of a stamp lost and no token in a plan. Needs Java 17 and PySpark."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pytest

import intdash_frames as idf
from intdash_frames import Fault, UsageError
from tests.frames.stored import BASETIME_NS, can_row, float_row, int_row, sensor_row, store_rows, string_row

pytest.importorskip("pyspark", minversion="4.0", reason="PySpark is not installed; `make test` does so where there is Java")

from intdash_frames.frames.spark_source import IntdashDataSource

TOKEN = "a-secret-token"
# PySpark 4 says so of pandas 3, wherever it touches pandas; what is used of it here is Arrow.
pytestmark = pytest.mark.filterwarnings("ignore:PySpark does not yet fully support pandas:FutureWarning")


def java_version() -> int:
    java = os.path.join(os.environ["JAVA_HOME"], "bin", "java") if "JAVA_HOME" in os.environ else shutil.which("java")
    if java is None or not os.path.exists(java):
        return 0
    said = re.search(r'version "(\d+)', subprocess.run([java, "-version"], capture_output=True, text=True, check=False).stderr)
    return int(said[1]) if said else 0


needs_java = pytest.mark.skipif(
    java_version() < 17, reason=f"Java 17 or newer is needed for Spark, found {java_version() or 'none'}"
)


@pytest.fixture(scope="module")
def served() -> Iterator[tuple[idf.LocalServer, idf.Client]]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("INTDASH_EDGE_TOKEN", TOKEN)
        with idf.LocalServer(edges={"demo": TOKEN}) as server, server.client() as client:
            yield server, client


@pytest.fixture(scope="module")
def uuid(served: tuple[idf.LocalServer, idf.Client]) -> str:
    rows = []
    for number in range(300):
        rows += [float_row(1001 * number, number / 3, f"s{number % 3}"), can_row(1001 * number + 1, 0x800001A0 + number % 2)]
        rows += [string_row(1001 * number + 2, f"é{number}"), sensor_row(1001 * number + 3, 1, (1, 2, number))]
    return store_rows(served[1], rows)


@pytest.fixture(scope="module")
def spark(served: tuple[idf.LocalServer, idf.Client]) -> Iterator[Any]:
    from pyspark.sql import SparkSession

    with pytest.MonkeyPatch.context() as patch:
        for name, value in {"PYSPARK_PYTHON": sys.executable, "SPARK_LOCAL_IP": "127.0.0.1"}.items():
            patch.setenv(name, value)
        builder = SparkSession.builder.master("local[2]").appName("intdash-frames")
        settings = {"spark.ui.enabled": "false", "spark.sql.session.timeZone": "Asia/Tokyo", "spark.log.level": "OFF"}
        settings |= {"spark.driver.host": "127.0.0.1", "spark.ui.showConsoleProgress": "false", "spark.task.maxFailures": "1"}
        session = builder.config(map=settings).getOrCreate()
        idf.spark.register(session)
        yield session
        session.stop()


def load(spark: Any, served: tuple[idf.LocalServer, idf.Client], **options: Any) -> Any:
    return spark.read.format("intdash").options(url=served[0].url, **options).load()


def rows_of(table: pa.Table) -> list[dict[str, Any]]:
    return sorted(table.to_pylist(), key=lambda row: (row["time_ns"], str(row["data_id"])))


def in_spark(table: pa.Table) -> list[dict[str, Any]]:
    """What a table of ours should be in Spark."""
    numbers = table["time"].cast(pa.int64())
    cut = numbers.cast(pa.timestamp("ns", "UTC")).cast(pa.timestamp("us", "UTC"), safe=False)
    return rows_of(table.set_column(0, "time", cut).append_column("time_ns", numbers))


@needs_java
@pytest.mark.parametrize("partitions", [1, 5])
def test_the_envelope_comes_whole(spark: Any, served: tuple[idf.LocalServer, idf.Client], uuid: str, partitions: int) -> None:
    frame = load(spark, served, source=uuid, partitions=partitions)
    assert frame.dtypes == [
        ("time", "timestamp"),
        ("time_ns", "bigint"),
        ("measurement_uuid", "string"),
        ("data_type", "smallint"),
        ("channel", "smallint"),
        ("data_id", "string"),
        ("payload", "binary"),
    ]
    got = rows_of(frame.toArrow())
    assert got == in_spark(served[1].frames(uuid).to_arrow())
    assert any(row["time_ns"] % 1000 for row in got)


@needs_java
@pytest.mark.parametrize("signals", ["float:*/*", "can:*/*", "string:*/*", "general_sensor:*/*"])
def test_one_data_type_comes_in_its_columns(
    spark: Any, served: tuple[idf.LocalServer, idf.Client], uuid: str, signals: str
) -> None:
    got = rows_of(load(spark, served, source=uuid, signals=signals, partitions=3).toArrow())
    assert got == in_spark(served[1].frames(uuid, signals).to_polars().to_arrow())


@needs_java
def test_several_data_types_come_in_columns_if_asked_for(
    spark: Any, served: tuple[idf.LocalServer, idf.Client], uuid: str
) -> None:
    got = rows_of(load(spark, served, source=uuid, columns="typed").toArrow())
    assert got == in_spark(served[1].frames(uuid).to_polars().to_arrow())


@needs_java
def test_spark_computes_over_a_range_of_an_edge(spark: Any, served: tuple[idf.LocalServer, idf.Client], uuid: str) -> None:
    start, end = (f"2020-07-09T08:34:10.8326{us}Z" for us in ("10", "50"))
    frame = load(spark, served, edge="demo", start=start, end=end, signals="float:*/s1, float:*/s2", partitions=2)
    got = {row["data_id"]: row["count"] for row in frame.groupBy("data_id").count().collect()}
    wanted = served[1].frames(edge="demo", start=start, end=end, signals=["float:*/s1", "float:*/s2"]).to_polars()
    assert got == {data_id: wanted.filter(wanted["data_id"] == data_id).height for data_id in ("s1", "s2")}
    assert frame.rdd.getNumPartitions() == 2


@needs_java
def test_no_token_is_in_a_plan(spark: Any, served: tuple[idf.LocalServer, idf.Client], uuid: str) -> None:
    frame = load(spark, served, source=uuid, partitions=2)
    assert TOKEN not in frame._jdf.queryExecution().toString()


@needs_java
def test_an_incomplete_read_fails_the_task_and_says_why(spark: Any, served: tuple[idf.LocalServer, idf.Client]) -> None:
    from pyspark.errors import PySparkException

    with idf.LocalServer(edges={"demo": TOKEN}) as server, server.client() as client:
        uuid = store_rows(client, [int_row(1000 * number, number) for number in range(100)])
        frame = load(spark, (server, client), source=uuid, partitions=1, retries=0)
        server.inject(Fault.cut_body(at=0.5, times=1000, path="/api/v1/data"))
        with pytest.raises(PySparkException, match="IncompleteRead"):
            frame.collect()


@needs_java
def test_spark_reads_an_exported_folder_by_itself(
    spark: Any, served: tuple[idf.LocalServer, idf.Client], uuid: str, tmp_path: Path
) -> None:
    client = served[1]
    client.export(uuid, tmp_path)
    spark.conf.set("spark.sql.legacy.parquet.nanosAsLong", "true")  # Spark has no nanoseconds
    for kind, column in (("float", "value"), ("string", "value"), ("can", "data")):
        wanted = client.frames(uuid, f"{kind}:*/*").to_polars()
        got = spark.read.parquet(str(tmp_path / f"data_type={kind}")).orderBy("time").collect()
        assert [row["time"] for row in got] == wanted["time"].to_physical().to_list()
        assert [row[column] for row in got] == wanted[column].to_list()
        assert [row["data_id"] for row in got] == wanted["data_id"].cast(pl.String).to_list()
        assert {row["measurement"] for row in got} == {uuid}
        assert all(row["payload"] for row in got)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"token": TOKEN}, "would stand in query plans.*INTDASH_EDGE_TOKEN"),
        ({"edge_token": TOKEN}, "would stand in query plans"),
        ({"signal": "can:*/*"}, "'signal' is not known; expected some of url"),
        ({"columns": "wide"}, "columns='wide'"),
        ({"head": "ten"}, "head='ten'; expected a whole number"),
        ({"start": "2020-01-01"}, "no time zone"),
        ({"signals": "flaot:*/*"}, "no data type is called"),
        ({"columns": "typed", "head": "5"}, "does not tell"),
    ],
)
def test_options_that_cannot_work_are_refused_without_a_secret(
    served: tuple[idf.LocalServer, idf.Client], uuid: str, options: dict[str, str], says: str
) -> None:
    with pytest.raises(UsageError, match=says) as caught:
        IntdashDataSource({"url": served[0].url, "source": uuid, **options}).schema()
    assert TOKEN not in str(caught.value)


def test_stamps_before_1970_are_cut_towards_the_past() -> None:
    from intdash_frames.frames.spark_source import to_spark

    table = to_spark(pa.table({"time": pa.array([-1, 1999, BASETIME_NS], pa.timestamp("ns", "UTC"))}))
    assert table["time"].cast(pa.int64()).to_pylist() == [-1, 1, BASETIME_NS // 1000]
    assert table["time_ns"].to_pylist() == [-1, 1999, BASETIME_NS]
