"""What is learnt before the points: where they are, which signals, in how few words they can be asked for."""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd
import pytest

import intdash_frames as idf
from intdash_frames import DataType, UsageError
from intdash_frames.codecs.series import Series
from intdash_frames.frames.survey import MOST_IDS, Survey, patterns_for
from tests.frames.stored import BASETIME_NS, can_row, float_row, int_row


def survey_of(frames: idf.Frames) -> Survey:
    return Survey(frames._connection, frames._query)


def series(kind: int, channel: int, data_id: str) -> Series:
    return Series("", kind, channel, data_id, str(kind))


STORED = [series(11, 1, "a"), series(11, 1, "b"), series(11, 2, "a"), series(1, 1, "0000014a")]


@pytest.mark.parametrize(
    ("wanted", "texts"),
    [
        (STORED, ["11:*/*", "1:*/*"]),
        (STORED[:3], ["11:*/*"]),
        (STORED[:2], ["11:1/*"]),
        (STORED[:1], ["11:1/a"]),
        (STORED[1:3], ["11:1/b", "11:2/*"]),
        ([], []),
    ],
)
def test_what_is_wanted_whole_is_asked_for_whole(wanted: list[Series], texts: list[str]) -> None:
    assert [each.text for each in patterns_for(wanted, STORED)] == texts


def test_more_ids_than_a_request_can_hold_are_asked_for_by_their_channels() -> None:
    many = [series(11, number % 3, f"s{number}") for number in range(4 * MOST_IDS)]
    assert [each.text for each in patterns_for(many[1:], many)] == ["11:1/*", "11:2/*", "11:0/*"]
    wide = [series(11, number, f"s{each}") for number in range(2 * MOST_IDS) for each in "ab"]
    assert [each.text for each in patterns_for(wide[::2], wide)] == ["11:*/*"]


def test_several_measurements_are_read_only_where_they_are(client: idf.Client, make: Callable[..., str]) -> None:
    first, second = make([float_row(0, 1.0), float_row(5000, 1.0)]), make([float_row(0, 1.0)], basetime_ns=BASETIME_NS + 10**9)
    bounds = {"start": "2020-01-01T00:00:00Z", "end": pd.Timestamp(BASETIME_NS + 10**9 + 500, tz="UTC")}
    spans = [(each.name, each.start_ns, each.end_ns) for each in survey_of(client.frames([second, first], **bounds)).ranges]
    assert spans[0] == (first, BASETIME_NS, BASETIME_NS + 6000)
    assert spans[1] == (second, BASETIME_NS + 10**9, BASETIME_NS + 10**9 + 500)


def test_the_selected_series_are_known(client: idf.Client, make: Callable[..., str]) -> None:
    uuid = make([float_row(0, 1.0), int_row(1, 2), can_row(2, 0x1A0)])
    survey = survey_of(client.frames(uuid, ["float:*/*", "0000*"]))
    assert survey.series is not None
    assert {(each.data_type, each.data_id) for each in survey.series} == {(DataType.float, "speed"), (DataType.can, "000001a0")}
    assert survey.shape is not None
    assert survey.shape.kinds == (DataType.can, DataType.float)


def test_of_labels_nothing_is_known(client: idf.Client, make: Callable[..., str]) -> None:
    survey = survey_of(client.frames(make([float_row(0, 1.0)]), labels=["x"]))
    assert (survey.series, survey.shape) == (None, None)


def test_a_name_that_the_server_does_not_know_is_refused(client: idf.Client, make: Callable[..., str]) -> None:
    uuid = make([float_row(0, 1.0)])
    survey_of(client.frames(uuid, "float:1/speed")).check_names()
    survey_of(client.frames(uuid, "float:1/spe*e")).check_names()
    with pytest.raises(UsageError, match="no signal 'float:1/spede'"):
        survey_of(client.frames(uuid, "float:1/spede")).check_names()
