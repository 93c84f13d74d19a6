from __future__ import annotations

import pandas as pd

from intdash_frames.client.points_frame import frame_of_points
from intdash_frames.codecs.points import Points
from intdash_frames.codecs.series import Series, SeriesTable
from tests.server.samples import int_row, points_of

UUID, OTHER = "414c343c-1e2f-7ed4-c2ce-78e57311d8a3", "c324c985-c464-008a-b222-442e7204e52d"


def points(*series: Series) -> Points:
    """One point of each series, a nanosecond apart."""
    found, keys = points_of([int_row(row, row) for row in range(len(series))]), SeriesTable()
    for row, each in enumerate(series):
        found.series[row] = keys.code(each)
    return Points(found.time_ns, found.series, found.data, found.offsets, keys)


def test_a_type_that_is_text_and_an_id_without_a_channel_are_null() -> None:
    frame = frame_of_points([points(Series(UUID, 99, 1, "x", "99"), Series(UUID, None, None, "a/b", "can_frame"))])
    assert frame["data_type"].isna().tolist() == frame["channel"].isna().tolist() == [False, True]
    assert (frame["data_type"][0], frame["channel"][0]) == (99, 1)
    assert frame["data_id"].tolist() == ["x", "a/b"]


def test_slices_give_their_own_payloads_and_categories() -> None:
    whole = points(Series(UUID, 12, 1, "s", "12"), Series(UUID, 12, 1, "t", "12"), Series(UUID, 12, 1, "t", "12"))
    frame = frame_of_points([whole.slice(1, 2), whole.slice(2, 3)])
    assert frame["data_payload"].tolist() == [whole.payload(1), whole.payload(2)]
    assert frame["time"].tolist() == [pd.Timestamp(1, tz="UTC"), pd.Timestamp(2, tz="UTC")]
    assert list(frame["data_id"].cat.categories) == ["t"]


def test_elapsed_times_count_from_the_base_time_of_each_measurement() -> None:
    parts = [points(Series(UUID, 12, 1, "s", "12"), Series(OTHER, 12, 1, "s", "12"), Series(UUID, 12, 1, "s", "12"))]
    frame = frame_of_points(parts, {UUID: 0, OTHER: 5})
    assert frame["elapsed_time"].tolist() == [pd.Timedelta(0), pd.Timedelta(-4, unit="ns"), pd.Timedelta(2, unit="ns")]
    assert "time" not in frame.columns


def test_no_points_make_an_empty_frame_of_the_same_types() -> None:
    full = points(Series(UUID, 12, 1, "s", "12"))
    for basetimes in (None, {UUID: 0}):
        empty = frame_of_points([], basetimes)
        assert empty.empty
        assert list(map(str, empty.dtypes)) == list(map(str, frame_of_points([full], basetimes).dtypes))
