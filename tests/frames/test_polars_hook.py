"""polars gets its namespace whenever it is imported, and never sooner."""

from __future__ import annotations

import importlib
import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from intdash_frames.frames.polars_hook import when_imported

CHECK = "assert hasattr(polars.DataFrame({'a': [1]}), 'intdash'); print('done')"


@pytest.mark.parametrize(
    "script",
    [
        # a look at whether it is there, as many packages take, is no import
        "import intdash_frames, importlib.util, sys; assert importlib.util.find_spec('polars'); "
        f"assert 'polars' not in sys.modules; import polars; {CHECK}",
        f"import polars, intdash_frames; {CHECK}",
    ],
    ids=["after", "before"],
)
def test_polars_has_the_namespace(script: str) -> None:
    done = subprocess.run([sys.executable, "-W", "error", "-c", script], check=False, capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("done\n", "")


def test_it_happens_once_and_only_for_the_package_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    called = []
    finders = list(sys.meta_path)
    when_imported("json", lambda: called.append("json"))
    assert called == ["json"]  # it is loaded already
    (tmp_path / "made_for_this_test.py").write_text("loaded = True")
    monkeypatch.syspath_prepend(tmp_path)
    when_imported("made_for_this_test", lambda: called.append("made"))
    assert importlib.util.find_spec("made_for_this_test") is not None
    assert called == ["json"]
    assert importlib.import_module("made_for_this_test").loaded
    assert called == ["json", "made"]
    importlib.reload(sys.modules["made_for_this_test"])
    assert called == ["json", "made"]
    assert sys.meta_path == finders
    del sys.modules["made_for_this_test"]


def test_a_package_that_is_not_there_stays_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))
    when_imported("nowhere_to_be_found", lambda: pytest.fail("there is no such package"))
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("nowhere_to_be_found")
