from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from intdash_frames import data
from intdash_frames.client.connection import Connection
from intdash_frames.client.units import Units
from intdash_frames.codecs.table import LAYOUTS
from intdash_frames.errors import ApiError, ConnectionLost, IntdashError, NotFound, PayloadError, RemoteProtocolError, UsageError
from intdash_frames.model import BasetimeType, DataPoint, DataType, IdQuery, Measurement, Unit
from intdash_frames.model.signals import ERROR_ID
from intdash_frames.server.app import Server
from intdash_frames.server.faults import Fault
from intdash_frames.transport.retry import RetryPolicy
from tests.client.conftest import BASETIME
from tests.transport.loopback import Loopback, answer

START, END = pd.Timestamp(BASETIME), pd.Timestamp(BASETIME) + pd.Timedelta("1h")
UUID = "414c343c-1e2f-7ed4-c2ce-78e57311d8a3"
GOLDEN = json.loads((Path(__file__).parents[2] / "fixtures" / "golden" / "store_requests.json").read_text())
STORE = "/api/v1/measurements/*/data"


@pytest.fixture(autouse=True)
def disarmed(server: Server) -> Iterator[None]:
    yield
    server._faults._armed.clear()


@pytest.fixture
def waits(connection: Connection) -> list[float]:
    """What the connection would have waited; it does not."""
    waits: list[float] = []
    connection.transport.policy = RetryPolicy(2, sleep=waits.append)
    return waits


def unit(elapsed_ns: int, content: data.Data | None = None, *, channel: int = 1) -> Unit:
    return Unit(pd.Timedelta(elapsed_ns, unit="ns"), channel, content or data.Int(data_id="x", value=elapsed_ns))


def contents(units: list[Unit]) -> list[tuple[int, int | None, data.Data]]:
    """What units say, without the base times that are no points."""
    return [(each.elapsed_time.value, each.channel, each.data) for each in units if not is_made_up(each)]


def is_made_up(each: Unit) -> bool:
    return isinstance(each.data, data.Basetime) and each.data.type is BasetimeType.volatile


# --- storing


@pytest.mark.parametrize("case", GOLDEN["iscp"], ids=lambda case: case["name"])
def test_a_body_is_the_recorded_one(peer: Loopback, case: dict[str, Any]) -> None:
    units = [
        Unit(
            pd.Timedelta(each["elapsed_ns"], unit="ns"),
            each["channel"],
            data.from_any_payload(each["data_type"], bytes.fromhex(each["payload_hex"])),
        )
        for each in case["units"]
    ]
    # the measurement, the server's version, what the measurement holds (if anything is to be stored), the acknowledgement
    peer.answers = [answer(200, json.dumps({"uuid": UUID, "basetime": BASETIME}).encode()), answer(200, b'{"version": "1.17.0"}')]
    peer.answers += [answer(200, b"")]
    with Connection(peer.url, "token") as connection:
        connection.units.store(UUID, units, case["serial_number"], case["final"])
    sent = peer.seen[-1]
    assert (sent.method, sent.path) == ("POST", f"/api/v1/measurements/{UUID}/data")
    assert sent.body == bytes.fromhex(case["body_hex"])


def test_what_was_stored_is_read(connection: Connection, measurement: Measurement) -> None:
    stored = [unit(0), unit(1, data.CAN(decimal_id=0x14A, data=b"\x02\xff"), channel=255), unit(1_000_000_007, data.JPEG(b""))]
    connection.units.store(measurement_uuid=measurement.uuid, units=iter(stored))
    found = connection.units.list(START, END, measurement_uuid=measurement.uuid)
    assert found[0] == Unit(pd.Timedelta(0), 0, data.Basetime(BasetimeType.volatile, START), measurement.uuid)
    assert contents(found) == contents(stored)
    assert {each.measurement_uuid for each in found} == {measurement.uuid}
    ended = connection.measurements.get(measurement.uuid)
    assert (ended.ended, ended.duration) == (True, pd.Timedelta("1s"))


def test_a_section_that_is_not_final_leaves_the_measurement_open(connection: Connection, measurement: Measurement) -> None:
    connection.units.store(measurement.uuid, [unit(0)], 0, False)
    assert not connection.measurements.get(measurement.uuid).ended
    connection.units.store(measurement.uuid, [], serial_number=1)
    assert connection.measurements.get(measurement.uuid).ended
    assert contents(connection.units.list(START, END, measurement.uuid)) == contents([unit(0)])


