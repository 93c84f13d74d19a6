"""What is in ``df.attrs`` is shared between frames, so nobody can change it."""

from __future__ import annotations

import copy
import json
import pickle

import pandas as pd
import pytest

from intdash_frames.frames.attributes import freeze

PLAIN = {"source": {"names": ["a", "b"]}, "units": {"ax": "m/s²"}, "head": None}


def test_nothing_in_it_can_be_changed() -> None:
    frozen = freeze(PLAIN)
    for change in (
        lambda: frozen.update(a=1),
        lambda: frozen.pop("units"),
        frozen["units"].clear,
        lambda: frozen["source"].setdefault("x", 1),
        lambda: frozen["source"].__setitem__("names", ()),
        lambda: frozen.__delitem__("units"),
    ):
        with pytest.raises(TypeError, match="cannot be changed"):
            change()
    assert frozen == {"source": {"names": ("a", "b")}, "units": {"ax": "m/s²"}, "head": None}


def test_copies_are_itself_and_pickles_and_json_are_equal() -> None:
    frozen = freeze(PLAIN)
    assert copy.copy(frozen) is frozen
    assert copy.deepcopy(frozen) is frozen
    assert pickle.loads(pickle.dumps(frozen)) == frozen
    assert json.loads(json.dumps(frozen)) == PLAIN


def test_frames_made_from_a_frame_share_it() -> None:
    frame = pd.DataFrame({"a": [1, 2]})
    frame.attrs["intdash"] = freeze(PLAIN)
    assert (frame * 2).attrs["intdash"] is frame.attrs["intdash"]
    assert frame.copy().attrs["intdash"] is frame.attrs["intdash"]
