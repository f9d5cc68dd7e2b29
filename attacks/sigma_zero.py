"""σ-zero: few values change, by a smooth stand-in for their number."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from hwsim.attacks.core.balls import normalized, wide
from hwsim.attacks.core.checks import check_number
from hwsim.attacks.core.descent import Descent, DescentLook, Trail
from hwsim.attacks.core.grid import Space

#: Adam with the usual constants (Kingma, Ba 2015).
BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8


@dataclass(eq=False)
class _Sparse(Trail):
    """first, second: Adam's moments. threshold: (n,), below which a change becomes 0."""

    first: Tensor
    second: Tensor
    threshold: Tensor


class SigmaZero(Descent):
    """min max(0, z_y − max z_i) + (1/d)·Σ δ²/(δ² + σ), smallest changes set to 0 at every step.

    Cinà et al., "σ-zero: gradient-based optimization of l0-norm adversarial examples", ICLR 2025,
    Algorithm 1. Adam on gradients divided by their largest entry; the threshold τ rises by
    ``threshold_step``·η where the image is adversarial and falls elsewhere, and η falls on a
    cosine from ``step_size`` to a tenth of it.

    steps: gradients. sigma: σ. threshold: τ at first, a share of a pixel's range.
    """

    def __init__(
        self,
        *,
        steps: int = 100,
        step_size: float = 1.0,
        sigma: float = 1e-3,
        threshold: float = 0.3,
        threshold_step: float = 0.01,
        space: Space | None = None,
    ) -> None:
        super().__init__(steps=steps, norm="l0", norms=("l0",), loss=None, space=space)
        for name, value in (
            ("step_size", step_size), ("sigma", sigma), ("threshold", threshold),
            ("threshold_step", threshold_step),
        ):  # fmt: skip
            check_number(value, name, above=0.0, most=1.0)
        self.step_size, self.sigma = step_size, sigma
        self.threshold, self.threshold_step = threshold, threshold_step

    def begin(self, trail: Trail) -> Trail:
        """Adam at rest."""
        zeros = torch.zeros_like(trail.change)
        threshold = trail.fill(self.threshold)
        return _Sparse(**vars(trail), first=zeros, second=zeros, threshold=threshold)

    def move(self, trail: Trail, look: DescentLook) -> None:
        """One step of Adam, then the threshold."""
        assert isinstance(trail, _Sparse)
        # From the step before, as the algorithm has it.
        before = max(look.step - 1, 0)
        rate = self.annealed(self.step_size, 0.1 * self.step_size, before)
        square = trail.change.square()
        few = 2.0 * trail.change * self.sigma / (square + self.sigma).square()
        hinge = wide(~look.reached, look.gradient) * look.gradient
        down = normalized(hinge + few / trail.original[0].numel(), "linf")
        age = look.step + 1
        trail.first = BETA1 * trail.first + (1 - BETA1) * down
        trail.second = BETA2 * trail.second + (1 - BETA2) * down.square()
        size = (trail.second / (1 - BETA2**age)).sqrt() + EPSILON
        trail.into_box(trail.change - rate / (1 - BETA1**age) * trail.first / size)
        rate = self.annealed(self.step_size, 0.1 * self.step_size, look.step)
        drift = torch.where(look.reached, 1.0, -1.0) * self.threshold_step * rate
        trail.threshold = (trail.threshold + drift).clamp(0.0, 1.0)
        small = trail.change.abs() < wide(trail.threshold, trail.change)
        trail.change = torch.where(small, 0.0, trail.change)
