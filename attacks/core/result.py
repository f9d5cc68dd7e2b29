"""The result that every attack returns."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from hwsim.attacks.core.budget import ORDERS, Norm


def distances(a: Tensor, b: Tensor, norm: Norm) -> Tensor:
    """(N,) float64 distances between equally shaped images, computed in float64."""
    moved = (a.double() - b.double()).flatten(1)
    return torch.linalg.vector_norm(moved, ORDERS[norm], dim=1)


@dataclass(frozen=True, eq=False)
class AttackResult:
    """What an attack did to N examples with one budget.

    original: inputs on the attack's grid. raw: perturbed, before clipping. adversarial: within
    the space's bounds and on its grid. All float32, shaped and scaled as the inputs, and so are
    the distances. success: goal reached on the attacked
    model; an input misclassified from the start counts too, so mask with the correctly
    classified ones before making a rate of it (evaluate.success_rate). zero_gradient: every
    pixel's gradient was exactly 0, so the image is unchanged. forward, backward: how often the
    model ran on the example, the final check included. All (N,).
    """

    epsilon: float
    effective_epsilon: float
    original: Tensor
    raw: Tensor
    adversarial: Tensor
    success: Tensor
    zero_gradient: Tensor
    forward: Tensor
    backward: Tensor

    @property
    def l0(self) -> Tensor:
        """(N,) number of changed values."""
        return distances(self.adversarial, self.original, "l0")

    @property
    def l1(self) -> Tensor:
        return (self.adversarial.double() - self.original.double()).flatten(1).abs().sum(1)

    @property
    def l2(self) -> Tensor:
        return distances(self.adversarial, self.original, "l2")

    @property
    def linf(self) -> Tensor:
        return distances(self.adversarial, self.original, "linf")
