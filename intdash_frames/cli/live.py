"""`intdash-frames live`: what an edge sends, as it comes, for people or as JSON."""

from __future__ import annotations

import contextlib
import json
import math
import queue
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Final, NamedTuple

import typer

from intdash_frames import timebase
from intdash_frames.cli.server_options import Token, Url, connect, edge_of

if TYPE_CHECKING:
    import pyarrow as pa
    from rich.console import RenderableType

    from intdash_frames.codecs.points import Points
    from intdash_frames.frames.typed import Typed
    from intdash_frames.live.follow import Live
    from intdash_frames.model import SignalKey

__all__ = ["Latest", "Row", "live"]

REDRAW_S: Final = 0.25
# Batches that wait for the terminal; beyond, they wait in the live view.
MOST_WAITING: Final = 64
# Lines of the table that are no signals: the title, the heads, two of counts, and one for the cursor.
AROUND_ROWS: Final = 9
# Of a value; longer ones are pictures and the like.
MOST_CHARACTERS: Final = 64


def live(
    edge: Annotated[str, typer.Argument(metavar="EDGE", help="Name or UUID of an edge.")],
    signals: Annotated[
        list[str] | None,
        typer.Option(metavar="TYPE:CHANNEL/ID", help="Only these, * for any part; may be given often."),
    ] = None,
    window: Annotated[str, typer.Option(help="How much time rate and points are counted over.")] = "60s",
    backfill: Annotated[str | None, typer.Option(help="Begin with so much of what is stored, such as 10min.")] = None,
    seconds: Annotated[
        float | None, typer.Option("--for", metavar="SECONDS", help="End by itself. Default: Ctrl-C ends it.")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="A line for each batch: its range of time, points, newest values.")
    ] = False,
    url: Url = None,
    token: Token = None,
) -> None:
    """Watch what an edge sends.

    The newest value, rate and age of each signal, until SIGINT (Ctrl-C) or SIGTERM.
    """
    if seconds is not None and not 0 < seconds < math.inf:
        raise typer.BadParameter(f"{seconds:g} is no time to watch; expected more than 0 seconds", param_hint="--for")
    watch = _print_lines if as_json else _show_table
    with contextlib.suppress(KeyboardInterrupt), _ended_by_signals(), connect(url, token) as client:
        # Said before the server is asked for the edge: whether it makes sense is a matter of usage, whether it is there is not.
        options: dict[str, Any] = {"signals": signals or None, "window": window, "backfill": backfill}
        _check(options)
        view = client.live(edge=edge_of(client, edge), **options)
        batches = _Batches(view, math.inf if seconds is None else seconds)  # before the start, which may show what is stored
        with view:
            watch(edge, view, batches, timebase.duration_ns(window))
            if view.error is not None:
                raise view.error


def _check(options: dict[str, Any]) -> None:
    from intdash_frames.frames.selection import select

    select(options["signals"])
    for name in ("window", "backfill"):
        if options[name] is not None:
            timebase.duration_ns(options[name], name=name)


