"""What users say of a stream: a unit, which stream to open, which points it is to carry.

Positions and names are those of the vendor's SDK. The forms of the wire are in `protocol.elements`: those have
numbers of streams, which nobody outside chooses.

Source: protocol 5.3, 5.7 and 5.8.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from intdash_frames.model.form import DATA_TYPE, INTEGER, OBJECT, SPAN, Record
from intdash_frames.model.kinds import DataType

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["NULL_UUID", "DataFilter", "DownstreamSpec", "Unit", "UpstreamSpec"]

NULL_UUID: Final = "00000000-0000-0000-0000-000000000000"
"""Sixteen zero bytes: "none" wherever a uuid is optional."""


@dataclass(frozen=True, slots=True)
class Unit(Record):
    """A point with its content decoded.

    Parameters
    ----------
    elapsed_time : pandas.Timedelta
        Since the base time of the measurement or stream.
    channel : int or None
        0 to 255. None only where a server named none.
    data : object of `intdash_frames.data`
        The content; `intdash_frames.data.Opaque` where there is no class for it.
    measurement_uuid : str, optional
        Where it was read from.
    """

    elapsed_time: pd.Timedelta = field(metadata=SPAN)
    channel: int | None = field(metadata=INTEGER)
    data: Any = field(metadata=OBJECT)
    measurement_uuid: str | None = None

    def __str__(self) -> str:
        head = (f"{name}: {getattr(self, name)}" for name in ("elapsed_time", "channel", "measurement_uuid"))
        return "\n".join([*head, str(self.data)])


@dataclass(frozen=True, slots=True)
class UpstreamSpec(Record):
    """An upstream to open.

    Parameters
    ----------
    src_edge_uuid : str
        The edge whose data it carries.
    dst_edge_uuids : sequence of str, optional
        The edges it is meant for; None is everyone.
    resend : bool
        It carries old data that are sent later.
    store : bool
        The server keeps the data, in `measurement_uuid`. Otherwise it only relays them.
    measurement_uuid : str
        The null uuid if nothing is kept.
    """

    src_edge_uuid: str
    dst_edge_uuids: Sequence[str] | None = None
    resend: bool = False
    store: bool = False
    measurement_uuid: str = NULL_UUID


@dataclass(frozen=True, slots=True)
class DataFilter(Record):
    """Points of one data type and channel that a downstream is to carry.

    Parameters
    ----------
    data_type : DataType or int
        A name such as ``"can"`` will do.
    channel : int
        0 to 255.
    data_id : str, optional
        As points show it, or the label of a signal; None is every id.
    """

    data_type: DataType | int | str = field(metadata=DATA_TYPE)
    channel: int = field(metadata=INTEGER)
    data_id: str | None = None


@dataclass(frozen=True, slots=True)
class DownstreamSpec(Record):
    """A downstream to open.

    Parameters
    ----------
    src_edge_uuid : str
        The edge whose data it is to carry.
    filters : sequence of DataFilter
        Which of them.
    dst_edge_uuid : str
        Only what was meant for this edge; the null uuid is no restriction.
    """

    src_edge_uuid: str
    filters: Sequence[DataFilter] = field(metadata=OBJECT)
    dst_edge_uuid: str = NULL_UUID
