"""docs/tutorial-tflite.md prints what it shows, to the last digit."""

from __future__ import annotations

import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from tests import shared_files
from tests.pages import ROOT, blocks, commands

pytest.importorskip("ai_edge_litert", reason="LiteRT is not installed: make test installs it")
pytest.importorskip("jupytext", reason="jupytext is not installed: make test installs it")
from tools.site import transcript

TEXT = transcript.PAGE.read_text(encoding="utf-8")


@pytest.mark.slow
@pytest.mark.importer
def test_every_block_prints_what_the_page_shows(tmp_path: Path, forked: Path) -> None:
    """Otherwise: python -m tools.site.transcript MODELS"""
    shutil.copy(shared_files.networks() / transcript.MODEL, tmp_path)
    (tmp_path / "data").mkdir()
    data = shared_files.photographs(tmp_path / "data")
    environment = transcript.around(forked) | {"HWSIM_DATA": str(data), "OMP_NUM_THREADS": "1"}
    assert transcript.written(TEXT, tmp_path, environment) == TEXT


def test_a_block_that_prints_something_else_is_shown_as_it_is(tmp_path: Path) -> None:
    page = "```sh\necho new\n```\n\n```text\nold\n```\n\n```python\nx = 1\n```\n"
    found = transcript.written(page, tmp_path, transcript.around())
    assert found == page.replace("old", "new")


def test_a_block_that_fails_ends_the_page(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="no such network"):
        transcript.written(
            "```sh\necho no such network >&2; false\n```\n", tmp_path, transcript.around()
        )


def test_the_page_shows_what_its_commands_print() -> None:
    silent = {"cifar.npz"}
    for match in transcript.BLOCK.finditer(TEXT):
        if not match["source"].startswith(transcript.IN_A_CLONE):
            assert match["shown"] or any(name in match["source"] for name in silent)


def test_the_make_of_the_page_is_its_first_attack() -> None:
    (make,) = [line for line in commands(transcript.PAGE) if line.startswith("make ")]
    first = next(line for line in commands(transcript.PAGE) if line.startswith("hwsim attack"))
    arguments = shlex.split(make)[1:]
    shown = subprocess.run(
        ["make", "--dry-run", "--no-print-directory", *arguments],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    (line,) = [part for part in shown.replace("\\\n", "").splitlines() if "hwsim attack" in part]
    assert shlex.split(line)[1:] == shlex.split(first)[1:]


def test_the_installation_of_the_page_is_the_extras() -> None:
    (pip,) = [b for b in blocks(transcript.PAGE, "sh") if b.startswith("pip ")]
    assert pip == "pip install -c constraints.txt -e '.[import,runtimes,rtl]'\n"
