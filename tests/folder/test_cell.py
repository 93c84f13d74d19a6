from __future__ import annotations

from intdash_frames.folder.cell import Cell


def test_a_cell_is_made_of_its_halves_down_to_a_nanosecond() -> None:
    cell = Cell(18_452)
    while not cell.is_smallest:
        first, second = cell.halves
        assert (first.start_ns, first.end_ns, second.end_ns) == (cell.start_ns, second.start_ns, cell.end_ns)
        assert cell in first.around
        assert cell in second.around
        cell = second
    assert 1 <= cell.end_ns - cell.start_ns <= 2
