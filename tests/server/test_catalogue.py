from __future__ import annotations

from collections.abc import Iterator

import pytest

from intdash_frames.model import BasetimeType
from intdash_frames.server import catalogue
from intdash_frames.server.accounts import Accounts
from intdash_frames.server.catalogue import Page, Where
from intdash_frames.server.store import Refused, Store

NOBODY = "00112233-4455-6677-8899-aabbccddeeff"


@pytest.fixture
def store() -> Iterator[Store]:
    store = Store()
    Accounts(store, {"demo": "token"}, {})
    yield store
    store.close()


def create(store: Store, **options: object) -> str:
    with store.read() as cursor:
        edge_uuid = cursor.execute("SELECT uuid FROM edges").fetchall()[0][0]
    return catalogue.create_measurement(store, edge_uuid=edge_uuid, basetime_ns=1, **options)  # type: ignore[arg-type]


def test_a_measurement_is_made_with_the_base_time_entry_of_its_type(store: Store) -> None:
    uuid = create(store, basetime_type="gps")
    with store.read() as cursor:
        entries = catalogue.basetimes(cursor, uuid)
        made = catalogue.measurement(cursor, uuid)
    assert [(entry.type, entry.basetime.value if entry.basetime else None) for entry in entries] == [(BasetimeType.gps, 1)]
    assert (made.basetime_type, made.basetime) == (BasetimeType.gps, entries[0].basetime)


def test_putting_a_base_time_again_replaces_it_and_keeps_when_it_was_made(store: Store) -> None:
    uuid = create(store)
    with store.read() as cursor:
        (before,) = catalogue.basetimes(cursor, uuid)
    catalogue.put_basetime(store, uuid, "manual", 2)
    with store.read() as cursor:
        (after,) = catalogue.basetimes(cursor, uuid)
    assert after.basetime is not None
    assert after.basetime.value == 2
    assert after.created_at == before.created_at
    assert after.updated_at is not None
    assert before.updated_at is not None
    assert after.updated_at > before.updated_at


@pytest.mark.parametrize(
    "act",
    [
        lambda store: catalogue.update_measurement(store, NOBODY, {"name": "x"}),
        lambda store: catalogue.delete_measurement(store, NOBODY),
        lambda store: catalogue.put_basetime(store, NOBODY, "ntp", 1),
        lambda store: catalogue.delete_basetime(store, NOBODY, "ntp"),
    ],
)
def test_what_is_not_there_is_not_found(store: Store, act: object) -> None:
    with pytest.raises(Refused) as refusal:
        act(store)  # type: ignore[operator]
    assert refusal.value.status == 404


def test_a_refused_change_changes_nothing(store: Store) -> None:
    uuid = create(store, name="before")
    with pytest.raises(Refused, match="basetime_type 'ntp'"):
        catalogue.update_measurement(store, uuid, {"name": "after", "basetime_type": "ntp"})
    with store.read() as cursor:
        assert catalogue.measurement(cursor, uuid).name == "before"


def test_measurements_with_equal_keys_come_once_each_over_the_pages(store: Store) -> None:
    made = {create(store, name="same") for _ in range(7)}
    found = []
    with store.read() as cursor:
        for number in (1, 2, 3, 4):
            items, total = catalogue.measurements(cursor, Where(), Page("m.name", False, 2, number))
            found += [item.uuid for item in items]
            assert total == 7
    assert len(found) == 7
    assert set(found) == made


def test_text_in_a_filter_is_never_sql(store: Store) -> None:
    create(store, name="it's")
    where = Where()
    where.add_name("m.name", "it's")
    with store.read() as cursor:
        assert catalogue.measurements(cursor, where, Page("m.name", False, 10, 1))[1] == 1
    where.add_name("m.name", "x' OR true --")
    with store.read() as cursor:
        assert catalogue.measurements(cursor, where, Page("m.name", False, 10, 1))[1] == 0
