"""The data source behind `intdash_frames.frames.spark`, which says what its options and columns are; needs PySpark."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql.datasource import DataSource, DataSourceReader, InputPartition
from pyspark.sql.pandas.types import from_arrow_schema

from intdash_frames.client.connection import Connection
from intdash_frames.errors import UsageError
from intdash_frames.frames.envelope import ENVELOPE, to_table
from intdash_frames.frames.partitions import Partition, planned
from intdash_frames.frames.query import Frames, frames
from intdash_frames.frames.shape import Shape
from intdash_frames.frames.survey import Survey

__all__ = ["IntdashDataSource"]

OPTIONS = (
    "url", "source", "edge", "signals", "labels", "start", "end", "tz", "head", "partitions", "columns", "verify", "retries",
)  # fmt: skip
SECRETS = ("token", "edge_token", "password", "username", "token_source")
BATCH_ROWS = 65536


class IntdashDataSource(DataSource):  # type: ignore[misc]
    """What Spark makes of ``format("intdash")`` and its options."""

    @classmethod
    def name(cls) -> str:
        """What ``format`` calls it."""
        return "intdash"

    def schema(self) -> Any:
        """The columns, with Spark's types."""
        return from_arrow_schema(spark_schema(_columns(*_asked(self.options)).schema))

    def reader(self, schema: Any) -> IntdashReader:
        """Give what plans and reads."""
        return IntdashReader(dict(self.options))


class IntdashReader(DataSourceReader):  # type: ignore[misc]
    """Plans on the driver, reads on executors."""

    def __init__(self, options: Mapping[str, str]) -> None:
        self._options = options

    def partitions(self) -> list[Any]:
        """Cut the query."""
        asked, options = _asked(self._options)
        count = options.get("partitions")
        columns = _columns(asked, options)
        return [
            InputPartition((each, columns)) for each in planned(asked, None if count is None else _whole("partitions", count))
        ]

    def read(self, partition: Any) -> Iterator[pa.RecordBatch]:
        """Read one part, as batches of Arrow."""
        part, columns = partition.value
        yield from batches(part, columns)


class Envelope:
    """The columns of the envelope, as a `Shape` gives those of decoded payloads."""

    schema = ENVELOPE

    def table(self, parts: Any) -> tuple[pa.Table, int]:
        """Give points as a table."""
        return to_table(parts), 0


def batches(partition: Partition, columns: Shape | Envelope) -> Iterator[pa.RecordBatch]:
    """Read a partition as batches with the types of Spark."""
    part = partition.frames()
    try:
        part.to_arrow()  # raises if something is missing
        for points in part._points():
            for start in range(0, len(points), BATCH_ROWS):
                table = columns.table([points.slice(start, min(start + BATCH_ROWS, len(points)))])[0]
                yield from to_spark(table).to_batches()
    finally:
        partition.close()


def _asked(options: Mapping[str, str]) -> tuple[Frames, dict[str, str]]:
    """Read the options."""
    given = {name.lower(): str(value) for name, value in options.items()}
    secret = [name for name in SECRETS if name in given]
    if secret:
        raise UsageError(
            f"option {secret[0]!r} would stand in query plans and logs; set the environment variable INTDASH_EDGE_TOKEN of the "
            "driver and of the executors (spark.executorEnv.INTDASH_EDGE_TOKEN) instead"
        )
    unknown = [name for name in given if name not in (*OPTIONS, "path")]
    if unknown:
        raise UsageError(f"option {unknown[0]!r} is not known; expected some of {', '.join(OPTIONS)}")
    verify = {"true": True, "false": False}.get(given.get("verify", "true").lower(), given.get("verify"))
    retries = {"retries": _whole("retries", given["retries"])} if "retries" in given else {}
    connection = Connection(given.get("url"), verify=verify, **retries)  # type: ignore[arg-type]
    asked = frames(
        connection,
        _several(given, "source"),
        _several(given, "signals"),
        given.get("start"),
        given.get("end"),
        edge=given.get("edge"),
        labels=_several(given, "labels"),
        head=_whole("head", given["head"]) if "head" in given else None,
        tz=given.get("tz"),
        progress=False,
    )
    return asked, given


def _several(options: Mapping[str, str], name: str) -> list[str] | None:
    return [each.strip() for each in options[name].split(",")] if name in options else None


def _whole(name: str, text: str) -> int:
    try:
        return int(text)
    except ValueError as exc:
        raise UsageError(f"option {name}={text!r}; expected a whole number") from exc


def _columns(asked: Frames, options: Mapping[str, str]) -> Shape | Envelope:
    """Choose the columns, which all tasks have to know before they read."""
    wanted = options.get("columns")
    if wanted not in (None, "envelope", "typed"):
        raise UsageError(f"option columns={wanted!r}; expected 'envelope' or 'typed'")
    if wanted == "envelope" or (wanted is None and asked._query.selection.data_type is None):
        return Envelope()
    shape = Survey(asked._connection, asked._query).shape
    if shape is None:
        raise UsageError(
            "columns='typed' needs to know the data types before it reads, and this server, or a query with labels or with head, "
            "does not tell; select signals of one data type, such as 'can:*/*', or use columns='envelope'"
        )
    return shape


# --- the types of Spark ---


def spark_schema(schema: pa.Schema) -> pa.Schema:
    """Give the types that Spark has for those of a schema, and a column of nanoseconds beside each of stamps."""
    fields = []
    for field in schema:
        fields.append(pa.field(field.name, _spark_type(field.type), nullable=True))
        if pa.types.is_timestamp(field.type):
            fields.append(pa.field(f"{field.name}_ns", pa.int64(), nullable=True))
    return pa.schema(fields)


def to_spark(table: pa.Table) -> pa.Table:
    """Give a table the types that Spark has."""
    schema, columns = spark_schema(table.schema), []
    for field in table.schema:
        column = table[field.name]
        if pa.types.is_timestamp(field.type):
            # Cut as RFC 3339 text would be: towards the past, before 1970 too.
            cut = pc.floor_temporal(column, unit="microsecond")
            columns += [cut.cast(_spark_type(field.type)), column.cast(pa.int64())]
        else:
            columns.append(column.cast(_spark_type(field.type)))
    return pa.table(columns, schema=schema)


WIDER = {pa.uint8(): pa.int16(), pa.uint16(): pa.int32(), pa.uint32(): pa.int64()}


def _spark_type(type_: pa.DataType) -> pa.DataType:
    if pa.types.is_timestamp(type_):
        return pa.timestamp("us", "UTC")
    return pa.string() if pa.types.is_dictionary(type_) else WIDER.get(type_, type_)
