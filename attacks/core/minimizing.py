"""Attacks that look for the nearest adversarial image instead of spending a budget."""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from hwsim.attacks.core.base import Aim, Attack, Progress
from hwsim.attacks.core.criteria import Goal
from hwsim.attacks.core.result import AttackResult, distances


@dataclass(frozen=True, eq=False)
class Found:
    """The nearest adversarial images that a search found for N examples.

    images: (N, C, H, W) float32, admissible in the attack's space; the original where nothing
    was found. found: (N,) bool, checked on the very image that is returned, after rounding to the
    grid. logits: clean, (N, classes). zero_gradient: (N,) bool, no step ever had a nonzero
    gradient of the attack term. forward, backward: (N,) int64 passes spent on each example.
    """

    images: Tensor
    found: Tensor
    logits: Tensor
    zero_gradient: Tensor
    forward: Tensor
    backward: Tensor


class MinimizingAttack(Attack):
    """An attack that minimizes a distance in ``norm``. Subclasses write only ``search``.

    ``sweep`` with radii counts an example at ε where its distance is at most ε (inf: whatever
    was found), so one search gives the whole curve of success by radius.
    """

    @abstractmethod
    def search(self, model: nn.Module, inputs: Tensor, goal: Goal) -> Found:
        """The nearest adversarial image of each input; ``inputs`` lie in ``self.space``."""

    def effective(self, epsilon: float) -> float:
        """As for every attack, and inf in any norm."""
        return math.inf if epsilon == math.inf else super().effective(epsilon)

    def prepare(self, model: nn.Module, inputs: Tensor, goal: Goal) -> Aim:
        """One search serves every radius."""
        result = self.search(model, inputs, goal)
        distance = distances(result.images, inputs, self.norm)

        def at(epsilon: float) -> Tensor:
            # k/levels is rounded in float32: an image at exactly the radius must not miss it.
            near = result.found & (distance <= self.effective(epsilon) + 1e-6)
            return torch.where(near[:, None, None, None], result.images, inputs)

        return Aim(at, result.logits, result.zero_gradient, result.forward, result.backward)

    def minimize(
        self,
        model: nn.Module,
        inputs: Tensor,
        goal: Goal,
        *,
        batch_size: int = 256,
        progress: Progress | None = None,
    ) -> AttackResult:
        """The nearest images at any distance; AttackError for input that makes no sense."""
        return self.sweep(
            model, inputs, goal, epsilons=[math.inf], batch_size=batch_size, progress=progress
        )[0]
