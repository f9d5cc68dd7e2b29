"""Weights in a memory beside the chip: what a bandwidth makes of cycles, memory and energy.

A model on top of the cycles that are counted, as SCALE-Sim's is: the engine in Verilog has no such
port. While layer l computes, the words of layer l + 1 are fetched into the other half of a double
buffer; only the first layer's are waited for. With C_l cycles and B_l bytes of layer l, W bytes a
cycle and F_l = ⌈B_l / W⌉, F_(L+1) = 0,

    cycles = start + F_1 + Σ_l max(C_l, F_(l+1))

A layer's words are its weights and, where the index is stored, its index, check bits included, each
fetched once an image (a batch has a model of its own that is not here). On chip stay two halves of
the largest layer. Every bit fetched costs DRAM_PER_BIT of hwsim.cost.energy on top of what is
counted; reads of the buffer stay priced as reads of a macro that holds the whole network, which a
smaller one undercuts: the sum is an upper bound.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hwsim.cost.energy import DRAM_PER_BIT
from hwsim.cost.layer_timing import LayerTiming
from hwsim.cost.timing import TimingReport
from hwsim.errors import InputError

#: What a port may bring, bytes a cycle: less than any memory of today, and more.
LEAST, MOST = 0.001, 65536.0


@dataclass(frozen=True)
class OffChip:
    """What an image costs with its weights off chip.

    cycles: mean over the images given. waited: of them for the port, the first fill included.
    buffer_bits: of both halves. fetched_bits: of an image. fetch_nj: what these cost.
    """

    cycles: float
    waited: float
    buffer_bits: int
    fetched_bits: int
    fetch_nj: float


def stored_bits(layer: LayerTiming, index_mode: str) -> int:
    """Bits that hold a layer's weights, and its index where that is stored."""
    return layer.allocated_bits["index_sram" if index_mode == "sram" else "hash"]


def report_off_chip(
    report: TimingReport, bandwidth: float, images: NDArray[np.int64] | None = None
) -> OffChip:
    """``off_chip`` of a network as it is reported.

    images: int64 (N, layers), cycles of its layers image by image; None for those of the report.
    Raises InputError for a report about a batch.
    """
    if report.images > 1:
        raise InputError("weights off chip are modelled for one image: a batch shares its fetches")
    bits = [stored_bits(layer, report.config.index_mode) for layer in report.layers]
    if images is None:
        images = np.array([[layer.cycles for layer in report.layers]], np.int64)
    return off_chip(images, bits, report.layers[0].start, bandwidth)


def off_chip(
    layer_cycles: NDArray[np.int64], layer_bits: Sequence[int], start: int, bandwidth: float
) -> OffChip:
    """The model at the head of this file.

    Parameters
    ----------
    layer_cycles : int64 (N, layers)
        Cycles of each layer on chip, N images, N >= 1; they differ on an engine that skips.
    layer_bits : sequence of int, one a layer
        What is fetched for it; 0 of a pool.
    start : int
        Cycles before the first layer.
    bandwidth : float
        Bytes a cycle, LEAST to MOST; at f MHz that is bandwidth · f / 1000 GB/s.

    Raises
    ------
    InputError
        For a bandwidth that is none.
    """
    if not LEAST <= bandwidth <= MOST:
        raise InputError(f"a bandwidth is {LEAST:g} to {MOST:g} bytes a cycle: {bandwidth:g}")
    fetch = np.ceil(np.asarray(layer_bits, np.float64) / 8 / bandwidth).astype(np.int64)
    behind = np.append(fetch[1:], 0)
    on_chip = layer_cycles.sum(1) + start
    cycles = np.maximum(layer_cycles, behind).sum(1) + fetch[0] + start
    fetched = int(sum(layer_bits))
    return OffChip(
        cycles=float(cycles.mean()),
        waited=float((cycles - on_chip).mean()),
        buffer_bits=2 * max(layer_bits),
        fetched_bits=fetched,
        fetch_nj=DRAM_PER_BIT * fetched / 1000,
    )