any_payload = st.tuples(st.integers(0, 255) | st.sampled_from(sorted(LAYOUTS)), st.binary(max_size=12))


@given(st.lists(st.tuples(st.integers(0, 3) | st.integers(0, 10**9), st.integers(0, 255), any_payload), max_size=10))
@settings(deadline=None, max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_is_stored_is_read_and_stored_again_without_a_loss(
    connection: Connection, rows: list[tuple[int, int, tuple[int, bytes]]]
) -> None:
    rows = sorted(rows, key=lambda row: row[0])
    edge = connection.edges.me().uuid
    first, second = (connection.measurements.create(edge, BASETIME).uuid for _ in range(2))
    points = [DataPoint(pd.Timedelta(time, unit="ns"), kind, channel, payload) for time, channel, (kind, payload) in rows]
    connection.data_points.store(first, points)
    connection.units.store(second, [each for each in connection.units.list(START, END, first) if not is_made_up(each)])
    for uuid in (first, second):
        found = connection.data_points.list(START, END, uuid)
        assert [(each.time - START, each.data_type, each.channel, each.data_payload) for each in found] == [
            (each.elapsed_time, each.data_type, each.channel, each.data_payload) for each in points
        ]


@pytest.mark.parametrize(
    "fault",
    [
        Fault.lose_answer(path=STORE),
        Fault.cut_body(path=STORE),
        Fault.status(503, path=STORE),
        Fault.retry_after(0, path=STORE),
        Fault.nack(path=STORE),
    ],
    ids=lambda fault: fault.kind.value,
)
def test_units_are_stored_once_whatever_happened_to_the_first_try(
    server: Server, connection: Connection, measurement: Measurement, waits: list[float], fault: Fault
) -> None:
    stored = [unit(3), unit(5), unit(5), unit(5, data.Opaque(99, "", b"\x01"))]
    connection.units.store(measurement.uuid, stored[2:], final=False)  # what is there already does not count as sent
    server.inject(fault)
    connection.units.store(measurement.uuid, stored)
    assert len(waits) == 1
    found = connection.units.list(START, END, measurement.uuid)
    assert Counter(contents(found)) == Counter(contents(stored + stored[2:]))
    assert connection.measurements.get(measurement.uuid).ended


def test_what_is_not_taken_is_an_error_that_says_what_is_there(
    server: Server, connection: Connection, measurement: Measurement, waits: list[float]
) -> None:
    server.inject(Fault.nack(times=99, path=STORE))
    with pytest.raises(ApiError, match="did not take the section") as caught:
        connection.units.store(measurement.uuid, [unit(0)], serial_number=7)
    assert caught.value.endpoint == f"POST /api/v1/measurements/{measurement.uuid}/data"
    assert caught.value.__notes__[0].startswith("section 7 is not stored, 0 of 1 sections are. ")
    assert connection.units.list(START, END, measurement.uuid) == []


def test_an_answer_that_stays_lost_may_be_stored(
    server: Server, connection: Connection, measurement: Measurement, waits: list[float]
) -> None:
    server.inject(Fault.lose_answer(times=99, path=STORE))
    # the first question is what the measurement held before
    server.inject(Fault.delay(0, path="/api/v1/data"))
    server.inject(Fault.status(503, times=99, path="/api/v1/data"))
    with pytest.raises(ConnectionLost) as caught:
        connection.units.store(measurement.uuid, [unit(0)])
    assert caught.value.__notes__[0].startswith("section 0 may be stored, ")


def test_a_measurement_that_is_not_there_is_not_found(connection: Connection) -> None:
    with pytest.raises(NotFound):
        connection.units.store(UUID, [unit(0)])


def test_a_measurement_without_a_base_time_is_named(peer: Loopback) -> None:
    peer.answers = [answer(200, b'{"basetime_type": "undefined", "basetime": null}'), answer(200, b'{"version": "1.17.0"}')]
    with Connection(peer.url, "token") as connection, pytest.raises(UsageError, match=f"measurement {UUID} has no base time"):
        connection.units.store(UUID, [unit(0)])
    assert {seen.method for seen in peer.seen} == {"GET"}


@pytest.mark.parametrize(
    ("bad", "error", "said"),
    [
        (DataPoint(pd.Timedelta(0), DataType.can, 1, b""), UsageError, "row 1 is DataPoint, expected Unit"),
        (Unit(pd.Timedelta(0), 1, b"x"), UsageError, "row 1: data is bytes, expected an object of intdash_frames.data"),
        (unit(0, channel=256), UsageError, "row 1: channel=256"),
        (Unit(pd.Timedelta(0), None, data.JPEG(b"")), UsageError, "row 1: channel=None"),
        (unit(-1), UsageError, "row 1: elapsed_time=.* is before the base time"),
        (unit(8_388_608 * 10**9), UsageError, "row 1: elapsed_time=.* is longer than the 97 days"),
        (Unit(5, 1, data.JPEG(b"")), UsageError, "row 1: elapsed_time=5 has no unit"),  # type: ignore[arg-type]
        (unit(0, data.Int("x", 2**63)), PayloadError, "int 'x', row 1: |int, row 1: "),
        (unit(0, data.Opaque("can_frame", "x", b"")), UsageError, "row 1: data_type='can_frame'"),
    ],
)
def test_a_unit_that_cannot_be_stored_is_named_by_its_row(bad: Any, error: type[IntdashError], said: str) -> None:
    nowhere = Connection("http://127.0.0.1:1", "token", retries=0)
    with pytest.raises(error, match=said):
        nowhere.units.store(UUID, [unit(0), bad])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"measurement_uuid": "x"}, "is no UUID"),
        ({"units": unit(0)}, "units is Unit, expected a list of Unit"),
        ({"units": 5}, "units is int"),
        ({"serial_number": -1}, "serial_number=-1"),
        ({"final": 1}, "final=1"),
    ],
)
def test_a_store_that_cannot_work_is_refused_before_anything_is_sent(arguments: dict[str, Any], said: str) -> None:
    nowhere = Connection("http://127.0.0.1:1", "token", retries=0)
    with pytest.raises(UsageError, match=said):
        nowhere.units.store(**{"measurement_uuid": UUID, "units": [], **arguments})


