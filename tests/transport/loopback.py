"""A loopback listener that answers with what a test wrote down: statuses, headers and bodies, whole or cut."""

from __future__ import annotations

import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Answer:
    """Raw bytes of an answer; `close` ends the connection behind them, `silent` says nothing until the listener stops."""

    raw: bytes = b""
    close: bool = False
    silent: bool = False


def answer(status: int = 200, body: bytes = b"", *, sent: int | None = None, **headers: str) -> Answer:
    """An answer with Content-Length; only the first `sent` bytes of the body, then the end, if that is given."""
    lines = [f"HTTP/1.1 {status} Any", f"Content-Length: {len(body)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    head = "\r\n".join(lines).encode() + b"\r\n\r\n"
    return Answer(head + (body if sent is None else body[:sent]), close=sent is not None)


def chunked(*chunks: bytes, ends: bool = True, **headers: str) -> Answer:
    """A chunked answer, with or without its last chunk."""
    lines = [
        "HTTP/1.1 200 OK",
        "Transfer-Encoding: chunked",
        *(f"{name.replace('_', '-')}: {value}" for name, value in headers.items()),
    ]
    parts = [b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks]
    return Answer("\r\n".join(lines).encode() + b"\r\n\r\n" + b"".join(parts) + (b"0\r\n\r\n" if ends else b""), close=not ends)


@dataclass
class Seen:
    """A request that came in."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    connection: int


@dataclass
class Loopback:
    """The listener: give it answers, look at what it saw. The last answer is repeated."""

    answers: list[Answer] = field(default_factory=list)
    seen: list[Seen] = field(default_factory=list)

    def __enter__(self) -> Loopback:
        self._stopped = threading.Event()
        loopback = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            timeout = 20

            def handle_one_request(self) -> None:
                self.raw_requestline = self.rfile.readline(65537)
                if not self.raw_requestline or not self.parse_request():
                    self.close_connection = True
                    return
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                loopback.seen.append(Seen(self.command, self.path, self.headers, body, self.client_address[1]))
                given = loopback.answers.pop(0) if len(loopback.answers) > 1 else loopback.answers[0]
                if given.silent:
                    loopback._stopped.wait(20)
                self.wfile.write(given.raw)
                self.wfile.flush()
                self.close_connection = given.close or given.silent

            def log_message(self, *_: Any) -> None:
                pass

        class Server(ThreadingHTTPServer):
            def handle_error(self, request: Any, client_address: Any) -> None:
                if not isinstance(sys.exception(), ConnectionError):  # a client may go at any time
                    super().handle_error(request, client_address)

        self._server = Server(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
