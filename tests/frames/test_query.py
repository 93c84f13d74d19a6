"""Every sink gives the same points, and nothing is asked twice."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import intdash_frames as idf
from intdash_frames import DataType, SignalKey, UsageError
from intdash_frames.frames.envelope import ENVELOPE
from tests.frames.stored import BASETIME_NS, Row, can_row, column, contents, float_row, int_row, payloads_of, string_row

SOME = [float_row(3, 0.5), can_row(1, 0x1A0), int_row(2, -1), float_row(5, 1.5), string_row(4, "é"), float_row(6, 2.5, channel=2)]

SINKS: dict[str, Callable[[idf.Frames], Any]] = {
    "to_arrow": lambda f: f.to_arrow(),
    "by_type": lambda f: f.by_type(),
    "by_signal": lambda f: f.by_signal(),
    "item": lambda f: f["int:1/gear"],
    "to_pandas": lambda f: f.to_pandas(),
    "to_polars": lambda f: f.to_polars(),
    "wide": lambda f: f.wide(),
    "summary": lambda f: f.summary(),
    "signals": lambda f: f.signals,
    "report": lambda f: f.report,
}
STREAMS: dict[str, Callable[[Any], Any]] = {
    "to_batches": lambda f: pa.Table.from_batches(f.to_batches(7), ENVELOPE),
    "to_reader": lambda f: f.to_reader().read_all(),
    "pyarrow": pa.table,
    "polars": pl.DataFrame,
    # without the times: DuckDB keeps microseconds only
    "duckdb": lambda f: duckdb.sql("SELECT data_type, channel, data_id, payload FROM f").fetchall(),
}


def test_the_envelope_has_one_schema_and_what_was_stored(client: idf.Client, everything: str, golden: list[Row]) -> None:
    table = client.frames(everything).to_arrow()
    assert table.schema.equals(ENVELOPE)
    assert table.schema.field("time").type == pa.timestamp("ns", "UTC")
    stored = sorted(
        (time, kind, channel, payload) for time, kind, channel, _, payload in contents(table, elapsed_from=BASETIME_NS)
    )
    assert stored == payloads_of(golden)
    assert table["measurement_uuid"].unique().to_pylist() == [everything]
    assert (np.diff(table["time"].cast(pa.int64()).to_numpy()) >= 0).all()


def test_the_schema_is_the_same_when_there_is_nothing(client: idf.Client, make: Callable[..., str]) -> None:
    f = client.frames(make(SOME), end="1970-01-01T00:00:00Z", start="1970-01-01T00:00:00Z")
    assert f.to_arrow().schema.equals(ENVELOPE)
    assert f.to_reader().read_all().schema.equals(ENVELOPE)
    assert (f.by_type(), f.by_signal(), f.signals, len(f.to_pandas()), len(f.summary())) == ({}, {}, [], 0, 0)
    assert f.to_polars().height == 0
    assert f.to_pandas().index.name == "time"


def test_nothing_of_one_data_type_still_has_its_columns(client: idf.Client, make: Callable[..., str]) -> None:
    f = client.frames(make(SOME), "float:*/*", start=pd.Timedelta("1s"), end=pd.Timedelta("2s"))
    assert list(f.to_pandas().columns) == ["measurement_uuid", "channel", "data_id", "value"]
    assert f.to_polars().columns == ["time", "measurement_uuid", "channel", "data_id", "value"]
    assert f.to_pandas()["value"].dtype == "float64"


@pytest.mark.parametrize("stream", STREAMS)
def test_streams_give_the_rows_of_the_envelope(client: idf.Client, everything: str, stream: str) -> None:
    f = client.frames(everything)
    streamed, table = STREAMS[stream](f), f.to_arrow()
    if stream == "duckdb":
        assert sorted(streamed) == sorted(row[1:] for row in contents(table))
        return
    for name in table.column_names:
        assert column(streamed, name) == column(table, name)


def test_batches_have_at_most_so_many_rows(client: idf.Client, everything: str) -> None:
    sizes = [len(batch) for batch in client.frames(everything).to_batches(10)]
    assert max(sizes) == 10
    assert sum(sizes) == client.frames(everything).report.points


@pytest.mark.parametrize("rows", [0, -1, 1.5, True, "7"])
def test_a_wrong_size_of_batches_is_refused(client: idf.Client, everything: str, rows: Any) -> None:
    with pytest.raises(UsageError, match="rows="):
        client.frames(everything).to_batches(rows)


def test_nothing_is_sent_before_a_sink_and_nothing_by_the_second(counting: tuple[idf.Client, list[str]], everything: str) -> None:
    client, sent = counting
    f = client.frames(everything, start=pd.Timestamp(BASETIME_NS, tz="UTC"), end=pd.Timestamp(BASETIME_NS + 10**10, tz="UTC"))
    repr(f)
    assert sent == []
    f.to_arrow()
    assert len(sent) == 1
    f = client.frames(everything)
    SINKS["signals"](f)
    first = len(sent)
    for name, sink in {**SINKS, **STREAMS}.items():
        if name != "item":
            sink(f)
    assert len(sent) == first


@pytest.mark.parametrize("sink", SINKS)
def test_each_sink_may_be_the_first(client: idf.Client, make: Callable[..., str], sink: str) -> None:
    made = SINKS[sink](client.frames(make(SOME)))
    assert made is not None
    assert not hasattr(made, "__len__") or len(made) > 0


@pytest.mark.parametrize("stream", STREAMS)
def test_streaming_sinks_keep_nothing(counting: tuple[idf.Client, list[str]], everything: str, stream: str) -> None:
    client, sent = counting
    f = client.frames(everything)
    for times in (1, 2):
        STREAMS[stream](f)
        assert f.report.points > 100
        assert sum(path.startswith("/api/v1/data?") for path in sent) == times


def test_typed_frames_signals_and_the_long_frame_agree(client: idf.Client, everything: str) -> None:
    f = client.frames(everything)
    by_type, by_signal, long = f.by_type(), f.by_signal(), f.to_pandas()
    assert set(by_type) == {DataType(each) if each in set(DataType) else each for each in f.to_arrow()["data_type"].to_pylist()}
    assert list(by_signal) == f.signals
    assert sum(map(len, by_type.values())) == sum(map(len, by_signal.values())) == len(long) == f.report.points
    assert (np.diff(long.index.asi8) >= 0).all()
    for kind, typed in by_type.items():
        name = kind.name if isinstance(kind, DataType) else str(kind)
        rows = long[long["data_type"] == name]
        for own in ("time", "measurement_uuid", "channel", "data_id"):
            assert column(rows, own) == column(typed, own)
        for own in typed.columns[3:]:
            assert column(rows, f"{name}.{own}") == column(typed, own), (name, own)
    for key, signal in by_signal.items():
        whole = by_type[key.data_type]
        rows = whole[(whole["channel"] == key.channel) & (whole["data_id"] == key.data_id)]
        assert len(signal)
        for own in ("time", *signal.columns):
            assert column(signal, own) == column(rows, own), (key, own)
        for gone in set(whole.columns) - set(signal.columns):  # what no row of the signal has
            assert rows[gone].isna().all(), (key, gone)
    for key in f.signals[::9]:
        assert f[key].equals(by_signal[key])
        assert f[str(key)].equals(by_signal[key])


def test_the_first_point_does_not_decide_the_order_of_columns(client: idf.Client, make: Callable[..., str]) -> None:
    rows = [int_row(0, 1), float_row(1, 1.0), can_row(2, 0x1A0), string_row(3, "x"), Row(4, 200, 1, b"x")]
    wanted = ["can.can_id", "can.dlc", "can.data", "string.value", "float.value", "int.value", "200.payload"]
    for again in (rows, [each._replace(elapsed_ns=9 - each.elapsed_ns) for each in rows]):
        assert list(client.frames(make(again)).to_pandas())[4:] == wanted


def test_polars_has_the_columns_of_pandas(client: idf.Client, everything: str) -> None:
    f = client.frames(everything)
    frame, long = f.to_polars(), f.to_pandas()
    assert frame.columns == ["time", *long.columns]
    assert frame.schema["time"] == pl.Datetime("ns", "UTC")
    for name in frame.columns:
        assert column(frame, name) == column(long, name), name
    one = client.frames(everything, "float:*/*")
    assert one.to_polars().columns == ["time", *one.to_pandas().columns]
    for name in one.to_polars().columns:
        assert column(one.to_polars(), name) == column(one.to_pandas(), name)


def test_polars_says_the_type_that_its_columns_do_not_tell(client: idf.Client, make: Callable[..., str]) -> None:
    uuid = make([Row(0, 200, 1, b"x"), Row(1, DataType.h264, 1, b"\x00nal")])
    assert client.frames(uuid, "200:*/*").to_polars()["data_type"].to_list() == ["200"]
    assert client.frames(uuid, "h264:*/*").to_polars()["data_type"].to_list() == ["h264"]
    assert "data_type" not in client.frames(uuid, "h264:*/*").to_pandas()


def test_the_zone_of_results_is_the_one_asked_for(client: idf.Client, make: Callable[..., str], server: idf.LocalServer) -> None:
    uuid = make(SOME)
    tokyo, utc = client.frames(uuid, tz="Asia/Tokyo"), client.frames(uuid)
    assert str(tokyo.to_pandas().index.dtype) == "datetime64[ns, Asia/Tokyo]"
    assert (tokyo.to_pandas().index == utc.to_pandas().index).all()
    assert str(tokyo["float:1/speed"].index.tz) == "Asia/Tokyo"
    assert str(tokyo.wide().index.tz) == str(tokyo.summary()["first"].dt.tz) == "Asia/Tokyo"
    assert tokyo.to_polars().schema["time"] == pl.Datetime("ns", "Asia/Tokyo")
    assert tokyo.to_polars()["time"].dt.convert_time_zone("UTC").to_list() == utc.to_polars()["time"].to_list()
    assert tokyo.to_arrow().schema.equals(ENVELOPE)
    with idf.Client(server.url, "token", tz="Europe/Berlin") as other:
        assert str(other.frames(uuid).to_pandas().index.tz) == "Europe/Berlin"


def test_a_fixed_offset_is_a_zone_too(client: idf.Client, make: Callable[..., str]) -> None:
    f = client.frames(make(SOME), tz=dt.timezone(dt.timedelta(hours=9)))
    assert f.to_pandas().index[0].utcoffset() == dt.timedelta(hours=9)
    assert f.to_polars()["time"].cast(pl.Int64).to_list() == f.to_pandas().index.asi8.tolist()
    assert f.to_polars().schema["time"] == pl.Datetime("ns", "UTC")  # polars has no such zones


def test_one_signal_is_found_by_its_name_or_its_id(client: idf.Client, make: Callable[..., str]) -> None:
    f = client.frames(make(SOME))
    assert f["gear"].equals(f[SignalKey(DataType.int, 1, "gear")])
    assert f["gear"]["value"].tolist() == [-1]
    with pytest.raises(UsageError, match=r"more than one signal has the id 'speed'.*float:1/speed, float:2/speed"):
        f["speed"]
    with pytest.raises(UsageError, match=r"no signal 'int:1/gaer'.*int:1/gear"):
        f["int:1/gaer"]


def test_repr_says_what_is_known_without_reading(client: idf.Client, make: Callable[..., str]) -> None:
    uuid = make(SOME)
    f = client.frames(uuid)
    assert repr(f) == f"<Frames of {uuid}: not read yet>"
    f.to_arrow()
    assert repr(f) == f"<Frames of {uuid}: 6 points, 5 signals>"


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"errors": "ignore"}, "errors='ignore'"),
        ({"head": 0}, "head=0"),
        ({"head": True}, "head=True"),
        ({"head": 2.0}, "head=2.0"),
        ({"progress": "yes"}, "progress='yes'"),
        ({"start": "2024-01-01"}, "no time zone"),
        ({"start": pd.NaT}, "start="),
        ({"start": 17}, "without a unit"),
        ({"start": "soon"}, "no moment"),
        ({"tz": "Mars/Olympus"}, "no time zone"),
        ({"start": "2024-01-02T00:00:00Z", "end": "2024-01-01T00:00:00Z"}, "is after end"),
        ({"signals": []}, "signals is empty"),
        ({"signals": "flaot:1/speed"}, "no data type is called 'flaot'"),
        ({"signals": "float:256/speed"}, "channel 256"),
        ({"signals": 3}, "expected one or a list of patterns"),
        ({"signals": [3]}, "no pattern"),
        ({"labels": [""]}, "labels="),
        ({"edge": "demo"}, "not both"),
    ],
)
def test_bad_arguments_are_refused_before_anything_is_sent(
    counting: tuple[idf.Client, list[str]], everything: str, options: dict[str, Any], says: str
) -> None:
    client, sent = counting
    with pytest.raises(UsageError, match=says):
        client.frames(everything, **options)
    assert sent == []


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"method": "first"}, "method='first'"),
        ({"every": "10ms", "on": "speed"}, "both name a time axis"),
        ({"every": 10}, "has no unit"),
        ({"every": "0s"}, "not positive"),
        ({"every": "1s", "tolerance": "-1s"}, "not positive"),
        ({"tolerance": "1s"}, "need a time axis"),
        ({"method": "mean"}, "need a time axis"),
        ({"max_memory": "lots"}, "max_memory='lots'"),
        ({"max_memory": 0}, "max_memory=0"),
    ],
)
def test_bad_arguments_of_wide_are_refused_before_anything_is_read(
    counting: tuple[idf.Client, list[str]], everything: str, options: dict[str, Any], says: str
) -> None:
    client, sent = counting
    with pytest.raises(UsageError, match=says):
        client.frames(everything).wide(**options)
    assert sent == []


def test_writing_into_a_frame_changes_no_other(client: idf.Client, make: Callable[..., str]) -> None:
    f = client.frames(make([float_row(i, float(i)) for i in range(5)] + [int_row(9, 1)]))
    for read in (lambda: f["float:1/speed"], lambda: f.by_type()[DataType.float], lambda: next(iter(f.by_signal().values()))):
        frame = read()
        frame.loc[:, "value"] = -1.0
        assert read()["value"].tolist() == [0.0, 1.0, 2.0, 3.0, 4.0]
    assert f.wide()["speed"].dropna().tolist() == [0.0, 1.0, 2.0, 3.0, 4.0]
