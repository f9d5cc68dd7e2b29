"""Single words of a program's memories: what stands in one field of one line of one file."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwsim.program.layers import LutLayer, MacLayer
from hwsim.program.program import Placement, Program
from hwsim.rom.memories import BIAS, INDEX, LUT, MEMORIES, SCALE, WEIGHTS, memory_files, post_words
from hwsim.rom.memories import memory_values as values_of

I64 = NDArray[np.int64]


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
        self._owners = {name: self._lines_of(name) for name in MEMORIES}

    def _lines_of(self, name: str) -> tuple[list[int], list[int]]:
        """Where runs of lines of a file end, rising, and the layers that they are of."""
        found: dict[int, int] = {}
        layers = zip(self._clean.layers, self.places, strict=True)
        for number, (layer, place) in enumerate(layers):
            lines = _lines(name, layer, place, self._config.act_w)
            if lines:
                found.setdefault(lines.stop, number)
        ends = sorted(found)
        return ends, [found[end] for end in ends]

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

    def written_many(self, name: str, line: I64, field: I64) -> I64:
        """``written`` of many places of weights.mem or index.mem, (k,)."""
        assert name in (WEIGHTS, INDEX)
        ends, numbers = self._owners[name]
        owners = np.searchsorted(ends, line, "right")
        found = np.zeros(len(line), np.int64)
        for at in np.unique(owners).tolist():
            mine = np.flatnonzero(owners == at)
            layer, place = self._clean.layers[numbers[at]], self.places[numbers[at]]
            assert isinstance(layer, MacLayer)
            if name == WEIGHTS:
                address = (line[mine] - place.weight_base) * self._config.banks + field[mine]
                there = address < layer.spec.real_weights
                found[mine[there]] = layer.weights[address[there]]
                continue
            first = line[mine] - place.index_base
            (i, j), there = index_pairs(layer, self._config.rows, first, field[mine])
            address_, negative = layer.hash_table
            pair, above = (i[there], j[there]), self._config.addr_w
            found[mine[there]] = address_[pair] | negative[pair].astype(np.int64) << above
        return found & ((1 << self.files[name].width) - 1)

    def owner(self, name: str, line: int) -> int:
        """Number of the layer whose words stand in a line; of lut.mem, the first of them."""
        ends, numbers = self._owners[name]
        at = bisect_right(ends, line)
        assert at < len(ends), f"line {line} of {name} is nobody's"
        return numbers[at]

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
    (i, j), loaded = index_pairs(layer, rows, line, field)
    return (int(i), int(j)) if loaded else None


def index_pairs(layer: MacLayer, rows: int, line: Any, field: Any) -> tuple[tuple[Any, Any], Any]:
    """The same of many: (i, j), and whether there is such a weight, otherwise i is no output."""
    tile, j = divmod(line, layer.fan_in)
    group, tile = divmod(tile, math.ceil(layer.group_out / rows))
    row = tile * rows + field
    return (group * layer.group_out + row, j), row < layer.group_out


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
