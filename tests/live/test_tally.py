"""Gaps as a frame."""

import pandas as pd

from intdash_frames.live.tally import Gap, gaps_frame


def test_gaps_are_rows_with_zones_and_open_ends():
    frame = gaps_frame([Gap(None, 10**18, "not stored", 0), Gap(10**18, None, "lost", 3)], "Asia/Tokyo")
    moment = pd.Timestamp(10**18, tz="UTC")
    assert frame["start"].tolist() == [pd.NaT, moment]
    assert frame["end"].tolist() == [moment, pd.NaT]
    assert str(frame["end"].dtype) == "datetime64[ns, Asia/Tokyo]"
    assert frame[["reason", "recovered"]].values.tolist() == [["not stored", 0], ["lost", 3]]


def test_no_gaps_are_a_frame_of_the_same_columns_and_types():
    none, some = gaps_frame([], "UTC"), gaps_frame([Gap(0, 1, "x", 0)], "UTC")
    assert len(none) == 0
    assert none.dtypes.equals(some.dtypes)