@contextlib.contextmanager
def _ended_by_signals() -> Iterator[None]:
    """Make SIGTERM what Ctrl-C is: both interrupt whatever is waited for, a connection or a terminal that does not read."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


class _Batches:
    """What a live view shows, for the main thread, which alone can be interrupted."""

    def __init__(self, view: Live, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._view, self._clock, self._seconds, self._until_s = view, clock, seconds, 0.0
        self._waiting: queue.Queue[pa.RecordBatch] = queue.Queue(MOST_WAITING)
        self._ended = threading.Event()
        view.on_batch(self._put)

    def _put(self, batch: pa.RecordBatch) -> None:
        while not self._ended.is_set():
            with contextlib.suppress(queue.Full):
                return self._waiting.put(batch, timeout=REDRAW_S)

    def __enter__(self) -> _Batches:
        self._until_s = self._clock() + self._seconds
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()

    def next(self, patience_s: float) -> pa.RecordBatch | None:
        """The next batch; None if none comes in time."""
        try:
            return self._waiting.get(timeout=max(0.0, min(patience_s, self.left_s)))
        except queue.Empty:
            return None

    @property
    def left_s(self) -> float:
        """How long it goes on [s]; 0 once the live view cannot."""
        return 0.0 if self._view.error is not None else max(0.0, self._until_s - self._clock())


def _print_lines(_: str, view: Live, batches: _Batches, window_ns: int) -> None:
    with batches:
        while (batch := batches.next(REDRAW_S)) is not None or batches.left_s:
            if batch is not None:
                latest = Latest(window_ns)
                latest.add(batch)
                typer.echo(json.dumps(latest.as_json(), ensure_ascii=False, allow_nan=False))


def _show_table(edge: str, view: Live, batches: _Batches, window_ns: int) -> None:
    from rich.live import Live as Display

    latest = Latest(window_ns)

    def table() -> RenderableType:
        # What does not fit would be cut off from below, and with it the counts.
        most = display.console.height - AROUND_ROWS if display.console.is_terminal else None
        return _table(edge, latest, view, timebase.moment_ns("now"), most)

    with batches, Display(auto_refresh=False) as display:
        try:
            while batches.left_s:
                due_s = time.monotonic() + REDRAW_S
                while (left_s := due_s - time.monotonic()) > 0 and batches.left_s:
                    batch = batches.next(left_s)
                    if batch is not None:
                        latest.add(batch)
                display.update(table(), refresh=True)
        finally:
            display.update(table())


def _table(edge: str, latest: Latest, view: Live, now_ns: int, most: int | None = None) -> RenderableType:
    from rich import box
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    stats, gaps = view.stats, len(view.gaps)
    counts = [
        f"{getattr(stats, name):,} {name}" for name in ("received", "shown", "recovered", "waiting", "dropped", "reconnects")
    ]
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("signal", overflow="fold")
    table.add_column("value", overflow="fold")
    for name in ("rate [Hz]", "age [s]", "points"):
        table.add_column(name, justify="right", no_wrap=True)
    rows = list(latest.rows())
    shown = rows if most is None else rows[: max(1, most)]
    for row in shown:
        rate = "-" if row.rate_hz is None else f"{row.rate_hz:,.1f}"
        age = f"{(now_ns - row.time_ns) / 1e9:,.1f}"
        cells = [str(row.key), _text(row.value), rate, age, f"{row.points:,}"]
        table.add_row(*(Text(_printable(cell)) for cell in cells))  # as text: an id may look like markup
    if len(shown) < len(rows):
        counts.append(f"{len(rows) - len(shown):,} more signals")
    return Group(Text(_printable(f"live from {edge}")), table, Text(", ".join([*counts, f"{gaps:,} gaps"])))


def _printable(text: str) -> str:
    """Without what would move the cursor of a terminal: ids and texts come from elsewhere."""
    return "".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in text)


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return "  ".join(f"{name}={_text(each)}" for name, each in value.items())
    text = f"{value:.6g}" if isinstance(value, float) else str(value)
    return text if len(text) <= MOST_CHARACTERS else text[: MOST_CHARACTERS - 1] + "…"


@dataclass(slots=True)
class _Newest:
    """The newest point of a signal, and how many there were from when to when."""

    time_ns: int
    payload: bytes
    counted: deque[tuple[int, int, int]] = field(default_factory=deque)


class Row(NamedTuple):
    """What is shown of a signal.

    Attributes
    ----------
    key : SignalKey
    value : float, int, str, dict or None
        The newest; the numbers of a sensor by their names. Bytes are hexadecimal text, long ones their size.
    time_ns : int
        When it was [ns since the epoch].
    rate_hz : float or None
        None of a single point.
    points : int
        In the window [count].
    """

    key: SignalKey
    value: Any
    time_ns: int
    rate_hz: float | None
    points: int


class Latest:
    """The newest value of each signal, and how fast they come.

    Parameters
    ----------
    window_ns : int
        Span of time that points are counted over, back from the newest of all [ns].
    """

    def __init__(self, window_ns: int) -> None:
        self._points = 0
        self._start_ns: int | None = None
        self._end_ns: int | None = None
        self._window_ns = window_ns
        self._signals: dict[SignalKey, _Newest] = {}

    def add(self, batch: pa.RecordBatch) -> None:
        """Take a batch of the envelope."""
        import pyarrow as pa

        if not len(batch):
            return
        time_ns, payloads = batch["time"].cast(pa.int64()).to_numpy(), batch["payload"]
        self._points += len(batch)
        first_ns, last_ns = int(time_ns.min()), int(time_ns.max())
        self._start_ns = first_ns if self._start_ns is None else min(self._start_ns, first_ns)
        self._end_ns = last_ns if self._end_ns is None else max(self._end_ns, last_ns)
        for key, rows in _by_signal(batch):
            its = time_ns[rows]
            at = len(rows) - 1 - int(its[::-1].argmax())  # of one instant, the last that came
            newest = self._signals.get(key)
            if newest is None or its[at] >= newest.time_ns:
                counted = newest.counted if newest is not None else deque()
                newest = self._signals[key] = _Newest(int(its[at]), payloads[int(rows[at])].as_py(), counted)
            newest.counted.append((int(its.min()), int(its.max()), len(rows)))
        oldest_ns = self._end_ns - self._window_ns
        for newest in self._signals.values():
            while newest.counted and newest.counted[0][1] < oldest_ns:
                newest.counted.popleft()

    def rows(self) -> Iterator[Row]:
        """What is known of each signal, in order of appearance."""
        values = _values({key: newest.payload for key, newest in self._signals.items()})
        for (key, newest), value in zip(self._signals.items(), values, strict=True):
            counted = newest.counted
            points = sum(count for _, _, count in counted)
            span_ns = max(last for _, last, _ in counted) - min(first for first, _, _ in counted) if counted else 0
            yield Row(key, value, newest.time_ns, (points - 1) / span_ns * 1e9 if span_ns else None, points)

    def as_json(self) -> dict[str, Any]:
        """The range of time, points, and the newest value of each signal."""
        ends = {"start": self._start_ns, "end": self._end_ns}
        latest = {str(row.key): {"time": timebase.to_iso(row.time_ns), "value": _json(row.value)} for row in self.rows()}
        return {
            **{name: timebase.to_iso(time_ns) if time_ns is not None else None for name, time_ns in ends.items()},
            "points": self._points,
            "latest": latest,
        }


def _json(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _json(each) for name, each in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _by_signal(batch: pa.RecordBatch) -> Iterator[tuple[SignalKey, Any]]:
    """The rows of each signal in a batch."""
    import numpy as np

    from intdash_frames.model import DataType, SignalKey
    from intdash_frames.model.kinds import member

    ids = batch["data_id"]
    kinds, channels = (batch[name].cast("int16").fill_null(-1).to_numpy() for name in ("data_type", "channel"))
    codes = np.stack([ids.indices.to_numpy(), kinds, channels])
    distinct, first, inverse = np.unique(codes, axis=1, return_index=True, return_inverse=True)
    for number in np.argsort(first).tolist():
        code, kind, channel = distinct[:, number].tolist()
        key = SignalKey(
            member(DataType, kind) if kind >= 0 else "?", channel if channel >= 0 else None, ids.dictionary[code].as_py()
        )
        yield key, np.flatnonzero(inverse.ravel() == number)


def _values(payloads: dict[SignalKey, bytes]) -> list[Any]:
    """What the payload of each signal says."""
    from intdash_frames.frames import build

    if not payloads:
        return []
    points = _points(payloads)
    codes, _ = build.signal_codes([points])
    typed = build.by_signal(build.by_type([points]), codes)
    return [_value(typed[number]) for number in range(len(payloads))]


def _points(payloads: dict[SignalKey, bytes]) -> Points:
    import numpy as np

    from intdash_frames.codecs.points import Points
    from intdash_frames.codecs.series import Series, SeriesTable

    keys, count = SeriesTable(), len(payloads)
    for kind, channel, data_id in payloads:
        keys.code(Series("", kind if isinstance(kind, int) else None, channel, data_id, str(kind)))
    whole = np.frombuffer(b"".join(payloads.values()), np.uint8)
    offsets = np.cumsum([0, *map(len, payloads.values())]).astype(np.int32)
    return Points(np.zeros(count, np.int64), np.arange(count, dtype=np.int32), whole, offsets, keys)


def _value(typed: Typed) -> Any:
    from intdash_frames.frames.typed import SENSOR_FIELDS

    found = {name: _plain(values[0]) for name, values in typed.slice(0, 1).columns.items()}
    found = {name: value for name, value in found.items() if value is not None}
    shown = {name: value for name, value in found.items() if name in SENSOR_FIELDS} or found
    return next(iter(shown.values())) if len(shown) == 1 and not shown.keys() & SENSOR_FIELDS else shown or None


def _plain(value: Any) -> Any:
    """A number or text of a column, as JSON knows them."""
    import pyarrow as pa

    if isinstance(value, pa.Scalar):
        is_moment = pa.types.is_timestamp(value.type)
        value = value.cast(pa.timestamp("ns")).value if is_moment and value.is_valid else value.as_py()
        if is_moment and value is not None:
            return timebase.to_iso(value)
    elif hasattr(value, "item"):
        value = value.item()
    if isinstance(value, bytes):
        return value.hex() if 2 * len(value) <= MOST_CHARACTERS else f"{len(value)} bytes"
    return value
