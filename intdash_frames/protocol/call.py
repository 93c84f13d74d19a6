"""What a row of the table of REST calls can do: build a request from arguments, read the answer.

Arguments come by name, moments and durations as integers of nanoseconds; a form turns each into what the wire carries.

Source: protocol 1.3, 1.4 and 3.1.
"""

from __future__ import annotations

import dataclasses
import json
import re
import uuid as uuids
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote, urlencode

from intdash_frames import timebase
from intdash_frames.errors import RemoteProtocolError, UsageError
from intdash_frames.model import Conversion, IdQuery, dump, load
from intdash_frames.model.form import Record
from intdash_frames.model.kinds import basetime_type_name

__all__ = ["ABSENT", "JSON_TYPE", "REQUIRED", "Endpoint", "Param", "Request", "uuid_text"]

JSON_TYPE: Final = "application/json; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Request:
    """What to send, without host and credentials.

    `path` may hold a query of its own (a link to the next page is followed as it came). `idempotent` says that sending it twice
    does what sending it once does.
    """

    method: str
    path: str
    query: tuple[tuple[str, str], ...] = ()
    body: bytes | None = None
    content_type: str | None = None
    accept: str = "*/*"
    idempotent: bool = True

    @property
    def target(self) -> str:
        """Path and query, encoded as a form."""
        return f"{self.path}?{urlencode(self.query)}" if self.query else self.path

    @property
    def endpoint(self) -> str:
        """Method and path, without the query."""
        return f"{self.method} {self.path.partition('?')[0]}"


