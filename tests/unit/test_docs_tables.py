"""Places in a Markdown file are read and written whole; a printed table is kept as it was."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hwsim.errors import InputError
from hwsim.files import markdown
from tools.tables import measured

PAGE = "before\n<!-- one: begin -->\n\nold\n\n<!-- one: end -->\nafter\n"


def test_what_was_put_is_got_and_nothing_else_moves(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(PAGE)
    assert markdown.get(page, "one") == "old"
    markdown.put(page, "one", "new\nlines")
    assert markdown.get(page, "one") == "new\nlines"
    assert page.read_text() == PAGE.replace("old", "new\nlines")


def test_a_place_that_is_not_there_is_named(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(PAGE)
    with pytest.raises(InputError, match="two: begin"):
        markdown.get(page, "two")


def test_a_printed_table_is_kept_beside_its_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measured, "FOLDER", tmp_path)
    old = {"command": "make x", "head": ["a", "b"], "rows": [["1", "2"]]}
    (tmp_path / "x.json").write_text(json.dumps(old))
    measured.take("x", "progress\n| a | c |\n|---|---:|\n| 3 | 4 |\n")
    assert measured.read("x") == {"command": "make x", "head": ["a", "c"], "rows": [["3", "4"]]}
    with pytest.raises(InputError, match="2 columns"):
        measured.take("x", "| a |\n|---|\n| 3 |\n")
