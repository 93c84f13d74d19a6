from collections.abc import Iterator

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

import intdash_frames as idf
from intdash_frames.demo.drive import drive
from intdash_frames.demo.plot import plot

START = pd.Timestamp("2024-05-14T01:00:00Z").as_unit("ns")


@pytest.fixture(scope="module")
def figure() -> Iterator[Figure]:
    """The picture of ten seconds."""
    index = START + pd.to_timedelta(np.arange(100) * 100, unit="ms")
    derived = pd.DataFrame({"acceleration": np.linspace(-1, 1, 100), "jerk": np.linspace(-3, 3, 100)}, index=index)
    with idf.LocalServer() as server, server.client() as client:
        measurement = idf.store(drive(duration_s=10, basetime_ns=START.value, pictures=0).frames(), client=client).measurement
        derived.intdash.store(measurement, client=client, channel=10)
        before = dict(mpl.rcParams)
        yield plot(client.frames(measurement), client.frames(measurement, "float:10/*"))
        assert dict(mpl.rcParams) == before


def test_every_axis_says_its_unit(figure: Figure) -> None:
    assert [axes.get_ylabel() for axes in figure.axes] == ["speed [km/h]", "acceleration [m/s²]", "jerk [m/s³]"]
    assert figure.axes[-1].get_xlabel() == "time since 2024-05-14 01:00:00 UTC [s]"


def test_the_lines_are_what_was_given_over_seconds_since_the_start(figure: Figure) -> None:
    speed, middle, bottom = figure.axes
    assert len(speed.lines[0].get_xdata()) == 200
    acceleration = next(line for line in middle.lines if line.get_label() == "derived from speed")
    np.testing.assert_allclose(np.asarray(acceleration.get_xdata(), float), np.arange(100) / 10, atol=1e-9)
    np.testing.assert_array_equal(np.asarray(acceleration.get_ydata(), float), np.linspace(-1, 1, 100))
    np.testing.assert_array_equal(np.asarray(bottom.lines[0].get_ydata(), float), np.linspace(-3, 3, 100))


def test_what_happened_stands_at_its_time(figure: Figure) -> None:
    assert {text.get_text() for text in figure.axes[0].texts} >= {"engine started", "set off"}
