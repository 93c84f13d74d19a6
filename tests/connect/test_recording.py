"""An opened folder answers what the server answers that it was exported from."""

from __future__ import annotations

import asyncio
import json
import pickle
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars import selectors

import intdash_frames as idf
from intdash_frames.errors import ApiError, NotFound, Unauthorized, UsageError
from tests.connect.twin import LABELS, Recorded, without_url
from tests.frames.stored import BASETIME_NS, can_row, float_row, store_rows

ABSENT = "414c343c-1e2f-7ed4-c2ce-78e57311d8a3"
EPOCH = pd.Timestamp(0, tz="UTC")
END = pd.Timestamp("2100-01-01", tz="UTC")


def outcome(ask: Callable[[], Any]) -> Any:
    """What a call gives, or what it raises."""
    try:
        return ask()
    except idf.IntdashError as exc:
        return type(exc), str(exc)


def assert_same(one: Any, other: Any, urls: tuple[str, str]) -> None:
    assert type(one) is type(other)
    if isinstance(one, pd.DataFrame):
        pd.testing.assert_frame_equal(one, other)
        if one.attrs:
            assert without_url(one.attrs, urls[0]) == without_url(other.attrs, urls[1])
    elif isinstance(one, dict):
        assert list(one) == list(other)
        for key in one:
            assert_same(one[key], other[key], urls)
    else:
        assert one == other


queries = st.fixed_dictionaries(
    {
        "source": st.sampled_from(["golden", "dense", "overlapping", "days_later", "edge demo", "edge other", "several"]),
        "signals": st.sampled_from(
            [
                None,
                "float:*/*",
                ["can:1/00000100", "can:1/000001*"],
                "*:3/*",
                "sp*",
                "string:1/note",
                "float:9/x",
                "float:1/../up",
            ]
        ),
        "labels": st.sampled_from([None, None, ["count"], ["said", "nobody"], list(LABELS)]),
        "bounds": st.sampled_from([None, (0, 1), (1, 2), (1.5, 1.5000001), (0.9, 66), (64.9, 65.1), (-5, 900_000)]),
        "head": st.sampled_from([None, None, 1, 7, 200]),
    }
)


@settings(max_examples=60)
@given(asked=queries)
def test_any_query_of_frames_gives_the_same(
    origin: idf.Client, opened: idf.Client, recorded: Recorded, asked: dict[str, Any]
) -> None:
    options = {name: asked[name] for name in ("signals", "labels", "head")}
    kind, _, name = asked["source"].partition(" ")
    if name:
        options["edge"] = name
        low, high = asked["bounds"] or (0, 100)
        options |= {"start": moment(low), "end": moment(high)}
    else:
        options["source"] = recorded.uuids if kind == "several" else getattr(recorded, kind)
        if asked["bounds"] is not None:
            options |= {"start": moment(asked["bounds"][0]), "end": moment(asked["bounds"][1])}

    def read(client: idf.Client) -> Any:
        return client.frames(errors="collect", progress=False, **options)

    urls = origin.url, opened.url
    assert read(origin).to_arrow() == read(opened).to_arrow()
    assert_same(read(origin).by_type(), read(opened).by_type(), urls)


def moment(seconds: float) -> pd.Timestamp:
    return pd.Timestamp(BASETIME_NS + int(seconds * 10**9), unit="ns", tz="UTC")


@pytest.mark.parametrize(
    "sink",
    [
        lambda frames: frames.to_pandas(),
        lambda frames: frames.by_signal(),
        lambda frames: frames.summary(),
        lambda frames: frames.wide(every="100ms"),
        lambda frames: frames["float:1/speed"],
        lambda frames: pd.concat(batch.to_pandas() for batch in frames.to_batches(50)),
        # as texts: the order of categories is that in which the whole process met them
        lambda frames: frames.to_polars().cast({selectors.categorical(): pl.String}).to_pandas(),
    ],
)
def test_every_sink_gives_the_same(origin: idf.Client, opened: idf.Client, recorded: Recorded, sink: Callable[..., Any]) -> None:
    one, other = (sink(client.frames([recorded.dense, recorded.overlapping], tz="Asia/Tokyo")) for client in (origin, opened))
    assert_same(one, other, (origin.url, opened.url))


