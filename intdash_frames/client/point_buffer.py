"""Data points one by one in, columns out: for calls whose users think in points."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd

from intdash_frames.codecs.points import Points
from intdash_frames.codecs.series import Series, SeriesTable
from intdash_frames.errors import PayloadError, UsageError
from intdash_frames.model import DataPoint
from intdash_frames.timebase import INT64_MAX, duration_ns, timedelta

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["PointBuffer"]

LARGEST_COLUMN: Final = 2**31 - 1


class PointBuffer:
    """Takes data points and gives them back as columns.

    What a point must not be is refused when it comes, by plain comparisons: this runs once for every point that is written.

    Parameters
    ----------
    measurement_uuid : str
        Of the series.
    longest_ns : int
        The longest elapsed time [ns].
    largest_bytes : int
        The largest payload [byte].

    Attributes
    ----------
    count : int
        Points so far [count].
    size_bytes : int
        Payloads so far [byte].
    """

    def __init__(self, measurement_uuid: str = "", *, longest_ns: int = INT64_MAX, largest_bytes: int = LARGEST_COLUMN) -> None:
        self._uuid, self._longest_ns, self._largest_bytes = measurement_uuid, longest_ns, largest_bytes
        self._keys = SeriesTable()
        self._code_of: dict[tuple[int, int], int] = {}
        self._clear()

    def add(self, point: DataPoint, row: int | None = None) -> None:
        """Take a point.

        Parameters
        ----------
        point : DataPoint
        row : int, optional
            What errors call it.

        Raises
        ------
        UsageError, PayloadError
            If it cannot be sent; nothing of it was taken.
        """
        if not isinstance(point, DataPoint):
            raise UsageError(f"{'it' if row is None else f'row {row}'} is {type(point).__name__}, expected DataPoint")
        self.add_parts(point.elapsed_time, point.data_type, point.channel, point.data_payload, row)

    def add_parts(self, elapsed_time: Any, data_type: Any, channel: Any, payload: Any, row: int | None = None) -> None:
        """Take a point in parts; as `add`."""
        try:
            elapsed_ns = elapsed_time.value if type(elapsed_time) is pd.Timedelta else duration_ns(elapsed_time)
        except (ValueError, OverflowError):  # say it again with the name of the row
            elapsed_ns = duration_ns(elapsed_time, name=f"{_row(row)}elapsed_time")
        if not 0 <= elapsed_ns <= self._longest_ns:
            raise UsageError(_off_time(row, elapsed_time, elapsed_ns, self._longest_ns))
        if type(payload) is not bytes:
            payload = _as_bytes(row, data_type, payload)
        if type(channel) is not int or not 0 <= channel <= 255:
            channel = _byte(row, "channel", channel)
        if not isinstance(data_type, int) or type(data_type) is bool:  # True would be found as 1
            data_type = _byte(row, "data_type", data_type)
        code = self._code_of.get((data_type, channel))
        if code is None:
            code = self._new_code(row, data_type, channel)
        if len(payload) > self._largest_bytes:
            raise UsageError(f"{_row(row)}the payload has {len(payload)} bytes; expected {self._largest_bytes} at most")
        self._elapsed_ns.append(elapsed_ns)
        self._codes.append(code)
        self._payloads.append(payload)
        self.count += 1
        self.size_bytes += len(payload)

    def take(self) -> Points:
        """Give the points taken so far, in their order, and be empty.

        Raises
        ------
        UsageError
            If their payloads come to 2 GiB or more.
        """
        elapsed_ns, codes, payloads, size = self._elapsed_ns, self._codes, self._payloads, self.size_bytes
        if size > LARGEST_COLUMN:
            raise UsageError(f"{size} bytes of payload at once; take fewer points at a time, below 2 GiB")
        self._clear()
        return Points(
            np.array(elapsed_ns, np.int64),
            np.array(codes, np.int32),
            np.frombuffer(b"".join(payloads), np.uint8),
            _offsets(payloads),
            self._keys,
        )

    def _clear(self) -> None:
        self._elapsed_ns: list[int] = []
        self._codes: list[int] = []
        self._payloads: list[bytes] = []
        self.count = self.size_bytes = 0

    def _new_code(self, row: int | None, data_type: Any, channel: int) -> int:
        number = _byte(row, "data_type", data_type)
        code = self._keys.code(Series(self._uuid, number, channel, "", str(number)))
        self._code_of[data_type, channel] = code
        return code


def _offsets(payloads: Sequence[bytes]) -> np.ndarray[tuple[int], np.dtype[np.int32]]:
    offsets = np.zeros(len(payloads) + 1, np.int32)
    np.cumsum(np.fromiter(map(len, payloads), np.int32, len(payloads)), out=offsets[1:])
    return offsets


def _row(row: int | None) -> str:
    return "" if row is None else f"row {row}: "


def _off_time(row: int | None, elapsed_time: Any, elapsed_ns: int, longest_ns: int) -> str:
    if elapsed_ns < 0:
        return f"{_row(row)}elapsed_time={elapsed_time!r} is before the base time; expected 0 or more"
    return f"{_row(row)}elapsed_time={elapsed_time!r} is too long; expected {timedelta(longest_ns)} at most"


def _byte(row: int | None, name: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= 255:
        raise UsageError(f"{_row(row)}{name}={value!r}; expected 0 to 255")
    return int(value)


def _as_bytes(row: int | None, data_type: Any, payload: Any) -> bytes:
    if not isinstance(payload, (bytes, bytearray, memoryview)):
        kind = getattr(data_type, "name", str(data_type))
        raise PayloadError(kind, f"data_payload is {type(payload).__name__}, expected bytes", row=row)
    return bytes(payload)
