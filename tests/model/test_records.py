from __future__ import annotations

import inspect

import pytest

from intdash_frames import model

# Names and order of the vendor's constructors.
CONSTRUCTORS = {
    model.Edge: "uuid name description nickname type disabled created_at updated_at last_login_at",
    model.Measurement: "uuid name description edge_uuid duration basetime basetime_type ended processed_ratio protected "
    "created_at updated_at markers",
    model.MeasurementBasetime: "type basetime created_at updated_at",
    model.MeasurementMarker: "uuid name description type detail tag created_at created_by updated_at updated_by",
    model.MeasurementMarkerDetailPoint: "occurred_elapsed_time",
    model.MeasurementMarkerDetailRange: "start_elapsed_time end_elapsed_time",
    model.Capture: "uuid name description start duration edge_uuid shared created_at updated_at",
    model.Signal: "uuid label description data_type data_id channel conversion display hash created_at updated_at",
    model.Display: "unit min max format",
    model.ConversionNone: "",
    model.ConversionJSON: "fieldpath value_type",
    model.ConversionCSV: "delimiters index value_type",
    model.ConversionNumFloatingPoint: "startbyte endian precision",
    model.ConversionNumFixedPoint: "startbit bitsize endian sign scale offset",
    model.ConversionSubString: "startbyte bytesize",
    model.ConversionSubBytes: "startbyte bytesize",
    model.IdQuery: "data_type channel data_id",
    model.DataPoint: "elapsed_time data_type channel data_payload",
    model.DataResponse: "time measurement_uuid data_type data_id channel data_payload",
}


@pytest.mark.parametrize("record", CONSTRUCTORS, ids=lambda record: record.__name__)
def test_positions_and_names_are_the_vendors(record: type) -> None:
    assert list(inspect.signature(record).parameters) == CONSTRUCTORS[record].split()


def test_a_marker_of_a_newer_kind_keeps_its_detail() -> None:
    marker = model.load(model.MeasurementMarker, {"type": "polygon", "detail": {"points": [1]}})
    assert (marker.type, marker.detail) == ("polygon", {"points": [1]})
    assert model.dump(marker)["detail"] == {"points": [1]}


def test_unknown_keys_inside_a_detail_do_no_harm() -> None:
    marker = model.load(model.MeasurementMarker, {"type": "point", "detail": {"occurred_elapsed_time": 5, "elapsed_time": 5}})
    assert marker.detail.occurred_elapsed_time.value == 5000  # type: ignore[attr-defined]
    assert marker.detail.type is model.MeasurementMarkerType.point
