"""The REST calls, one row each; client and server use the same rows.

Source: protocol 1.2, 2.2 to 2.8, 3.1, 4.1 and 4.2.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Final

from intdash_frames.model import Capture, Edge, Measurement, MeasurementBasetime, MeasurementMarker, Signal
from intdash_frames.model.kinds import basetime_type_name
from intdash_frames.protocol.call import (
    ABSENT,
    JSON_TYPE,
    REQUIRED,
    Endpoint,
    Param,
    Request,
    byte,
    conversion,
    count,
    flag,
    id_queries,
    iso,
    micro,
    micro_span,
    one_of,
    positive,
    record,
    text,
    texts,
    uuid_text,
)

__all__ = ["ENDPOINTS", "JSON_TYPE", "PROTOBUF_TYPE", "STREAM_PATH", "Endpoint", "Param", "Request", "uuid_text"]

PROTOBUF_TYPE: Final = "application/protobuf"
STREAM_PATH: Final = "/api/v1/ws/measurements"
"""Where a connection of iSCP begins; no call, so it has no row. Source: protocol 5.1."""


def _page(sort: str) -> tuple[Param, ...]:
    return (
        Param("sort", text, sort),
        Param("order", one_of("asc", "desc"), "asc"),
        Param("limit", count, 100),
        Param("page", positive, 1),
    )


def _optional(params: Iterable[Param]) -> tuple[Param, ...]:
    return tuple(dataclasses.replace(param, default=ABSENT) for param in params)


_API: Final = "/api/v1"
_MEASUREMENT: Final = f"{_API}/measurements/{{uuid}}"
_BASETIME: Final = f"{_MEASUREMENT}/basetimes/{{type}}"
_MARKER: Final = f"{_API}/measurements/markers/{{marker_uuid}}"
_SIGNAL: Final = f"{_API}/signals/{{uuid}}"
_CAPTURE: Final = f"{_API}/captures/{{uuid}}"
_MARKERS_SINCE: Final = (1, 10, 0)

VERSION: Final = Endpoint("GET", f"{_API}/version")
AUTHN: Final = Endpoint(
    "POST",
    f"{_API}/authn",
    body=(Param("username", text, REQUIRED), Param("password", text, REQUIRED)),
    idempotent=True,  # a login changes nothing
)

EDGES_ME: Final = Endpoint("GET", f"{_API}/edges/me", item=Edge)
EDGES_LIST: Final = Endpoint(
    "GET",
    f"{_API}/edges",
    query=(
        *_page("name"),
        Param("disabled", flag, False),
        Param("name", text),
        Param("nickname", text),
        Param("type", one_of("user", "device", "none")),
        Param("email", text),
    ),
    item=Edge,
    listed=True,
    paged=True,
)

MEASUREMENTS_CREATE: Final = Endpoint(
    "POST",
    f"{_API}/measurements",
    body=(
        Param("name", text, ""),
        Param("edge_uuid", uuid_text, REQUIRED),
        Param("description", text, ""),
        Param("basetime_type", basetime_type_name, "manual"),
        Param("basetime", iso, REQUIRED),
        Param("protected", flag, False),
    ),
    item=Measurement,
)
MEASUREMENTS_GET: Final = Endpoint("GET", _MEASUREMENT, item=Measurement)
MEASUREMENTS_GET_BY_MARKER: Final = Endpoint("GET", f"{_MARKER}/measurement", item=Measurement, since=_MARKERS_SINCE)
MEASUREMENTS_UPDATE: Final = Endpoint(
    "PUT",
    _MEASUREMENT,
    body=(
        Param("name", text),
        Param("description", text),
        Param("basetime_type", basetime_type_name),
        Param("ended", flag),
    ),
)
MEASUREMENTS_DELETE: Final = Endpoint("DELETE", _MEASUREMENT)
MEASUREMENTS_PROTECT: Final = Endpoint("PUT", f"{_MEASUREMENT}/protect", newer=Endpoint("PUT", f"{_MEASUREMENT}/protected"))
MEASUREMENTS_UNPROTECT: Final = Endpoint(
    "PUT", f"{_MEASUREMENT}/unprotect", newer=Endpoint("DELETE", f"{_MEASUREMENT}/protected")
)
MEASUREMENTS_LIST: Final = Endpoint(
    "GET",
    f"{_API}/measurements",
    query=(
        *_page("name"),
        Param("partial_match", flag, False),
        Param("name", text),
        Param("start", micro),
        Param("end", micro),
        Param("edge_uuid", uuid_text),
        Param("ended", flag),
    ),
    item=Measurement,
    listed=True,
    paged=True,
)

BASETIMES_GET: Final = Endpoint("GET", _BASETIME, item=MeasurementBasetime)
BASETIMES_PUT: Final = Endpoint("PUT", _BASETIME, body=(Param("basetime", iso, REQUIRED),))
BASETIMES_DELETE: Final = Endpoint("DELETE", _BASETIME)
BASETIMES_LIST: Final = Endpoint("GET", f"{_MEASUREMENT}/basetimes", item=MeasurementBasetime, listed=True)

_MARKER_FIELDS: Final = (
    Param("type", one_of("point", "range"), REQUIRED),
    Param("detail", record, REQUIRED),
    Param("name", text, filled=True),
    Param("description", text, filled=True),
    Param("tag", record, filled=True),
)
MARKERS_CREATE: Final = Endpoint(
    "POST", f"{_MEASUREMENT}/markers", body=_MARKER_FIELDS, item=MeasurementMarker, since=_MARKERS_SINCE
)
MARKERS_GET: Final = Endpoint("GET", _MARKER, item=MeasurementMarker, since=_MARKERS_SINCE)
MARKERS_UPDATE: Final = Endpoint("PUT", _MARKER, body=_optional(_MARKER_FIELDS), item=MeasurementMarker, since=_MARKERS_SINCE)
MARKERS_UPDATE_IN_MEASUREMENT: Final = dataclasses.replace(MARKERS_UPDATE, path=f"{_MEASUREMENT}/markers/{{marker_uuid}}")
MARKERS_DELETE: Final = Endpoint("DELETE", _MARKER, since=_MARKERS_SINCE)
MARKERS_DELETE_IN_MEASUREMENT: Final = dataclasses.replace(MARKERS_DELETE, path=f"{_MEASUREMENT}/markers/{{marker_uuid}}")
MARKERS_LIST: Final = Endpoint("GET", f"{_MEASUREMENT}/markers", item=MeasurementMarker, listed=True, since=_MARKERS_SINCE)

_SIGNAL_FIELDS: Final = (
    Param("label", text, REQUIRED),
    Param("description", text, ""),
    Param("data_type", byte, REQUIRED),
    Param("data_id", text, REQUIRED),
    Param("channel", byte, REQUIRED),
    Param("conversion", conversion, REQUIRED),
    Param("display", record, REQUIRED),
)
SIGNALS_CREATE: Final = Endpoint("POST", f"{_API}/signals", body=_SIGNAL_FIELDS, item=Signal)
SIGNALS_GET: Final = Endpoint("GET", _SIGNAL, item=Signal)
SIGNALS_UPDATE: Final = Endpoint("PUT", _SIGNAL, body=_optional(_SIGNAL_FIELDS))
SIGNALS_DELETE: Final = Endpoint("DELETE", _SIGNAL)
SIGNALS_LIST: Final = Endpoint(
    "GET", f"{_API}/signals", query=(*_page("label"), Param("label", text)), item=Signal, listed=True, paged=True
)

_CAPTURE_FIELDS: Final = (
    Param("name", text, REQUIRED),
    Param("description", text, ""),
    Param("start", iso, REQUIRED),
    Param("duration", micro_span, 0),
    Param("shared", flag, True),
)
CAPTURES_CREATE: Final = Endpoint("POST", f"{_API}/captures", body=_CAPTURE_FIELDS, item=Capture)
CAPTURES_GET: Final = Endpoint("GET", _CAPTURE, item=Capture)
CAPTURES_UPDATE: Final = Endpoint("PUT", _CAPTURE, body=_optional(_CAPTURE_FIELDS))
CAPTURES_DELETE: Final = Endpoint("DELETE", _CAPTURE)
CAPTURES_LIST: Final = Endpoint(
    "GET",
    f"{_API}/captures",
    query=(Param("start", micro, REQUIRED), Param("end", micro, REQUIRED), *_page("name"), Param("name", text)),
    item=Capture,
    listed=True,
    paged=True,
)

DATA_LIST: Final = Endpoint(
    "GET",
    f"{_API}/data",
    query=(
        Param("name", text, REQUIRED),
        Param("start", iso, REQUIRED),
        Param("end", iso, REQUIRED),
        Param("exit_on_error", flag, False),
        Param("limit", count, filled=True),
        Param("label", texts),
        Param("idq", id_queries),
    ),
    raw=True,
    accept=PROTOBUF_TYPE,
)
DATA_STORE: Final = Endpoint("POST", f"{_API}/measurements/data", raw=True, content_type=PROTOBUF_TYPE)
UNITS_STORE: Final = Endpoint("POST", f"{_MEASUREMENT}/data", raw=True, content_type="application/octet-stream")
# Which ids a measurement holds, or an edge within a time. The reference does not use them (protocol 2.8).
DATA_IDS: Final = Endpoint("GET", f"{_MEASUREMENT}/getids", listed=True)
EDGE_DATA_IDS: Final = Endpoint(
    "GET",
    f"{_API}/getids",
    query=(Param("start", micro, REQUIRED), Param("end", micro, REQUIRED), Param("edge_uuid", uuid_text)),
    listed=True,
)

ENDPOINTS: Final[dict[str, Endpoint]] = {name: each for name, each in globals().items() if isinstance(each, Endpoint)}
