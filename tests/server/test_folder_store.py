from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from intdash_frames.errors import UsageError
from intdash_frames.model import dump
from intdash_frames.server import catalogue, definitions, markers
from intdash_frames.server.catalogue import Page, Where
from intdash_frames.server.folder_store import folder_store
from intdash_frames.server.store import Refused, Store
from tests.frames.stored import BASETIME_NS, float_row
from tests.server.folders import exported

ALL = Page("uuid", False, 1000, 1)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    exported(tmp_path, [[float_row(123_456_789, 1.0)], [float_row(7, 1.0)]], shift_ns=10**9)
    return tmp_path


def changed(folder: Path, change: Any) -> Path:
    manifest = json.loads((folder / "manifest.json").read_text())
    change(manifest)
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


def all_measurements(store: Store) -> list[dict[str, Any]]:
    with store.read() as cursor:
        return [dump(each) for each in catalogue.measurements(cursor, Where(), Page("m.created_ns", False, 1000, 1))[0]]


def test_what_the_manifest_says_is_what_the_store_says(folder: Path) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    store = folder_store(folder)
    with store.read() as cursor:
        edges, _ = catalogue.edges(cursor, Where(), ALL)
        assert {each.uuid: dump(each) for each in edges} == manifest["edges"]
        for uuid, described in manifest["measurements"].items():
            assert {name: value for name, value in dump(catalogue.measurement(cursor, uuid)).items() if name != "markers"} == (
                described["record"]
            )
            assert [dump(each) for each in catalogue.basetimes(cursor, uuid)] == described["basetimes"]
    store.close()


def test_a_duration_ends_where_the_last_point_is(folder: Path) -> None:
    store = folder_store(folder)
    with store.read() as cursor:
        found = cursor.execute("SELECT last_elapsed_ns FROM measurements ORDER BY id").fetchall()
    assert found == [(123_456_789,), (7,)]
    store.close()


def test_nothing_of_it_is_written(folder: Path) -> None:
    store = folder_store(folder)
    with pytest.raises(Refused, match="stays as it is") as caught, store.write():
        pass
    assert caught.value.status == 403
    (uuid, *_) = (each["uuid"] for each in all_measurements(store))
    with pytest.raises(Refused):
        catalogue.delete_measurement(store, uuid)
    assert len(all_measurements(store)) == 2
    store.close()


def test_what_later_servers_say_and_is_not_known_here_is_left_out(folder: Path) -> None:
    def change(manifest: dict[str, Any]) -> None:
        for described in manifest["measurements"].values():
            described["basetimes"].append({"type": "sundial", "basetime": "2020-01-01T00:00:00Z"})
            described["markers"].append({"uuid": "x", "type": "cloud", "detail": {}})
        for edge in manifest["edges"].values():
            edge["type"] = "satellite"

    store = folder_store(changed(folder, change))
    with store.read() as cursor:
        edges, _ = catalogue.edges(cursor, Where(), ALL)
        assert [each.type for each in edges] == ["device"]
        for each in all_measurements(store):
            assert len(catalogue.basetimes(cursor, each["uuid"])) == 1
            assert markers.markers(cursor, each["uuid"]) == []
    store.close()


def test_the_base_time_in_use_is_there_even_if_it_was_not_listed(folder: Path) -> None:
    def change(manifest: dict[str, Any]) -> None:
        for described in manifest["measurements"].values():
            described["basetimes"] = []

    store = folder_store(changed(folder, change))
    with store.read() as cursor:
        starts = [catalogue.basetimes(cursor, each["uuid"])[0].basetime for each in all_measurements(store)]
    assert [start.value for start in starts if start is not None] == [BASETIME_NS, BASETIME_NS + 10**9]
    assert definitions.SIGNAL_SORTS
    store.close()


@pytest.mark.parametrize(
    "change",
    [
        lambda manifest: next(iter(manifest["measurements"].values())).pop("record"),
        lambda manifest: next(iter(manifest["measurements"].values()))["record"].pop("duration"),
        lambda manifest: manifest["parts"][0]["files"][0].update(data_type="smell"),
        lambda manifest: manifest["parts"][0]["files"][0].pop("sha256"),
        lambda manifest: manifest.update(signals=[{"label": "x"}]),
        lambda manifest: manifest.update(format=2),
        lambda manifest: next(iter(manifest["measurements"].values()))["record"].update(name=["x"]),
    ],
)
def test_a_manifest_that_does_not_say_what_it_has_to_is_refused(folder: Path, change: Any) -> None:
    with pytest.raises(UsageError, match="manifest"):
        folder_store(changed(folder, change))


def test_the_journal_of_a_killed_export_is_no_folder_to_serve(tmp_path: Path) -> None:
    (tmp_path / ".journal.jsonl").write_text("{}\n")
    with pytest.raises(UsageError, match="came to its end"):
        folder_store(tmp_path)
