"""Who gets what: plain Python says it again, one point at a time."""

from __future__ import annotations

import dataclasses

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from intdash_frames.codecs.points import Points
from intdash_frames.model import ConversionNumFixedPoint, ConversionSubString, DataType, Display, Signal
from intdash_frames.protocol.elements import DataFilter, DownstreamSpec, MaskRule, UpstreamSpec
from intdash_frames.protocol.filters import FilterSet
from intdash_frames.protocol.wire import NULL_UUID
from intdash_frames.server import hub as hub_module
from intdash_frames.server.hub import Hub, Route, Subscriber, Upstream, labels_of
from tests.server.samples import Row, can_row, int_row, points_of
from tests.server.streaming import rows_of

EDGES = ["edge 1", "edge 2", "edge 3"]
quick = settings(deadline=None, max_examples=80)


def basetime_row(kind: int, seconds: int, elapsed_ns: int = 0) -> Row:
    return elapsed_ns, 135, 1, "basetime", bytes([kind]) + seconds.to_bytes(4, "little") + bytes(4)


def subscriber(src: str = "edge 1", dst: str = NULL_UUID, account: str = "edge 1") -> Subscriber:
    return Subscriber(DownstreamSpec(1, src, dst), account, lambda *_: None)


def upstream(src: str = "edge 1", dst: tuple[str, ...] = (), *, resend: bool = False) -> Upstream:
    return Upstream(UpstreamSpec(1, NULL_UUID, src, dst, resend=resend))


def delivered(hub: Hub, stream: Upstream, rows: list[Row]) -> dict[Subscriber, list[Row]]:
    got: dict[Subscriber, list[Row]] = {}
    if stream.route is not None:
        for subscribers, chosen in hub.publish(stream.route, points_of(rows)):
            for each in subscribers:
                got.setdefault(each, []).extend(rows_of(chosen))
    return got


def test_an_edge_is_followed_when_filters_first_let_something_pass() -> None:
    followed: list[str] = []
    hub = Hub(followed.append)
    first, second = subscriber(), subscriber("edge 2")
    for each in (first, second):
        hub.open(each)
    assert followed == []
    hub.select(first, [])
    assert followed == []
    hub.select(first, [DataFilter(1, 1)])
    hub.select(first, [DataFilter(2, 1)])
    assert followed == ["edge 1"]
    hub.select(second, [DataFilter(1, 1)])
    assert followed == ["edge 1", "edge 2"]


rows = st.lists(
    st.builds(can_row, st.integers(0, 9), st.integers(0, 3), channel=st.integers(0, 1))
    | st.builds(int_row, st.integers(0, 9), channel=st.integers(0, 1), data_id=st.sampled_from("xy"))
    | st.builds(basetime_row, st.integers(1, 3), st.integers(0, 9)),
    max_size=12,
)
can_rules = st.lists(st.builds(MaskRule, st.just(b"\xff" * 4), st.integers(0, 3).map(lambda n: bytes([n, 0, 0, 0]))), max_size=2)
filters = st.lists(
    st.builds(DataFilter, st.integers(0, 1), st.just(1), st.none() | can_rules.map(tuple))
    | st.builds(DataFilter, st.integers(0, 1), st.just(12), st.none() | st.lists(st.sampled_from("xyz"), max_size=2).map(tuple)),
    max_size=3,
)
uuids = st.sampled_from(EDGES)
subscribers = st.lists(st.tuples(uuids, uuids | st.just(NULL_UUID), uuids, filters), max_size=5)
upstreams = st.lists(st.tuples(uuids, st.lists(uuids, max_size=2).map(tuple), st.booleans()), min_size=1, max_size=3)


