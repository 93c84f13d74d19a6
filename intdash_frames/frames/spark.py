"""Frames in Apache Spark: ``spark.read.format("intdash")``, on the Python data source API of PySpark 4.

::

    idf.spark.register(spark)
    frame = spark.read.format("intdash").options(url=..., source=uuid, signals="can:*/*", partitions=8).load()

Options
-------
url
    The server; INTDASH_URL if not given.
source, edge
    UUIDs of measurements, separated by commas; or the name or UUID of an edge. One of the two.
signals, labels
    Patterns, and names of signal definitions, separated by commas.
start, end, tz, head
    As for `Client.frames`.
partitions
    How many tasks read. Default: a million points each.
columns
    ``"envelope"``: the columns of `Frames.to_arrow`. ``"typed"``: those of `Frames.lazy`. Default: typed where `signals` are of
    one data type, else the envelope.
verify, retries
    As for `Client`; ``verify`` is ``true``, ``false`` or a file.

There is no option for a token: options stand in query plans, in the web interface and in event logs. Every Python process of
Spark takes it from INTDASH_EDGE_TOKEN: on the driver from its environment, on executors from
``spark.executorEnv.INTDASH_EDGE_TOKEN`` or whatever else sets the environment there.

Stamps of Spark have microseconds. So beside each column of stamps, cut to those, there is one with all nanoseconds since the
epoch as a long: ``time`` and ``time_ns``. Spark has no unsigned numbers: they come in the next wider type. The order of rows is
that of time within a task; Spark does not promise one between tasks.
"""

from __future__ import annotations

from typing import Any

from intdash_frames.errors import MissingDependency

__all__ = ["register"]


def register(spark: Any) -> None:
    """Make ``spark.read.format("intdash")`` known to a session.

    Parameters
    ----------
    spark : pyspark.sql.SparkSession

    Raises
    ------
    MissingDependency
        Without ``pip install 'intdash-frames[spark]'``.
    """
    try:
        from intdash_frames.frames.spark_source import IntdashDataSource
    except ModuleNotFoundError as exc:
        raise MissingDependency(exc.name or "pyspark", "spark") from exc
    spark.dataSource.register(IntdashDataSource)
