from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from intdash_frames.client.connection import Connection
from intdash_frames.client.sections import AS_POINTS, AS_UNITS, Fate, Section, Sender, Way, held_before, split, store_all
from intdash_frames.codecs.points import Points, ResponseReader, check_storable, response_frames, store_body
from intdash_frames.errors import ApiError, LocalProtocolError
from intdash_frames.model import Measurement
from intdash_frames.protocol.elements import ResultCode, SectionAck
from intdash_frames.protocol.endpoints import DATA_LIST
from intdash_frames.protocol.framing import write_elements
from intdash_frames.server.app import Server
from intdash_frames.server.faults import Fault
from intdash_frames.transport.retry import RetryPolicy
from tests.client.conftest import BASETIME
from tests.server.conftest import BASETIME_NS
from tests.server.samples import Row, can_row, int_row, points_of
from tests.transport.loopback import Loopback, answer

STORE, READ = "/api/v1/measurements/data", "/api/v1/data"
RETRIES = 2
UUID = "414c343c-1e2f-7ed4-c2ce-78e57311d8a3"


@pytest.fixture
def waits(connection: Connection) -> list[float]:
    """What the connection would have waited; it does not."""
    waits: list[float] = []
    connection.transport.policy = RetryPolicy(RETRIES, sleep=waits.append)
    return waits


@pytest.fixture(autouse=True)
def disarmed(server: Server) -> Iterator[None]:
    yield
    disarm(server)


def disarm(server: Server) -> None:
    """Forget the faults that no request met."""
    server._faults._armed.clear()


def section_of(rows: Sequence[Row], serial_number: int = 0, *, final: bool = False) -> Section:
    return Section(serial_number, points_of(rows), final)


def sender_of(connection: Connection, uuid: str, **options: Any) -> Sender:
    return Sender(connection, uuid, BASETIME_NS, **options)


def rows_of(connection: Connection, uuid: str) -> list[Row]:
    """Everything that a measurement holds, asked for in one plain request."""
    request = DATA_LIST.request(name=uuid, start=BASETIME_NS - 10, end=BASETIME_NS + 10**12)
    reader = ResponseReader()
    points = reader.feed(connection.transport.send(request).body)
    reader.finish()
    if points is None:
        return []
    keys = [points.keys[code] for code in points.series]
    return [
        (int(time_ns) - BASETIME_NS, key.data_type or 0, key.channel or 0, key.data_id, points.payload(row))
        for row, (time_ns, key) in enumerate(zip(points.time_ns, keys, strict=True))
    ]


def body_bytes(section: Section) -> int:
    return len(store_body(section.points, measurement_uuid=UUID, serial_number=section.serial_number, final=section.final))


ROWS = [int_row(3, 1), int_row(5, 2), int_row(5, 2), can_row(5, 0x1A0), int_row(9, 3, channel=255)]


# --- cutting into sections ---


any_rows = st.lists(st.builds(int_row, st.integers(0, 2**62), data_id=st.text("abc", max_size=80)), max_size=30)


@given(rows=any_rows, section_bytes=st.integers(1, 1500), serial_number=st.just(2**32 - 1))
@settings(deadline=None, max_examples=40)
def test_sections_are_the_points_in_their_order_and_stay_under_the_size(
    rows: list[Row], section_bytes: int, serial_number: int
) -> None:
    runs = list(split(points_of(rows), section_bytes=section_bytes))
    assert [(int(run.time_ns[row]), run.payload(row)) for run in runs for row in range(len(run))] == [
        (row[0], row[4]) for row in rows
    ]
    for run in runs:
        body = store_body(run, measurement_uuid=UUID, serial_number=serial_number, final=True)
        assert len(body) <= section_bytes or len(run) == 1


def test_a_size_is_kept_to_the_byte() -> None:
    points = points_of([int_row(2**62 + each) for each in range(4)])
    for section_bytes in range(150, 300):
        for run in split(points, section_bytes=section_bytes):
            assert len(store_body(run, measurement_uuid=UUID, serial_number=2**32 - 1)) <= section_bytes


def test_no_points_make_no_section() -> None:
    assert list(split(points_of([]), section_bytes=100)) == []


