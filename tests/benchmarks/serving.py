"""The embedded server in a process of its own; says where it listens, and ends with its input."""

from __future__ import annotations

from typing import Any

from intdash_frames.server.app import serve
from tests.benchmarks.workers import peak_bytes, work


def main() -> None:
    running: list[Any] = []

    def start(data: str) -> str:
        running.append(serve(data, edges={"bench": "token"}))
        return running[0].url

    try:
        work({"start": start, "peak": peak_bytes})
    finally:
        for server in running:
            server.close()


if __name__ == "__main__":
    main()
