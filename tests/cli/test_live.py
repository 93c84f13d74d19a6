"""`intdash-frames live`: what it says of batches, and the whole of it against a server to which an edge sends."""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import os
import queue
import select
import signal
import struct
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pandas as pd
import pytest
from rich.console import Console

from intdash_frames import Client, LocalServer, data
from intdash_frames.cli.live import Latest
from intdash_frames.codecs.series import Series, SeriesTable
from intdash_frames.frames.envelope import to_batch
from intdash_frames.model import DataType, Unit, UpstreamSpec
from tests.cli.conftest import COMMAND, Run, Start
from tests.codecs.some_points import points_of

WAIT_S = 20
module = importlib.import_module("intdash_frames.cli.live")  # as an attribute of the package too, it is the module
START_NS = 1_594_283_650_000_000_000
ACCELERATION = struct.pack("<iii", 1_000_000, -2_000_000, 3_000_000)


def batch(*points: tuple[int, int, int, data.Data | bytes]) -> Any:
    """Of (milliseconds, data type, channel, content)."""
    rows = []
    for ms, kind, channel, content in points:
        payload = content if isinstance(content, bytes) else content.to_payload()
        name = "raw" if isinstance(content, bytes) else content.data_id  # type: ignore[attr-defined]
        rows.append((START_NS + ms * 10**6, Series("m", kind, channel, name, str(kind)), payload))
    return to_batch(points_of(rows, SeriesTable()))


def number(value: float, name: str = "speed") -> data.Float:
    return data.Float(data_id=name, value=value)


def values(latest: Latest) -> dict[str, Any]:
    return {str(row.key): row.value for row in latest.rows()}


def test_the_newest_value_of_each_signal_counts_in_whatever_order_they_come() -> None:
    latest = Latest(60 * 10**9)
    latest.add(batch((5, 11, 1, number(5)), (2, 11, 1, number(2)), (3, 11, 1, number(3)), (0, 11, 2, number(7))))
    assert values(latest) == {"float:1/speed": 5, "float:2/speed": 7}
    latest.add(batch((4, 11, 1, number(4)), (1, 11, 2, number(8))))
    assert values(latest) == {"float:1/speed": 5, "float:2/speed": 8}
    latest.add(batch((5, 11, 1, number(55)), (5, 11, 1, number(56))))
    assert values(latest) == {"float:1/speed": 56, "float:2/speed": 8}


def test_rate_and_points_are_those_of_the_window() -> None:
    latest = Latest(10**9)
    for second in range(5):
        latest.add(batch(*((second * 1000 + each, 11, 1, number(0)) for each in range(0, 1000, 100))))
    latest.add(batch((0, 11, 2, number(0))))
    speed, other = latest.rows()
    assert (speed.points, round(speed.rate_hz or 0, 6)) == (20, 10.0)
    assert (other.rate_hz, other.time_ns) == (None, START_NS)


def test_values_of_every_kind_are_what_their_payload_says() -> None:
    latest = Latest(10**9)
    latest.add(
        batch(
            (0, DataType.int, 1, data.Int("n", -5)),
            (0, DataType.string, 1, data.String("s", "走る")),
            (0, DataType.bytes, 1, data.Bytes("b", b"ab")),
            (0, DataType.can, 1, data.CAN(0x1A0, b"\x01\x02")),
            (0, DataType.general_sensor, 1, data.GeneralSensor(1, ACCELERATION)),
            (0, DataType.nmea, 1, data.NMEA("$GPRMC,1")),
            (0, DataType.jpeg, 1, b"x" * 1000),
            (0, 200, 1, b"\xff"),
            (0, DataType.float, 9, b"\xff"),
        )
    )
    assert values(latest) == {
        "int:1/n": -5,
        "string:1/s": "走る",
        "bytes:1/b": "6162",
        "can:1/000001a0": {"can_id": 416, "dlc": 2, "data": "0102"},
        "general_sensor:1/0001": {"ax": 1.0, "ay": -2.0, "az": 3.0},
        "nmea:1/GPRMC": "$GPRMC,1",
        "jpeg:1/raw": "1000 bytes",
        "200:1/raw": "ff",
        "float:9/raw": "ff",
    }


def test_numbers_that_json_does_not_know_are_null() -> None:
    latest = Latest(10**9)
    latest.add(batch((0, 11, 1, number(float("nan"))), (0, 11, 2, number(float("-inf")))))
    assert [each["value"] for each in latest.as_json()["latest"].values()] == [None, None]


def test_nothing_yet_is_nothing() -> None:
    latest = Latest(10**9)
    latest.add(batch((0, 11, 1, number(1))).slice(0, 0))
    assert latest.as_json() == {"start": None, "end": None, "points": 0, "latest": {}}


# --- the command ---


@contextlib.contextmanager
def sending(client: Client) -> Iterator[queue.SimpleQueue[float | None]]:
    """An edge that sends: give it numbers."""
    basetime = pd.Timestamp.now("UTC")
    measurement = client.measurements.create(client.edges.me().uuid, basetime, "ntp")
    given: queue.SimpleQueue[float | None] = queue.SimpleQueue()

    def units() -> Iterator[Unit]:
        yield Unit(pd.Timedelta(0), 0, data.Basetime(2, basetime))
        while (value := given.get()) is not None:
            yield Unit(pd.Timestamp.now("UTC") - basetime, 1, data.Float(data_id="speed", value=value))

    with client.connect_websocket() as connection:
        spec = UpstreamSpec(client.edges.me().uuid, None, False, True, measurement.uuid)
        connection.open_upstreams([spec], [units()], marker_interval=0.1)  # stored soon: until then, a backfill holds them up
        try:
            yield given
        finally:
            given.put(None)


