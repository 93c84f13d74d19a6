"""How much of what was read may wait in memory."""

from __future__ import annotations

import threading

__all__ = ["Room"]


class Room:
    """Bytes that readers and writers share, so that memory stays bounded however many there are and however fast the server is.

    Parts are written when they are whole. Were all readers to wait for room with half a part each, none would ever become whole:
    so one reader at a time may finish its part beyond the limit, and only while nothing waits to be written.

    Parameters
    ----------
    limit_bytes : int
    """

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._held_bytes = self._written_soon_bytes = 0
        self._ahead: object = None
        self._changed = threading.Condition()
        self._stopped = False

    def take(self, reader: object, size_bytes: int) -> bool:
        """Wait for room for what a reader has read.

        Returns
        -------
        bool
            False if all is to end.
        """
        with self._changed:
            while not self._stopped and not self._may_take(reader, size_bytes):
                self._changed.wait()
            if self._held_bytes + size_bytes > self._limit_bytes:
                self._ahead = reader
            self._held_bytes += size_bytes
            return not self._stopped

    def _may_take(self, reader: object, size_bytes: int) -> bool:
        if self._held_bytes + size_bytes <= self._limit_bytes or self._ahead is reader:
            return True
        return self._ahead is None and not self._written_soon_bytes

    def hand_on(self, reader: object, size_bytes: int) -> None:
        """Say that a part is whole and goes to be written."""
        with self._changed:
            self._written_soon_bytes += size_bytes
            self._step_back(reader)

    def written(self, size_bytes: int) -> None:
        """Give back the room of a part that was handed on."""
        with self._changed:
            self._written_soon_bytes -= size_bytes
            self._held_bytes -= size_bytes
            self._changed.notify_all()

    def dropped(self, reader: object, size_bytes: int) -> None:
        """Give back the room of what a reader will not hand on."""
        with self._changed:
            self._held_bytes -= size_bytes
            self._step_back(reader)

    def _step_back(self, reader: object) -> None:
        if self._ahead is reader:
            self._ahead = None
        self._changed.notify_all()

    @property
    def held_bytes(self) -> int:
        """What waits now."""
        return self._held_bytes

    def stop(self) -> None:
        """Let nobody wait any more."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
