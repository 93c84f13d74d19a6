"""Points of several kinds go back into one order, in as many parts as their payloads need."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from intdash_frames.codecs.points import Points
from intdash_frames.codecs.series import Series, SeriesTable
from intdash_frames.live import buffer
from intdash_frames.live.interleave import interleaved
from tests.codecs.some_points import points_of, rows_of

SERIES = [Series("", data_type, channel, "", str(data_type)) for data_type in (9, 15, 18) for channel in (1, 2)]
KINDS = np.array([0, 0, 1, 1, 2, 2], np.int32)


@pytest.mark.parametrize("most_bytes", [buffer.MOST_PIECE_BYTES, 8])
@settings(deadline=None, max_examples=60)
@given(chosen=st.lists(st.tuples(st.integers(0, 5), st.binary(max_size=5)), max_size=20), cuts=st.sets(st.integers(1, 6)))
def test_points_of_several_kinds_come_in_the_order_wanted(most_bytes, chosen, cuts):
    keys = SeriesTable()
    for series in SERIES:
        keys.code(series)
    rows = [(time, SERIES[code], payload) for time, (code, payload) in enumerate(chosen)]
    whole = points_of(rows, keys)
    pieces = []
    for kind in range(3):
        own = whole.take(np.flatnonzero(KINDS[whole.series] == kind))
        bounds = [0, *sorted(cut for cut in cuts if cut < len(own)), len(own)]
        pieces += [own.slice(start, stop) for start, stop in itertools.pairwise(bounds) if start < stop]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(buffer, "MOST_PIECE_BYTES", most_bytes)
        found = list(interleaved(pieces, whole.series, KINDS))
    assert [row for part in found for row in rows_of(part)] == rows
    if len(pieces) > 1:
        assert all(len(part) == 1 or int(part.offsets[-1]) <= most_bytes for part in found)
        assert len(found) == 1 or most_bytes == 8


def test_a_single_piece_is_not_copied():
    keys = SeriesTable()
    points = points_of([(1, SERIES[0], b"x")], keys)
    assert list(interleaved([points], points.series, KINDS)) == [points]
    assert list(interleaved([], Points.empty(keys).series, KINDS)) == []
