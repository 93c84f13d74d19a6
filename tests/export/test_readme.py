from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

import intdash_frames as idf
from intdash_frames.export.readme import readme
from intdash_frames.folder.manifest import Manifest


def test_what_the_page_says_runs_in_the_folder(
    client: idf.Client, everything: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client.export(everything, tmp_path, ["float:*/*", "string:*/*"])
    monkeypatch.chdir(tmp_path)
    page = (tmp_path / "README.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL)
    exec(compile(code, "README.md", "exec"), {})
    assert all(name in page for name in os.listdir(tmp_path) if name.startswith("data_type="))


def test_the_page_says_what_is_missing() -> None:
    manifest = Manifest("1", "http://x", {})
    assert "not all could be read" not in readme(manifest)
    manifest.failed.append({"measurement": "m"})
    assert "not all could be read" in readme(manifest)
