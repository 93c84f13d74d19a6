"""What a window is called: its own series in the order of their points, not those of the stream."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from intdash_frames import DataType
from intdash_frames.codecs.points import Points
from intdash_frames.codecs.series import Series, SeriesTable
from intdash_frames.frames.build import signal_key
from intdash_frames.live.look import data_type_of, look

SERIES = [Series(uuid, kind, 1, data_id, str(kind)) for uuid in ("m1", "m2") for kind in (11, 12) for data_id in ("a", "b")]


def table():
    keys = SeriesTable()
    for series in SERIES:
        keys.code(series)
    return keys


@settings(deadline=None, max_examples=100)
@given(st.lists(st.integers(0, len(SERIES) - 1), max_size=20))
def test_series_are_named_in_the_order_of_their_first_points(codes):
    seen = look(np.array(codes, np.int32), table(), {})
    occurring = list(dict.fromkeys(SERIES[code] for code in codes))
    assert list(seen.table) == occurring
    assert seen.measurement_uuids == tuple(dict.fromkeys(series.measurement_uuid for series in occurring))
    signals, keys = seen.signal_codes()
    assert [signal_key(key) for key in keys] == list(dict.fromkeys(signal_key(series) for series in occurring))
    assert [signal_key(keys[signal]) for signal in signals] == [signal_key(series) for series in occurring]


def test_points_are_renamed_and_otherwise_the_same():
    keys = table()
    series = np.array([5, 2, 5], np.int32)
    points = Points(np.arange(3), series, np.zeros(3, np.uint8), np.arange(4, dtype=np.int32), keys)
    renamed = look(series, keys, {}).renamed(points)
    assert [renamed.keys[code] for code in renamed.series] == [SERIES[5], SERIES[2], SERIES[5]]
    assert renamed.series.tolist() == [0, 1, 0]
    assert renamed.data is points.data


def test_a_kind_has_the_number_of_its_data_type():
    assert data_type_of(DataType.can) == 1
    assert data_type_of(200) == 200
    assert data_type_of("float64") is None
