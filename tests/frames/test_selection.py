"""Patterns of signals: what the server is asked, what is kept, and what is refused."""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import intdash_frames as idf
from intdash_frames import DataType, IdQuery, SignalKey, UsageError
from intdash_frames.codecs.series import Series
from intdash_frames.frames.selection import select
from tests.frames.stored import BASETIME_NS, Row, can_row, float_row, int_row, store_rows, string_row

ROWS = [
    can_row(0, 0x1A0),
    can_row(1, 0x1A0, channel=2),
    can_row(2, 0x18FEF1AB),
    float_row(3, 1.0, "speed"),
    float_row(4, 1.0, "speed", channel=2),
    float_row(5, 1.0, "sp_ACCX"),
    float_row(6, 1.0, "sp_ACCY"),
    float_row(7, 1.0, "Sp_ACCY"),
    int_row(8, 1, "speed"),
    string_row(9, "x", "a/b/c"),
    string_row(10, "x", "what?"),
    string_row(11, "x", ""),
    Row(12, 200, 1, b"opaque"),
]


@pytest.fixture(scope="module")
def several(client: idf.Client) -> str:
    return store_rows(client, ROWS)


@pytest.mark.parametrize(
    ("signals", "times"),
    [
        (None, range(13)),
        ("*:*/*", range(13)),
        ("*", range(13)),
        ("can:1/000001a0", [0]),
        ("can:1/000001A0", [0]),
        ("1:*/000001a0", [0, 1]),
        ("can:*/*1A*", [0, 1, 2]),
        ("can:*/*1ab", [2]),
        ("000001A0", [0, 1]),
        ("18fef1ab", [2]),
        ("float:*/speed", [3, 4]),
        ("float:2/*", [4]),
        ("*:1/*", [0, 2, 3, 5, 6, 7, 8, 9, 10, 11, 12]),
        ("*:1/speed", [3, 8]),
        ("speed", [3, 4, 8]),
        ("sp_ACC*", [5, 6]),
        ("sp_ACC[XZ]", [5]),
        ("sp_ACC?", [5, 6]),
        ("float:*/sp*", [3, 4, 5, 6]),
        ("string:1/a/b/c", [9]),
        ("a/b/c", [9]),
        ("a/*", [9]),
        ("string:1/", [11]),
        ("200:*/*", [12]),
        ("h265:*/*", []),
        ("nothing*", []),
        (["int:1/speed", "sp_ACCY", "can:*/*"], [0, 1, 2, 6, 8]),
        (("int:1/speed", "int:*/*"), [8]),
        (IdQuery(DataType.float, 1, "speed"), [3]),
        (IdQuery(data_id="speed"), [3, 4, 8]),
        ([IdQuery(data_type="int")], [8]),
        (SignalKey(DataType.can, 2, "000001a0"), [1]),
        ({SignalKey(200, 1, "")}, [12]),
    ],
)
def test_a_pattern_gives_the_signals_it_names(client: idf.Client, several: str, signals: object, times: list[int]) -> None:
    table = client.frames(several, signals).to_arrow()
    elapsed = [time.value - BASETIME_NS for time in client.frames(several, signals).to_pandas().index] if len(table) else []
    assert elapsed == list(times)
    streamed = sum(len(batch) for batch in client.frames(several, signals).to_batches())
    assert streamed == len(table)


def test_every_signal_that_was_read_selects_itself(client: idf.Client, everything: str) -> None:
    f = client.frames(everything)
    by_signal = f.by_signal()
    for key in f.signals[::5]:
        again = client.frames(everything, key)
        assert again.signals == [key]
        assert again.report.points == len(by_signal[key])


def test_the_server_is_asked_for_no_more_than_it_can_narrow(counting: tuple[idf.Client, list[str]], several: str) -> None:
    client, sent = counting
    client.frames(several, ["can:1/000001A0", "float:*/sp_*"]).to_arrow()
    asked = next(path for path in sent if path.startswith("/api/v1/data?"))
    assert "idq=1%3A1%2F000001a0" in asked
    assert "idq=11%3A%2A%2F%2A" in asked


