"""Which server a command talks to: its two options, and the client they make."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from intdash_frames.connect import Client

__all__ = ["Token", "Url", "connect"]

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
