"""Points to envelope and back, over the same memory."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from intdash_frames import UsageError
from intdash_frames.codecs.points import Points
from intdash_frames.codecs.series import Series, SeriesTable
from intdash_frames.frames.envelope import ENVELOPE, to_batch, to_points, to_table

UUIDS = ("414c343c-1e2f-7ed4-c2ce-78e57311d8a3", "8f6a776e-545e-92c1-7373-873d76d72fcb")
Row = tuple[int, Series, bytes]

ids = st.sampled_from(["", "a", "é/b", "000001a0"])
series = st.builds(
    lambda uuid, kind, channel, data_id: Series(uuid, kind, channel, data_id, str(kind)),
    st.sampled_from(UUIDS),
    st.integers(0, 255),
    st.integers(0, 255),
    ids,
)
rows = st.lists(st.tuples(st.integers(-(2**62), 2**62), series, st.binary(max_size=5)), max_size=12)


def points_of(given_rows: list[Row]) -> Points:
    keys = SeriesTable()
    codes = [keys.code(key) for _, key, _ in given_rows]
    payloads = [payload for _, _, payload in given_rows]
    offsets = np.cumsum([0, *map(len, payloads)]).astype(np.int32)
    times = np.array([time for time, _, _ in given_rows], np.int64)
    return Points(times, np.array(codes, np.int32), np.frombuffer(b"".join(payloads), np.uint8), offsets, keys)


def rows_of(parts: list[Points]) -> list[Row]:
    return [(int(part.time_ns[i]), part.keys[part.series[i]], part.payload(i)) for part in parts for i in range(len(part))]


@settings(max_examples=100, deadline=None)
@given(rows, st.data())
def test_points_come_back_from_an_envelope(given_rows: list[Row], data: st.DataObject) -> None:
    points = points_of(given_rows)
    cut = data.draw(st.integers(0, len(points)))
    table = to_table([points.slice(0, cut), points.slice(cut, len(points))])
    table.validate(full=True)
    assert table.schema.equals(ENVELOPE)
    assert table["payload"].to_pylist() == [payload for _, _, payload in given_rows]
    assert rows_of(to_points(table)) == given_rows
    start = data.draw(st.integers(0, len(points)))
    assert rows_of(to_points(table.slice(start))) == given_rows[start:]
    assert rows_of(to_points(table.combine_chunks())) == given_rows


@settings(max_examples=50, deadline=None)
@given(rows)
def test_an_envelope_may_be_of_other_types(given_rows: list[Row]) -> None:
    table = to_table([points_of(given_rows)])
    plain = {
        "measurement_uuid": pa.string(),
        "data_type": pa.int64(),
        "channel": pa.int16(),
        "data_id": pa.large_string(),
        "payload": pa.large_binary(),
    }
    for name, type_ in plain.items():
        table = table.set_column(table.column_names.index(name), name, table[name].cast(type_))
    assert rows_of(to_points(table.select(ENVELOPE.names[::-1]))) == given_rows


def test_payloads_and_times_are_not_copied() -> None:
    points = points_of([(i, Series(UUIDS[0], 1, 1, "a", "1"), b"x" * 100) for i in range(50)])
    batch = to_batch(points)
    assert batch["payload"].buffers()[2].address == points.data.ctypes.data
    assert batch["time"].buffers()[1].address == points.time_ns.ctypes.data


def test_a_type_without_a_number_and_an_id_without_a_channel_are_null() -> None:
    batch = to_batch(points_of([(0, Series(UUIDS[0], None, None, "a", "text"), b""), (1, Series(UUIDS[0], 0, 0, "a", "0"), b"")]))
    assert batch["data_type"].to_pylist() == batch["channel"].to_pylist() == [None, 0]


@pytest.mark.parametrize("name", ENVELOPE.names)
def test_an_envelope_with_a_column_less_or_a_null_is_refused(name: str) -> None:
    table = to_table([points_of([(0, Series(UUIDS[0], 1, 1, "a", "1"), b"x")])])
    with pytest.raises(UsageError, match=rf"no columns \['{name}'\]"):
        to_points(table.drop_columns([name]))
    nothing = pa.nulls(1, table.schema.field(name).type)
    with pytest.raises(UsageError, match=f"column '{name}' has 1 nulls"):
        to_points(table.set_column(table.column_names.index(name), pa.field(name, nothing.type), nothing))


@pytest.mark.parametrize("name", ["data_type", "channel"])
@pytest.mark.parametrize("value", [-1, 256])
def test_numbers_beyond_a_byte_are_refused(name: str, value: int) -> None:
    table = to_table([points_of([(0, Series(UUIDS[0], 1, 1, "a", "1"), b"x")])])
    with pytest.raises(UsageError, match=f"column '{name}' holds {value} to {value}; expected 0 to 255"):
        to_points(table.set_column(table.column_names.index(name), name, pa.array([value])))
