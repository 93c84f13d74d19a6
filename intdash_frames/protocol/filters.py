"""What a downstream carries: the filters that users write -> those of the wire, and whether a series of points passes them.

What protocol 8.9 leaves open is decided here:

- A downstream without data filters carries nothing. The vendor's SDK sends an empty list when it has closed a stream.
- Data filters of one type and channel add up: a series passes if one of them lets it pass.
- Of the rules of a data filter the first that matches decides, by its flag `accept`; a series that none matches does not pass.
- The empty label is every id: the only sample that uses it means that.
- Base times pass every filter that is not empty (protocol 5.8).

Source: protocol 5.3, 5.8, 5.10 and 6.1.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from intdash_frames import model
from intdash_frames.errors import UsageError
from intdash_frames.model import DataType
from intdash_frames.protocol.elements import FILTER_ITEMS, DataFilter, MaskRule
from intdash_frames.protocol.wire import U8, Field, Fixed, Record

__all__ = ["FilterSet", "wire_filters"]


def _mask_bytes() -> dict[int, int]:
    found = {}
    for data_type, item in FILTER_ITEMS.items():
        mask = item.parts[0] if isinstance(item, Record) else None
        if isinstance(mask, Field) and isinstance(mask.kind, Fixed):
            found[int(data_type)] = mask.kind.size
    return found


# Size of the id in a rule [byte], of the types whose rules are masks.
MASK_BYTES: Final = _mask_bytes()
LABELLED: Final = frozenset(map(int, FILTER_ITEMS)) - MASK_BYTES.keys()


def wire_filters(filters: Iterable[model.DataFilter]) -> tuple[DataFilter, ...]:
    """Write filters as a request carries them.

    Parameters
    ----------
    filters : iterable of intdash_frames.DataFilter

    Returns
    -------
    tuple of DataFilter
        One for each type and channel, in the order in which they appear, each with one exact rule or label for each id.
        Without rules, which is every id, where no id was given or the type has no rules. Ids win over "every id" of the same type
        and channel.

    Raises
    ------
    UsageError
        If a filter cannot work; its position is named and nothing was sent.
    """
    groups: dict[tuple[int, int], dict[MaskRule | str, None]] = {}
    if isinstance(filters, model.DataFilter) or not isinstance(filters, Iterable):
        raise UsageError(f"filters is {type(filters).__name__}, expected a list of DataFilter")
    for row, each in enumerate(filters):
        if not isinstance(each, model.DataFilter):
            raise UsageError(f"filter {row} is {type(each).__name__}, expected DataFilter")
        data_type, channel = _type_number(row, each.data_type), _byte(row, "channel", each.channel)
        rules = groups.setdefault((data_type, channel), {})
        if each.data_id is not None:
            if not isinstance(each.data_id, str):
                raise UsageError(f"filter {row}: data_id={each.data_id!r} is no text; give one such as '0000014a', or None")
            if data_type in FILTER_ITEMS:
                rules[_rule(row, data_type, each.data_id)] = None
        if len(rules) > U8.largest:
            raise UsageError(
                f"filter {row} is id number {len(rules)} of type {data_type} on channel {channel}; the limit is {U8.largest}. "
                "data_id=None asks for every id"
            )
    return tuple(
        DataFilter(channel, data_type, tuple(rules) or None)  # type: ignore[arg-type]
        for (data_type, channel), rules in groups.items()
    )


class FilterSet:
    """The data filters of one downstream, ready to be asked about series.

    Parameters
    ----------
    data_filters : iterable of DataFilter
        As they came.
    """

    def __init__(self, data_filters: Iterable[DataFilter] = ()) -> None:
        self._filters: dict[tuple[int, int], list[DataFilter]] = {}
        for each in data_filters:
            self._filters.setdefault((each.data_type, each.channel), []).append(each)

    def __bool__(self) -> bool:
        return bool(self._filters)

    def matches(self, data_type: int, channel: int, data_id: str) -> bool:
        """Say whether a series passes.

        Parameters
        ----------
        data_type, channel : int
        data_id : str
            As points show it (protocol 6.1), or the label of a converted signal.
        """
        if data_type == DataType.basetime:
            return bool(self)
        return any(_passes(each, data_id) for each in self._filters.get((data_type, channel), ()))


def _passes(each: DataFilter, data_id: str) -> bool:
    # a body of a type that has no rules says nothing that we know, so it narrows nothing
    if each.rules is None or isinstance(each.rules, bytes):
        return True
    if each.data_type in LABELLED:
        return data_id in each.rules or "" in each.rules
    number = _number(each.data_type, data_id)
    if number is None:
        return False
    for rule in each.rules:
        if isinstance(rule, MaskRule) and _matches(rule, number):
            return rule.accept
    return False


def _matches(rule: MaskRule, number: bytes) -> bool:
    return bytes(a & b for a, b in zip(number, rule.mask, strict=True)) == rule.result


def _rule(row: int, data_type: int, data_id: str) -> MaskRule | str:
    if data_type in LABELLED:
        try:
            size = len(data_id.encode())
        except UnicodeEncodeError as exc:
            raise UsageError(f"filter {row}: data_id={data_id!r} cannot be written in UTF-8: {exc.reason}") from exc
        if size > U8.largest:
            raise UsageError(
                f"filter {row}: data_id={data_id[:20] + '...'!r} has {size} bytes of UTF-8; the limit is {U8.largest}"
            )
        return data_id
    number = _number(data_type, data_id)
    if number is None:
        size = MASK_BYTES[data_type]
        expected = f"{size} bytes, such as 'GPRMC'" if data_type == DataType.nmea else f"1 to {2 * size} hexadecimal digits"
        raise UsageError(
            f"filter {row}: data_id={data_id!r} is no id of {DataType(data_type).name}; expected {expected}, or None for every id"
        )
    return MaskRule(b"\xff" * len(number), number)


def _number(data_type: int, data_id: str) -> bytes | None:
    """An id as its rule has it: in the order of the text for NMEA, a little-endian number else; None if it is none."""
    size = MASK_BYTES[data_type]
    if data_type == DataType.nmea:
        octets = data_id.encode(errors="surrogatepass")
        return octets.ljust(size, b"\0") if len(octets) <= size else None
    if not _HEXADECIMAL.fullmatch(data_id) or len(data_id) > 2 * size:
        return None
    return int(data_id, 16).to_bytes(size, "little")


_HEXADECIMAL: Final = re.compile("[0-9a-fA-F]+")


def _type_number(row: int, data_type: DataType | int | str) -> int:
    if isinstance(data_type, str):
        if data_type not in DataType.__members__:
            raise UsageError(
                f"filter {row}: data_type={data_type!r}; expected a number or one of {', '.join(DataType.__members__)}"
            )
        return int(DataType[data_type])
    return _byte(row, "data_type", data_type)


def _byte(row: int, name: str, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= U8.largest:
        raise UsageError(f"filter {row}: {name}={value!r}; expected 0 to {U8.largest}")
    return int(value)
