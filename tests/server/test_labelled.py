"""Labels in a data query, from definitions and points in a store to the bytes of the answer."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from intdash_frames.codecs import signals as codec
from intdash_frames.model.signals import ERROR_ID
from intdash_frames.server import answers
from intdash_frames.server.answers import data_answer
from intdash_frames.server.definitions import create_signal
from intdash_frames.server.selection import DataQuery, IdPattern
from intdash_frames.server.store import Store
from tests.server.conftest import Caller, read_points
from tests.server.reading import T0, new_measurement, new_store
from tests.server.samples import Row, body_of, int_row, points_of

DISPLAY = {"unit": "", "min": 0, "max": 1, "format": "%f"}


class Found(NamedTuple):
    elapsed_ns: int
    uuid: str
    data_type: int
    wire_id: str
    value: Any


@pytest.fixture
def store() -> Iterator[Store]:
    store = new_store()
    yield store
    store.close()


def define(store: Store, label: str, startbyte: int = 0, *, data_id: str = "0000014A", channel: int = 1, **options: Any) -> None:
    """A label for one byte of a CAN frame."""
    bits = {"startbit": 8 * startbyte, "bitsize": 8, "endian": "little", "sign": "unsigned", "scale": 1, "offset": 0}
    create_signal(
        store,
        label=label,
        description="",
        data_type=1,
        data_id=data_id,
        channel=channel,
        conversion={"type": "num_fixed_point", "options": bits | options},
        display=DISPLAY,
    )


def frame(elapsed_ns: int, data: bytes, *, channel: int = 1) -> Row:
    return elapsed_ns, 1, channel, "0000014a", bytes.fromhex("4a010000") + bytes([len(data)]) + data


def pieces(store: Store, name: str, **options: Any) -> list[list[Found]]:
    answer, found = data_answer(store, DataQuery(name, 0, 2**63 - 1, **options)), []
    while (body := answer.next()) is not None:
        points = read_points(bytes(body))
        found.append([_found(points, row) for row in range(len(points))])
    answer.close()
    return found


def _found(points: Any, row: int) -> Found:
    key, payload = points.keys[points.series[row]], points.payload(row)
    if key.data_id == ERROR_ID:
        value: Any = json.loads(payload[6:])["error_extra"]["signal_label"]
    elif key.data_type == 11:
        assert payload[: 1 + payload[0]].decode() == chr(len(key.data_id)) + key.data_id
        value = struct.unpack("<d", payload[1 + payload[0] :])[0]
    else:
        value = payload
    return Found(int(points.time_ns[row]) - T0, key.measurement_uuid, key.data_type, f"{key.channel}/{key.data_id}", value)


def flat(store: Store, name: str, **options: Any) -> list[Found]:
    return [row for piece in pieces(store, name, **options) for row in piece]


def short(rows: list[Found]) -> list[tuple[int, str, Any]]:
    return [(row.elapsed_ns, row.wire_id, row.value) for row in rows]


def test_a_label_alone_selects_converted_rows_only(store: Store) -> None:
    define(store, "speed")
    uuid = new_measurement(store, [frame(1, b"\x07"), int_row(2), frame(3, b"\x09"), frame(4, b"\x01", channel=2)])
    assert flat(store, uuid, labels=["speed"]) == [Found(1, uuid, 11, "1/speed", 7.0), Found(3, uuid, 11, "1/speed", 9.0)]


def test_labels_and_patterns_select_the_union_and_a_row_of_both_comes_twice(store: Store) -> None:
    define(store, "speed")
    define(store, "gear", 1)
    rows = [frame(1, b"\x07\x02"), int_row(2), frame(3, b"\x09\x03")]
    uuid = new_measurement(store, rows)
    query: dict[str, Any] = {"labels": ["gear", "nothing", "speed", "gear"], "patterns": [IdPattern.parse("1")]}
    assert short(flat(store, uuid, **query)) == [
        (1, "1/0000014a", rows[0][4]),
        (1, "1/gear", 2.0),
        (1, "1/speed", 7.0),
        (3, "1/0000014a", rows[2][4]),
        (3, "1/gear", 3.0),
        (3, "1/speed", 9.0),
    ]
    assert short(flat(store, uuid, labels=["speed"], patterns=[IdPattern.parse("12")])) == [
        (1, "1/speed", 7.0),
        (2, "1/i", rows[1][4]),
        (3, "1/speed", 9.0),
    ]


def test_a_failed_conversion_is_a_row_or_ends_the_answer_before_it(store: Store) -> None:
    define(store, "speed")
    define(store, "gear", 1)
    uuid = new_measurement(store, [frame(1, b"\x07\x01"), frame(2, b"\x08"), frame(3, b"\x09\x02")])
    labels = ["gear", "speed"]
    found = flat(store, uuid, labels=labels)
    before = [(1, "1/gear", 1.0), (1, "1/speed", 7.0)]
    assert short(found) == [*before, (2, f"1/{ERROR_ID}", "gear"), (2, "1/speed", 8.0), (3, "1/gear", 2.0), (3, "1/speed", 9.0)]
    assert (found[2].data_type, found[2].uuid) == (10, uuid)
    assert short(flat(store, uuid, labels=labels, exit_on_error=True)) == before
    assert short(flat(store, uuid, labels=labels[::-1], exit_on_error=True)) == [*before[::-1], (2, "1/speed", 8.0)]
    assert short(flat(store, uuid, labels=["speed"], exit_on_error=True)) == [(at, "1/speed", 6.0 + at) for at in (1, 2, 3)]


def test_a_stored_point_that_looks_like_an_error_ends_nothing(store: Store) -> None:
    define(store, "speed")
    payload = b"\x05error{}"
    uuid = new_measurement(store, [(0, 10, 1, ERROR_ID, payload), frame(1, b"\x07")])
    query: dict[str, Any] = {"labels": ["speed"], "patterns": [IdPattern.parse("10")], "exit_on_error": True}
    answer = data_answer(store, DataQuery(uuid, 0, 2**63 - 1, **query))
    points = read_points(bytes(answer.next() or b""))
    answer.close()
    assert [points.keys[code].data_id for code in points.series] == [ERROR_ID, "speed"]


def test_the_rows_of_an_edge_keep_their_measurements(store: Store) -> None:
    define(store, "speed")
    first = new_measurement(store, [frame(0, b"\x01"), frame(10, b"\x02")])
    second = new_measurement(store, [frame(0, b"\x03")], basetime_ns=T0 + 5)
    new_measurement(store, [frame(0, b"\x04")], edge="other")
    found = [(row.elapsed_ns, row.uuid, row.value) for row in flat(store, "demo", labels=["speed"])]
    assert found == [(0, first, 1.0), (5, second, 3.0), (10, first, 2.0)]


def test_a_signal_of_another_signals_label_converts_stored_points_only(store: Store) -> None:
    """What a server does with chains is not documented; ours makes none, so that no definition can run in circles."""
    define(store, "speed")
    options = {"startbyte": 0, "endian": "little", "precision": 64}
    conversion = {"type": "num_floating_point", "options": options}
    fields = {"description": "", "data_type": 11, "data_id": "speed", "channel": 1, "conversion": conversion, "display": DISPLAY}
    create_signal(store, label="again", **fields)
    uuid = new_measurement(store, [frame(0, b"\x01"), (1, 11, 1, "speed", b"\x05speed" + struct.pack("<d", 2.5))])
    found = flat(store, uuid, labels=["speed", "again"])
    assert short(found) == [(0, "1/speed", 1.0), (1, "1/again", 2.5)]


@given(
    data=st.lists(st.tuples(st.integers(0, 6), st.binary(max_size=2)), min_size=1, max_size=30),
    limit=st.integers(0, 40),
    with_rows=st.booleans(),
    exit_on_error=st.booleans(),
    in_order=st.booleans(),
)
@settings(deadline=None, max_examples=40)
def test_however_an_answer_is_cut_into_parts_it_is_the_same(
    data: list[tuple[int, bytes]], limit: int, with_rows: bool, exit_on_error: bool, in_order: bool
) -> None:
    store = new_store()
    rows = [frame(elapsed_ns, body) for elapsed_ns, body in (sorted(data, key=lambda each: each[0]) if in_order else data)]
    uuid = new_measurement(store, rows)
    define(store, "a", 0)
    define(store, "b", 1)
    expected: list[tuple[int, str, Any]] = []
    stopped = False
    for elapsed_ns, _, _, data_id, payload in sorted(rows, key=lambda row: row[0]):
        made = [(elapsed_ns, f"1/{data_id}", payload)] if with_rows else []
        for startbyte, label in enumerate("ab"):
            fits = startbyte < len(payload) - 5
            made.append(
                (elapsed_ns, f"1/{label}", float(payload[5 + startbyte])) if fits else (elapsed_ns, f"1/{ERROR_ID}", label)
            )
        for row in made:
            stopped = stopped or (exit_on_error and ERROR_ID in row[1])
            expected += [] if stopped else [row]
    patterns = [IdPattern.parse("1")] if with_rows else []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(answers, "PART_POINTS", 4)
        patch.setattr(answers, "BUCKETS", 3)
        patch.setattr(codec.in_slices, "__kwdefaults__", {"most_points": 5, "most_bytes": 40})
        found = pieces(store, uuid, labels=["a", "b"], patterns=patterns, limit=limit, exit_on_error=exit_on_error)
    assert short([row for piece in found for row in piece]) == expected[: limit or None]
    assert all(len(piece) <= 5 for piece in found)
    store.close()


def test_many_labels_of_one_row_stay_in_small_pieces(store: Store) -> None:
    for number in range(20):
        define(store, f"label {number}")
    uuid = new_measurement(store, [frame(i, bytes([i % 256])) for i in range(10_000)])
    sizes = [len(piece) for piece in pieces(store, uuid, labels=[f"label {number}" for number in range(20)])]
    assert sum(sizes) == 200_000
    assert max(sizes) <= codec.SLICE_POINTS


def test_points_stored_after_the_question_are_not_in_the_answer(store: Store) -> None:
    define(store, "speed")
    uuid = new_measurement(store, [frame(0, b"\x01")])
    answer = data_answer(store, DataQuery(uuid, 0, 2**62, labels=["speed"]))
    store.append(uuid, points_of([frame(1, b"\x02")]), final=True)
    body = answer.next()
    assert body is not None
    assert len(read_points(bytes(body))) == 1
    assert answer.next() is None
    answer.close()


@pytest.mark.parametrize(("exit_on_error", "times"), [("False", [1, 2, 3]), ("true", [1]), ("True", [1])])
def test_the_query_of_the_data_call_says_it_all(call: Caller, exit_on_error: str, times: list[int]) -> None:
    options = {"startbit": 0, "bitsize": 8, "endian": "little", "sign": "unsigned", "scale": 1, "offset": 0}
    label = f"exit {exit_on_error}"
    fields = {"label": label, "description": "", "data_type": 1, "data_id": "0000014A", "channel": 1, "display": DISPLAY}
    answer = call("POST", "/api/v1/signals", json=fields | {"conversion": {"type": "num_fixed_point", "options": options}})
    assert answer.status_code < 300, answer.text
    uuid = call.create()
    call.store(body_of(uuid, [frame(1, b"\x07"), frame(2, b""), frame(3, b"\x09"), int_row(4)]))
    found = call.rows(uuid, label=label, exit_on_error=exit_on_error)
    assert [row[0] for row in found] == times
    assert found[0][1:] == (11, 1, label, bytes([len(label)]) + label.encode() + struct.pack("<d", 7.0))
    assert [row[0] for row in call.rows(uuid, label=label, idq="12", limit=2)] == [1, 2]