def test_a_size_is_used_up() -> None:
    runs = list(split(points_of([int_row(each) for each in range(1000)]), section_bytes=10_000))
    assert len(runs) == 4


# --- one section, one fault ---


def test_a_section_that_is_acknowledged_is_stored(connection: Connection, measurement: Measurement) -> None:
    section = section_of(ROWS, final=True)
    sender_of(connection, measurement.uuid).send(section)
    assert (section.fate, section.reason) == (Fate.STORED, "")
    assert section.sent_bytes == body_bytes(section)
    assert Counter(rows_of(connection, measurement.uuid)) == Counter(ROWS)
    assert connection.measurements.get(measurement.uuid).ended


FAULTS = {
    # a fault, and how many bodies of a section it takes until the section is there
    "answer lost": (Fault.lose_answer, 1),
    "answer cut": (Fault.cut_body, 1),
    "500": (lambda **where: Fault.status(500, **where), 2),
    "503": (lambda **where: Fault.status(503, **where), 2),
    "429": (lambda **where: Fault.retry_after(0, **where), 2),
    "not taken": (lambda path, **_: Fault.nack(path=path), 2),
}


@pytest.mark.parametrize("final", [False, True])
@pytest.mark.parametrize("name", FAULTS)
def test_a_section_is_stored_once_whatever_happened_to_the_first_try(
    server: Server, connection: Connection, measurement: Measurement, waits: list[float], name: str, final: bool
) -> None:
    fault, bodies = FAULTS[name]
    server.inject(fault(path=STORE))  # type: ignore[operator]
    section = section_of(ROWS, final=final)
    sender_of(connection, measurement.uuid).send(section)
    assert (section.fate, section.reason) == (Fate.STORED, "")
    assert Counter(rows_of(connection, measurement.uuid)) == Counter(ROWS)
    assert len(waits) == 1
    # A final section says the end of the measurement too, so it is repeated, without the points that are there.
    rest = body_bytes(section_of([], final=True)) if final and bodies == 1 else 0
    assert section.sent_bytes == bodies * body_bytes(section) + rest
    assert connection.measurements.get(measurement.uuid).ended is final


@pytest.mark.parametrize(
    ("fault", "fate", "said"),
    [
        (Fault.nack(times=99, path=STORE), Fate.REFUSED, "did not take the section"),
        (Fault.status(400, times=99, path=STORE), Fate.REFUSED, "answered 400"),
        (Fault.retry_after(0, times=99, path=STORE), Fate.REFUSED, "answered 429"),
        (Fault.status(500, times=99, path=STORE), Fate.UNKNOWN, "answered 500"),
    ],
)
def test_a_section_that_never_gets_through_says_why_and_may_be_sent_later(
    server: Server, connection: Connection, measurement: Measurement, waits: list[float], fault: Fault, fate: Fate, said: str
) -> None:
    server.inject(fault)
    section, sender = section_of(ROWS), sender_of(connection, measurement.uuid)
    sender.send(section)
    assert section.fate is fate
    assert said in section.reason
    tries = 1 if fault.amount == 400 else 1 + RETRIES  # a server that found fault with the request is not asked again
    assert (len(waits), section.sent_bytes) == (tries - 1, tries * body_bytes(section))
    disarm(server)
    assert rows_of(connection, measurement.uuid) == []
    sender.send(section)
    assert section.fate is Fate.STORED
    assert Counter(rows_of(connection, measurement.uuid)) == Counter(ROWS)


def test_a_server_that_is_not_there_refuses() -> None:
    with Connection("http://127.0.0.1:1", "token") as nowhere:
        nowhere.transport.policy = RetryPolicy(RETRIES, sleep=lambda _: None)
        section = section_of(ROWS)
        Sender(nowhere, UUID, 0).send(section)
    assert section.fate is Fate.REFUSED
    assert section.reason.startswith("ConnectFailed: ")


