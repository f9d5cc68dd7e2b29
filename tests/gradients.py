"""The engine's gradients beside the oracle's, for tests that compare them."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hwsim.engine import reference
from hwsim.engine.backward import Backward
from hwsim.engine.forward import Datapath
from hwsim.engine.module import Engine
from hwsim.engine.pulls import pull_of
from hwsim.program.program import Program
from tests.rounding import assert_within, gamma, roundings


def computed(
    program: Program, images: NDArray[np.int64], seed: NDArray[np.float32], unclamped: bool = False
) -> NDArray[np.float32]:
    """(N, C, H, W) of the fast path for integer images (N, C, H, W), seeds (N, classes)."""
    datapath = Datapath(program, frozenset(("float64",)))
    backward = Backward(datapath, "ste-unclamped" if unclamped else "ste")
    maps = images.transpose(0, 2, 3, 1).astype(datapath.map_dtype)
    return backward.run(seed, datapath.run(maps, states=True))


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


def terms(engine: Engine, x: Tensor, seed: Tensor) -> Tensor:
    """Σ|terms| of the engine's input gradient for seeds (N, classes): (N, C, H, W), float64.

    From the fast path with the size of every factor, for networks that the oracle would take long
    for. Its gates are the engine's own, so it says how far two runs of an engine may be apart, not
    whether a gate is right.
    """
    backward = Backward(engine.datapath, "ste" if engine.gradient == "ste" else "ste-unclamped")
    program = engine.program
    backward.pulls = [
        pull_of(program, stage.number, signed=False) for stage in engine.datapath.stages
    ]
    tape = engine.datapath.run(engine.grid(x), states=True)
    return torch.from_numpy(backward.run(seed.abs().float().numpy(), tape)).double()


def assert_same(
    found: Tensor,
    expected: Tensor,
    engine: Engine,
    x: Tensor,
    seed: Tensor,
    factor: Tensor | None = None,
) -> None:
    """Fail unless two float32 gradients for seeds (N, classes) differ by roundings only.

    Each is within γ_n of its terms from the exact one. Eight more roundings allow for seeds that
    are themselves computed in float32, as a softmax is, or for a ``factor`` behind the gradient.
    """
    size = terms(engine, x, seed) * (1 if factor is None else factor.abs())
    allowed = 2 * float(gamma(roundings(engine.program) + 8)) * size
    assert found.shape == expected.shape == allowed.shape
    beyond = (found.double() - expected.double()).abs() - allowed
    assert float(beyond.max()) <= 0, f"{float(beyond.max()):.3g} more than roundings allow"
