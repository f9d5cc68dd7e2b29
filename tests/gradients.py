"""The engine's gradients beside the oracle's, for tests that compare them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwsim import reference
from hwsim.datapath import Datapath
from hwsim.gradient import Backward
from hwsim.program import Program
from tests.rounding import assert_within, roundings


def computed(
    program: Program, images: NDArray[np.int64], seed: NDArray[np.float32], unclamped: bool = False
) -> NDArray[np.float32]:
    """(N, C, H, W) of the fast path for integer images (N, C, H, W), seeds (N, classes)."""
    datapath = Datapath(program, frozenset(("float64",)))
    backward = Backward(datapath, "ste-unclamped" if unclamped else "ste")
    states: list[Any] = []
    datapath.run(images.transpose(0, 2, 3, 1).astype(datapath.map_dtype), states)
    return backward.run(seed, states)


def exact(
    program: Program, images: NDArray[np.int64], seed: NDArray[np.float32], unclamped: bool = False
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Fractions of the oracle, (N, C, H, W) each: the gradient, and the size of its terms."""
    parts = [
        reference.gradient_and_size(program, image, weights, unclamped=unclamped)
        for image, weights in zip(images, seed.tolist(), strict=True)
    ]
    gradients, sizes = zip(*parts, strict=True)
    return np.stack(gradients), np.stack(sizes)


def assert_oracles(
    found: NDArray[np.float32],
    program: Program,
    images: NDArray[np.int64],
    seed: NDArray[np.float32],
    unclamped: bool = False,
) -> None:
    """Fail unless ``found`` is the oracle's gradient of every image, up to float32 roundings."""
    assert_within(found, *exact(program, images, seed, unclamped), roundings(program))