def test_after_a_section_that_used_up_its_tries_the_next_ones_get_one_each_until_one_is_taken(
    server: Server, connection: Connection, measurement: Measurement, waits: list[float]
) -> None:
    server.inject(Fault.nack(times=RETRIES + 3, path=STORE))
    sections = [section_of([int_row(serial)], serial) for serial in range(5)]
    sender = sender_of(connection, measurement.uuid)
    for section in sections[:3]:
        sender.send(section)
    assert len(waits) == RETRIES
    assert [section.fate for section in sections[:3]] == [Fate.REFUSED] * 3
    sender.send(sections[3])
    assert sections[3].fate is Fate.STORED
    server.inject(Fault.nack(times=RETRIES, path=STORE))
    sender.send(sections[4])
    assert sections[4].fate is Fate.STORED


def test_an_answer_lost_on_the_last_try_is_looked_for(server: Server, connection: Connection, measurement: Measurement) -> None:
    connection.transport.policy = RetryPolicy(0)
    server.inject(Fault.lose_answer(path=STORE))
    section = section_of(ROWS)
    sender_of(connection, measurement.uuid).send(section)
    assert section.fate is Fate.STORED
    assert Counter(rows_of(connection, measurement.uuid)) == Counter(ROWS)


def test_a_section_that_cannot_be_read_back_is_unknown_and_looked_for_before_it_is_sent_again(
    server: Server, connection: Connection, measurement: Measurement, waits: list[float]
) -> None:
    server.inject(Fault.lose_answer(path=STORE))
    server.inject(Fault.status(503, times=99, path=READ))
    section, sender = section_of(ROWS), sender_of(connection, measurement.uuid)
    sender.send(section)
    assert section.fate is Fate.UNKNOWN
    assert "ConnectionLost" in section.reason
    assert "reading back: ApiError" in section.reason
    disarm(server)
    sender.send(section)
    assert (section.fate, section.reason) == (Fate.STORED, "")
    assert section.sent_bytes == body_bytes(section)
    assert Counter(rows_of(connection, measurement.uuid)) == Counter(ROWS)


def test_a_refusal_does_not_make_an_unknown_section_known(
    server: Server, connection: Connection, measurement: Measurement, waits: list[float]
) -> None:
    server.inject(Fault.status(500, path=STORE))
    server.inject(Fault.nack(times=99, path=STORE))
    section = section_of(ROWS)
    sender_of(connection, measurement.uuid).send(section)
    assert section.fate is Fate.UNKNOWN


def test_an_answer_that_is_no_acknowledgement_leaves_a_section_unknown(
    connection: Connection, measurement: Measurement, peer: Loopback
) -> None:
    peer.answers = [answer(200, b"\xff\xff\xff"), answer(200, b"")]
    with Connection(peer.url, "token") as puzzled:
        section = section_of(ROWS)
        Sender(puzzled, UUID, BASETIME_NS).send(section)
        assert section.fate is Fate.UNKNOWN
        assert "RemoteProtocolError" in section.reason


# --- what is not taken for a section ---


def test_points_that_were_there_before_are_not_taken_for_what_was_sent(
    server: Server, connection: Connection, measurement: Measurement, waits: list[float]
) -> None:
    sender_of(connection, measurement.uuid).send(section_of(ROWS))
    section = section_of(ROWS[1:4], 1)
    held = held_before(connection, measurement.uuid, BASETIME_NS, [section])
    server.inject(Fault.status(500, path=STORE))
    sender_of(connection, measurement.uuid, held=held).send(section)
    assert section.fate is Fate.STORED
    assert Counter(rows_of(connection, measurement.uuid)) == Counter(ROWS + ROWS[1:4])


def test_only_the_range_and_the_channels_of_the_sections_are_looked_at(connection: Connection, measurement: Measurement) -> None:
    others = [int_row(7, 5, data_id="other"), can_row(6, 0x2F0), int_row(6, 1, channel=9), int_row(2, 1), int_row(11, 1)]
    sender_of(connection, measurement.uuid).send(section_of([*ROWS, *others]))
    held = held_before(connection, measurement.uuid, BASETIME_NS, [section_of([int_row(3)]), section_of([int_row(9)], 1)])
    assert [part.time_ns.tolist() for part in held] == [[3, 5, 5]]
    assert held_before(connection, measurement.uuid, BASETIME_NS, []) == []


