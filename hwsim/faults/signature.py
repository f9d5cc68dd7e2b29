"""A keyed checksum of groups of words, after RADAR (Li et al., DATE 2021).

Of a group of G words M = Σ ±w is formed, the signs from a key. Its signature, kept on the chip, are
the bits of M around the top bit of a word: a flipped top bit moves M by half of a word's range, so
that one of them changes whatever the signs, and two such flips stay hidden from who does not know
these in one case of two only.

Words of ``weights.mem`` are looked at in a pass of its own in front of an image, because a layer
reads some of them often and others never in its turn: line by line, each bank for itself, a group
being words of one bank that stand as many lines apart as there are groups of it (RADAR interleaves
to part neighbours that fall together). Lines of ``index.mem`` are read once for every row-tile, in
their order: there a group is a row of G lines that follow each other, looked at while they are
read, with one sum for each row.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hwsim.errors import InputError
from hwsim.numbers.hashing import xxh32_pair
from hwsim.program.layers import MacLayer
from hwsim.program.program import Program

I64 = NDArray[np.int64]
#: Line of a memory file, and field of it.
WordPlace = tuple[int, int]

GROUP, BITS = 64, 2
MOST_WORDS = 1 << 16


@dataclass(frozen=True)
class SignatureRule:
    """group: words of a group, G. bits: of a signature, 2 or 3. key: 32 bits, of the signs.

    Raises InputError for others.
    """

    group: int = GROUP
    bits: int = BITS
    key: int = 0

    def __post_init__(self) -> None:
        if not 2 <= self.group <= MOST_WORDS:
            raise InputError(
                f"a signature is of groups of 2 … {MOST_WORDS:,} words, not {self.group}"
            )
        if self.bits not in (2, 3):
            raise InputError(f"a signature has 2 or 3 bits, not {self.bits}")
        if not 0 <= self.key < 1 << 32:
            raise InputError(f"the key of a signature has 32 bits: {self.key} is none")


class SignedMemory:
    """The groups of one layer's words in one memory, and what they must sum up to.

    rule: of the signatures. first: the layer's first line. values: int64 (lines, fields), signed,
    as they were written. width: bits of a word. apart: whether words of a group stand apart.
    """

    def __init__(
        self, rule: SignatureRule, first: int, values: I64, width: int, apart: bool
    ) -> None:
        self.rule, self.first, self.width = rule, first, width
        self.lines, self.fields = values.shape
        self._blocks = math.ceil(self.lines / rule.group)
        self._apart = apart
        self.groups = self._blocks * self.fields
        line, field = np.indices(values.shape)
        self._sums = self.sums(line.ravel(), field.ravel(), values.ravel())
        self.golden = self.signature(self._sums)

    def group_of(self, line: I64, field: I64) -> I64:
        """Number of the group that words are in; lines count from the layer's first."""
        block = line % self._blocks if self._apart else line // self.rule.group
        return block * self.fields + field

    def members(self, group: int) -> list[WordPlace]:
        """The words of a group, by the lines of the file."""
        block, field = divmod(group, self.fields)
        first = block * self.rule.group
        lines = (
            range(block, self.lines, self._blocks)
            if self._apart
            else range(first, min(first + self.rule.group, self.lines))
        )
        return [(self.first + line, field) for line in lines]

    def signs(self, line: I64, field: I64) -> I64:
        """+1 or −1 for each word: one xxHash32 of the key and a line is for 32 fields."""
        noise = xxh32_pair(line + self.first, field // 32, self.rule.key).astype(np.int64)
        return 1 - 2 * (noise >> field % 32 & 1)

    def sums(self, line: I64, field: I64, values: I64) -> I64:
        """M of every group, of these words."""
        groups = self.group_of(line, field)
        # Below 2^53: exact.
        found = np.bincount(groups, self.signs(line, field) * values, self.groups)
        return found.astype(np.int64)

    def signature(self, sums: I64) -> I64:
        """The bits of M from that of the top bit of a word upwards; the third one is below it."""
        return sums >> self.width + 1 - self.rule.bits & (1 << self.rule.bits) - 1

    def now(self, changes: Mapping[WordPlace, int]) -> I64:
        """M of every group where words, by the lines of the file, are so much more than before."""
        if not changes:
            return self._sums
        places = np.array(list(changes), np.int64)
        more = np.array(list(changes.values()), np.int64)
        return self._sums + self.sums(places[:, 0] - self.first, places[:, 1], more)

    def bad(self, changes: Mapping[WordPlace, int]) -> list[int]:
        """Groups whose signature is another one then."""
        wrong = self.signature(self.now(changes)) != self.golden
        return np.flatnonzero(wrong).tolist()


class Signatures:
    """The signatures of a program: of the weights of each layer, and of its indices."""

    def __init__(self, program: Program, rule: SignatureRule) -> None:
        self._program, self.rule = program, rule
        self._places = program.placements()
        self._made: dict[tuple[str, int], SignedMemory] = {}

    def of(self, memory: str, number: int) -> SignedMemory:
        """Of a layer's words, by its number; those of indices are long, and made when asked for."""
        key = memory, number
        if key not in self._made:
            self._made[key] = self._make(memory, number)
        return self._made[key]

    def _make(self, memory: str, number: int) -> SignedMemory:
        layer, place = self._program.layers[number], self._places[number]
        assert isinstance(layer, MacLayer)
        config = self._program.config
        if memory == "weights":
            words = np.pad(layer.weights.astype(np.int64), (0, -layer.weights.size % config.banks))
            values = words.reshape(-1, config.banks)
            return SignedMemory(self.rule, place.weight_base, values, config.wgt_w, apart=True)
        address, negative = (part.reshape(-1) for part in layer.hash_table)
        values = np.zeros((place.index_lines, config.rows), np.int64)
        line, row = index_places(layer, config.rows, np.arange(address.size))
        # As a number with a sign: its sign bit stands above the address.
        values[line, row] = address - (negative.astype(np.int64) << config.addr_w)
        return SignedMemory(self.rule, place.index_base, values, 1 + config.addr_w, apart=False)

    def by_layer(self, memory: str, lines: Iterable[int]) -> dict[int, list[int]]:
        """Number of a layer -> those of the lines of a file that are its own."""
        found: dict[int, list[int]] = {}
        for line in lines:
            for number, place in enumerate(self._places):
                first, count = (
                    (place.weight_base, place.weight_lines)
                    if memory == "weights"
                    else (place.index_base, place.index_lines)
                )
                if first <= line < first + count:
                    found.setdefault(number, []).append(line)
        return found


def index_places(layer: MacLayer, rows: int, entries: I64) -> tuple[I64, I64]:
    """(line, row) in index.mem of virtual weights i · fan_in + j; lines from the layer's first."""
    i, j = np.divmod(entries, layer.fan_in)
    group, inner = np.divmod(i, layer.group_out)
    tile, row = np.divmod(inner, rows)
    tiles = -(-layer.group_out // rows)
    return (group * tiles + tile) * layer.fan_in + j, row
