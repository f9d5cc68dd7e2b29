"""Verilator's coverage.dat: reading it, and adding up what many simulations saw.

The file is text. A line is ``C '<keys>' <count>``; a key is \\x01 name \\x02 value. The ones that
matter here: f the file, l and n where the point stands, page its kind and module, o what it is, S
the lines of source that run with it, h the instance.

A point is told by all of them but the instance: instances of a module, in all configurations, add
up. So a branch that only one configuration has is covered by that configuration.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

LINE, BRANCH, TOGGLE = "v_line", "v_branch", "v_toggle"


@dataclass(frozen=True, order=True)
class Point:
    """Something that a simulation can run through.

    file: name without its folder. line, column: where it stands. kind: LINE, BRANCH or TOGGLE.
    what: "block", "if", "else", "case", "cond_then", ...; of a toggle signal[bit]:0->1.
    lines: the lines of source that are run with it; of a branch without code its own line.
    """

    file: str
    line: int
    column: int
    kind: str
    what: str
    lines: tuple[int, ...] = ()

    @property
    def module(self) -> str:
        return self.file.removesuffix(".v")


Counts = dict[Point, int]


class CoverageError(Exception):
    """A file that is no coverage file; the message says where."""


def _lines(ranges: str) -> Iterator[int]:
    """``"3-5,9"`` as 3, 4, 5, 9."""
    for part in ranges.split(","):
        first, _, last = part.partition("-")
        yield from range(int(first), int(last or first) + 1)


def _point(keys: str) -> Point:
    fields = dict(key.split("\x02", 1) for key in keys.split("\x01") if key)
    kind = fields["page"].split("/")[0]
    line = int(fields["l"])
    ranges = fields.get("S")
    lines = tuple(_lines(ranges)) if ranges else (line,)
    return Point(
        Path(fields["f"]).name, line, int(fields["n"]), kind, fields["o"],
        () if kind == TOGGLE else lines,
    )  # fmt: skip


def read(text: str, origin: str = "coverage") -> Counts:
    """All points of one file, those that were never reached with a count of 0."""
    counts: Counts = {}
    for number, row in enumerate(text.splitlines(), 1):
        if row.startswith("#"):
            continue
        try:
            mark, keys, count = row[:3], *row[3:].rsplit("' ", 1)
            if mark != "C '":
                raise ValueError
            point = _point(keys)
            counts[point] = counts.get(point, 0) + int(count)
        except (KeyError, ValueError):
            raise CoverageError(f"{origin}, line {number}: no coverage point") from None
    return counts


def merge(parts: Iterable[Counts]) -> Counts:
    """The sum of what several simulations saw."""
    total: Counts = {}
    for part in parts:
        for point, count in part.items():
            total[point] = total.get(point, 0) + count
    return total


def read_folder(folder: Path) -> Counts:
    """The sum of all .dat files of a folder; raises CoverageError where there is none."""
    files = sorted(folder.glob("*.dat"))
    if not files:
        raise CoverageError(f"no simulation left a coverage file in {folder}")
    return merge(read(path.read_text(encoding="utf-8"), path.name) for path in files)
