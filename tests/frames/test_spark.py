"""Without PySpark the error says what to install; with it, see `test_spark_source`."""

import sys
from typing import Any

import pytest

import intdash_frames as idf
from intdash_frames import MissingDependency


def test_without_pyspark_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ["pyspark", *(each for each in sys.modules if each.startswith("pyspark."))]:
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.delitem(sys.modules, "intdash_frames.frames.spark_source", raising=False)
    session: Any = None
    with pytest.raises(MissingDependency, match=r"intdash-frames\[spark\]"):
        idf.spark.register(session)
