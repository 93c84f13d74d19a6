"""One class per data type, in the vendor's vocabulary: for a handful of points, or a unit of a stream.

Frames never pass through here; they are columns from end to end. Both read the same table, `codecs.table.LAYOUTS`: what stands
where in a payload is said there and nowhere else.

>>> Int(data_id="x", value=-5).to_payload().hex()
'0178fbffffffffffffff'
>>> print(CAN.from_payload(bytes.fromhex("4a0100000302ff80")))
data_type: can
data_id: 0000014a
data: 02 FF 80
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any, ClassVar, Self, TypeVar, dataclass_transform

from intdash_frames import timebase
from intdash_frames.errors import PayloadError, UsageError
from intdash_frames.model import BasetimeType, DataType

__all__ = [
    "AAC",
    "CAN",
    "H264",
    "H265",
    "JPEG",
    "NMEA",
    "PCM",
    "Basetime",
    "Bytes",
    "Controlpad",
    "Data",
    "Float",
    "GeneralSensor",
    "Generic",
    "Int",
    "Opaque",
    "RawData",
    "String",
    "ValueData",
    "from_any_payload",
    "type_to_data_class",
]

MAX_CAN_BYTES = 255  # the count of data bytes is one byte (protocol 6.2)
SHOWN_BYTES = 20
NS_PER_S = 1_000_000_000


T = TypeVar("T")


@dataclass_transform(frozen_default=True, eq_default=False, field_specifiers=(field,))
def _content(cls: type[T]) -> type[T]:
    return dataclass(frozen=True, slots=True, eq=False, repr=False)(cls)


class Data:
    """The content of one data point.

    Two are equal if they are of one class and make the same payload, so a NaN equals itself and -0.0 does not equal 0.0.
    """

    __slots__ = ()
    data_type: ClassVar[DataType]

    def to_payload(self) -> bytes:
        """Make the payload.

        Raises
        ------
        PayloadError
            If a value does not fit the layout of the data type.
        """
        # Not at the top: the table brings numba with it, and `import intdash_frames` has to stay light.
        from intdash_frames.codecs.payload import pack

        return pack(self.data_type, self._row())

    @classmethod
    def from_payload(cls, data_payload: bytes) -> Self:
        """Read a payload.

        Parameters
        ----------
        data_payload : bytes
            As `to_payload` makes it, or as a server gave it.

        Raises
        ------
        PayloadError
            If it does not fit the layout of the data type; nothing is guessed (protocol 6.1).
        """
        from intdash_frames.codecs.payload import unpack

        return cls._from_row(unpack(cls.data_type, data_payload))

    def _row(self) -> tuple[Any, ...]:
        """The values in the order of the payload."""
        return tuple(getattr(self, column.name) for column in _fields(self))

    @classmethod
    def _from_row(cls, row: tuple[Any, ...]) -> Self:
        return cls(*row)

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and other.to_payload() == self.to_payload()

    def __hash__(self) -> int:
        return hash((self.data_type, self.to_payload()))

    def __repr__(self) -> str:
        shown = ", ".join(f"{column.name}={_shortened(getattr(self, column.name))}" for column in _fields(self))
        return f"{type(self).__name__}({shown})"


class RawData(Data):
    """Content with an id and bytes."""

    __slots__ = ()

    def __str__(self) -> str:
        content: Any = self
        return f"data_type: {self.data_type.name}\ndata_id: {content.data_id}\ndata: {_shown(content.data)}"


class ValueData(RawData):
    """Content with a name of its own and a value."""

    __slots__ = ()

    def __str__(self) -> str:
        content: Any = self
        return f"data_type: {self.data_type.name}\ndata_id: {content.data_id}\nvalue: {content.value}"


@_content
class CAN(RawData):
    """A CAN frame (protocol 6.2).

    Parameters
    ----------
    decimal_id : int
        CAN id, 0 to 2**32 - 1.
    data : bytes
        At most 255 bytes.
    dlc : int, optional
        The count byte. Made from `data` if left out; some senders write another number there.
    """

    decimal_id: int
    data: bytes
    dlc: int | None = field(default=None, kw_only=True)
    data_type: ClassVar = DataType.can

    @property
    def data_id(self) -> str:
        """The CAN id, 8 hexadecimal digits."""
        return _number_id(self, self.decimal_id)

    def _row(self) -> tuple[Any, ...]:
        if self.dlc is None and len(self.data) > MAX_CAN_BYTES:
            raise PayloadError("can", f"{len(self.data)} data bytes; the limit is {MAX_CAN_BYTES}", data_id=self.data_id)
        return self.decimal_id, len(self.data) if self.dlc is None else self.dlc, self.data

    @classmethod
    def _from_row(cls, row: tuple[Any, ...]) -> Self:
        decimal_id, dlc, data = row
        return cls(decimal_id, data, dlc=dlc)


@_content
class NMEA(RawData):
    """A sentence, with or without its line end (protocol 6.3)."""

    string: str
    data_type: ClassVar = DataType.nmea

    @property
    def data_id(self) -> str:
        """Characters 1 to 5 of the sentence."""
        return self.string[1:6]

    @property
    def data(self) -> bytes:
        """The sentence in UTF-8."""
        return self.string.encode()

    @property
    def value(self) -> str:
        """The sentence."""
        return self.string


@_content
class GeneralSensor(RawData):
    """A sample of a sensor of a phone or the like; `data` is an array of i32 for the ids that are known (protocol 6.4)."""

    decimal_id: int
    data: bytes
    data_type: ClassVar = DataType.general_sensor

    @property
    def data_id(self) -> str:
        """The sensor id, 4 hexadecimal digits."""
        return _number_id(self, self.decimal_id)


@_content
class Controlpad(RawData):
    """State of a control pad (protocol 6.5)."""

    decimal_id: int
    data: bytes
    data_type: ClassVar = DataType.controlpad

    @property
    def data_id(self) -> str:
        """The id, 2 hexadecimal digits."""
        return _number_id(self, self.decimal_id)


@_content
class Generic(RawData):
    """Bytes of the user's own making, under a number (protocol 6.9)."""

    decimal_id: int
    data: bytes
    data_type: ClassVar = DataType.generic

    @property
    def data_id(self) -> str:
        """The id, 8 hexadecimal digits."""
        return _number_id(self, self.decimal_id)