@pytest.mark.parametrize(
    ("signals", "says"),
    [
        ("", "no pattern"),
        ([""], "no pattern"),
        ([], "would select nothing"),
        ("flaot:1/speed", "no data type is called 'flaot'"),
        ("256:1/speed", "no data type is called '256'"),
        ("float:256/speed", "channel 256"),
        (b"float:1/speed", "bytes"),
        ({"a": 1}, "dict"),
        (17, "int"),
        ([None], "no pattern"),
        (IdQuery(300), "data_type=300"),
        (IdQuery(channel=-1), "channel=-1"),
    ],
)
def test_a_pattern_that_cannot_be_read_is_refused(signals: object, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        select(signals)


@pytest.mark.parametrize("labels", [[""], [3], 3])
def test_labels_that_are_no_names_are_refused(labels: object) -> None:
    with pytest.raises(UsageError):
        select(labels=labels)


def test_labels_and_patterns_select_the_union() -> None:
    selection = select("float:1/speed", "sp_ACCX")
    assert selection.keeps(Series("", 11, 1, "speed", "11"))
    assert selection.keeps(Series("", 10, 1, "sp_ACCX", "10"))
    assert not selection.keeps(Series("", 11, 1, "other", "11"))
    assert selection.idq == ("11:1/speed",)
    assert selection.data_type is None


names = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="*?["), min_size=1, max_size=8)


@given(st.sampled_from([*DataType, 200]), st.integers(0, 255), names)
def test_the_name_of_a_signal_selects_it_and_asks_for_it(kind: int, channel: int, data_id: str) -> None:
    selection = select(str(SignalKey(kind, channel, data_id)))
    assert selection.keeps(Series("", int(kind), channel, data_id, str(int(kind))))
    assert not selection.keeps(Series("", int(kind), (channel + 1) % 256, data_id, ""))
    assert not selection.keeps(Series("", int(kind), channel, data_id + "x", ""))
    (idq,) = selection.idq
    assert idq.lower() == f"{int(kind)}:{channel}/{data_id}".lower()
    assert selection.data_type == kind


# --- signals that are nowhere ---


def test_a_signal_that_is_nowhere_is_an_error_with_those_near(client: idf.Client, several: str) -> None:
    with pytest.raises(UsageError, match=r"no signal 'float:1/sped' in .*float:1/speed"):
        client.frames(several, ["can:*/*", "float:1/sped"]).to_arrow()
    with pytest.raises(UsageError, match=r"no signal 'sp_ACCZ'.*sp_ACC"):
        client.frames(several, "sp_ACCZ").wide()
    with pytest.raises(UsageError, match="no signal 'sp_ACCZ'"):
        client.frames(several, "sp_ACCZ", head=3, start="-1s").to_pandas()
    with pytest.raises(UsageError, match="no signal 'sp_ACCZ'"):
        list(client.frames(several, "sp_ACCZ").to_batches())


def test_a_signal_that_is_there_at_another_time_is_none(client: idf.Client, several: str) -> None:
    f = client.frames(several, ["sp_ACCX", "speed"], start=pd.Timedelta(6, "ns"))
    assert [str(key) for key in f.signals] == ["int:1/speed"]
    assert f.report.unmatched == ()
    first = client.frames(several, ["sp_ACCX", "speed"], head=1)
    assert first.report.points == 1


def test_collecting_errors_only_notes_a_signal_that_is_nowhere(client: idf.Client, several: str) -> None:
    f = client.frames(several, ["nope", "speed", "no*"], errors="collect")
    assert f.report.unmatched == ("nope",)
    assert f.report.points == 3
    assert f.report.complete


def test_one_of_several_measurements_may_lack_a_signal(client: idf.Client, several: str, make: Callable[..., str]) -> None:
    other = make([float_row(0, 1.0, "elsewhere")])
    assert client.frames([several, other], "elsewhere").report.points == 1
    with pytest.raises(UsageError, match=r"no signal 'elsewhre'.*elsewhere"):
        client.frames([several, other], "elsewhre").to_arrow()


def test_an_edge_is_not_searched_for_a_signal(client: idf.Client, several: str) -> None:
    f = client.frames(edge="demo", signals="nope", start="2020-01-01T00:00:00Z", end="2020-01-02T00:00:00Z")
    assert (f.report.points, f.report.unmatched) == (0, ())
