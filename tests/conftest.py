from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import settings

from tests.transport.loopback import Loopback

# The same examples on every run, and none judged by the clock: what passes here passes on a busy machine too.
settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.load_profile("repeatable")


@pytest.fixture
def peer() -> Iterator[Loopback]:
    with Loopback() as listener:
        yield listener


@pytest.fixture
def elsewhere() -> Iterator[Loopback]:
    """A second origin."""
    with Loopback() as listener:
        yield listener
