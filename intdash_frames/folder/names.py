"""How the folders and files of an export are called."""

from __future__ import annotations

import hashlib
from pathlib import PurePosixPath
from typing import Final
from urllib.parse import quote

import numpy as np

from intdash_frames.folder.cell import Cell
from intdash_frames.model import DataType

__all__ = ["PARTITIONS", "PREFIX", "Kind", "file_path", "folder_name", "kind_name", "number_of"]

# Outermost first. Files of one data type have one schema, and most readers want one schema for a folder.
PARTITIONS: Final = ("data_type", "edge", "date", "measurement")
# Files of a part; a name holds the instant at which the part begins and how often its day was halved.
PREFIX: Final = "part-"
SUFFIX: Final = ".parquet"
LONGEST_NAME: Final = 120  # file systems take 255 bytes for a name, and escaping may triple an id

Kind = DataType | int | str


def kind_name(kind: Kind) -> str:
    """Name a data type: as the enumeration does, by its number, or by a newer server's text, marked so that it is neither."""
    if isinstance(kind, DataType):
        return kind.name
    return str(kind) if isinstance(kind, int) else f"text:{kind}"


def number_of(name: str) -> int | None:
    """Give the number of a data type that `kind_name` named; None for a newer server's text."""
    if name.startswith("text:"):
        return None
    return int(name) if name.isdecimal() else int(DataType[name])


def file_path(*, edge: str, measurement: str, kind: Kind, cell: Cell) -> str:
    """Where the points of a part go, relative to the folder, with ``/`` between folders."""
    since_day_ns = cell.start_ns - Cell(cell.day).start_ns
    seconds, ns = divmod(since_day_ns, 10**9)
    clock = f"{seconds // 3600:02d}{seconds // 60 % 60:02d}{seconds % 60:02d}.{ns:09d}"
    values = {
        "data_type": kind_name(kind),
        "edge": edge,
        "date": str(np.datetime64(cell.day, "D")),
        "measurement": measurement,
    }
    folders = [folder_name(name, values[name]) for name in PARTITIONS]
    return str(PurePosixPath(*folders, f"{PREFIX}{clock}-{cell.level:02d}{SUFFIX}"))


def folder_name(partition: str, value: str) -> str:
    """Name the folder of one value of a partition."""
    return f"{partition}={_escaped(value)}"


def _escaped(value: str) -> str:
    """Make a text the name of a folder, as Hive does; one that is too long ends in its digest."""
    name = quote(value, safe="")
    if len(name) > LONGEST_NAME:
        return f"{name[:LONGEST_NAME].rstrip('%')}-{hashlib.sha256(value.encode()).hexdigest()[:16]}"
    return name or "__HIVE_DEFAULT_PARTITION__"