def test_a_narrow_range_of_a_large_answer_is_read_without_the_rest(opened: idf.Client, recorded: Recorded) -> None:
    asked = opened.frames(recorded.dense, start=pd.Timedelta("1s"), end=pd.Timedelta("1.2s"))
    assert 0 < asked.report.points < 100


CATALOGUE: list[Callable[[idf.Client, Recorded], Any]] = [
    lambda client, _: client.edges.list(),
    lambda client, _: client.edges.list(name="oth"),
    lambda client, _: client.edges.frame(type="device", sort="created_at", order="desc"),
    lambda client, _: client.edges.list(disabled=True),
    lambda client, _: client.measurements.list(),
    lambda client, _: client.measurements.frame(),
    lambda client, _: client.measurements.list(name="dense"),
    lambda client, _: client.measurements.list(name='"dense"'),
    lambda client, _: client.measurements.list(ended=False, sort="base_time", order="desc"),
    lambda client, _: client.measurements.list(sort="duration", limit=2, page=2),
    lambda client, _: [list(page) for page in client.measurements.list(limit=2, iterator=True)],
    lambda client, _: client.measurements.list(start=moment(64.5), end=moment(64.9), partial_match=True),
    lambda client, _: client.measurements.list(start=moment(64.5), end=moment(65.9)),
    lambda client, _: client.measurements.list(edge_uuid=client.edges.list(name='"other"')[0].uuid),
    lambda client, recorded: [client.measurements.get(uuid=uuid) for uuid in recorded.uuids],
    lambda client, recorded: client.measurement_basetimes.list(recorded.dense),
    lambda client, recorded: client.measurement_basetimes.get(recorded.dense, "ntp"),
    lambda client, recorded: client.measurement_markers.list(recorded.dense),
    lambda client, recorded: [
        client.measurement_markers.get(each.uuid) for each in client.measurement_markers.list(recorded.dense)
    ],
    lambda client, recorded: client.measurement_markers.frame(recorded.dense),
    lambda client, recorded: client.measurement_markers.list(recorded.golden),
    lambda client, _: client.signals.list(),
    lambda client, _: client.signals.list(label="sa"),
    lambda client, _: client.signals.frame(),
    lambda client, _: [client.signals.get(each.uuid) for each in client.signals.list()],
    lambda client, _: client.captures.list(EPOCH, END),
    lambda client, _: client.version,
    lambda client, recorded: client.frames(recorded.dense).signals,
    lambda client, recorded: client.data_points.list(EPOCH, END, measurement_uuid=recorded.dense, limit=30),
    lambda client, _: client.data_points.list(moment(64), moment(66), edge_name="demo", id_queries=[idf.IdQuery("can", 1)]),
    lambda client, recorded: client.units.list(EPOCH, END, measurement_uuid=recorded.dense, limit=30),
]
ERRORS: list[Callable[[idf.Client, Recorded], Any]] = [
    lambda client, _: client.measurements.get(uuid=ABSENT),
    lambda client, _: client.measurement_markers.get(ABSENT),
    lambda client, _: client.measurement_markers.list(ABSENT),
    lambda client, _: client.measurement_basetimes.list(ABSENT),
    lambda client, recorded: client.measurement_basetimes.get(recorded.dense, "gpsrmc"),
    lambda client, _: client.signals.get(ABSENT),
    lambda client, _: client.captures.get(ABSENT),
    lambda client, _: client.frames(ABSENT).to_arrow(),
    lambda client, _: client.frames(edge="nobody", start=EPOCH).to_arrow(),
    lambda client, _: client.measurements.list(sort="colour"),
    lambda client, recorded: client.frames(recorded.dense, "float:1/sped").to_pandas(),
    lambda client, recorded: client.frames(recorded.dense, "flot:1/speed"),
    lambda client, recorded: client.frames(recorded.dense, labels=["said"], start="soon"),
]


