"""What a request says, read and checked by the same rows that clients write it from."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from starlette.datastructures import QueryParams

from intdash_frames import timebase
from intdash_frames.errors import UsageError
from intdash_frames.protocol import call
from intdash_frames.protocol.call import ABSENT, REQUIRED, Param
from intdash_frames.server.store import Refused

__all__ = ["read_fields", "read_query"]


def _flag(text: str) -> bool:
    # The reference writes True and False, everyone else lower case (protocol 1.4).
    if text.lower() not in ("true", "false"):
        raise UsageError(f"{text!r} is not true or false")
    return text.lower() == "true"


def _whole(text: str) -> int:
    if re.fullmatch(r"[0-9]{1,18}", text) is None:
        raise UsageError(f"{text!r} is not a whole number")
    return int(text)


def _moment(text: Any) -> int:
    time_ns = timebase.from_iso(text)
    if time_ns is None:
        raise UsageError(
            f"{text!r} is not RFC 3339 text with a zone between 1677 and 2262, such as '2020-07-09T08:34:10.832607123Z'"
        )
    return time_ns


def _moment_or_micro(text: str) -> int:
    """Microseconds since the epoch, or RFC 3339 as newer servers prefer (protocol 2.3)."""
    return timebase.from_micro(int(text)) if re.fullmatch(r"-?[0-9]{1,18}", text) else _moment(text)


# Form that a client writes -> how its text in a query is read.
_IN_QUERY: Final[dict[Callable[[Any], Any], Callable[[str], Any]]] = {
    call.flag: _flag,
    call.count: _whole,
    call.positive: lambda text: call.positive(_whole(text)),
    call.iso: _moment,
    call.micro: _moment_or_micro,
}
_REPEATED: Final = (call.texts, call.id_queries)
# In JSON only moments are not yet what the form checks.
_IN_JSON: Final[dict[Callable[[Any], Any], Callable[[Any], Any]]] = {call.iso: _moment}


def read_query(params: tuple[Param, ...], query: QueryParams) -> dict[str, Any]:
    """Read the query of a call.

    Parameters
    ----------
    params : tuple of Param
        The row's.
    query : QueryParams
        Others than the row's are ignored, as newer clients send more.

    Returns
    -------
    dict
        By name: moments as nanoseconds since the epoch, lists for parameters that repeat; one that is not there and has no
        default is left out.

    Raises
    ------
    Refused
        400, naming the parameter and the value.
    """
    given: dict[str, Any] = {}
    for param in params:
        values = query.getlist(param.name)
        if param.form in _REPEATED and values:
            given[param.name] = values
        elif values and values[-1] != "":
            given[param.name] = values[-1]
    return _read(params, given, _IN_QUERY)


def read_fields(params: tuple[Param, ...], body: bytes) -> dict[str, Any]:
    """Read the JSON body of a call; as `read_query`.

    Raises
    ------
    Refused
        400, naming the field and the value.
    """
    try:
        fields = json.loads(body)
    except ValueError as exc:
        raise Refused(400, f"the body is not JSON: {exc}") from exc
    if not isinstance(fields, Mapping):
        raise Refused(400, f"the body is a JSON {type(fields).__name__}, expected an object")
    return _read(params, fields, _IN_JSON)


def _read(params: tuple[Param, ...], given: Mapping[str, Any], readers: Mapping[Any, Callable[[Any], Any]]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for param in params:
        value = given.get(param.name)
        if value is None:
            if param.default is REQUIRED:
                raise Refused(400, f"{param.name} is missing")
            if param.default is not ABSENT:
                values[param.name] = param.default
            continue
        try:
            values[param.name] = readers.get(param.form, param.form)(value)
        except UsageError as exc:
            raise Refused(400, f"{param.name}: {exc}") from exc
    return values
