"""Errors keep what they say and what they carry, also through a pickle."""

from __future__ import annotations

import pickle

import pytest

import intdash_frames as idf
from intdash_frames import errors

EXAMPLES = [
    errors.UsageError("start=1 has no unit"),
    errors.RemoteProtocolError("a frame is cut"),
    errors.PayloadError("float", "7 bytes, expected 8", data_id="speed", row=3),
    errors.ConnectionLost("after 7 bytes"),
    errors.ISCPConnClosedException(),
    errors.ResultNGException({"stream_id": 1}, 3),
    errors.ApiError(503, "GET /api/v1/data", "busy", retry_after_s=2.0),
    errors.NotFound(404, "GET /api/v1/edges/me"),
    errors.IncompleteRead("read 3 points", partial=[1, 2, 3], report="r", start_ns=1, end_ns=2),
    errors.IncompleteStore("1 of 2 sections", result=7),
    errors.MissingDependency("duckdb", "server"),
]


@pytest.mark.parametrize("error", EXAMPLES, ids=lambda error: type(error).__name__)
def test_a_pickled_error_says_and_carries_the_same(error: errors.IntdashError) -> None:
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error)
    assert str(again) == str(error)
    assert again.__dict__ == error.__dict__


def test_every_error_is_of_one_tree_and_public() -> None:
    classes = [getattr(errors, name) for name in errors.__all__]
    assert all(issubclass(each, errors.IntdashError) for each in classes)
    assert set(errors.__all__) <= set(idf.__all__)


def test_an_error_about_a_payload_names_type_id_and_row() -> None:
    assert str(EXAMPLES[2]) == "float 'speed', row 3: 7 bytes, expected 8"


def test_an_error_of_the_server_names_call_status_and_what_it_said() -> None:
    assert str(next(each for each in EXAMPLES if type(each) is errors.ApiError)) == "GET /api/v1/data answered 503: busy"


def test_a_missing_package_names_the_extra() -> None:
    assert isinstance(EXAMPLES[-1], ImportError)
    assert "pip install 'intdash-frames[server]'" in str(EXAMPLES[-1])


def test_a_refusal_on_a_stream_carries_what_was_asked() -> None:
    error = errors.ResultNGException({"stream_id": 1}, 3)
    assert isinstance(error, errors.ApiError)
    assert (error.request, error.result_code) == ({"stream_id": 1}, 3)
    assert str(error) == "the server refused dict with result code 3, expected 0 (OK): {'stream_id': 1}"


def test_a_closed_connection_is_a_lost_one() -> None:
    with pytest.raises(errors.ConnectionLost, match="connect anew"):
        raise errors.ISCPConnClosedException
    assert str(errors.ISCPConnClosedException("the server closed it")) == "the server closed it"
