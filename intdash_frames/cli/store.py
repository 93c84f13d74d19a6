"""`intdash-frames store`: a Parquet or CSV file into a measurement."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from intdash_frames import timebase
from intdash_frames.cli.reports import INCOMPLETE, AsReport, interruptible, note, say, size
from intdash_frames.cli.server_options import Token, Url, connect, edge_of
from intdash_frames.cli.table_file import read_table
from intdash_frames.errors import IntdashError, UsageError

if TYPE_CHECKING:
    import pyarrow as pa

    from intdash_frames.connect import Client
    from intdash_frames.frames.store import StoreResult

__all__ = ["store"]


def store(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Parquet, or CSV with a head line.")],
    time: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="Of the stamps. Default: 'time', or the only one with timestamps.")
    ] = None,
    tz: Annotated[str | None, typer.Option(help="Zone of stamps that say none, such as Asia/Tokyo.")] = None,
    unit: Annotated[str | None, typer.Option(metavar="s|ms|us|ns", help="Of stamps that are numbers since 1970, UTC.")] = None,
    name: Annotated[str | None, typer.Option(help="Of the new measurement.")] = None,
    edge: Annotated[str | None, typer.Option(help="Whose the new measurement is. Default: the token's.")] = None,
    measurement: Annotated[str | None, typer.Option(metavar="UUID", help="Where to. Default: a new one.")] = None,
    signal: Annotated[
        list[str] | None,
        typer.Option(metavar="COLUMN=TYPE:CHANNEL/ID", help="Of a column, such as v=float:3/speed; may be given often."),
    ] = None,
    channel: Annotated[int, typer.Option(min=0, max=255, help="Of columns that do not say it.")] = 1,
    without: Annotated[list[str] | None, typer.Option(metavar="COLUMN", help="Leave it out; may be given often.")] = None,
    not_final: Annotated[bool, typer.Option("--not-final", help="The measurement goes on after this.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Do everything but send.")] = False,
    as_json: AsReport = False,
    url: Url = None,
    token: Token = None,
) -> None:
    """Store a Parquet or CSV file in a measurement.

    What an export wrote goes back to the same bytes; of any other file, each column becomes a signal.
    """
    signals = _signals(signal or [])
    texts = {column for column, each in signals.items() if each.startswith("string:")}
    table = read_table(file, time=time, tz=tz, unit=unit, texts=texts, without=without or ())
    where = f"measurement {measurement}" if measurement is not None else "a new measurement that has not ended"
    with interruptible(f"a part of {str(file)!r} may be in {where}"), contextlib.ExitStack() as stack:
        needs_server = not dry_run or measurement is not None
        client = stack.enter_context(connect(url, token)) if needs_server else None
        result = _store(
            table,
            client,
            measurement=measurement,
            edge=None if edge is None or client is None else edge_of(client, edge),
            name=name,
            channel=channel,
            signals=signals or None,
            final=not not_final,
            dry_run=dry_run,
        )
    _tell(result, table, dry_run=dry_run, as_json=as_json)


def _store(table: pa.Table, client: Client | None, **options: Any) -> StoreResult:
    from intdash_frames.frames.store import store as store_

    return store_(table, client=client, errors="collect", **options)


def _signals(texts: list[str]) -> dict[str, str]:
    signals = {}
    for text in texts:
        column, _, signal = text.partition("=")
        if not column or not signal:
            raise UsageError(f"--signal {text!r}; expected a column, '=' and its signal, such as v=float:3/speed")
        signals[column] = signal
    return signals


def _tell(result: StoreResult, table: pa.Table, *, dry_run: bool, as_json: bool) -> None:
    from intdash_frames.model.form import dump

    target = result.measurement
    failed = [
        {str(key): str(value) if key in ("first", "last") else value for key, value in row.items()}
        for row in result.failed.to_dict("records")
    ]
    report = {
        "measurement": None if target is None else dump(target),
        "points": result.points,
        "sections": result.sections,
        "bytes": result.bytes,
        "seconds": result.seconds,
        "dry_run": dry_run,
        "failed": failed,
        "complete": not failed,
    }
    done = "would be stored" if dry_run else f"stored in {result.seconds:.1f} s"
    lines = [f"{result.points:,} points, {size(result.bytes)}, {done}{_span(table)}"]
    if target is not None:
        lines.append(f"measurement {target.uuid}")
    if failed and not result.points:
        raise IntdashError(f"nothing is known to be stored: {failed[0]['reason']}{_remains(result)}")
    say(report, "\n".join(lines), as_json)
    if failed:
        note(
            "incomplete", [f"{each['points']:,} points from {each['first']}: {each['fate']}, {each['reason']}" for each in failed]
        )
        note("incomplete", [f"what is missing cannot be sent alone; store the file in a new measurement{_remains(result)}"])
        raise typer.Exit(INCOMPLETE)


def _remains(result: StoreResult) -> str:
    target = result.measurement
    return "" if target is None else f"; measurement {target.uuid} remains and has not ended"


def _span(table: pa.Table) -> str:
    """From when to when, so that a wrong unit or zone shows."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if not len(table) or not pa.types.is_timestamp(table["time"].type):
        return ""
    ends = pc.min_max(table["time"].cast(pa.timestamp("ns", "UTC")).cast(pa.int64()))
    return f", {timebase.to_iso(ends['min'].as_py())} to {timebase.to_iso(ends['max'].as_py())}"
