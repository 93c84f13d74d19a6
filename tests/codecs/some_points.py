"""Points made from rows, and rows made from points, for tests only: one Python object per point."""

import numpy as np
from hypothesis import strategies as st

from intdash_frames.codecs.points import Points, series_of_wire_id
from intdash_frames.codecs.series import Series, SeriesTable
from intdash_frames.codecs.table import layout_of

UUID = "8f6a776e-545e-92c1-7373-873d76d72fcb"


def points_of(rows, keys=None):
    """Points from (time_ns, Series, payload)."""
    keys = keys if keys is not None else SeriesTable()
    return Points(
        np.array([time_ns for time_ns, _, _ in rows], np.int64),
        np.array([keys.code(series) for _, series, _ in rows], np.int32),
        np.frombuffer(b"".join(payload for _, _, payload in rows), np.uint8),
        np.cumsum([0, *(len(payload) for _, _, payload in rows)]).astype(np.int32),
        keys,
    )


def rows_of(points):
    """(time_ns, Series, payload) of each point."""
    return [
        (int(time_ns), points.keys[code], points.payload(row))
        for row, (time_ns, code) in enumerate(zip(points.time_ns, points.series, strict=True))
    ]


ids = st.text(st.characters(exclude_categories=["Cs"]), max_size=6) | st.just("a/b/") | st.just("x" * 300)
answer_series = st.builds(
    lambda uuid, number, channel, data_id: series_of_wire_id(uuid, str(number), f"{channel}/{data_id}"),
    st.sampled_from([UUID, ""]),
    st.integers(0, 300),
    st.integers(0, 255),
    ids,
) | st.builds(lambda kind, wire_id: series_of_wire_id(UUID, kind, wire_id), st.sampled_from(["string", "", "can_frame"]), ids)
answer_times = st.integers(-9_223_372_036 * 10**9, 9_223_372_035_999_999_999)
payloads = st.binary(max_size=20) | st.integers(120, 140).map(bytes)

answer_rows = st.lists(st.tuples(answer_times, answer_series, payloads), max_size=8)


def stored(channel, data_type, payload, uuid=""):
    """The series of a point that came without ids."""
    layout = layout_of(data_type)
    raw = b""
    if layout.id_rule == layout.id_rule.NUMBER:
        raw = payload[: layout.id_width] if len(payload) >= layout.id_width else b""
    elif layout.id_rule == layout.id_rule.NAME and payload:
        raw = payload[1 : 1 + payload[0]] if 1 + payload[0] <= len(payload) else b""
    elif layout.id_rule == layout.id_rule.NMEA:
        raw = payload.decode("latin-1")[1:6].encode()
    return Series(uuid, data_type, channel, layout.data_id(raw), str(data_type))


@st.composite
def stored_rows(draw, times, uuid="", max_size=8):
    """Rows of a store request; sentences are ASCII, so that their ids are simple."""
    rows = []
    for _ in range(draw(st.integers(0, max_size))):
        data_type = draw(st.integers(0, 20) | st.sampled_from([127, 135, 255]))
        payload = draw(st.text(st.characters(max_codepoint=127)).map(str.encode) if data_type == 2 else payloads)
        rows.append((draw(times), stored(draw(st.integers(0, 255)), data_type, payload, uuid), payload))
    return rows