@pytest.mark.parametrize("lost", [0, 1, 2])
def test_equal_points_on_both_sides_of_a_border_are_both_stored(
    server: Server, connection: Connection, measurement: Measurement, waits: list[float], lost: int
) -> None:
    runs = [[int_row(1), int_row(5, 7)], [int_row(5, 7), int_row(5, 7)], [int_row(5, 7), int_row(6)]]
    sections = [section_of(rows, serial) for serial, rows in enumerate(runs)]
    sender = sender_of(connection, measurement.uuid)
    for serial, section in enumerate(sections):
        if serial == lost:
            server.inject(Fault.lose_answer(path=STORE))
        if serial == lost - 1:
            server.inject(Fault.status(500, path=STORE))
        sender.send(section)
    assert Counter(rows_of(connection, measurement.uuid)) == Counter(row for rows in runs for row in rows)
    assert sum(section.sent_bytes for section in sections) == sum(map(body_bytes, sections)) + (
        body_bytes(sections[lost - 1]) if lost else 0
    )


@pytest.mark.parametrize("arrived", [False, True])
def test_a_later_sender_does_not_take_a_neighbours_points_for_those_of_an_unknown_section(
    server: Server, connection: Connection, measurement: Measurement, waits: list[float], arrived: bool
) -> None:
    first, unknown, last = (section_of([int_row(5, 7)], serial) for serial in range(3))
    sender = sender_of(connection, measurement.uuid)
    sender.send(first)
    server.inject(Fault.lose_answer(path=STORE) if arrived else Fault.status(500, times=99, path=STORE))
    server.inject(Fault.status(404, path=READ))
    sender.send(unknown)
    assert unknown.fate is Fate.UNKNOWN
    disarm(server)
    sender.send(last)
    sender_of(connection, measurement.uuid, stored=[first, last]).send(unknown)
    assert unknown.fate is Fate.STORED
    assert rows_of(connection, measurement.uuid) == [int_row(5, 7)] * 3


def test_points_are_found_by_what_their_payload_says_even_if_the_frame_calls_them_otherwise(
    server: Server, connection: Connection, measurement: Measurement, waits: list[float]
) -> None:
    renamed = [(time_ns, kind, channel, "renamed", payload) for time_ns, kind, channel, _, payload in ROWS]
    server.inject(Fault.lose_answer(path=STORE))
    section = section_of(renamed)
    sender_of(connection, measurement.uuid).send(section)
    assert section.fate is Fate.STORED
    assert Counter(rows_of(connection, measurement.uuid)) == Counter(ROWS)


ODD_ROWS = [
    (4, 10, 1, "*", b"\x01*x"),
    (4, 10, 1, "", b"\x00x"),
    (4, 10, 1, "a/b &?#%", b"\x08a/b &?#%x"),
    (4, 10, 1, "速度", bytes([6]) + "速度".encode() + b"x"),
    (5, 10, 1, "", b""),  # not what a string is, but stored as it is
    (5, 1, 1, "", b"\x01"),
    (6, 2, 1, "GPRMC", b"$GPRMC,1"),
    (6, 2, 1, "", b""),
    (7, 9, 1, "jpeg", b"\xff\xd8"),
    (8, 99, 1, "whatever", b"new"),
    (9, 135, 1, "basetime", b"\x02" + bytes(8)),
]


@pytest.mark.parametrize("row", ODD_ROWS, ids=lambda row: f"{row[1]}-{row[3]}")
def test_points_with_odd_ids_are_found_again(
    server: Server, connection: Connection, measurement: Measurement, waits: list[float], row: Row
) -> None:
    server.inject(Fault.lose_answer(path=STORE))
    section = section_of([row, row])
    check_storable(section.points)
    sender_of(connection, measurement.uuid).send(section)
    assert section.fate is Fate.STORED
    assert [(*each[:3], each[4]) for each in rows_of(connection, measurement.uuid)] == [(*row[:3], row[4])] * 2