# --- reading


def test_elapsed_times_are_those_of_the_measurement_on_every_page(connection: Connection, measurement: Measurement) -> None:
    stored = [unit(each) for each in (100, 100, 250, 1000, 5000)]
    connection.units.store(measurement.uuid, stored)
    pages = list(connection.units.list(START, END, measurement.uuid, limit=2, iterator=True))
    assert [len(contents(page)) for page in pages] == [2, 2, 1]
    assert [each for page in pages for each in contents(page)] == contents(stored)
    for page in pages:
        assert [is_made_up(each) for each in page] == [True] + [False] * (len(page) - 1)
        assert page[0].data == data.Basetime(BasetimeType.volatile, START)
    later = connection.units.list(START + pd.Timedelta(250, unit="ns"), END, measurement.uuid, limit=1)
    assert contents(later) == contents([unit(250)])


def test_elapsed_times_follow_the_base_time_that_is_in_use(connection: Connection, measurement: Measurement) -> None:
    connection.units.store(measurement.uuid, [unit(100)])
    moved = START + pd.Timedelta("1min")
    connection.measurement_basetimes.update(measurement.uuid, moved, "ntp")
    connection.measurements.update(measurement.uuid, basetime_type="ntp")
    found = connection.units.list(START, END, measurement.uuid)
    assert contents(found) == contents([unit(100)])
    assert found[0].data == data.Basetime(BasetimeType.volatile, moved)


def test_the_last_base_time_and_the_elapsed_time_make_the_time(server: Server) -> None:
    with Connection(server.url, "other-token") as connection:
        edge = connection.edges.me().uuid
        begins = [START, START + pd.Timedelta(10, unit="ns"), START + pd.Timedelta(20, unit="ns")]
        for begin, elapsed in zip(begins, [(0, 15), (0, 1), (0,)], strict=True):
            uuid = connection.measurements.create(edge, begin).uuid
            connection.units.store(uuid, [unit(each) for each in elapsed])
        read = {"edge_uuid": edge, "id_queries": [IdQuery(DataType.int)]}
        found, points = connection.units.list(START, END, **read), connection.data_points.list(START, END, **read)
        made, basetime = [], None
        for each in found:
            if isinstance(each.data, data.Basetime):
                basetime = each.data.basetime
            else:
                assert basetime is not None
                made.append((basetime + each.elapsed_time, each.measurement_uuid, each.data.to_payload()))
        assert made == [(each.time, each.measurement_uuid, each.data_payload) for each in points]
        assert [is_made_up(each) for each in found] == [True, False, True, False, False, True, False, True, False]
        frame = connection.units.frame(START, END, **read)
        assert frame["elapsed_time"].tolist() == [each.elapsed_time for each in found if not is_made_up(each)]


