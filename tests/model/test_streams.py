from __future__ import annotations

import pandas as pd

from intdash_frames import data
from intdash_frames.model import NULL_UUID, DataFilter, DataType, DownstreamSpec, Unit, UpstreamSpec

UUID = "414c343c-1e2f-7ed4-c2ce-78e57311d8a3"


def test_a_unit_prints_where_it_stands_and_what_it_holds() -> None:
    unit = Unit(pd.Timedelta("1s"), 2, data.Int(data_id="x", value=-5), UUID)
    assert (
        str(unit) == f"elapsed_time: 0 days 00:00:01\nchannel: 2\nmeasurement_uuid: {UUID}\ndata_type: int\ndata_id: x\nvalue: -5"
    )


def test_units_are_equal_if_their_content_is() -> None:
    first, second = (Unit(pd.Timedelta("1s"), 1, data.Float(data_id="x", value=float("nan"))) for _ in range(2))
    assert first == second
    assert first != Unit(pd.Timedelta("1s"), 1, data.Float(data_id="x", value=0.0))
    assert first.measurement_uuid is None


def test_specs_ask_for_nothing_that_was_not_said() -> None:
    up = UpstreamSpec(UUID)
    assert (up.dst_edge_uuids, up.resend, up.store, up.measurement_uuid) == (None, False, False, NULL_UUID)
    filters = [DataFilter(DataType.can, 1)]
    down = DownstreamSpec(UUID, filters)
    assert (down.filters, down.dst_edge_uuid, filters[0].data_id) == (filters, NULL_UUID, None)
    assert UpstreamSpec(UUID, [UUID], True, True, UUID) == UpstreamSpec(
        src_edge_uuid=UUID, dst_edge_uuids=[UUID], resend=True, store=True, measurement_uuid=UUID
    )
