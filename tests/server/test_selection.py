from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from intdash_frames.server.answers import data_answer
from intdash_frames.server.catalogue import create_measurement
from intdash_frames.server.selection import DataQuery, IdPattern, stored_ids
from intdash_frames.server.store import Refused, SeriesId, Store
from tests.server.reading import T0, edge_uuid, flat, new_measurement, new_store
from tests.server.samples import can_row, int_row, points_of


@pytest.fixture
def store() -> Iterator[Store]:
    store = new_store()
    yield store
    store.close()


def test_a_name_means_a_measurement_before_an_edge_uuid_before_an_edge_name(store: Store) -> None:
    demo, other = edge_uuid(store), edge_uuid(store, "other")
    new_measurement(store, [int_row(1)])
    new_measurement(store, [int_row(2)], edge="other")
    with store.write() as cursor:  # an edge whose name is the uuid of another one
        cursor.execute("UPDATE edges SET name = ? WHERE uuid = ?", [demo, other])
    assert [time_ns - T0 for time_ns, _, _ in flat(store, demo)] == [1]
    taken = create_measurement(store, edge_uuid=other, basetime_ns=T0, uuid=demo)
    store.append(taken, points_of([int_row(3)]), final=True)
    assert [time_ns - T0 for time_ns, _, _ in flat(store, demo)] == [3]


def test_a_name_that_is_nobody_is_refused(store: Store) -> None:
    with pytest.raises(Refused, match="'nobody'") as refusal:
        data_answer(store, DataQuery("nobody", 0, 1))
    assert refusal.value.status == 404


@pytest.mark.parametrize(
    ("patterns", "found"),
    [
        (["1"], {0, 1, 2}),
        (["1:2"], {2}),
        (["1:1/*"], {0, 1}),
        (["1:1/0000014A"], {0}),
        (["*:*/sp_ACCX"], {3}),
        (["*:*/SP_ACCX"], set()),
        (["12:1/a/b"], {4}),
        (["12:1/"], {5}),
        (["1:2/*", "12:*/sp_ACCX"], {2, 3}),
        (["*"], {0, 1, 2, 3, 4, 5}),
        (["*:2"], {2}),
        (["7:*/*"], set()),
    ],
)
def test_id_patterns_select(store: Store, patterns: list[str], found: set[int]) -> None:
    rows = [can_row(0, 0x14A), can_row(1, 0x14B), can_row(2, 0x14A, channel=2)]
    rows += [int_row(3, data_id="sp_ACCX"), int_row(4, data_id="a/b"), int_row(5, data_id="")]
    uuid = new_measurement(store, rows)
    times = {time_ns - T0 for time_ns, _, _ in flat(store, uuid, patterns=[IdPattern.parse(each) for each in patterns])}
    assert times == found


def test_a_label_that_nobody_defined_gives_no_rows_and_takes_none_from_patterns(store: Store) -> None:
    uuid = new_measurement(store, [int_row(0), can_row(1, 5)])
    assert flat(store, uuid, labels=["speed"]) == []
    assert len(flat(store, uuid, labels=["speed"], patterns=[IdPattern.parse("1")])) == 1


parts = st.one_of(st.none(), st.integers(0, 255))


@given(data_type=parts, channel=parts, data_id=st.one_of(st.none(), st.text().filter(lambda text: text != "*")))
def test_a_pattern_reads_back_what_its_text_says(data_type: int | None, channel: int | None, data_id: str | None) -> None:
    text = (
        ":".join(["*" if part is None else str(part) for part in (data_type, channel)])
        + "/"
        + ("*" if data_id is None else data_id)
    )
    assert IdPattern.parse(text) == IdPattern(data_type, channel, data_id)


@given(st.text().filter(lambda text: text[:1] not in ("*", *"0123456789")))
def test_text_that_names_no_type_is_refused(text: str) -> None:
    with pytest.raises(Refused, match="idq") as refusal:
        IdPattern.parse(text)
    assert refusal.value.status == 400
    assert repr(text) in refusal.value.reason


@pytest.mark.parametrize("text", ["can:1/0000014a", "1:", "1:x/y", "1/2", "1:-1/a", "\u0661:1/a", "1:1\n/a", " 1"])
def test_a_malformed_pattern_is_refused(text: str) -> None:
    with pytest.raises(Refused, match="idq"):
        IdPattern.parse(text)


@given(data_type=st.integers(0, 255), channel=st.integers(0, 255), data_id=st.text())
def test_a_series_matches_its_own_text_and_every_wildcard_of_it(data_type: int, channel: int, data_id: str) -> None:
    series = SeriesId(data_type, channel, data_id)
    for text in (
        f"{data_type}:{channel}/{data_id}",
        f"{data_type}:{channel}",
        f"{data_type}",
        f"*:{channel}/*",
        f"*:*/{data_id}",
    ):
        assert IdPattern.parse(text).matches(series)
    assert not IdPattern.parse(f"{data_type + 1}").matches(series)
    assert not IdPattern.parse(f"*:{channel + 1}").matches(series)


def test_ids_are_listed_for_a_measurement_and_for_a_range(store: Store) -> None:
    uuid = new_measurement(store, [can_row(0, 1), can_row(10, 2), can_row(20, 1)])
    assert stored_ids(store, uuid) == [SeriesId(1, 1, "00000001"), SeriesId(1, 1, "00000002")]
    assert stored_ids(store, "demo", T0 + 5, T0 + 15) == [SeriesId(1, 1, "00000002")]
