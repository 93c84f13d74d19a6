"""Which handler a request is for."""

from __future__ import annotations

from typing import Final, NamedTuple

from starlette.routing import compile_path

from intdash_frames.protocol.call import Endpoint
from intdash_frames.server.rest import HANDLERS, Handler

__all__ = ["ROUTES", "Match", "match"]

# Fixed words before placeholders: /measurements/data is not a measurement called "data".
ROUTES: Final[tuple[tuple[Endpoint, Handler], ...]] = tuple(
    sorted(HANDLERS, key=lambda row: [part.startswith("{") for part in row[0].path.split("/")])
)
_PATTERNS: Final = tuple((compile_path(endpoint.path)[0], endpoint, handler) for endpoint, handler in ROUTES)


class Match(NamedTuple):
    """A handler, the row of its call, and what the path says."""

    endpoint: Endpoint
    handler: Handler
    path: dict[str, str]


def match(method: str, path: str) -> Match | None:
    """Find the handler of a request; None if there is none."""
    for pattern, endpoint, handler in _PATTERNS:
        found = pattern.match(path) if endpoint.method == method else None
        if found is not None:
            return Match(endpoint, handler, found.groupdict())
    return None
