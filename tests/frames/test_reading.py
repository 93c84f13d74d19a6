"""Reads that are cut, refused or answered oddly: nothing is lost, repeated or hidden."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest

import intdash_frames as idf
from intdash_frames import (
    ConnectFailed,
    DataType,
    Fault,
    IncompleteRead,
    NotFound,
    RemoteProtocolError,
    SignalKey,
    Unauthorized,
    UsageError,
)
from intdash_frames.client import history
from intdash_frames.client.data_points import ERROR_ID
from intdash_frames.codecs.points import response_frames
from intdash_frames.frames.reading import Reading
from intdash_frames.frames.sources import Range
from intdash_frames.transport.retry import RetryPolicy
from tests.frames.stored import BASETIME_NS, GOLDEN, Row, bits, column, contents, float_row, named, store_rows, string_row
from tests.server.samples import points_of
from tests.transport.loopback import Loopback, answer

DATA = "/api/v1/data"
RANGE = {"start": "2020-01-01T00:00:00Z", "end": "2021-01-01T00:00:00Z"}
MANY = 10_000
SINKS: dict[str, Callable[[idf.Frames], Any]] = {
    "to_arrow": lambda f: f.to_arrow(),
    "to_pandas": lambda f: f.to_pandas(),
    "to_polars": lambda f: f.to_polars(),
    "by_type": lambda f: f.by_type(),
    "by_signal": lambda f: f.by_signal(),
    "item": lambda f: f["speed"],
    "summary": lambda f: f.summary(),
    "wide": lambda f: f.wide(),
}


@pytest.fixture(autouse=True)
def _small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read answers in pieces that are small against the bodies here: what came of a piece before a cut is lost with it."""
    monkeypatch.setattr(history, "FIRST_PIECE_BYTES", 1 << 16)
    monkeypatch.setattr(history, "LARGEST_PIECE_BYTES", 1 << 16)


@pytest.fixture(scope="module")
def faulty() -> Iterator[idf.LocalServer]:
    with idf.LocalServer() as running:
        yield running


@pytest.fixture(scope="module")
def many(faulty: idf.LocalServer) -> str:
    """A measurement whose answer takes several reads from a socket."""
    with faulty.client() as client:
        uuid = store_rows(client, [])
        frame = pd.DataFrame({"speed": range(MANY)}, index=pd.to_timedelta(range(0, 1000 * MANY, 1000), unit="ns"), dtype=float)
        idf.store(frame, uuid, client=client)
    return uuid


@pytest.fixture
def client(faulty: idf.LocalServer) -> Iterator[idf.Client]:
    """Tries twice, without a pause."""
    with faulty.client(retries=2) as made:
        made.connection.transport.policy = RetryPolicy(2, first_s=0.0)
        yield made


def test_a_cut_answer_is_continued_without_loss_or_repetition(client: idf.Client, faulty: idf.LocalServer, many: str) -> None:
    whole = client.frames(many).to_arrow()
    for at in (0.0, 0.3, 0.5, 0.99):
        faulty.inject(Fault.cut_body(at=at, path=DATA))
        f = client.frames(many)
        assert f.to_arrow().equals(whole)
        assert f.report.complete
        assert (f.report.points, f.report.retries, f.report.gaps) == (MANY, 1, ())
    assert f.report.requests == 2


