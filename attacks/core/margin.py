"""The margin by which a goal is reached, and its gradient by the pixels."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from hwsim.attacks.core.checks import check_logits
from hwsim.attacks.core.criteria import Goal
from hwsim.attacks.core.errors import AttackError

#: A model that sums in another order (another batch size) moves its logits by about this share.
#: A margin that small is not counted as reached.
REORDERED = 1e-6


@dataclass(frozen=True, eq=False)
class Margins:
    """By how much N examples reach their goal.

    value: (N,) max_{i≠y} Z_i − Z_y to leave class y, Z_t − max_{i≠t} Z_i to reach class t, in
    units of the logits. rival: (N,) int64, that i. reached: (N,) bool, the goal is reached by at
    least the confidence asked for.
    """

    value: Tensor
    rival: Tensor
    reached: Tensor


def margins(logits: Tensor, goal: Goal, confidence: float = 0.0) -> Margins:
    """Margins from (N, classes) logits. The own class is masked with −inf, whatever the logits."""
    if logits.shape[1] < 2:
        raise AttackError("the model has one class: there is nothing to mistake it for")
    label = goal.loss_labels[:, None]
    strongest, rival = logits.scatter(1, label, -torch.inf).max(1)
    value = (strongest - logits.gather(1, label).flatten()) * goal.direction
    hair = REORDERED * logits.abs().amax(1)
    reached = goal.is_adversarial(logits) & (value >= confidence) & (value > hair)
    return Margins(value, rival, reached)


def margin_gradient(
    model: nn.Module, images: Tensor, goal: Goal, confidence: float
) -> tuple[Margins, Tensor]:
    """Margins and −∂margin/∂x, shaped as the images, by one vector-Jacobian product.

    The caller has the model at inference and autograd on. AttackError for a model without a
    gradient, and for one that is not finite.
    """
    x = images.detach().requires_grad_(True)
    logits = model(x)
    check_logits(logits, len(x))
    with torch.no_grad():
        found = margins(logits, goal, confidence)
        seed = torch.zeros_like(logits)
        seed.scatter_(1, goal.loss_labels[:, None], float(goal.direction))
        seed.scatter_(1, found.rival[:, None], -float(goal.direction))
    gradient: Tensor | None = None
    if logits.requires_grad:
        (gradient,) = torch.autograd.grad(logits, x, seed, allow_unused=True)
    if gradient is None:
        raise AttackError("the model gives no gradient by its input: let it judge, not craft")
    if not bool(torch.isfinite(gradient).all()):
        raise AttackError("the gradient by the input contains NaN or infinity: no step follows it")
    return found, gradient
