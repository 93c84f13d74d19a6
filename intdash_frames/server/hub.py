"""Who listens to what: upstreams that run, downstreams, and which points of the one go to the other. No sockets.

What the protocol leaves open is decided here:

- Old data sent later (`resend`) are kept and not relayed: a live reader would take them for new ones.
- An upstream with destinations reaches the downstreams of those edges only: a downstream is its own destination if it names one,
  else the edge that opened it is. An upstream without destinations reaches everyone.
- A downstream learns the base times of the upstreams that run already, the latest of each type, when its filters are set.
- A label stands for the signals that were defined when the filters were set. A point that cannot be converted is left out.

Source: protocol 5.7, 5.8 and 7.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import numpy as np

from intdash_frames.codecs.points import Points
from intdash_frames.codecs.series import Series
from intdash_frames.codecs.signals import Converted, convert, converted_points, in_slices, is_source
from intdash_frames.model import DataType, Signal
from intdash_frames.protocol.elements import DataFilter, DownstreamSpec, UpstreamSpec
from intdash_frames.protocol.filters import LABELLED, FilterSet
from intdash_frames.protocol.wire import NULL_UUID

__all__ = ["Hub", "Route", "Selection", "Subscriber", "Upstream", "labels_of"]

BASETIME_BYTES: Final = 9  # protocol 6.12
# Decisions that are remembered of one set of filters; a sender that makes up new ids all the time must not fill the memory.
MOST_DECISIONS: Final = 50_000


def labels_of(data_filters: Sequence[DataFilter]) -> list[str]:
    """The labels that data filters name, each once; each may be that of a signal (protocol 5.8)."""
    found: dict[str, None] = {}
    for each in data_filters:
        if each.data_type in LABELLED and isinstance(each.rules, tuple):
            found.update((rule, None) for rule in each.rules if isinstance(rule, str) and rule)
    return list(found)


class Route(NamedTuple):
    """Where points come from and for whom they are: all that decides who gets them, apart from filters."""

    src_edge_uuid: str
    dst_edge_uuids: frozenset[str]


@dataclass(eq=False, slots=True)
class Upstream:
    """An upstream that runs.

    Attributes
    ----------
    spec : UpstreamSpec
    points : int
        What came so far [count].
    basetimes : dict of int to Points
        The latest base time point of each type, oldest first.
    """

    spec: UpstreamSpec
    points: int = 0
    basetimes: dict[int, Points] = field(default_factory=dict)

    @property
    def route(self) -> Route | None:
        """Where its points go; None if nowhere, since they are old."""
        return None if self.spec.resend else Route(self.spec.src_edge_uuid, frozenset(self.spec.dst_edge_uuids))

    def remember(self, points: Points) -> None:
        """Count points and keep their latest base times."""
        self.points += len(points)
        codes = [code for code in _codes_of(points) if points.keys[code].data_type == DataType.basetime]
        if not codes:
            return
        rows = np.flatnonzero(np.isin(points.series, codes))
        rows = rows[points.offsets[rows + 1] - points.offsets[rows] == BASETIME_BYTES]
        backwards = rows[::-1]
        _, lasts = np.unique(points.data[points.offsets[backwards]], return_index=True)
        for row in np.sort(backwards[lasts]):
            kind = int(points.data[points.offsets[row]])
            self.basetimes.pop(kind, None)  # so that it comes last
            self.basetimes[kind] = points.take(np.asarray([row]))


class Selection:
    """What one set of data filters lets pass: points as they are, and what signals make of them.

    Parameters
    ----------
    data_filters : sequence of DataFilter
    signals : sequence of Signal
        Those whose labels the filters name.

    Attributes
    ----------
    failures : int
        Points that a signal could not convert [count].
    """

    def __init__(self, data_filters: Sequence[DataFilter] = (), signals: Sequence[Signal] = ()) -> None:
        self._filters, self._signals = FilterSet(data_filters), tuple(signals)
        self._decisions: dict[Series, tuple[bool, tuple[int, ...]]] = {}
        self.failures = 0

    def __bool__(self) -> bool:
        return bool(self._filters)

    def of(self, points: Points) -> Iterator[Points]:
        """Select points.

        Yields
        ------
        Points
            In their order, each converted value behind the point that it comes from; in pieces of a bounded size if signals
            convert some, else at most once.
        """
        codes = _codes_of(points)
        passing = np.zeros(len(points.keys), np.bool_)
        wanted: set[int] = set()
        for code in codes:
            passing[code], numbers = self._decision(points.keys[code])
            wanted.update(numbers)
        if wanted:
            signals = [self._signals[number] for number in sorted(wanted)]
            for piece in in_slices(points, signals):
                converted = [self._converted(each) for each in convert(piece, signals)]
                # A signal may give another type than the one that its label was asked for.
                yield from self._passing(converted_points(piece, converted, kept=passing[piece.series]))
        elif len(codes) and passing[codes].all():
            yield points
        elif passing.any():
            yield points.take(np.flatnonzero(passing[points.series]))

    def _decision(self, key: Series) -> tuple[bool, tuple[int, ...]]:
        """Whether a series passes, and which signals are made of it."""
        known = self._decisions.get(key)
        if known is None:
            if len(self._decisions) >= MOST_DECISIONS:
                self._decisions.clear()
            made = tuple(
                number
                for number, signal in enumerate(self._signals)
                if is_source(signal, key.data_type, key.channel, key.data_id)
            )
            known = self._decisions[key] = self._passes(key), made
        return known

    def _passes(self, key: Series) -> bool:
        return self._filters.matches(key.data_type or 0, key.channel or 0, key.data_id)

    def _passing(self, points: Points) -> Iterator[Points]:
        passing = np.zeros(len(points.keys), np.bool_)
        codes = _codes_of(points)
        passing[codes] = [self._passes(points.keys[code]) for code in codes]
        rows = np.flatnonzero(passing[points.series])
        if len(rows):
            yield points if len(rows) == len(points) else points.take(rows)

    def _converted(self, each: Converted) -> Converted:
        """Leave failures out: a live reader has no way to tell an error row from a text."""
        if not each.failures:
            return each
        self.failures += each.failures
        valid = each.values.is_valid()
        return Converted(each.signal, each.rows[valid.to_numpy(zero_copy_only=False)], each.values.filter(valid))


@dataclass(eq=False, slots=True)
class Subscriber:
    """A downstream.

    Attributes
    ----------
    spec : DownstreamSpec
    account : str
        The edge that opened it.
    deliver : callable
        Where its points go; the hub only keeps it.
    is_reference : bool
        The reader is the vendor's Python SDK, which not every unit may be sent to.
    selection : Selection
        By its filters; nothing before they are set.
    """

    spec: DownstreamSpec
    account: str
    deliver: Callable[..., Any]
    is_reference: bool = False
    selection: Selection = field(default_factory=Selection)

    def takes(self, route: Route) -> bool:
        """Tell whether points of a route are for it."""
        if self.spec.src_edge_uuid != route.src_edge_uuid:
            return False
        own = self.spec.dst_edge_uuid if self.spec.dst_edge_uuid != NULL_UUID else self.account
        return not route.dst_edge_uuids or own in route.dst_edge_uuids


class Hub:
    """All upstreams and downstreams of a server, by source edge.

    Parameters
    ----------
    followed : callable, optional
        Called with the UUID of an edge when a downstream begins to let something of it pass; must return at once.
    """

    def __init__(self, followed: Callable[[str], None] | None = None) -> None:
        self._followed = followed
        # dicts as sets in the order of opening
        self._upstreams: dict[str, dict[Upstream, None]] = {}
        self._subscribers: dict[str, dict[Subscriber, None]] = {}
        # Subscribers that ask for the same share one, so that points are selected once for all of them.
        self._selections: weakref.WeakValueDictionary[object, Selection] = weakref.WeakValueDictionary()

    def open(self, stream: Upstream | Subscriber) -> None:
        """Let a stream take part."""
        side: dict[str, dict[Any, None]] = self._upstreams if isinstance(stream, Upstream) else self._subscribers
        side.setdefault(stream.spec.src_edge_uuid, {})[stream] = None

    def close(self, stream: Upstream | Subscriber) -> None:
        """Let go of a stream."""
        side: dict[str, dict[Any, None]] = self._upstreams if isinstance(stream, Upstream) else self._subscribers
        there = side[stream.spec.src_edge_uuid]
        del there[stream]
        if not there:
            del side[stream.spec.src_edge_uuid]

    def select(self, subscriber: Subscriber, data_filters: Sequence[DataFilter], signals: Sequence[Signal] = ()) -> list[Points]:
        """Set what a subscriber gets.

        Parameters
        ----------
        subscriber : Subscriber
        data_filters : sequence of DataFilter
            Replace those set before.
        signals : sequence of Signal
            Those that `labels_of` the filters stand for.

        Returns
        -------
        list of Points
            Base times of the upstreams that run, for this subscriber; none if the filters let nothing pass.
        """
        same = tuple(data_filters), tuple(signal.hash for signal in signals)
        selection = self._selections.get(same)
        if selection is None:
            selection = self._selections[same] = Selection(data_filters, signals)
        begins = bool(selection) and not subscriber.selection
        subscriber.selection = selection
        if begins and self._followed is not None:
            self._followed(subscriber.spec.src_edge_uuid)
        running = self._upstreams.get(subscriber.spec.src_edge_uuid, ()) if selection else ()
        return [
            basetime
            for upstream in running
            if upstream.route is not None and subscriber.takes(upstream.route)
            for basetime in upstream.basetimes.values()
        ]

    def publish(self, route: Route, points: Points) -> Iterator[tuple[Sequence[Subscriber], Points]]:
        """Say who gets what of some points.

        Parameters
        ----------
        route : Route
        points : Points
            In the order in which they came.

        Returns
        -------
        iterator of (sequence of Subscriber, Points)
            The same points for all of them. Who is there is decided at once, what they get when the iterator is read.
        """
        groups: dict[Selection, list[Subscriber]] = {}
        for subscriber in self._subscribers.get(route.src_edge_uuid, ()):
            if subscriber.selection and subscriber.takes(route):
                groups.setdefault(subscriber.selection, []).append(subscriber)
        return ((subscribers, chosen) for selection, subscribers in groups.items() for chosen in selection.of(points))


def _codes_of(points: Points) -> list[int]:
    """The series that occur."""
    codes: list[int] = np.flatnonzero(np.bincount(points.series)).tolist()
    return codes
