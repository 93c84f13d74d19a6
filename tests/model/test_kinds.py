from __future__ import annotations

from typing import Any

import pytest

from intdash_frames.errors import UsageError
from intdash_frames.model.kinds import BasetimeType, DataType, EdgeType, basetime_type_name, member


@pytest.mark.parametrize("value", ["ntp", 2, BasetimeType.ntp])
def test_a_base_time_type_is_named_however_it_is_given(value: Any) -> None:
    assert basetime_type_name(value) == "ntp"


@pytest.mark.parametrize("value", ["NTP", 9, True, None, "undefined"])
def test_an_unknown_base_time_type_is_refused(value: Any) -> None:
    with pytest.raises(UsageError, match="one of edge_rtc, ntp"):
        basetime_type_name(value)


def test_a_value_that_is_not_in_the_set_passes_through() -> None:
    assert member(DataType, 17) is DataType.h265
    assert member(DataType, 99) == 99
    assert member(EdgeType, "robot") == "robot"
