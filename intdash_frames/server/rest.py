"""Answers to the REST calls: one short function a row of `protocol.endpoints`.

A handler runs in a worker thread, may touch the database, and returns a response or raises `Refused`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlencode

from duckdb import DuckDBPyConnection
from starlette.datastructures import QueryParams
from starlette.responses import JSONResponse, Response

from intdash_frames.codecs.points import StoreSection, read_store
from intdash_frames.codecs.units import read_units
from intdash_frames.errors import RemoteProtocolError, UsageError
from intdash_frames.model import Measurement, dump
from intdash_frames.model.kinds import basetime_type_name
from intdash_frames.protocol import endpoints as calls
from intdash_frames.protocol.call import Endpoint, Param, micro, text, uuid_text
from intdash_frames.protocol.elements import ResultCode, SectionAck
from intdash_frames.protocol.framing import write_elements
from intdash_frames.server import captures, catalogue, definitions, markers
from intdash_frames.server.accounts import Accounts
from intdash_frames.server.answers import Answer, data_answer
from intdash_frames.server.arguments import read_fields, read_query
from intdash_frames.server.catalogue import Page, Where
from intdash_frames.server.selection import DataQuery, IdPattern, stored_ids
from intdash_frames.server.store import Refused, Store

__all__ = ["HANDLERS", "OPEN_CALLS", "Call", "Handler"]

VERSION: Final = "1.17.0"
DEFAULT_LIMIT: Final = 1000  # of a list asked for with limit=0 (protocol 2.1)
STORE_STREAM_ID: Final = 1  # of the acknowledgement, as in the stream form of the body (protocol 4.2)


@dataclass(frozen=True, slots=True)
class Call:
    """One request, as a handler sees it."""

    store: Store
    accounts: Accounts
    endpoint: Endpoint
    caller: str  # edge uuid; empty in calls that need no credentials
    path: dict[str, str]
    query: QueryParams
    body: bytes
    refuse_sections: bool = False  # a fault: acknowledge a store as not taken

    @property
    def uuid(self) -> str:
        """The uuid in the path."""
        return self.path["uuid"].lower()

    @property
    def marker_uuid(self) -> str:
        """The uuid of a marker in the path."""
        return self.path["marker_uuid"].lower()

    @property
    def owner_uuid(self) -> str | None:
        """The uuid of the measurement that a marker has to be one of, if the path says so."""
        return self.uuid if "uuid" in self.path else None

    def arguments(self) -> dict[str, Any]:
        """The query by the endpoint's row."""
        return read_query(self.endpoint.query, self.query)

    def fields(self) -> dict[str, Any]:
        """The JSON body by the endpoint's row."""
        return read_fields(self.endpoint.body or (), self.body)


Handler = Callable[[Call], "Response | Answer"]


def _version(_: Call) -> Response:
    return JSONResponse({"version": VERSION})


def _authn(call: Call) -> Response:
    return JSONResponse({"token": call.accounts.login(**call.fields())})


def _list(
    call: Call, given: dict[str, Any], sorts: dict[str, str], where: Where, find: Callable[..., tuple[list[Any], int]]
) -> Response:
    """Answer a page of a list with the links to its neighbours (protocol 2.1)."""
    if given["sort"] not in sorts:
        raise Refused(400, f"sort {given['sort']!r}: expected one of {', '.join(sorts)}")
    page = Page(sorts[given["sort"]], given["order"] == "desc", given["limit"] or DEFAULT_LIMIT, given["page"])
    with call.store.read() as cursor:
        items, total = find(cursor, where, page)
    last = page.number * page.limit >= total

    def link(number: int, there: bool) -> str:
        others = [(name, value) for name, value in call.query.multi_items() if name != "page"]
        return f"{call.endpoint.path}?{urlencode([*others, ('page', number)])}" if there else ""

    return JSONResponse(
        {
            "items": [dump(item) for item in items],
            "page": {
                "total_count": total,
                "first": page.number == 1,
                "last": last,
                "next": link(page.number + 1, not last),
                "previous": link(page.number - 1, page.number > 1),
            },
        }
    )


def _edges_me(call: Call) -> Response:
    with call.store.read() as cursor:
        return JSONResponse(dump(catalogue.edge(cursor, call.caller)))


def _edges_list(call: Call) -> Response:
    given, where = call.arguments(), Where()
    where.add("disabled = ?", given["disabled"])
    where.add_name("name", given.get("name"))
    where.add_name("nickname", given.get("nickname"))
    where.add_name("''", given.get("email"))  # accounts here have no e-mail address
    if "type" in given:
        where.add("type = ?", given["type"])
    return _list(call, given, catalogue.EDGE_SORTS, where, catalogue.edges)


