from __future__ import annotations

from intdash_frames.client.credentials import EdgeToken
from intdash_frames.protocol.call import Request
from intdash_frames.transport.over_http import HttpTransport
from intdash_frames.transport.seam import ByteStream, Response, Transport
from tests.transport.loopback import Loopback, answer


def test_http_is_a_transport(peer: Loopback) -> None:
    peer.answers = [answer(200, b"body", X_Any="thing")]
    transport: Transport = HttpTransport(peer.url, credentials=EdgeToken("token"))
    assert transport.url == peer.url
    whole = transport.send(Request("GET", "/x"))
    assert isinstance(whole, Response)
    with transport.stream(Request("GET", "/x")) as opened:
        stream: ByteStream = opened
        assert (stream.status, stream.headers["x-any"], stream.retries) == (whole.status, whole.headers["X-Any"], whole.retries)
        assert stream.read(100) == whole.body
    transport.close()