def test_a_cut_at_an_instant_of_many_points_loses_none(client: idf.Client, faulty: idf.LocalServer) -> None:
    rows = [float_row(i // 1_000, float(i % 3)) for i in range(5_000)]
    uuid = store_rows(client, rows)
    whole = contents(client.frames(uuid).to_arrow())
    faulty.inject(Fault.cut_body(at=0.7, path=DATA))
    f = client.frames(uuid)
    assert contents(f.to_arrow()) == whole
    assert f.report.retries == 1
    assert f.report.duplicates > 0


def test_when_every_try_is_cut_what_was_read_is_in_the_error() -> None:
    with idf.LocalServer() as server, server.client(retries=2) as client:
        client.connection.transport.policy = RetryPolicy(2, first_s=0.0)
        frame = pd.DataFrame({"speed": range(MANY)}, index=pd.to_timedelta(range(MANY), unit="us"), dtype=float)
        uuid = idf.store(frame, client=client).measurement
        whole = client.frames(uuid).to_arrow()
        server.inject(Fault.cut_body(at=0.7, times=1000, path=DATA))
        f = client.frames(uuid)
        with pytest.raises(IncompleteRead, match=r"read \d+ points, but not all") as caught:
            f.to_arrow()
    partial, report = caught.value.partial, caught.value.report
    assert 0 < len(partial) < MANY
    assert partial.equals(whole.slice(0, len(partial)))
    assert not report.complete
    assert report == f.report
    assert (report.points, len(report.gaps), report.gaps[0]["source"]) == (len(partial), 1, uuid.uuid)
    assert report.gaps[0]["start_ns"] == partial["time"].cast(pa.int64())[-1].as_py() == caught.value.start_ns


def test_after_an_incomplete_read_the_next_sink_tries_again(client: idf.Client, faulty: idf.LocalServer, many: str) -> None:
    client.connection.transport.policy = RetryPolicy(0)
    f = client.frames(many)
    for _ in range(2):
        faulty.inject(Fault.cut_body(at=0.7, path=DATA))
        with pytest.raises(IncompleteRead):
            f.summary()
    assert len(f.to_arrow()) == MANY
    assert f.report.complete


@pytest.mark.parametrize("sink", SINKS)
def test_the_partial_result_has_the_form_of_the_sink(client: idf.Client, faulty: idf.LocalServer, many: str, sink: str) -> None:
    client.connection.transport.policy = RetryPolicy(0)
    good = SINKS[sink](client.frames(many))
    faulty.inject(Fault.cut_body(at=0.7, path=DATA))
    with pytest.raises(IncompleteRead) as caught:
        SINKS[sink](client.frames(many))
    assert type(caught.value.partial) is type(good)
    assert len(caught.value.partial) > 0


def test_collecting_errors_returns_what_was_read(client: idf.Client, faulty: idf.LocalServer, many: str) -> None:
    client.connection.transport.policy = RetryPolicy(0)
    faulty.inject(Fault.cut_body(at=0.7, path=DATA))
    f = client.frames(many, errors="collect")
    assert 0 < len(f.to_arrow()) < MANY
    assert not f.report.complete
    assert "ConnectionLost" in f.report.gaps[0]["reason"]
    assert f.report.gaps[0]["end_ns"] > f.report.gaps[0]["start_ns"]
    assert len(f.to_pandas()) == f.report.points


def test_a_stream_that_is_cut_raises_at_its_end(client: idf.Client, faulty: idf.LocalServer, many: str) -> None:
    client.connection.transport.policy = RetryPolicy(0)
    faulty.inject(Fault.cut_body(at=0.7, path=DATA))
    seen, f = [], client.frames(many)
    with pytest.raises(IncompleteRead) as caught:
        seen.extend(f.to_batches())
    assert 0 < sum(map(len, seen)) == f.report.points < MANY
    assert caught.value.partial is None
    faulty.inject(Fault.cut_body(at=0.7, path=DATA))
    with pytest.raises(IncompleteRead):
        client.frames(many).to_reader().read_all()
    faulty.inject(Fault.cut_body(at=0.7, path=DATA))
    with pytest.raises(pa.ArrowInvalid, match="but not all"):
        pa.table(client.frames(many))


def test_one_of_several_measurements_may_fail(client: idf.Client, faulty: idf.LocalServer) -> None:
    first, second = (store_rows(client, [float_row(0, value)], basetime_ns=BASETIME_NS + i) for i, value in enumerate((1.0, 2.0)))
    client.connection.transport.policy = RetryPolicy(0)
    faulty.inject(Fault.cut_body(at=0.0, path=DATA))
    with pytest.raises(IncompleteRead, match=first) as caught:
        client.frames([first, second]).to_pandas()
    assert caught.value.partial["value"].tolist() == [2.0]


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_busy_server_is_asked_again(client: idf.Client, faulty: idf.LocalServer, status: int) -> None:
    uuid = store_rows(client, [float_row(0, 1.0)])
    faulty.inject(Fault.status(status, times=2, path=DATA))
    f = client.frames(uuid)
    assert f.to_pandas()["value"].tolist() == [1.0]
    assert f.report.retries == 2


def test_a_server_that_refuses_everything_raises_what_it_said(client: idf.Client, faulty: idf.LocalServer) -> None:
    uuid = store_rows(client, [float_row(0, 1.0)])
    faulty.inject(Fault.status(400, path=DATA))
    with pytest.raises(idf.ApiError, match="400"):
        client.frames(uuid).to_pandas()
    with idf.Client(faulty.url, "wrong") as stranger:
        for options in ({}, RANGE):
            with pytest.raises(Unauthorized):
                stranger.frames(uuid, **options).to_arrow()
            with pytest.raises(Unauthorized):
                list(stranger.frames(uuid, **options).to_batches())
            with pytest.raises(Unauthorized):
                stranger.frames([uuid, uuid.replace("1", "2")], **options).to_arrow()
    with pytest.raises(NotFound):
        client.frames("00000000-0000-0000-0000-00000000dead", **RANGE).to_arrow()


def test_a_host_that_nobody_listens_on_is_one_clear_error() -> None:
    with Loopback() as gone:
        url = gone.url
    with idf.Client(url, "token", retries=0) as client:
        for options in ({}, RANGE):
            with pytest.raises(ConnectFailed, match=url):
                client.frames("00000000-0000-0000-0000-00000000dead", **options).to_arrow()


# --- conversion errors among the points (protocol 3.5) ---

SAID = {"error": "converted_error", "error_description": "Error occurred", "error_extra": {"signal_label": "nmea"}}


@pytest.mark.parametrize("sink", SINKS)
def test_conversion_errors_are_errors_and_never_data(client: idf.Client, sink: str) -> None:
    rows = [float_row(0, 1.0), string_row(1, json.dumps(SAID), ERROR_ID), float_row(2, 2.0), string_row(3, "x", "error")]
    uuid = store_rows(client, rows)
    with pytest.raises(IncompleteRead, match=r"1 values could not be converted.*converted_error") as caught:
        SINKS[sink](client.frames(uuid))
    assert caught.value.report.errors == (SAID,)
    f = client.frames(uuid, errors="collect")
    SINKS[sink](f)
    assert (f.report.error_points, f.report.points, f.report.complete) == (1, 3, False)
    assert not f.report.gaps
    assert f["error"]["value"].tolist() == ["x"]  # a string of the user's own, recognised by its outer id
    assert all(key.data_id != ERROR_ID for key in f.signals)


def test_conversion_errors_are_told_as_they_came(client: idf.Client) -> None:
    payloads = [named(ERROR_ID, b"not JSON"), named(ERROR_ID, b"[1]"), named(ERROR_ID, b"\xff")]
    uuid = store_rows(client, [Row(i, DataType.string, 1, payload) for i, payload in enumerate(payloads)])
    f = client.frames(uuid, errors="collect")
    assert len(f.to_arrow()) == 0
    assert [error["error_description"] for error in f.report.errors] == ["not JSON", "[1]", "�"]
    stream = client.frames(uuid).to_batches()
    with pytest.raises(IncompleteRead, match="3 values could not be converted"):
        list(stream)


# --- answers of other servers ---


def golden_body(name: str) -> bytes:
    found = json.loads((GOLDEN / "data_responses.json").read_text())["cases"]
    return bytes.fromhex(next(case for case in found if case["name"] == name)["body_hex"])


@pytest.fixture
def served(peer: Loopback) -> Iterator[Callable[..., idf.Frames]]:
    """Frames whose answer is a body of our choice."""
    with idf.Client(peer.url, "token", retries=0) as client:

        def frames(body: bytes, **options: Any) -> idf.Frames:
            peer.answers[:] = [answer(200, body)]
            return client.frames("8f6a776e-545e-92c1-7373-873d76d72fcb", **{**RANGE, **options})

        yield frames


def test_textual_types_keep_their_text_and_have_no_channel(served: Callable[..., idf.Frames]) -> None:
    f = served(golden_body("textual_type"))
    (row,) = f.to_arrow().to_pylist()
    assert (row["data_type"], row["channel"], row["data_id"], row["payload"]) == (None, None, "my-data", b"hi")
    assert f.report.textual_types == (("string", 1),)
    assert list(f.by_type()) == ["string"]
    assert f.signals == [SignalKey("string", None, "my-data")]
    frame = f["string:-/my-data"]
    assert frame["payload"].tolist() == [b"hi"]
    assert frame["channel"].isna().all()
    assert f.summary()["channel"].isna().all()
    assert f.to_polars()["payload"].to_list() == [b"hi"]
    with pytest.raises(UsageError, match="column 'data_type' has 1 nulls"):
        idf.store(f, dry_run=True)


def test_a_textual_type_is_not_the_data_type_of_that_name(served: Callable[..., idf.Frames]) -> None:
    f = served(golden_body("textual_type") + golden_body("created_at"))
    long = f.to_pandas()
    assert sorted(long["data_type"]) == ["string", "string:-"]
    assert set(long.columns[4:]) == {"string.value", "string:-.payload"}
    assert set(f.by_type()) == {"string", DataType.string}


def test_an_error_row_of_the_golden_answers_is_an_error(served: Callable[..., idf.Frames]) -> None:
    f = served(golden_body("error_point"), errors="collect")
    assert len(f.to_arrow()) == 0
    assert f.report.errors[0]["error"] == "converted_error"


def test_points_without_a_time_are_counted(served: Callable[..., idf.Frames]) -> None:
    f = served(golden_body("no_time"), start="1970-01-01T00:00:00Z")
    assert f.to_pandas().index.asi8.tolist() == [0]
    assert f.report.untimed == 1


def test_a_payload_whose_inner_id_is_another_keeps_its_bytes(served: Callable[..., idf.Frames]) -> None:
    """A relabelled point: its columns are right, its bytes must be kept to be given back."""
    rows = [
        (BASETIME_NS, 11, 1, "outer", float_row(0, 1.5, "inner").payload),
        (BASETIME_NS + 1, 11, 1, "outer", named("outer", b"\0" * 8)),
    ]
    f = served(bytes(response_frames(points_of(rows, "8f6a776e-545e-92c1-7373-873d76d72fcb"))))
    frame = f.to_pandas()
    assert frame["value"].tolist() == [1.5, 0.0]
    assert column(frame, "payload") == bits([rows[0][4], None])
    assert f.report.undecodable == 0


@pytest.mark.parametrize(
    "case", json.loads((GOLDEN / "data_responses.json").read_text())["malformed"], ids=lambda case: case["name"]
)
def test_a_corrupt_answer_is_an_error_and_not_data(served: Callable[..., idf.Frames], case: dict[str, Any]) -> None:
    with pytest.raises((IncompleteRead, RemoteProtocolError)):
        served(bytes.fromhex(case["body_hex"])).to_pandas()


def test_an_answer_in_no_order_is_sorted(served: Callable[..., idf.Frames]) -> None:
    rows = [(BASETIME_NS + i, 12, 1, "i", named("i", i.to_bytes(8, "little"))) for i in (5, 3, 4, 3, 1)]
    body = bytes(response_frames(points_of(rows, "8f6a776e-545e-92c1-7373-873d76d72fcb")))
    assert served(body).to_pandas()["value"].tolist() == [1, 3, 3, 4, 5]


def test_points_in_no_order_are_not_streamed_as_if_they_were(served: Callable[..., idf.Frames]) -> None:
    rows = [(BASETIME_NS + i, 12, 1, "i", named("i", i.to_bytes(8, "little"))) for i in reversed(range(4000))]
    body = bytes(response_frames(points_of(rows, "8f6a776e-545e-92c1-7373-873d76d72fcb")))
    assert served(body).to_pandas()["value"].tolist() == list(range(4000))
    f = served(body)
    reading = Reading(f._connection, f._query, f._query.source.ranges(f._connection, f._query.start, f._query.end))
    with pytest.raises(RemoteProtocolError, match=r"go back from .* puts them in order"):
        list(reading.in_order())


def test_chosen_ranges_are_all_that_is_read(client: idf.Client, many: str) -> None:
    f = client.frames(many, ["float:1/speed", "float:1/absent"])
    ranges = [Range(many, BASETIME_NS + start, BASETIME_NS + start + 2000) for start in (0, 50_000)]
    reading = Reading(f._connection, f._query, ranges)
    assert [int(time) - BASETIME_NS for part in reading.batches() for time in part.time_ns] == [0, 1000, 50_000, 51_000]
    assert reading.report.unmatched == ()
    again = Reading(f._connection, f._query, ranges)
    assert [int(time) - BASETIME_NS for part in again.in_order() for time in part.time_ns] == [0, 1000, 50_000, 51_000]
    assert again.report.seconds > 0


# --- the report ---


def test_the_report_counts_what_was_done(client: idf.Client, many: str) -> None:
    f = client.frames(many, "float:1/speed")
    report = f.report
    assert (report.points, report.pages, report.requests, report.retries) == (MANY, 1, 1, 0)
    assert (report.duplicates, report.error_points, report.untimed, report.undecodable) == (0, 0, 0, 0)
    assert report.bytes > 50 * MANY
    assert report.seconds > 0
    assert report.complete
    with pytest.raises(dataclasses.FrozenInstanceError):
        report.points = 0