class _Sentinel:
    """A default that is not a value."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return self.name


REQUIRED: Final = _Sentinel("REQUIRED")
ABSENT: Final = _Sentinel("ABSENT")


def uuid_text(value: Any) -> str:
    """Check that a value is the text of a UUID, or a `uuid.UUID`.

    Raises
    ------
    UsageError
        If it is not.
    """
    if isinstance(value, uuids.UUID):
        return str(value)
    if isinstance(value, str) and _UUID.fullmatch(value):
        return value.lower()
    raise UsageError(f"{value!r} is no UUID; expected text such as '414c343c-1e2f-7ed4-c2ce-78e57311d8a3'")


_UUID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE | re.ASCII)


def text(value: Any) -> str:
    if not isinstance(value, str):
        raise UsageError(f"{value!r} is {type(value).__name__}, expected text")
    return value


def flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise UsageError(f"{value!r} is {type(value).__name__}, expected True or False")
    return value


def whole(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise UsageError(f"{value!r} is {type(value).__name__}, expected a whole number")
    return int(value)  # the number of an enumeration member, never its name


def count(value: Any) -> int:
    if whole(value) < 0:
        raise UsageError(f"{value!r} is negative, expected 0 or more")
    return int(value)


def positive(value: Any) -> int:
    if whole(value) < 1:
        raise UsageError(f"{value!r} is below 1")
    return int(value)


def one_of(*values: str) -> Callable[[Any], str]:
    def form(value: Any) -> str:
        if value not in values:
            raise UsageError(f"{value!r} is not known; expected one of {', '.join(values)}")
        return str(value)

    return form


def byte(value: Any) -> int:
    if not 0 <= whole(value) <= 255:
        raise UsageError(f"{value!r} is outside 0 to 255")
    return int(value)


def iso(value: Any) -> str:
    return timebase.to_iso(whole(value))


def micro(value: Any) -> int:
    return timebase.to_micro(whole(value))


def micro_span(value: Any) -> int:
    return count(micro(value))


def record(value: Any) -> Any:
    return value if isinstance(value, Mapping) else dump(_one_of(Record, value, "a record such as Display or a marker's detail"))


def conversion(value: Any) -> Any:
    if isinstance(value, Mapping):
        return value
    options = dump(_one_of(Conversion, value, "one of the Conversion classes"))
    return {"type": value.type.value, "options": options}


def _one_of(kind: type[Any], value: Any, expected: str) -> Any:
    if not isinstance(value, kind) or not dataclasses.is_dataclass(value):
        raise UsageError(f"{value!r} is {type(value).__name__}, expected {expected}")
    return value


def id_queries(values: Any) -> list[str]:
    return [each.text if isinstance(each, IdQuery) else text(each) for each in _several(values)]


def texts(values: Any) -> list[str]:
    return [text(each) for each in _several(values)]


def _several(values: Any) -> list[Any]:
    if isinstance(values, (str, IdQuery)):
        return [values]
    try:
        return list(values)
    except TypeError as exc:
        raise UsageError(f"{values!r} is {type(values).__name__}, expected a list") from exc


@dataclass(frozen=True, slots=True)
class Param:
    """One argument of a call: its name on the wire, its form there, and what is sent when it is not given.

    A value of None is not given; `filled` means that an empty one is not either.
    """

    name: str
    form: Callable[[Any], Any]
    default: Any = ABSENT
    filled: bool = False

    def value(self, arguments: dict[str, Any], call: str) -> Any:
        """Take this argument out of `arguments` in its wire form, ABSENT if it is not sent."""
        given = arguments.pop(self.name, None)
        if given is None or (self.filled and not given):
            if self.default is REQUIRED:
                raise UsageError(f"{call} needs {self.name}")
            return self.default
        try:
            return self.form(given)
        except UsageError as exc:
            raise UsageError(f"{self.name}: {exc}") from exc


# Arguments that stand in a path.
_PATH_FORMS: Final[dict[str, Callable[[Any], str]]] = {
    "uuid": uuid_text,
    "marker_uuid": uuid_text,
    "type": basetime_type_name,
}


def _in_query(value: Any) -> str:
    # booleans in lower case: the reference's capital ones come from Python's str()
    return str(value).lower() if isinstance(value, bool) else str(value)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One call.

    Parameters
    ----------
    method, path : str
        The path is a template; what stands in braces is an argument.
    query, body : tuple of Param
        In the order of the wire.
    item : type, optional
        The record that the answer holds. Without one the answer is given as JSON (`accept` is then ``*/*``) or as bytes.
    listed : bool
        The answer is ``{"items": [...]}``.
    paged : bool
        The answer also links to a next page.
    content_type : str, optional
        Of a body that the caller brings along as bytes (``body=``).
    since : tuple of int
        First server version with this call.
    newer : Endpoint, optional
        What newer servers have instead; to be tried when this one answers 404 or 405.
    idempotent : bool, optional
        Whether the call may be sent again after an unclear end; by default every method but POST.
    """

    method: str
    path: str
    query: tuple[Param, ...] = ()
    body: tuple[Param, ...] | None = None
    item: type | None = None
    listed: bool = False
    paged: bool = False
    raw: bool = False
    content_type: str | None = None
    accept: str = "*/*"
    since: tuple[int, ...] = (1, 9, 0)
    newer: Endpoint | None = None
    idempotent: bool | None = None

    def request(self, *, body: bytes | None = None, **arguments: Any) -> Request:
        """Build the request.

        Raises
        ------
        UsageError
            If an argument is missing or has no form on the wire; nothing was sent.
        TypeError
            If an argument is not one of this call.
        """
        call = f"{self.method} {self.path}"
        path = re.sub(r"{(\w+)}", lambda match: quote(self._in_path(match[1], arguments, call), safe=""), self.path)
        query: list[tuple[str, str]] = []
        for param in self.query:
            value = param.value(arguments, call)
            if value is not ABSENT:
                query += [(param.name, _in_query(each)) for each in (value if isinstance(value, list) else [value])]
        content_type = self.content_type
        if self.body is not None:
            fields = {param.name: param.value(arguments, call) for param in self.body}
            body = _json({name: value for name, value in fields.items() if value is not ABSENT})
            content_type = JSON_TYPE
        if arguments:
            raise TypeError(f"{call} has no argument {', '.join(sorted(arguments))}")
        idempotent = self.method != "POST" if self.idempotent is None else self.idempotent
        return Request(self.method, path, tuple(query), body, content_type, self.accept, idempotent)

    @staticmethod
    def _in_path(name: str, arguments: dict[str, Any], call: str) -> str:
        value = Param(name, _PATH_FORMS[name], REQUIRED).value(arguments, call)
        return str(value)

    def parse(self, status: int, body: bytes) -> Any:
        """Read the answer of a call that succeeded.

        Returns
        -------
        object
            A record or a list of records of `item`; JSON without one; bytes if the row is `raw`; None for an empty body where
            nothing was asked for.

        Raises
        ------
        RemoteProtocolError
            If the body is not what the row says.
        """
        if self.raw:
            return body
        if not body:
            if self.item is None or self.method == "PUT":  # a change may be answered without the record (protocol 1.3)
                return None
            raise RemoteProtocolError(f"{self.method} {self.path} answered {status} without a body, expected JSON")
        answer = self.read_json(status, body)
        return self.items(answer) if self.listed else self._load(answer)

    def read_json(self, status: int, body: bytes) -> Any:
        """Read a body as JSON.

        Raises
        ------
        RemoteProtocolError
            If it is not JSON.
        """
        try:
            return json.loads(body)
        except (ValueError, RecursionError) as exc:  # the latter for brackets nested a thousand deep
            raise RemoteProtocolError(f"{self.method} {self.path} answered {status} with {body[:40]!r}, expected JSON") from exc

    def items(self, answer: Any) -> list[Any]:
        """The records of an answer that is a list.

        Raises
        ------
        RemoteProtocolError
            If there is no list in it.
        """
        items = answer.get("items") if isinstance(answer, Mapping) else None
        if not isinstance(items, list):
            raise RemoteProtocolError(f"{self.method} {self.path} answered without a list of items")
        return [self._load(each) for each in items]

    def _load(self, answer: Any) -> Any:
        return answer if self.item is None else load(self.item, answer)


def _json(fields: Mapping[str, Any]) -> bytes:
    try:
        return json.dumps(fields, allow_nan=False, separators=(",", ":")).encode()
    except (TypeError, ValueError) as exc:
        raise UsageError(f"cannot be written as JSON: {exc}") from exc