@pytest.fixture
def where(server: LocalServer) -> list[str]:
    return ["--url", server.url, "--token", "s3cret"]


def test_json_is_a_line_for_each_batch_until_ctrl_c(start: Start, where: list[str], client: Client) -> None:
    stored = pd.DataFrame(
        {"speed": [1.0, 2.0]}, index=pd.to_datetime(["now", "now"], utc=True) - pd.to_timedelta([2, 1], unit="s")
    )
    stored.intdash.store(client=client)
    with start("live", "demo", "--signals", "float:1/speed", "--backfill", "1min", "--json", *where) as process:
        assert process.stdout is not None
        lines = [json.loads(process.stdout.readline())]  # from the backfill: so it is connected
        with sending(client) as send:
            for value in (3.5, 4.5):
                send.put(value)
                lines.append(json.loads(process.stdout.readline()))
            process.send_signal(signal.SIGINT)
            _, err = process.communicate(timeout=WAIT_S)
    assert (process.returncode, err) == (0, "")
    assert sum(line["points"] for line in lines) == 4
    assert [line["latest"]["float:1/speed"]["value"] for line in lines] == [2.0, 3.5, 4.5]
    assert lines[0]["start"] < lines[0]["end"] == lines[0]["latest"]["float:1/speed"]["time"] < lines[1]["start"]


@pytest.mark.skipif(sys.platform == "win32", reason="has no pseudo-terminals")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_on_a_terminal_a_table_is_drawn_anew_until_a_signal(where: list[str], client: Client, number: signal.Signals) -> None:
    import pty

    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "120", "LINES": "40"}
    command = [*COMMAND, "live", "demo", "--signals", "float:1/speed", *where]
    shown = ""

    def until(text: str) -> None:
        nonlocal shown
        while text not in shown:
            assert select.select([ours], [], [], WAIT_S)[0], f"{text!r} is not in {shown!r}"
            shown += os.read(ours, 65536).decode(errors="replace")

    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=theirs, stderr=theirs, env=environment) as process:
        try:
            until("0 received")
            with sending(client) as send:
                send.put(12.5)
                until("12.5")
                assert "float:1/speed" in shown
                assert "rate [Hz]" in shown
                send.put(13.25)
                until("13.25")
                until("2 received, 2 shown, 0 recovered, 0 waiting, 0 dropped, 0 reconnects, 0 gaps")
                process.send_signal(number)
                assert process.wait(timeout=WAIT_S) == 0
                until("\x1b[?25h")  # the cursor is there again
        finally:
            process.kill()
            os.close(theirs)
            os.close(ours)
    assert "Traceback" not in shown


def test_without_a_terminal_the_last_table_is_printed_when_the_time_is_up(run: Run, where: list[str]) -> None:
    ran = run("live", "日本", "--for", "0.01", *where)
    assert (ran.code, ran.err) == (0, "")
    assert "live from 日本" in ran.out
    assert "0 received" in ran.out
    assert "\x1b" not in ran.out


def test_what_comes_from_elsewhere_moves_no_cursor_and_is_no_markup(client: Client) -> None:

    latest = Latest(10**9)
    latest.add(batch((0, DataType.string, 1, data.String("[red]x", "\x1b[2Jwiped\x07"))))

    console = Console(width=120, file=io.StringIO(), force_terminal=False)
    with client.live(edge="demo") as view:
        console.print(module._table("[bold]demo", latest, view, START_NS))
    text = console.file.getvalue()
    assert "live from [bold]demo" in text
    assert "string:1/[red]x" in text
    assert "\ufffd[2Jwiped\ufffd" in text


def test_signals_that_do_not_fit_are_counted(client: Client) -> None:
    latest, console = Latest(10**9), Console(width=120, file=io.StringIO())
    latest.add(batch(*((0, DataType.float, channel, number(channel)) for channel in range(30))))
    with client.live(edge="demo") as view:
        console.print(module._table("demo", latest, view, START_NS, 10))
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert text.count("float:") == 10
    assert "20 more signals" in text.splitlines()[-1]
    assert len(text.splitlines()) <= 10 + module.AROUND_ROWS


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["nobody"], 1, "error: edge='nobody': the server has 0 edges of that name"),
        (["demo", "--window", "nonsense"], 2, "error: window='nonsense'"),
        (["demo", "--window", "-5s"], 2, "error: window='-5s'; expected more than nothing"),
        (["demo", "--backfill", "10"], 2, "error: backfill='10'"),
        (["demo", "--signals", "nokind:1/x"], 2, "no data type is called 'nokind'"),
        (["demo", "--for", "0"], 2, "0 is no time to watch"),
        (["demo", "--for", "nan"], 2, "nan is no time to watch"),
        ([], 2, "Missing argument"),
    ],
)
def test_what_cannot_work_says_so(run: Run, where: list[str], arguments: list[str], code: int, said: str) -> None:
    ran = run("live", *arguments, *where)
    assert (ran.code, ran.out) == (code, "")
    assert said in ran.err


def test_signals_are_what_they_were_afterwards(run: Run, where: list[str]) -> None:
    before = [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)]
    run("live", "demo", "--for", "0.01", "--json", *where)
    assert [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)] == before
