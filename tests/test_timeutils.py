from __future__ import annotations

import pandas as pd
import pytest

from intdash_frames import timeutils
from intdash_frames.errors import UsageError

MOMENT = pd.Timestamp("2020-07-09T08:34:10.832607123Z")


def test_a_moment_comes_back_from_every_form() -> None:
    assert timeutils.str2timestamp(timeutils.timestamp2str(MOMENT)) == MOMENT
    assert timeutils.unix2timestamp(*timeutils.timestamp2unix(MOMENT)) == MOMENT
    assert timeutils.timestamp2unixmicro(MOMENT) == 1594283650832607
    assert timeutils.timestamp2unix(MOMENT) == (1594283650, 832607123)


def test_unix_time_is_given_in_the_zone_asked_for() -> None:
    moment = timeutils.unix2timestamp(1594283650, 832607123, tz="Asia/Tokyo")
    assert moment == MOMENT
    assert moment.isoformat() == "2020-07-09T17:34:10.832607123+09:00"


def test_microseconds_beyond_the_exact_floats_stay_exact() -> None:
    micro = 2**53 + 1
    assert timeutils.timedelta2micro(timeutils.micro2timedelta(micro)) == micro
    assert timeutils.timedelta2micro(pd.Timedelta(1999, unit="ns")) == 1


def test_the_text_of_the_tutorial_reads() -> None:
    assert timeutils.str2timestamp("2020-01-01 00:00:00.000000+00:00") == pd.Timestamp("2020-01-01", tz="UTC")


def test_no_zone_is_guessed() -> None:
    for function, value in (
        (timeutils.str2timestamp, "2020-01-01 00:00:00"),
        (timeutils.timestamp2str, pd.Timestamp("2020-01-01")),
        (timeutils.timestamp2unix, pd.Timestamp("2020-01-01")),
        (timeutils.timestamp2unixmicro, pd.Timestamp("2020-01-01")),
    ):
        with pytest.raises(UsageError, match="has no time zone"):
            function(value)


def test_seconds_out_of_range_are_refused() -> None:
    with pytest.raises(UsageError, match="outside the years"):
        timeutils.unix2timestamp(2**62, 0)
    with pytest.raises(UsageError, match="whole number"):
        timeutils.unix2timestamp(1.5, 0)  # type: ignore[arg-type]
