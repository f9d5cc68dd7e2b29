"""Oracle of a program with faults: from the lines of its memories, one integer at a time.

Follows docs/faults.md and docs/images.md. Only shapes and places come from the layers; every word
is read where the engine would read it, and every sum keeps the low bits of its register.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from hwsim.engine.reference_hash import address_and_sign
from hwsim.engine.reference_memory import Memory
from hwsim.engine.reference_units import (
    Map,
    first_maximum,
    members,
    summed,
    taps,
    window_at,
)
from hwsim.numbers.config import EngineConfig
from hwsim.program.layers import (
    AddLayer,
    AffineLayer,
    AverageLayer,
    Layer,
    LutLayer,
    MacLayer,
    PoolLayer,
    is_last,
)
from hwsim.program.program import Placement, Program
from hwsim.rom.memories import memory_files, memory_values

Line = list[int]  # by field, unsigned


@dataclass(frozen=True)
class LineOutcome:
    """What a layer wrote, and how many of its accumulators, and of its p or logits, wrapped."""

    output: Map
    sums: int
    products: int


def lines_of(program: Program) -> dict[str, list[Line]]:
    """All memories of a program, by file: unsigned words (line, field)."""
    found = {}
    for name, file in memory_files(program).items():
        mask = (1 << file.width) - 1
        values = [line for piece in memory_values(program, name) for line in piece.tolist()]
        found[name] = [[word & mask for word in line] for line in values]
    return found


def execute_lines(program: Program, image: Any) -> list[LineOutcome]:
    """One inference, layer by layer. image: [channel][row][column] codes."""
    lines = lines_of(program)
    memory = Memory(program.config)
    memory.write(program.maps[0].line, image)
    outcomes = []
    places = program.placements()
    for layer, wire, place in zip(program.layers, program.wires, places, strict=True):
        sources = [
            memory.read(_first_line(program, memory, one), layer.in_shape) for one in wire.sources
        ]
        outcome = _Unit(program.config, layer, place, lines).compute(sources)
        if wire.target is not None:
            memory.write(_first_line(program, memory, wire.target), outcome.output)
        outcomes.append(outcome)
    return outcomes


def _first_line(program: Program, memory: Memory, place: Any) -> int:
    there = program.maps[place.map]
    return int(there.line + place.channel * len(memory.lines(0, (1, *there.shape[1:]))))


class _Unit:
    """One layer. sums, products: how many wrapped so far."""

    def __init__(
        self, config: EngineConfig, layer: Layer, place: Placement, lines: dict[str, list[Line]]
    ) -> None:
        self.config, self.layer, self.place, self.lines = config, layer, place, lines
        self.sums = self.products = 0
        #: Of a line of a weight bank: what an address is cut to.
        self.line_bits = 1
        while 1 << self.line_bits < config.wgt_depth // config.banks:
            self.line_bits += 1
        self.addr_w = config.addr_w

    def compute(self, sources: list[Map]) -> LineOutcome:
        layer = self.layer
        if isinstance(layer, LutLayer):
            output = [[[self.entry(a) for a in row] for row in plane] for plane in sources[0]]
        elif isinstance(layer, PoolLayer):
            output = self.blank()
            for c, y, x in self.places():
                row, column = first_maximum(layer, sources[0][c], y, x)
                output[c][y][x] = sources[0][c][row][column]
        elif isinstance(layer, MacLayer):
            output = self.mac(layer, sources[0])
        else:
            output = self.blank()
            for c, y, x in self.places():
                if isinstance(layer, AddLayer):
                    p = self.first(sources[0][c][y][x]) + sources[1][c][y][x] * self.post(1)[0]
                    wide = self.kept(p, self.config.acc_w + self.config.mult_w)
                    self.products += wide != p
                    output[c][y][x] = self.code(wide, *self.post(1)[:2])
                elif isinstance(layer, AverageLayer):
                    spots = window_at(layer.window, y, x)
                    acc = sum(sources[0][c][row][column] for row, column in spots)
                    output[c][y][x] = self.finished(acc, 0)
                else:
                    assert isinstance(layer, AffineLayer)
                    output[c][y][x] = self.finished(sources[0][c][y][x], c)
        return LineOutcome(output, self.sums, self.products)

    def blank(self) -> Map:
        channels, height, width = self.layer.out_shape
        return [[[0] * width for _ in range(height)] for _ in range(channels)]

    def places(self) -> list[tuple[int, int, int]]:
        channels, height, width = self.layer.out_shape
        return [(c, y, x) for c in range(channels) for y in range(height) for x in range(width)]

    # --- words ------------------------------------------------------------------------------------

    def post(self, channel: int) -> tuple[int, int, int]:
        """(m, s, b) of a channel line of the layer."""
        line = self.place.channel_base + channel
        scale = self.lines["scale.mem"][line][0]
        m = self.kept(scale, self.config.mult_w)
        b = self.kept(self.lines["bias.mem"][line][0], self.config.acc_w + self.config.mult_w)
        return m, scale >> self.config.mult_w, b

    def entry(self, code: int) -> int:
        """Of the layer's table."""
        return self.lines["lut.mem"][(self.place.table << self.config.act_w) + code][0]

    def weight(self, layer: MacLayer, i: int, j: int) -> int:
        """What the expander makes of virtual weight (i, j): negated modulo 2^WGT_W."""
        address, negative = self.index(layer, i, j)
        word = self.real_weight(address)
        return self.kept(-word if negative else word, self.config.wgt_w)

    def index(self, layer: MacLayer, i: int, j: int) -> tuple[int, bool]:
        """(address from the layer's first word on, whether it is negated)."""
        if layer.spec.scheme == "dense" or self.config.index_mode == "hash":
            address, sign = address_and_sign(layer.spec, i, j)
            return address, sign < 0
        rows = self.config.rows
        group, row = divmod(i, layer.group_out)
        tile = group * math.ceil(layer.group_out / rows) + row // rows
        word = self.lines["index.mem"][self.place.index_base + tile * layer.fan_in + j][row % rows]
        negative, address = divmod(word, 1 << self.addr_w)
        return address, bool(negative)

    def real_weight(self, address: int) -> int:
        """The word at an address of the layer, wherever that is in the memory."""
        line, bank = divmod(address, self.config.banks)
        line = (line + self.place.weight_base) % (1 << self.line_bits)
        written = self.lines["weights.mem"]
        return self.kept(written[line][bank], self.config.wgt_w) if line < len(written) else 0

    @staticmethod
    def kept(value: int, bits: int) -> int:
        """What a register of so many bits keeps of a number, as two's complement."""
        low = value % (1 << bits)
        return low - (1 << bits) if low >= 1 << (bits - 1) else low

    # --- sums -------------------------------------------------------------------------------------

    def mac(self, layer: MacLayer, source: Map) -> Map:
        output = self.blank()
        weights = [
            [self.weight(layer, i, j) for j in range(layer.fan_in)] for i in range(layer.n_out)
        ]
        for y in range(layer.out_shape[1]):
            for x in range(layer.out_shape[2]):
                for group in range(layer.groups):
                    codes = [
                        layer.fill if tap is None else source[tap[0]][tap[1]][tap[2]]
                        for tap in taps(layer, group, y, x)
                    ]
                    chosen = summed(self.config, layer, codes)
                    for i in members(layer, group):
                        acc = sum(weights[i][j] * codes[j] for j in chosen)
                        output[i][y][x] = self.finished(acc, i)
        return output

    def first(self, code: int) -> int:
        """Of an addition: what its first row leaves in the adder."""
        m, _, b = self.post(0)
        return code * m + b

    def finished(self, exact: int, channel: int) -> int:
        """The code of a sum; of the last layer, the logit."""
        acc = self.kept(exact, self.config.acc_w)
        self.sums += acc != exact
        m, s, b = self.post(channel)
        if is_last(self.layer):
            logit = self.kept(acc + b, self.config.acc_w)
            self.products += logit != acc + b
            return logit
        p = self.kept(acc * m + b, self.config.acc_w + self.config.mult_w)
        self.products += p != acc * m + b
        return self.code(p, m, s)

    def code(self, p: int, m: int, s: int) -> int:
        layer = self.layer
        assert not isinstance(layer, LutLayer | PoolLayer)
        u = p >> s
        if self.config.requantization == "twice-away" and m >= 1 << 30 and s > 31:
            below = p % (1 << s) < 1 << 31  # bits 31 … s − 1 are 0
            if below and u <= layer.zero:
                u -= 1
        return min(max(u, layer.lo), layer.hi)
