"""What the RTL benchmark runs: conv 16x3x3, pool, fc on ``default``; quick to load, array busy."""

from __future__ import annotations

from fractions import Fraction
from functools import cache

import numpy as np
from numpy.typing import NDArray

from hwsim.numbers.config import load_config
from hwsim.numbers.hashing import HashSpec
from hwsim.program.layers import MacLayer, PoolLayer, Window
from hwsim.program.program import Program
from hwsim.program.wires import Input


@cache
def network() -> Program:
    """About 12,000 cycles, and 6,272 for the image."""
    random = np.random.default_rng(1)

    def mac(name: str, spec: HashSpec, last: bool) -> MacLayer:
        n = spec.n_out
        return MacLayer(
            name=name, kind="fc" if last else "conv",
            in_shape=(16, 9, 9) if last else (8, 28, 28),
            out_shape=(n, 1, 1) if last else (n, 28, 28),
            window=None if last else Window.square(3, 1, 1), spec=spec,
            weights=random.integers(-127, 128, spec.real_weights, np.int32),
            weight_scale=np.array([2.0**-7]), scale=2.0 ** (-15 if last else -8), hi=255,
            multiplier=np.full(n, 0 if last else 90, np.int32),
            shift=np.full(n, 0 if last else 16, np.int32), bias=np.zeros(n, np.int64), last=last,
        )  # fmt: skip

    layers = (
        mac("conv", HashSpec("xxh32", 16, 72, 100, 5), False),
        PoolLayer("pool", (16, 28, 28), (16, 9, 9), Window.square(3, 3)),
        mac("fc", HashSpec("dense", 10, 16 * 81, 10 * 16 * 81), True),
    )
    return Program.chain(load_config("default"), layers, Input((8, 28, 28), Fraction(1, 256)))


@cache
def image() -> NDArray[np.int64]:
    return np.random.default_rng(2).integers(0, 256, network().input_shape)
