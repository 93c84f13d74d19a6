"""Whether a failure is worth another try, and how long to wait before it."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import tenacity

from intdash_frames.errors import ApiError, ConnectFailed, ConnectionLost, TimedOut

__all__ = ["TRANSIENT_STATUSES", "RetryPolicy", "is_transient"]

logger = logging.getLogger("intdash_frames.transport")

TRANSIENT_STATUSES: Final = frozenset({429, 500, 502, 503, 504})
# A server that asks for a longer pause than this gets no pause but an error, so that a program does not stand still unexplained.
LONGEST_RETRY_AFTER_S: Final = 120.0


def is_transient(exc: BaseException) -> bool:
    """Say whether the same request may succeed a little later."""
    if isinstance(exc, ApiError):
        return exc.status in TRANSIENT_STATUSES and (exc.retry_after_s or 0.0) <= LONGEST_RETRY_AFTER_S
    return isinstance(exc, (ConnectFailed, ConnectionLost, TimedOut))


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Exponential back-off with jitter; the one policy of a client, for calls and for reads that go on after a cut.

    Parameters
    ----------
    retries : int
        Tries after the first.
    first_s, longest_s : float
        Longest wait before the first retry, and before any [s]. The wait is drawn from the upper half, so that clients that
        failed together do not come back together.
    sleep : callable
        Waits so many seconds.
    """

    retries: int = 5
    first_s: float = 0.2
    longest_s: float = 20.0
    sleep: Callable[[float], None] = time.sleep

    def delay_s(self, tried: int, exc: BaseException | None = None) -> float:
        """How long to wait after try number `tried` (from 1) failed with `exc`: at least what the server asks for [s]."""
        asked = exc.retry_after_s if isinstance(exc, ApiError) else None
        if asked == 0:
            return 0.0
        longest = min(self.longest_s, self.first_s * 2.0 ** min(tried - 1, 64))  # who tries for hours gets no overflow
        return max(asked or 0.0, random.uniform(longest / 2, longest))

    def wait(self, tried: int, exc: BaseException | None = None) -> None:
        """Wait before going on after try number `tried` (from 1) failed with `exc`."""
        self.sleep(self.delay_s(tried, exc))

    def retrying(self) -> tenacity.Retrying:
        """A fresh `tenacity.Retrying` under this policy: ``policy.retrying()(function)``; the last error is raised as it is."""
        return tenacity.Retrying(
            stop=tenacity.stop_after_attempt(self.retries + 1),
            wait=lambda state: self.delay_s(state.attempt_number, _error_of(state)),
            retry=tenacity.retry_if_exception(is_transient),
            sleep=self.sleep,
            before_sleep=self._log,
            reraise=True,
        )

    def _log(self, state: tenacity.RetryCallState) -> None:
        logger.info("retry %d of %d in %.1f s: %s", state.attempt_number, self.retries, state.upcoming_sleep, _error_of(state))


def _error_of(state: tenacity.RetryCallState) -> BaseException | None:
    return state.outcome.exception() if state.outcome is not None else None
