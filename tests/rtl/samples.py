"""A small network with every kind of layer, for tests that are about something else."""

from __future__ import annotations

import numpy as np

from hwsim.numbers.config import EngineConfig
from hwsim.numbers.hashing import HashSpec
from hwsim.program.layers import MacLayer, PoolLayer, Window
from hwsim.program.program import Program


def small_network(config: EngineConfig, seed: int = 1) -> Program:
    """Conv 3x3 on 6x6, pool 2x2, fc to 4 classes."""
    random = np.random.default_rng(seed)

    def mac(name: str, spec: HashSpec, last: bool) -> MacLayer:
        conv, n = name == "conv", spec.n_out
        limit = config.wgt_max
        return MacLayer(
            name=name,
            kind="conv" if conv else "fc",
            in_shape=(1, 6, 6) if conv else (n_conv, 3, 3),
            out_shape=(n, 6, 6) if conv else (n, 1, 1),
            window=Window.square(3, padding=1) if conv else None,
            spec=spec,
            weights=random.integers(-limit, limit + 1, spec.real_weights, np.int32),
            multiplier=np.full(n, 0 if last else 90, np.int32),
            shift=np.full(n, 0 if last else 13, np.int32),
            bias=np.arange(n, dtype=np.int64) * 4096,
            last=last,
            weight_scale=np.array([2.0**-7]),
            scale=2.0**-15 if last else 2.0**-8,
            hi=config.act_max,
        )

    n_conv = 5
    layers = (
        mac("conv", HashSpec("xxh32", n_conv, 9, 11, seed), False),
        PoolLayer("pool", (n_conv, 6, 6), (n_conv, 3, 3), Window.square(2, 2)),
        mac("fc", HashSpec("banked", 4, 9 * n_conv, 32, seed, 4), True),
    )
    return Program.chain(config, layers, (1, 6, 6))


def gradient_image(seed: int = 0) -> np.ndarray:
    """An image for it."""
    return np.random.default_rng(seed).integers(0, 256, (1, 6, 6))
