"""What the attacker differentiates: −ln p of a class in a chosen arithmetic, or a margin.

dlr.py has the difference of logits ratio, rescaled.py any of these at another temperature.

The gradient of cross-entropy by the logits is p − onehot, so the arithmetic of p decides where it
is *exactly* zero. With a margin of m nats between the two largest logits (10 classes, measured):
float32: the winner's entry is 0 from m ≈ 17 … 19, as the CPU orders the sum, all entries from
m ≈ 104, where e^−m leaves the range of float32. float64: the winner's entry is 0 from m ≈ 39; the
others are cast to float32 for the backward pass through the model, so they too vanish at m ≈ 104.
The engine's 16-bit probabilities: everything is 0 from m ≈ 11. Nothing here hides such zeros; they
are a finding.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from hwsim.attacks.core.criteria import Goal, Targeted
from hwsim.attacks.core.errors import AttackError

#: (N, classes) logits and (N,) int64 labels -> (N,) losses. Differentiable by the logits.
Loss = Callable[[Tensor, Tensor], Tensor]


class SourceLoss(ABC):
    """A loss of targeted attacks that also asks where an example comes from."""

    @abstractmethod
    def between(self, logits: Tensor, targets: Tensor, sources: Tensor) -> Tensor:
        """(N,) losses, to be descended, from (N, classes) logits and two (N,) classes."""

    def __call__(self, logits: Tensor, labels: Tensor) -> Tensor:
        """AttackError: the labels alone do not tell the source."""
        raise AttackError(f"{type(self).__name__} needs a targeted goal: give Targeted(…)")


def goal_loss(loss: Loss, logits: Tensor, goal: Goal) -> Tensor:
    """(N,) losses of the goal: untargeted attacks climb them, targeted ones descend them."""
    # Cloned: a tensor born in inference_mode cannot be kept for a backward pass.
    labels = goal.loss_labels.clone()
    if isinstance(loss, SourceLoss) and isinstance(goal, Targeted):
        return loss.between(logits, labels, goal.sources.clone())
    return loss(logits, labels)


class _NegativeLogProbability(torch.autograd.Function):
    """Passes a precomputed value on; backward is (p − onehot) in p's dtype, then the logits'."""

    @staticmethod
    def forward(logits: Tensor, labels: Tensor, value: Tensor, probabilities: Tensor) -> Tensor:
        return value.clone()

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        logits, labels, _, probabilities = inputs
        ctx.dtype = logits.dtype
        ctx.save_for_backward(labels, probabilities)

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor | None, ...]:
        labels, probabilities = ctx.saved_tensors
        onehot = F.one_hot(labels, probabilities.shape[1]).to(probabilities.dtype)
        seed = (probabilities - onehot) * upstream[0].to(probabilities.dtype)[:, None]
        return seed.to(ctx.dtype), None, None, None


class CrossEntropy:
    """Cross-entropy of the softmax in ``dtype``, torch.float32 or torch.float64.

    Values have ``dtype``. The gradient is torch.softmax(logits.to(dtype)) − onehot, bit for bit;
    F.cross_entropy's own float32 gradient, exp(log_softmax) − onehot, differs from it in the
    last bits of the nonzero entries and is zero at the same margins.
    """

    def __init__(self, *, dtype: torch.dtype = torch.float32) -> None:
        if dtype not in (torch.float32, torch.float64):
            raise AttackError(f"cross-entropy is offered in float32 and float64, not {dtype}")
        self.dtype = dtype

    def __call__(self, logits: Tensor, labels: Tensor) -> Tensor:
        """(N,) losses >= 0."""
        with torch.no_grad():
            wide = logits.to(self.dtype)
            value = F.cross_entropy(wide, labels, reduction="none")
            probabilities = torch.softmax(wide, 1)
        result: Tensor = _NegativeLogProbability.apply(logits, labels, value, probabilities)
        return result


class ProbabilityLoss:
    """−ln p with the model's own p: here the engine's 16-bit probability unit is plugged in.

    probabilities: (N, classes) float logits -> (N, classes) floating-point tensor in real units
    (1.0 is certainty). The loss is inf where p is 0; the gradient p − onehot is always finite.
    """

    def __init__(self, probabilities: Callable[[Tensor], Tensor]) -> None:
        self.probabilities = probabilities

    def __call__(self, logits: Tensor, labels: Tensor) -> Tensor:
        """(N,) losses, in the dtype of the probabilities."""
        with torch.no_grad():
            p = self.probabilities(logits.detach())
            if p.shape != logits.shape or not p.is_floating_point():
                raise AttackError(
                    f"probabilities must be floating point of shape {tuple(logits.shape)}, "
                    f"got {p.dtype} of shape {tuple(p.shape)}"
                )
            value = -p.gather(1, labels[:, None]).flatten().log()
        result: Tensor = _NegativeLogProbability.apply(logits, labels, value, p)
        return result


class Margin:
    """max_{i≠y} z_i − z_y: above 0 where another class leads. It has no softmax to underflow.

    Carlini & Wagner 2017, f_6 without κ. The gradient by the logits is onehot(best other class)
    − onehot(y), the first of equal classes, and so never zero.
    """

    def __call__(self, logits: Tensor, labels: Tensor) -> Tensor:
        """(N,) in the dtype of the logits."""
        own = labels[:, None]
        others = logits.scatter(1, own, -torch.inf)
        best = others.argmax(1, keepdim=True)
        result: Tensor = (logits.gather(1, best) - logits.gather(1, own)).flatten()
        return result
