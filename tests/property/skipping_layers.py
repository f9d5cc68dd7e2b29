"""Random convolutions for an engine that skips: every shape of which it treats the columns apart.

Of plain random numbers: each seed is a case of its own. Weights are zeros, since cycles follow from
shapes, addresses and which codes are 0.
"""

from __future__ import annotations

import dataclasses
import random
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hwsim.numbers.config import EngineConfig, load_config
from hwsim.numbers.hashing import SCHEMES, HashSpec
from hwsim.program.layers import MacLayer, Shape, Window
from hwsim.program.program import Program
from tests.unit.test_timing import mac

#: Columns of a window of the masks, and fan-ins around it.
EDGES = [1, 2, 15, 16, 17, 31, 32, 33, 48]
#: Array cycles that one image of a convolution may take: each costs the slow machine some µs.
BUDGET = 6000
BATCHES = [1, 1, 2, 7]


@dataclass(frozen=True)
class Convolution:
    """One convolution with an fc layer behind it, and codes for both, (N, C, H, W).

    need: words of masks that the convolution asks for.
    """

    program: Program
    layer: MacLayer
    codes: NDArray[np.int64]
    rest: NDArray[np.int64]
    need: int


def config_of(rng: random.Random) -> EngineConfig:
    """Any array and banks; both ways to an index."""
    rows = rng.choice([1, 2, 3, 4, 5, 9, 16])
    return load_config("default").replace(
        rows=rows,
        cols=2 ** rng.choice([0, 1, 2, 3, 4, 5, 6]),
        banks=2 ** rng.randint((rows - 1).bit_length(), 5),
        index_mode=rng.choice(["sram", "hash"]),
        skip=True,
        skip_columns=rng.choice([1, 8, 8192]),
    )


def _window(rng: random.Random, size: int, sides: tuple[int, int]) -> Window | None:
    """A kernel of about ``size`` elements on a map of ``sides``; None where there is none."""
    kernel_h = rng.choice([n for n in range(1, 12) if n <= size])
    kernel = kernel_h, max(1, min(11, size // kernel_h))
    stride = rng.randint(1, 4), rng.choice([1, 1, 2, 3, 4])
    pads = [rng.randrange(k) if rng.random() < 0.6 else 0 for k in kernel]
    ends = [rng.randrange(k) if rng.random() < 0.6 else 0 for k in kernel]
    window = Window(kernel, stride, (pads[0], pads[1], ends[0], ends[1]))
    return window if min(window.out_sides(*sides)) > 0 else None


def _layer(rng: random.Random, config: EngineConfig) -> MacLayer | None:
    fan_in = rng.choice([*EDGES, *EDGES, rng.randint(1, 80), rng.randint(60, 140)])
    groups = rng.choice([1, 1, 1, 2, 3])
    each = rng.choice([n for n in range(1, fan_in + 1) if fan_in % n == 0])
    height = rng.randint(1, 7)
    width = rng.choice([1, rng.randint(1, 20), rng.randint(20, 63), rng.randint(64, 140)])
    window = _window(rng, fan_in // each, (height, width))
    if window is None:
        return None
    # Row-tiles of a group: one leaves nothing out.
    tiles = rng.choice([1, 2, 2, 2, 3, 3, 4])
    outputs = groups * rng.randint(config.rows * (tiles - 1) + 1, config.rows * tiles)
    scheme, rate = rng.choice(SCHEMES), rng.choice([1.0, 0.5, 0.1])
    fan_in = each * window.size
    spec = HashSpec.for_rate(
        scheme, outputs, fan_in, rate, rng.getrandbits(32), 2 ** rng.randint(0, 4)
    )
    shape: Shape = (each * groups, height, width)
    out = (outputs, *window.out_sides(height, width))
    layer = dataclasses.replace(
        mac("conv", shape, spec, groups=groups),
        window=window, out_shape=out, fill=rng.choice([0, 0, 7]),
    )  # fmt: skip
    pixels = out[1] * -(-out[2] // config.cols)
    slot = max(fan_in * np.gcd(window.stride[1], config.cols), config.rows)
    return layer if tiles * groups * pixels * slot <= BUDGET else None


def codes_of(rng: random.Random, shape: Shape) -> NDArray[np.int64]:
    """A map: blank, full, one point, of any density, with blank channels, rows or right edge."""
    noise = np.random.default_rng(rng.getrandbits(32))
    style = rng.choice(["blank", "full", "point", "random", "random", "channels", "rows", "edge"])
    if style == "blank":
        return np.zeros(shape, np.int64)
    if style == "full":
        return noise.integers(1, 256, shape)
    found = np.zeros(shape, np.int64)
    if style == "point":
        found.flat[noise.integers(found.size)] = 1
    elif style == "random":
        found[noise.random(shape) < rng.random() ** 3] = 255
    elif style == "channels":
        found[noise.random(shape[0]) < 0.4] = 3
    elif style == "rows":
        found[:, noise.random(shape[1]) < 0.4] = 3
    else:
        found[:, :, shape[2] * 2 // 3 :] = 1
    return found


def convolution(seed: int) -> Convolution:
    """The case of a seed."""
    rng = random.Random(f"columns of zeros {seed}")
    layer = None
    while layer is None:
        config = config_of(rng)
        layer = _layer(rng, config)
    _, out_h, out_w = layer.out_shape
    need = out_h * -(-out_w // config.cols) * -(-layer.fan_in // 16)
    # Often just as many words as there are, or one too few.
    masks = rng.choice([need, max(1, need - 1), need + 1, 4096, 4096, 1])
    config = config.replace(skip_masks=masks)
    fan_in = int(np.prod(layer.out_shape))
    last = mac("fc", layer.out_shape, HashSpec("dense", 1, fan_in, fan_in))
    program = Program.chain(config, [layer, last], layer.in_shape)
    count = rng.choice(BATCHES)
    codes, rest = (
        np.stack([codes_of(rng, shape) for _ in range(count)])
        for shape in (layer.in_shape, layer.out_shape)
    )
    return Convolution(program, layer, codes, rest, need)
