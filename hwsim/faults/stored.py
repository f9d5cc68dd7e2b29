"""The words that an engine's weights are made of, flipped and read as the hardware reads them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwsim.faults.bits import handed_out
from hwsim.faults.fault import Fault
from hwsim.numbers.fixedpoint import wrapped
from hwsim.program.layers import MacLayer
from hwsim.program.program import Program

I64 = NDArray[np.int64]


class Stored:
    """weights.mem of a program, and who reads which of its words with which sign.

    words: int64, all lines that the image fills, bank by bank. negative: by layer number, bool
    (n_out, fan_in). weights: by layer number, int32 (n_out, fan_in), what the expander makes of
    them. Flips change all three in place. bounds: by layer number, the magnitude that what the
    layer reads is saturated to, before its sign.
    """

    def __init__(self, program: Program, bounds: Mapping[int, int] | None = None) -> None:
        config = program.config
        self._bounds = bounds or {}
        self.config = config
        self.places = program.placements()
        self.layers = {
            number: layer
            for number, layer in enumerate(program.layers)
            if isinstance(layer, MacLayer)
        }
        end = self.places[-1]
        self.words: I64 = np.zeros((end.weight_base + end.weight_lines) * config.banks, np.int64)
        self.negative: dict[int, NDArray[np.bool_]] = {}
        self.weights: dict[int, NDArray[np.int32]] = {}
        #: By layer number: address within the layer, as index.mem has it.
        self._address: dict[int, I64] = {}
        #: By layer number: readers of each word, those of address a from starts[a] on.
        self._readers: dict[int, tuple[I64, I64]] = {}
        #: Entries that no longer read what the hash says: (layer, entry) -> word, −1 for no word.
        self._moved: dict[tuple[int, int], int] = {}
        for number, layer in self.layers.items():
            base = self.places[number].weight_base * config.banks
            self.words[base : base + layer.spec.real_weights] = layer.weights
            self.weights[number] = layer.virtual_weights.copy()
            if layer.spec.scheme != "dense":
                address, negative = layer.hash_table
                self._address[number], self.negative[number] = address.copy(), negative.copy()
                flat = address.reshape(-1)
                counts = np.bincount(flat, minlength=layer.spec.real_weights)
                starts = np.concatenate([[0], np.cumsum(counts)])
                self._readers[number] = np.argsort(flat, kind="stable"), starts

    def word_of(self, number: int, address: Any) -> I64:
        """Where in ``words`` an address of a layer leads; −1 where nobody loaded anything.

        The expander adds lines and cuts them to the width of a line's number.
        """
        banks = self.config.banks
        address = np.asarray(address, np.int64)
        depth = self.config.wgt_depth // banks
        width = max(1, (depth - 1).bit_length())
        line = (self.places[number].weight_base + address // banks) & ((1 << width) - 1)
        word = line * banks + address % banks
        return np.where(word < len(self.words), word, -1)

    def values(self, words: I64) -> I64:
        """The words at these places; 0 at −1."""
        return np.where(words >= 0, self.words[words], 0)

    # ------------------------------------------------------------ who reads what

    def readers(self, number: int, address: int) -> dict[int, I64]:
        """Entries (i · fan_in + j) by layer number that read a word, wherever indices lead now."""
        layer = self.layers[number]
        found: I64
        if number in self._readers:
            order, starts = self._readers[number]
            found = order[starts[address] : starts[address + 1]]
        else:
            j, i = divmod(address, layer.n_out)
            found = np.array([i * layer.fan_in + j], np.int64)
        by_layer: dict[int, I64] = {number: found}
        if self._moved:
            word = int(self.word_of(number, address))
            gone = {e for (n, e), w in self._moved.items() if n == number and w != word}
            by_layer[number] = np.array([e for e in found.tolist() if e not in gone], np.int64)
            for (reader, entry), read in self._moved.items():
                if read == word and entry not in by_layer.get(reader, ()):
                    some = by_layer.get(reader, np.zeros(0, np.int64))
                    by_layer[reader] = np.append(some, entry)
        return {reader: entries for reader, entries in by_layer.items() if len(entries)}

    def read_by(self, number: int, entries: I64) -> I64:
        """The words that entries of a layer read, as ``word_of``."""
        return self.word_of(number, self._address[number].reshape(-1)[entries])

    def addresses(self, number: int) -> I64:
        """Address of every entry of a hashed layer, (n_out · fan_in,)."""
        return self._address[number].reshape(-1)

    def entry(self, number: int, entry: int) -> int:
        """The bits of an index: the sign above the address."""
        sign = int(self.negative[number].reshape(-1)[entry])
        return sign << self.config.addr_w | int(self._address[number].reshape(-1)[entry])

    def within(self, number: int, words: I64) -> I64:
        """What a layer is handed of words that it reads."""
        bound = self._bounds.get(number)
        return words if bound is None else np.clip(words, -bound, bound)

    # ------------------------------------------------------------ what flips would do

    def after_word_flips(
        self, number: int, flips: Iterable[tuple[int, int]]
    ) -> dict[int, tuple[I64, I64]]:
        """(address, bit) of a layer flipped -> by layer number (entries, their new weights)."""
        return self.after_words(number, self._flipped_words(number, flips))

    def _flipped_words(self, number: int, flips: Iterable[tuple[int, int]]) -> dict[int, int]:
        """Address -> the word with (address, bit) of a layer flipped."""
        masks: dict[int, int] = {}
        for address, bit in flips:
            masks[address] = masks.get(address, 0) ^ 1 << bit
        words, width = self.words[self.word_of(number, list(masks))], self.config.wgt_w
        new = wrapped(words ^ np.array(list(masks.values()), np.int64), width)
        return dict(zip(masks, new.tolist(), strict=True))

    def after_words(self, number: int, words: Mapping[int, int]) -> dict[int, tuple[I64, I64]]:
        """Address of a layer -> a word, signed: by layer number (entries, their new weights)."""
        width = self.config.wgt_w
        found: dict[int, list[tuple[I64, I64]]] = {}
        for address, new in words.items():
            for reader, entries in self.readers(number, address).items():
                values = self.within(reader, np.full(len(entries), new, np.int64))
                if reader in self.negative:
                    values = handed_out(values, self.negative[reader].reshape(-1)[entries], width)
                found.setdefault(reader, []).append((entries, values))
        return {
            reader: (np.concatenate([e for e, _ in some]), np.concatenate([v for _, v in some]))
            for reader, some in found.items()
        }

    def after_index_flips(
        self, number: int, flips: Iterable[tuple[int, int]]
    ) -> dict[int, tuple[I64, I64]]:
        """(entry, bit) of a layer flipped -> its layer number, the entries and new weights."""
        masks: dict[int, int] = {}
        for entry, bit in flips:
            masks[entry] = masks.get(entry, 0) ^ 1 << bit
        return self.after_entries(number, {e: self.entry(number, e) ^ masks[e] for e in masks})

    def after_entries(self, number: int, indices: Mapping[int, int]) -> dict[int, tuple[I64, I64]]:
        """Entry of a layer -> an index: its layer number, the entries and new weights."""
        entries = np.array(sorted(indices), np.int64)
        new = np.array([indices[entry] for entry in entries.tolist()], np.int64)
        return {number: (entries, self._decoded(number, new))}

    def _decoded(self, number: int, entries: I64) -> I64:
        """What indices (sign above address) make of the words that they lead to."""
        above = self.config.addr_w
        words = self.word_of(number, entries & ((1 << above) - 1))
        read = self.within(number, self.values(words))
        return handed_out(read, entries >> above != 0, self.config.wgt_w)

    def every_index(self, number: int, entries: I64, masks: I64) -> I64:
        """The weight of each entry with the bits of each mask of its index flipped, (k, m)."""
        return self._decoded(number, self.indices(number)[entries][:, None] ^ masks)

    def indices(self, number: int) -> I64:
        """Every index of a hashed layer, the sign above the address, (n_out · fan_in,)."""
        negative = self.negative[number].reshape(-1).astype(np.int64)
        return self._address[number].reshape(-1) | negative << self.config.addr_w

    # ------------------------------------------------------------ flips for good

    def keep_word_flips(self, number: int, flips: Iterable[tuple[int, int]]) -> None:
        """Flip (address, bit) of a layer."""
        self.keep_words(number, self._flipped_words(number, flips))

    def keep_words(self, number: int, words: Mapping[int, int]) -> None:
        """Write words, signed, to addresses of a layer."""
        for reader, (entries, values) in self.after_words(number, words).items():
            self.weights[reader].reshape(-1)[entries] = values
        for address, word in words.items():
            self.words[self.word_of(number, address)] = word

    def keep_index_flips(self, number: int, flips: Iterable[tuple[int, int]]) -> None:
        """Flip (entry, bit) of a layer."""
        masks: dict[int, int] = {}
        for entry, bit in flips:
            masks[entry] = masks.get(entry, 0) ^ 1 << bit
        self.keep_entries(number, {e: self.entry(number, e) ^ masks[e] for e in masks})

    def keep_entries(self, number: int, indices: Mapping[int, int]) -> None:
        """Write indices to entries of a layer."""
        ((_, (entries, values)),) = self.after_entries(number, indices).items()
        self.weights[number].reshape(-1)[entries] = values
        above = self.config.addr_w
        for entry, index in indices.items():
            address = index & ((1 << above) - 1)
            moved = self._address[number].reshape(-1)[entry] != address
            self.negative[number].reshape(-1)[entry] = bool(index >> above)
            if moved:
                self._address[number].reshape(-1)[entry] = address
                read = int(self.read_by(number, np.array([entry]))[0])
                self._moved[number, entry] = read

    # ------------------------------------------------------------ as faults

    def word_fault(self, number: int, address: int, bit: int) -> Fault:
        """A bit of a real weight as it stands in weights.mem."""
        line, bank = divmod(address, self.config.banks)
        return Fault("weights", self.places[number].weight_base + line, bank, bit)

    def index_fault(self, number: int, entry: int, bit: int) -> Fault:
        """A bit of an index as it stands in index.mem."""
        layer, rows = self.layers[number], self.config.rows
        i, j = divmod(entry, layer.fan_in)
        group, inner = divmod(i, layer.group_out)
        tiles = -(-layer.group_out // rows)
        tile, row = divmod(inner, rows)
        line = self.places[number].index_base + (group * tiles + tile) * layer.fan_in + j
        return Fault("index", line, row, bit)
