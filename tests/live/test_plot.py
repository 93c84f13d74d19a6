"""A live plot: on which thread it is drawn, how often, and what it leaves behind; the notebook's display is the test's own."""

from __future__ import annotations

import asyncio
import logging
import queue
import sys
import threading
import types
from collections.abc import Callable, Iterator
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.figure import Figure

import intdash_frames as idf
from intdash_frames import UsageError
from intdash_frames.client.background import BackgroundLoop
from intdash_frames.frames.selection import select
from intdash_frames.live import plot as module
from intdash_frames.live.picture import new_figure
from intdash_frames.live.plot import LivePlot, Widget, plot
from tests.live.test_follow import SyncSender
from tests.live.windows import START_NS, floats, window

WAIT_S = 20
EVERYTHING = select(None)


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> Iterator[None]:
    yield
    assert [each.name for each in threading.enumerate() if each.name == "intdash-frames-live-plot"] == []


class Screen:
    """Keeps what is shown, and by which thread."""

    def __init__(self) -> None:
        self.pictures: list[tuple[bytes | None, threading.Thread]] = []
        self._new: queue.SimpleQueue[None] = queue.SimpleQueue()

    def __call__(self, png: bytes | None) -> None:
        self.pictures.append((png, threading.current_thread()))
        self._new.put(None)

    def next(self) -> bytes | None:
        self._new.get(timeout=WAIT_S)
        return self.pictures[-1][0]


class Clock:
    """Stands still unless it is moved."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def test_the_first_picture_is_shown_by_the_caller_and_the_others_by_one_thread() -> None:
    rolling, screen = window(), Screen()
    handle = LivePlot(rolling, EVERYTHING, screen=screen, pause=lambda _: None)
    first = screen.next()
    shown = [first]
    for number in range(3):
        rolling.append(floats(rolling, "speed", [number], first_ns=START_NS + number * 10**9))
        handle.notice()
        shown.append(screen.next())
    handle.stop()
    assert len(set(shown)) == 4
    threads = [thread for _, thread in screen.pictures]
    assert threads[0] is threading.current_thread()
    assert len(set(threads[1:])) == 1
    assert threads[1] is not threads[0]
    assert handle.png() == screen.pictures[-1][0]


@pytest.mark.parametrize(("rate_hz", "cost_s", "expected_s"), [(10, 0.0, 0.1), (2, 0.0, 0.5), (10, 0.04, 0.1), (10, 0.4, 0.8)])
def test_it_is_drawn_no_more_often_than_asked_for_and_at_most_half_of_the_time(
    rate_hz: float, cost_s: float, expected_s: float
) -> None:
    rolling, screen, clock = window(), Screen(), Clock()
    begun: list[float] = []

    def pause(seconds: float) -> None:
        clock.now_s += seconds
        begun.append(clock.now_s)

    def show(png: bytes | None) -> None:
        clock.now_s += cost_s
        screen(png)

    handle = LivePlot(rolling, EVERYTHING, rate_hz=rate_hz, screen=show, clock=clock, pause=pause)
    screen.next()
    for _ in range(4):
        handle.notice()
        screen.next()
    handle.stop()
    np.testing.assert_allclose(np.diff(begun), expected_s)


def test_many_notices_during_one_drawing_make_one_more_and_none_make_none() -> None:
    rolling, screen = window(), Screen()
    drawn = threading.Event()
    go_on: queue.SimpleQueue[None] = queue.SimpleQueue()

    def pause(_: float) -> None:
        drawn.set()
        go_on.get(timeout=WAIT_S)

    handle = LivePlot(rolling, EVERYTHING, screen=screen, pause=pause)
    handle.notice()
    assert drawn.wait(WAIT_S)
    drawn.clear()
    for _ in range(100):
        handle.notice()
    go_on.put(None)
    assert drawn.wait(WAIT_S)
    go_on.put(None)
    handle.stop()
    assert len(screen.pictures) == 3  # the first, one for the first notice, one for all others; at the end nothing was new


def test_stopping_shows_what_came_last_and_later_data_change_nothing() -> None:
    rolling, screen = window(), Screen()
    released = threading.Event()

    def pause(_: float) -> None:
        released.wait(WAIT_S)

    handle = LivePlot(rolling, EVERYTHING, screen=screen, pause=pause)
    handle.notice()
    screen.next()
    screen.next()
    rolling.append(floats(rolling, "speed", [7]))
    handle.notice()
    released.set()
    handle.stop()
    handle.stop()
    assert handle.figure.axes[0].get_title(loc="left") == "float:1/speed   7"
    last = handle.png()
    assert screen.pictures[-1][0] == last
    rolling.append(floats(rolling, "speed", [8], first_ns=START_NS + 10**9))
    handle.notice()
    assert handle.png() == last
    assert repr(handle).startswith("<LivePlot: ended")


def test_an_error_in_drawing_ends_the_plot_and_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    shown = []

    def screen(png: bytes | None) -> None:
        shown.append(png)
        if len(shown) == 2:
            raise OSError("the notebook has gone")

    handle = LivePlot(window(), EVERYTHING, screen=screen, pause=lambda _: None)
    with caplog.at_level(logging.ERROR):
        handle.notice()
        handle._thread.join(WAIT_S)
        handle.notice()
        handle.stop()
    assert isinstance(handle.error, OSError)
    assert len(shown) == 2
    assert caplog.text.count("a live plot has ended") == 1
    assert repr(handle).startswith("<LivePlot: failed")


def test_an_error_in_the_first_picture_is_raised_to_the_caller(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(module, "see", broken)
    with pytest.raises(ZeroDivisionError):
        LivePlot(window(), EVERYTHING, screen=Screen())


# --- widgets ---


class FigureOfLoop:
    """A figure on the screen: `draw_idle` draws, as a widget's would when its turn comes."""

    def __init__(self, loop: BackgroundLoop) -> None:
        self.loop, self.figure, self.is_closed = loop, new_figure(), threading.Event()
        self.threads: list[threading.Thread] = []
        self.drawn: queue.SimpleQueue[list[str]] = queue.SimpleQueue()
        self.figure.canvas.draw_idle = self.draw_idle  # type: ignore[method-assign]

    def draw_idle(self) -> None:
        self.threads.append(threading.current_thread())
        self.drawn.put([axes.get_title(loc="left") for axes in self.figure.axes])

    def make(self, make_picture: Callable[[Figure], Any], failed: Callable[[Exception], object]) -> Widget:
        return Widget(self.figure, self.loop.loop, make_picture, failed, self.is_closed.set)


