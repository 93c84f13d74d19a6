"""What the documentation says is what the package does."""

from __future__ import annotations

from pathlib import Path

from intdash_frames.codecs.table import markdown

DOCS = Path(__file__).parents[2] / "docs"


def test_page_of_payloads_shows_the_table_of_layouts() -> None:
    assert markdown() in (DOCS / "reference" / "payloads.md").read_text(encoding="utf-8")
