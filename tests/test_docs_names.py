"""What the documentation names exists: files, tests, modules, options of commands, headings."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import click
import pytest

from hwsim.commands.group import hwsim

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
IDS = [str(page.relative_to(ROOT)) for page in PAGES]
FOLDERS = "hwsim|models|attacks|rtl|tests|docs|configs"
#: Files that a run makes, not the repository.
MADE = re.compile(r"runs/|\*|…|<|[A-Z]{4}")


def _text(page: Path) -> str:
    return page.read_text(encoding="utf-8")


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_named_files_and_tests_exist(page: Path) -> None:
    named = re.findall(rf"(?<![\w/.-])((?:{FOLDERS})/[\w./-]*\w)(?:::(\w+))?", _text(page))
    missing = []
    for path, test in named:
        if not list(ROOT.glob(f"{path}*" if path.endswith("_") else path)) and not MADE.search(
            path
        ):
            missing.append(path)
        elif test and f"def {test}(" not in _text(ROOT / path):
            missing.append(f"{path}::{test}")
    assert not missing


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_links_lead_to_files_and_headings(page: Path) -> None:
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", _text(page)):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        file = page.parent / path if path else page
        if not file.exists() or (anchor and anchor not in set(_anchors(file))):
            broken.append(target)
    assert not broken


def _anchors(page: Path) -> Iterator[str]:
    for heading in re.findall(r"^#+ (.*)$", _text(page), re.MULTILINE):
        yield re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-")


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_named_modules_can_be_run_and_imported(page: Path) -> None:
    named = re.findall(r"python -m ((?:hwsim|docs|tests|models|attacks)[\w.]*)", _text(page))
    named += [
        name.rpartition(".")[0] for name in re.findall(r"`(hwsim(?:\.\w+)+)[`(]", _text(page))
    ]
    assert not [name for name in named if name and not _module(name)]


def _module(name: str) -> bool:
    """``hwsim.rom.image``, ``hwsim`` and ``hwsim.numbers.config.EngineConfig`` without its last
    part.
    """
    try:
        return find_spec(name) is not None
    except ModuleNotFoundError:
        return False


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_named_commands_have_the_options_that_are_named(page: Path) -> None:
    wrong = []
    for words in re.findall(r"\bhwsim ((?:[a-z]+ )?[a-z][\w -]*?[^\n`#|]*)[\n`#|]", _text(page)):
        command, rest = _command(words.split())
        if command is None:
            continue
        known = {option for parameter in command.params for option in parameter.opts}
        named = [word.rstrip(".,:;)").split("=")[0] for word in rest if word.startswith("--")]
        wrong += [f"{words}: {name}" for name in named if name not in known | {"--help"}]
    assert not wrong


def _command(words: list[str]) -> tuple[click.Command | None, list[str]]:
    """The command that ``hwsim WORDS`` runs, and what follows; None if this is no command line."""
    found: click.Command = hwsim
    context = click.Context(hwsim)
    while isinstance(found, click.Group) and words:
        try:
            inner = found.get_command(context, words[0])
        except click.ClickException:  # a placeholder such as <name>
            inner = None
        if inner is None:
            return None, []
        found, words = inner, words[1:]
    return found, words


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_named_make_targets_exist(page: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", _text(ROOT / "Makefile"), re.MULTILINE))
    in_code = re.findall(r"(?:`|^    )make ([a-z][a-z-]*)", _text(page), re.MULTILINE)
    for block in re.findall(r"^```\w*\n(.*?)^```", _text(page), re.MULTILINE | re.DOTALL):
        in_code += re.findall(r"^make ([a-z][a-z-]*)", block, re.MULTILINE)
    assert not set(in_code) - targets
