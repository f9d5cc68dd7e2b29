"""Every number with a unit in the prose of a page says where it comes from.

tests/docs_claims has a module for each page: sentences with the computation that gives their
numbers, numbers that need none with the reason, and what a command printed once, which the page
names. Whoever changes a number, or what it was computed from, is told which sentence to change.
"""

from __future__ import annotations

import pytest

from tests.docs_claims import prose
from tests.docs_claims.page import Page
from tests.docs_claims.pages import PAGES, WHOLE, documents
from tools.tables.blocks import ROOT


@pytest.mark.parametrize("page", PAGES.values(), ids=lambda page: page.path)
def test_a_page_says_what_its_sources_say(page: Page) -> None:
    assert not page.missing()


@pytest.mark.parametrize("path", documents())
def test_no_number_of_a_page_is_without_a_source(path: str) -> None:
    """Otherwise: give it one in tests/docs_claims"""
    assert not PAGES.get(path, Page(path)).loose()


@pytest.mark.parametrize("page", PAGES.values(), ids=lambda page: page.path)
def test_a_page_names_the_command_that_gave_a_number_once(page: Page) -> None:
    assert not page.unnamed()


def test_pages_that_are_not_looked_at_are_there() -> None:
    assert all((ROOT / path).is_file() for path in WHOLE)
    assert PAGES.keys() <= {*documents()}


# --- what is seen --------------------------------------------------------------------------------


@pytest.mark.parametrize("path", documents())
def test_a_number_that_somebody_adds_is_found(path: str) -> None:
    page = PAGES.get(path, Page(path))
    line = page.text.count("\n") + 2
    added = f"{page.text}\nIt succeeds on 12.3% of them, and takes 7 s.\n"
    assert page.loose(added) == [f"{path}:{line}: 12.3%", f"{path}:{line}: 7 s"]


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES.values(), ids=lambda page: page.path)
def test_a_number_that_somebody_changes_is_found(page: Page) -> None:
    """One digit more in any number leaves it loose: no words hold a number that they do not say."""
    text = page.text
    assert [number for number in prose.numbers(text) if not _changed(page, number)] == []


def _changed(page: Page, number: prose.Number) -> bool:
    text = page.text
    return bool(page.loose(f"{text[: number.begin]}9{text[number.begin :]}"))


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Falls by 51, 96 and 100% there.", ["51, 96 and 100%"]),
        ("From 68 to\n73% of them.", ["68 to\n73%"]),
        ("Takes 1,200 cycles, 3.5 ms or 2×.", ["1,200 cycles", "3.5 ms", "2×"]),
        ("At 90.0 MHz with 319 µJ.", ["90.0 MHz", "319 µJ"]),
        ("| cell | 12 s |", ["12 s"]),
        ("- a list, 4 points\n    more, 5 points", ["4 points", "5 points"]),
    ],
)
def test_a_number_with_a_unit_is_seen(text: str, found: list[str]) -> None:
    assert [number.text for number in prose.numbers(text)] == found


@pytest.mark.parametrize(
    "text",
    [
        "<!-- speed: begin -->\n\n| 12 s |\n\n<!-- speed: end -->",
        "<!-- 12 s -->",
        "in code `sleep 12 s` it is",
        "```text\n12 s\n```",
        "A listing:\n\n    takes 12 s\n\n",
        "a 3×3 kernel, 8 × 8 multipliers, 16 bits, ε = 0.2, 2^16 x",
    ],
)
def test_code_generated_places_and_sizes_are_no_prose(text: str) -> None:
    assert [number.text for number in prose.numbers(text)] == []
