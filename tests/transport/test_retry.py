from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from intdash_frames.errors import (
    ApiError,
    ConnectFailed,
    ConnectionLost,
    IntdashError,
    NotFound,
    RateLimited,
    RemoteProtocolError,
    TimedOut,
    TransportError,
    Unauthorized,
    UsageError,
)
from intdash_frames.transport.retry import RetryPolicy, is_transient

TRANSIENT = [ConnectFailed("x"), ConnectionLost("x"), TimedOut("x"), RateLimited(429, "GET /x")]
TRANSIENT += [ApiError(status, "GET /x") for status in (500, 502, 503, 504)]
FINAL = [
    UsageError("x"),
    RemoteProtocolError("x"),
    TransportError("x"),
    NotFound(404, "x"),
    Unauthorized(401, "x"),
    KeyError("x"),
]
FINAL += [ApiError(status, "GET /x") for status in (400, 405, 409, 501)]
FINAL += [RateLimited(429, "GET /x", retry_after_s=3600)]


@pytest.mark.parametrize("exc", TRANSIENT, ids=repr)
def test_what_may_pass_is_tried_again(exc: IntdashError) -> None:
    assert is_transient(exc)


@pytest.mark.parametrize("exc", FINAL, ids=repr)
def test_what_will_not_pass_is_not(exc: BaseException) -> None:
    assert not is_transient(exc)


@given(st.one_of(st.integers(1, 60), st.integers(1000, 10**9)), st.floats(0.01, 5), st.floats(5, 60))
@settings(deadline=None)
def test_delays_double_up_to_the_longest_and_keep_half_of_it(tried: int, first_s: float, longest_s: float) -> None:
    delay_s = RetryPolicy(9, first_s=first_s, longest_s=longest_s).delay_s(tried)
    longest = min(longest_s, first_s * 2 ** min(tried - 1, 60))
    assert longest / 2 <= delay_s <= longest


def test_the_server_may_ask_for_more_or_for_none() -> None:
    policy = RetryPolicy()
    assert policy.delay_s(1, RateLimited(429, "x", retry_after_s=30)) == 30
    assert policy.delay_s(5, RateLimited(429, "x", retry_after_s=0)) == 0
    assert policy.delay_s(9, RateLimited(429, "x", retry_after_s=0.001)) > 1


def test_the_last_error_is_raised_after_the_given_number_of_tries() -> None:
    waits: list[float] = []
    errors = iter([ConnectFailed("1"), TimedOut("2"), ConnectionLost("3"), NotFound(404, "4")])

    def fail() -> None:
        raise next(errors)

    with pytest.raises(ConnectionLost, match="3"):
        RetryPolicy(2, sleep=waits.append).retrying()(fail)
    assert len(waits) == 2
    with pytest.raises(NotFound):
        RetryPolicy(2, sleep=waits.append).retrying()(fail)
    assert len(waits) == 2