@quick
@given(subscribers, upstreams, st.lists(st.tuples(st.integers(0, 2), rows), max_size=6))
def test_a_subscriber_gets_what_its_filters_let_pass_of_what_is_for_it_in_order(wanted, running, published):
    hub = Hub()
    there = []
    for src, dst, account, data_filters in wanted:
        each = subscriber(src, dst, account)
        hub.open(each)
        hub.select(each, data_filters)
        there.append((each, FilterSet(data_filters)))
    streams = [upstream(src, dst, resend=resend) for src, dst, resend in running]
    for stream in streams:
        hub.open(stream)
    got: dict[Subscriber, list[Row]] = {each: [] for each, _ in there}
    expected: dict[Subscriber, list[Row]] = {each: [] for each, _ in there}
    for number, sent in published:
        stream = streams[number % len(streams)]
        for each, found in delivered(hub, stream, sent).items():
            got[each] += found
        for each, passes in there:
            own = each.account if each.spec.dst_edge_uuid == NULL_UUID else each.spec.dst_edge_uuid
            if (
                each.spec.src_edge_uuid == stream.spec.src_edge_uuid
                and (not stream.spec.dst_edge_uuids or own in stream.spec.dst_edge_uuids)
                and not stream.spec.resend
            ):
                expected[each] += [row for row in sent if passes.matches(row[1], row[2], row[3])]
    assert got == expected


def test_those_who_ask_for_the_same_get_the_same_object() -> None:
    hub = Hub()
    for data_filters in ([DataFilter(1, 1)], [DataFilter(1, 1)], [DataFilter(1, 12)]):
        each = subscriber()
        hub.open(each)
        hub.select(each, data_filters)
    found = [
        (len(group), rows_of(chosen))
        for group, chosen in hub.publish(Route("edge 1", frozenset()), points_of([can_row(1, 2), int_row(3)]))
    ]
    assert found == [(2, [can_row(1, 2)]), (1, [int_row(3)])]


def test_who_has_left_or_has_set_no_filter_gets_nothing() -> None:
    hub, stream = Hub(), upstream()
    leaving, silent = subscriber(), subscriber()
    for each in (leaving, silent, stream):
        hub.open(each)
    hub.select(leaving, [DataFilter(1, 12)])
    assert delivered(hub, stream, [int_row(1)]) == {leaving: [int_row(1)]}
    hub.close(leaving)
    assert delivered(hub, stream, [int_row(1)]) == {}


def test_the_latest_base_time_of_each_type_waits_for_those_who_come_later() -> None:
    hub, first, second = Hub(), upstream(), upstream()
    for stream in (first, second):
        hub.open(stream)
    first.remember(points_of([basetime_row(2, 10), int_row(1), basetime_row(1, 5), basetime_row(2, 20)]))
    first.remember(points_of([int_row(2), (0, 135, 1, "basetime", b"\x03cut")]))
    first.remember(points_of([basetime_row(1, 6)]))
    second.remember(points_of([basetime_row(3, 7)]))
    late = subscriber()
    hub.open(late)
    assert hub.select(late, []) == []
    found = hub.select(late, [DataFilter(1, 12)])
    assert [row for points in found for row in rows_of(points)] == [basetime_row(2, 20), basetime_row(1, 6), basetime_row(3, 7)]
    hub.close(first)
    assert len(hub.select(late, [DataFilter(1, 12)])) == 1
    assert first.points == 7


def test_base_times_of_old_data_and_for_other_edges_are_not_told() -> None:
    hub = Hub()
    for stream in (upstream(resend=True), upstream(dst=("edge 2",)), upstream("edge 2")):
        hub.open(stream)
        stream.remember(points_of([basetime_row(2, 10)]))
    late = subscriber()
    hub.open(late)
    assert hub.select(late, [DataFilter(1, 12)]) == []


def signal(label: str, conversion: object, *, channel: int = 1) -> Signal:
    now = "2020-01-01T00:00:00Z"
    return Signal(
        uuid=label,
        label=label,
        description="",
        data_type=DataType.can,
        data_id="00000007",
        channel=channel,
        conversion=conversion,  # type: ignore[arg-type]
        display=Display(unit="", min=0, max=0, format=""),
        hash=label,
        created_at=now,  # type: ignore[arg-type]
        updated_at=now,  # type: ignore[arg-type]
    )


