"""Every recorded request derives from a row of the table, and every recorded answer reads as the reference read it."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import pandas as pd
import pytest

from intdash_frames import model, timebase
from intdash_frames.errors import RemoteProtocolError, UsageError
from intdash_frames.protocol import endpoints
from intdash_frames.protocol.endpoints import ENDPOINTS, Endpoint, Request

GOLDEN = json.loads((Path(__file__).parents[2] / "fixtures" / "golden" / "rest_requests.json").read_text())
CASES = {case["name"]: case for case in GOLDEN["cases"]}

# What a caller would type, by the start of the case's name; the rest comes from the recorded request itself.
ROWS = {
    "version": endpoints.VERSION,
    "authn": endpoints.AUTHN,
    "basetimes_update": endpoints.BASETIMES_PUT,
    "markers_update_in_measurement": endpoints.MARKERS_UPDATE_IN_MEASUREMENT,
    "markers_delete_in_measurement": endpoints.MARKERS_DELETE_IN_MEASUREMENT,
    "measurements_get_by_marker": endpoints.MEASUREMENTS_GET_BY_MARKER,
    "data_points_list": endpoints.DATA_LIST,
    "data_points_store": endpoints.DATA_STORE,
    "units_store": endpoints.UNITS_STORE,
}
# Names of arguments whose recorded form is a time or a duration.
TIMES = {"start", "end", "basetime"}


def row_of(name: str) -> Endpoint:
    for prefix in sorted(ROWS, key=len, reverse=True):
        if name.startswith(prefix):
            return ROWS[prefix]
    return next(row for key, row in ENDPOINTS.items() if "_".join(name.split("_")[:2]) == key.lower())


def path_arguments(template: str, path: str) -> dict[str, str]:
    pairs = zip(template.split("/"), path.split("/"), strict=True)
    return {part[1:-1]: value for part, value in pairs if part.startswith("{")}


# The argument that a caller would give for a recorded value; the 999 ns must be cut off again.
GIVEN: dict[str, Any] = {
    **dict.fromkeys(
        ("start", "end", "basetime"),
        lambda value: timebase.from_micro(int(value)) + 999 if value.isdigit() else timebase.from_iso(value),
    ),
    **dict.fromkeys(("disabled", "exit_on_error", "partial_match", "ended"), lambda value: str(value).lower() == "true"),
    **dict.fromkeys(("limit", "page"), int),
    "duration": lambda value: timebase.from_micro(value) + 999,
    "detail": lambda value: model.load(
        model.MeasurementMarkerDetailPoint if len(value) == 1 else model.MeasurementMarkerDetailRange, value
    ),
    "conversion": lambda value: model.load(model.Signal, {"conversion": value}).conversion,
    "display": lambda value: model.load(model.Display, value),
}


def given(name: str, value: Any) -> Any:
    return GIVEN[name](value) if name in GIVEN else value


def arguments_of(case: dict[str, Any], row: Endpoint) -> dict[str, Any]:
    arguments: dict[str, Any] = path_arguments(row.path, case["path"])
    for name, value in case["query"]:
        if row is endpoints.DATA_LIST and name in ("label", "idq"):
            arguments.setdefault(name, []).append(value)
        else:
            arguments[name] = given(name, value)
    for name, value in (case.get("json") or {}).items():
        arguments[name] = given(name, value)
    return arguments


def lower_booleans(query: str) -> str:
    """The one difference from the recording: the reference spells two booleans with a capital (protocol 1.4)."""
    return query.replace("=False", "=false").replace("=True", "=true")


@pytest.mark.parametrize("name", CASES)
def test_recorded_request_derives_from_its_row(name: str) -> None:
    case = CASES[name]
    row = row_of(name)
    body = bytes.fromhex(case["body_hex"]) if "body_hex" in case else None
    request = row.request(**arguments_of(case, row), **({"body": body} if body is not None else {}))
    assert request.method == case["method"]
    assert request.path == case["path"]
    assert request.target.partition("?")[2] == lower_booleans(case["raw_query"])
    if case["json"] is not None:
        assert request.body is not None
        assert json.loads(request.body) == case["json"]
    else:
        assert request.body == body
    # the reference gives units no content type of their own (protocol 4.2)
    assert request.content_type == ("application/octet-stream" if name == "units_store" else case["content_type"])
    assert request.accept == case.get("accept", "*/*")


@pytest.mark.parametrize("name", [name for name in CASES if name.endswith("_defaults")])
def test_defaults_are_those_of_the_reference(name: str) -> None:
    case, row = CASES[name], row_of(name)
    required = {"measurements_create_defaults": ("edge_uuid", "basetime"), "captures_create_defaults": ("name", "start")}
    everything = arguments_of(case, row)
    request = row.request(**{key: everything[key] for key in required.get(name, ())})
    assert request == row.request(**everything)


def comparable(value: Any) -> Any:
    """A record as the golden file writes what the reference read."""
    result = value
    if isinstance(value, model.Conversion):
        result = {"type": str(value.type), "options": dataclasses.asdict(value)}
    elif dataclasses.is_dataclass(value):
        result = {each.name: comparable(getattr(value, each.name)) for each in dataclasses.fields(value)}
    elif isinstance(value, list):
        result = [comparable(each) for each in value]
    elif isinstance(value, model.BasetimeType):
        result = value.name
    elif isinstance(value, (pd.Timestamp, pd.Timedelta)):
        result = {"timestamp_ns" if isinstance(value, pd.Timestamp) else "duration_ns": value.value}
    return result


def expected(parsed: Any) -> Any:
    """What the reference read, less its quirks: marker times stay text there, a missing time is an object (protocol 2.5)."""
    if isinstance(parsed, list):
        return [expected(each) for each in parsed]
    if not isinstance(parsed, dict):
        return parsed
    if parsed == {"timestamp_ns": None}:
        return None
    result = {key: expected(each) for key, each in parsed.items()}
    if "created_by" in result:
        result |= {key: {"timestamp_ns": timebase.from_iso(result[key])} for key in ("created_at", "updated_at")}
    return result


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.get("response_json") is not None])
def test_recorded_answer_reads_as_the_reference_read_it(name: str) -> None:
    case = CASES[name]
    parsed = row_of(name).parse(case["response_status"], json.dumps(case["response_json"]).encode())
    if name in ("version", "authn"):
        assert parsed == case["response_json"]
        return
    assert comparable(parsed) == expected(case["parsed"])


RECORDS = [name for name, case in CASES.items() if "response_json" in case and "_list" not in name and row_of(name).item]


@pytest.mark.parametrize("name", RECORDS)
def test_a_record_is_dumped_as_the_server_wrote_it(name: str) -> None:
    case, row = CASES[name], row_of(name)
    assert row.item is not None
    again = model.dump(row.parse(200, json.dumps(case["response_json"]).encode()))
    assert model.load(row.item, again) == model.load(row.item, case["response_json"])
    assert set(again) == set(case["response_json"])


def test_missing_keys_are_none_and_unknown_ones_are_ignored() -> None:
    edge = endpoints.EDGES_ME.parse(200, b'{"name": "e", "brand_new": 1}')
    assert edge == model.Edge(None, "e", None, None, None, None, None, None, None)  # type: ignore[arg-type]


def test_a_body_with_no_content_is_none() -> None:
    assert endpoints.MEASUREMENTS_UPDATE.parse(204, b"") is None


@pytest.mark.parametrize("body", [b"<html>", b"[1]", b'{"items": null}', b'{"items": [3]}', b'{"page": {}}'])
def test_an_answer_of_another_kind_is_a_remote_protocol_error(body: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        endpoints.EDGES_LIST.parse(200, body)


UUID = "414c343c-1e2f-7ed4-c2ce-78e57311d8a3"


@pytest.mark.parametrize(
    ("row", "arguments", "said"),
    [
        (endpoints.MEASUREMENTS_GET, {"uuid": "414c"}, "uuid: '414c' is no UUID"),
        (endpoints.MEASUREMENTS_GET, {"uuid": f"{UUID}\n"}, "is no UUID"),
        (endpoints.MEASUREMENTS_GET, {"uuid": "../../authn"}, "is no UUID"),
        (endpoints.MEASUREMENTS_GET, {}, "needs uuid"),
        (endpoints.MEASUREMENTS_LIST, {"edge_uuid": 5}, "edge_uuid: 5 is no UUID"),
        (endpoints.MEASUREMENTS_LIST, {"order": "up"}, "one of asc, desc"),
        (endpoints.MEASUREMENTS_LIST, {"limit": -1}, "limit: -1 is negative"),
        (endpoints.MEASUREMENTS_LIST, {"page": 0}, "page: 0 is below 1"),
        (endpoints.MEASUREMENTS_LIST, {"page": True}, "expected a whole number"),
        (endpoints.MEASUREMENTS_LIST, {"ended": "yes"}, "ended: 'yes' is str, expected True or False"),
        (
            endpoints.MEASUREMENTS_CREATE,
            {"edge_uuid": UUID, "basetime": 0, "basetime_type": "moon"},
            "is unknown; one of",
        ),
        (endpoints.DATA_LIST, {"name": "e", "start": 0, "end": 1, "idq": [model.IdQuery(channel=256)]}, "channel=256"),
        (endpoints.DATA_LIST, {"name": "e", "start": 0, "end": 1, "idq": [model.IdQuery("CAN")]}, "data_type='CAN'"),
        (endpoints.DATA_LIST, {"name": "e", "start": 0, "end": 1, "label": 3}, "expected a list"),
        (
            endpoints.SIGNALS_UPDATE,
            {"uuid": UUID, "display": model.Display("m", float("nan"), 1, "%f")},
            "cannot be written as JSON",
        ),
    ],
)
def test_an_argument_that_cannot_work_is_refused_by_name(row: Endpoint, arguments: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        row.request(**arguments)


def test_an_argument_that_the_call_does_not_have_is_a_type_error() -> None:
    with pytest.raises(TypeError, match="no argument nickname"):
        endpoints.MEASUREMENTS_LIST.request(nickname="x")


@pytest.mark.parametrize("data_type", [model.DataType.int, 12, "12", "int"])
def test_an_id_query_sends_the_number_of_its_type(data_type: Any) -> None:
    request = endpoints.DATA_LIST.request(name="e", start=0, end=1, idq=model.IdQuery(data_type=data_type))
    assert ("idq", "12:*/*") in parse_qsl(request.target.partition("?")[2])


def test_only_calls_that_may_be_repeated_say_so() -> None:
    not_repeated = {name for name, row in ENDPOINTS.items() if row.method == "POST" and row.idempotent is None}
    assert not_repeated == {
        "MEASUREMENTS_CREATE",
        "MARKERS_CREATE",
        "SIGNALS_CREATE",
        "CAPTURES_CREATE",
        "DATA_STORE",
        "UNITS_STORE",
    }
    assert not endpoints.DATA_STORE.request(body=b"").idempotent
    assert endpoints.DATA_LIST.request(name="e", start=0, end=1).idempotent
    assert Request("GET", "/x").target == "/x"
