"""What the documentation says is what the package does."""

from __future__ import annotations

from pathlib import Path

from intdash_frames.cli.main import app
from intdash_frames.codecs.table import markdown

DOCS = Path(__file__).parents[2] / "docs"


def test_page_of_payloads_shows_the_table_of_layouts() -> None:
    assert markdown() in (DOCS / "reference" / "payloads.md").read_text(encoding="utf-8")


def test_page_of_commands_names_every_command() -> None:
    page = (DOCS / "reference" / "commands.md").read_text(encoding="utf-8")
    assert {each.name for each in app.registered_commands if f"`{each.name}" not in page} == set()
