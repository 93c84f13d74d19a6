from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from intdash_frames.errors import UsageError
from intdash_frames.export.ledger import Ledger, Sent
from intdash_frames.folder.manifest import Part
from tests.folder.test_manifest import part

URL = "http://x"


def test_what_was_written_down_is_known_the_next_time(tmp_path: Path) -> None:
    with Ledger(tmp_path, URL, resume=True) as ledger:
        ledger.begin("m")
        ledger.made("m", "new")
        ledger.sent(part(1), 0, 3)
        ledger.sent(part(1), 2, 3)
        ledger.finish("m")
    with Ledger(tmp_path, URL, resume=True) as ledger:
        assert (ledger.begun, ledger.targets, ledger.finished) == ({"m"}, {"m": "new"}, {"m"})
        assert ledger.progress_of(part(1)) == Sent(2, 3, ("5",))
        assert ledger.progress_of(part(2)) is None


def test_a_line_that_was_cut_off_is_not_known_and_spoils_no_other(tmp_path: Path) -> None:
    with Ledger(tmp_path, URL, resume=True) as ledger:
        ledger.begin("m")
        ledger.made("m", "new")
    (path,) = tmp_path.iterdir()
    path.write_bytes(path.read_bytes()[:-3])
    with Ledger(tmp_path, URL, resume=True) as ledger:
        assert ledger.targets == {}
        ledger.made("m", "other")
    with Ledger(tmp_path, URL, resume=True) as ledger:
        assert (ledger.begun, ledger.targets) == ({"m"}, {"m": "other"})


def test_each_server_has_its_own_record_and_it_can_begin_anew(tmp_path: Path) -> None:
    with Ledger(tmp_path, URL, resume=True) as ledger:
        ledger.begin("m")
    with Ledger(tmp_path, "http://y", resume=True) as ledger:
        assert ledger.begun == set()
    with Ledger(tmp_path, URL, resume=False) as ledger:
        assert ledger.begun == set()


def test_a_second_import_at_the_same_time_is_refused_and_harms_nothing(tmp_path: Path) -> None:
    with Ledger(tmp_path, URL, resume=True) as ledger:
        ledger.begin("m")
        with pytest.raises(UsageError, match="another import"):
            Ledger(tmp_path, URL, resume=False)
    with Ledger(tmp_path, URL, resume=True) as ledger:
        assert ledger.begun == {"m"}


def test_points_that_changed_since_they_were_sent_are_a_contradiction(tmp_path: Path) -> None:
    sent = part(1)
    first, _ = sent.cell.halves
    with Ledger(tmp_path, URL, resume=True) as ledger:
        ledger.sent(sent, 1, 1)
        assert ledger.contradiction(sent) is None
        assert ledger.contradiction(part(2)) is None
        assert ledger.contradiction(part(1, "other")) is None
        changed = dataclasses.replace(sent, files=(dataclasses.replace(sent.files[0], sha256="6"),))
        assert "changed" in str(ledger.contradiction(changed))
        for cell in (first, next(sent.cell.around)):
            assert "cut otherwise" in str(ledger.contradiction(Part("m", cell, sent.files)))


def test_a_folder_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="make it writable, or copy it"):
        Ledger(tmp_path / "absent", URL, resume=True)
