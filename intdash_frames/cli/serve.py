"""`intdash-frames serve`: the embedded server until a signal ends it."""

from __future__ import annotations

import ipaddress
import secrets
import signal
import threading
from pathlib import Path
from typing import Annotated, Any

import typer

from intdash_frames.errors import IntdashError, UsageError

__all__ = ["serve"]


def serve(
    folder: Annotated[
        Path | None, typer.Argument(help="The folder of an export: served as it is, and replayed for who follows its edges.")
    ] = None,
    host: Annotated[str, typer.Option(help="Address to listen on; beyond this machine only together with --edge.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 8080,
    data: Annotated[
        Path | None, typer.Option(metavar="FILE.duckdb", help="Made if absent, or a FOLDER. Default: memory.")
    ] = None,
    edge: Annotated[
        list[str] | None, typer.Option(metavar="NAME=TOKEN", help="May be given often. Default: demo=RANDOM.")
    ] = None,
    user: Annotated[list[str] | None, typer.Option(metavar="NAME=PASSWORD", help="May be given often.")] = None,
    speed: Annotated[str, typer.Option(help="Of replays of a folder: 0.1 to 1000, or max.")] = "1",
) -> None:
    """Be a server, with data in a file, in memory, or in the folder of an export.

    Runs until SIGINT (Ctrl-C) or SIGTERM.
    """
    from intdash_frames.connect import LocalServer

    if folder is not None and data is not None:
        raise typer.BadParameter("give a folder or --data, not both", param_hint="--data")
    if folder is not None and not folder.is_dir():
        raise typer.BadParameter(f"{str(folder)!r} is no folder", param_hint="FOLDER")
    edges, users = _pairs("--edge", edge or []), _pairs("--user", user or [])
    if not edges and not _is_loopback(host):
        raise typer.BadParameter(
            f"to let other machines in through {host!r}, say who may: --edge NAME=TOKEN", param_hint="--host"
        )
    made = {} if edges else {"demo": secrets.token_urlsafe(24)}

    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    try:
        server = LocalServer(folder or data, speed=_speed(speed), host=host, port=port, edges=edges or made, users=users)
    except UsageError as exc:
        # The arguments read well; it is the port or the file that does not let itself be had. That is no matter of usage.
        raise IntdashError(str(exc)) from exc
    with server:
        # In one write: whoever waits for the first line finds the second one there.
        typer.echo(
            "".join([f"listening on {server.url}\n", *(f"edge {name}={token}\n" for name, token in made.items())]), nl=False
        )
        while not stop.wait(timeout=1):  # without an end, Windows would not wake up for Ctrl-C
            pass


def _speed(text: str) -> Any:
    """A number, or what is none as it is: the server says what it makes of it."""
    try:
        return float(text)
    except ValueError:
        return text


def _pairs(option: str, texts: list[str]) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for text in texts:
        name, _, secret = text.partition("=")
        if not name or not secret:
            # not the text itself: it may be a token without its name
            raise typer.BadParameter("expected a name, '=' and a secret, such as demo=s3cret", param_hint=option)
        if name in pairs:
            raise typer.BadParameter(f"{name!r} was given twice", param_hint=option)
        pairs[name] = secret
    if len(set(pairs.values())) < len(pairs) and option == "--edge":
        raise typer.BadParameter("two edges have the same token; each needs its own", param_hint=option)
    return pairs


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
