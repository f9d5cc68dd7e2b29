"""The layers of a program with faults, from the words that its memories hold."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwsim.program.held import FaultyMacLayer, Words
from hwsim.program.layers import AddLayer, Layer, LutLayer, MacLayer, PoolLayer
from hwsim.program.program import Placement, Program
from hwsim.rom.memories import BIAS, INDEX, LUT, SCALE, WEIGHTS
from hwsim.rom.words import WordReader, index_pair, signed

#: Changed words of a layer up to which those who read them are looked for one by one.
FEW = 16


def faulty_layers(clean: Program, words: Words) -> tuple[Layer, ...]:
    """The layers of ``clean`` as they are with ``words`` in its memories."""
    memory = _Memory(clean, words)
    return tuple(
        memory.layer(layer, place)
        for layer, place in zip(clean.layers, memory.read.places, strict=True)
    )


class _Memory:
    def __init__(self, clean: Program, words: Words) -> None:
        self.config, self.words = clean.config, words
        self.read = WordReader(clean)
        self._weights = words.get(WEIGHTS, {})

    def layer(self, layer: Layer, place: Placement) -> Layer:
        if isinstance(layer, PoolLayer):
            return layer
        if isinstance(layer, LutLayer):
            return self._lut(layer, place)
        post = self._post(layer, place)
        if isinstance(layer, MacLayer):
            layer = self._mac(layer, place)
        return dataclasses.replace(layer, **post) if post else layer

    def _lut(self, layer: LutLayer, place: Placement) -> LutLayer:
        first = place.table << self.config.act_w
        found = _inside(self.words.get(LUT, {}), first, 1 << self.config.act_w)
        if not found:
            return layer
        table = layer.table.copy()
        for line, _, word in found:
            table[line] = word
        return dataclasses.replace(layer, table=table)

    # --- scale and bias ---------------------------------------------------------------------------

    def _post(self, layer: Any, place: Placement) -> dict[str, NDArray[Any]]:
        """The arrays of scale and bias that are not what they were.

        Of an addition the second row is the one that is shifted, and the first one that has b.
        """
        scales = _inside(self.words.get(SCALE, {}), place.channel_base, place.channels)
        biases = _inside(self.words.get(BIAS, {}), place.channel_base, place.channels)
        adds = isinstance(layer, AddLayer)
        fields: dict[str, NDArray[Any]] = {}
        if scales:
            fields = dict(multiplier=layer.multiplier.copy(), shift=layer.shift.copy())
        for line, _, word in scales:
            fields["multiplier"][line] = signed(word, self.config.mult_w)
            if not adds or line == 1:
                fields["shift"][0 if adds else line] = word >> self.config.mult_w
        for line, _, word in biases:
            if not adds or line == 0:
                bias = fields.setdefault("bias", layer.bias.copy())
                bias[line] = signed(word, self.config.acc_w + self.config.mult_w)
        return fields

    # --- weights and indices ----------------------------------------------------------------------

    def _mac(self, layer: MacLayer, place: Placement) -> MacLayer:
        banks = self.config.banks
        mine = [
            (line * banks + bank, signed(word, self.config.wgt_w))
            for line, bank, word in _inside(self._weights, place.weight_base, place.weight_lines)
        ]
        mine = [(at, word) for at, word in mine if at < layer.spec.real_weights]
        indices = _inside(self.words.get(INDEX, {}), place.index_base, place.index_lines)
        pairs = [
            (pair, word)
            for line, row, word in indices
            if (pair := index_pair(layer, self.config.rows, line, row)) is not None
        ]
        if not mine and not pairs:
            return layer
        weights = layer.weights
        if mine:
            weights = layer.weights.copy()
            for at, word in mine:
                weights[at] = word
        decoded = self._decoded(layer, weights, mine)
        address, negative = layer.hash_table
        if pairs:
            address, negative = address.copy(), negative.copy()
        for pair, word in pairs:
            at = word & ((1 << self.config.addr_w) - 1)
            address[pair], negative[pair] = at, bool(word >> self.config.addr_w)
            value = self._anywhere(place, at)
            decoded[pair] = signed(-value if negative[pair] else value, self.config.wgt_w)
        known = {f.name: getattr(layer, f.name) for f in dataclasses.fields(MacLayer)}
        known["weights"] = weights
        return FaultyMacLayer(**known, address=address, negative=negative, decoded=decoded)

    def _decoded(
        self, layer: MacLayer, weights: NDArray[np.int32], mine: list[tuple[int, int]]
    ) -> NDArray[np.int32]:
        """What the layer's indices make of its words."""
        address, negative = layer.hash_table
        if len(mine) > FEW:
            words = weights[address]
            low = -(1 << (self.config.wgt_w - 1))
            return np.where(negative & (words != low), -words, words)
        decoded = layer.virtual_weights.copy()
        for at, word in mine:
            if layer.spec.scheme == "dense":
                decoded[at % layer.n_out, at // layer.n_out] = word
                continue
            readers = address == at
            decoded[readers] = np.where(negative[readers], signed(-word, self.config.wgt_w), word)
        return decoded

    def _anywhere(self, place: Placement, address: int) -> int:
        """The word that an address of a layer reads, be it the layer's or not.

        Lines are counted in as many bits as the memory's need, so that they begin again behind the
        last. What nobody wrote and what no memory holds reads as 0.
        """
        banks, lines = self.config.banks, self.config.wgt_depth // self.config.banks
        line, bank = divmod(address, banks)
        line = (place.weight_base + line) % (1 << max(1, (lines - 1).bit_length()))
        word = self._weights.get((line, bank))
        if word is None and line < self.read.files[WEIGHTS].lines:
            word = self.read.written(WEIGHTS, line, bank)
        return signed(word or 0, self.config.wgt_w)


def _inside(
    words: dict[tuple[int, int], int], first: int, count: int
) -> list[tuple[int, int, int]]:
    """(line from ``first`` on, field, word) of those within ``count`` lines."""
    found: Iterable[tuple[int, int, int]] = (
        (line - first, field, word) for (line, field), word in words.items()
    )
    return [one for one in found if 0 <= one[0] < count]