def _measurement(call: Call, uuid: str, status: int) -> Response:
    def find(cursor: DuckDBPyConnection) -> Any:
        (found,) = markers.with_markers(cursor, [catalogue.measurement(cursor, uuid)])
        return dump(found)

    return JSONResponse(call.store.recall(("measurement", uuid), find), status)


def _measurements_create(call: Call) -> Response:
    given = call.fields()
    uuid = _uuid_argument(call.path["uuid"]) if "uuid" in call.path else None
    uuid = catalogue.create_measurement(call.store, basetime_ns=given.pop("basetime"), uuid=uuid, **given)
    return _measurement(call, uuid, 201)


def _uuid_argument(value: str) -> str:
    try:
        return uuid_text(value)
    except UsageError as exc:
        raise Refused(400, f"uuid: {exc}") from exc


def _measurements_get(call: Call) -> Response:
    return _measurement(call, call.uuid, 200)


def _measurements_get_by_marker(call: Call) -> Response:
    with call.store.read() as cursor:
        uuid = markers.measurement_of(cursor, call.marker_uuid)
    return _measurement(call, uuid, 200)


def _measurements_update(call: Call) -> Response:
    catalogue.update_measurement(call.store, call.uuid, call.fields())
    return Response(status_code=204)


def _measurements_delete(call: Call) -> Response:
    catalogue.delete_measurement(call.store, call.uuid)
    return Response(status_code=204)


def _protect(protected: bool, status: int) -> Handler:
    def handler(call: Call) -> Response:
        catalogue.update_measurement(call.store, call.uuid, {"protected": protected})
        return Response(status_code=status)

    return handler


def _measurements_list(call: Call) -> Response:
    """Ranges are half open; with ``partial_match`` a measurement counts as far as its last point, which lies at its end."""
    given, where = call.arguments(), Where()
    where.add_name("m.name", given.get("name"))
    if "edge_uuid" in given:
        where.add("m.edge_uuid = ?", given["edge_uuid"])
    if "ended" in given:
        where.add("m.ended = ?", given["ended"])
    if "start" in given:
        # HUGEINT: the sum may leave 64 bits
        reach = "b.basetime_ns::HUGEINT + m.last_elapsed_ns" if given["partial_match"] else "b.basetime_ns"
        where.add(f"{reach} >= ?", given["start"])
    if "end" in given:
        where.add("b.basetime_ns < ?", given["end"])
    return _list(call, given, catalogue.MEASUREMENT_SORTS, where, _measurements_with_markers)


def _measurements_with_markers(cursor: DuckDBPyConnection, where: Where, page: Page) -> tuple[list[Measurement], int]:
    found, total = catalogue.measurements(cursor, where, page)
    return markers.with_markers(cursor, found), total


def _basetime_type(call: Call) -> str:
    try:
        return basetime_type_name(call.path["type"])
    except UsageError as exc:
        raise Refused(400, str(exc)) from exc


def _basetimes_list(call: Call) -> Response:
    with call.store.read() as cursor:
        return JSONResponse({"items": [dump(each) for each in catalogue.basetimes(cursor, call.uuid)]})


def _basetimes_get(call: Call) -> Response:
    kind = _basetime_type(call)
    with call.store.read() as cursor:
        for each in catalogue.basetimes(cursor, call.uuid):
            if each.type is not None and each.type.name == kind:
                return JSONResponse(dump(each))
    raise Refused(404, f"measurement {call.uuid} has no base time {kind!r}")


def _basetimes_put(call: Call) -> Response:
    catalogue.put_basetime(call.store, call.uuid, _basetime_type(call), call.fields()["basetime"])
    return Response(status_code=204)


def _basetimes_delete(call: Call) -> Response:
    catalogue.delete_basetime(call.store, call.uuid, _basetime_type(call))
    return Response(status_code=204)


def _marker(call: Call, uuid: str, status: int) -> Response:
    with call.store.read() as cursor:
        return JSONResponse(dump(markers.marker(cursor, uuid, call.owner_uuid)), status)


def _markers_create(call: Call) -> Response:
    return _marker(call, markers.create_marker(call.store, call.uuid, call.caller, **call.fields()), 201)


def _markers_get(call: Call) -> Response:
    return _marker(call, call.marker_uuid, 200)


