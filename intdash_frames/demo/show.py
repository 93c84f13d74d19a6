"""The demo: a server, a recorded drive, and what a pandas user does with it. What it prints is what it runs."""

from __future__ import annotations

import ast
import contextlib
import shlex
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from intdash_frames.errors import IntdashError, UsageError

__all__ = ["show"]

DATA_FILE: Final = "drive.duckdb"
PLOT_FILE: Final = "drive.png"
WIDTH: Final = 110  # of tables, where no terminal says how wide it is [characters]

# A title, and statements that are shown and run one after the other, all with the same names.
# What the demo runs, each part under a title; DATA, IMAGE and SEED stand for what was asked for. All parts share their names.
START: Final = (
    "A server of your own, its data in one file",
    """
import pandas as pd
import intdash_frames as idf
server = idf.LocalServer(DATA)
client = server.client()
""",
)
TOUR: Final = (
    (
        "Record two minutes of driving: CAN, NMEA, motion sensors, numbers, text, pictures",
        """
from intdash_frames.demo.drive import drive
began = pd.Timestamp.now("UTC").floor("s") - pd.Timedelta("2min")
frames = drive(SEED, basetime_ns=began.value).frames()  # one typed frame per data type
stored = idf.store(frames, name="demo drive")
print(f"{stored.points:,} points, {stored.bytes / 1e6:.1f} MB, stored in {stored.seconds:.1f} s")
""",
    ),
    (
        "Read it back: nothing is fetched before you ask for a result, and nothing twice",
        """
f = client.frames(stored.measurement)
f.summary()[["type", "channel", "id", "unit", "points", "rate_hz", "gaps"]]
""",
    ),
    (
        "One signal is a typed frame with nanosecond stamps; its units travel along",
        """
f["can:1/000001a0"][["can_id", "dlc", "data"]].head(3)
motion = f["general_sensor:2/0001"]
motion[["ax", "ay", "az"]].resample("30s").agg(["min", "max"])
motion.intdash.units["ax"]
""",
    ),
    (
        "Everything numeric side by side, every 10 ms",
        """
wide = f.wide(every="10ms")
wide[["float:1/speed", "throttle", "gear", "ax"]].iloc[2000::2000]
""",
    ),
    (
        "Derive signals with plain pandas, store them beside the others, read them back",
        """
kmh = f.wide(every="10ms", method="interpolate")["float:1/speed"]
speed = kmh.rolling(50, center=True).mean() / 3.6  # m/s
acceleration = speed.diff() / 0.01
jerk = acceleration.rolling(50, center=True).mean().diff() / 0.01
derived = pd.DataFrame({"acceleration": acceleration, "jerk": jerk})
derived.intdash.store(stored.measurement, channel=10).points
back = client.frames(stored.measurement, "float:10/*")
back["float:10/jerk"]["value"].equals(jerk.dropna())
""",
    ),
    (
        "See it",
        """
from intdash_frames.demo.plot import plot
plot(f, back).savefig(IMAGE)
""",
    ),
)


def show(folder: Path = Path("intdash-demo"), *, seed: int = 0) -> None:
    """Run the demo and print it.

    Parameters
    ----------
    folder : Path
        Gets `DATA_FILE` and `PLOT_FILE`. What an earlier run, or anybody else, stored in the data file stays: each run adds a
        measurement.
    seed : int
        Of the drive.

    Raises
    ------
    IntdashError
        If the folder or a file cannot be written, or the data file is in use.
    """
    import pandas as pd
    from tqdm import tqdm

    data, image = folder / DATA_FILE, folder / PLOT_FILE
    names: dict[str, Any] = {}
    with contextlib.ExitStack() as stack:
        stack.enter_context(pd.option_context(*_pandas_options()))
        bar = stack.enter_context(tqdm(total=len(TOUR), leave=False, disable=None, bar_format="{desc}: {bar:20} {elapsed}"))
        names["print"] = bar.write  # a plain print would run into the bar
        bar.set_description_str("working, the first run also compiles")

        def act(title: str, source: str) -> None:
            bar.write(f"# {title}")
            for placeholder, value in (("DATA", str(data)), ("IMAGE", str(image)), ("SEED", seed)):
                source = source.replace(placeholder, repr(value))
            _run(source, names, write=bar.write)
            bar.write("")

        try:
            folder.mkdir(parents=True, exist_ok=True)
            act(*START)
        except (OSError, UsageError) as exc:
            raise IntdashError(f"{exc}; if a server has the file open, end it, or choose another folder") from exc
        stack.enter_context(names["server"])
        stack.enter_context(names["client"])
        try:
            for part in TOUR:
                act(*part)
                bar.update()
        except OSError as exc:
            raise IntdashError(f"{exc}; choose another folder") from exc
    uuid = names["stored"].measurement.uuid
    print(_next_steps(data, uuid))


def _run(source: str, names: dict[str, Any], *, write: Callable[[str], None]) -> None:
    """Run statements as the Python prompt would: each is echoed, and what an expression gives is shown."""
    lines = source.strip().splitlines()
    for statement in ast.parse("\n".join(lines)).body:
        assert statement.end_lineno is not None
        echoed = lines[statement.lineno - 1 : statement.end_lineno]
        write("\n".join(f"{'... ' if number else '>>> '}{line}" for number, line in enumerate(echoed)))
        if isinstance(statement, ast.Expr):
            value = eval(compile(ast.Expression(statement.value), "<demo>", "eval"), names)
            if value is not None:
                write(repr(value))
        else:
            exec(compile(ast.Module([statement], []), "<demo>", "exec"), names)


def _pandas_options() -> list[Any]:
    width = shutil.get_terminal_size((WIDTH, 0)).columns
    options = {"display.width": width, "display.max_columns": 20, "display.max_rows": 60, "display.precision": 3}
    return [each for pair in options.items() for each in pair]


def _next_steps(data: Path, uuid: str) -> str:
    python, command = _programs()
    return f"""# What to type next

Serve this file (Ctrl-C ends it):
    {command} serve --port 8080 --data {shlex.quote(str(data))} --edge demo=token

Then, in {python}:
    import intdash_frames as idf
    client = idf.Client("http://127.0.0.1:8080", "token")
    client.measurements.frame()
    df = client.frames("{uuid}", "float:*/*").wide(every="100ms")
    df.describe()

Or in another shell:
    {command} signals {uuid} --url http://127.0.0.1:8080 --token token"""


def _programs() -> tuple[str, str]:
    """How to start this Python and this package's command from here: by name if the path leads to them, else by file."""
    programs = []
    for name in ("python", "intdash-frames"):
        here = Path(sys.executable).with_name(name)
        found = shutil.which(name)
        if found is not None and Path(found) == here:
            programs.append(name)
        else:
            programs.append(shlex.quote(str(here.relative_to(Path.cwd()) if here.is_relative_to(Path.cwd()) else here)))
    return programs[0], programs[1]
