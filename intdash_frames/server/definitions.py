"""Signal definitions, as fields in and records out: which bytes of which points a label stands for.

Source: protocol 2.6 and appendix B.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import time
import uuid as uuid_module
from collections.abc import Mapping, Sequence
from typing import Any, Final

import duckdb

from intdash_frames.codecs.signals import refusal
from intdash_frames.model import ConversionType, DataType, Signal, dump, load
from intdash_frames.model.signals import CONVERSIONS, Display
from intdash_frames.protocol.endpoints import SIGNALS_CREATE
from intdash_frames.server.arguments import exact_keys, finite, texts_only
from intdash_frames.server.catalogue import Page, Where, page_of
from intdash_frames.server.store import Refused, Store, one
from intdash_frames.timebase import to_iso

__all__ = [
    "SIGNAL_SORTS",
    "create_signal",
    "definition_columns",
    "delete_signal",
    "signal",
    "signals",
    "signals_with_labels",
    "update_signal",
]

SIGNAL_SORTS = {
    "label": "label",
    "description": "description",
    "data_type": "data_type",
    "data_id": "data_id",
    "channel": "channel",
    "created_at": "created_ns",
    "updated_at": "updated_ns",
}
# What a client says of a signal; each is a column of the same name.
FIELDS: Final = tuple(param.name for param in SIGNALS_CREATE.body or ())
# The reference reads no signal of another type, and then none of the list that it is in (appendix B).
DATA_TYPES: Final = frozenset(DataType) - {DataType.h265}

_SIGNAL = f"SELECT uuid, {', '.join(FIELDS)}, hash, created_ns, updated_ns"


def _signal(row: tuple[Any, ...]) -> Signal:
    uuid, *fields, digest, created_ns, updated_ns = row
    given = dict(zip(FIELDS, fields, strict=True))
    given |= {name: json.loads(given[name]) for name in ("conversion", "display")}
    times = {"created_at": to_iso(created_ns), "updated_at": to_iso(updated_ns)}
    return load(Signal, {"uuid": uuid, **given, "hash": digest, **times})


def signal(cursor: duckdb.DuckDBPyConnection, uuid: str) -> Signal:
    """One signal.

    Raises
    ------
    Refused
        404.
    """
    row = one(cursor, f"{_SIGNAL} FROM signals WHERE uuid = ?", [uuid])
    if row is None:
        raise Refused(404, f"no signal {uuid!r}; GET /api/v1/signals lists them")
    return _signal(row)


def signals(cursor: duckdb.DuckDBPyConnection, where: Where, page: Page) -> tuple[list[Signal], int]:
    """A page of signals, and how many there are in all."""
    rows, total = page_of(cursor, _SIGNAL, "FROM signals", where, page)
    return [_signal(row) for row in rows], total


def signals_with_labels(cursor: duckdb.DuckDBPyConnection, labels: Sequence[str]) -> list[Signal]:
    """The signals of some labels, each once and in the order of `labels`; one that nobody defined is left out.

    Parameters
    ----------
    labels : sequence of str
        Whole labels, in their own case.
    """
    # as an array of text even where it is empty
    rows = cursor.execute(f"{_SIGNAL} FROM signals WHERE list_contains(?::VARCHAR[], label)", [list(labels)]).fetchall()
    found = {each.label: each for each in map(_signal, rows)}
    return [found[label] for label in dict.fromkeys(labels) if label in found]


def create_signal(store: Store, *, uuid: str | None = None, **fields: Any) -> str:
    """Define a signal.

    Parameters
    ----------
    store : Store
    uuid : str, optional
        Its uuid, which newer servers let clients choose. Default: a new one.
    **fields
        All of `FIELDS`, `conversion` and `display` as JSON objects.

    Returns
    -------
    str
        Its uuid.

    Raises
    ------
    Refused
        400 for fields that are not as the protocol says, 409 for a label or uuid that is taken.
    """
    uuid, now_ns = uuid or str(uuid_module.uuid4()), time.time_ns()
    columns = {"uuid": uuid, **_columns(fields), "created_ns": now_ns, "updated_ns": now_ns}
    with store.write() as cursor:
        if one(cursor, "SELECT 1 FROM signals WHERE uuid = ?", [uuid]) is not None:
            raise Refused(409, f"signal {uuid!r} is there already")
        _check_label(cursor, fields["label"], uuid)
        marks = ", ".join("?" for _ in columns)
        cursor.execute(f"INSERT INTO signals({', '.join(columns)}) VALUES ({marks})", list(columns.values()))
    return uuid


def update_signal(store: Store, uuid: str, changes: Mapping[str, Any]) -> None:
    """Change some of `FIELDS`; the hash follows.

    Raises
    ------
    Refused
        404, and as `create_signal`.
    """
    with store.write() as cursor:
        current = dump(signal(cursor, uuid))
        columns = _columns({name: current[name] for name in FIELDS} | dict(changes)) | {"updated_ns": time.time_ns()}
        _check_label(cursor, columns["label"], uuid)
        changed = ", ".join(f"{column} = ?" for column in columns)
        cursor.execute(f"UPDATE signals SET {changed} WHERE uuid = ?", [*columns.values(), uuid])


def delete_signal(store: Store, uuid: str) -> None:
    """Remove a signal.

    Raises
    ------
    Refused
        404.
    """
    with store.write() as cursor:
        signal(cursor, uuid)
        cursor.execute("DELETE FROM signals WHERE uuid = ?", [uuid])


def _check_label(cursor: duckdb.DuckDBPyConnection, label: str, uuid: str) -> None:
    taken = one(cursor, "SELECT uuid FROM signals WHERE label = ? AND uuid <> ?", [label, uuid])
    if taken is not None:
        raise Refused(409, f"label {label!r} is that of signal {taken[0]}; change that one with PUT /api/v1/signals/{taken[0]}")


def _columns(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Check a definition and give it as columns."""
    conversion, display = fields["conversion"], fields["display"]
    exact_keys("conversion", conversion, ("type", "options"))
    if conversion["type"] not in list(ConversionType):
        raise Refused(400, f"conversion: type is {conversion['type']!r}; expected one of {', '.join(ConversionType)}")
    exact_keys("conversion.options", conversion["options"], _names(CONVERSIONS[conversion["type"]]))
    exact_keys("display", display, _names(Display))
    texts_only("display", {name: display[name] for name in ("unit", "format")})
    finite("display", {name: display[name] for name in ("min", "max")})
    if fields["data_type"] not in DATA_TYPES:
        raise Refused(
            400, f"data_type is {fields['data_type']}; expected one of {', '.join(map(str, sorted(map(int, DATA_TYPES))))}"
        )
    said = refusal(load(Signal, fields))
    if said is not None:
        raise Refused(400, said)
    return definition_columns(fields) | {"hash": _hash(fields)}


def definition_columns(fields: Mapping[str, Any]) -> dict[str, Any]:
    """A definition as columns, without the server's own."""
    texts = {name: json.dumps(fields[name]) for name in ("conversion", "display")}
    return {name: fields[name] for name in FIELDS} | texts


def _names(record: type[Any]) -> list[str]:
    return [each.name for each in dataclasses.fields(record)]


def _hash(fields: Mapping[str, Any]) -> str:
    """The same for the same definition on any server, so that it can serve as the key of a cache (protocol 2.6)."""
    defined = {name: _plain(fields[name]) for name in FIELDS if name != "description"}
    text = json.dumps(defined, sort_keys=True, separators=(",", ":"))
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


def _plain(value: Any) -> Any:
    """A value with its whole numbers written in one way: clients say 1 or 1.0 as their language has it."""
    if isinstance(value, Mapping):
        return {name: _plain(each) for name, each in value.items()}
    return int(value) if isinstance(value, float) and value.is_integer() else value
