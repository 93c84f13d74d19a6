from __future__ import annotations

from intdash_frames import model
from intdash_frames.model.signals import CONVERSIONS


def test_there_is_a_class_for_each_kind_of_conversion() -> None:
    assert set(CONVERSIONS) == set(model.ConversionType)
    assert all(issubclass(cls, model.Conversion) and cls.type == kind for kind, cls in CONVERSIONS.items())


def test_a_conversion_of_a_newer_kind_passes_through() -> None:
    newer = {"type": "polynomial", "options": {"c": [1, 2]}}
    signal = model.load(model.Signal, {"conversion": newer, "data_type": 99})
    assert (signal.conversion, signal.data_type) == (newer, 99)
    assert model.dump(signal)["conversion"] == newer
