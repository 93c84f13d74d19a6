"""`intdash-frames edges`, `measurements` and `signals`: what is on a server, for people or as JSON."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from intdash_frames import timebase
from intdash_frames.cli.server_options import Token, Url, connect
from intdash_frames.errors import IncompleteRead

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["edges", "measurements", "signals"]

AsJson = Annotated[bool, typer.Option("--json", help="Everything, as a JSON array.")]

EDGE_COLUMNS: Final = ["name", "uuid", "type", "disabled", "last_login_at"]
MEASUREMENT_COLUMNS: Final = ["basetime", "duration", "uuid", "name", "ended"]
PAGE: Final = 1000


def edges(
    name: Annotated[str | None, typer.Option(help="What the name begins with.")] = None,
    as_json: AsJson = False,
    url: Url = None,
    token: Token = None,
) -> None:
    """List the edges of a server."""
    from intdash_frames.model import Edge

    with connect(url, token) as client:
        found = [each for page in client.edges.list(name=name, limit=PAGE, iterator=True) for each in page]
    _print_records(found, Edge, EDGE_COLUMNS, as_json)


def measurements(
    name: Annotated[str | None, typer.Option(help="What the name begins with.")] = None,
    start: Annotated[str | None, typer.Option(help="Base time at or after this moment, such as 2024-05-14T10:00+09:00.")] = None,
    end: Annotated[str | None, typer.Option(help="Base time before this moment.")] = None,
    as_json: AsJson = False,
    url: Url = None,
    token: Token = None,
) -> None:
    """List the measurements of a server, oldest first."""
    import pandas as pd

    from intdash_frames.model import Measurement

    with connect(url, token) as client:
        pages = client.measurements.list(start, end, name=name, limit=PAGE, iterator=True)
        found = [each for page in pages for each in page]
    found.sort(key=lambda each: each.basetime or pd.Timestamp.max.tz_localize("UTC"))
    _print_records(found, Measurement, MEASUREMENT_COLUMNS, as_json)


def signals(
    measurement: Annotated[str, typer.Argument(metavar="MEASUREMENT", help="UUID of a measurement.")],
    signal: Annotated[
        list[str] | None,
        typer.Option(metavar="TYPE:CHANNEL/ID", help="Only these, * for any part; may be given often."),
    ] = None,
    start: Annotated[str | None, typer.Option(help="A moment, +30s after the base time, or -30s before the end.")] = None,
    end: Annotated[str | None, typer.Option(help="Likewise; not part of the range.")] = None,
    tz: Annotated[str, typer.Option(help="Zone of moments, such as Asia/Tokyo; JSON is always in UTC.")] = "UTC",
    as_json: AsJson = False,
    url: Url = None,
    token: Token = None,
) -> None:
    """List the signals of a measurement.

    How many points, from when to when, how fast, with how many gaps; reads all of them to know.
    """
    incomplete = None
    with connect(url, token) as client:
        try:
            found = client.frames(measurement, signal or None, start, end, tz=tz).summary()
        except IncompleteRead as exc:
            incomplete, found = exc, exc.partial
    # not DataFrame.to_json, which cuts stamps to microseconds
    _print(found, [{str(name): _json(value) for name, value in row.items()} for row in found.to_dict("records")], as_json)
    if incomplete is not None:
        raise incomplete


def _print_records(records: list[Any], kind: type[Any], columns: list[str], as_json: bool) -> None:
    """The JSON is that of the REST API: moments in UTC, durations in microseconds."""
    from intdash_frames.client.catalogue import frame_of
    from intdash_frames.model.form import dump

    _print(frame_of(records, kind)[columns], [dump(each) for each in records], as_json)


def _print(frame: pd.DataFrame, rows: list[dict[str, Any]], as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(rows, ensure_ascii=False, indent=2))
    elif frame.empty:
        typer.echo("nothing found", err=True)
    else:
        import pandas as pd

        with pd.option_context("display.unicode.east_asian_width", True):
            typer.echo(frame.apply(lambda column: column.map(_text)).to_string(index=False))


def _text(value: Any) -> str:
    import pandas as pd

    if pd.isna(value):
        return "-"
    if isinstance(value, pd.Timestamp):
        return str(value.isoformat(sep=" ", timespec="milliseconds"))
    if isinstance(value, pd.Timedelta):
        return str(value.round("ms")).removeprefix("0 days ")
    return f"{value:.2f}" if isinstance(value, float) else str(value)


def _json(value: Any) -> Any:
    import pandas as pd

    if pd.isna(value):
        return None
    return timebase.to_iso(value.as_unit("ns").value) if isinstance(value, pd.Timestamp) else value
