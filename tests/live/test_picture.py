"""What is to be seen of a window, thinned to the pixels, and the picture of it."""

from __future__ import annotations

import io
import sys

import matplotlib as mpl
import matplotlib.dates
import matplotlib.image
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure

from intdash_frames import data
from intdash_frames.codecs.series import Series
from intdash_frames.frames.selection import select
from intdash_frames.live.picture import Picture, new_figure, render, see, thinned
from intdash_frames.live.rolling import RollingFrame
from intdash_frames.model import DataType
from tests.codecs.some_points import points_of
from tests.live.windows import START_NS, floats, window

EVERYTHING = select(None)
# An id that matplotlib would take for a formula, and refuse.
NO_FORMULA = r"$\frac$"


def drawn(rolling: RollingFrame, awaited: str = "") -> Figure:
    """The figure of all there is."""
    figure = new_figure()
    picture = Picture(figure, awaited, None)
    picture.draw(see(rolling, EVERYTHING, None, picture.columns))
    return figure


def size(png: bytes) -> tuple[int, int]:
    assert png.startswith(b"\x89PNG\r\n")
    return int.from_bytes(png[16:20]), int.from_bytes(png[20:24])


@given(
    values=st.lists(st.floats(-1e6, 1e6) | st.just(float("nan")), min_size=1, max_size=400),
    columns=st.integers(1, 20),
    seed=st.integers(0, 1000),
)
def test_thinning_keeps_the_first_lowest_highest_and_last_of_every_column(values: list[float], columns: int, seed: int) -> None:
    numbers = np.asarray(values)
    time_ns = START_NS + np.sort(np.random.default_rng(seed).integers(0, 1000, len(values)))
    rows = thinned(time_ns, numbers, START_NS, START_NS + 1000, columns)
    assert (np.diff(rows) > 0).all()
    assert len(rows) <= max(4 * (columns + 1), len(values) if len(values) <= 4 * columns else 0)
    step_ns = -(-1000 // columns)
    whole, kept = (
        pd.DataFrame({"column": (time - START_NS) // step_ns, "value": some}).groupby("column")["value"].agg(["min", "max"])
        for time, some in [(time_ns, numbers), (time_ns[rows], numbers[rows])]
    )
    pd.testing.assert_frame_equal(whole, kept)
    column = (time_ns - START_NS) // step_ns
    assert set(np.flatnonzero(np.diff(column, prepend=-1))) <= set(rows)
    assert set(np.flatnonzero(np.diff(column, append=column[-1] + 1))) <= set(rows)


def test_a_scene_holds_the_numbers_of_the_signals_that_are_meant() -> None:
    rolling = window()
    rolling.append(floats(rolling, "speed", [1, 2, 3]))
    rolling.append(floats(rolling, "rpm", [10, 20]))
    text = Series("m", int(DataType.string), 1, "speed", "10")
    rolling.append(points_of([(START_NS, text, data.String(data_id="speed", value="fast").to_payload())], rolling.keys))
    scene = see(rolling, select("speed"), None, 1000)
    assert [(curve.signal, curve.field, curve.values.tolist()) for curve in scene.curves] == [
        ("float:1/speed", "value", [1, 2, 3])
    ]
    assert (scene.curves[0].time_ns - START_NS).tolist() == [0, 10**6, 2 * 10**6]
    assert [curve.signal for curve in see(rolling, EVERYTHING, None, 1000).curves] == ["float:1/speed", "float:1/rpm"]
    assert [curve.signal for curve in see(rolling, select(["float:*/r*"]), None, 1000).curves] == ["float:1/rpm"]


def test_the_fields_of_a_sensor_are_curves_with_a_unit() -> None:
    rolling = window()
    series = Series("m", int(DataType.general_sensor), 2, "0001", "3")
    payload = data.GeneralSensor(1, np.asarray([1, -2, 3], "<i4").tobytes()).to_payload()
    rolling.append(points_of([(START_NS, series, payload)], rolling.keys))
    curves = see(rolling, EVERYTHING, None, 1000).curves
    assert [(curve.signal, curve.field) for curve in curves] == [("general_sensor:2/0001", name) for name in ("ax", "ay", "az")]
    assert {curve.unit for curve in curves} == {"m/s²"}
    np.testing.assert_allclose([curve.values[0] for curve in curves], [1e-6, -2e-6, 3e-6])
    (axes,) = drawn(rolling).axes
    assert axes.get_title(loc="left") == "general_sensor:2/0001   m/s²"
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["ax", "ay", "az"]


def test_a_span_shows_the_newest_and_the_line_comes_in_from_the_edge() -> None:
    rolling = window()
    rolling.append(floats(rolling, "speed", range(10), step_ns=10**9))
    scene = see(rolling, EVERYTHING, 3 * 10**9, 1000)
    assert (scene.start_ns, scene.end_ns) == (START_NS + 6 * 10**9, START_NS + 9 * 10**9)
    assert scene.curves[0].values.tolist() == [5, 6, 7, 8, 9]


def test_more_signals_than_there_is_room_for_are_counted() -> None:
    rolling = window()
    for number in range(11):
        rolling.append(floats(rolling, f"s{number}", [number]))
    scene = see(rolling, EVERYTHING, None, 1000)
    assert (len(scene.curves), scene.left_out) == (8, 3)
    assert [text.get_text() for text in drawn(rolling).texts] == ["and 3 more signals"]


# --- the picture ---


def test_without_data_the_picture_says_what_it_waits_for() -> None:
    figure = drawn(window(), awaited=NO_FORMULA)
    assert [text.get_text() for text in figure.texts] == [f"waiting for {NO_FORMULA}"]
    assert size(render(figure))[0] == 1000


def test_the_axes_name_their_signal_and_its_newest_value() -> None:
    rolling = window()
    rolling.append(floats(rolling, NO_FORMULA, [0, 2.5]))
    figure = drawn(rolling)
    (axes,) = figure.axes
    assert axes.get_title(loc="left") == f"float:1/{NO_FORMULA}   2.5"
    (line,) = axes.lines
    assert line.get_ydata().tolist() == [0, 2.5]
    moments = mpl.dates.num2date(line.get_xdata())
    assert [pd.Timestamp(each).round("ms") for each in moments] == [
        pd.Timestamp(START_NS + ms * 10**6, tz="UTC") for ms in (0, 1)
    ]
    assert size(render(figure))[0] == 1000


def test_a_signal_that_comes_later_gets_axes_below() -> None:
    rolling, figure = window(), new_figure()
    picture = Picture(figure, "", None)
    heights = []
    for name in ("speed", "rpm"):
        rolling.append(floats(rolling, name, [1, 2]))
        picture.draw(see(rolling, EVERYTHING, None, picture.columns))
        heights.append(size(render(figure))[1])
    assert [each.get_title(loc="left") for each in figure.axes] == ["float:1/speed   2", "float:1/rpm   2"]
    assert heights[1] > heights[0]


@pytest.mark.parametrize(
    "values",
    [
        [float("nan")],
        [float("inf"), 1.0, float("-inf")],
        [1.7e308, -1.7e308],
        [5.0],
        [5.0] * 10,
        [0.0, 1e300, -1e300],
        [5e-324, 0],
    ],
)
def test_odd_values_can_be_drawn(values: list[float]) -> None:
    rolling = window()
    rolling.append(floats(rolling, "odd", values))
    figure = drawn(rolling)
    assert size(render(figure))[0] == 1000
    drawable = [value if abs(value) <= 1e300 else float("nan") for value in values]
    lines = [axes.lines[0].get_ydata() for axes in figure.axes]
    np.testing.assert_array_equal(lines, [] if np.isnan(drawable).all() else [drawable])


def test_drawing_leaves_pyplot_and_the_styles_of_the_user_alone() -> None:
    before, rolling = dict(mpl.rcParams), window()
    rolling.append(floats(rolling, "speed", range(100)))
    render(drawn(rolling))
    assert dict(mpl.rcParams) == before
    if "matplotlib.pyplot" in sys.modules:
        assert sys.modules["matplotlib.pyplot"].get_fignums() == []


def test_the_picture_shows_the_line() -> None:
    rolling = window()
    rolling.append(floats(rolling, "speed", range(1000)))
    pixels = mpl.image.imread(io.BytesIO(render(drawn(rolling))), format="png")
    blue = np.argwhere(np.abs(pixels[:, :, :3] - [0x1F / 255, 0x6F / 255, 0x8B / 255]).max(axis=2) < 0.02)
    assert len(blue) > 500
    assert np.corrcoef(*blue.T)[0, 1] < -0.99  # it rises
