"""`Client.sync`: a folder that follows the measurements of an edge."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from intdash_frames.errors import UsageError
from intdash_frames.export.export import export
from intdash_frames.export.parts import LIMITS, Limits
from intdash_frames.export.report import ExportReport
from intdash_frames.folder.manifest import JOURNAL, Manifest, is_whole, read_manifest
from intdash_frames.frames.progress import ProgressOption, check_progress
from intdash_frames.frames.reading import Query
from intdash_frames.frames.selection import select
from intdash_frames.frames.sources import Source, edge_uuid
from intdash_frames.model import Measurement
from intdash_frames.model.form import dump

if TYPE_CHECKING:
    from intdash_frames.client.connection import Connection

__all__ = ["sync"]

PAGE: Final = 1000


def sync(
    connection: Connection,
    edge: Any,
    path: Any,
    *,
    errors: Literal["raise", "collect"] = "raise",
    progress: ProgressOption = "auto",
    limits: Limits = LIMITS,
) -> ExportReport:
    """Export what an edge has recorded since the last time; see `Client.sync`."""
    if errors not in ("raise", "collect"):
        raise UsageError(f"errors={errors!r}; expected 'raise' or 'collect'")
    check_progress(progress)
    try:
        folder = Path(path)
    except TypeError as exc:
        raise UsageError(f"path={path!r} cannot be the folder of an export: {exc}") from exc
    manifest = read_manifest(folder)
    asked = manifest.query if manifest is not None else {}
    if asked.get("start") or asked.get("end"):
        raise UsageError(
            f"{str(folder)!r} holds a range of time, {asked}; sync keeps whole measurements, so choose another folder"
        )
    if manifest is not None:
        limits = Limits(asked["part_rows"], asked["part_bytes"])
    # While the journal of a stopped export is there, the manifest does not say what is whole.
    known = None if (folder / JOURNAL).exists() else manifest
    pages = connection.measurements.list(edge_uuid=edge_uuid(connection, edge), limit=PAGE, iterator=True)
    due = tuple(each for page in pages for each in page if known is None or not _is_current(folder, known, each))
    query = Query(Source(due), select(asked.get("signals") or None, asked.get("labels") or None), None, None, None, progress)
    return export(
        connection, query, folder, decode=asked.get("decode"), collect=errors == "collect", limits=limits, trust_sizes=True
    )


def _is_current(folder: Path, manifest: Manifest, measurement: Measurement) -> bool:
    """Say whether all of a measurement is in the folder, as far as can be told without asking for it or reading its files."""
    there = manifest.measurements.get(measurement.uuid)
    now = {name: value for name, value in dump(measurement).items() if name != "markers"}
    if there is None or there["record"] != now or any(each["measurement"] == measurement.uuid for each in manifest.failed):
        return False
    files = (file for part in manifest.parts_of(measurement.uuid) for file in part.files)
    return all(is_whole(folder, file, by_digest=False) for file in files)
