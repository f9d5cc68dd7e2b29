"""The protocol between attacks and models.

A model is any nn.Module that maps (N, C, H, W) float32 in [0, 1] to (N, classes) logits: a float
network, the Engine, or the RTL (which can judge but gives no gradient).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from attacks.budget import Norm, effective
from attacks.checks import check_batch_size, check_inputs, check_logits
from attacks.criteria import Goal
from attacks.errors import AttackError
from attacks.grid import Grid, Space
from attacks.losses import CrossEntropy, Loss, goal_loss
from attacks.result import AttackResult

#: Called with (images done, images in all).
Progress = Callable[[int, int], None]


@contextmanager
def at_inference(model: nn.Module) -> Iterator[None]:
    """The model in eval mode with frozen parameters; every flag is put back at the end.

    Frozen parameters spare the backward pass their gradients and the memory kept for them.
    """
    training = [module for module in model.modules() if module.training]
    trained = [p for p in model.parameters() if p.requires_grad and p.is_leaf]
    try:
        model.eval()
        for p in trained:
            p.requires_grad_(False)
        yield
    finally:
        for module in training:
            module.training = True
        for p in trained:
            p.requires_grad_(True)


def judge(model: nn.Module, inputs: Tensor, *, batch_size: int = 256) -> Tensor:
    """(N, classes) logits of the model for N inputs; no gradient is recorded."""
    check_batch_size(batch_size)
    parts = []
    with at_inference(model), torch.inference_mode():
        for x in inputs.split(batch_size):
            logits = model(x)
            check_logits(logits, len(x))
            parts.append(logits)
    # A plain tensor: callers may index and compare it where autograd is on.
    return torch.cat(parts).clone()


def input_gradient(
    model: nn.Module, inputs: Tensor, goal: Goal, loss: Loss
) -> tuple[Tensor, Tensor]:
    """Gradient of each example's loss by its pixels, shaped as inputs, and the clean logits.

    The loss is summed over the batch, never averaged: dividing by N could underflow.
    """
    # Also inside a caller's no_grad or inference_mode.
    with torch.inference_mode(False), torch.enable_grad(), at_inference(model):
        x = inputs.detach().clone().requires_grad_(True)
        logits = model(x)
        check_logits(logits, len(x))
        goal.check(len(x), logits.shape[1])
        gradient: Tensor | None = None
        if logits.requires_grad:
            value = goal_loss(loss, logits, goal).sum()
            (gradient,) = torch.autograd.grad(value, x, allow_unused=True)
    if gradient is None:
        raise AttackError("the model gives no gradient by its input: let it judge, not craft")
    if bool(torch.isnan(gradient).any()):
        raise AttackError("the gradient by the input contains NaN: its sign means nothing")
    return gradient, logits.detach()


@dataclass(eq=False)
class Aim:
    """An attack pointed at one batch: ``at(budget)`` gives the raw (unclipped) images.

    logits: clean, (N, classes). zero_gradient: (N,) bool. forward, backward: passes per example
    that all budgets share, one number or (N,) int64; an ``at`` that runs the model replaces them
    by what it has spent (``aim.forward = aim.forward + 1``, never in place).
    """

    at: Callable[[float], Tensor]
    logits: Tensor
    zero_gradient: Tensor
    forward: int | Tensor
    backward: int | Tensor


class Attack(ABC):
    """An attack with a budget ε in ``norm``. Subclasses write only ``aim``.

    Families: an attack that spends a given budget (FixedBudgetAttack), and one that looks for the
    nearest adversarial image (minimizing.MinimizingAttack), whose ``at(ε)`` is that image where
    its distance is at most ε and the original elsewhere.

    loss: what is differentiated (default: float32 cross-entropy). space: where inputs may lie
    (default: 8-bit pixels).
    """

    norm: Norm = "linf"

    def __init__(self, *, loss: Loss | None = None, space: Space | None = None) -> None:
        self.loss: Loss = CrossEntropy() if loss is None else loss
        self.space: Space = Grid(255) if space is None else space

    def effective(self, epsilon: float) -> float:
        """The ε that is really applied; AttackError for one that makes no sense."""
        return effective(self.norm, self.space, epsilon)

    @abstractmethod
    def aim(self, model: nn.Module, inputs: Tensor, goal: Goal) -> Aim:
        """Do the work that all budgets share; ``inputs`` are admissible in ``self.space``."""

    def __call__(
        self, model: nn.Module, inputs: Tensor, goal: Goal, *, epsilon: float, batch_size: int = 256
    ) -> AttackResult:
        """Attack with one ε; AttackError for input that makes no sense."""
        return self.sweep(model, inputs, goal, epsilons=[epsilon], batch_size=batch_size)[0]

    def sweep(
        self,
        model: nn.Module,
        inputs: Tensor,
        goal: Goal,
        *,
        epsilons: Sequence[float],
        batch_size: int = 256,
        progress: Progress | None = None,
    ) -> list[AttackResult]:
        """One result per ε; what they share is computed once."""
        check_inputs(inputs)
        check_batch_size(batch_size)
        goal.check(len(inputs))
        if not epsilons:
            raise AttackError("the list of epsilons is empty: give at least one")
        applied = [self.effective(e) for e in epsilons]
        columns: list[list[tuple[Tensor, ...]]] = [[] for _ in epsilons]
        for start in range(0, len(inputs), batch_size):
            batch = slice(start, start + batch_size)
            x, part = self.space.snap(inputs[batch]), goal[batch]
            aim = self.aim(model, x, part)
            shared = (aim.forward, aim.backward)
            for column, epsilon in zip(columns, epsilons, strict=True):
                aim.forward, aim.backward = shared
                raw = aim.at(epsilon)
                clipped = raw.clamp(0.0, 1.0)
                success = part.is_adversarial(judge(model, clipped, batch_size=batch_size))
                forward = _per_example(aim.forward + 1, len(x))
                backward = _per_example(aim.backward, len(x))
                column.append((x, raw, clipped, success, aim.zero_gradient, forward, backward))
            if progress is not None:
                progress(min(start + batch_size, len(inputs)), len(inputs))
        return [
            AttackResult(epsilon, real, *map(torch.cat, zip(*column, strict=True)))
            for epsilon, real, column in zip(epsilons, applied, columns, strict=True)
        ]


class FixedBudgetAttack(Attack):
    """An attack that spends a given ε, L∞ unless it says otherwise."""


def _per_example(count: int | Tensor, examples: int) -> Tensor:
    return torch.as_tensor(count, dtype=torch.int64).expand(examples).clone()
