"""The activation memory of an engine that takes batches: COLS banks, each with a page an image.

Pixel x of image b stands in bank (x + b) mod COLS of its line, page b. A bank has one port to read
and one to write: no two accesses of a cycle may want the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from hwsim.program.layers import Shape
from hwsim.program.program import Program
from hwsim.program.wires import Place


class Cell(NamedTuple):
    """Where a code stands."""

    bank: int
    page: int
    line: int


class PagedMemory:
    """Codes by cell; what nobody wrote, nobody may read.

    An access that no such memory could do is an AssertionError: of a bank, page or line that it
    does not have, of two cells of a bank in one cycle, of a cell that holds nothing.
    """

    def __init__(self, banks: int, pages: int, lines: int) -> None:
        self.banks, self.pages, self.lines = banks, pages, lines
        self.codes: dict[Cell, int] = {}

    def read(self, cells: Sequence[Cell]) -> list[int]:
        """What one cycle reads."""
        self._one_a_bank(cells)
        for cell in cells:
            assert cell in self.codes, f"{cell} is read, and nobody wrote it"
        return [self.codes[cell] for cell in cells]

    def write(self, codes: Mapping[Cell, int]) -> None:
        """What one cycle writes."""
        self._one_a_bank(list(codes))
        self.codes.update(codes)

    def _one_a_bank(self, cells: Sequence[Cell]) -> None:
        banks = [cell.bank for cell in cells]
        assert len(set(banks)) == len(banks), f"two accesses of a cycle to one bank: {banks}"
        for cell in cells:
            assert cell.bank in range(self.banks), f"there is no {cell}"
            assert cell.page in range(self.pages), f"there is no {cell}"
            assert cell.line in range(self.lines), f"there is no {cell}"


class Room:
    """Channels of a map in every page: the cells of their pixels. shape: of all its channels."""

    def __init__(self, program: Program, place: Place) -> None:
        found, self.cols = program.maps[place.map], program.config.cols
        self.shape: Shape = found.shape
        self.tiles = -(-self.shape[2] // self.cols)
        self.first = found.line + place.channel * self.shape[1] * self.tiles

    def line(self, c: int, y: int, x: int) -> int:
        return self.first + (c * self.shape[1] + y) * self.tiles + x // self.cols

    def cell(self, image: int, c: int, y: int, x: int) -> Cell:
        return Cell((x + image) % self.cols, image, self.line(c, y, x))