@_content
class JPEG(RawData):
    """A picture: the whole file."""

    data: bytes
    data_type: ClassVar = DataType.jpeg
    data_id: ClassVar[str] = "jpeg"


@_content
class H264(RawData):
    """A piece of H.264 video. Type ids: 0 IDR frame, 1 other frame, 8 parameter sets, 9 SEI (protocol 6.7)."""

    type_id: int
    data: bytes
    data_type: ClassVar = DataType.h264

    @property
    def data_id(self) -> str:
        """The type id, 2 hexadecimal digits."""
        return _number_id(self, self.type_id)


@_content
class H265(RawData):
    """A piece of H.265 video, laid out like `H264`; the vendor's SDK has no class for it."""

    type_id: int
    data: bytes
    data_type: ClassVar = DataType.h265

    @property
    def data_id(self) -> str:
        """The type id, 2 hexadecimal digits."""
        return _number_id(self, self.type_id)


@_content
class AAC(RawData):
    """AAC sound: ADTS frames."""

    data: bytes
    data_type: ClassVar = DataType.aac
    data_id: ClassVar[str] = "aac"


@_content
class PCM(RawData):
    """Sound samples, interleaved as in a WAVE file (protocol 6.8).

    Parameters
    ----------
    format_id : int
        WAVE format tag: 1 integer, 3 float.
    channels : int
        Channels [count].
    sample_rate : int
        Samples a second [Hz].
    bit_per_sample : int
        Size of a sample of one channel [bit].
    data : bytes
        The samples.
    """

    format_id: int
    channels: int
    sample_rate: int
    bit_per_sample: int
    data: bytes
    data_type: ClassVar = DataType.pcm
    data_id: ClassVar[str] = "pcm"


@_content
class Float(ValueData):
    """A 64 bit float under a name; all bits survive, those of a NaN too (protocol 6.6)."""

    data_id: str
    value: float
    data_type: ClassVar = DataType.float

    @property
    def data(self) -> bytes:
        """The value as it stands in the payload: 8 bytes."""
        return self.to_payload()[-8:]


@_content
class String(ValueData):
    """Text under a name (protocol 6.6)."""

    data_id: str
    value: str
    data_type: ClassVar = DataType.string

    @property
    def data(self) -> bytes:
        """The text in UTF-8."""
        return self.value.encode()


@_content
class Int(ValueData):
    """A signed 64 bit whole number under a name (protocol 6.6)."""

    data_id: str
    value: int
    data_type: ClassVar = DataType.int

    @property
    def data(self) -> int:
        """The value; unlike that of `Float` not bytes, for so users of the vendor's SDK know it."""
        return self.value


@_content
class Bytes(ValueData):
    """Bytes under a name (protocol 6.6)."""

    data_id: str
    value: bytes
    data_type: ClassVar = DataType.bytes

    @property
    def data(self) -> bytes:
        """The value."""
        return self.value


