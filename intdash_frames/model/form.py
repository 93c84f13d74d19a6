"""Records as JSON: how a field looks there stands beside the field, one loader and one writer serve them all.

Source: protocol 1.4 and 2.1.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple, TypeVar

from intdash_frames import timebase
from intdash_frames.errors import RemoteProtocolError
from intdash_frames.model.kinds import BasetimeType, DataType, EdgeType, MeasurementMarkerType, basetime_type_name, member


class Form(NamedTuple):
    """How a field looks in JSON, and which pandas dtype its column has.

    `read` gets the value and the whole JSON object it stands in; `write` gets the value.
    """

    read: Callable[[Any, Mapping[str, Any]], Any]
    write: Callable[[Any], Any]
    dtype: str


def _read_moment(value: Any, _: Mapping[str, Any]) -> Any:
    time_ns = timebase.from_iso(value)
    # int64's lowest value is how pandas spells "not a time"
    return None if time_ns is None or time_ns == timebase.INT64_MIN else timebase.timestamp(time_ns)


def _read_span(value: Any, _: Mapping[str, Any]) -> Any:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not timebase.INT64_MIN < value * 1000 <= timebase.INT64_MAX:
        raise RemoteProtocolError(f"a duration is {value!r}, expected an integer of microseconds")
    return timebase.timedelta(timebase.from_micro(value))


def _write_span(value: Any) -> Any:
    return None if value is None else timebase.to_micro(timebase.duration_ns(value))


def _read_basetime_type(value: Any, _: Mapping[str, Any]) -> Any:
    return BasetimeType.__members__.get(value) if isinstance(value, str) else None


TEXT: Final = Form(lambda value, _: value, lambda value: value, "string[pyarrow]")
FLAG: Final = {"form": TEXT._replace(dtype="boolean")}
INTEGER: Final = {"form": TEXT._replace(dtype="Int64")}
NUMBER: Final = {"form": TEXT._replace(dtype="Float64")}
OBJECT: Final = {"form": TEXT._replace(dtype="object")}
MOMENT: Final = {
    "form": Form(
        _read_moment,
        lambda value: None if value is None else timebase.to_iso(timebase.moment_ns(value)),
        "datetime64[ns, UTC]",
    )
}
SPAN: Final = {"form": Form(_read_span, _write_span, "timedelta64[ns]")}
EDGE_TYPE: Final = {"form": TEXT._replace(read=lambda value, _: None if value is None else member(EdgeType, value))}
BASETIME_TYPE: Final = {
    "form": TEXT._replace(
        read=_read_basetime_type,
        write=lambda value: "undefined" if value is None else basetime_type_name(value),
    )
}
DATA_TYPE: Final = {
    "form": Form(
        lambda value, _: member(DataType, value) if isinstance(value, int) else value,
        lambda value: int(value) if isinstance(value, int) else value,
        "Int64",
    )
}

MARKER_TYPE: Final = {
    "form": TEXT._replace(read=lambda value, _: None if value is None else member(MeasurementMarkerType, value))
}


class Record:
    """What all records share: how they print."""

    __slots__ = ()

    def __str__(self) -> str:
        lines = []
        for each in dataclasses.fields(self):  # type: ignore[arg-type]
            value = getattr(self, each.name)
            lines.append(f"{each.name}: {value.name if isinstance(value, BasetimeType) else value}")
        return "\n".join(lines)


R = TypeVar("R")


def form_of(each: dataclasses.Field[Any]) -> Form:
    """How a field of a record looks in JSON."""
    form: Form = each.metadata.get("form", TEXT)
    return form


def load(cls: type[R], json: Any) -> R:
    """Make a record of a JSON object; a missing key gives None, an unknown one is ignored (protocol 2.1).

    Raises
    ------
    RemoteProtocolError
        If `json` is not an object.
    """
    if not isinstance(json, Mapping):
        raise RemoteProtocolError(f"the answer holds {type(json).__name__} where a JSON object of {cls.__name__} was expected")
    fields = dataclasses.fields(cls)  # type: ignore[arg-type]
    return cls(**{each.name: form_of(each).read(json.get(each.name), json) for each in fields})


def dump(record: Any) -> dict[str, Any]:
    """Make the JSON object of a record; an optional field that is None is left out."""
    values = ((each, getattr(record, each.name)) for each in dataclasses.fields(record))
    return {
        each.name: form_of(each).write(value)
        for each, value in values
        if value is not None or each.default is dataclasses.MISSING
    }
