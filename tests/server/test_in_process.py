from __future__ import annotations

import pickle
import threading
from pathlib import Path

import pytest

from intdash_frames.errors import ApiError, NotFound, Unauthorized, UsageError
from intdash_frames.protocol.call import Request
from intdash_frames.protocol.endpoints import DATA_LIST, EDGES_ME, MEASUREMENTS_DELETE, MEASUREMENTS_LIST
from intdash_frames.server import answers, in_process
from intdash_frames.server.answers import Answer
from intdash_frames.server.in_process import InProcess
from tests.export.exporting import some_rows
from tests.server.folders import exported


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("in-process")
    exported(path, [some_rows(200)])
    return path


def everything() -> Request:
    return DATA_LIST.request(name="demo", start=0, end=2**62)


def test_a_body_in_pieces_of_any_size_is_the_whole_body(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "STREAMED_POINTS", 7)
    transport = InProcess(folder)
    whole = transport.send(everything()).body
    assert len(whole) > 1000
    for size in (1, 13, 1000, 10**6):
        with transport.stream(everything()) as stream:
            pieces = []
            while piece := stream.read(size):
                pieces.append(piece)
        assert b"".join(pieces) == whole
        assert {len(piece) for piece in pieces[:-1]} <= {size}
        assert (stream.status, stream.retries) == (200, 0)
    transport.close()


def test_the_next_piece_is_made_while_the_last_one_is_looked_at(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "STREAMED_POINTS", 5)
    made = threading.Semaphore(0)
    make = Answer.next

    def told(answer: Answer) -> memoryview | None:
        piece = make(answer)
        made.release()
        return piece

    monkeypatch.setattr(Answer, "next", told)
    transport = InProcess(folder)
    with transport.stream(everything()) as stream:
        assert stream.read(1)
        assert made.acquire(timeout=20)
        assert made.acquire(timeout=20)  # nobody asked for this one yet
        assert not made.acquire(blocking=False)
    transport.close()


def test_an_answer_that_is_left_alone_leaves_no_thread(folder: Path) -> None:
    transport = InProcess(folder)
    with transport.stream(everything()) as stream:
        stream.read(10)
    assert not [
        each for each in threading.enumerate() if each.name.startswith(("intdash-frames-answer", "intdash-frames-folder"))
    ]
    transport.close()


def test_errors_are_those_of_http(folder: Path) -> None:
    transport = InProcess(folder)
    with pytest.raises(NotFound, match="is no measurement uuid"), transport.stream(DATA_LIST.request(name="x", start=0, end=1)):
        pass
    with pytest.raises(ApiError, match="sort 'colour'") as caught:
        transport.send(MEASUREMENTS_LIST.request(sort="colour"))
    assert (caught.value.status, caught.value.endpoint) == (400, "GET /api/v1/measurements")
    with pytest.raises(Unauthorized, match="stays as it is"):
        transport.send(MEASUREMENTS_DELETE.request(uuid="414c343c-1e2f-7ed4-c2ce-78e57311d8a3"))
    with pytest.raises(NotFound):
        transport.send(Request("GET", "/api/v1/nothing"))
    with pytest.raises(UsageError, match="as a whole"), transport.stream(EDGES_ME.request()):
        pass
    transport.close()


def test_a_pickle_carries_the_folder_and_nothing_else(folder: Path) -> None:
    transport = InProcess(folder)
    again = pickle.loads(pickle.dumps(transport))
    assert (again.folder, again.url) == (transport.folder, folder.resolve().as_uri())
    assert again.send(everything()).body == transport.send(everything()).body
    for each in (transport, again):
        each.close()
        each.close()
    with pytest.raises(UsageError, match="open it again"):
        transport.send(EDGES_ME.request())
    assert repr(again) == f"InProcess({str(folder.resolve())!r})"
    assert in_process.__all__ == ["InProcess"]


def test_one_that_is_apart_goes_on_when_the_other_is_closed(folder: Path) -> None:
    one = InProcess(folder)
    other = one.apart()
    one.close()
    assert other.send(everything()).body
    other.cut()
    other.close()
