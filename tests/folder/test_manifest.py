from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from intdash_frames.errors import UsageError
from intdash_frames.folder.cell import Cell
from intdash_frames.folder.manifest import File, Folder, Manifest, Part, is_whole, read_manifest, write_whole

MEASUREMENT = {"record": {"uuid": "m"}, "range": ["a", "b"]}


def part(index: int, measurement: str = "m") -> Part:
    file = File(f"data_type=can/{measurement}{index}", measurement, "can", 1, 2, 3, 4, "5")
    return Part(measurement, Cell(7, 3, index), (file,))


def manifest_of(*parts: Part) -> Manifest:
    made = Manifest("1", "http://x", {"signals": []}, {"m": MEASUREMENT})
    for each in parts:
        made.add(each)
    return made


def test_a_manifest_is_read_as_it_was_written(tmp_path: Path) -> None:
    written = manifest_of(part(1), part(0))
    written.failed.append({"measurement": "m", "reason": "gone"})
    written.edges["e"], written.signals = {"uuid": "e", "name": "car"}, [{"label": "speed"}]
    with Folder(tmp_path) as folder:
        folder.begin(written)
        folder.finish(written, "read me")
    assert read_manifest(tmp_path) == written
    record = json.loads((tmp_path / "manifest.json").read_text())
    assert (record["rows"], record["bytes"], record["complete"]) == (2, 4, False)
    assert (tmp_path / "README.md").read_text() == "read me"


def test_a_manifest_of_the_first_version_is_read(tmp_path: Path) -> None:
    record = manifest_of(part(0)).to_json()
    del record["edges"], record["signals"]
    (tmp_path / "manifest.json").write_text(json.dumps(record))
    assert read_manifest(tmp_path) == manifest_of(part(0))


def test_the_order_of_writing_does_not_show() -> None:
    one, other = manifest_of(part(1), part(0), part(0, "n")), manifest_of(part(0, "n"), part(0), part(1))
    assert json.dumps(one.to_json()) == json.dumps(other.to_json())


def test_what_was_finished_before_a_kill_is_known(tmp_path: Path) -> None:
    begun, whole = manifest_of(part(0)), manifest_of(part(0), part(1))
    for each in (begun, whole):
        each.edges, each.signals = {"e": {"uuid": "e"}}, [{"label": "speed"}]
    with Folder(tmp_path) as folder:
        folder.begin(begun)
        folder.note(part(1))
    with Folder(tmp_path) as folder:
        assert folder.read() == whole


def test_a_line_that_was_cut_off_is_no_part(tmp_path: Path) -> None:
    with Folder(tmp_path) as folder:
        folder.begin(manifest_of())
        folder.note(part(0))
        folder.note(part(1))
    journal = tmp_path / ".journal.jsonl"
    for left in range(1, 40, 7):
        journal.write_bytes(journal.read_bytes()[:-left])
        with Folder(tmp_path) as folder:
            assert folder.read() == manifest_of(part(0))


def test_a_measurement_that_changed_before_a_kill_has_none_of_its_old_parts(tmp_path: Path) -> None:
    with Folder(tmp_path) as folder:
        folder.begin(manifest_of(part(0)))
        folder.finish(manifest_of(part(0)), "")
    grown = Manifest("1", "http://x", {"signals": []}, {"m": {**MEASUREMENT, "range": ["a", "c"]}})
    with Folder(tmp_path) as folder:
        folder.begin(grown)
    with Folder(tmp_path) as folder:
        assert folder.read() == grown


def test_a_folder_has_one_writer_at_a_time(tmp_path: Path) -> None:
    with Folder(tmp_path), pytest.raises(UsageError, match="another export is writing"):
        Folder(tmp_path)
    Folder(tmp_path).close()


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"format": 99}', '{"format": 1}'])
def test_what_is_no_manifest_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "manifest.json").write_text(content)
    with pytest.raises(UsageError, match="manifest"):
        read_manifest(tmp_path)


def test_a_file_is_whole_if_every_byte_is_there(tmp_path: Path) -> None:
    write_whole(tmp_path / "x", b"bytes")
    file = File("x", "m", "can", 1, 5, 0, 0, hashlib.sha256(b"bytes").hexdigest())
    assert is_whole(tmp_path, file)
    write_whole(tmp_path / "x", b"bytez")
    assert not is_whole(tmp_path, file)
    assert is_whole(tmp_path, file, by_digest=False)
    write_whole(tmp_path / "x", b"byte")
    assert not is_whole(tmp_path, file, by_digest=False)
    (tmp_path / "x").unlink()
    assert not is_whole(tmp_path, file)
