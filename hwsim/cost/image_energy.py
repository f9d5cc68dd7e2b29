"""Energy of one image on an engine that skips zeros, and by the sponge papers' model of a machine.

The engine's is linear in the columns that an image takes: everything else happens whatever they
are. Every event has the price that ``hwsim.cost.energy`` gives it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from hwsim.cost.activity import Activity
from hwsim.cost.energy import datapath_rows, in_dram, sram_pj_per_bit, weight_rows
from hwsim.cost.layer_timing import index_lines, weight_lines
from hwsim.cost.skipping import SkippingLayer
from hwsim.cost.timing import walk
from hwsim.program.layers import MacLayer
from hwsim.program.program import Program

F64 = NDArray[np.float64]
#: Shumailov et al. 2021, after Horowitz 2014: a 32-bit word of DRAM, an operation, pJ.
SPONGE_WORD, SPONGE_OPERATION = 1950.0, 3.7


class ImageEnergy:
    """Called with the columns that images take, it gives their energy.

    columns: by number of a layer that skips, nJ of expanding, multiplying and adding each of its
    columns, float64 (fan_in,) in the order of the weights, list entry included. fixed: nJ of all
    the rest, the scan included, which reads each code once.
    """

    def __init__(self, program: Program) -> None:
        self._program, self._prices = program, _prices(program)
        whole, self.columns = Activity(), dict[int, F64]()
        again, lists = 0, 0.0
        for number, cost in enumerate(walk(program)):
            whole += cost.activity
            if cost.array is None or cost.array.skipping is None:
                continue
            layer, found = program.layers[number], cost.array.skipping
            assert isinstance(layer, MacLayer)
            self.columns[number] = self._column(layer, found)
            tiles = len(found.tile_rows)
            again += (tiles - 1) * layer.fan_in
            lists += layer.fan_in * self._list_entry(tiles)
        once = dataclasses.replace(whole, act_reads=whole.act_reads - again)
        taken = sum(float(one.sum()) for one in self.columns.values())
        self.fixed = self._nj(once) + lists - taken

    def __call__(self, wanted: Mapping[int, NDArray[np.bool_]], count: int) -> F64:
        """nJ of ``count`` images, (count,); wanted: by layer, (count, fan_in), codes not 0."""
        total = np.full(count, self.fixed)
        for number, each in self.columns.items():
            taken = wanted[number] @ each
            # Where there is no such code, the first column is taken.
            total += np.where(wanted[number].any(1), taken, each[0])
        return total

    def _nj(self, activity: Activity) -> float:
        return float(np.dot(dataclasses.astuple(activity), self._prices))

    def _list_entry(self, tiles: int) -> float:
        """nJ of an entry of the column list: written once, read in every row-tile."""
        config = self._program.config
        bits = (config.skip_columns - 1).bit_length() + config.act_w
        per_bit, _ = sram_pj_per_bit(config.skip_columns * bits)
        return (1 + tiles) * bits * per_bit / 1000

    def _column(self, layer: MacLayer, found: SkippingLayer) -> F64:
        tiles, outputs = len(found.tile_rows), layer.n_out
        # All but the bank reads are the same for every column of a layer.
        one = Activity(macs=outputs, tile_writes=tiles, tile_reads=tiles)
        if layer.spec.scheme != "dense":
            banked = layer.spec.scheme == "banked"
            one += Activity(
                index_lines=tiles,
                hash_multiplies=4 * outputs + (3 * tiles if banked else 0),
                hash_adds=(outputs + tiles) * (2 if banked else 1),
            )
        each = self._nj(one) + self._list_entry(tiles)
        reads: NDArray[np.int64] = found.reads.sum(0, dtype=np.int64)
        column: F64 = each + reads.astype(np.float64) * self._nj(Activity(weight_reads=1))
        return column


def _prices(program: Program) -> F64:
    """nJ of one event of each kind, in the order of ``Activity``."""
    config, macs = program.config, program.mac_layers
    weights = sum(weight_lines(layer.spec, config) for layer in macs)
    indices = sum(index_lines(layer, layer.spec, config) for layer in macs)
    outside, hashes = in_dram(config, weights, indices, config.index_mode), config.index_mode

    def price(activity: Activity) -> float:
        rows = weight_rows(activity, config, weights, indices, hashes, outside)
        return sum(row.nj for row in [*rows, *datapath_rows(activity, config)])

    found = []
    for field in dataclasses.fields(Activity):
        event = Activity(**{field.name: 1})
        if field.name in ("hash_multiplies", "hash_adds"):
            # A layer has both index lines and hash operations; the mode says which are paid for.
            event += Activity(index_lines=1)
            found.append(price(event) if hashes == "hash" else 0.0)
        elif field.name == "index_lines" and hashes == "hash":
            found.append(0.0)
        else:
            found.append(price(event))
    return np.array(found)


def sponge_energy(program: Program, read: NDArray[np.int64], written: NDArray[np.int64]) -> F64:
    """nJ of images by the sponge papers' own model of a machine, (N,).

    Shumailov et al. 2021, taken over by Cinà et al. 2022: weights, read once, and activations, read
    and written by every layer, are 32-bit words in DRAM, and those that are 0 are not moved; an
    operation is left out where an operand is 0, by the mean shares of what is not 0 in all layers.

    read, written: int64 (N,), values that are not 0 in what all layers read, and in what they
    write.
    """
    weighted = program.mac_layers
    words = sum(layer.spec.virtual_weights for layer in weighted)
    used = sum(int(np.count_nonzero(layer.virtual_weights)) for layer in weighted)
    values = sum(
        int(np.prod(layer.in_shape)) * len(wire.sources)
        for layer, wire in zip(program.layers, program.wires, strict=True)
    )
    operations = sum(layer.macs for layer in weighted)
    share = used / words * (read / values)
    total: F64 = SPONGE_WORD * (used + read + written) + SPONGE_OPERATION * operations * share
    return total / 1000
