"""The resources of the REST API as frozen dataclasses; positions and names are those of the vendor's SDK.

Source: protocol 2.2 to 2.5 and 2.7.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Final

from intdash_frames.model.form import (
    BASETIME_TYPE,
    EDGE_TYPE,
    FLAG,
    MARKER_TYPE,
    MOMENT,
    NUMBER,
    OBJECT,
    SPAN,
    Form,
    Record,
    dump,
    load,
)
from intdash_frames.model.kinds import BasetimeType, EdgeType, MeasurementMarkerType, member

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True)
class Edge(Record):
    """An account that sends or receives data (protocol 2.2)."""

    uuid: str
    name: str
    description: str
    nickname: str
    type: EdgeType = field(metadata=EDGE_TYPE)
    disabled: bool = field(metadata=FLAG)
    created_at: pd.Timestamp | None = field(metadata=MOMENT)
    updated_at: pd.Timestamp | None = field(metadata=MOMENT)
    last_login_at: pd.Timestamp | None = field(metadata=MOMENT)


class MeasurementMarkerDetail(Record):
    """Where a marker stands; one class per `MeasurementMarkerType`."""

    __slots__ = ()

    type: ClassVar[MeasurementMarkerType]


@dataclass(frozen=True, slots=True)
class MeasurementMarkerDetailPoint(MeasurementMarkerDetail):
    """A moment of a measurement: the time since the base time."""

    type: ClassVar[MeasurementMarkerType] = MeasurementMarkerType.point
    occurred_elapsed_time: pd.Timedelta = field(metadata=SPAN)


@dataclass(frozen=True, slots=True)
class MeasurementMarkerDetailRange(MeasurementMarkerDetail):
    """A stretch of a measurement: the times since the base time."""

    type: ClassVar[MeasurementMarkerType] = MeasurementMarkerType.range
    start_elapsed_time: pd.Timedelta = field(metadata=SPAN)
    end_elapsed_time: pd.Timedelta = field(metadata=SPAN)


MARKER_DETAILS: Final = {cls.type: cls for cls in (MeasurementMarkerDetailPoint, MeasurementMarkerDetailRange)}


def _read_detail(value: Any, record: Mapping[str, Any]) -> Any:
    cls = MARKER_DETAILS.get(member(MeasurementMarkerType, record.get("type")))
    return value if cls is None or value is None else load(cls, value)


MARKER_DETAIL: Final = {
    "form": Form(_read_detail, lambda value: dump(value) if isinstance(value, MeasurementMarkerDetail) else value, "object")
}


@dataclass(frozen=True, slots=True)
class MeasurementMarker(Record):
    """A note at a moment or a stretch of a measurement (protocol 2.5)."""

    uuid: str
    name: str
    description: str
    type: MeasurementMarkerType = field(metadata=MARKER_TYPE)
    detail: MeasurementMarkerDetail = field(metadata=MARKER_DETAIL)
    tag: dict[str, str] = field(metadata=OBJECT)
    created_at: pd.Timestamp | None = field(metadata=MOMENT)
    created_by: str
    updated_at: pd.Timestamp | None = field(metadata=MOMENT)
    updated_by: str


MARKERS: Final = {
    "form": Form(
        lambda value, _: None if value is None else [load(MeasurementMarker, each) for each in value],
        lambda value: None if value is None else [dump(each) for each in value],
        "object",
    )
}


@dataclass(frozen=True, slots=True)
class Measurement(Record):
    """One recording of one edge (protocol 2.3)."""

    uuid: str
    name: str
    description: str
    edge_uuid: str
    duration: pd.Timedelta = field(metadata=SPAN)
    basetime: pd.Timestamp | None = field(metadata=MOMENT)
    basetime_type: BasetimeType | None = field(metadata=BASETIME_TYPE)
    ended: bool = field(metadata=FLAG)
    processed_ratio: float = field(metadata=NUMBER)
    protected: bool = field(metadata=FLAG)
    created_at: pd.Timestamp | None = field(metadata=MOMENT)
    updated_at: pd.Timestamp | None = field(metadata=MOMENT)
    markers: list[MeasurementMarker] | None = field(default=None, metadata=MARKERS)


@dataclass(frozen=True, slots=True)
class MeasurementBasetime(Record):
    """One of the base times of a measurement (protocol 2.4)."""

    type: BasetimeType | None = field(metadata=BASETIME_TYPE)
    basetime: pd.Timestamp | None = field(metadata=MOMENT)
    created_at: pd.Timestamp | None = field(metadata=MOMENT)
    updated_at: pd.Timestamp | None = field(metadata=MOMENT)


@dataclass(frozen=True, slots=True)
class Capture(Record):
    """A named stretch of time (protocol 2.7)."""

    uuid: str
    name: str
    description: str
    start: pd.Timestamp | None = field(metadata=MOMENT)
    duration: pd.Timedelta = field(metadata=SPAN)
    edge_uuid: str
    shared: bool = field(metadata=FLAG)
    created_at: pd.Timestamp | None = field(metadata=MOMENT)
    updated_at: pd.Timestamp | None = field(metadata=MOMENT)