@pytest.fixture
def loop() -> Iterator[BackgroundLoop]:
    loop = BackgroundLoop("kernel")
    yield loop
    loop.stop()


def test_a_widget_is_drawn_by_the_thread_of_its_loop_and_leaves_a_still_picture(loop: BackgroundLoop) -> None:
    rolling, screen, shown = window(), Screen(), FigureOfLoop(loop)
    handle = LivePlot(rolling, EVERYTHING, screen=screen, make_widget=shown.make, pause=lambda _: None)
    assert shown.drawn.get(timeout=WAIT_S) == []
    rolling.append(floats(rolling, "speed", [3]))
    handle.notice()
    assert shown.drawn.get(timeout=WAIT_S) == ["float:1/speed   3"]
    assert handle.figure is shown.figure
    assert [png for png, _ in screen.pictures] == [None]  # its place is kept
    handle.stop()
    assert shown.is_closed.wait(WAIT_S)
    assert {thread.name for thread in shown.threads} == {"kernel"}
    png = screen.pictures[-1][0]
    assert png is not None
    assert (len(screen.pictures), png) == (2, handle.png())


def test_while_the_loop_is_busy_only_the_newest_scene_waits(loop: BackgroundLoop) -> None:
    rolling, shown = window(), FigureOfLoop(loop)
    paused: queue.SimpleQueue[None] = queue.SimpleQueue()
    handle = LivePlot(rolling, EVERYTHING, make_widget=shown.make, pause=lambda _: paused.put(None))
    assert shown.drawn.get(timeout=WAIT_S) == []
    busy, free = threading.Event(), threading.Event()

    def run_a_cell() -> None:
        busy.set()
        free.wait(WAIT_S)

    loop.loop.call_soon_threadsafe(run_a_cell)
    assert busy.wait(WAIT_S)
    for number in range(5):
        rolling.append(floats(rolling, "speed", [number], first_ns=START_NS + number * 10**9))
        handle.notice()
        paused.get(timeout=WAIT_S)
    free.set()
    assert shown.drawn.get(timeout=WAIT_S) == ["float:1/speed   4"]
    handle.stop()
    assert shown.is_closed.wait(WAIT_S)
    assert shown.drawn.empty()


def test_an_error_in_drawing_a_widget_ends_the_plot(loop: BackgroundLoop, caplog: pytest.LogCaptureFixture) -> None:
    rolling, screen, shown = window(), Screen(), FigureOfLoop(loop)
    handle = LivePlot(rolling, EVERYTHING, screen=screen, make_widget=shown.make, pause=lambda _: None)
    shown.drawn.get(timeout=WAIT_S)

    def fail() -> None:
        raise OSError("no such comm")

    shown.figure.canvas.draw_idle = fail  # type: ignore[method-assign]
    handle.notice()
    handle._thread.join(WAIT_S)
    assert str(handle.error) == "no such comm"
    assert caplog.text.count("a live plot has ended") == 1
    assert screen.pictures[-1][0] is not None


