"""Which server a command talks to: its two options, the client they make, and the edge that a name on it means."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from intdash_frames.errors import IntdashError, UsageError

if TYPE_CHECKING:
    from intdash_frames.connect import Client

__all__ = ["Token", "Url", "connect", "edge_of"]

Url = Annotated[str | None, typer.Option(envvar="INTDASH_URL", help="The server, such as https://example.intdash.jp.")]
Token = Annotated[
    str | None,
    typer.Option(
        envvar="INTDASH_EDGE_TOKEN",
        help="The token of an edge; other users see what stands on a command line, so prefer the variable.",
    ),
]


def connect(url: str | None, token: str | None, **options: Any) -> Client:
    """Make a client.

    Raises
    ------
    typer.BadParameter
        If one of the two is missing.
    """
    from intdash_frames.connect import Client

    for value, name, variable in ((url, "--url", "INTDASH_URL"), (token, "--token", "INTDASH_EDGE_TOKEN")):
        if not value:
            raise typer.BadParameter(f"none was given; give {name} or set {variable}", param_hint=name)
    return Client(url, token, **options)


def edge_of(client: Client, edge: str) -> str:
    """Give the UUID of an edge by its name or UUID.

    Raises
    ------
    IntdashError
        If the server does not have it; that is no matter of usage.
    """
    from intdash_frames.frames.sources import edge_uuid

    try:
        return edge_uuid(client.connection, edge)
    except UsageError as exc:
        raise IntdashError(str(exc)) from exc
