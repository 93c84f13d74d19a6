"""Markers: notes at moments and stretches of measurements. They came with version 1.10.0 of the server.

Source: protocol 2.5.
"""

from __future__ import annotations

import builtins
import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from intdash_frames.client.catalogue import frame_of_all
from intdash_frames.errors import UsageError
from intdash_frames.model import MeasurementMarker, MeasurementMarkerDetail, MeasurementMarkerType
from intdash_frames.model.form import dump, form_of
from intdash_frames.model.records import MARKER_DETAILS
from intdash_frames.protocol import endpoints
from intdash_frames.protocol.call import Endpoint

if TYPE_CHECKING:
    import pandas as pd

    from intdash_frames.client.connection import Connection

__all__ = ["MeasurementMarkers"]


class MeasurementMarkers:
    """The markers of measurements."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def create(
        self,
        measurement_uuid: str,
        type: MeasurementMarkerType | str,
        detail: MeasurementMarkerDetail,
        name: str | None = None,
        description: str | None = None,
        tag: Mapping[str, str] | None = None,
    ) -> MeasurementMarker:
        """Make a marker.

        Parameters
        ----------
        measurement_uuid : str
        type : MeasurementMarkerType or str
            ``"point"`` or ``"range"``.
        detail : MeasurementMarkerDetailPoint or MeasurementMarkerDetailRange
            Where it stands, since the base time; cut to microseconds.
        name, description : str, optional
        tag : mapping of str to str, optional
            Texts under names of your own.

        Raises
        ------
        UsageError
            If an argument cannot work; nothing was sent.
        """
        _check(type, detail, tag)
        created: MeasurementMarker = self._connection.call(
            endpoints.MARKERS_CREATE,
            uuid=measurement_uuid,
            type=type,
            detail=detail,
            name=name,
            description=description,
            tag=tag,
        )
        return created

    def get(self, marker_uuid: str) -> MeasurementMarker:
        """Get a marker.

        Raises
        ------
        NotFound
            If there is none.
        """
        found: MeasurementMarker = self._connection.call(endpoints.MARKERS_GET, marker_uuid=marker_uuid)
        return found

    def update(
        self,
        marker_uuid: str,
        measurement_uuid: str | None = None,
        name: str | None = None,
        description: str | None = None,
        type: MeasurementMarkerType | str | None = None,
        detail: MeasurementMarkerDetail | None = None,
        tag: Mapping[str, str] | None = None,
    ) -> MeasurementMarker:
        """Change what is given and not empty.

        Parameters
        ----------
        measurement_uuid : str, optional
            The call then fails if the marker belongs to another measurement.

        Returns
        -------
        MeasurementMarker
            As it is now.
        """
        _check(type, detail, tag)
        changes: dict[str, Any] = {"name": name, "description": description, "type": type, "detail": detail, "tag": tag}
        endpoint, arguments = _addressed(
            endpoints.MARKERS_UPDATE, endpoints.MARKERS_UPDATE_IN_MEASUREMENT, marker_uuid, measurement_uuid
        )
        changed: MeasurementMarker | None = self._connection.call(endpoint, **arguments, **changes)
        return self.get(marker_uuid) if changed is None else changed  # a server may answer without a body (protocol 1.3)

    def delete(self, marker_uuid: str, measurement_uuid: str | None = None) -> None:
        """Delete a marker; with `measurement_uuid`, only if it belongs to that measurement."""
        endpoint, arguments = _addressed(
            endpoints.MARKERS_DELETE, endpoints.MARKERS_DELETE_IN_MEASUREMENT, marker_uuid, measurement_uuid
        )
        self._connection.call(endpoint, **arguments)

    def list(self, measurement_uuid: str) -> builtins.list[MeasurementMarker]:
        """List the markers of a measurement; the answer has no pages."""
        found: builtins.list[MeasurementMarker] = self._connection.call(endpoints.MARKERS_LIST, uuid=measurement_uuid)
        return found

    def frame(self, measurement_uuid: str) -> pd.DataFrame:
        """List the markers of a measurement, as a frame.

        Returns
        -------
        pandas.DataFrame
            A column for each field of `MeasurementMarker`, and behind them one for each field of its detail, null where a marker
            is of another type.
        """
        import pandas as pd

        frame = frame_of_all(self._connection, endpoints.MARKERS_LIST, MeasurementMarker, uuid=measurement_uuid)
        for each in (field for kind in MARKER_DETAILS.values() for field in dataclasses.fields(kind)):
            values = [getattr(detail, each.name, None) for detail in frame["detail"]]
            frame[each.name] = pd.Series(values, index=frame.index, dtype=form_of(each).dtype)
        return frame


def _addressed(
    alone: Endpoint, in_measurement: Endpoint, marker_uuid: str, measurement_uuid: str | None
) -> tuple[Endpoint, dict[str, Any]]:
    """Choose the path with the measurement where it is known: it fails for a marker of another one."""
    if measurement_uuid is None:
        return alone, {"marker_uuid": marker_uuid}
    return in_measurement, {"marker_uuid": marker_uuid, "uuid": measurement_uuid}


def _check(type: Any, detail: Any, tag: Any) -> None:
    if detail is not None and not isinstance(detail, (MeasurementMarkerDetail, Mapping)):
        raise UsageError(f"detail={detail!r}; expected a MeasurementMarkerDetailPoint or a MeasurementMarkerDetailRange")
    if isinstance(detail, MeasurementMarkerDetail) and type != detail.type and type in list(MeasurementMarkerType):
        raise UsageError(f"type={str(type)!r} and detail={detail!r} do not go together; this is where a {detail.type} stands")
    positions_us = [0, *dump(detail).values()] if isinstance(detail, MeasurementMarkerDetail) else []
    if positions_us != sorted(positions_us):
        raise UsageError(f"detail={detail!r}; expected elapsed times from 0 on, and an end that is not before its start")
    if tag is not None and not (isinstance(tag, Mapping) and all(isinstance(part, str) for pair in tag.items() for part in pair)):
        raise UsageError(f"tag={tag!r}; expected a dict of text to text, without anything nested")
