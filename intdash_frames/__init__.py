"""intdash time series as pandas, polars and Arrow frames.

>>> import intdash_frames as idf
>>> client = idf.Client("https://example.intdash.jp", "edge token")  # doctest: +SKIP
>>> client.frames("414c343c-1e2f-7ed4-c2ce-78e57311d8a3").by_type()  # doctest: +SKIP

Heavy parts (numba, polars, matplotlib, the server) load on first use.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from intdash_frames import data, timeutils
from intdash_frames.connect import Client, LocalServer, default_client
from intdash_frames.errors import (
    ApiError,
    ConnectFailed,
    ConnectionLost,
    GapError,
    IncompleteRead,
    IncompleteStore,
    IntdashError,
    ISCPConnClosedException,
    LocalProtocolError,
    MissingDependency,
    NotFound,
    PayloadError,
    ProtocolError,
    RateLimited,
    RemoteProtocolError,
    ResultNGException,
    TimedOut,
    TransportError,
    Unauthorized,
    UsageError,
)
from intdash_frames.frames import spark
from intdash_frames.frames.accessor import register_pandas, register_polars
from intdash_frames.frames.polars_hook import when_imported
from intdash_frames.model import (
    BasetimeType,
    Capture,
    Conversion,
    ConversionCSV,
    ConversionJSON,
    ConversionNone,
    ConversionNumFixedPoint,
    ConversionNumFloatingPoint,
    ConversionSubBytes,
    ConversionSubString,
    ConversionType,
    DataFilter,
    DataPoint,
    DataResponse,
    DataType,
    Display,
    DownstreamSpec,
    Edge,
    EdgeType,
    IdQuery,
    Measurement,
    MeasurementBasetime,
    MeasurementMarker,
    MeasurementMarkerDetail,
    MeasurementMarkerDetailPoint,
    MeasurementMarkerDetailRange,
    MeasurementMarkerType,
    Signal,
    SignalKey,
    Unit,
    UpstreamSpec,
)

if TYPE_CHECKING:
    from intdash_frames.client.basetimes import MeasurementBasetimes
    from intdash_frames.client.captures import Captures
    from intdash_frames.client.credentials import StaticTokenSource, TokenSource
    from intdash_frames.client.data_points import DataPoints
    from intdash_frames.client.downstream import Downstream
    from intdash_frames.client.edges import Edges
    from intdash_frames.client.iscp import ISCPConn
    from intdash_frames.client.markers import MeasurementMarkers
    from intdash_frames.client.measurements import Measurements
    from intdash_frames.client.signals import Signals
    from intdash_frames.client.units import Units
    from intdash_frames.client.upstream import Upstream
    from intdash_frames.client.websocket import WebSocketConn
    from intdash_frames.connect.recording import open
    from intdash_frames.frames.partitions import Partition
    from intdash_frames.frames.query import Frames
    from intdash_frames.frames.report import Report
    from intdash_frames.frames.store import StoreResult, store
    from intdash_frames.server.faults import Fault

__all__ = [
    "ApiError",
    "BasetimeType",
    "Capture",
    "Captures",
    "Client",
    "ConnectFailed",
    "ConnectionLost",
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
    "DataPoints",
    "DataResponse",
    "DataType",
    "Display",
    "Downstream",
    "DownstreamSpec",
    "Edge",
    "EdgeType",
    "Edges",
    "Fault",
    "Frames",
    "GapError",
    "ISCPConn",
    "ISCPConnClosedException",
    "IdQuery",
    "IncompleteRead",
    "IncompleteStore",
    "IntdashError",
    "LocalProtocolError",
    "LocalServer",
    "Measurement",
    "MeasurementBasetime",
    "MeasurementBasetimes",
    "MeasurementMarker",
    "MeasurementMarkerDetail",
    "MeasurementMarkerDetailPoint",
    "MeasurementMarkerDetailRange",
    "MeasurementMarkerType",
    "MeasurementMarkers",
    "Measurements",
    "MissingDependency",
    "NotFound",
    "Partition",
    "PayloadError",
    "ProtocolError",
    "RateLimited",
    "RemoteProtocolError",
    "Report",
    "ResultNGException",
    "Signal",
    "SignalKey",
    "Signals",
    "StaticTokenSource",
    "StoreResult",
    "TimedOut",
    "TokenSource",
    "TransportError",
    "Unauthorized",
    "Unit",
    "Units",
    "Upstream",
    "UpstreamSpec",
    "UsageError",
    "WebSocketConn",
    "data",
    "default_client",
    "open",
    "spark",
    "store",
    "timeutils",
]

__version__ = "0.1.0"

# What loads requests, numba or the server with it, and the module it comes from.
_ON_FIRST_USE = {
    "Captures": "intdash_frames.client.captures",
    "DataPoints": "intdash_frames.client.data_points",
    "Downstream": "intdash_frames.client.downstream",
    "Edges": "intdash_frames.client.edges",
    "Fault": "intdash_frames.server.faults",
    "Frames": "intdash_frames.frames.query",
    "ISCPConn": "intdash_frames.client.iscp",
    "MeasurementBasetimes": "intdash_frames.client.basetimes",
    "MeasurementMarkers": "intdash_frames.client.markers",
    "Measurements": "intdash_frames.client.measurements",
    "Partition": "intdash_frames.frames.partitions",
    "Report": "intdash_frames.frames.report",
    "Signals": "intdash_frames.client.signals",
    "StaticTokenSource": "intdash_frames.client.credentials",
    "StoreResult": "intdash_frames.frames.store",
    "TokenSource": "intdash_frames.client.credentials",
    "Units": "intdash_frames.client.units",
    "Upstream": "intdash_frames.client.upstream",
    "WebSocketConn": "intdash_frames.client.websocket",
    "open": "intdash_frames.connect.recording",
    "store": "intdash_frames.frames.store",
}


def __getattr__(name: str) -> Any:
    if name not in _ON_FIRST_USE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(_ON_FIRST_USE[name]), name)
    globals()[name] = value
    return value


register_pandas()
when_imported("polars", register_polars)
