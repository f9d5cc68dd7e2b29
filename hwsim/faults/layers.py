"""The layers of a program with faults, from the words that its memories hold."""

from __future__ import annotations

import dataclasses
from bisect import bisect_left
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hwsim.numbers.fixedpoint import wrapped
from hwsim.program.held import FaultyMacLayer, Words
from hwsim.program.layers import AddLayer, Layer, LutLayer, MacLayer, PoolLayer
from hwsim.program.program import Placement, Program
from hwsim.rom.memories import BIAS, INDEX, LUT, SCALE, WEIGHTS
from hwsim.rom.words import WordReader, index_pairs, signed

I64 = NDArray[np.int64]
#: Changed words of a layer up to which those who read them are looked for one by one.
FEW = 16


def faulty_layers(
    clean: Program, words: Words, read: WordReader | None = None
) -> tuple[Layer, ...]:
    """The layers of ``clean`` as they are with ``words`` in its memories.

    read: of the clean program, with the bounds of an engine that has some.
    """
    memory = FaultyMemory(clean, words, read)
    return tuple(
        memory.layer(layer, place)
        for layer, place in zip(clean.layers, memory.read.places, strict=True)
    )


class Virtual(NamedTuple):
    """Virtual weights: place in the (n_out, fan_in) of a layer, flat, and what stands there."""

    place: NDArray[np.int64]
    value: NDArray[np.int64]


