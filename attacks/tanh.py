"""Carlini and Wagner's change of variables, x = (tanh(w) + 1)/2: any w is an image in [0, 1]."""

from __future__ import annotations

import torch
from torch import Tensor

from hwsim.attacks.core.grid import Continuous, Space

#: arctanh is infinite at ±1, so the original is drawn in by this factor first.
SHRINK = 0.999999


def shrink(space: Space) -> float:
    """The factor by which originals are drawn towards grey before arctanh.

    On a grid, a quarter of a step: the image still rounds to the original, and black and white
    pixels can move (tanh′ = 2e-3 for 8 bits). In the continuous case the textbook's 0.999999,
    where tanh′ = 2e-6 leaves such pixels where they are for hundreds of steps.
    """
    return min(SHRINK, 1.0 - 0.5 / space.levels) if not isinstance(space, Continuous) else SHRINK


def to_tanh(x: Tensor, factor: float) -> Tensor:
    """w with (tanh(w) + 1)/2 ≈ x; float32, finite."""
    return torch.arctanh((2.0 * x - 1.0) * factor)


def from_tanh(w: Tensor) -> tuple[Tensor, Tensor]:
    """x = (tanh(w) + 1)/2 and its derivative by w, (1 − tanh²)/2."""
    t = torch.tanh(w)
    return (t + 1.0) / 2.0, (1.0 - t * t) / 2.0
