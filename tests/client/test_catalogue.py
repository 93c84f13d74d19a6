from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from intdash_frames import model
from intdash_frames.client.catalogue import frame_of, listing
from intdash_frames.client.connection import Connection
from intdash_frames.errors import UsageError
from intdash_frames.protocol import endpoints

GOLDEN = json.loads((Path(__file__).parents[2] / "fixtures" / "golden" / "rest_requests.json").read_text())
ANSWERS = {case["name"]: case.get("response_json") for case in GOLDEN["cases"]}

LISTS = {
    "edges_list_all": endpoints.EDGES_LIST,
    "measurements_list_all": endpoints.MEASUREMENTS_LIST,
    "basetimes_list": endpoints.BASETIMES_LIST,
    "markers_list": endpoints.MARKERS_LIST,
    "signals_list_all": endpoints.SIGNALS_LIST,
    "captures_list": endpoints.CAPTURES_LIST,
}


@pytest.mark.parametrize("name", LISTS)
def test_recorded_lists_become_frames_without_losing_a_value(name: str) -> None:
    endpoint = LISTS[name]
    assert endpoint.item is not None
    records = endpoint.items(ANSWERS[name])
    frame = frame_of(records, endpoint.item)
    assert len(frame) == len(records) > 0
    for row, record in enumerate(records):
        for column in frame.columns:
            value, cell = getattr(record, column), frame[column][row]
            shown = value.name if isinstance(value, model.BasetimeType) else value
            assert pd.isna(cell) if shown is None else cell == shown
    empty = frame_of([], endpoint.item)
    assert empty.dtypes.to_dict() == frame.dtypes.to_dict()


def test_iterator_must_be_a_flag(connection: Connection) -> None:
    with pytest.raises(UsageError, match="iterator=2"):
        listing(connection, endpoints.EDGES_LIST, iterator=2)  # type: ignore[arg-type]