def _markers_update(call: Call) -> Response:
    markers.update_marker(call.store, call.marker_uuid, call.caller, call.fields(), call.owner_uuid)
    return _marker(call, call.marker_uuid, 201)


def _markers_delete(call: Call) -> Response:
    markers.delete_marker(call.store, call.marker_uuid, call.owner_uuid)
    return Response(status_code=201)


def _markers_delete_all(call: Call) -> Response:
    markers.delete_markers(call.store, call.uuid)
    return Response(status_code=204)


def _markers_list(call: Call) -> Response:
    with call.store.read() as cursor:
        return JSONResponse({"items": [dump(each) for each in markers.markers(cursor, call.uuid)]})


def _signal(call: Call, uuid: str) -> Response:
    with call.store.read() as cursor:
        return JSONResponse(dump(definitions.signal(cursor, uuid)))


def _signals_create(call: Call) -> Response:
    return _signal(call, definitions.create_signal(call.store, **call.fields()))


def _signals_get(call: Call) -> Response:
    return _signal(call, call.uuid)


def _signals_update(call: Call) -> Response:
    definitions.update_signal(call.store, call.uuid, call.fields())
    return Response(status_code=204)


def _signals_delete(call: Call) -> Response:
    definitions.delete_signal(call.store, call.uuid)
    return Response(status_code=204)


def _signals_list(call: Call) -> Response:
    given, where = call.arguments(), Where()
    where.add_name("label", *filter(None, call.query.getlist("label")))  # newer clients ask for several
    return _list(call, given, definitions.SIGNAL_SORTS, where, definitions.signals)


def _capture(call: Call, uuid: str, status: int) -> Response:
    with call.store.read() as cursor:
        return JSONResponse(dump(captures.capture(cursor, uuid, call.caller)), status)


def _captures_create(call: Call) -> Response:
    return _capture(call, captures.create_capture(call.store, call.caller, call.fields()), 201)


def _captures_get(call: Call) -> Response:
    return _capture(call, call.uuid, 200)


def _captures_update(call: Call) -> Response:
    captures.update_capture(call.store, call.uuid, call.caller, call.fields())
    return Response(status_code=204)


def _captures_delete(call: Call) -> Response:
    captures.delete_capture(call.store, call.uuid, call.caller)
    return Response(status_code=204)


def _captures_list(call: Call) -> Response:
    """What reaches into a half open range: a capture counts up to its end and with it, so that one without duration does."""
    given, where = call.arguments(), captures.of_caller(call.caller)
    where.add_name("name", given.get("name"))
    where.add("start_ns::HUGEINT + duration_ns >= ?", given["start"])
    where.add("start_ns < ?", given["end"])
    return _list(call, given, captures.CAPTURE_SORTS, where, captures.captures)


def _data_list(call: Call) -> Answer:
    given = call.arguments()
    query = DataQuery(
        name=given["name"],
        start_ns=given["start"],
        end_ns=given["end"],
        patterns=[IdPattern.parse(each) for each in given.get("idq", [])],
        labels=given.get("label", []),
        limit=given.get("limit", 0),
        exit_on_error=given["exit_on_error"],
    )
    return data_answer(call.store, query)


def _store_points(call: Call) -> Response:
    return _keep(call, _read(read_store, call.body), None)


def _store_units(call: Call) -> Response:
    return _keep(call, _read(read_units, call.body), call.uuid)


def _read(read: Callable[[bytes], StoreSection], body: bytes) -> StoreSection:
    try:
        return read(body)
    except RemoteProtocolError as exc:
        raise Refused(400, str(exc)) from exc


def _keep(call: Call, section: StoreSection, uuid: str | None) -> Response:
    """Store a section; its acknowledgement leaves after the commit (protocol 4.3)."""
    if not call.refuse_sections:
        uuid = section.measurement_uuid.lower() if uuid is None else uuid
        call.store.append(uuid, section.points, final=section.final)
    result = ResultCode.NG if call.refuse_sections else ResultCode.OK
    ack = SectionAck(STORE_STREAM_ID, result, section.serial_number)
    return Response(write_elements([ack]), media_type="application/octet-stream")


def _ids(call: Call) -> Response:
    return JSONResponse(
        {"items": [{"data_type": t, "channel": c, "data_id": i} for t, c, i in stored_ids(call.store, call.uuid)]}
    )


def _edge_ids(call: Call) -> Response:
    given = call.arguments()
    found = stored_ids(call.store, given.get("edge_uuid", call.caller), given["start"], given["end"])
    return JSONResponse({"items": [{"data_type": t, "channel": c, "data_id": i} for t, c, i in found]})


