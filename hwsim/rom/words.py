"""Single words of a program's memories: what stands in one field of one line of one file."""

from __future__ import annotations

import math
from collections.abc import Mapping

from hwsim.program.layers import LutLayer, MacLayer
from hwsim.program.program import Placement, Program
from hwsim.rom.memories import BIAS, INDEX, LUT, MEMORIES, SCALE, WEIGHTS, memory_files, post_words
from hwsim.rom.memories import memory_values as values_of


class WordReader:
    """Reads words of one program, unsigned, wherever they stand; computes no whole memory.

    bounds: by the number of a layer, the magnitude that its engine saturates what it reads of the
    weights to (``faults.clipping``); for whoever makes layers of words, as nothing here is read
    by a layer.
    """

    def __init__(self, program: Program, bounds: Mapping[int, int] | None = None) -> None:
        self.bounds = dict(bounds or {})
        self._held = program.held.words if program.held else {}
        self._clean = program.held.clean if program.held else program
        self._config = program.config
        self.files = memory_files(self._clean)
        self.places = self._clean.placements()

    def __call__(self, name: str, line: int, field: int) -> int:
        """The word of a file that exists, at a place that exists."""
        held = self._held.get(name, {}).get((line, field))
        return self.written(name, line, field) if held is None else held

    def written(self, name: str, line: int, field: int) -> int:
        """The same, faults apart."""
        assert name in MEMORIES
        if name in (WEIGHTS, INDEX, SCALE, BIAS, LUT):
            value = self._of_layer(name, line, field)
        else:
            value = next(iter(values_of(self._clean, name)))[line, field]
        return int(value) & ((1 << self.files[name].width) - 1)

    def owner(self, name: str, line: int) -> int:
        """Number of the layer whose words stand in a line; of lut.mem, the first of them."""
        for number, (layer, place) in enumerate(zip(self._clean.layers, self.places, strict=True)):
            if line in _lines(name, layer, place, self._config.act_w):
                return number
        raise AssertionError(f"line {line} of {name} is nobody's")

    def _of_layer(self, name: str, line: int, field: int) -> int:
        number = self.owner(name, line)
        layer, place = self._clean.layers[number], self.places[number]
        if name == LUT:
            assert isinstance(layer, LutLayer)
            return int(layer.table[line % (1 << self._config.act_w)])
        if name in (SCALE, BIAS):
            m, s, b = (int(one[line - place.channel_base]) for one in post_words(layer))
            low = m & ((1 << self._config.mult_w) - 1)
            return b if name == BIAS else s << self._config.mult_w | low
        assert isinstance(layer, MacLayer)
        if name == WEIGHTS:
            address = (line - place.weight_base) * self._config.banks + field
            return int(layer.weights[address]) if address < layer.spec.real_weights else 0
        pair = index_pair(layer, self._config.rows, line - place.index_base, field)
        if pair is None:
            return 0
        address_, negative = layer.hash_table
        return int(address_[pair]) | int(negative[pair]) << self._config.addr_w


def index_pair(layer: MacLayer, rows: int, line: int, field: int) -> tuple[int, int] | None:
    """(i, j) of the virtual weight whose index stands in a field of index.mem; None: filling.

    line: counted from the layer's first one.
    """
    tile, j = divmod(line, layer.fan_in)
    group, tile = divmod(tile, math.ceil(layer.group_out / rows))
    row = tile * rows + field
    return (group * layer.group_out + row, j) if row < layer.group_out else None


def _lines(name: str, layer: object, place: Placement, act_w: int) -> range:
    """Lines of a file that are one layer's."""
    if name == LUT:
        if not isinstance(layer, LutLayer):
            return range(0)
        return range(place.table << act_w, (place.table + 1) << act_w)
    if name == WEIGHTS:
        return range(place.weight_base, place.weight_base + place.weight_lines)
    if name == INDEX:
        return range(place.index_base, place.index_base + place.index_lines)
    return range(place.channel_base, place.channel_base + place.channels)


def signed(word: int, bits: int) -> int:
    """The low ``bits`` of a word as two's complement."""
    word &= (1 << bits) - 1
    return word - (1 << bits) if word >> (bits - 1) else word
