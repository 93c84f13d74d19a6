"""Files of anybody's, and what their stamps mean."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from intdash_frames import IntdashError, UsageError
from intdash_frames.cli.table_file import read_table

NS = 1_715_648_400_123_456_789
SECOND = 10**9


def csv(folder: Path, text: str) -> Path:
    path = folder / "file.csv"
    path.write_text(text, encoding="utf-8")
    return path


def parquet(folder: Path, **columns: Any) -> Path:
    path = folder / "file.parquet"
    pq.write_table(pa.table(columns), path)
    return path


def stamps(table: pa.Table) -> list[int]:
    assert table["time"].type.tz is not None
    return list(table["time"].cast(pa.timestamp("ns", "UTC")).cast(pa.int64()).to_pylist())


@pytest.mark.parametrize(
    ("texts", "options", "wanted"),
    [
        (["2024-05-14T01:00:00.123456789Z", "2024-05-14 10:00:01.123456789+09:00"], {}, [NS, NS + SECOND]),
        (["2024-05-14 10:00:00.123456789", "2024-05-14T10:00:01.123456789"], {"tz": "Asia/Tokyo"}, [NS, NS + SECOND]),
        (["1715648400.123456789", "1715648401.123456789"], {"unit": "s"}, [NS, NS + SECOND]),
        (["1715648400123.456789", " 1715648401123.456789"], {"unit": "ms"}, [NS, NS + SECOND]),
        (["1715648400123456.789"], {"unit": "us"}, [NS]),
        (["1715648400123456789", "-1"], {"unit": "ns"}, [NS, -1]),
    ],
)
def test_stamps_of_a_csv_file_keep_every_nanosecond(
    tmp_path: Path, texts: list[str], options: dict[str, str], wanted: list[int]
) -> None:
    path = csv(tmp_path, "v,time\n" + "".join(f"1,{text}\n" for text in texts))
    assert stamps(read_table(path, **options)) == wanted


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_whole_numbers_of_a_parquet_file_count_in_their_unit(tmp_path: Path, unit: str) -> None:
    wanted = pd.Timestamp("2024-05-14T01:00:00Z")
    path = parquet(tmp_path, time=[wanted.as_unit(unit)._value], v=[1])
    assert stamps(read_table(path, unit=unit)) == [wanted.as_unit("ns").value]


def test_stamps_without_a_zone_get_one_and_those_with_one_keep_it(tmp_path: Path) -> None:
    naive = pa.array([0], pa.timestamp("us"))
    assert stamps(read_table(parquet(tmp_path, time=naive, v=[1]), tz="Asia/Tokyo")) == [-9 * 3600 * SECOND]
    aware = pa.array([0], pa.timestamp("us", "Asia/Tokyo"))
    assert stamps(read_table(parquet(tmp_path, time=aware, v=[1]), tz="Europe/Berlin")) == [0]


def test_durations_stay_durations(tmp_path: Path) -> None:
    table = read_table(parquet(tmp_path, time=pa.array([1], pa.duration("ms")), v=[1]))
    assert table["time"].type == pa.duration("ms")


def test_the_only_column_of_timestamps_is_the_time(tmp_path: Path) -> None:
    assert read_table(csv(tmp_path, "v,stamp\n1,2024-05-14T01:00:00Z\n")).column_names == ["v", "time"]
    pd.DataFrame({"v": [1]}, index=pd.to_datetime(["2024-05-14T01:00:00Z"])).to_parquet(tmp_path / "pandas.parquet")
    assert set(read_table(tmp_path / "pandas.parquet").column_names) == {"v", "time"}


def test_the_time_can_be_named_and_other_columns_left_out(tmp_path: Path) -> None:
    path = csv(tmp_path, "a,b,time,v\n2024-05-14T01:00:00Z,2024-05-14T02:00:00Z,3,1\n")
    table = read_table(path, time="b", without=["a", "time"])
    assert table.column_names == ["time", "v"]
    assert stamps(table) == [NS // SECOND * SECOND + 3600 * SECOND]


def test_texts_stay_texts_where_that_is_said(tmp_path: Path) -> None:
    path = csv(tmp_path, "time,code,mixed\n2024-05-14T01:00:00Z,007,1\n2024-05-14T01:00:01Z,012,x\n")
    table = read_table(path, texts=["code", "mixed"])
    assert table["code"].to_pylist() == ["007", "012"]
    assert table["mixed"].to_pylist() == ["1", "x"]


@pytest.mark.parametrize(
    ("text", "options", "said"),
    [
        ("a,b\n1,2\n", {}, "which column is the time.*0 hold timestamps.*a, b"),
        ("a,b\n2024-01-01T00:00:00Z,2024-01-01T00:00:00Z\n", {}, "2 hold timestamps.*say --time"),
        ("a,b\n1,2\n", {"time": "c"}, "no column 'c'; there are a, b"),
        ("a,b\n1,2\n", {"time": "a"}, "holds numbers; say --unit"),
        ("time,b\n1.5,2\n", {}, "holds numbers; say --unit"),
        ("time,b\n1.5,2\n", {"unit": "ns"}, "no number of ns"),
        ("time,b\n1,2\n", {"unit": "h"}, "unit 'h' is none of s, ms, us, ns"),
        ("time,b\n99999999999999,2\n", {"unit": "s"}, "no number of s"),
        ("time,b\n2024-01-01 00:00:00,2\n", {}, "no time zone; say which it is, such as --tz"),
        ("time,b\n2024-01-01 00:00:00,2\n", {"tz": "Nowhere"}, "'Nowhere' is no time zone"),
        ("time,b\n2024-03-31 02:30:00,2\n", {"tz": "Europe/Berlin"}, "row 0: 2024-03-31 02:30:00 comes twice or never"),
        ("time,b\n2024-10-27 02:30:00,2\n", {"tz": "Europe/Berlin"}, "comes twice or never"),
        ("time,b\n2024-01-01 00:00:00,2\n2024-01-01 00:00:00Z,2\n", {}, "cannot be read as times"),
        ("time,b\n14/05/2024 10:00,2\n", {}, "cannot be read as times.*ISO 8601"),
        ("time,b\n2024-01-01T00:00:00Z,2\n,3\n", {}, "no stamp in 1 rows"),
        ("time,b,b\n2024-01-01T00:00:00Z,2,3\n", {}, "named twice"),
        ("time,b,c\n2024-01-01T00:00:00Z,2,2024-01-01T00:00:00Z\n", {"time": "c"}, "--without time"),
        ("time,b\n2024-01-01T00:00:00Z,2\n", {"without": ["time"], "time": "time"}, "no column beside the time"),
        ("time,b\n2024-01-01T00:00:00Z,2\n2024-01-01T00:00:01Z,two\n", {}, "1 numbers and 1 texts, such as 'two'"),
    ],
)
def test_what_other_options_could_mend_is_a_matter_of_usage(
    tmp_path: Path, text: str, options: dict[str, Any], said: str
) -> None:
    with pytest.raises(UsageError, match=said):
        read_table(csv(tmp_path, text), **options)


def test_floats_of_a_parquet_file_are_no_stamps(tmp_path: Path) -> None:
    path = parquet(tmp_path, time=[1715648400.1], v=[1])
    with pytest.raises(UsageError, match="say --unit"):
        read_table(path)
    with pytest.raises(UsageError, match="nobody knows the nanoseconds"):
        read_table(path, unit="s")
    with pytest.raises(UsageError, match="is bool"):
        read_table(parquet(tmp_path, time=[True], v=[1]))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty"),
        (b"\0\1\2" * 99, "is not text"),
        (b"PAR1 and no more", "begins as Parquet does"),
        (b"hello\nworld\n", "neither Parquet nor CSV with commas: its first line is 'hello'"),
        (b"time;v\n2024-01-01T00:00:00Z;1\n", "its first line is 'time;v'"),
        (b"time,v\n1,2,3\n", "Expected 2 columns, got 3"),
        ("time,速度\n2024-01-01T00:00:00Z,1\n".encode("cp932"), "UTF-8"),
        ("time,v\n2024-01-01T00:00:00Z,é\n".encode("latin1"), "UTF-8|UTF8"),
        (b"time,v\n", "has no rows"),
    ],
)
def test_what_is_neither_parquet_nor_csv_says_what_it_looks_like(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    with pytest.raises(IntdashError, match=said) as caught:
        read_table(path)
    assert not isinstance(caught.value, UsageError)
