"""What a request says, read and checked by the same rows that clients write it from."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Collection, Mapping
from typing import Any, Final

from starlette.datastructures import QueryParams

from intdash_frames import timebase
from intdash_frames.errors import UsageError
from intdash_frames.protocol import call
from intdash_frames.protocol.call import ABSENT, REQUIRED, Param
from intdash_frames.server.store import Refused

__all__ = ["exact_keys", "finite", "read_fields", "read_query", "texts_only"]


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


def _stamp(text: Any) -> int:
    # A record of it could not be read back: the lowest 64 bit integer is how pandas spells "not a time".
    if (time_ns := _moment(text)) == timebase.INT64_MIN:
        raise UsageError(f"{text!r} is the one nanosecond that stands for no time; expected a later one")
    return time_ns


def _span(value: Any) -> int:
    return timebase.from_micro(call.whole(value))


def _object(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise UsageError(f"{value!r} is {type(value).__name__}, expected a JSON object")
    return value


# In JSON only these are not yet what the form checks.
_IN_JSON: Final[dict[Callable[[Any], Any], Callable[[Any], Any]]] = {
    call.iso: _stamp,
    call.micro_span: _span,
    call.record: _object,
    call.conversion: _object,
}


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


def _no_number(word: str) -> None:
    raise ValueError(f"{word} is no JSON number")


def read_fields(params: tuple[Param, ...], body: bytes) -> dict[str, Any]:
    """Read the JSON body of a call; as `read_query`, durations as nanoseconds.

    Raises
    ------
    Refused
        400, naming the field and the value.
    """
    try:
        fields = json.loads(body, parse_constant=_no_number)
        # Half a surrogate pair, which JSON can spell and UTF-8 cannot, would come to light only where it is written.
        json.dumps(fields, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as exc:
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


def exact_keys(name: str, value: Any, expected: Collection[str]) -> None:
    """Refuse what is not a JSON object of exactly these keys: the reference fails on one too many as on one missing.

    Raises
    ------
    Refused
        400, naming the key.

    Notes
    -----
    Source: protocol, appendix B.
    """
    if not isinstance(value, Mapping):
        raise Refused(400, f"{name} is {value!r}, expected a JSON object")
    wanted = f"expected {', '.join(expected) or 'no keys'}"
    for key in expected:
        if key not in value:
            raise Refused(400, f"{name}: {key} is missing; {wanted}")
    for key in value:
        if key not in expected:
            raise Refused(400, f"{name}: {key!r} is not known; {wanted}")


def texts_only(name: str, values: Mapping[str, Any]) -> None:
    """Refuse values that are not text.

    Raises
    ------
    Refused
        400, naming the key and the value.
    """
    for key, value in values.items():
        if not isinstance(value, str):
            raise Refused(400, f"{name}: {key} is {value!r}, expected text")


def finite(name: str, values: Mapping[str, Any]) -> None:
    """Refuse values that are not numbers within the range of 64 bit floats.

    Raises
    ------
    Refused
        400, naming the key and the value.
    """
    for key, value in values.items():
        if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= sys.float_info.max:
            raise Refused(400, f"{name}: {key} is {value!r}, expected a finite number")
