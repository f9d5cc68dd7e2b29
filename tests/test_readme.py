"""README is one screen and a way on; what it prints runs, and so does every make of the pages."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.pages import HOW_TOS, NOT_HERE, README, ROOT, TUTORIAL, blocks, commands, make_commands

TEXT = README.read_text(encoding="utf-8")

FIRST = "make sim ATTACK=hfgsm"


def run(
    command: list[str] | str, folder: Path, **environment: str
) -> subprocess.CompletedProcess[str]:
    # What a make above says to makes below it would show on the screen.
    around = {k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS")}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        command,
        shell=isinstance(command, str),
        cwd=folder,
        env={**around, "PATH": path, "COLUMNS": "100", **environment},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.slow
def test_the_first_command_prints_the_screen_of_the_readme_but_for_numbers() -> None:
    """As a newcomer runs it: nothing is forked here."""

    def words(text: str) -> list[str]:
        # Where the data came from differs between machines.
        return re.sub(r"\d[\d,.]*", "#", re.sub(r"\((cache|data folder) .*?\)", "", text)).split()

    done = run(FIRST, ROOT)
    assert done.returncode == 0, done.stderr
    assert "one inference" in done.stdout
    (screen,) = blocks(README, "text")
    # A first call says before that it installs.
    assert words(done.stdout[done.stdout.index("HFGSM on") :]) == words(screen)


@pytest.mark.slow
@pytest.mark.parametrize("command", [command for command in make_commands() if command != FIRST])
def test_make_command_runs(command: str, forked: Path) -> None:
    done = run(command, ROOT, MAKEFLAGS=f"BIN={forked}")
    assert done.returncode == 0, done.stderr
    assert "one inference" in done.stdout


@pytest.mark.slow
def test_python_example_runs(tmp_path: Path) -> None:
    (example,) = blocks(README, "python")
    done = run([sys.executable, "-c", example], tmp_path)
    assert done.returncode == 0, done.stderr
    assert re.fullmatch(r"[\d,]+ cycles, fooled \d+%\n", done.stdout)


def test_readme_has_at_most_150_lines() -> None:
    assert len(TEXT.splitlines()) <= 150


def test_readme_shows_two_commands_and_all_of_them_are_make() -> None:
    assert commands(README) == [FIRST, "make test"]


def test_every_linked_file_exists() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", TEXT):
        if "://" not in target:
            assert (ROOT / target).exists(), target


def test_every_how_to_is_reached_from_the_readme() -> None:
    for page in (TUTORIAL, *HOW_TOS):
        assert f"]({page.relative_to(ROOT).as_posix()})" in TEXT, page


def test_commands_that_do_not_run_here_are_still_on_a_page() -> None:
    shown = {command for page in (README, TUTORIAL, *HOW_TOS) for command in commands(page)}
    assert set(NOT_HERE) <= shown