def _data_ids(call: Call) -> Response:
    given = call.arguments()
    found = stored_ids(call.store, given["name"], given.get("start"), given.get("end"))
    return JSONResponse({"items": [{"data_type": str(t), "data_id": f"{c}/{i}"} for t, c, i in found]})


# Paths of newer servers that the reference, and so the shared table, does not use (protocol 2.8).
CREATE_WITH_UUID: Final = dataclasses.replace(calls.MEASUREMENTS_CREATE, path=calls.MEASUREMENTS_GET.path)
GET_MARKER_IN_MEASUREMENT: Final = dataclasses.replace(calls.MARKERS_GET, path=calls.MARKERS_UPDATE_IN_MEASUREMENT.path)
DELETE_MARKERS: Final = dataclasses.replace(calls.MARKERS_DELETE, path=calls.MARKERS_LIST.path)
CREATE_SIGNAL: Final = dataclasses.replace(
    calls.SIGNALS_CREATE, body=(*(calls.SIGNALS_CREATE.body or ()), Param("uuid", uuid_text))
)
DATA_IDS_BY_NAME: Final = Endpoint(
    "GET", "/api/v1/data_ids", query=(Param("name", text), Param("start", micro), Param("end", micro))
)


def _newer(endpoint: Endpoint) -> Endpoint:
    if endpoint.newer is None:
        raise LookupError(f"{endpoint.method} {endpoint.path} has no newer form")
    return endpoint.newer


HANDLERS: Final[tuple[tuple[Endpoint, Handler], ...]] = (
    (calls.VERSION, _version),
    (calls.AUTHN, _authn),
    (calls.EDGES_ME, _edges_me),
    (calls.EDGES_LIST, _edges_list),
    (calls.MEASUREMENTS_CREATE, _measurements_create),
    (CREATE_WITH_UUID, _measurements_create),
    (calls.MEASUREMENTS_GET, _measurements_get),
    (calls.MEASUREMENTS_GET_BY_MARKER, _measurements_get_by_marker),
    (calls.MEASUREMENTS_UPDATE, _measurements_update),
    (calls.MEASUREMENTS_DELETE, _measurements_delete),
    (calls.MEASUREMENTS_PROTECT, _protect(True, 200)),
    (calls.MEASUREMENTS_UNPROTECT, _protect(False, 200)),
    (_newer(calls.MEASUREMENTS_PROTECT), _protect(True, 204)),
    (_newer(calls.MEASUREMENTS_UNPROTECT), _protect(False, 204)),
    (calls.MEASUREMENTS_LIST, _measurements_list),
    (calls.BASETIMES_LIST, _basetimes_list),
    (calls.BASETIMES_GET, _basetimes_get),
    (calls.BASETIMES_PUT, _basetimes_put),
    (calls.BASETIMES_DELETE, _basetimes_delete),
    (calls.MARKERS_CREATE, _markers_create),
    (calls.MARKERS_GET, _markers_get),
    (GET_MARKER_IN_MEASUREMENT, _markers_get),
    (calls.MARKERS_UPDATE, _markers_update),
    (calls.MARKERS_UPDATE_IN_MEASUREMENT, _markers_update),
    (calls.MARKERS_DELETE, _markers_delete),
    (calls.MARKERS_DELETE_IN_MEASUREMENT, _markers_delete),
    (DELETE_MARKERS, _markers_delete_all),
    (calls.MARKERS_LIST, _markers_list),
    (CREATE_SIGNAL, _signals_create),
    (calls.SIGNALS_GET, _signals_get),
    (calls.SIGNALS_UPDATE, _signals_update),
    (calls.SIGNALS_DELETE, _signals_delete),
    (calls.SIGNALS_LIST, _signals_list),
    (calls.CAPTURES_CREATE, _captures_create),
    (calls.CAPTURES_GET, _captures_get),
    (calls.CAPTURES_UPDATE, _captures_update),
    (calls.CAPTURES_DELETE, _captures_delete),
    (calls.CAPTURES_LIST, _captures_list),
    (calls.DATA_LIST, _data_list),
    (calls.DATA_STORE, _store_points),
    (calls.UNITS_STORE, _store_units),
    (calls.DATA_IDS, _ids),
    (calls.EDGE_DATA_IDS, _edge_ids),
    (DATA_IDS_BY_NAME, _data_ids),
)
# Calls without credentials (protocol 1.2).
OPEN_CALLS: Final = (calls.VERSION, calls.AUTHN)