WORD = ConversionNumFixedPoint(startbit=0, bitsize=16, endian="little", sign="unsigned", scale=0.5, offset=1.0)


def float_row(elapsed_ns: int, value: float, data_id: str) -> Row:
    name = data_id.encode()
    return elapsed_ns, 11, 1, data_id, bytes([len(name)]) + name + np.float64(value).tobytes()


def test_the_label_of_a_signal_gives_its_values_behind_the_points_they_come_from() -> None:
    hub, stream, both, only = Hub(), upstream(), subscriber(), subscriber()
    for each in (stream, both, only):
        hub.open(each)
    hub.select(both, [DataFilter(1, 11, ("speed", "raw")), DataFilter(1, 1)], [signal("speed", WORD)])
    hub.select(only, [DataFilter(1, 11, ("speed",))], [signal("speed", WORD)])
    value = 1 + 0.5 * int.from_bytes(b"\xca\xfe", "little")
    sent = [can_row(1, 7), can_row(2, 8), float_row(3, 4, "raw"), can_row(4, 7)]
    speeds = [float_row(1, value, "speed"), float_row(4, value, "speed")]
    got = delivered(hub, stream, sent)
    assert got[only] == speeds
    assert got[both] == [can_row(1, 7), speeds[0], can_row(2, 8), float_row(3, 4, "raw"), can_row(4, 7), speeds[1]]


def test_a_signal_of_another_channel_or_with_another_result_is_not_what_was_asked_for() -> None:
    hub, stream, each = Hub(), upstream(), subscriber()
    hub.open(each)
    text = ConversionSubString(startbyte=0, bytesize=1)
    hub.select(each, [DataFilter(1, 11, ("a", "b"))], [signal("a", WORD, channel=2), signal("b", text)])
    assert delivered(hub, stream, [(1, 1, 1, "00000007", b"\7\0\0\0\1x"), (1, 1, 2, "00000007", b"\7\0\0\0\2xx")]) == {}


def test_what_cannot_be_converted_is_left_out_and_counted() -> None:
    hub, stream, each = Hub(), upstream(), subscriber()
    hub.open(each)
    hub.select(each, [DataFilter(1, 11, ("speed",))], [signal("speed", WORD)])
    short = (2, 1, 1, "00000007", b"\7\0\0\0\1\xca")
    got = delivered(hub, stream, [can_row(1, 7), short, can_row(3, 7)])
    assert [row[0] for row in got[each]] == [1, 3]
    assert each.selection.failures == 1


def test_decisions_do_not_pile_up(monkeypatch) -> None:
    monkeypatch.setattr(hub_module, "MOST_DECISIONS", 3)
    hub, stream, each = Hub(), upstream(), subscriber()
    hub.open(each)
    hub.select(each, [DataFilter(1, 12, ("i5",))])
    sent = [int_row(n, data_id=f"i{n}") for n in range(10)]
    assert delivered(hub, stream, sent)[each] == [sent[5]]
    assert len(each.selection._decisions) <= 3


def test_no_points_are_nothing_to_deliver() -> None:
    hub, each = Hub(), subscriber()
    hub.open(each)
    hub.select(each, [DataFilter(1, 12)])
    empty = Points.empty(points_of([int_row(1)]).keys)
    assert list(hub.publish(Route("edge 1", frozenset()), empty)) == []


def test_the_labels_of_filters_are_the_ids_of_types_that_signals_give() -> None:
    data_filters = [
        DataFilter(1, 11, ("b", "a", "")),
        DataFilter(2, 10, ("a", "c")),
        DataFilter(1, 14),
        DataFilter(1, 1, (MaskRule(b"\xff" * 4, bytes(4)),)),
    ]
    assert labels_of(data_filters) == ["b", "a", "c"]
    assert labels_of([dataclasses.replace(data_filters[0], rules=None)]) == []