@pytest.mark.parametrize(
    ("rows", "asked"),
    [
        ([int_row(0), can_row(0, 0x1A0)], ["12:1/i", "1:1/000001a0"]),
        ([can_row(0, number, channel=number % 2) for number in range(400)], ["1:0/*", "1:1/*"]),
        ([int_row(0, channel=number, data_id=40 * "é") for number in range(256)], None),
        ([(0, 9, 3, "what it is called here", b"\xff")], ["9:3/*"]),
    ],
    ids=["few", "many of a channel", "many channels", "no id in the payload"],
)
def test_what_is_read_back_is_asked_for_in_a_short_url(peer: Loopback, rows: list[Row], asked: list[str] | None) -> None:
    ack = answer(200, write_elements([SectionAck(1, ResultCode.OK, 0)]))
    peer.answers = [answer(200, b"ack", sent=1), answer(200, b""), ack]
    section = section_of(rows)
    with Connection(peer.url, "token") as connection:
        connection.transport.policy = RetryPolicy(1, sleep=lambda _: None)
        Sender(connection, UUID, BASETIME_NS).send(section)
    assert section.fate is Fate.STORED
    first, question, second = peer.seen
    assert len(question.path) < 8000
    assert first.body == second.body
    found = parse_qs(urlsplit(question.path).query)
    assert sorted(found.get("idq", [])) == sorted(asked or [])
    assert found["start"] == [BASETIME]


def test_only_what_is_missing_is_sent_again(peer: Loopback) -> None:
    rows = [int_row(each, each) for each in range(10)]
    there = points_of([*rows[:3], *rows[5:], int_row(4, 99), int_row(3, 4)], UUID)
    there.time_ns[:] += BASETIME_NS
    there = there.take(np.argsort(there.time_ns, kind="stable"))
    ack = answer(200, write_elements([SectionAck(1, ResultCode.OK, 0)]))
    peer.answers = [answer(200, b"ack", sent=1), answer(200, bytes(response_frames(there))), ack]
    section = section_of(rows)
    with Connection(peer.url, "token") as connection:
        connection.transport.policy = RetryPolicy(1, sleep=lambda _: None)
        Sender(connection, UUID, BASETIME_NS).send(section)
    assert section.fate is Fate.STORED
    assert peer.seen[2].body == store_body(points_of(rows[3:5]), measurement_uuid=UUID, final=False)


# --- a whole store, by either call ---


WAYS = {"points": AS_POINTS, "units": AS_UNITS}
MANY = [int_row(each, each) for each in range(40)]


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_a_store_goes_in_numbered_sections_and_the_last_one_ends_the_measurement(
    connection: Connection, measurement: Measurement, monkeypatch: pytest.MonkeyPatch, way: Way
) -> None:
    bodies: list[tuple[int, bool, int]] = []

    def body(points: Points, **options: Any) -> bytes:
        bodies.append((options["serial_number"], options["final"], len(points)))
        return way.body(points, **options)

    store_all(connection, measurement.uuid, points_of(MANY), way=Way(body, way.request), serial_number=5, section_bytes=600)
    assert [serial for serial, _, _ in bodies] == list(range(5, 5 + len(bodies)))
    assert [final for _, final, _ in bodies] == [False] * (len(bodies) - 1) + [True]
    assert len(bodies) > 2
    assert sum(count for _, _, count in bodies) == len(MANY)
    assert rows_of(connection, measurement.uuid) == MANY
    assert connection.measurements.get(measurement.uuid).ended


@pytest.mark.parametrize("name", FAULTS)
def test_a_store_of_units_is_made_once_whatever_happened(
    server: Server, connection: Connection, measurement: Measurement, waits: list[float], name: str
) -> None:
    where = f"/api/v1/measurements/{measurement.uuid}/data"
    store_all(connection, measurement.uuid, points_of(ROWS), way=AS_UNITS, final=False)
    server.inject(FAULTS[name][0](path=where))  # type: ignore[operator]
    store_all(connection, measurement.uuid, points_of(ROWS), way=AS_UNITS)
    assert len(waits) == 1
    assert Counter(rows_of(connection, measurement.uuid)) == Counter(ROWS + ROWS)
    assert connection.measurements.get(measurement.uuid).ended


