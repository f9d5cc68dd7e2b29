"""Energy of images by the sponge papers' model of a machine, to be set beside the engine's."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hwsim.program.program import Program

F64 = NDArray[np.float64]
#: A 32-bit word of DRAM, an operation, pJ: Shumailov et al. 2021, after Horowitz 2014.
SPONGE_WORD, SPONGE_OPERATION = 1950.0, 3.7


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
