"""Oracle, activation memory: lines of COLS codes, in which maps stand and may overwrite each other.

Follows docs/architecture.md, Numbers (maps). A map's rows take whole lines; its channels follow
each other, so that some of them are a place of their own.
"""

from __future__ import annotations

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
        shape = len(codes), len(codes[0]), len(codes[0][0])
        for c, y, x in _places(shape):
            cell = self._cell(line, shape, c, y, x)
            assert 0 <= cell[0] < self.config.act_depth, f"line {cell[0]} is beyond ACT_DEPTH"
            self.cells[cell] = codes[c][y][x]

    def read(self, line: int, shape: Shape) -> Map:
        """The map of ``shape`` from ``line`` on. AssertionError if nobody wrote some of it."""
        channels, height, width = shape
        codes = [[[0] * width for _ in range(height)] for _ in range(channels)]
        for c, y, x in _places(shape):
            cell = self._cell(line, shape, c, y, x)
            assert cell in self.cells, f"line {cell[0]} is read before it is written"
            codes[c][y][x] = self.cells[cell]
        return codes

    def lines(self, line: int, shape: Shape) -> set[int]:
        """Lines that a map of ``shape`` takes from ``line`` on."""
        return {self._cell(line, shape, c, y, x)[0] for c, y, x in _places(shape)}

    def _cell(self, line: int, shape: Shape, c: int, y: int, x: int) -> Cell:
        _, height, width = shape
        tiles = -(-width // self.config.cols)
        tile, lane = divmod(x, self.config.cols)
        return line + (c * height + y) * tiles + tile, lane


def _places(shape: Shape) -> list[tuple[int, int, int]]:
    channels, height, width = shape
    return [(c, y, x) for c in range(channels) for y in range(height) for x in range(width)]


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