def test_a_base_time_that_was_stored_is_a_unit_like_others(connection: Connection, measurement: Measurement) -> None:
    stored = [unit(0, data.Basetime(BasetimeType.ntp, START), channel=0), unit(1)]
    connection.units.store(measurement.uuid, stored)
    found = connection.units.list(START, END, measurement.uuid)
    assert [is_made_up(each) for each in found] == [True, False, False]
    assert contents(found) == contents(stored)


def test_a_selection_is_made_by_id(connection: Connection, measurement: Measurement) -> None:
    connection.units.store(measurement.uuid, [unit(0), unit(1, data.String("s", "v"), channel=2)])
    assert contents(connection.units.list(START, END, measurement.uuid, id_queries=[IdQuery(channel=2)])) == [
        (1, 2, data.String("s", "v"))
    ]
    assert connection.units.list(START, END, measurement.uuid, id_queries=[IdQuery(DataType.can)]) == []
    assert connection.units.list(START, START, measurement.uuid) == []


def test_a_failed_conversion_is_left_out_and_warned_about(connection: Connection, measurement: Measurement) -> None:
    connection.units.store(measurement.uuid, [unit(0, data.String(ERROR_ID, "{}")), unit(1)])
    with pytest.warns(UserWarning, match="could not convert 1 points"):
        found = connection.units.list(START, END, measurement.uuid)
    assert contents(found) == contents([unit(1)])


def test_all_units_of_a_range_are_one_frame(connection: Connection, measurement: Measurement) -> None:
    stored = [unit(0), unit(7, data.CAN(0x14A, b"\x01")), unit(1_000_000_007, data.Opaque(99, "", b"?"), channel=3)]
    connection.units.store(measurement.uuid, stored)
    frame = connection.units.frame(START, END, measurement.uuid)
    assert list(frame.columns) == ["elapsed_time", "measurement_uuid", "data_type", "data_id", "channel", "data_payload"]
    assert frame["elapsed_time"].tolist() == [each.elapsed_time for each in stored]
    assert frame["data_payload"].tolist() == [each.data.to_payload() for each in stored]
    assert frame["data_type"].tolist() == [12, 1, 99]
    assert frame["channel"].tolist() == [1, 1, 3]
    assert connection.units.frame(START, START, measurement.uuid).columns.tolist() == frame.columns.tolist()


@pytest.mark.parametrize("read", [Units.list, Units.frame])
def test_units_without_a_base_time_are_an_error(connection: Connection, peer: Loopback, read: Callable[..., Any]) -> None:
    uuid = connection.measurements.create(connection.edges.me().uuid, BASETIME).uuid
    connection.units.store(uuid, [unit(0)])
    request = {"name": uuid, "start": BASETIME, "end": "2021-01-01T00:00:00.000000000Z", "exit_on_error": "false"}
    body = connection.transport._session.get(
        f"{connection.url}/api/v1/data", params=request, headers={"X-Edge-Token": "token"}, timeout=30
    ).content
    peer.answers = [answer(200, body), answer(200, b'{"basetime_type": "undefined"}'), answer(200, b'{"version": "1.17.0"}')]
    with (
        Connection(peer.url, "token") as puzzled,
        pytest.raises(RemoteProtocolError, match=f"measurement {uuid} has no base time"),
    ):
        read(puzzled.units, START, END, uuid)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"measurement_uuid": None}, "give measurement_uuid=, edge_uuid= or edge_name="),
        ({"start": "2020-01-01"}, "start='2020-01-01' has no time zone"),
        ({"end": "2019-01-01T00:00:00Z"}, "is before start="),
        ({"limit": -1}, "limit=-1"),
        ({"iterator": 1}, "iterator=1"),
        ({"exit_on_error": "no"}, "exit_on_error='no'"),
        ({"labels": 5}, "expected a list"),
    ],
)
def test_a_read_that_cannot_work_is_refused_before_anything_is_sent(arguments: dict[str, Any], said: str) -> None:
    nowhere = Connection("http://127.0.0.1:1", "token", retries=0)
    with pytest.raises(UsageError, match=said):
        nowhere.units.list(**{"start": START, "end": END, "measurement_uuid": UUID, **arguments})