def test_a_closed_loop_ends_nothing() -> None:
    closed = asyncio.new_event_loop()
    closed.close()
    rolling = window()

    def make(make_picture: Callable[[Figure], Any], failed: Callable[[Exception], object]) -> Widget:
        return Widget(new_figure(), closed, make_picture, failed, lambda: None)

    handle = LivePlot(rolling, EVERYTHING, make_widget=make, pause=lambda _: None)
    handle.notice()
    handle.stop()
    assert handle.error is None


# --- in a notebook, and not ---


class Handle:
    """What IPython's `display` gives."""

    def __init__(self, log: list[Any]) -> None:
        self.log = log

    def update(self, shown: Any, **options: Any) -> None:
        self.log.append(("update", shown, options))


@pytest.fixture
def notebook(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The few names of IPython that are used; IPython itself is none of our dependencies."""
    log: list[Any] = []

    def display(shown: Any, **options: Any) -> Handle:
        log.append(("display", shown, options))
        return Handle(log)

    def image(data: bytes, format: str) -> tuple[str, bytes]:
        return format, data

    shell = types.SimpleNamespace(kernel=object())
    monkeypatch.setitem(sys.modules, "IPython", types.SimpleNamespace(get_ipython=lambda: shell))  # type: ignore[arg-type]
    monkeypatch.setitem(sys.modules, "IPython.display", types.SimpleNamespace(display=display, Image=image))  # type: ignore[arg-type]
    return log


def test_in_a_notebook_the_picture_takes_the_place_of_the_one_before(notebook: list[Any]) -> None:
    rolling = window()
    handle = plot(rolling, "speed")
    rolling.append(floats(rolling, "speed", [1, 2]))
    handle.notice()
    handle.stop()
    assert [(what, options) for what, _, options in notebook][:1] == [("display", {"raw": False, "display_id": True})]
    assert {what for what, _, _ in notebook[1:]} == {"update"}
    assert {kind for _, (kind, _), _ in notebook} == {"png"}
    assert notebook[-1][1][1] == handle.png()
    assert handle.figure.axes[0].get_title(loc="left") == "float:1/speed   2"


def test_with_ipympl_the_canvas_is_shown_and_a_still_picture_stays_in_its_place(
    notebook: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from matplotlib import pyplot

    monkeypatch.setitem(sys.modules, "ipympl", types.SimpleNamespace())  # type: ignore[arg-type]
    monkeypatch.setattr(mpl, "get_backend", lambda: "module://ipympl.backend_nbagg")
    monkeypatch.setattr(pyplot, "figure", lambda **_: new_figure())
    rolling = window()
    rolling.append(floats(rolling, "speed", [1]))

    async def cell() -> LivePlot:
        return plot(rolling)

    handle = asyncio.run(cell())
    handle.stop()
    canvas, place, last = notebook
    assert canvas[:2] == ("display", handle.figure.canvas)
    assert place == ("display", {"text/plain": ""}, {"raw": True, "display_id": True})
    assert last == ("update", ("png", handle.png()), {"raw": False})


def test_with_ipympl_but_without_a_loop_pictures_are_shown(notebook: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ipympl", types.SimpleNamespace())  # type: ignore[arg-type]
    monkeypatch.setattr(mpl, "get_backend", lambda: "module://ipympl.backend_nbagg")
    plot(window()).stop()
    assert [what for what, _, _ in notebook] == ["display"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"rate_hz": 0}, "rate_hz=0; expected more than 0 and at most 10"),
        ({"rate_hz": 11}, "rate_hz=11"),
        ({"rate_hz": float("nan")}, "rate_hz=nan"),
        ({"rate_hz": True}, "rate_hz=True"),
        ({"signals": []}, "signals is empty"),
        ({"signals": "string:1/x"}, "'string:1/x' has no numbers to draw; these types have: float, general_sensor, int"),
        ({"span": "-1s"}, "window='-1s'; expected more than nothing"),
        ({"span": 5}, "window=5 has no unit"),
    ],
)
def test_arguments_that_cannot_work_are_refused(arguments: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        plot(window(), **arguments)


# --- of a live view ---


@pytest.fixture
def sender(client: idf.Client) -> Iterator[SyncSender]:
    sender = SyncSender(client)
    yield sender
    sender.close()


def test_a_plot_of_a_live_view_follows_it_and_ends_with_it(client: idf.Client, sender: SyncSender, notebook: list[Any]) -> None:
    with client.live(edge="demo", signals="float:1/n") as live:
        handle = live.plot(["n"], window="1s")
        sender.send(10)
        assert live.wait(10, WAIT_S)
    (axes,) = handle.figure.axes
    assert axes.get_title(loc="left") == "float:1/n   9"
    assert axes.lines[0].get_ydata().tolist() == list(range(10))
    assert notebook[-1][1] == ("png", handle.png())
    assert handle.error is None
    late = live.plot()
    assert late.figure.axes[0].get_title(loc="left") == "float:1/n   9"
