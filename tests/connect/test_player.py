"""Whoever follows an edge of a folder gets its recordings, as they were recorded."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import intdash_frames as idf
from intdash_frames.connect import player as module
from intdash_frames.connect.player import Player
from intdash_frames.errors import UsageError
from tests.connect.twin import Recorded

WAIT_S = 30


def signals(points: Any) -> list[tuple[Any, ...]]:
    """Signals and payloads of an envelope, in their order."""
    columns = (points[name].to_pylist() for name in ("data_type", "channel", "data_id", "payload"))
    return list(zip(*columns, strict=True))


def followed(server: idf.LocalServer, edge: str, points: int) -> list[tuple[Any, ...]]:
    with server.client() as client, client.live(edge=edge, signals=["float:*/*", "can:*/*"], window="1000s") as live:
        live.wait(points, timeout=WAIT_S)
        return signals(live.to_arrow())


def test_a_follower_gets_the_recording_of_the_edge_and_one_that_comes_later_gets_it_anew(
    folder: Path, origin: idf.Client, recorded: Recorded
) -> None:
    expected = signals(origin.frames(recorded.elsewhere, ["float:*/*", "can:*/*"]).to_arrow())
    with idf.LocalServer(folder, speed="max") as server:
        for _ in range(2):
            assert followed(server, "other", len(expected)) == expected
            for thread in threading.enumerate():
                if thread.name.startswith("intdash-frames-player"):
                    thread.join(WAIT_S)


def test_measurements_of_an_edge_are_played_one_after_the_other_oldest_first(
    folder: Path, origin: idf.Client, recorded: Recorded
) -> None:
    order = [recorded.golden, recorded.dense, recorded.overlapping, recorded.days_later]
    expected = [row for uuid in order for row in signals(origin.frames(uuid, ["float:*/*", "can:*/*"]).to_arrow())]
    with idf.LocalServer(folder, speed="max") as server:
        found = followed(server, "demo", len(expected))
    # each begins when the one before it has ended, so on the clock too they are apart
    assert sorted(found, key=repr) == sorted(expected, key=repr)


def test_at_its_own_speed_a_recording_takes_its_time(folder: Path) -> None:
    with idf.LocalServer(folder, speed=2.0) as server, server.client() as client:
        began = pd.Timestamp.now(tz="UTC")
        with client.live(edge="other", signals="float:*/*", window="60s") as live:
            live.wait(5, timeout=WAIT_S)
            assert live.frame().index[0] >= began - pd.Timedelta("5s")
        # the rest is not waited for: closing the server stops the replay


def test_an_edge_without_recordings_has_nothing_to_play(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    with (
        idf.LocalServer(folder, edges={"reader": "secret"}) as server,
        server.client() as client,
        client.live(edge="reader") as live,
    ):
        assert len(live) == 0
    assert caplog.records == []


def test_a_recording_that_cannot_be_read_is_said_in_the_log(
    folder: Path, recorded: Recorded, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    for victim in copy.rglob(f"measurement={recorded.elsewhere}/*.parquet"):
        victim.write_bytes(b"")
    with idf.LocalServer(copy, speed="max") as server, server.client() as client, client.live(edge="other"):
        for thread in threading.enumerate():
            if thread.name.startswith("intdash-frames-player"):
                thread.join(WAIT_S)
    assert "not played to their end" in caplog.text
    assert "not as it was exported" in caplog.text


def test_a_player_plays_an_edge_once_at_a_time_and_not_after_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    played: list[str] = []
    hold = threading.Event()

    def play(player: Player, edge_uuid: str) -> None:
        played.append(edge_uuid)
        hold.wait(WAIT_S)
        with player._lock:
            del player._threads[edge_uuid]

    monkeypatch.setattr(module.Player, "_play", play)
    player = Player(1.0)
    player.followed("e")
    player.followed("e")
    player.followed("f")
    hold.set()
    player.close()
    player.close()
    player.followed("e")
    assert sorted(played) == ["e", "f"]


@pytest.mark.parametrize("speed", [0, -1, "fast", None, True])
def test_a_speed_that_cannot_be_is_refused(speed: Any) -> None:
    with pytest.raises(UsageError, match="speed="):
        Player(speed)
