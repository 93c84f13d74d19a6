"""Calls of the client against answers that were recorded, compared with the requests that were recorded with them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from intdash_frames.client.connection import Connection
from tests.transport.loopback import Loopback, answer

CASES = {
    case["name"]: case
    for case in json.loads((Path(__file__).parents[2] / "fixtures" / "golden" / "rest_requests.json").read_text())["cases"]
}


def cases_of(resource: str) -> set[str]:
    """Names of the recorded calls of a resource."""
    return {name for name in CASES if name.startswith(f"{resource}_")}


def repeat(peer: Loopback, name: str, call: Callable[[Connection], Any]) -> Any:
    """Make a call, compare its request with the recorded one, and give what it made of the recorded answer."""
    case = CASES[name]
    recorded = case.get("response_json")
    peer.answers = [
        answer(case["response_status"], b"" if recorded is None else json.dumps(recorded).encode()),
        answer(200, b'{"version": "1.17.0"}'),
    ]
    with Connection(peer.url, "token") as connection:
        result = call(connection)
    seen = peer.seen[0]
    assert (seen.method, seen.path) == (case["method"], case["path"] + (f"?{case['raw_query']}" if case["raw_query"] else ""))
    assert (json.loads(seen.body) if seen.body else None) == case["json"]
    assert (seen.headers["Content-Type"], seen.headers["X-Edge-Token"]) == (case["content_type"], "token")
    return result
