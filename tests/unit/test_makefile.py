"""Every test is run by one of the commands of the Makefile."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")


def listed(name: str) -> list[str]:
    """The words of a variable."""
    (text,) = re.findall(rf"^{name} +:= (.*)$", MAKEFILE, re.MULTILINE)
    return text.split()


def files_of_tests(*folders: str) -> set[Path]:
    """Files of tests in these folders, or these files."""
    found = [(ROOT / folder).rglob("test_*.py") for folder in folders]
    return {path for paths in found for path in paths} | {
        ROOT / folder for folder in folders if (ROOT / folder).is_file()
    }


def marked(mark: str) -> set[Path]:
    """Files of tests that use a mark."""
    use = f"mark.{mark}"
    return {path for path in files_of_tests("tests") if use in path.read_text(encoding="utf-8")} - {
        Path(__file__)
    }


def test_whoever_is_marked_clients_is_where_make_clients_looks() -> None:
    assert marked("clients")
    assert marked("clients") <= files_of_tests(*listed("CLIENTS"))


def test_what_make_unit_does_not_open_is_run_by_another_make() -> None:
    ignored = [word.removeprefix("--ignore=") for word in listed("ELSEWHERE")]
    assert set(ignored) == {"tests/clients", "tests/formal"}
    for folder, mark in zip(ignored, ("clients", "formal"), strict=True):
        for path in files_of_tests(folder):
            text = path.read_text(encoding="utf-8")
            assert re.search(rf"^pytestmark = .*\bmark\.{mark}\b", text, re.MULTILINE), path
