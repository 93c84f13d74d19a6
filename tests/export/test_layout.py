from __future__ import annotations

import itertools
import json

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from intdash_frames.codecs.points import Points, name_points
from intdash_frames.codecs.series import Series, SeriesTable
from intdash_frames.codecs.table import LAYOUTS
from intdash_frames.export.layout import (
    META_KEY,
    groups_of,
    metadata_of,
    schema_of,
    table_of,
)
from intdash_frames.frames.attributes import ATTRS_KEY
from intdash_frames.model import DataType
from tests.frames.stored import golden_rows


def all_points(keys: SeriesTable | None = None) -> Points:
    rows = golden_rows()
    payloads = [row.payload for row in rows]
    offsets = np.concatenate([[0], np.cumsum([len(each) for each in payloads])]).astype(np.int32)
    times, channels, types = (np.asarray([getattr(row, name) for row in rows]) for name in ("elapsed_ns", "channel", "data_type"))
    return name_points(times, channels, types, np.frombuffer(b"".join(payloads), np.uint8), offsets, "m", keys)


@pytest.mark.parametrize("data_type", sorted(LAYOUTS))
def test_a_schema_has_the_columns_of_its_layout_and_the_payload(data_type: int) -> None:
    schema = schema_of(DataType(data_type))
    assert set(LAYOUTS[data_type].schema.names) <= set(schema.names)
    assert schema.names.count("payload") == 1
    assert schema.field("payload").type == pa.binary()


def test_tables_of_all_types_have_their_schema_and_every_payload() -> None:
    points = all_points()
    rows = 0
    for (_, kind), wanted in groups_of(points.keys, [points]).items():
        table, _ = table_of([points], wanted, kind)
        mine = np.flatnonzero(wanted[points.series])
        assert table.schema.equals(schema_of(kind), check_metadata=True)
        assert table["payload"].to_pylist() == [points.payload(row) for row in mine.tolist()]
        rows += len(table)
    assert rows == len(points)


@given(cuts=st.lists(st.integers(0, 80), max_size=8), strangers=st.integers(0, 3))
def test_a_table_does_not_depend_on_batches_and_on_what_was_read_before(cuts: list[int], strangers: int) -> None:
    keys = SeriesTable()
    for number in range(strangers):
        keys.code(Series("m", int(DataType.float), 1, f"z{number}", "11"))
    one, other = all_points(), all_points(keys)
    bounds = sorted({0, len(other), *(min(each, len(other)) for each in cuts)})
    parts = [other.slice(start, stop) for start, stop in itertools.pairwise(bounds)]
    wanted = {name: (table_of([one], mask, name[1]), name) for name, mask in groups_of(one.keys, [one]).items()}
    for name, mask in groups_of(keys, parts).items():
        (table, odd), _ = wanted[name]
        mine, mine_odd = table_of(parts, mask, name[1])
        assert mine_odd == odd
        assert mine.to_pydict().keys() == table.to_pydict().keys()
        for column in table.column_names:
            # chunk for chunk and, for ids, dictionary for dictionary: the bytes of a file depend on both
            assert mine[column].num_chunks == table[column].num_chunks == 1
            if pa.types.is_dictionary(table[column].type):
                assert mine[column].chunk(0).dictionary == table[column].chunk(0).dictionary
                assert mine[column].chunk(0).indices == table[column].chunk(0).indices


def test_payloads_that_do_not_fit_are_counted_and_kept() -> None:
    points = all_points()
    counts = {kind: table_of([points], wanted, kind)[1] for (_, kind), wanted in groups_of(points.keys, [points]).items()}
    assert counts[DataType.float] > 0
    assert counts[200] == 0


def test_what_a_file_says_of_itself_is_read_by_pandas_and_by_people() -> None:
    said = metadata_of(DataType.can, version="1", url="http://x", query={"signals": []}, measurement={"uuid": "m"})
    assert json.loads(said[ATTRS_KEY])["intdash"]["data_type"] == "can"
    assert json.loads(said[META_KEY])["measurement"] == {"uuid": "m"}
