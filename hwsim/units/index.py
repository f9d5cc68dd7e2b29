"""Index source (twin: rtl/units/hne_index.v): the (address, sign) pairs of one column per cycle.

A column is position j of the fan-in for the rows of one row-tile. Three sources, one per layer:
``sram`` reads the pairs from the index memory; ``hash`` computes them, one pipelined xxHash32 unit
per row; ``counter`` numbers the words of a ``dense`` layer, in both index modes. The pipeline
moves as a whole whenever the expander takes a column, so a source only adds latency.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numba import njit
from numpy.typing import NDArray

from hwsim.numbers.hashing import PRIME2, PRIME3, PRIME4, PRIME5, ROTATION_SEED_XOR, HashSpec

Source = Literal["counter", "sram", "hash"]

#: Pipeline of the hash source, from the cycle in which j enters. A 32-bit constant multiply is a
#: table for each of eight digits, added in pairs: a cycle for the tables and for each level.
LANE = 1  # + j · PRIME3, rotate by 17; j · PRIME3 comes from an adder shared by all rows
ROUND = 4  # · PRIME4
MIX = 4 + 4  # ^ >> 15, · PRIME2; ^ >> 13, · PRIME3
SCALE = 4  # ^ >> 16, then the high half of u · K or u · (K/H): four products, their sum in two
ROTATE = 1  # banked: · H + ((i + rotation) mod H); the others just pass
#: On an engine that skips, in front of any source: the column's number from a counter or from the
#: list, and its product with the constant of the source, which follows no order then.
COLUMN = 1 + 3
#: Cycles from the entry of a column to the output register, where hne_turns takes it.
LATENCY: dict[Source, int] = {
    "counter": 1,
    "sram": 2,  # read; output register
    "hash": LANE + ROUND + MIX + SCALE + ROTATE,
}


def source_of(spec: HashSpec, index_mode: str) -> Source:
    """Which source serves a layer."""
    if spec.scheme == "dense":
        return "counter"
    return "hash" if index_mode == "hash" else "sram"


def latency(source: Source, skip: bool) -> int:
    """LATENCY of a source on an engine that skips, or on one that does not."""
    return LATENCY[source] + (COLUMN if skip else 0)


def cycles_row_tile(source: Source, rows: int) -> int:
    """Cycles before the first column of a row-tile may enter the pipeline: its i-round.

    The half of xxHash32 that depends on i only is computed once per row-tile: a shared unit takes
    one row per cycle, and its product takes ROUND more cycles. Columns of the tile before are
    still on their way to the expander meanwhile. ``sram`` and ``counter`` have no i-round.
    """
    return rows + ROUND if source == "hash" else 0


# The helpers stand in this file because numba's cache does not notice changes in other files.
# Numba widens uint32 arithmetic to 64 bits, so every sum, product and shift is cut back.
@njit(nogil=True, cache=True, inline="always")
def _lane(state, step):  # type: ignore[no-untyped-def]
    """One xxHash32 round: state + lane · PRIME3 (given as ``step``), rotated, · PRIME4."""
    u = np.uint32(state + step)
    u = np.uint32(np.uint32(u << np.uint32(17)) | (u >> np.uint32(15)))
    return np.uint32(u * np.uint32(PRIME4))


@njit(nogil=True, cache=True, inline="always")
def _avalanche(u):  # type: ignore[no-untyped-def]
    u = np.uint32((u ^ (u >> np.uint32(15))) * np.uint32(PRIME2))
    u = np.uint32((u ^ (u >> np.uint32(13))) * np.uint32(PRIME3))
    return np.uint32(u ^ (u >> np.uint32(16)))


@njit(nogil=True, cache=True)
def _pairs(  # type: ignore[no-untyped-def]
    first_row, pair_start, word_start, scale, banked, log2_banks, address, negative
):
    """Fill address uint32 and negative bool_, both (fan_in, rows); see
    hwsim.numbers.hashing.table.
    """
    fan_in, rows = address.shape
    state = np.empty(rows, np.uint32)
    for r in range(rows):
        step = np.uint32(np.uint32(first_row + r) * np.uint32(PRIME3))
        state[r] = _lane(np.uint32(pair_start), step)
    shift = np.uint32(log2_banks)
    mask = np.uint32((1 << log2_banks) - 1)
    for j in range(fan_in):
        step = np.uint32(np.uint32(j) * np.uint32(PRIME3))
        first_bank = np.uint32(first_row)
        if banked:
            first_bank += _avalanche(_lane(np.uint32(word_start), step))
        for r in range(rows):
            u = _avalanche(_lane(state[r], step))
            negative[j, r] = (u & np.uint32(1)) != 0
            line = np.uint32((np.uint64(u) * np.uint64(scale)) >> np.uint64(32))
            bank = np.uint32(first_bank + np.uint32(r)) & mask  # 0 unless banked
            address[j, r] = np.uint32(line << shift) | bank


def columns(
    spec: HashSpec, first_row: int, rows: int
) -> tuple[NDArray[np.uint32], NDArray[np.bool_]]:
    """All columns of the row-tile that holds output rows first_row … first_row + rows − 1.

    Returns (address, negative), both (fan_in, rows): line j is what the source delivers in one
    cycle, the order of index.mem. Equal to ``hwsim.numbers.hashing.table``, computed as hardware
    does.
    """
    address = np.empty((spec.fan_in, rows), np.uint32)
    if spec.scheme == "dense":
        j = np.arange(spec.fan_in, dtype=np.uint32)[:, None]
        i = np.arange(first_row, first_row + rows, dtype=np.uint32)[None, :]
        np.add(j * np.uint32(spec.n_out), i, out=address)
        return address, np.zeros(address.shape, np.bool_)
    negative = np.empty((spec.fan_in, rows), np.bool_)
    banked = spec.scheme == "banked"
    scale = spec.real_weights // spec.hash_banks if banked else spec.real_weights
    log2_banks = spec.hash_banks.bit_length() - 1 if banked else 0
    pair_start = (spec.seed + PRIME5 + 8) & 0xFFFFFFFF
    word_start = ((spec.seed ^ ROTATION_SEED_XOR) + PRIME5 + 4) & 0xFFFFFFFF
    _pairs(first_row, pair_start, word_start, scale, banked, log2_banks, address, negative)
    return address, negative
