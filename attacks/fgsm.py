"""FGSM: one step along the sign of the gradient; aimed at the Engine it is HFGSM."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from hwsim.attacks.core.base import Aim, FixedBudgetAttack, input_gradient
from hwsim.attacks.core.criteria import Goal
from hwsim.attacks.core.losses import CrossEntropy, Loss


@dataclass(frozen=True, eq=False)
class Directions:
    """The way to go for N examples, whatever ε.

    sign: int8 in {−1, 0, 1}, shaped as the inputs, sign(0) = 0. zero_gradient: (N,) bool, all
    pixels 0. logits: (N, classes), clean.
    """

    sign: Tensor
    zero_gradient: Tensor
    logits: Tensor


def directions(
    model: nn.Module, inputs: Tensor, goal: Goal, *, loss: Loss | None = None
) -> Directions:
    """sign(∇_x J) to leave a class, −sign(∇_x J) to reach one; one forward and backward pass."""
    gradient, logits = input_gradient(model, inputs, goal, loss or CrossEntropy())
    sign = gradient.sign().to(torch.int8) * goal.direction
    return Directions(sign, (sign == 0).flatten(1).all(1), logits)


class FGSM(FixedBudgetAttack):
    """Fast gradient sign method, X* = X + ε·sign(∇_X J).

    Goodfellow, Shlens, Szegedy, "Explaining and harnessing adversarial examples", ICLR 2015;
    Liu et al. 2018, eq. 5. Targeted: X* = X − ε·sign(∇_X J(target)). An image whose gradient is
    exactly zero stays as it is and is reported in ``zero_gradient``.
    """

    def prepare(self, model: nn.Module, inputs: Tensor, goal: Goal) -> Aim:
        """One gradient serves every ε."""
        way = directions(model, inputs, goal, loss=self.loss)
        return Aim(
            at=lambda epsilon: self.space.move(inputs, way.sign, epsilon),
            logits=way.logits,
            zero_gradient=way.zero_gradient,
            forward=1,
            backward=1,
        )


#: Liu et al. 2018 call it HFGSM when the gradient (eq. 6) is that of the hashed hardware network:
#: ``HFGSM()(engine, …)``. The Engine supplies that gradient; the generator is the same.
HFGSM = FGSM
