"""`intdash-frames export`, `import` and `sync`: recordings as Parquet folders."""

from __future__ import annotations

import dataclasses
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from intdash_frames.cli.reports import INCOMPLETE, AsReport, counted, interruptible, note, say, size
from intdash_frames.cli.server_options import Token, Url, connect, edge_of
from intdash_frames.errors import IntdashError, UsageError

if TYPE_CHECKING:
    from intdash_frames.export.import_ import ImportReport
    from intdash_frames.export.report import ExportReport

__all__ = ["export", "import_", "sync"]

GOES_ON = "the same command again goes on from there"

Folder = Annotated[Path, typer.Argument(metavar="FOLDER", help="Folder of Parquet files.")]
NoResume = Annotated[bool, typer.Option("--no-resume", help="Do everything anew, whatever an earlier run has done.")]


def export(
    *,
    measurement: Annotated[list[str] | None, typer.Argument(metavar="MEASUREMENT", help="UUIDs; or say --edge.")] = None,
    folder: Folder,
    edge: Annotated[str | None, typer.Option(help="All measurements of an edge: its name or UUID; needs --start.")] = None,
    signals: Annotated[
        list[str] | None,
        typer.Option(metavar="TYPE:CHANNEL/ID", help="Only these, * for any part; may be given often."),
    ] = None,
    start: Annotated[str | None, typer.Option(help="A moment, +30s after the base time, or -30s before the end.")] = None,
    end: Annotated[str | None, typer.Option(help="Likewise; not part of the range.")] = None,
    labels: Annotated[
        list[str] | None, typer.Option(metavar="LABEL", help="Signals that the server converts; may be given often.")
    ] = None,
    tz: Annotated[str | None, typer.Option(help="Zone of moments that say none, such as Asia/Tokyo.")] = None,
    no_decode: Annotated[bool, typer.Option("--no-decode", help="Raw payloads alone, no columns decoded from them.")] = False,
    no_resume: NoResume = False,
    as_json: AsReport = False,
    url: Url = None,
    token: Token = None,
) -> None:
    """Keep measurements as a folder of Parquet files.

    pandas, polars, DuckDB and others read it. Stopped at any moment, the same command goes on from there.
    """
    _check_source(measurement or [], edge, start, folder)
    with interruptible(f"what is whole stays in {str(folder)!r}; {GOES_ON}"), connect(url, token) as client:
        report = client.export(
            measurement or None,
            folder,
            signals or None,
            start,
            end,
            edge=None if edge is None else edge_of(client, edge),
            labels=labels or None,
            tz=tz,
            decode=False if no_decode else None,
            resume=not no_resume,
            errors="collect",
        )
    _tell_export(report, as_json)


def sync(
    edge: Annotated[str, typer.Argument(metavar="EDGE", help="Name or UUID of an edge.")],
    folder: Folder,
    as_json: AsReport = False,
    url: Url = None,
    token: Token = None,
) -> None:
    """Keep a folder up to date with an edge.

    Reads the measurements that are new or have changed, and no others.
    """
    with interruptible(f"what is whole stays in {str(folder)!r}; {GOES_ON}"), connect(url, token) as client:
        report = client.sync(edge_of(client, edge), folder, errors="collect")
    _tell_export(report, as_json)


def import_(
    folder: Folder,
    edge: Annotated[
        str | None, typer.Option(help="Whose the new measurements are. Default: as recorded if there, else the token's.")
    ] = None,
    no_resume: NoResume = False,
    as_json: AsReport = False,
    url: Url = None,
    token: Token = None,
) -> None:
    """Make the measurements of an exported folder again.

    Payload for payload, with base times and markers. Stopped at any moment, the same command goes on from there.
    """
    if not folder.is_dir():
        raise IntdashError(f"{str(folder)!r} is no folder; expected that of an export")
    with interruptible(f"what was acknowledged is written down in {str(folder)!r}; {GOES_ON}"), connect(url, token) as client:
        target = None if edge is None else edge_of(client, edge)
        report = client.import_(folder, edge=target, resume=not no_resume, errors="collect")
    _tell_import(report, as_json)


def _check_source(measurements: list[str], edge: str | None, start: str | None, folder: Path) -> None:
    if bool(measurements) == (edge is not None):
        raise UsageError(
            f"{len(measurements)} measurements and {'an' if edge is not None else 'no'} edge before the folder {str(folder)!r}; "
            "expected: export MEASUREMENT... FOLDER, or export --edge EDGE FOLDER"
        )
    if edge is not None and start is None:
        raise UsageError(
            "--edge needs --start, such as --start 2024-05-14T10:00+09:00, or -7d before now; sync takes all of an edge"
        )
    try:
        uuid.UUID(str(folder))
    except ValueError:
        return
    raise UsageError(f"the last argument is the UUID {folder}; expected a folder behind the measurements")


def _tell_export(report: ExportReport, as_json: bool) -> None:
    lines = [f"{each['measurement']} from {each['start']} to {each['end']}: {each['reason']}" for each in report.failed]
    _stop_if_nothing(bool(report.points), lines)
    say(
        dataclasses.asdict(report),
        f"{report.points:,} points of {counted(len(report.measurements), 'measurement')} in {report.path}: "
        f"{counted(report.files, 'file')}, {report.written:,} of them new, {size(report.bytes)}, {report.seconds:.1f} s"
        if report.measurements
        else f"nothing new for {report.path}",
        as_json,
    )
    if report.undecodable:
        note("note", [f"{report.undecodable:,} payloads do not fit their data type: raw bytes are kept, their columns are null"])
    note("note", [f"{each['measurement']}: {each['reason']}" for each in report.skipped])
    if lines:
        note("incomplete", lines)
        note("incomplete", ["the same command again reads what is missing"])
    if report.read.error_points:
        note("incomplete", [f"{report.read.error_points:,} values could not be converted, first: {report.read.errors[0]}"])
    if not report.complete:
        raise typer.Exit(INCOMPLETE)
    if report.read.unmatched:
        raise UsageError(
            f"no signal {report.read.unmatched[0]!r} in {', '.join(report.measurements)}; the folder holds those of the others; "
            "intdash-frames signals MEASUREMENT lists what there is"
        )


def _tell_import(report: ImportReport, as_json: bool) -> None:
    lines = [f"{each['points']:,} points of {each['measurement']}: {each['reason']}" for each in report.failed]
    _stop_if_nothing(bool(report.measurements), lines)
    made = [f"{old} is now {new}" for old, new in report.measurements.items()]
    head = f"{report.points:,} points sent, {size(report.bytes)}, {report.seconds:.1f} s; {counted(len(made), 'measurement')}"
    say(dataclasses.asdict(report), "\n".join([head, *made]), as_json)
    note(
        "incomplete",
        [f"{each['points']:,} points of {each['measurement']} cannot be stored: {each['reason']}" for each in report.skipped],
    )
    if lines:
        note("incomplete", lines)
        note("incomplete", ["the same command again sends what is missing"])
    if not report.complete:
        if not report.failed and not report.skipped:
            note("incomplete", ["the export was not complete, see 'failed' in manifest.json; the same export again mends it"])
        raise typer.Exit(INCOMPLETE)


def _stop_if_nothing(anything: bool, failed: list[str]) -> None:
    """Where nothing came through at all, that is an error like any other."""
    if failed and not anything:
        raise IntdashError(failed[0])