@pytest.mark.parametrize("ask", CATALOGUE)
def test_every_list_gives_the_same(
    origin: idf.Client, opened: idf.Client, recorded: Recorded, ask: Callable[[idf.Client, Recorded], Any]
) -> None:
    assert_same(ask(origin, recorded), ask(opened, recorded), (origin.url, opened.url))


@pytest.mark.parametrize("ask", ERRORS)
def test_every_error_is_the_same(
    origin: idf.Client, opened: idf.Client, recorded: Recorded, ask: Callable[[idf.Client, Recorded], Any]
) -> None:
    one, other = (outcome(lambda client=client: ask(client, recorded)) for client in (origin, opened))  # type: ignore[misc]
    assert isinstance(one, tuple)
    assert issubclass(one[0], idf.IntdashError)
    assert one == other


def test_types_that_share_an_instant_are_in_the_order_of_their_names(tmp_path: Path) -> None:
    rows = [float_row(5, 1.0), can_row(5, 0x100), float_row(5, 2.0), can_row(5, 0x101)]
    with idf.LocalServer() as server, server.client() as client:
        uuid = store_rows(client, rows)
        client.export(uuid, tmp_path)
    with idf.open(tmp_path) as opened:
        for _ in range(2):
            ids = opened.frames(uuid).to_arrow()["data_id"].to_pylist()
            assert ids == ["00000100", "00000101", "speed", "speed"]


WRITES: list[Callable[[idf.Client, Recorded], Any]] = [
    lambda client, recorded: client.measurements.update(recorded.dense, name="x"),
    lambda client, recorded: client.measurements.delete(recorded.dense),
    lambda client, _: client.measurements.create(client.edges.list()[0].uuid, EPOCH),
    lambda client, recorded: client.measurement_basetimes.update(recorded.dense, EPOCH, "ntp"),
    lambda client, recorded: client.measurement_markers.create(
        recorded.dense, "point", idf.MeasurementMarkerDetailPoint(pd.Timedelta("1s"))
    ),
    lambda client, _: client.signals.delete(client.signals.list()[0].uuid),
    lambda client, recorded: client.data_points.store(
        recorded.dense, [idf.DataPoint(pd.Timedelta(0), idf.DataType.float, 1, b"\x01x" + bytes(8))]
    ),
    lambda client, recorded: client.frames(recorded.dense, "float:1/speed").to_pandas().intdash.store(client=client, edge="demo"),
    lambda client, recorded: client.upstream(recorded.dense),
    lambda client, recorded: client.replay(recorded.dense),
    lambda client, recorded: client.import_(client.connection.transport.folder),  # type: ignore[attr-defined]
]


@pytest.mark.parametrize("write", WRITES)
def test_whatever_would_write_is_refused_by_one_error(
    opened: idf.Client, recorded: Recorded, write: Callable[[idf.Client, Recorded], Any]
) -> None:
    before = opened.measurements.list()
    with pytest.raises(Unauthorized, match=r"is a recording and stays as it is; client\.import_"):
        write(opened, recorded)
    assert opened.measurements.list() == before


def test_there_are_no_streams_to_connect_to(opened: idf.Client) -> None:
    with pytest.raises(UsageError, match="LocalServer"):
        opened.connect_websocket()
    with pytest.raises(UsageError, match="LocalServer"):
        asyncio.run(opened.connect_iscp())


def test_live_replays_the_edge_and_ends_with_the_block(folder: Path, origin: idf.Client) -> None:
    with idf.open(folder, speed="max", tz="Asia/Tokyo") as client:
        with client.live(edge="other", signals="float:*/*", window="60s") as live:
            live.wait(10, timeout=30)
            frame = live.frame()
            url = live._connection.url
        assert str(frame.index.tz) == "Asia/Tokyo"
        assert {"speed", "速度"} & set(frame["data_id"])
        with pytest.raises(idf.TransportError), idf.Client(url, "token", retries=0) as late:
            late.edges.list()
        with pytest.raises(UsageError, match="nobody"):
            client.live(edge="nobody")


