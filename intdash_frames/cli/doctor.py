"""`intdash-frames doctor`: what is installed, and whether the server lets us in."""

from __future__ import annotations

import platform
import re
from collections.abc import Iterator
from importlib import metadata

import typer

from intdash_frames.cli.server_options import Token, Url
from intdash_frames.errors import IntdashError, TransportError, Unauthorized

__all__ = ["doctor"]

DISTRIBUTION = "intdash-frames"
BROKEN = "!"


def doctor(url: Url = None, token: Token = None) -> None:
    """Check the installation and the server.

    Shows versions, and whether the server can be reached and accepts the token. Exit code 1 if something is wrong.
    """
    broken = False
    for mark, name, finding in _findings(url, token):
        broken |= mark == BROKEN
        typer.echo(f"{mark or ' '} {name:<20} {finding}")
    if broken:
        raise typer.Exit(1)


def _findings(url: str | None, token: str | None) -> Iterator[tuple[str, str, str]]:
    yield "", "python", f"{platform.python_version()} ({platform.system()} {platform.machine()})"
    yield "", DISTRIBUTION, metadata.version(DISTRIBUTION)
    for name, extra in _requirements():
        try:
            yield "", name, metadata.version(name)
        except metadata.PackageNotFoundError:
            if extra:
                yield "", name, f"not installed; pip install '{DISTRIBUTION}[{extra}]' brings it"
            else:
                yield BROKEN, name, "not installed, though needed"
    yield from _server(url, token)


def _requirements() -> Iterator[tuple[str, str]]:
    """What the distribution says that its users need: each name once, with the extra it belongs to if any."""
    seen = {DISTRIBUTION}
    for line in metadata.requires(DISTRIBUTION) or []:
        name, extra = re.split(r"[^\w.-]", line, maxsplit=1)[0], re.search(r"extra\s*==\s*['\"](.+?)['\"]", line)
        if name not in seen and (extra is None or extra[1] != "dev"):
            seen.add(name)
            yield name, extra[1] if extra else ""


def _server(url: str | None, token: str | None) -> Iterator[tuple[str, str, str]]:
    if not url:
        yield "", "server", "none given; say --url or set INTDASH_URL"
        return
    if not token:
        yield BROKEN, "token", "none given; say --token or set INTDASH_EDGE_TOKEN"
        return
    from intdash_frames.connect import Client

    try:
        client = Client(url, token, retries=0)
    except IntdashError as exc:
        yield BROKEN, "server", str(exc)
        return
    with client:
        try:
            me = client.edges.me()
        except TransportError as exc:
            yield BROKEN, "server", str(exc)
        except Unauthorized as exc:
            yield "", "server", f"{client.url} answers"
            yield BROKEN, "token", f"refused: {exc}"
        except IntdashError as exc:
            yield BROKEN, "server", f"{client.url} answers, but not as an intdash server: {exc}"
        else:
            yield "", "server", f"{client.url}, version {client.version or 'unknown'}"
            yield "", "token", f"accepted; it is that of edge {me.name!r}"
