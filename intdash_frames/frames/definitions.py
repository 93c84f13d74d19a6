"""Signal definitions as a client has them: those of the server, and what they make of frames here."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Literal

from intdash_frames.client.signals import Signals

if TYPE_CHECKING:
    from intdash_frames.codecs.conversions import BigEndianBits, NmeaCells
    from intdash_frames.frames.query import Frames

__all__ = ["SignalDefinitions"]


class SignalDefinitions(Signals):
    """The signal definitions of a server, which can also be applied to what was read."""

    def apply(
        self,
        frames: Any,
        labels: str | Iterable[str] | None = None,
        *,
        errors: Literal["collect", "raise"] = "collect",
        big_endian_bits: BigEndianBits = "sequential",
        nmea_cells: NmeaCells = "after_address",
    ) -> Frames:
        """Convert points here, by the server's definitions.

        Parameters
        ----------
        frames : Frames, or a frame or table
            Points as they are stored.
        labels : str or iterable of str, optional
            Which definitions. Default: all.
        errors : {"collect", "raise"}
            Whether values that cannot be converted are nulls, counted in the report, or raise `IncompleteRead`.
        big_endian_bits : {"sequential", "motorola_msb", "motorola_lsb"}
            Which bit of a big-endian field ``startbit`` names.
        nmea_cells : {"after_address", "from_start"}
            What the cells of an NMEA sentence are counted from.

        Returns
        -------
        Frames
            As ``client.frames(..., labels=...)`` gives them.

        Raises
        ------
        UsageError
            If nobody defined a label, or its definition cannot be carried out.

        Notes
        -----
        Evaluated here: where a server differs in cases that are not documented (protocol 7), only ``labels=`` gives its values.
        """
        from intdash_frames.frames.signals import apply_labels

        return apply_labels(
            self._connection, frames, labels, errors=errors, big_endian_bits=big_endian_bits, nmea_cells=nmea_cells
        )
