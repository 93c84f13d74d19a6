"""The command `intdash-frames`: which commands there are, and what an error becomes."""

from __future__ import annotations

import io
import sys
import warnings
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from intdash_frames.cli.doctor import doctor
from intdash_frames.cli.keep import export, import_, sync
from intdash_frames.cli.listings import edges, measurements, signals
from intdash_frames.cli.live import live
from intdash_frames.cli.serve import serve
from intdash_frames.cli.store import store
from intdash_frames.errors import IncompleteRead, IncompleteStore, IntdashError, UsageError

__all__ = ["EXIT_CODES", "app", "main"]

# The first row that fits decides. An argument that cannot work is a matter of usage, whoever finds it.
EXIT_CODES: Final[tuple[tuple[type[IntdashError], int], ...]] = (
    (IncompleteRead, 3),
    (IncompleteStore, 3),
    (UsageError, 2),
    (IntdashError, 1),
)

app = typer.Typer(
    help="intdash time series as frames: look at a server, or be one.",
    epilog="Exit codes: 0 done, 1 error, 2 usage, 3 incomplete. INTDASH_URL and INTDASH_EDGE_TOKEN replace --url and --token.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # rich would cost every start a tenth of a second
)


def _show_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"intdash-frames {version('intdash-frames')}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", help="Show the version and end.", callback=_show_version, is_eager=True)
    ] = False,
) -> None:
    """What all commands share."""


def demo(
    folder: Annotated[Path, typer.Option(help="Where the data file and the plot go; made if absent.")] = Path("intdash-demo"),
    seed: Annotated[int, typer.Option(min=0, help="Another number is another drive.")] = 0,
) -> None:
    """Record a drive, read it back, store, plot.

    Two minutes of a made-up vehicle, on a server of the demo's own.
    """
    from intdash_frames.demo.show import show

    show(folder, seed=seed)


for command in (demo, serve, edges, measurements, signals, live, export, import_, sync, store, doctor):
    app.command(command.__name__.rstrip("_"))(command)


def _show_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    typer.echo(f"warning: {message}", err=True)


def main() -> None:
    """Run the command line and end the process with its exit code."""
    warnings.showwarning = _show_warning
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a name that the terminal cannot show must not end the listing
    try:
        app(prog_name="intdash-frames")
    except IntdashError as exc:
        typer.echo(f"error: {' '.join(str(exc).split())}", err=True)
        sys.exit(_exit_code(exc))


def _exit_code(exc: IntdashError) -> int:
    if isinstance(exc.__cause__, OSError):  # a folder or file that does not let itself be had is no matter of usage
        return 1
    return next(code for kind, code in EXIT_CODES if isinstance(exc, kind))


if __name__ == "__main__":
    main()
