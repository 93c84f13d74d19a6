"""Our client behind the calls of `Reference`: what a test asks of one side it can ask of the other, in the same form."""

from __future__ import annotations

import dataclasses
import enum
import operator
from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

import intdash_frames as idf


class Ours:
    """A client of ours; methods, arguments and results as of `Reference`."""

    def __init__(self, client: idf.Client) -> None:
        self.client = client

    def call(self, method: str, /, **arguments: Any) -> Any:
        return to_json(operator.attrgetter(method)(self.client)(**from_json(arguments)))


def from_json(value: Any) -> Any:  # noqa: PLR0911  (one kind of value a line)
    """The marks of `reference_driver.py` as objects of this package."""
    if isinstance(value, list):
        return [from_json(item) for item in value]
    if not isinstance(value, dict):
        return value
    if "$time" in value:
        return pd.Timestamp(value["$time"], unit="ns", tz="UTC")
    if "$duration" in value:
        return pd.Timedelta(value["$duration"], unit="ns")
    if "$bytes" in value:
        return bytes.fromhex(value["$bytes"])
    if "$payload" in value:
        return from_json(value["$payload"]).to_payload()
    fields = {key: from_json(item) for key, item in value.items() if key != "$new"}
    return operator.attrgetter(value["$new"])(idf)(**fields) if "$new" in value else fields


def to_json(value: Any) -> Any:  # noqa: PLR0911  (one kind of value a line)
    """Objects of this package in the form in which the driver answers those of the SDK."""
    if value is None or isinstance(value, str | bool | float):
        return value
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, int):
        return value
    if isinstance(value, bytes):
        return {"$bytes": value.hex()}
    if isinstance(value, pd.Timestamp):
        return {"$time": value.as_unit("ns").value}
    if isinstance(value, pd.Timedelta):
        return {"$duration": value.as_unit("ns").value}
    if isinstance(value, Mapping):
        return {key: to_json(item) for key, item in value.items()}
    if isinstance(value, list | tuple | Iterator):
        return [to_json(item) for item in value]
    if isinstance(value, idf.data.Data):
        return {
            "$bytes": value.to_payload().hex(),
            "data_type": value.data_type.value,
            "data_id": getattr(value, "data_id", None),
        }
    return {field.name: to_json(getattr(value, field.name)) for field in dataclasses.fields(value)}
