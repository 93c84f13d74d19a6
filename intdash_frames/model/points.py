"""Points in the vendor's vocabulary, and the names of their series.

Source: protocol 3.1 and 3.3.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from intdash_frames.errors import UsageError
from intdash_frames.model.form import DATA_TYPE, INTEGER, MOMENT, OBJECT, SPAN, Record
from intdash_frames.model.kinds import DataType, member

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True)
class DataPoint(Record):
    """A point to store: when it was since the base time, what kind it is, and its payload."""

    elapsed_time: pd.Timedelta = field(metadata=SPAN)
    data_type: DataType | int = field(metadata=DATA_TYPE)
    channel: int = field(metadata=INTEGER)
    data_payload: bytes = field(metadata=OBJECT)


@dataclass(frozen=True, slots=True)
class DataResponse(Record):
    """A stored point. `data_type` is text where the server sent no number, `channel` None where the id has none."""

    time: pd.Timestamp = field(metadata=MOMENT)
    measurement_uuid: str
    data_type: DataType | int | str = field(metadata=DATA_TYPE)
    data_id: str
    channel: int | None = field(metadata=INTEGER)
    data_payload: bytes = field(metadata=OBJECT)

    def __str__(self) -> str:
        # The vendor's tutorial prints the channel first; the order of its arguments is the other one.
        names = ("time", "measurement_uuid", "data_type", "channel", "data_id", "data_payload")
        return "\n".join(f"{name}: {getattr(self, name)}" for name in names)


@dataclass(frozen=True, slots=True)
class IdQuery(Record):
    """Which points to read: any part may be ``"*"`` (protocol 3.1)."""

    data_type: DataType | int | str = "*"
    channel: int | str = "*"
    data_id: str = "*"

    @property
    def text(self) -> str:
        """The form of the wire, ``"1:2/00000001"``.

        Raises
        ------
        UsageError
            If a part cannot be asked for.
        """
        data_type = self.data_type
        if isinstance(data_type, str):
            data_type = DataType.__members__.get(data_type, data_type)
        if not isinstance(self.data_id, str):
            raise UsageError(f"IdQuery: data_id={self.data_id!r} is no text; give one such as '00000001', or '*'")
        # always the number: str() of an enumeration member differs between versions of Python
        return f"{_part('data_type', data_type)}:{_part('channel', self.channel)}/{self.data_id}"


def _part(name: str, value: Any) -> str:
    if value == "*" and isinstance(value, str):
        return "*"
    number = int(value) if isinstance(value, str) and value.isascii() and value.isdigit() else value
    if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number <= 255:
        names = f", a name such as {DataType.can.name!r}" if name == "data_type" else ""
        raise UsageError(f"IdQuery: {name}={value!r}; expected 0 to 255{names} or '*'")
    return str(int(number))


class SignalKey(NamedTuple):
    """What a series of points is called.

    Examples
    --------
    >>> key = SignalKey.parse("can:1/000001a0")
    >>> key.data_type is DataType.can, key.channel, key.data_id, str(key)
    (True, 1, '000001a0', 'can:1/000001a0')
    """

    data_type: DataType | int | str
    channel: int | None
    data_id: str

    def __str__(self) -> str:
        kind = self.data_type.name if isinstance(self.data_type, DataType) else self.data_type
        return f"{kind}:{'-' if self.channel is None else self.channel}/{self.data_id}"

    @classmethod
    def parse(cls, text: str) -> SignalKey:
        """Read ``"type:channel/data_id"``; the type is a name or a number, the channel ``-`` where a point has none.

        Raises
        ------
        UsageError
            If the text has another form.
        """
        kind, colon, rest = text.partition(":")
        channel, slash, data_id = rest.partition("/")
        if not (kind and colon and slash and (channel == "-" or (channel.isascii() and channel.isdigit()))):
            raise UsageError(f"{text!r} names no signal; expected 'type:channel/data_id' such as 'can:1/000001a0'")
        data_type: DataType | int | str = DataType.__members__.get(kind, kind)
        if kind.isascii() and kind.isdigit():
            data_type = member(DataType, int(kind))
        return cls(data_type, None if channel == "-" else int(channel), data_id)
