from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pandas as pd
import pytest

from intdash_frames.client.connection import Connection
from intdash_frames.errors import NotFound, UsageError
from intdash_frames.model import Capture, Edge
from tests.client.conftest import BASETIME
from tests.client.recorded import cases_of, repeat
from tests.transport.loopback import Loopback

UUID = "d66b829e-ea90-8e73-ec14-1999a46d6753"
START, END = pd.Timestamp(BASETIME), pd.Timestamp("2021-12-31T20:00:00Z")
MADE = Capture(
    UUID,
    "c",
    "",
    START,
    pd.Timedelta(0),
    "2265b1f5-91b7-d8f1-cd61-1027c386bbc4",
    True,
    pd.Timestamp("2020-01-01T00:00:00Z"),
    pd.Timestamp("2020-01-01T00:00:00Z"),
)

CALLS: dict[str, tuple[Callable[[Connection], Any], Any]] = {
    "captures_create_defaults": (lambda c: c.captures.create("c", START), MADE),
    "captures_create_all": (lambda c: c.captures.create("c2", BASETIME, "1.500000999s", False, "d"), MADE),
    "captures_get": (lambda c: c.captures.get(UUID), MADE),
    "captures_update": (lambda c: c.captures.update(UUID, "n", START, pd.Timedelta(3, "us"), True, "e"), None),
    "captures_delete": (lambda c: c.captures.delete(UUID), None),
    "captures_list": (lambda c: c.captures.list(START, pd.Timestamp(1640995200, unit="s", tz="UTC")), [MADE]),
}


@pytest.mark.parametrize("name", sorted(cases_of("captures")))
def test_a_call_is_the_recorded_one(peer: Loopback, name: str) -> None:
    call, expected = CALLS[name]
    assert repeat(peer, name, call) == expected


def test_a_capture_is_made_changed_and_deleted(connection: Connection, me: Edge) -> None:
    made = connection.captures.create("lap", START, duration="90s", description="the first")
    assert (made.name, made.start, made.duration) == ("lap", START, pd.Timedelta("90s"))
    assert (made.description, made.shared, made.edge_uuid) == ("the first", True, me.uuid)
    assert connection.captures.get(uuid=made.uuid) == made
    connection.captures.update(made.uuid, name="last lap", duration=pd.Timedelta("2min"))
    changed = connection.captures.get(made.uuid)
    assert (changed.name, changed.start, changed.duration, changed.shared) == ("last lap", START, pd.Timedelta("2min"), True)
    connection.captures.delete(made.uuid)
    with pytest.raises(NotFound):
        connection.captures.get(made.uuid)


def test_all_pages_are_one_frame(connection: Connection) -> None:
    names = [f"paged {number}" for number in range(5)]
    for number, name in enumerate(names):
        connection.captures.create(name, pd.Timestamp(f"2021-01-0{number + 1}T00:00:00Z"))
    find = connection.captures.list
    pages = list(find(START, END, name="paged", limit=2, iterator=True))
    assert [each.name for page in pages for each in page] == names
    assert [each.name for each in find("2021-01-02T00:00:00Z", "2021-01-03T12:00:00Z", "paged")] == names[1:3]
    frame = connection.captures.frame(START, END, "paged", order="desc")
    assert list(frame.columns) == [each.name for each in dataclasses.fields(Capture)]
    assert frame["name"].tolist() == names[::-1]
    empty = connection.captures.frame(START, END, name="no such")
    assert empty.dtypes.to_dict() == frame.dtypes.to_dict()


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda c: c.create("x", "2020-01-01"), "start='2020-01-01' has no time zone"),
        (lambda c: c.create("x", START, 5), "duration=5 has no unit"),
        (lambda c: c.create("x", START, "-1us"), "duration: -1 is negative, expected 0 or more"),
        (lambda c: c.update(UUID, duration="-1us"), "duration: -1 is negative, expected 0 or more"),
        (lambda c: c.create("x", START, shared=1), "shared: 1 is int, expected True or False"),
        (lambda c: c.create(None, START), "needs name"),
        (lambda c: c.update("x"), "uuid: 'x' is no UUID"),
        (lambda c: c.list(START, 5), "end=5 is a number"),
        (lambda c: c.list(None, END), "start=None"),
        (lambda c: c.frame(START, END, order="up"), "order: 'up' is not known"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_is_sent(call: Callable[[Any], Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        call(Connection("http://127.0.0.1:1", "token", retries=0).captures)
