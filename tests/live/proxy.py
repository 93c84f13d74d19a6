"""A way to a server that can be cut: what a network between them would do."""

from __future__ import annotations

import asyncio
import contextlib
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

from intdash_frames.client.background import BackgroundLoop


class Proxy:
    """Passes on every connection to a server, until it is told to cut them."""

    def __init__(self, url: str) -> None:
        self.server_url = url
        parts = urlsplit(url)
        self._target = (parts.hostname, parts.port)
        self._open: set[asyncio.StreamWriter] = set()
        self._blocked = False
        self.cuts = 0

    def __enter__(self) -> Self:
        self._loop = BackgroundLoop("proxy")
        self._server = self._loop.run(self._listen())
        host, port = self._server.sockets[0].getsockname()
        self.url = f"http://{host}:{port}"
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None) -> None:
        self.cut(blocked=True)
        self._loop.run(self._close())
        self._loop.stop()

    def cut(self, *, blocked: bool = False) -> None:
        """Cut every connection without a goodbye; when `blocked`, new ones are cut as well until `unblock`."""
        self._loop.run(self._cut(blocked=blocked))

    def unblock(self) -> None:
        """Let connections through again."""
        self._blocked = False

    async def _listen(self) -> asyncio.Server:
        return await asyncio.start_server(self._pass, "127.0.0.1", 0)

    async def _close(self) -> None:
        self._server.close()
        await self._server.wait_closed()

    async def _cut(self, *, blocked: bool) -> None:
        self._blocked = blocked
        self.cuts += 1
        for writer in list(self._open):
            writer.transport.abort()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._blocked:
            writer.transport.abort()
            return
        there_reader, there_writer = await asyncio.open_connection(*self._target)
        both = {writer, there_writer}
        self._open |= both
        copies = [asyncio.create_task(_copy(reader, there_writer)), asyncio.create_task(_copy(there_reader, writer))]
        await asyncio.wait(copies, return_when=asyncio.FIRST_COMPLETED)
        for each in both:
            each.transport.abort()
        await asyncio.gather(*copies)
        self._open -= both


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError, asyncio.CancelledError):
        while piece := await reader.read(2**16):
            writer.write(piece)
            await writer.drain()
