"""Random noise: what no attacker at all would find."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from hwsim.attacks.core.base import Aim, FixedBudgetAttack, judge
from hwsim.attacks.core.checks import check_count
from hwsim.attacks.core.criteria import Goal
from hwsim.attacks.core.errors import AttackError
from hwsim.attacks.core.grid import Space
from hwsim.attacks.core.noise import Noise

Kind = Literal["sign", "uniform"]


class RandomNoise(FixedBudgetAttack):
    """``draws`` random images within ε of each input; a success if any of them is one.

    kind: ``sign`` for a corner of the ε-ball, ±ε in every pixel, ``uniform`` for a point of it. The
    image returned is the first success, else the last draw. Draws belong to (seed, example, number
    of the draw), so more draws never find less. If this finds what an attack with gradients
    missed, the attack was not one (Carlini et al., "On evaluating adversarial robustness", 2019).
    """

    def __init__(
        self,
        *,
        kind: Kind = "sign",
        draws: int = 100,
        seed: int = 0,
        space: Space | None = None,
    ) -> None:
        super().__init__(space=space)
        if kind not in ("sign", "uniform"):
            raise AttackError(f"noise is sign or uniform, not {kind!r}")
        check_count(draws, "draws")
        check_count(seed, "seed", 0)
        self.kind, self.draws, self.seed = kind, draws, seed

    def prepare(self, model: nn.Module, inputs: Tensor, goal: Goal) -> Aim:
        """Nothing is shared by two budgets but the clean logits."""
        logits = judge(model, inputs)
        goal.check(len(inputs), logits.shape[1])
        # No gradient is asked for, so none can be zero.
        none = torch.zeros(len(inputs), dtype=torch.bool)
        aim = Aim(lambda epsilon: inputs, logits, none, forward=1, backward=0)

        def at(epsilon: float) -> Tensor:
            images, queries = self._draw(model, inputs, goal, epsilon)
            aim.forward = aim.forward + queries
            return images

        aim.at = at
        return aim

    def _draw(
        self, model: nn.Module, inputs: Tensor, goal: Goal, epsilon: float
    ) -> tuple[Tensor, Tensor]:
        """Raw images and (N,) queries of each."""
        noise, images = Noise(inputs, self.seed), inputs.clone()
        queries = torch.zeros(len(inputs), dtype=torch.int64)
        left = torch.arange(len(inputs))
        for _ in range(self.draws):
            shift = noise[left].uniform()
            images[left] = self._moved(inputs[left], shift, epsilon)
            logits = judge(model, images[left].clamp(0.0, 1.0))
            queries[left] += 1
            left = left[~goal[left].is_adversarial(logits)]
            if not len(left):
                break
        return images, queries

    def _moved(self, inputs: Tensor, shift: Tensor, epsilon: float) -> Tensor:
        """Inputs moved by ``shift``, uniform in [−1, 1), or by its sign."""
        if self.kind == "sign":
            sign = torch.where(shift < 0.0, -1.0, 1.0).to(inputs)
            return self.space.move(inputs, sign, epsilon)
        radius = self.space.effective(epsilon)
        # An input and ε are whole steps, so rounding stays within ε.
        return self.space.snap((inputs + radius * shift).clamp(0.0, 1.0))
