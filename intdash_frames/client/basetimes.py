"""Base times: the moments from which the elapsed times of a measurement may count, one of each type.

Source: protocol 2.4.
"""

from __future__ import annotations

import builtins
from typing import TYPE_CHECKING, Any

from intdash_frames.client.catalogue import frame_of_all
from intdash_frames.model import BasetimeType, MeasurementBasetime
from intdash_frames.protocol import endpoints
from intdash_frames.timebase import moment_ns

if TYPE_CHECKING:
    import pandas as pd

    from intdash_frames.client.connection import Connection

__all__ = ["MeasurementBasetimes"]


class MeasurementBasetimes:
    """The base times of measurements. Which of them is in use says `Measurements.update`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def get(self, measurement_uuid: str, type: BasetimeType | str) -> MeasurementBasetime:
        """Get the base time of a type.

        Raises
        ------
        NotFound
            If the measurement has none of this type.
        """
        found: MeasurementBasetime = self._connection.call(endpoints.BASETIMES_GET, uuid=measurement_uuid, type=type)
        return found

    def update(self, measurement_uuid: str, basetime: Any, type: BasetimeType | str = "manual") -> None:
        """Set the base time of a type, whether there was one or not.

        Parameters
        ----------
        measurement_uuid : str
        basetime : moment with a zone
            When elapsed time is 0. If this type is in use, the absolute time of every point moves.
        type : BasetimeType or str
            Where the base time comes from.
        """
        self._connection.call(
            endpoints.BASETIMES_PUT, uuid=measurement_uuid, type=type, basetime=moment_ns(basetime, name="basetime")
        )

    def delete(self, measurement_uuid: str, type: BasetimeType | str) -> None:
        """Delete the base time of a type; the one in use cannot be deleted."""
        self._connection.call(endpoints.BASETIMES_DELETE, uuid=measurement_uuid, type=type)

    def list(self, measurement_uuid: str) -> builtins.list[MeasurementBasetime]:
        """List the base times of a measurement; the answer has no pages."""
        found: builtins.list[MeasurementBasetime] = self._connection.call(endpoints.BASETIMES_LIST, uuid=measurement_uuid)
        return found

    def frame(self, measurement_uuid: str) -> pd.DataFrame:
        """List the base times of a measurement, as a frame with a column for each field of `MeasurementBasetime`."""
        return frame_of_all(self._connection, endpoints.BASETIMES_LIST, MeasurementBasetime, uuid=measurement_uuid)
