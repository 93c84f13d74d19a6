"""Signals applied here give what a server's labels give."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import intdash_frames as idf
from intdash_frames import DataType, IncompleteRead, UsageError
from intdash_frames.frames.signals import apply, apply_labels
from intdash_frames.model import (
    Conversion,
    ConversionCSV,
    ConversionJSON,
    ConversionNone,
    ConversionNumFixedPoint,
    ConversionNumFloatingPoint,
    ConversionSubBytes,
    ConversionSubString,
    Display,
    Signal,
)
from tests.frames.stored import BASETIME_NS, Row, can_row, column, float_row, sensor_row, string_row

DISPLAY = Display("km/h", 0.0, 300.0, "%.1f")


def fixed(startbit: int, bitsize: int, sign: str = "unsigned", scale: float = 1.0, offset: float = 0.0) -> Conversion:
    return ConversionNumFixedPoint(startbit, bitsize, "little", sign, scale, offset)


DEFINITIONS: dict[str, tuple[DataType, str, int, Conversion]] = {
    "speed": (DataType.can, "000001A0", 1, fixed(0, 16, scale=0.01, offset=-3)),
    "big": (DataType.can, "000001A0", 1, ConversionNumFixedPoint(8, 16, "big", "signed", 0.5, 1.0)),
    "tag": (DataType.can, "000001A0", 1, ConversionSubBytes(1, 2)),
    "frame": (DataType.can, "000001A0", 1, ConversionNone()),
    "ax": (DataType.general_sensor, "0001", 1, fixed(0, 32, "signed", 1e-6)),
    "half": (DataType.float, "value", 1, ConversionNumFloatingPoint(0, "little", 64)),
    "latitude": (DataType.nmea, "GPRMC", 1, ConversionCSV([","], 2, "num")),
    "north": (DataType.nmea, "GPRMC", 1, ConversionCSV([","], 3, "str")),
    "field": (DataType.string, "doc", 1, ConversionJSON("a.b", "num")),
    "name": (DataType.string, "doc", 1, ConversionJSON("name", "str")),
    "cut": (DataType.string, "doc", 1, ConversionSubString(2, 4)),
}
ROWS = [
    can_row(0, 0x1A0, bytes.fromhex("1027ff00")),
    can_row(10, 0x1A0, bytes.fromhex("10270102")),
    can_row(10, 0x1A1, b"\xff\xff\xff\xff"),
    can_row(20, 0x1A0, b"\x01\x02\x03\x04", channel=2),
    sensor_row(30, 1, [41493, -1, 0]),
    float_row(40, float("nan"), "value"),
    Row(50, DataType.nmea, 1, b"$GPRMC,085120.307,A,3541.1493,N,13945.3994,E,000.0,240.3,181211,,,A*6A"),
    string_row(60, '{"a": {"b": 0.048094}, "name": "é"}', "doc"),
]
GOOD = list(DEFINITIONS)
# A frame too short for "big" and "tag", and no JSON: one failure of each of five signals.
SPOILED = [*ROWS, can_row(70, 0x1A0, b"\x01\x02"), string_row(80, "{", "doc")]
FAILURES = {"big": 1, "tag": 1, "field": 1, "name": 1, "cut": 1}


@pytest.fixture(scope="module")
def definitions(client: idf.Client) -> Iterator[dict[str, Signal]]:
    made = {
        label: client.signals.create(label, data_type, data_id, channel, conversion, DISPLAY)
        for label, (data_type, data_id, channel, conversion) in DEFINITIONS.items()
    }
    yield made
    for each in made.values():
        client.signals.delete(each.uuid)


def same(found: pd.DataFrame, expected: pd.DataFrame) -> bool:
    """Equal in index, types and every bit."""
    return (
        found.index.equals(expected.index)
        and found.dtypes.equals(expected.dtypes)
        and all(column(found, name) == column(expected, name) for name in expected.columns)
    )


# --- what a server converts ---


def test_labels_give_typed_frames_of_the_kind_of_their_values(
    client: idf.Client, make: Callable[..., str], definitions: dict[str, Signal]
) -> None:
    uuid = make(ROWS)
    f = client.frames(uuid, labels=["speed", "latitude", "name", "tag", "frame"])
    assert [str(key) for key in f.signals] == ["float:1/speed", "bytes:1/tag", "can:1/frame", "float:1/latitude", "string:1/name"]
    assert f["speed"]["value"].tolist() == [0x2710 * 0.01 - 3] * 2
    assert f["latitude"]["value"].tolist() == [3541.1493]
    assert f["name"]["value"].tolist() == ["é"]
    assert f["frame"]["can_id"].tolist() == [0x1A0, 0x1A0]
    assert f.report.complete
    both = client.frames(uuid, "can:1/000001a0", labels="speed")
    assert {str(key): len(frame) for key, frame in both.by_signal().items()} == {"can:1/000001a0": 2, "float:1/speed": 2}


def test_a_failed_conversion_of_the_server_makes_a_read_incomplete_or_is_counted(
    client: idf.Client, make: Callable[..., str], definitions: dict[str, Signal]
) -> None:
    uuid = make(SPOILED)
    with pytest.raises(IncompleteRead, match=r"2 values could not be converted, first: .*'signal_label': 'big'") as caught:
        client.frames(uuid, labels=["speed", "big", "tag"]).to_pandas()
    assert len(caught.value.partial) == 7
    f = client.frames(uuid, labels=GOOD, errors="collect")
    assert sum(map(len, f.by_type().values())) == f.report.points
    assert f.report.error_points == sum(FAILURES.values())
    assert {each["error_extra"]["signal_label"] for each in f.report.errors} == set(FAILURES)
    assert not f.report.complete


def test_head_counts_values_and_not_errors(client: idf.Client, make: Callable[..., str], definitions: dict[str, Signal]) -> None:
    rows = [can_row(i, 0x1A0, b"\x01" if i % 3 else b"\x01\x02") for i in range(30)]
    f = client.frames(make(rows), labels="speed", head=5, errors="collect")
    assert (f.to_arrow()["time"].cast("int64").to_numpy() - BASETIME_NS).tolist() == [0, 3, 6, 9, 12]


def test_a_limited_walk_through_converted_points_loses_and_repeats_none(
    client: idf.Client, make: Callable[..., str], definitions: dict[str, Signal]
) -> None:
    """Several labels of one row share its instant, and so do neighbouring rows."""
    uuid = make([can_row(i // 4, 0x1A0, bytes([i, 0, 1, 2])) for i in range(40)])
    labels = ["speed", "big", "tag"]
    walked = [
        (point.time, point.data_id, point.data_payload)
        for page in client.data_points.list(
            measurement_uuid=uuid,
            start=pd.Timestamp(BASETIME_NS, tz="UTC"),
            end=pd.Timestamp(BASETIME_NS + 100, tz="UTC"),
            labels=labels,
            limit=7,
            iterator=True,
        )
        for point in page
    ]
    whole = client.frames(uuid, labels=labels).to_arrow()
    assert len(walked) == len(whole) == 120
    assert [payload for _, _, payload in walked] == whole["payload"].to_pylist()


# --- the same, converted here ---


@pytest.mark.parametrize("labels", [GOOD, ["speed"], ["tag", "name"], ["latitude", "ax"]])
def test_what_is_applied_here_is_what_the_server_gives(
    client: idf.Client, make: Callable[..., str], definitions: dict[str, Signal], labels: list[str]
) -> None:
    uuid = make(ROWS)
    there, here = client.frames(uuid, labels=labels), apply(client.frames(uuid), [definitions[label] for label in labels])
    assert here.to_arrow().equals(there.to_arrow())
    assert here.signals == there.signals
    for kind, frame in there.by_type().items():
        assert same(here.by_type()[kind], frame), kind
    for key, frame in there.by_signal().items():
        assert same(here[key], frame), key
    assert here.to_polars().equals(there.to_polars(), null_equal=True)
    assert here.meta == there.meta
    assert here.report.complete
    assert here.report.points == there.report.points
    if "speed" in labels:
        pd.testing.assert_frame_equal(here.wide("10ns"), there.wide("10ns"))


@pytest.mark.parametrize("labels", [GOOD, ["big"], ["name", "tag"]])
def test_failures_are_nulls_and_counted(
    client: idf.Client, make: Callable[..., str], definitions: dict[str, Signal], labels: list[str]
) -> None:
    uuid = make(SPOILED)
    there = client.frames(uuid, labels=labels, errors="collect")
    here = apply(client.frames(uuid), [definitions[label] for label in labels])
    by_signal = here.by_signal()
    assert list(by_signal) == there.signals
    for key, frame in there.by_signal().items():
        own = by_signal[key]
        values = [name for name in frame.columns if name != "payload"]
        nulls = own[values].isna().any(axis=1) & (key.data_id in FAILURES) & ~np.isin(own.index, frame.index)
        assert int(nulls.sum()) == FAILURES.get(key.data_id, 0), key
        kept = own[~nulls]
        assert kept.index.equals(frame.index)
        if key.data_id not in FAILURES:
            assert own[values].dtypes.equals(frame[values].dtypes)
        elif key.data_type is DataType.float:  # an Arrow column tells a null from a NaN
            assert own["value"].dtype == pd.ArrowDtype(pa.float64())
        assert all(column(kept, name) == column(frame, name) for name in values)
    wanted = {label: count for label, count in FAILURES.items() if label in labels}
    assert here.report.error_points == there.report.error_points == sum(wanted.values())
    assert {each["error_extra"]["signal_label"]: each["points"] for each in here.report.errors} == wanted
    assert here.report.points == there.report.points + sum(wanted.values())
    assert here.report.complete


def test_errors_raise_makes_failures_raise(client: idf.Client, make: Callable[..., str], definitions: dict[str, Signal]) -> None:
    f = apply(client.frames(make(SPOILED)), [definitions["big"]], errors="raise")
    with pytest.raises(IncompleteRead, match=r"1 values could not be converted, first: .*'big'") as caught:
        f.to_pandas()
    assert len(caught.value.partial) == 3
    assert caught.value.partial["value"].isna().tolist() == [False, False, True]


def test_what_was_not_read_is_missing_as_the_source_says(
    server: idf.LocalServer, client: idf.Client, make: Callable[..., str], definitions: dict[str, Signal]
) -> None:
    absent = "00000000-0000-0000-0000-000000000001"
    ends = {"start": pd.Timestamp(BASETIME_NS, tz="UTC"), "end": pd.Timestamp(BASETIME_NS + 10**9, tz="UTC")}
    source = [make(ROWS), absent]
    strict = apply(client.frames(source, **ends), [definitions["speed"]])
    with pytest.raises(IncompleteRead) as caught:
        strict.to_pandas()
    assert len(caught.value.partial) == 2
    collected = apply(client.frames(source, **ends, errors="collect"), [definitions["speed"]])
    assert len(collected.to_pandas()) == 2
    assert [gap["source"] for gap in collected.report.gaps] == [absent]
    with pytest.raises(IncompleteRead):
        apply(client.frames(source, **ends, errors="collect"), [definitions["speed"]], errors="raise").to_pandas()
    with pytest.raises(UsageError, match="no signal 'can:1/0000ffff'"):
        apply(client.frames(make(ROWS), "can:1/0000ffff"), [definitions["speed"]]).to_pandas()


def test_nothing_is_asked_before_a_sink_nor_twice_nor_again_what_the_source_has(
    counting: tuple[idf.Client, list[str]], make: Callable[..., str], definitions: dict[str, Signal]
) -> None:
    client, sent = counting
    ends = {"start": pd.Timestamp(BASETIME_NS, tz="UTC"), "end": pd.Timestamp(BASETIME_NS + 10**9, tz="UTC")}
    f = client.frames(make(ROWS), **ends)
    here = apply(f, [definitions["speed"]])
    assert sent == []
    assert (len(here.to_pandas()), len(here.to_arrow()), len(sent)) == (2, 2, 1)
    f.to_arrow()
    assert len(sent) == 2
    signals = f.signals
    assert len(apply(f, list(definitions.values())).to_arrow()) == 15
    assert len(sent) == 2
    assert f.signals == signals


def test_streams_of_converted_points_are_bounded_and_whole(
    client: idf.Client, make: Callable[..., str], definitions: dict[str, Signal]
) -> None:
    f = apply(client.frames(make([can_row(i, 0x1A0, bytes([i, 0, 0, 0])) for i in range(100)])), [definitions["speed"]])
    assert [len(batch) for batch in f.to_batches(30)] == [30, 30, 30, 10]
    assert f.report.points == 100
    assert f.to_reader().read_all().equals(f.to_arrow().combine_chunks())


def test_head_and_range_are_those_of_the_source(
    client: idf.Client, make: Callable[..., str], definitions: dict[str, Signal]
) -> None:
    first, second = (make([can_row(i, 0x1A0, bytes([i, 0, 0, 0])) for i in range(start, 10, 2)]) for start in (0, 1))
    f = apply(client.frames([first, second], head=3), [definitions["speed"]])
    streamed = pd.concat([batch.to_pandas() for batch in f.to_batches()])
    assert len(streamed) == len(f.to_pandas()) == 3
    assert set(f.to_pandas()["measurement_uuid"]) == {first, second}


@pytest.mark.parametrize(
    "form",
    [
        lambda f: f.to_arrow(),
        lambda f: f.by_type()[DataType.can],
        lambda f: f["can:1/000001a0"],
        lambda f: f.to_pandas(),
        lambda f: f.to_polars(),
    ],
)
def test_frames_and_tables_are_taken_as_points_too(
    client: idf.Client, make: Callable[..., str], definitions: dict[str, Signal], form: Callable[[idf.Frames], Any]
) -> None:
    uuids = [make(ROWS), make(ROWS, basetime_ns=BASETIME_NS + 5)]
    data = form(client.frames(uuids))
    expected = client.frames(uuids, labels="speed").to_pandas()
    found = apply(data, [definitions["speed"]], connection=client.connection)
    assert same(found.to_pandas(), expected)
    assert found.report.complete
    with pytest.raises(UsageError, match="connection="):
        apply(data, [definitions["speed"]])


def test_times_since_a_base_time_are_no_moments(client: idf.Client, definitions: dict[str, Signal]) -> None:
    frame = pd.DataFrame({"value": [1.0]}, index=pd.to_timedelta([1], unit="s"))
    with pytest.raises(UsageError, match="base time"):
        apply(frame, [definitions["half"]], connection=client.connection)


def test_columns_of_any_frame_are_floats_of_channel_1(client: idf.Client, definitions: dict[str, Signal]) -> None:
    index = pd.date_range("2024-01-01", periods=2, freq="s", tz="UTC")
    found = apply(pd.DataFrame({"value": [1.5, 2.5]}, index=index), [definitions["half"]], connection=client.connection)
    assert found.to_pandas()["value"].tolist() == [1.5, 2.5]


# --- which definitions ---


def test_labels_are_looked_up_on_the_server(client: idf.Client, make: Callable[..., str], definitions: dict[str, Signal]) -> None:
    f = client.frames(make(ROWS))
    assert [str(key) for key in apply_labels(client.connection, f, "speed").signals] == ["float:1/speed"]
    assert [key.data_id for key in apply_labels(client.connection, f, ["ax", "big", "ax"]).signals] == ["big", "ax"]
    assert {key.data_id for key in apply_labels(client.connection, f).signals} >= set(GOOD)
    with pytest.raises(UsageError, match="no signal is labelled 'sped'; near or present: 'speed'"):
        apply_labels(client.connection, f, "sped")


def test_big_endian_bits_and_cells_of_sentences_are_counted_as_one_says(
    client: idf.Client, make: Callable[..., str], definitions: dict[str, Signal]
) -> None:
    f = client.frames(make(ROWS))
    payload = b"\x10\x27\xff\x00"

    def first(label: str, **conventions: Any) -> Any:
        return apply(f, [definitions[label]], **conventions).to_pandas()["value"].iloc[0]

    assert first("big") == struct.unpack(">h", payload[1:3])[0] * 0.5 + 1.0
    assert first("big", big_endian_bits="motorola_lsb") == struct.unpack(">h", payload[0:2])[0] * 0.5 + 1.0
    assert first("north") == "N"
    assert first("north", nmea_cells="from_start") == "3541.1493"
    for name in ("big_endian_bits", "nmea_cells", "errors"):
        with pytest.raises(UsageError, match=f"{name}='other'; expected one of"):
            apply(f, [definitions["big"]], **{name: "other"})


def test_a_definition_that_cannot_be_carried_out_is_refused_before_anything_is_read(
    counting: tuple[idf.Client, list[str]],
) -> None:
    client, sent = counting
    impossible = Signal("", "x", "", 1, "000001a0", 1, fixed(0, 65), DISPLAY, "", None, None)
    with pytest.raises(UsageError, match=r"signal 'x' cannot be carried out: .*bitsize is 65"):
        apply(client.frames("00000000-0000-0000-0000-000000000001"), [impossible])
    assert sent == []
