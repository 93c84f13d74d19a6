"""A live view whose connection is cut again and again shows every stored point once; `make drops` does the same for minutes."""

from __future__ import annotations

import pyarrow as pa

import intdash_frames as idf
from intdash_frames.client.background import BackgroundLoop
from tests.live.differences import differences
from tests.live.feeding import WAIT_S, Sender
from tests.live.proxy import Proxy

# For each cut, how many points are shown when it comes; how many are sent before the connection can be made again, and after.
CUTS = ((40, 0, 25), (70, 30, 0), (100, 30, 0), (130, 0, 40), (175, 20, 60))


def test_a_view_that_is_cut_again_and_again_shows_every_stored_point_once(client: idf.Client) -> None:
    loop, sender = BackgroundLoop("sender"), Sender(client)

    def send(count: int) -> None:
        if count:
            loop.run(sender.send(count))
        loop.run(sender.stream.flush())

    loop.run(sender.__aenter__())
    with Proxy(client.url) as proxy, idf.Client(proxy.url, "token") as viewer, viewer.live(edge="demo") as live:
        for shown, unseen, seen in CUTS:
            send(shown - sender.sent)
            assert live.wait(1 + shown, WAIT_S)  # with the base time
            proxy.cut(blocked=True)
            send(unseen)
            proxy.unblock()
            send(seen)
        assert live.wait(1 + sender.sent, WAIT_S)
        stored = client.frames(sender.measurement).to_arrow()
        assert differences(stored, live.to_arrow()) == (0, 0)
    loop.run(sender.__aexit__())
    loop.stop()
    stats = live.stats
    assert stats.received + stats.recovered == stats.shown == len(stored) == 1 + sender.sent
    assert (stats.dropped, stats.waiting, len(live.gaps)) == (0, 0, 0)
    assert 1 <= stats.reconnects <= len(CUTS) == proxy.cuts - 1  # the last ends the proxy


def test_differences_are_found() -> None:
    stored = pa.table({"time": [1, 2, 2, 3], "data_id": pa.array(["a", "b", "b", None]).dictionary_encode()})
    assert differences(stored, stored.slice(0, 4)) == (0, 0)
    assert differences(stored, stored.slice(2)) == (2, 0)
    assert differences(stored, pa.concat_tables([stored, stored.slice(3)])) == (0, 1)
    assert differences(stored, stored.take([0, 1, 1, 1])) == (1, 1)
