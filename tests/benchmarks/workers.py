"""Processes that measure, one JSON object a line in and out, and how work is timed. Standard library only: both sides use it."""

from __future__ import annotations

import gc
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

ROOT = Path(__file__).parents[2]
# The interpreters of the two sides.
OURS, REFERENCE = Path(sys.executable), ROOT / ".venv-interop" / "bin" / "python"


class Worker:
    """A process that carries out commands.

    Parameters
    ----------
    python : str or Path
        Interpreter of the environment to work in.
    module : str
        Run with ``-m``; ends when its input does.
    """

    def __init__(self, python: str | Path, module: str) -> None:
        # A proxy named in the environment would get the loopback calls.
        environment = {key: value for key, value in os.environ.items() if not key.lower().endswith("_proxy")}
        self._process = subprocess.Popen(
            [python, "-W", "ignore", "-m", module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            cwd=ROOT,
            env=environment,
        )

    def ask(self, command: str, **arguments: Any) -> Any:
        """Let a command be carried out and give its answer."""
        return self.begin(command, **arguments)()

    def begin(self, command: str, **arguments: Any) -> Callable[[], Any]:
        """Let a command be carried out while others work; what this returns waits for the answer, before the next command."""
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        stdin.write(json.dumps({"command": command, **arguments}) + "\n")
        stdin.flush()

        def answer() -> Any:
            line = stdout.readline()
            if not line:
                raise RuntimeError(f"{command} ended without an answer; standard error says why")
            return json.loads(line)

        return answer

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()


def work(commands: dict[str, Callable[..., Any]]) -> None:
    """Carry out commands until the input ends."""
    for line in sys.stdin:
        arguments = json.loads(line)
        answer = commands[arguments.pop("command")](**arguments)
        print(json.dumps(answer), flush=True)


def timed(task: Callable[[], Any], runs: int) -> tuple[list[dict[str, float]], Any]:
    """Do a task several times: (wall and processor time of each run [s], the last result).

    What a run leaves behind is freed outside the time that counts.
    """
    times, result = [], None
    for _ in range(runs):
        result = None
        gc.collect()
        wall, cpu = time.perf_counter(), time.process_time()
        result = task()
        times.append({"wall_s": time.perf_counter() - wall, "cpu_s": time.process_time() - cpu})
    return times, result


def medians(times: list[dict[str, float]]) -> dict[str, float]:
    """Median of each kind of time, and the number of runs."""
    return {name: statistics.median(each[name] for each in times) for name in times[0]} | {"runs": len(times)}


def peak_bytes() -> int:
    """Most memory that this process has had in RAM, by the account of the operating system."""
    status = Path("/proc/self/status")
    if status.exists():  # ru_maxrss of Linux also counts the process that started this one, up to the exec
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def resident_bytes() -> int:
    """Memory that this process has in RAM now; the most that it ever had, where the system does not tell."""
    statm = Path("/proc/self/statm")
    return int(statm.read_text().split()[1]) * resource.getpagesize() if statm.exists() else peak_bytes()