def test_a_live_view_that_nobody_begins_starts_no_server(opened: idf.Client) -> None:
    threads = {each.name for each in threading.enumerate()}
    view = opened.live(edge="other")
    assert {each.name for each in threading.enumerate()} == threads
    assert "not started" in repr(view)


def test_a_pickled_connection_opens_the_folder_again(
    opened: idf.Client, recorded: Recorded, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("INTDASH_EDGE_TOKEN", raising=False)
    with pickle.loads(pickle.dumps(opened.connection)) as again:
        assert again.url == opened.url
        assert again.measurements.get(uuid=recorded.dense) == opened.measurements.get(uuid=recorded.dense)


def test_it_is_a_client_and_not_the_default_one(opened: idf.Client, folder: Path, origin: idf.Client) -> None:
    assert isinstance(opened, idf.Client)
    assert repr(opened) == f"open({str(folder)!r})"
    assert idf.default_client() is not opened
    assert opened.url == folder.as_uri()


def test_who_asks_is_the_one_edge_of_a_folder(opened: idf.Client, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="several edges"):
        opened.edges.me()
    with idf.LocalServer() as server, server.client() as client:
        client.export(store_rows(client, [float_row(0, 1.0)]), tmp_path)
        with idf.open(tmp_path) as alone:
            assert alone.edges.me() == client.edges.me()


def test_closed_it_says_so(folder: Path, recorded: Recorded) -> None:
    client = idf.open(folder)
    frames = client.frames(recorded.dense)
    client.close()
    client.close()
    with pytest.raises(UsageError, match="was closed"):
        frames.to_arrow()


@pytest.mark.parametrize(
    ("path", "says"),
    [("absent", "no manifest.json"), (".", "no manifest.json"), (None, "path=None"), ("broken", "no manifest of an export")],
)
def test_what_is_no_export_is_refused(tmp_path: Path, path: str | None, says: str) -> None:
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "manifest.json").write_text('{"format": 1}')
    with pytest.raises(UsageError, match=says):
        idf.open(tmp_path / path if path is not None else None)  # type: ignore[arg-type]


@pytest.mark.parametrize("options", [{"speed": 0}, {"speed": "fast"}, {"tz": "Mars"}, {"max_workers": 0}])
def test_arguments_that_cannot_work_are_refused(folder: Path, options: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        idf.open(folder, **options)


def test_a_file_that_came_to_harm_is_an_error_that_says_which(folder: Path, recorded: Recorded, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    victim = sorted(copy.rglob(f"data_type=float/*/*/measurement={recorded.dense}/*.parquet"))[-1]
    victim.write_bytes(victim.read_bytes()[:-1] + b"?")
    with idf.open(copy) as client:
        with pytest.raises((ApiError, idf.IncompleteRead), match="not as it was exported") as caught:
            client.frames(recorded.dense).to_arrow()
        assert victim.name in str(caught.value)
        assert client.frames(recorded.dense, "can:*/*").to_arrow().num_rows
        victim.unlink()
        with pytest.raises((ApiError, idf.IncompleteRead), match="cannot be read"):
            client.frames(recorded.dense, "float:*/*").to_arrow()


def test_a_folder_without_edges_and_signals_is_opened_all_the_same(folder: Path, recorded: Recorded, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    manifest = json.loads((copy / "manifest.json").read_text())
    del manifest["edges"], manifest["signals"]
    (copy / "manifest.json").write_text(json.dumps(manifest))
    with idf.open(copy) as client:
        edge = client.measurements.get(uuid=recorded.dense).edge_uuid
        assert client.edges.list(name=f'"{edge}"')[0].uuid == edge
        assert client.signals.list() == []
        assert client.frames(recorded.dense).report.points == 400


def test_without_the_server_extra_it_says_which_to_install(folder: Path) -> None:
    # In a process of its own: modules that are imported twice are two.
    code = f"import sys; sys.modules['duckdb'] = None; import intdash_frames as idf; idf.open({str(folder)!r})"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False).stderr.splitlines()[-1]
    assert ended.startswith("intdash_frames.errors.MissingDependency")
    assert "intdash-frames[server]" in ended