class Readers:
    """Which virtual weights of a layer read a word. once: few words will be asked for."""

    def __init__(self, layer: MacLayer, once: bool = False) -> None:
        self._layer, self._dense = layer, layer.spec.scheme == "dense"
        address, negative = layer.hash_table
        self._address, self._negative = address.reshape(-1), negative.reshape(-1)
        self._order: NDArray[np.int64] | None = None
        if not once and not self._dense:
            self._order = np.argsort(self._address, kind="stable")
            counts = np.bincount(self._address, minlength=layer.spec.real_weights)
            self._ends = np.cumsum(counts)

    def __call__(self, address: int) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Their places, flat, and which of them negate it."""
        layer = self._layer
        if self._dense:
            flat = np.array([address % layer.n_out * layer.fan_in + address // layer.n_out])
        elif self._order is None:
            flat = np.flatnonzero(self._address == address)
        else:
            start = self._ends[address - 1] if address else 0
            flat = self._order[start : self._ends[address]]
        return flat, self._negative[flat]


class _Collected:
    """Places and values; of a place the last one counts."""

    def __init__(self) -> None:
        self._places: list[NDArray[np.int64]] = []
        self._values: list[NDArray[np.int64]] = []

    def add(self, places: Any, values: Any) -> None:
        at = np.asarray(places, np.int64)
        self._places.append(at)
        self._values.append(np.broadcast_to(np.asarray(values, np.int64), at.shape))

    def against(self, before: NDArray[np.int32]) -> Virtual:
        """Those that differ from what was there, in order of their places."""
        if not self._places:
            return Virtual(np.zeros(0, np.int64), np.zeros(0, np.int64))
        places, values = np.concatenate(self._places), np.concatenate(self._values)
        kept, last = np.unique(places[::-1], return_index=True)
        found = values[::-1][last]
        differs = found != before[kept]
        return Virtual(kept[differs], found[differs])


class FaultyMemory:
    """What stands in the memories of ``clean`` with ``words`` in them, layer by layer.

    read: of the clean program; made once by who asks for many.
    """

    def __init__(self, clean: Program, words: Words, read: WordReader | None = None) -> None:
        self.config = clean.config
        self.read = read or WordReader(clean)
        self._weights = words.get(WEIGHTS, {})
        #: By name of the file: the words, by line.
        self._words = {
            name: sorted((*at, word) for at, word in held.items()) for name, held in words.items()
        }

    def concerns(self, layer: Layer, place: Placement) -> bool:
        """Whether a word of the layer has changed, be it read or not."""
        if isinstance(layer, LutLayer):
            first, lines = place.table << self.config.act_w, 1 << self.config.act_w
            return bool(self._inside(LUT, first, lines))
        bases = (
            (WEIGHTS, place.weight_base, place.weight_lines),
            (INDEX, place.index_base, place.index_lines),
            (SCALE, place.channel_base, place.channels),
            (BIAS, place.channel_base, place.channels),
        )
        return any(self._inside(name, *lines) for name, *lines in bases)

    def channels(self, place: Placement) -> NDArray[np.int64]:
        """Outputs of a layer with weights whose scale or bias has changed, rising."""
        found = [
            line
            for name in (SCALE, BIAS)
            for line, _, _ in self._inside(name, place.channel_base, place.channels)
        ]
        return np.unique(np.array(found, np.int64))

    def layer(self, layer: Layer, place: Placement, weights: bool = True) -> Layer:
        """The layer as it is then; itself where nothing of it has changed.

        weights: those of its weights and indices, too.
        """
        if isinstance(layer, PoolLayer):
            return layer
        if isinstance(layer, LutLayer):
            return self._lut(layer, place)
        post = self.post(layer, place)
        if isinstance(layer, MacLayer) and weights:
            layer = self._mac(layer, place)
        return dataclasses.replace(layer, **post) if post else layer

    def _lut(self, layer: LutLayer, place: Placement) -> LutLayer:
        first = place.table << self.config.act_w
        found = self._inside(LUT, first, 1 << self.config.act_w)
        if not found:
            return layer
        table = layer.table.copy()
        for line, _, word in found:
            table[line] = word
        return dataclasses.replace(layer, table=table)

    # --- scale and bias ---------------------------------------------------------------------------

    def post(self, layer: Any, place: Placement) -> dict[str, Any]:
        """The arrays of scale and bias that are not what they were.

        Of an addition the second row is the one that is shifted, and the first one that has b.
        """
        scales = self._inside(SCALE, place.channel_base, place.channels)
        biases = self._inside(BIAS, place.channel_base, place.channels)
        adds = isinstance(layer, AddLayer)
        fields: dict[str, Any] = {}
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

    def virtual(self, layer: MacLayer, place: Placement, readers: Readers) -> Virtual:
        """The virtual weights that are not what they were."""
        wide = self.config.wgt_w
        found = _Collected()
        for at, word in self._own(layer, place):
            flat, negative = readers(at)
            found.add(flat, np.where(negative, signed(-word, wide), word))
        i, j, index = self._pairs(layer, place)
        address, negative = self._split(index)
        values = self._anywhere(place, address)
        found.add(i * layer.fan_in + j, np.where(negative, wrapped(-values, wide), values))
        return found.against(layer.virtual_weights.reshape(-1))

    def _own(self, layer: MacLayer, place: Placement) -> list[tuple[int, int]]:
        """(address, word) of the layer's real weights with faults."""
        banks = self.config.banks
        mine = [
            (line * banks + bank, int(self._within(place, signed(word, self.config.wgt_w))))
            for line, bank, word in self._inside(WEIGHTS, place.weight_base, place.weight_lines)
        ]
        return [(at, word) for at, word in mine if at < layer.spec.real_weights]

    def _pairs(self, layer: MacLayer, place: Placement) -> tuple[I64, I64, I64]:
        """i, j and word of its indices with faults."""
        indices = self._inside(INDEX, place.index_base, place.index_lines)
        line, row, word = np.array(indices, np.int64).reshape(-1, 3).T
        (i, j), loaded = index_pairs(layer, self.config.rows, line, row)
        return i[loaded], j[loaded], word[loaded]

    def _split(self, word: I64) -> tuple[I64, NDArray[np.bool_]]:
        """Addresses and signs of indices."""
        return word & ((1 << self.config.addr_w) - 1), word >> self.config.addr_w != 0

    def _mac(self, layer: MacLayer, place: Placement) -> MacLayer:
        mine, (i, j, index) = self._own(layer, place), self._pairs(layer, place)
        if not mine and not len(index):
            return layer
        weights = layer.weights
        if mine:
            weights = layer.weights.copy()
            for at, word in mine:
                weights[at] = word
        decoded = layer.virtual_weights.copy()
        changed = self.virtual(layer, place, Readers(layer, once=len(mine) <= FEW))
        decoded.reshape(-1)[changed.place] = changed.value
        address, negative = layer.hash_table
        if len(index):
            address, negative = address.copy(), negative.copy()
            address[i, j], negative[i, j] = self._split(index)
        known = {f.name: getattr(layer, f.name) for f in dataclasses.fields(MacLayer)}
        known["weights"] = weights
        return FaultyMacLayer(**known, address=address, negative=negative, decoded=decoded)

    def _anywhere(self, place: Placement, address: I64) -> I64:
        """The words that addresses of a layer read, be they the layer's or not.

        Lines are counted in as many bits as the memory's need, so that they begin again behind the
        last. What nobody wrote and what no memory holds reads as 0.
        """
        banks, lines = self.config.banks, self.config.wgt_depth // self.config.banks
        line, bank = np.divmod(address, banks)
        line = (place.weight_base + line) % (1 << max(1, (lines - 1).bit_length()))
        found = np.zeros(len(line), np.int64)
        there = line < self.read.files[WEIGHTS].lines
        found[there] = self.read.written_many(WEIGHTS, line[there], bank[there])
        if self._weights:
            for n, at in enumerate(zip(line.tolist(), bank.tolist(), strict=True)):
                found[n] = self._weights.get(at, found[n])
        return self._within(place, wrapped(found, self.config.wgt_w))

    def _within(self, place: Placement, words: Any) -> Any:
        """What a layer is handed of words that it reads: at most its bound, if it has one."""
        if not self.read.bounds:
            return words
        bound = self.read.bounds.get(self.read.places.index(place))
        return words if bound is None else np.clip(words, -bound, bound)

    def _inside(self, name: str, first: int, count: int) -> list[tuple[int, int, int]]:
        """(line from ``first`` on, field, word) of those within ``count`` lines of a file."""
        found = self._words.get(name, [])
        start = bisect_left(found, (first, 0, 0))
        end = bisect_left(found, (first + count, 0, 0))
        return [(line - first, field, word) for line, field, word in found[start:end]]
