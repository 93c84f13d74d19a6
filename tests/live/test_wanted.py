"""Signals that a user names -> filters: nothing that is wanted is left out."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from intdash_frames.codecs.series import Series
from intdash_frames.frames.selection import select
from intdash_frames.live.wanted import filters_of
from intdash_frames.model import DataFilter, DataType
from intdash_frames.protocol.filters import FilterSet, wire_filters

kinds = st.sampled_from([kind for kind in DataType if kind is not DataType.basetime])
ids = st.sampled_from(["speed", "000001a0", "0001", "GPRMC", "jpeg", "s*", "*", "0000*"])
patterns = st.builds(
    lambda kind, channel, data_id: f"{kind}:{channel}/{data_id}",
    kinds.map(lambda kind: kind.name) | st.just("*"),
    st.integers(0, 3).map(str) | st.just("*"),
    ids,
) | st.sampled_from(["speed", "sp*"])


def expressible(pattern: str) -> bool:
    """Whether its id can be one of its type."""
    try:
        wire_filters(filters_of(select(pattern)))
    except ValueError:
        return False
    return True


@settings(deadline=None, max_examples=50)
@given(st.lists(patterns.filter(expressible), max_size=4), kinds, st.integers(0, 3), ids)
def test_whatever_is_selected_passes_the_filters(signals, kind, channel, data_id):
    selection = select(signals or None)
    series = Series("", int(kind), channel, data_id, str(int(kind)))
    if selection.keeps(series):
        assert FilterSet(wire_filters(filters_of(selection))).matches(int(kind), channel, data_id)


def test_a_plain_signal_is_one_exact_filter():
    assert filters_of(select("float:1/speed")) == [DataFilter(DataType.float, 1, "speed")]


def test_everything_of_a_type_wins_over_single_ids_of_it():
    assert filters_of(select(["float:1/speed", "float:1/s*"])) == [DataFilter(DataType.float, 1)]


def test_more_ids_than_a_filter_has_rules_become_all_of_them():
    few, many = ([f"float:1/s{number}" for number in range(count)] for count in (255, 256))
    assert len(filters_of(select(few))) == 255
    assert filters_of(select(many)) == [DataFilter(DataType.float, 1)]


def test_nothing_selected_is_every_type_on_every_channel():
    found = filters_of(select())
    assert len(found) == 256 * (len(DataType) - 1)
    assert len(wire_filters(found)) == len(found)


def test_an_id_that_no_point_of_the_type_can_have_is_refused():
    with pytest.raises(ValueError, match="no id of can"):
        wire_filters(filters_of(select("can:1/speed")))
