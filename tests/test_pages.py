"""The tutorial and the how-tos run from top to bottom, as a reader would follow them."""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.digits import data_folder
from tests.once import once
from tests.pages import HOW_TOS, NOT_HERE, TUTORIAL, commands, lines, make_commands

pytest.importorskip("nbclient", reason="nbclient is not installed: make test installs it")
from nbclient import NotebookClient

from tools.site.notebook import NOTEBOOK, notebook, notebook_text, shown_outputs

#: Pages that drive other people's attack libraries.
CLIENTS = {"attack-libraries"}
PAGES = [
    pytest.param(page, id=page.stem, marks=[pytest.mark.clients] if page.stem in CLIENTS else [])
    for page in HOW_TOS
]
SPINNER = "⠋"


def followed(page: Path, folder: Path, forked: Path, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The cells of a page after they ran in ``folder``; an error in one of them is raised."""
    path = [str(forked), str(Path(sys.executable).parent), os.environ["PATH"]]
    monkeypatch.setenv("PATH", os.pathsep.join(path))
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("JUPYTER_PREFER_ENV_PATH", "1")
    book = notebook(page)
    where = {"metadata": {"path": str(folder)}}
    NotebookClient(book, timeout=1200, kernel_name="python3", resources=where).execute()
    return [cell for cell in book.cells if cell.cell_type == "code"]


def printed(cell: Any, stream: str = "stdout") -> str:
    """What a cell wrote."""
    texts = [o["text"] for o in cell.outputs if o.get("name") == stream]
    return "".join(texts)


@pytest.mark.slow
def test_the_tutorial_prints_what_it_shows_but_for_numbers(
    tmp_path: Path, forked: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def words(text: str) -> str:
        return re.sub(r"\d[\d,.]*", "#", text).strip()

    shown = shown_outputs()
    cells = followed(TUTORIAL, tmp_path, forked, monkeypatch)
    python = [cell for cell in cells if not cell.source.startswith("%%sh")]
    assert [cell.source.strip() for cell in python] == list(shown)
    for cell in python:
        assert words(printed(cell)) == words(shown[cell.source.strip()]), cell.source
    for cell in cells:
        assert SPINNER not in printed(cell, "stderr"), "progress is for terminals"


@pytest.fixture(scope="session")
def few_digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder: what commands of a how-to do with 10,000 test images they do with these."""
    return once(tmp_path_factory, "few-digits", lambda folder: data_folder(folder, 10_000, 1_000))


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES)
def test_a_how_to_runs(
    page: Path, tmp_path: Path, forked: Path, few_digits: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HWSIM_DATA", str(few_digits))
    cells = followed(page, tmp_path, forked, monkeypatch)
    assert any(printed(cell) for cell in cells)


@pytest.mark.parametrize("page", [TUTORIAL, *HOW_TOS], ids=lambda page: page.stem)
def test_every_command_runs_or_says_why_not(page: Path) -> None:
    cells = [cell.source for cell in notebook(page).cells if cell.source.startswith("%%sh")]
    run_here = {line for source in cells for line in lines(source.partition("\n")[2])}
    assert set(commands(page)) <= run_here | set(make_commands()) | set(NOT_HERE)


def test_the_notebook_is_the_page() -> None:
    kept = NOTEBOOK.read_text(encoding="utf-8")
    assert kept == notebook_text(), "run `python -m tools.site.notebook`"
    assert not any(cell.get("outputs") for cell in json.loads(kept)["cells"])
