from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from intdash_frames.folder.cell import Cell
from intdash_frames.folder.names import PARTITIONS, file_path, folder_name, kind_name, number_of
from intdash_frames.model import DataType


@given(st.text(max_size=300))
def test_any_text_is_the_name_of_a_folder_and_no_way_out_of_it(text: str) -> None:
    name = folder_name("measurement", text)
    assert name.startswith("measurement=")
    assert name.isascii()
    assert "/" not in name
    assert "\\" not in name
    assert len(name) < 255


@given(st.lists(st.text(max_size=200), min_size=2, max_size=2, unique=True))
def test_two_texts_are_two_folders(texts: list[str]) -> None:
    assert folder_name("edge", texts[0]) != folder_name("edge", texts[1])


@pytest.mark.parametrize("kind", [*DataType, 0, 200, "string", "12", "new type"])
def test_a_data_type_is_found_again_by_its_name(kind: DataType | int | str) -> None:
    assert number_of(kind_name(kind)) == (None if isinstance(kind, str) else int(kind))


def test_the_path_of_a_part_says_where_it_is_from_and_sorts_by_time() -> None:
    first, second = Cell(18_452).halves
    paths = [file_path(edge="e/1", measurement="m", kind=DataType.can, cell=cell) for cell in (first, second)]
    assert paths[0] == "data_type=can/edge=e%2F1/date=2020-07-09/measurement=m/part-000000.000000000-01.parquet"
    assert paths[1].endswith("/part-120000.000000000-01.parquet")
    assert all(f"{name}=" in paths[0] for name in PARTITIONS)
