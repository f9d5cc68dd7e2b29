"""Expander (twin: rtl/units/hne_expander.v): turns a column of addresses into a column of weights.

Column-synchronous. Every cycle each bank picks the lowest pending row that wants it and reads that
row's word; all pending rows that want the *same* word are served with it. A column is done when
no row is pending, so it costs X_j = max over banks of the number of distinct addresses wanted
there, at least 1. Rows beyond the layer are masked and request nothing. The Verilog knows the cycle
in which each row is served, its turn, before the column arrives (rtl/units/hne_turns.v).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from hwsim.numbers.hashing import HashSpec
from hwsim.units import index

#: Pipeline between the index source and the column register, which moves with the index source.
COMPARE = 1  # banks, lines, and which rows want the same bank or word
FIRST = 1  # the lowest row of each word
COUNT = 1  # first rows before it in its bank
TURN = 1  # the turn of each row, and whether a further one follows
TURNS = COMPARE + FIRST + COUNT + TURN

#: Pipeline behind the cycle that grants the last rows of a column.
ROUTE = 1  # the reads travel to their banks
READ = 1  # bank SRAMs answer
SIGN = 1  # words are routed to their rows, negated by ξ
WRITE = 1  # one column of the tile buffer
FILL = ROUTE + READ + SIGN + WRITE


@njit(nogil=True, cache=True)
def _serve(address, banks, cycles, reads):  # type: ignore[no-untyped-def]
    """Per column of address (columns, rows): cycles X_j and bank reads (distinct addresses)."""
    columns, rows = address.shape
    newest = np.full(banks, -1, np.int32)  # per bank: the row whose address was added last
    older = np.empty(rows, np.int32)  # per such row: the one added to the same bank before
    depth = np.zeros(banks, np.int32)
    mask = np.uint32(banks - 1)
    for j in range(columns):
        worst, total = 1, 0
        for r in range(rows):
            wanted = address[j, r]
            bank = np.int64(wanted & mask)
            other = newest[bank]
            while other >= 0 and address[j, other] != wanted:
                other = older[other]
            if other < 0:
                older[r] = newest[bank]
                newest[bank] = r
                depth[bank] += 1
                total += 1
                worst = max(worst, depth[bank])
        for r in range(rows):
            bank = np.int64(address[j, r] & mask)
            newest[bank] = -1
            depth[bank] = 0
        cycles[j] = worst
        reads[j] = total


def cycles_columns(
    address: NDArray[np.uint32], banks: int
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Cost of each column. address: (columns, rows in the tile), banks: a power of two.

    Returns (X_j, bank reads), each int32 (columns,): 1 <= X_j <= bank reads <= rows.
    """
    cycles = np.empty(len(address), np.int32)
    reads = np.empty(len(address), np.int32)
    _serve(np.ascontiguousarray(address), banks, cycles, reads)
    return cycles, reads


@dataclass(frozen=True)
class Expansion:
    """What expanding a layer costs. tile_rows, tile_cycles: rows in and Σ_j X_j of each row-tile.

    reads: bank reads of the layer. columns: row-tiles x fan-in.
    """

    tile_rows: tuple[int, ...]
    tile_cycles: tuple[int, ...]
    reads: int
    columns: int

    @property
    def conflict_cycles(self) -> int:
        """Cycles beyond one per column, lost to bank conflicts."""
        return sum(self.tile_cycles) - self.columns

    @property
    def column_cycles(self) -> float:
        """Mean X_j."""
        return sum(self.tile_cycles) / self.columns


def tile_rows(groups: int, outputs: int, rows: int) -> tuple[int, ...]:
    """Rows of each row-tile of a layer with ``outputs`` rows a group; no tile spans two groups."""
    return tuple(min(rows, outputs - top) for top in range(0, outputs, rows)) * groups


def expansion(
    spec: HashSpec,
    rows: int,
    banks: int,
    groups: int = 1,
    stored: NDArray[np.integer] | None = None,
) -> Expansion:
    """Count the bank conflicts of a layer from its real addresses. banks >= rows, a power of two.

    A ``dense`` layer needs no counting: neighbouring rows want neighbouring words, hence
    different banks. stored: (n_out, fan_in), what the index memory holds where that is not what the
    hash gives.
    """
    in_tile = tile_rows(groups, spec.n_out // groups, rows)
    columns = len(in_tile) * spec.fan_in
    if spec.scheme == "dense":
        return Expansion(in_tile, (spec.fan_in,) * len(in_tile), spec.virtual_weights, columns)
    cost, reads = [], 0
    for tile_cycles, tile_reads in _costs(spec, in_tile, banks, stored):
        cost.append(int(tile_cycles.sum()))
        reads += int(tile_reads.sum())
    return Expansion(in_tile, tuple(cost), reads, columns)


def column_costs(
    spec: HashSpec, rows: int, banks: int, stored: NDArray[np.integer] | None = None
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """(X_j, bank reads) of every column of an fc layer, each int32 (row-tiles, fan_in).

    Parameters as of ``expansion``, whose sums over columns are those of these.
    """
    in_tile = tile_rows(1, spec.n_out, rows)
    if spec.scheme == "dense":
        reads = np.repeat(np.array(in_tile, np.int32)[:, None], spec.fan_in, 1)
        return np.ones_like(reads), reads
    costs = list(_costs(spec, in_tile, banks, stored))
    return np.stack([one for one, _ in costs]), np.stack([one for _, one in costs])


def _costs(
    spec: HashSpec, in_tile: tuple[int, ...], banks: int, stored: NDArray[np.integer] | None
) -> Iterator[tuple[NDArray[np.int32], NDArray[np.int32]]]:
    """``cycles_columns`` of each row-tile."""
    first = 0
    for used in in_tile:
        if stored is None:
            address, _ = index.columns(spec, first, used)
        else:
            address = stored[first : first + used].T.astype(np.uint32)
        yield cycles_columns(address, banks)
        first += used


def expansion_of_ones(channels: int, outputs: int, fan_in: int) -> Expansion:
    """A layer without weights of its own: a row-tile of ``outputs`` rows for each channel.

    Its weights are one or zero by their place and come from no bank.
    """
    return Expansion((outputs,) * channels, (fan_in,) * channels, 0, channels * fan_in)
