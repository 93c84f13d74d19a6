import json
import os
import subprocess
from typing import Any

import numpy as np
import pandas as pd
import pytest

import intdash_frames as idf
from tests.cli.conftest import COMMAND, Ran, Run

START = pd.Timestamp("2024-05-14T10:00:00.000000123", tz="Asia/Tokyo")


@pytest.fixture(scope="module")
def measurement(client: idf.Client) -> idf.Measurement:
    """100 speeds and 100 gears, 100 ms apart; the third second has no speed."""
    index = START + pd.to_timedelta(np.arange(100) * 100, unit="ms")
    frame = pd.DataFrame({"speed": np.arange(100.0), "gear": np.arange(100)}, index=index)
    frame.loc[frame.index[20:30], "speed"] = np.nan
    found = idf.store(frame, client=client, name="走行").measurement
    assert found is not None
    return found


def rows(ran: Ran) -> Any:
    assert (ran.code, ran.err) == (0, "")
    return json.loads(ran.out)


def test_edges_as_json_are_those_of_the_rest_api(ask: Run, client: idf.Client) -> None:
    found = rows(ask("edges", "--json"))
    assert {each["name"] for each in found} == {"demo", "日本"}
    (demo,) = (each for each in found if each["name"] == "demo")
    assert demo["uuid"] == client.edges.me().uuid
    assert demo["disabled"] is False
    assert "日本" in ask("edges", "--json").out


def test_edges_are_a_table_for_people(ask: Run) -> None:
    ran = ask("edges", "--name", "de")
    head, row = ran.out.splitlines()
    assert head.split()[:2] == ["name", "uuid"]
    assert row.split()[0] == "demo"
    assert "s3cret" not in ran.out


def test_measurements_are_listed_oldest_first(ask: Run, client: idf.Client, measurement: idf.Measurement) -> None:
    later, earlier = (
        client.measurements.create(client.edges.me().uuid, moment, name="empty")
        for moment in ("2025-01-01T00:00Z", "2023-01-01T00:00Z")
    )
    try:
        found = rows(ask("measurements", "--json"))
        assert [each["uuid"] for each in found] == [earlier.uuid, measurement.uuid, later.uuid]
        assert found[1]["basetime"] == "2024-05-14T01:00:00.000000123Z"
        assert found[1]["name"] == "走行"
        assert found[1]["ended"] is True
        names = ask("measurements", "--start", "2024-01-01T00:00Z", "--end", "2025-01-01T09:00+09:00").out
        assert "走行" in names
        assert "empty" not in names
        assert [each["uuid"] for each in rows(ask("measurements", "--name", "emp", "--json"))] == [earlier.uuid, later.uuid]
    finally:
        for each in (later, earlier):
            client.measurements.delete(each.uuid)


def test_nothing_found_is_an_empty_array_or_a_word_aside(ask: Run) -> None:
    assert rows(ask("measurements", "--name", "nobody", "--json")) == []
    assert ask("measurements", "--name", "nobody") == (0, "", "nothing found\n")


def test_signals_as_json_keep_every_nanosecond(ask: Run, measurement: idf.Measurement) -> None:
    found = {each["id"]: each for each in rows(ask("signals", measurement.uuid, "--json"))}
    assert set(found) == {"speed", "gear"}
    assert found["speed"] == {
        "type": "float",
        "channel": 1,
        "id": "speed",
        "label": None,
        "unit": None,
        "points": 90,
        "first": "2024-05-14T01:00:00.000000123Z",
        "last": "2024-05-14T01:00:09.900000123Z",
        "rate_hz": pytest.approx(89 / 9.9),
        "gaps": 1,
    }


def test_signals_can_be_chosen_by_pattern_and_time(ask: Run, measurement: idf.Measurement) -> None:
    ran = ask("signals", measurement.uuid, "--signal", "int:*/*", "--start", "+2s", "--end", "+4s", "--tz", "Asia/Tokyo")
    assert ran.code == 0
    _, row = ran.out.splitlines()
    assert row.split()[:3] == ["int", "1", "gear"]
    assert "2024-05-14 10:00:02.000+09:00" in row
    assert "20" in row.split()


def test_what_could_be_read_is_shown_and_the_exit_code_says_incomplete(
    ask: Run, server: idf.LocalServer, client: idf.Client
) -> None:
    blobs = pd.DataFrame({"blob": [bytes(1_000_000)] * 6}, index=START + pd.to_timedelta(np.arange(6), unit="s"))
    measurement = idf.store(blobs, client=client).measurement
    assert measurement is not None
    server.inject(idf.Fault.cut_body(at=0.5, path="/api/v1/data"))
    server.inject(idf.Fault.status(400, path="/api/v1/data"))
    ran = ask("signals", measurement.uuid, "--json")
    assert ran.code == 3
    assert 0 < sum(each["points"] for each in json.loads(ran.out)) < 6
    assert ran.err.startswith("error: ")
    assert ran.err.count("\n") == 1
    assert "400" in ran.err
    client.measurements.delete(measurement.uuid)


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["signals", "not-a-uuid"], 2, "not-a-uuid"),
        (["signals", "00000000-0000-4000-8000-000000000000"], 1, "404"),
        (["measurements", "--start", "2024-01-01"], 2, "no time zone"),
        (["edges", "--token", "wrong"], 1, "401"),
    ],
)
def test_an_error_is_one_line_and_no_output(ask: Run, arguments: list[str], code: int, said: str) -> None:
    ran = ask(*arguments)
    assert (ran.code, ran.out) == (code, "")
    assert ran.err.startswith("error: ")
    assert ran.err.count("\n") == 1
    assert said in ran.err


def test_a_terminal_that_cannot_show_a_name_shows_its_codes(server: idf.LocalServer) -> None:
    environment = os.environ | {"INTDASH_URL": server.url, "INTDASH_EDGE_TOKEN": "s3cret", "PYTHONIOENCODING": "cp1252"}
    ran = subprocess.run([*COMMAND, "edges"], env=environment, capture_output=True, encoding="cp1252", check=False)
    assert ran.returncode == 0, ran.stderr
    assert r"\u65e5\u672c" in ran.stdout
