"""Where a page's prose names a number with a unit.

Prose is what is left of a page without generated blocks, code (fenced, indented, in back-quotes)
and comments. What is taken away leaves a space for each character, so that places are those of
the page.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

#: Units of what is measured. A bare number is not asked for: it is a width, a count or a parameter
#: that the text around it defines.
UNITS = (
    "%",
    r"×(?!\s?\d)",
    "x",
    "cycles?",
    "points?",
    "nats",
    "times",
    "ns",
    "µs",
    "ms",
    "s",
    "seconds?",
    "minutes?",
    "hours?",
    "MHz",
    "GHz",
    "[KMGk]i?B",
    "[nµm]J",
    "dB",
    "(?:LUT|DSP)s?",
    r"\w+/s",
)

_FIGURE = r"\d+(?:,\d{3})*(?:\.\d+)?(?:e[-+]?\d+)?"
#: "51, 96 and 100%" is one place with three numbers, and so is "68 to 73%".
_BEFORE = rf"(?:{_FIGURE}%?(?:,|\s(?:to|and|or|against|by)|,\sand)\s)*"
_NUMBER = re.compile(rf"(?<![\w.,^/]){_BEFORE}{_FIGURE}\s?(?:{'|'.join(UNITS)})(?![\w^])")
_TAKEN_AWAY = (
    re.compile(r"<!-- (\S+): begin -->.*?<!-- \1: end -->", re.DOTALL),
    re.compile(r"^( *)```.*?^\1```", re.DOTALL | re.MULTILINE),
    re.compile(r"<!--.*?-->", re.DOTALL),
    re.compile(r"(?:(?<=\n\n)|\A)(?: {4}\S.*\n|\n)+"),
    re.compile(r"(?<!`)(`+)(?!`).+?(?<!`)\1(?!`)", re.DOTALL),
)


class Number(NamedTuple):
    """A number with its unit, as it stands in a page, and where."""

    text: str
    begin: int
    end: int


def of(page: str) -> str:
    """The prose of a page, everything at its place."""
    for pattern in _TAKEN_AWAY:
        page = pattern.sub(lambda found: re.sub(r"[^\n]", " ", found[0]), page)
    return page


def numbers(page: str) -> Iterator[Number]:
    """Every number with a unit that a page's prose names."""
    for found in _NUMBER.finditer(of(page)):
        yield Number(found[0], *found.span())
