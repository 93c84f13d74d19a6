from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest

from intdash_frames.client.connection import Connection
from intdash_frames.errors import ApiError, NotFound, UsageError
from intdash_frames.model import (
    Conversion,
    ConversionCSV,
    ConversionJSON,
    ConversionNone,
    ConversionNumFixedPoint,
    ConversionNumFloatingPoint,
    ConversionSubBytes,
    ConversionSubString,
    ConversionType,
    DataType,
    Display,
    Signal,
)
from tests.client.recorded import CASES, cases_of, repeat
from tests.transport.loopback import Loopback

UUID = "75a89294-f3c6-4a2f-ed2f-6a8a05805975"
DISPLAY = Display("", -10, 10, "%f")
CONVERSIONS: dict[str, Conversion] = {
    "none": ConversionNone(),
    "json": ConversionJSON("sp_ACCX", "num"),
    "csv": ConversionCSV([","], 2, "str"),
    "num_floating_point": ConversionNumFloatingPoint(0, "little", 64),
    "num_fixed_point": ConversionNumFixedPoint(0, 32, "little", "signed", 1e-6, 0),
    "sub_bytes": ConversionSubBytes(1, 4),
    "sub_string": ConversionSubString(1, 4),
}


def test_the_recorded_conversions_are_all() -> None:
    assert set(CONVERSIONS) == set(ConversionType)
    assert {f"signals_create_{name}" for name in CONVERSIONS} == {name for name in cases_of("signals") if "create" in name}


@pytest.mark.parametrize("name", CONVERSIONS)
def test_a_signal_with_a_conversion_is_made_as_recorded(peer: Loopback, name: str) -> None:
    conversion = CONVERSIONS[name]
    made = repeat(
        peer,
        f"signals_create_{name}",
        lambda c: c.signals.create("sp_ACCX", DataType.general_sensor, "0001", 1, conversion, DISPLAY),
    )
    assert (made.conversion, made.display, made.data_type, made.data_id) == (conversion, DISPLAY, DataType.general_sensor, "0001")
    assert (made.uuid, made.hash) == (CASES[f"signals_create_{name}"]["response_json"]["uuid"], "sha256:00")


CALLS: dict[str, Callable[[Connection], Any]] = {
    "signals_get": lambda c: c.signals.get(UUID).uuid,
    "signals_update": lambda c: c.signals.update(
        UUID, "l2", "x", DataType.can, "00000001", 0, CONVERSIONS["num_fixed_point"], Display("u", 0, 1, "%d")
    ),
    "signals_update_label": lambda c: c.signals.update(uuid=UUID, label="a"),
    "signals_delete": lambda c: c.signals.delete(UUID),
    "signals_list_defaults": lambda c: [each.uuid for each in c.signals.list()],
    "signals_list_all": lambda c: [each.uuid for each in c.signals.list("sp", "updated_at", "desc", 2, 3)],
}


@pytest.mark.parametrize("name", sorted(each for each in cases_of("signals") if "create" not in each))
def test_a_call_is_the_recorded_one(peer: Loopback, name: str) -> None:
    found = repeat(peer, name, CALLS[name])
    assert found == {"signals_get": UUID, "signals_list_defaults": [UUID], "signals_list_all": [UUID]}.get(name)


def define(connection: Connection, label: str, /, **changed: Any) -> Signal:
    given = {
        "label": label,
        "data_type": DataType.can,
        "data_id": "0000014a",
        "channel": 1,
        "conversion": ConversionNumFixedPoint(2, 8, "little", "unsigned", 0.3, 0.0),
        "display": Display("m", 0.0, 100.0, "%.1f"),
    }
    return connection.signals.create(**{**given, **changed})


def test_a_signal_is_made_changed_and_deleted(connection: Connection) -> None:
    made = define(connection, "changing", description="a label")
    assert (made.label, made.description, made.channel, made.data_type) == ("changing", "a label", 1, DataType.can)
    assert connection.signals.get(uuid=made.uuid) == made
    connection.signals.update(made.uuid, channel=2, conversion=ConversionSubBytes(0, 1))
    changed = connection.signals.get(made.uuid)
    assert (changed.channel, changed.conversion, changed.display) == (2, ConversionSubBytes(0, 1), made.display)
    connection.signals.delete(made.uuid)
    with pytest.raises(NotFound):
        connection.signals.get(made.uuid)


def test_a_label_is_defined_once(connection: Connection) -> None:
    define(connection, "only")
    with pytest.raises(ApiError) as caught:
        define(connection, "only")
    assert caught.value.status == 409


def test_all_pages_of_a_label_are_one_frame(connection: Connection) -> None:
    labels = [f"paged {number}" for number in range(5)]
    for label in labels:
        define(connection, label)
    pages = list(connection.signals.list(label="paged", limit=2, iterator=True))
    assert [len(page) for page in pages] == [2, 2, 1]
    assert [each.label for page in pages for each in page] == labels
    frame = connection.signals.frame("paged", order="desc")
    assert list(frame.columns) == [each.name for each in dataclasses.fields(Signal)]
    assert frame["label"].tolist() == labels[::-1]
    assert frame["conversion"].tolist() == [page.conversion for page in connection.signals.list("paged")][::-1]
    assert connection.signals.frame("no such").dtypes.to_dict() == frame.dtypes.to_dict()


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"label": None}, "needs label"),
        ({"data_type": 256}, "data_type: 256 is outside 0 to 255"),
        ({"data_type": "can"}, "data_type: 'can' is str, expected a whole number"),
        ({"channel": True}, "channel: True is bool"),
        ({"data_id": 330}, "data_id: 330 is int, expected text"),
        ({"conversion": "none"}, "conversion: 'none' is str, expected one of the Conversion classes"),
        ({"conversion": DISPLAY}, "expected one of the Conversion classes"),
        ({"conversion": ConversionSubBytes(-1, 2)}, "conversion sub_bytes: startbyte is -1; expected a whole number from 0"),
        ({"display": 5}, "display: 5 is int, expected a record such as Display"),
        ({"display": None}, "needs display"),
        ({"display": Display("", float("nan"), 1, "")}, "cannot be written as JSON"),
    ],
)
def test_a_signal_that_cannot_work_is_refused_before_anything_is_sent(changed: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        define(Connection("http://127.0.0.1:1", "token", retries=0), "x", **changed)
