"""Parts of a measurement -> Parquet files: written aside, named when whole, the same bytes for the same points."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO, Final

import pyarrow as pa

from intdash_frames.codecs.points import Points
from intdash_frames.export.layout import groups_of, table_of
from intdash_frames.folder.cell import Cell
from intdash_frames.folder.manifest import File, Part
from intdash_frames.folder.names import Kind, file_path, kind_name

__all__ = ["UNFINISHED", "write_part", "write_table"]

# Readers pass over names that begin with a dot; whoever resumes takes away what is called so.
UNFINISHED: Final = ".{}.unfinished"
GROUP_ROWS: Final = 1 << 20
BATCH_ROWS: Final = 1 << 14

Describe = Callable[[Kind], Mapping[str, str]]


def write_part(
    folder: Path, measurement: str, edge: str, cell: Cell, parts: Sequence[Points], *, describe: Describe, decode: bool = True
) -> Part:
    """Write the points of a part, a file for each data type.

    Parameters
    ----------
    folder : Path
    measurement, edge : str
        UUIDs.
    cell : Cell
    parts : sequence of Points
        In order of time; may be empty.
    describe : callable
        Gives the metadata of a file of a data type.
    decode : bool
        Whether there are decoded columns beside the raw payload.

    Returns
    -------
    Part

    Raises
    ------
    OSError
        If a file cannot be written; nothing of it is left.
    """
    parts = [part for part in parts if len(part)]
    files = []
    for (uuid, kind), wanted in groups_of(parts[0].keys, parts).items() if parts else ():
        table, undecodable = table_of(parts, wanted, kind, decode=decode)
        path = file_path(edge=edge, measurement=uuid, kind=kind, cell=cell)
        size_bytes, digest = write_table(folder / path, table.replace_schema_metadata(dict(describe(kind))))
        stamps = table["time"].cast(pa.int64())
        files.append(
            File(
                path=path,
                measurement=uuid,
                data_type=kind_name(kind),
                rows=len(table),
                bytes=size_bytes,
                first_ns=stamps[0].as_py(),
                last_ns=stamps[-1].as_py(),
                sha256=digest,
                undecodable=undecodable,
            )
        )
    return Part(measurement, cell, tuple(files))


def write_table(path: Path, table: pa.Table) -> tuple[int, str]:
    """Write a table as one Parquet file; gives its size [bytes] and its SHA-256.

    Raises
    ------
    OSError
        If it cannot be written; nothing of it is left.
    """
    import pyarrow.parquet as pq

    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(UNFINISHED.format(path.name))
    try:
        with open(aside, "wb") as file:
            sink = _Hashed(file)
            with pq.ParquetWriter(
                sink,
                table.schema,
                version="2.6",  # what came before it cuts times to microseconds
                compression="zstd",
                use_dictionary=[field.name for field in table.schema if _repeats(field.type)],
                column_encoding=_encodings(table.schema),
                # of payloads, extremes help nobody and may be whole pictures
                write_statistics=[field.name for field in table.schema if not pa.types.is_binary(field.type)],
                write_batch_size=BATCH_ROWS,
                sorting_columns=[pq.SortingColumn(table.column_names.index("time"))],
                write_page_index=True,
            ) as writer:
                writer.write_table(table, row_group_size=GROUP_ROWS)
        os.replace(aside, path)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise
    return sink.size_bytes, sink.digest.hexdigest()


def _repeats(type_: pa.DataType) -> bool:
    """Whether a column has few values again and again: ids, and the small numbers of a head."""
    return bool(pa.types.is_dictionary(type_) or pa.types.is_unsigned_integer(type_))


def _encodings(schema: pa.Schema) -> dict[str, str]:
    """How the large columns are put down: stamps as steps, lengths of payloads apart from their bytes."""
    found = {}
    for field in schema:
        if pa.types.is_timestamp(field.type):
            found[field.name] = "DELTA_BINARY_PACKED"
        elif pa.types.is_binary(field.type):
            found[field.name] = "DELTA_LENGTH_BYTE_ARRAY"
    return found


class _Hashed:
    """A file that is written from front to back, and the digest of what was written."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.digest, self.size_bytes, self.closed = hashlib.sha256(), 0, False

    def write(self, data: bytes) -> int:
        self.digest.update(data)
        self.size_bytes += len(data)
        return self._file.write(data)

    def tell(self) -> int:
        return self.size_bytes

    def flush(self) -> None:
        self._file.flush()

    def close(self) -> None:
        self.closed = True
