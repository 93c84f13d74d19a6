"""Signal definitions: which bytes of which points a label stands for, and how the server converts them.

Source: protocol 2.6.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Final

from intdash_frames.model.form import DATA_TYPE, INTEGER, MOMENT, NUMBER, Form, Record, dump, load
from intdash_frames.model.kinds import ConversionType, DataType, member

if TYPE_CHECKING:
    import pandas as pd

# The outer id of a point that stands for a failed conversion; never the inner one, which is the user's to choose (protocol 3.5).
ERROR_ID: Final = "intdash/measurement/get/data/error"


class Conversion(Record):
    """How the server turns a payload into a value; one class per `ConversionType` (protocol 2.6)."""

    __slots__ = ()

    type: ClassVar[ConversionType]


@dataclass(frozen=True, slots=True)
class ConversionNone(Conversion):
    """No conversion."""

    type: ClassVar[ConversionType] = ConversionType.none


@dataclass(frozen=True, slots=True)
class ConversionJSON(Conversion):
    """One field of a JSON text; `value_type` is ``"str"`` or ``"num"``."""

    type: ClassVar[ConversionType] = ConversionType.json
    fieldpath: str
    value_type: str


@dataclass(frozen=True, slots=True)
class ConversionCSV(Conversion):
    """One cell of a separated text, counted from 0; `value_type` is ``"str"`` or ``"num"``."""

    type: ClassVar[ConversionType] = ConversionType.csv
    delimiters: list[str]
    index: int
    value_type: str


@dataclass(frozen=True, slots=True)
class ConversionNumFloatingPoint(Conversion):
    """A float of `precision` 32 or 64 bits at a byte."""

    type: ClassVar[ConversionType] = ConversionType.num_floating_point
    startbyte: int
    endian: str
    precision: int


@dataclass(frozen=True, slots=True)
class ConversionNumFixedPoint(Conversion):
    """An integer cut out of bits, times `scale`, plus `offset`."""

    type: ClassVar[ConversionType] = ConversionType.num_fixed_point
    startbit: int
    bitsize: int
    endian: str
    sign: str
    scale: float
    offset: float


@dataclass(frozen=True, slots=True)
class ConversionSubString(Conversion):
    """Some bytes as text."""

    type: ClassVar[ConversionType] = ConversionType.sub_string
    startbyte: int
    bytesize: int


@dataclass(frozen=True, slots=True)
class ConversionSubBytes(Conversion):
    """Some bytes."""

    type: ClassVar[ConversionType] = ConversionType.sub_bytes
    startbyte: int
    bytesize: int


CONVERSIONS: Final = {
    cls.type: cls
    for cls in (
        ConversionNone,
        ConversionJSON,
        ConversionCSV,
        ConversionNumFloatingPoint,
        ConversionNumFixedPoint,
        ConversionSubString,
        ConversionSubBytes,
    )
}


def _read_conversion(value: Any, _: Mapping[str, Any]) -> Any:
    cls = CONVERSIONS.get(member(ConversionType, value.get("type"))) if isinstance(value, Mapping) else None
    return value if cls is None else load(cls, value.get("options") or {})


def _write_conversion(value: Any) -> Any:
    return {"type": value.type.value, "options": dump(value)} if isinstance(value, Conversion) else value


CONVERSION: Final = {"form": Form(_read_conversion, _write_conversion, "object")}


@dataclass(frozen=True, slots=True)
class Display(Record):
    """How a signal is shown; `format` is of the printf kind (protocol 2.6)."""

    unit: str
    min: float = field(metadata=NUMBER)
    max: float = field(metadata=NUMBER)
    format: str


DISPLAY: Final = {
    "form": Form(
        lambda value, _: load(Display, value) if isinstance(value, Mapping) else None,
        lambda value: dump(value) if isinstance(value, Display) else value,
        "object",
    )
}


@dataclass(frozen=True, slots=True)
class Signal(Record):
    """A server side rule that turns payloads into physical values under a label (protocol 2.6)."""

    uuid: str
    label: str
    description: str
    data_type: DataType | int = field(metadata=DATA_TYPE)
    data_id: str
    channel: int = field(metadata=INTEGER)
    conversion: Conversion = field(metadata=CONVERSION)
    display: Display = field(metadata=DISPLAY)
    hash: str
    created_at: pd.Timestamp | None = field(metadata=MOMENT)
    updated_at: pd.Timestamp | None = field(metadata=MOMENT)