@_content
class Basetime(Data):
    """The moment from which elapsed times count (protocol 6.12).

    Parameters
    ----------
    type : BasetimeType or int
        Where it comes from. A number without a name is kept as it is.
    basetime : pandas.Timestamp
        Or anything else that pandas takes as a moment with a zone; 1970 to 2106.
    """

    type: BasetimeType | int
    basetime: Any
    data_type: ClassVar = DataType.basetime

    def __str__(self) -> str:
        named = self.type.name if isinstance(self.type, BasetimeType) else self.type
        return f"data_type: {self.data_type.name}\ntype: {named}\nbasetime: {self.basetime}"

    def _row(self) -> tuple[Any, ...]:
        return self.type, *divmod(timebase.moment_ns(self.basetime, name="basetime"), NS_PER_S)

    @classmethod
    def _from_row(cls, row: tuple[Any, ...]) -> Self:
        number, seconds, nanos = row
        if nanos >= NS_PER_S:
            raise PayloadError("basetime", f"{nanos} nanoseconds; expected less than {NS_PER_S}")
        known = number in BasetimeType._value2member_map_
        return cls(BasetimeType(number) if known else number, timebase.timestamp(seconds * NS_PER_S + nanos))


@_content
class Opaque(RawData):
    """Content that nobody here can read: of a type without a class, or a payload that does not fit its type (protocol 6.1).

    Parameters
    ----------
    data_type : DataType, int or str
        Text where a newer server names a type by text.
    data_id : str
        As the point shows it; empty where it shows none.
    data : bytes
        The whole payload, as it came.
    reason : str
        Why it could not be read.
    """

    data_type: DataType | int | str  # type: ignore[assignment, misc]  # the one class whose type is not fixed
    data_id: str
    data: bytes
    reason: str = ""

    def to_payload(self) -> bytes:
        """The payload as it came."""
        return self.data

    def __str__(self) -> str:
        named = self.data_type.name if isinstance(self.data_type, DataType) else self.data_type
        return f"data_type: {named}\ndata_id: {self.data_id}\ndata: {_shown(self.data)}"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Opaque) and (self.data_type, self.data) == (other.data_type, other.data)

    def __hash__(self) -> int:
        return hash((self.data_type, self.data))


_CLASSES: dict[int, type[Data]] = {
    int(cls.data_type): cls
    for cls in (CAN, NMEA, GeneralSensor, Controlpad, JPEG, String, Float, Int, H264, Bytes, PCM, AAC, H265, Generic, Basetime)
}


def type_to_data_class(t: DataType | int) -> type[Data]:
    """Give the class of a data type.

    Parameters
    ----------
    t : DataType or int
        Data type, or its number.

    Raises
    ------
    UsageError
        If the payload of the type is opaque: there is nothing to make a class of.
    """
    found = _CLASSES.get(t)
    if found is None:
        raise UsageError(f"there is no data class for {t!r}; its payload stays bytes. Types with one: {sorted(_CLASSES)}")
    return found


def from_any_payload(data_type: DataType | int | str, data_payload: bytes, data_id: str = "") -> Data:
    """Read a payload of any type; what cannot be read is kept whole.

    Parameters
    ----------
    data_type : DataType, int or str
    data_payload : bytes
    data_id : str
        What the point is called, for one whose payload cannot be read.

    Returns
    -------
    Data
        Of the class of the type, or `Opaque`. In both cases ``to_payload()`` gives the payload back bit for bit.
    """
    found = _CLASSES.get(data_type) if isinstance(data_type, int) else None
    if found is None:
        return Opaque(data_type, data_id, data_payload, "there is no class for this data type")
    try:
        content = found.from_payload(data_payload)
    except PayloadError as exc:
        return Opaque(data_type, data_id, data_payload, exc.reason)
    return content


def _fields(content: Any) -> tuple[Any, ...]:
    return fields(content)


def _number_id(content: Data, number: int) -> str:
    """Hexadecimal, as wide as the number stands in the payload (protocol 6.1)."""
    from intdash_frames.codecs.table import layout_of

    return f"{number:0{2 * layout_of(content.data_type).id_width}x}"


def _shown(content: bytes) -> str:
    return content[:SHOWN_BYTES].hex(" ").upper() + (" ..." if len(content) > SHOWN_BYTES else "")


def _shortened(value: object) -> str:
    if isinstance(value, bytes | str) and len(value) > 4 * SHOWN_BYTES:
        return f"<{type(value).__name__} of length {len(value)}: {value[:SHOWN_BYTES]!r}...>"
    return repr(value)
