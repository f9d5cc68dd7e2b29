"""What a page owes: where each number of its prose comes from."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property

from tests.docs_claims import prose
from tools.tables.blocks import ROOT

Claims = Callable[[], Iterator[str]]


def no_claims() -> Iterator[str]:
    """For a page without computed sentences."""
    yield from ()


@dataclass(frozen=True)
class Page:
    """A page and the sources of its numbers, each under the words around it.

    claims: sentences with numbers computed anew. fixed: words -> why their number needs no
    computation (a definition, a published figure). history: words -> the command, named in the
    page, that printed the number once.
    """

    path: str
    claims: Claims = no_claims
    fixed: Mapping[str, str] = field(default_factory=dict)
    history: Mapping[str, str] = field(default_factory=dict)

    @property
    def text(self) -> str:
        return (ROOT / self.path).read_text(encoding="utf-8")

    def missing(self) -> list[str]:
        """Words that the page no longer says."""
        text = self.text
        return [words for words in self.words if not _places(words, text)]

    def loose(self, text: str | None = None) -> list[str]:
        """Numbers of the prose that stand in no words of the above; ``text``: another page's."""
        text = self.text if text is None else text
        held = [place for words in self.words for place in _places(words, text)]
        return [
            f"{self.path}:{text.count(chr(10), 0, number.begin) + 1}: {number.text}"
            for number in prose.numbers(text)
            if not any(begin <= number.begin and number.end <= end for begin, end in held)
        ]

    def unnamed(self) -> list[str]:
        """Commands of the history that begin no code of the page."""
        text = self.text
        return [command for command in {*self.history.values()} if not _places(f"`{command}", text)]

    @cached_property
    def words(self) -> list[str]:
        """All words that hold a number; the claims are computed once."""
        return [*self.claims(), *self.fixed, *self.history]


def _places(words: str, text: str) -> list[tuple[int, int]]:
    """Where a page says so, however its lines are broken and whatever begins a sentence."""
    pattern, found = _pattern(words), []
    # A pattern that may not stand behind a letter is tried at every place: here only at good ones.
    low, first = text.lower(), words.split()[0].lower()
    begin = low.find(first)
    while begin >= 0:
        place = pattern.match(text, begin)
        if place:
            found.append(place.span())
        begin = low.find(first, place.end() if place else begin + 1)
    return found


@cache
def _pattern(words: str) -> re.Pattern[str]:
    pattern = r"\s+".join(re.escape(word) for word in words.split())
    pattern = rf"(?<![\w.]){pattern}" if words[0].isalnum() else pattern
    pattern = rf"{pattern}(?!\w)" if words[-1].isalnum() else pattern
    return re.compile(pattern, re.IGNORECASE)
