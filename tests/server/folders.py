"""Folders exported from a server of their own, for tests of what reads them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import intdash_frames as idf
from intdash_frames.export.parts import Limits
from tests.export.exporting import SMALL, export_small
from tests.frames.stored import BASETIME_NS, Row, store_rows


def exported(folder: Path, recordings: Iterable[Sequence[Row]], *, shift_ns: int = 0, limits: Limits = SMALL) -> list[str]:
    """Export measurements of one edge, each so much later than the one before it; gives their UUIDs."""
    with idf.LocalServer() as server, server.client() as client:
        uuids = [store_rows(client, rows, basetime_ns=BASETIME_NS + number * shift_ns) for number, rows in enumerate(recordings)]
        export_small(client, uuids, folder, limits=limits)
    return uuids
