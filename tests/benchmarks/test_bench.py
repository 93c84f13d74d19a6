"""The benchmark runs and says the same of both sides; how fast anything is, is not asked."""

import json
from pathlib import Path

import pytest

from tests.benchmarks import engines
from tests.benchmarks.bench import REFERENCE, Options, Row, line, run

SMALL = Options(sizes=(2000,), parts=("decode", "store_encode", "end_to_end"), our_runs=2, reference_runs=(1,))
STREAMS = Options(parts=("streams",), stream_seconds=0.1, callback_points=200)
LIVE = Options(parts=("live",), live_seconds=0.1, looks=2, callback_points=200)
with_reference = pytest.mark.skipif(
    not (REFERENCE.parents[1] / ".made").exists(), reason="the vendor's SDK is not installed: run `make interop`"
)


@with_reference
def test_a_small_run_has_a_row_for_each_comparison(tmp_path: Path) -> None:
    out, shown = tmp_path / "made" / "benchmark.json", list[str]()
    run(SMALL, out, shown.append)
    report = json.loads(out.read_text())
    assert {"machine", "options", "rows"} == report.keys()
    assert [row["what"] for row in report["rows"]] == [
        "decode, reference / ours",
        "store-encode, reference / ours",
        "end to end, reference / ours",
        "end to end, ours / plain download",
    ]
    assert all(row["value"] > 0 and row["points"] == 2000 for row in report["rows"])
    assert len(shown) == 1 + len(report["rows"])


@with_reference
def test_short_streams_have_a_row_for_each_way_and_lose_nothing(tmp_path: Path) -> None:
    rows = run(STREAMS, tmp_path / "benchmark.json", lambda _: None)["rows"]
    assert [row["what"] for row in rows] == [
        "stream of frames, relayed [1/s]",
        "the same, points lost",
        "stream of frames, stored [1/s]",
        "the same, points lost",
        "stream of frames at 200,000/s [1/s]",
        "the same, points lost",
        "stream of objects, reference / ours",
        "p99 from write to callback [ms]",
        "the same, points lost",
    ]
    lost = [row for row in rows if row["what"] == "the same, points lost"]
    assert [row["value"] for row in lost] == [0] * len(lost)
    assert all(row["value"] > 0 for row in rows if row not in lost)
    assert all(row["points"] > 0 for row in rows)


@with_reference
def test_short_live_views_have_a_row_for_each_target_and_lose_nothing(tmp_path: Path) -> None:
    rows = {row["what"]: row for row in run(LIVE, tmp_path / "benchmark.json", lambda _: None)["rows"]}
    assert list(rows) == [
        "live window at 200,000/s [1/s]",
        "the same, points lost",
        "the same, memory since full [% more]",
        "look at floats, frame() [ms]",
        "look at floats, [signal] [ms]",
        "look at cans, frame() [ms]",
        "look at cans, [signal] [ms]",
        "p99 age of the newest row [ms]",
        "live at full speed, ours / reference",
    ]
    assert rows["the same, points lost"]["value"] == 0
    assert all(row["points"] > 0 for row in rows.values())
    assert {row["points"] for what, row in rows.items() if what.startswith("look")} == {150_000}


def test_a_small_run_of_other_engines_has_a_row_for_each_target(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "RUNS", 1)
    rows = run(Options(parts=("engines",), engine_points=20_000), tmp_path / "benchmark.json", lambda _: None)["rows"]
    assert [(row["what"], row["points"]) for row in rows] == [
        ("Dask over a server, one worker / two", 20_000),
        ("Dask over a folder, one worker / two", 20_000),
        ("polars, one signal of 100 [% more bytes]", 10_000),
    ]
    assert all(row["value"] > 0 for row in rows)
    assert rows[2]["value"] < 2  # bytes do not depend on what else the machine does


@pytest.mark.parametrize(
    ("value", "target", "met"),
    [(100.0, ">= 100", True), (99.9, ">= 100", False), (2.5, "<= 2.5", True), (2.6, "<= 2.5", False), (1.0, "", None)],
)
def test_a_target_is_reached_or_missed(value: float, target: str, met: bool | None) -> None:
    row = Row("decode", 10, "1 ms", "2 ms", value, target)
    assert row.met is met
    assert ("MISSED" in line(row)) is (met is False)


def test_small_folders_have_a_row_for_each_target_and_hold_every_point(tmp_path: Path) -> None:
    options = Options(parts=("keep",), keep_repeats=(1, 2), keep_points=1000)
    rows = run(options, tmp_path / "benchmark.json", lambda _: None)["rows"]
    assert [row["what"] for row in rows] == [
        "export [points/s]",
        "export / plain download",
        "export / download thrown away",
        "peak memory of an export [MB]",
        "peak memory of an export [MB]",
        "the same, longest to shortest [% more]",
        "import [points/s]",
    ]
    assert all(row["points"] in (1000, 2000) for row in rows)
