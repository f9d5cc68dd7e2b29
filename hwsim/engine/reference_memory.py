"""Oracle, activation memory: lines of COLS codes, in which maps stand and may overwrite each other.

Follows docs/architecture.md, Numbers (maps). A map's rows take whole lines; its channels follow
each other, so that some of them are a place of their own.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from hwsim.engine.reference_units import Map, Step, compute
from hwsim.numbers.config import EngineConfig
from hwsim.program.layers import Shape
from hwsim.program.program import Program
from hwsim.program.wires import Place

#: A code of the memory: its line, and the lane in it.
Cell = tuple[int, int]


@dataclass
class Memory:
    """ACT_DEPTH lines of COLS codes; what was never written, nobody may read."""

    config: EngineConfig
    cells: dict[Cell, int] = field(default_factory=dict)

    def write(self, line: int, codes: Map) -> None:
        """A map from ``line`` on. Lanes beyond its width keep what they held."""
        depth = self.config.act_depth
        shape = len(codes), len(codes[0]), len(codes[0][0])
        rows = (row for plane in codes for row in plane)
        for cells, row in zip(self._rows(line, shape), rows, strict=True):
            for cell, code in zip(cells, row, strict=True):
                assert 0 <= cell[0] < depth, f"line {cell[0]} is beyond ACT_DEPTH"
                self.cells[cell] = code

    def read(self, line: int, shape: Shape) -> Map:
        """The map of ``shape`` from ``line`` on. AssertionError if nobody wrote some of it."""
        channels, height, _ = shape
        rows = []
        for cells in self._rows(line, shape):
            for cell in cells:
                assert cell in self.cells, f"line {cell[0]} is read before it is written"
            rows.append([self.cells[cell] for cell in cells])
        return [rows[c * height : (c + 1) * height] for c in range(channels)]

    def lines(self, line: int, shape: Shape) -> set[int]:
        """Lines that a map of ``shape`` takes from ``line`` on."""
        return {cell[0] for cells in self._rows(line, shape) for cell in cells}

    def _rows(self, line: int, shape: Shape) -> Iterator[list[Cell]]:
        """Where the codes of each row stand, channel by channel."""
        channels, height, width = shape
        spots = [divmod(x, self.config.cols) for x in range(width)]
        for row in range(channels * height):
            first = line + row * -(-width // self.config.cols)
            yield [(first + tile, lane) for tile, lane in spots]


def _line(program: Program, memory: Memory, place: Place) -> int:
    """First line of a place: that of its map, and the planes before it."""
    there = program.maps[place.map]
    plane = memory.lines(0, (1, *there.shape[1:]))
    return there.line + place.channel * len(plane)


def execute(program: Program, image: Any) -> list[Step]:
    """One inference, layer by layer, through the activation memory.

    Raises AssertionError where a layer reads what nobody wrote, or writes to what it reads, and as
    ``compute``: then hwsim.program.proof has a hole.
    """
    memory = Memory(program.config)
    memory.write(program.maps[0].line, image)
    steps: list[Step] = []
    for layer, wire in zip(program.layers, program.wires, strict=True):
        starts = [_line(program, memory, place) for place in wire.sources]
        step = compute(
            program.config, layer, [memory.read(start, layer.in_shape) for start in starts]
        )
        if wire.target is not None:
            target = _line(program, memory, wire.target)
            written = memory.lines(target, layer.out_shape)
            for start in starts:
                overlap = written & memory.lines(start, layer.in_shape)
                assert not overlap, f"{layer.name}: writes to lines that it reads"
            memory.write(target, step.output)
        steps.append(step)
    return steps
