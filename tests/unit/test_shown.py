"""Nothing that came from a file can move the cursor, turn text around, or be read as markup."""

from __future__ import annotations

import dataclasses
import io
import re
from pathlib import Path

import pytest
from rich.table import Table
from rich.text import Text

from hwsim.files.shown import shown
from hwsim.report.screen import Screen
from hwsim.rom import image as rom
from tests.images import small_program

ROOT = Path(__file__).parents[2]
HOSTILE = "a\x1b[2Jb\rc\u202ed\u200be\x9b31m\x07f\ud800g\u2066"


def printed(thing: object, **options: object) -> str:
    file = io.StringIO()
    Screen(file=file, width=200, **options).print(thing)
    return file.getvalue()


def test_plain_text_and_line_breaks_stay() -> None:
    for text in ("", "ε = 0.1 → 5 µs\n  × 2", "中文"):
        assert shown(text) == text


def test_what_cannot_be_seen_is_an_escape() -> None:
    assert shown("\x1b[31m\u202e\r\t") == r"\x1b[31m\u202e\r\t"
    assert shown(HOSTILE).isprintable()


def test_a_console_escapes_whatever_it_is_given() -> None:
    table = Table("head " + HOSTILE, box=None)
    table.add_row(HOSTILE)
    for thing in (HOSTILE, Text(HOSTILE), table):
        text = printed(thing)
        assert all(line.isprintable() for line in text.splitlines()), text
        assert "\\x1b[2J" in text
        assert "\\u202e" in text


def test_a_console_reads_neither_markup_nor_emoji_codes() -> None:
    text = "[red]x[/red] [/bold] :warning: [link=file:///]y[/link]"
    assert printed(text).strip() == text
    table = Table(text, box=None)
    table.add_row(text)
    assert printed(table).count(text) == 2
    with Screen(file=io.StringIO(), force_terminal=True).status("[/bold]"):
        pass


def test_colours_of_our_own_still_work() -> None:
    text = printed(Text("x\x1b[0m", style="red"), force_terminal=True, color_system="standard")
    assert text == "\x1b[31mx\\x1b[0m\x1b[0m\n"


def test_history_and_provenance_of_an_image_cannot_draw(tmp_path: Path) -> None:
    program = small_program().replace(
        provenance={"model": f"[bold]{HOSTILE[:-3]}"}, history=({"rewrite": "\x1b[2J\u202e"},)
    )
    rom.save(program, tmp_path / "a.hne")
    text = printed(rom.render(tmp_path / "a.hne"))
    assert all(line.isprintable() for line in text.splitlines())


def test_a_layer_name_that_cannot_be_seen_is_refused(tmp_path: Path) -> None:
    first, *rest = small_program().layers
    hidden = small_program().replace(layers=(dataclasses.replace(first, name="a\u202e"), *rest))
    with pytest.raises(ValueError, match="has unprintable characters") as error:
        rom.save(hidden, tmp_path / "a.hne")
    assert str(error.value).isprintable()


@pytest.mark.parametrize("columns", ["0", "", "1", "x", "٣", "9" * 5000, "-5"])
def test_columns_that_are_no_width_hide_nothing(
    monkeypatch: pytest.MonkeyPatch, columns: str
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    file = io.StringIO()
    Screen(file=file).print("a long line that must be seen whole")
    assert file.getvalue() == "a long line that must be seen whole\n"


def test_nothing_prints_past_the_guard() -> None:
    own = {
        "hwsim/files/shown.py",
        "hwsim/report/screen.py",
        "hwsim/commands/ending.py",
        "hwsim/cli.py",
    }
    own |= {
        "hwsim/bus/registers.py",
        "hwsim/program/header.py",
        "hwsim/units/softmax.py",
    }  # generators
    found = [
        f"{path.relative_to(ROOT)}: {line.strip()}"
        for path in sorted((ROOT / "hwsim").rglob("*.py"))
        if path.relative_to(ROOT).as_posix() not in own
        for line in path.read_text(encoding="utf-8").splitlines()
        if re.search(r"click\.(s?echo|secho)\(|(?<![.\w])print\(|(?<!\w)Console\(", line)
    ]
    assert found == []
