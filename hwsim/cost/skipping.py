"""Cycles of an fc layer that skips, image by image: they depend on which of its inputs are 0."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hwsim.numbers.config import EngineConfig
from hwsim.numbers.hashing import HashSpec
from hwsim.program.layers import Layer, MacLayer
from hwsim.units import expander, index, mac_array, post, sequencer, skip
from hwsim.units.expander import Expansion
from hwsim.units.skip import FirstTile

I64 = NDArray[np.int64]
#: float32 holds every integer up to here.
_EXACT_FLOAT32 = 1 << 24


@dataclass(frozen=True)
class SkipCounters:
    """Counters of one layer, int64 (N,) each; those of LayerTiming that an image decides."""

    cycles: I64
    compute: I64
    act_stall: I64
    post_stall: I64
    expander_stall: I64
    drain: I64
    expander_wait: I64
    conflict_cycles: I64
    skipped: I64
    columns: I64
    macs: I64


@dataclass(frozen=True)
class SkipRun:
    """Where the row-tiles of a layer were, image by image, in boundaries from its start on.

    entries: columns of the list, (N,). ends: E(r), (N, row-tiles). served: Σ X_j over all
    row-tiles, (N,). hold: cycles in which a last column waited for the shadow bank, (N,). All
    int64.
    """

    entries: I64
    ends: I64
    served: I64
    hold: I64


def skips(layer: Layer, config: EngineConfig) -> bool:
    """Whether a layer leaves out columns: it is fc, and its list is long enough."""
    if not config.skip or not isinstance(layer, MacLayer) or layer.kind != "fc":
        return False
    return layer.fan_in <= config.skip_columns


@dataclass(frozen=True)
class SkippingLayer:
    """What a layer that ``skips`` costs, column by column.

    spec: its weights. tile_rows: rows of each row-tile. cost, reads: X_j and bank reads, int32
    (row-tiles, fan_in).
    i_rounds: bubbles before each row-tile. width: of the input map. depth: stages in front of the
    expander.
    """

    spec: HashSpec
    tile_rows: tuple[int, ...]
    cost: NDArray[np.int32]
    reads: NDArray[np.int32]
    i_rounds: tuple[int, ...]
    width: int
    cols: int
    depth: int

    @classmethod
    def of(
        cls,
        layer: MacLayer,
        config: EngineConfig,
        spec: HashSpec,
        stored: NDArray[np.integer] | None = None,
    ) -> SkippingLayer:
        """Of a layer that ``skips``. spec, stored: as of ``expander.expansion``."""
        cost, reads = expander.column_costs(spec, config.rows, config.banks, stored)
        rows = expander.tile_rows(1, layer.n_out, config.rows)
        source = index.source_of(spec, config.index_mode)
        i_rounds = tuple(index.cycles_row_tile(source, one) for one in rows)
        depth = index.latency(source, config.skip) + expander.TURNS
        return cls(spec, rows, cost, reads, i_rounds, layer.in_shape[2], config.cols, depth)

    @property
    def fan_in(self) -> int:
        return self.cost.shape[1]

    @property
    def work(self) -> Expansion:
        """All columns, as if none were left out."""
        cycles = tuple(self.cost.sum(1, dtype=np.int64).tolist())
        reads = int(self.reads.sum(dtype=np.int64))
        return Expansion(self.tile_rows, cycles, reads, len(cycles) * self.fan_in)

    def first_tile(self, wanted: NDArray[np.bool_]) -> FirstTile:
        """The scan, and the row-tile that runs beside it."""
        return skip.first_tile(
            wanted, self.cost[0], width=self.width, cols=self.cols, depth=self.depth,
            bubbles=self.i_rounds[0],
        )  # fmt: skip

    def run(self, wanted: NDArray[np.bool_]) -> SkipRun:
        """Row-tile by row-tile; wanted: bool (N, fan_in), which codes are not 0."""
        first = self.first_tile(wanted)
        sums = self._sums(wanted, first.entries)
        ends, hold = self._ends(first.end, sums)
        return SkipRun(first.entries, ends, sums.sum(1), hold)

    def _ends(self, first: I64, sums: I64) -> tuple[I64, I64]:
        """(E(r) of all row-tiles, cycles of last columns held); first: E(0), were it not held."""
        shortest = max(self.tile_rows)
        ends = np.empty_like(sums)
        hold, before = np.zeros_like(first), np.zeros_like(first)
        for tile, i_round in enumerate(self.i_rounds):
            served = first if tile == 0 else before + i_round + sums[:, tile]
            before = ends[:, tile] = np.maximum(served, before + shortest)
            hold += before - served
        return ends, hold

    def bound(self, wanted: NDArray[np.bool_]) -> I64:
        """Cycles of each image, (N,), were its list known before the layer starts."""
        sums = self._sums(wanted, np.maximum(wanted.sum(1, dtype=np.int64), 1))
        ends, _ = self._ends(self.depth + self.i_rounds[0] + sums[:, 0], sums)
        return sequencer.INSTRUCTION + self._written(ends)

    def _sums(self, wanted: NDArray[np.bool_], entries: I64) -> I64:
        """Σ X_j over the listed columns of each row-tile, int64 (N, row-tiles).

        entries: how many are listed, (N,).
        """
        most = int(self.cost.max())
        if most == 1:
            return np.repeat(entries[:, None], len(self.tile_rows), 1)
        exact = self.fan_in * most <= _EXACT_FLOAT32
        real = np.float32 if exact else np.float64
        sums = (wanted.astype(real) @ self.cost.T.astype(real)).astype(np.int64)
        # An image of zeros has the first column in its list.
        sums[~wanted.any(1)] = self.cost[:, 0]
        return sums

    def _written(self, ends: I64) -> I64:
        """Boundary at which the last result is written, from the start of the unit on; (N,)."""
        written: I64 = ends[:, -1] + expander.FILL + sequencer.ISSUE + self.drain
        return written

    @property
    def drain(self) -> int:
        """Cycles from the last issue to the last write."""
        return mac_array.FILL + post.cycles_drain(self.tile_rows[-1])

    def counters(self, wanted: NDArray[np.bool_]) -> SkipCounters:
        """Counters of N images; wanted: bool (N, fan_in) in (c, y, x) order, codes not 0."""
        run = self.run(wanted)
        tiles = len(self.tile_rows)
        compute = tiles * run.entries
        cycles = sequencer.INSTRUCTION + self._written(run.ends)
        stall = cycles - sequencer.INSTRUCTION - compute - run.hold - self.drain
        return SkipCounters(
            cycles=cycles,
            compute=compute,
            act_stall=np.zeros_like(cycles),
            post_stall=run.hold,
            expander_stall=stall,
            drain=np.full_like(cycles, self.drain),
            expander_wait=np.zeros_like(cycles),
            conflict_cycles=run.served - compute,
            skipped=tiles * (self.fan_in - run.entries),
            columns=compute,
            macs=sum(self.tile_rows) * run.entries,
        )

    def bank_reads(self, wanted: NDArray[np.bool_]) -> I64:
        """Words read for the listed columns of each image, (N,)."""
        listed = wanted.copy()
        listed[~wanted.any(1), 0] = True
        # Sums of a layer stay below 2^53.
        reads = listed @ self.reads.sum(0, dtype=np.float64)
        return reads.astype(np.int64)


#: Counters of a layer that an image decides.
VARYING = tuple(field.name for field in dataclasses.fields(SkipCounters))
