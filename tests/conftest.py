from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.transport.loopback import Loopback


@pytest.fixture
def peer() -> Iterator[Loopback]:
    with Loopback() as listener:
        yield listener


@pytest.fixture
def elsewhere() -> Iterator[Loopback]:
    """A second origin."""
    with Loopback() as listener:
        yield listener
