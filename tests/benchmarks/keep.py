"""The part about folders: exports against the plain download of the same points, their memory, and imports."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from pathlib import Path

from tests.benchmarks.table import Row, megabytes, seconds
from tests.benchmarks.workers import OURS, Worker

RECORDING_POINTS = 1_000_000
TURNS = 3


def keep(url: str, folder: Path, *, repeats: tuple[int, ...], recording: int = RECORDING_POINTS) -> Iterator[Row]:
    """Export and import recordings of several lengths, each in a process that does nothing else.

    Parameters
    ----------
    url : str
        Of a server in a process of its own, which nothing else uses.
    folder : Path
        Where the exports go.
    repeats : tuple of int
        Lengths, in recordings one after the other; speed is measured at the middle one.
    recording : int
        Points of a recording [count].
    """
    with Worker(OURS, "tests.benchmarks.ours_keep") as filler:
        uuids = {each: filler.ask("fill", url=url, points=recording, repeats=each) for each in repeats}
    middle = sorted(repeats)[len(repeats) // 2]
    yield from speed(url, uuids[middle], folder / "speed", middle * recording)
    yield from memory(url, uuids, folder / "memory", recording)
    yield import_row(url, folder / "speed", middle * recording)


def speed(url: str, uuid: str, folder: Path, points: int) -> Iterator[Row]:
    """Exports and downloads by turns, each turn in a process of its own."""
    times: dict[str, list[float]] = {"export": [], "kept_s": [], "discarded_s": []}
    for turn in range(TURNS):
        with Worker(OURS, "tests.benchmarks.ours_keep") as worker:
            worker.ask("warm_up", url=url, path=str(folder.with_name(f"warm-{turn}")))
            path = folder if turn == 0 else folder.with_name(f"speed-{turn}")
            answer = worker.ask("export", url=url, uuid=uuid, path=str(path))
            if answer["points"] != points:
                raise SystemExit(f"an export holds {answer['points']} points of {points}, so its time says nothing")
            times["export"].append(answer["wall_s"])
            for name, value in worker.ask("download", url=url, uuid=uuid).items():
                times[name].append(value)
    export_s, kept_s, discarded_s = (statistics.median(each) for each in times.values())
    yield Row("export [points/s]", points, seconds(export_s), "", points / export_s, ">= 1000000")
    yield Row("export / plain download", points, seconds(export_s), seconds(kept_s), export_s / kept_s, "<= 2")
    yield Row("export / download thrown away", points, seconds(export_s), seconds(discarded_s), export_s / discarded_s)


def memory(url: str, uuids: dict[int, str], folder: Path, recording: int) -> Iterator[Row]:
    """Peak memory of processes that each make one export."""
    peaks = {}
    for each, uuid in sorted(uuids.items()):
        with Worker(OURS, "tests.benchmarks.ours_keep") as worker:
            peaks[each] = worker.ask("export", url=url, uuid=uuid, path=str(folder.with_name(f"memory-{each}")))["peak_bytes"]
        yield Row("peak memory of an export [MB]", each * recording, megabytes(peaks[each]), "", peaks[each] / 1e6, "<= 400")
    least, most = min(peaks), max(peaks)
    growth = 100 * (peaks[most] / peaks[least] - 1)
    yield Row("the same, longest to shortest [% more]", most * recording, megabytes(peaks[most]), megabytes(peaks[least]), growth)


def import_row(url: str, folder: Path, points: int) -> Row:
    """Make the measurement of an export again on the server that it came from."""
    times = []
    for _ in range(TURNS):
        with Worker(OURS, "tests.benchmarks.ours_keep") as worker:
            answer = worker.ask("import_", url=url, path=str(folder))
        if answer["points"] != points:
            raise SystemExit(f"an import brought {answer['points']} points of {points}, so its time says nothing")
        times.append(answer["wall_s"])
    import_s = statistics.median(times)
    return Row("import [points/s]", points, seconds(import_s), "", points / import_s, ">= 500000")
