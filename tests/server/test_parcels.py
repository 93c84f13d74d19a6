"""Parcels: the same points in the same order whatever they are cut into, and nothing that the vendor's SDK cannot survive."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from intdash_frames.codecs.messages import read_message
from intdash_frames.codecs.series import SeriesTable
from intdash_frames.codecs.units import UnitRun
from intdash_frames.server import parcels
from intdash_frames.server.parcels import Parcel, pack
from tests.server.samples import Row, can_row, int_row, points_of
from tests.server.streaming import rows_of

quick = settings(deadline=None, max_examples=80)
EMPTY_JPEG: Row = (5, 9, 1, "jpeg", b"")


def basetime_row(seconds: int) -> Row:
    return 0, 135, 1, "basetime", b"\2" + seconds.to_bytes(4, "little") + bytes(4)


def units_in(units: bytes | memoryview) -> list[tuple[int, Row]]:
    found = []
    for run in read_message(bytes(units), SeriesTable()):
        assert isinstance(run, UnitRun)
        found += [(int(stream_id), row) for stream_id, row in zip(run.stream_ids, rows_of(run.points), strict=True)]
    return found


def rows_in(packed: list[Parcel]) -> list[Row]:
    return [row for parcel in packed for _, row in units_in(parcel.units)]


rows = st.lists(
    st.builds(can_row, st.integers(0, 10**15), st.integers(0, 3))
    | st.builds(int_row, st.integers(0, 9))
    | st.builds(basetime_row, st.integers(0, 9))
    | st.just(EMPTY_JPEG)
    | st.binary(max_size=60).map(lambda payload: (1, 5, 2, "", payload)),
    max_size=30,
)


@quick
@given(rows, st.integers(1, 200))
def test_parcels_hold_all_points_in_order_and_few_enough_for_a_message(sent: list[Row], most: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parcels, "MESSAGE_BYTES", most)
        packed = pack(points_of(sent), 7)
    assert rows_in(packed.parcels) == sent
    assert packed.withheld == 0
    for parcel in packed.parcels:
        units = units_in(parcel.units)
        assert len(units) == parcel.points
        assert {stream_id for stream_id, _ in units} == {7}
        assert len(parcel.units) <= most or len(units) == 1
        is_empty = [row[1] in (5, 9) and not row[4] for _, row in units]
        assert not any(is_empty[:-1])
        assert parcel.ends_message == is_empty[-1]
        basetimes = [row for _, row in units if row[1] == 135]
        assert ([row for _, row in units_in(parcel.basetime)] if parcel.basetime else []) == basetimes[-1:]


# What the vendor's SDK 2.1.1 did with a unit of each between two good ones: read it, or end its reading for good. What it takes
# for the end of the message is neither. (data type, payload, read)
VENDOR = [
    (1, b"\x4a\1\0\0\x02\x01\x02", True),
    (1, b"\x4a\1\0\0\x01\x01\x02", True),
    (1, b"\x4a\1\0\0\x00", True),
    (1, b"\x4a\1\0\0\x08\x01\x02", False),
    (1, b"\x4a\1", False),
    (2, b"$", True),
    (2, b"$GP\xff\xfe,1", False),
    (3, b"\1", False),
    (10, b"\0abc", True),
    (10, "\1s日本".encode(), True),
    (10, "\6日本".encode(), True),
    (10, b"\1s\xff\xfe", False),
    (10, b"\2\xff\xfeab", False),
    (10, b"\5ab", False),
    (11, b"\1x" + bytes(8), True),
    (11, b"\1x" + bytes(9), True),
    (11, b"\1x" + bytes(3), False),
    (11, b"\1\xff" + bytes(8), False),
    (12, b"\1x" + b"\xff" * 8, True),
    (12, b"\1x" + bytes(3), False),
    (13, b"\x33abc", True),
    (14, b"\1x\xff", True),
    (16, b"abc", True),
    (127, b"\1\0", False),
    (135, bytes(9), True),
    (135, bytes(10), True),
    (135, b"\2\0", False),
    (5, b"abc", False),
    (7, b"abc", False),
    (8, b"abc", False),
    (17, b"abc", False),
    (200, b"abc", False),
]


@pytest.mark.parametrize(("data_type", "payload", "is_read"), VENDOR)
def test_what_ends_the_reading_of_the_vendor_is_kept_from_it_alone(data_type: int, payload: bytes, is_read: bool) -> None:
    sent = [int_row(1), (2, data_type, 1, "", payload), int_row(3)]
    expected = [row[4] for row in sent if is_read or row[4] != payload]
    packed = pack(points_of(sent), 1, for_reference=True)
    assert [row[4] for row in rows_in(packed.parcels)] == expected
    assert packed.withheld == 3 - len(expected)
    assert [row[4] for row in rows_in(pack(points_of(sent), 1).parcels)] == [row[4] for row in sent]


@pytest.mark.parametrize(
    ("data_type", "payload"),
    [
        (2, b""),
        (3, b"\1\0"),
        (4, b"\1"),
        (9, b""),
        (10, b"\1s"),
        (13, b"\1"),
        (14, b"\1x"),
        (15, bytes(10)),
        (16, b""),
        (127, bytes(4)),
    ],
)
def test_a_unit_without_content_is_the_last_of_its_message(data_type: int, payload: bytes) -> None:
    packed = pack(points_of([(1, data_type, 1, "", payload), int_row(2)]), 1, for_reference=True)
    assert [(parcel.points, parcel.ends_message) for parcel in packed.parcels] == [(1, True), (1, False)]


@quick
@given(st.lists(st.tuples(st.integers(0, 255), st.binary(max_size=12)), max_size=20))
def test_any_payload_of_any_type_can_be_packed(sent: list[tuple[int, bytes]]) -> None:
    points = points_of([(n, data_type, 1, "", payload) for n, (data_type, payload) in enumerate(sent)])
    assert [row[4] for row in rows_in(pack(points, 1).parcels)] == [payload for _, payload in sent]
    for_reference = pack(points, 1, for_reference=True)
    assert sum(parcel.points for parcel in for_reference.parcels) + for_reference.withheld == len(sent)