def test_a_store_that_fails_half_way_says_how_far_it_came(
    server: Server, connection: Connection, measurement: Measurement, waits: list[float]
) -> None:
    where = f"/api/v1/measurements/{measurement.uuid}/data"
    server.inject(Fault.delay(0, path=where))  # the first section passes
    server.inject(Fault.status(400, path=where))
    with pytest.raises(ApiError, match="answered 400") as caught:
        store_all(connection, measurement.uuid, points_of(MANY), way=AS_UNITS, section_bytes=600)
    (note,) = caught.value.__notes__
    assert note.startswith("section 1 is not stored, 1 of ")
    there = rows_of(connection, measurement.uuid)
    assert there == MANY[: len(there)]
    assert 0 < len(there) < len(MANY)
    assert not connection.measurements.get(measurement.uuid).ended


def test_points_that_no_unit_carries_are_refused(connection: Connection, measurement: Measurement) -> None:
    with pytest.raises(LocalProtocolError, match="an elapsed time"):
        store_all(connection, measurement.uuid, points_of([int_row(10**16)]), way=AS_UNITS)
    assert rows_of(connection, measurement.uuid) == []


# --- any sequence of faults ---


# Few instants and few payloads, so that sections share both.
few_rows = st.lists(st.builds(int_row, st.integers(0, 4), st.integers(0, 1), channel=st.integers(1, 2)), max_size=14)
store_faults = st.sampled_from(
    [
        Fault.lose_answer(path=STORE),
        Fault.lose_answer(times=2, path=STORE),
        Fault.cut_body(path=STORE),
        Fault.status(500, path=STORE),
        Fault.status(503, times=3, path=STORE),
        Fault.status(400, path=STORE),
        Fault.retry_after(0, path=STORE),
        Fault.nack(path=STORE),
        Fault.nack(times=4, path=STORE),
        Fault.status(503, times=3, path=READ),
        Fault.status(404, path=READ),
        Fault.lose_answer(times=2, path=READ),
        Fault.cut_body(0.3, times=2, path=READ),
        Fault.cut_body(0.7, times=4, path=READ),
    ]
)


@given(
    held=few_rows,
    rows=few_rows,
    section_bytes=st.integers(1, 400),
    faults=st.lists(st.lists(store_faults, max_size=6), min_size=1, max_size=3),
    retries=st.integers(0, 2),
    seed=st.integers(0, 2**16),
)
@settings(deadline=None, max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_point_is_there_once_after_any_faults(
    server: Server,
    connection: Connection,
    held: list[Row],
    rows: list[Row],
    section_bytes: int,
    faults: list[list[Fault]],
    retries: int,
    seed: int,
) -> None:
    uuid = connection.measurements.create(connection.edges.me().uuid, BASETIME).uuid
    connection.transport.policy = RetryPolicy(retries, sleep=lambda _: None)
    sender_of(connection, uuid).send(section_of(held))
    order = random.Random(seed)
    sections = [Section(serial, run) for serial, run in enumerate(split(points_of(rows), section_bytes=section_bytes))]
    before = held_before(connection, uuid, BASETIME_NS, sections)
    left, stored = sections, list[Section]()
    for round_of_faults in [*faults, []]:
        for fault in round_of_faults:
            server.inject(fault)
        sender = sender_of(connection, uuid, held=before, stored=stored)
        order.shuffle(left)
        for section in left:
            sender.send(section)
        disarm(server)
        stored += [section for section in left if section.fate is Fate.STORED]
        left = [section for section in left if section.fate is not Fate.STORED]
        there = Counter(rows_of(connection, uuid))
        known = Counter(held) + Counter(row for section in stored for row in rows_in(section))
        perhaps = Counter(row for section in left if section.fate is Fate.UNKNOWN for row in rows_in(section))
        assert known <= there <= known + perhaps
    assert left == []
    assert Counter(rows_of(connection, uuid)) == Counter(held) + Counter(rows)


def rows_in(section: Section) -> list[Row]:
    points = section.points
    return [
        int_row(int(time_ns), points.payload(row)[2], channel=points.keys[int(code)].channel or 0)
        for row, (time_ns, code) in enumerate(zip(points.time_ns, points.series, strict=True))
    ]
