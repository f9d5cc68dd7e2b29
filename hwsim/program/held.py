"""What memories hold where that is not what the layers of a program would write there: faults.

A program with faults keeps the program that it was made from: its placements and its memories are
those of that one but for some words. Its layers compute what the engine makes of these words.
"""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from hwsim.program.layers import MacLayer

if TYPE_CHECKING:
    from hwsim.program.program import Program

#: Name of a memory file -> (line, field) -> the word that stands there, unsigned.
Words = dict[str, dict[tuple[int, int], int]]


@dataclass(frozen=True, eq=False)
class Held:
    """clean: the program without faults. words: what stands elsewhere than there."""

    clean: Program
    words: Words


@dataclass(frozen=True, eq=False)
class FaultyMacLayer(MacLayer):
    """A layer whose words are not what the format allows, or whose indices not what the hash gives.

    address: int64 (n_out, fan_in), relative to the layer as in index.mem, which may be any of
    ADDR_W bits. negative: bool, as large. decoded: int32, as large: the weights that the expander
    makes of them, −2^(WGT_W−1) included. weights are the layer's own words.
    """

    _: KW_ONLY
    address: NDArray[np.int64]
    negative: NDArray[np.bool_]
    decoded: NDArray[np.int32]

    # Cached, not properties: forms of a layer hand over weights of their own.
    @cached_property
    def hash_table(self) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """What index.mem holds; of a layer that stores no indices, what the hash gives."""
        return self.address, self.negative

    @cached_property
    def virtual_weights(self) -> NDArray[np.int32]:
        """Decoded integer weights, shape (n_out, fan_in)."""
        return self.decoded
