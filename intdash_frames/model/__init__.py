"""Names that every layer shares: closed sets as enumerations, records as frozen dataclasses."""

from intdash_frames.model.form import dump, load
from intdash_frames.model.kinds import BasetimeType, ConversionType, DataType, EdgeType, MeasurementMarkerType
from intdash_frames.model.points import DataPoint, DataResponse, IdQuery, SignalKey
from intdash_frames.model.records import (
    Capture,
    Edge,
    Measurement,
    MeasurementBasetime,
    MeasurementMarker,
    MeasurementMarkerDetail,
    MeasurementMarkerDetailPoint,
    MeasurementMarkerDetailRange,
)
from intdash_frames.model.signals import (
    Conversion,
    ConversionCSV,
    ConversionJSON,
    ConversionNone,
    ConversionNumFixedPoint,
    ConversionNumFloatingPoint,
    ConversionSubBytes,
    ConversionSubString,
    Display,
    Signal,
)
from intdash_frames.model.streams import NULL_UUID, DataFilter, DownstreamSpec, Unit, UpstreamSpec

__all__ = [
    "NULL_UUID",
    "BasetimeType",
    "Capture",
    "Conversion",
    "ConversionCSV",
    "ConversionJSON",
    "ConversionNone",
    "ConversionNumFixedPoint",
    "ConversionNumFloatingPoint",
    "ConversionSubBytes",
    "ConversionSubString",
    "ConversionType",
    "DataFilter",
    "DataPoint",
    "DataResponse",
    "DataType",
    "Display",
    "DownstreamSpec",
    "Edge",
    "EdgeType",
    "IdQuery",
    "Measurement",
    "MeasurementBasetime",
    "MeasurementMarker",
    "MeasurementMarkerDetail",
    "MeasurementMarkerDetailPoint",
    "MeasurementMarkerDetailRange",
    "MeasurementMarkerType",
    "Signal",
    "SignalKey",
    "Unit",
    "UpstreamSpec",
    "dump",
    "load",
]
