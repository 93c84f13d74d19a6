"""The points of an exported folder, which stay in its files: what answers are made from where a `Store` holds none itself."""

from __future__ import annotations

import dataclasses
from collections.abc import Generator, Iterable
from contextlib import closing
from pathlib import Path

from intdash_frames.codecs.merging import merged
from intdash_frames.codecs.points import Points
from intdash_frames.codecs.series import Series, SeriesTable
from intdash_frames.errors import UsageError
from intdash_frames.folder.manifest import Manifest, Part
from intdash_frames.folder.names import number_of
from intdash_frames.folder.read import Verified, read_parts, series_in
from intdash_frames.server.selection import DataQuery, Source
from intdash_frames.server.store import Refused, SeriesId

__all__ = ["Recordings"]

# Nothing that another try would mend: what was exported is not there any more.
SPOILT = 410


class Recordings:
    """The points of a folder.

    Parameters
    ----------
    folder : Path
    manifest : Manifest
        What is in it.
    """

    def __init__(self, folder: Path, manifest: Manifest) -> None:
        self.folder = folder
        self._parts: dict[str, list[Part]] = {uuid: [] for uuid in manifest.measurements}
        for part in sorted(manifest.parts.values(), key=lambda part: part.cell.start_ns):
            self._parts[part.measurement].append(part)
        self._series: dict[str, frozenset[Series]] = {}
        self._verified: Verified = {}

    def last_ns(self, uuid: str) -> int | None:
        """The last instant of a measurement that has a point; None if none has [ns since the epoch]."""
        return max((file.last_ns for part in self._parts[uuid] for file in part.files), default=None)

    def parts(self, query: DataQuery, sources: Iterable[Source], keys: SeriesTable, most: int) -> Generator[Points]:
        """Read what a query asks for.

        Parameters
        ----------
        query : DataQuery
        sources : iterable of Source
            What shares an instant is in their order.
        keys : SeriesTable
            Where series get their codes.
        most : int
            Points of a batch [count].

        Yields
        ------
        Points
            In order of time.

        Raises
        ------
        Refused
            410 if a file is not as it was exported.
        """

        def selects(key: Series) -> bool:
            return query.selects(SeriesId(key.data_type, key.channel, key.data_id))

        due = []
        for source in sources:
            parts = [_concerned(part, query) for part in self._parts[source.uuid]]
            firsts = [file.first_ns for part in parts for file in part.files]
            if firsts:
                points = read_parts(
                    self.folder,
                    parts,
                    keys,
                    start_ns=query.start_ns,
                    end_ns=query.end_ns,
                    selects=selects,
                    verified=self._verified,
                    ahead=not query.limit,
                )
                due.append((min(firsts), points))
        try:
            with closing(due[0][1] if len(due) == 1 else merged(due)) as batches:
                for batch in batches:
                    for start in range(0, len(batch), most):
                        yield batch.slice(start, min(start + most, len(batch)))
        except UsageError as exc:
            raise Refused(SPOILT, str(exc)) from exc

    def ids(self, sources: Iterable[Source], start_ns: int, end_ns: int) -> set[SeriesId]:
        """Find which series have a point in a range; those of newer servers, which have no numbers, are left out.

        Raises
        ------
        Refused
            410 if a file cannot be read.
        """
        found: set[Series] = set()
        for file in (file for source in sources for part in self._parts[source.uuid] for file in part.files):
            if not file.reaches_into(start_ns, end_ns):
                continue
            try:
                if file.first_ns < start_ns or file.last_ns >= end_ns:
                    found |= series_in(self.folder, file, start_ns=start_ns, end_ns=end_ns)
                    continue
                if file.path not in self._series:
                    self._series[file.path] = series_in(self.folder, file)
            except UsageError as exc:
                raise Refused(SPOILT, str(exc)) from exc
            found |= self._series[file.path]
        ids = {SeriesId(key.data_type, key.channel, key.data_id) for key in found}
        return {each for each in ids if each.data_type is not None and each.channel is not None}


def _concerned(part: Part, query: DataQuery) -> Part:
    """A part without the files that a query has nothing to do with."""
    files = (file for file in part.files if file.reaches_into(query.start_ns, query.end_ns))
    return dataclasses.replace(part, files=tuple(file for file in files if query.concerns(number_of(file.data_type))))
