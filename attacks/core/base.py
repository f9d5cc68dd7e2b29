"""The protocol between attacks and models.

A model is any nn.Module that maps float32 inputs to (N, classes) logits: a float network, the
Engine, or the RTL (which can judge but gives no gradient). Inputs are images (N, C, H, W) in
[0, 1], or, with a space that says so, of any range; vectors (N, F) and series (N, C, L) too.
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor, nn

from hwsim.attacks.core.budget import Norm, effective
from hwsim.attacks.core.checks import (
    as_epsilons,
    as_inputs,
    as_number,
    check_batch_size,
    check_logits,
)
from hwsim.attacks.core.criteria import Goal, as_goal
from hwsim.attacks.core.errors import AttackError
from hwsim.attacks.core.grid import Grid, Space
from hwsim.attacks.core.inference import at_inference
from hwsim.attacks.core.labels import Labels
from hwsim.attacks.core.losses import CrossEntropy, Loss, goal_loss
from hwsim.attacks.core.result import AttackResult
from hwsim.attacks.core.units import (
    InUnits,
    check_box,
    from_unit,
    plain,
    to_unit,
    unit_budget,
)

_Attack = TypeVar("_Attack", bound="Attack")

#: Called with (images done, images in all).
Progress = Callable[[int, int], None]


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


@dataclass(frozen=True, eq=False)
class Spent:
    """Raw images of one budget, shaped as the inputs, and what they took.

    zero_gradient: (N,) bool. forward, backward: passes per example, one number or (N,) int64.
    """

    raw: Tensor
    zero_gradient: Tensor
    forward: int | Tensor
    backward: int | Tensor


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

    def spend(self, epsilon: float, inputs: Tensor) -> Spent:
        """``at(epsilon)`` and its passes, whatever budgets came before.

        ε = 0 is no attack: the inputs as they are, for nothing.
        """
        if epsilon == 0.0:
            return Spent(inputs, torch.zeros_like(self.zero_gradient), 0, 0)
        shared = self.forward, self.backward
        raw = self.at(epsilon)
        spent = Spent(raw, self.zero_gradient, self.forward, self.backward)
        self.forward, self.backward = shared
        return spent


class Attack(ABC):
    """An attack with a budget ε in ``norm``. Subclasses write only ``prepare``.

    Families: an attack that spends a given budget (FixedBudgetAttack), and one that looks for the
    nearest adversarial image (minimizing.MinimizingAttack), whose ``at(ε)`` is that image where
    its distance is at most ε and the original elsewhere.

    loss: what is differentiated (default: float32 cross-entropy). space: where inputs may lie
    (default: 8-bit pixels); of an engine it is ``engine.space``.
    """

    norm: Norm = "linf"

    def __init__(self, *, loss: Loss | None = None, space: Space | None = None) -> None:
        self.loss: Loss = CrossEntropy() if loss is None else loss
        self.space: Space = Grid(255) if space is None else space

    def effective(self, epsilon: float) -> float:
        """The ε that is really applied, 0 for 0; AttackError for one that makes no sense."""
        epsilon = as_number(epsilon, "epsilon")
        return 0.0 if epsilon == 0.0 else effective(self.norm, self.space, epsilon)

    def in_unit_box(self: _Attack) -> _Attack:
        """The same attack where all inputs are images in [0, 1], its own lengths with them.

        Overridden by attacks that hold lengths or images in units of the input.
        """
        twin = copy.copy(self)
        twin.space = self.space.unit
        return twin

    def shown(self: _Attack, model: nn.Module, inputs: Tensor) -> tuple[_Attack, nn.Module, Tensor]:
        """The attack, the model and ``inputs`` as they look in the unit box."""
        check_box(model, self.space)
        if plain(self.space, inputs):
            return self, model, inputs
        seen = InUnits(model, self.space, inputs.shape[1:])
        return self.in_unit_box(), seen, to_unit(self.space, inputs)

    @abstractmethod
    def prepare(self, model: nn.Module, inputs: Tensor, goal: Goal) -> Aim:
        """Do the work that all budgets share.

        ``inputs`` are images (N, C, H, W) in [0, 1], admissible in ``self.space``: what calls it,
        ``aim``, translates.
        """

    def aim(self, model: nn.Module, inputs: Tensor, goal: Goal) -> Aim:
        """``prepare``, and a look whether the classes of the goal are the model's.

        ``inputs`` are admissible in ``self.space``, and so is what the Aim gives, but for clipping.

        Raises
        ------
        AttackError
            For labels or targets that the model has no class for, in every attack.
        """
        attack, seen, images = self.shown(model, inputs)
        aim = attack.prepare(seen, images, goal)
        goal.check(len(inputs), aim.logits.shape[1])
        return aim if attack is self else self._translated(aim, inputs)

    def _translated(self, inner: Aim, inputs: Tensor) -> Aim:
        """An Aim in units of the input from one in the unit box."""

        def at(epsilon: float) -> Tensor:
            inner.forward, inner.backward = aim.forward, aim.backward
            raw = inner.at(unit_budget(self.norm, self.space, epsilon))
            aim.forward, aim.backward = inner.forward, inner.backward
            aim.zero_gradient = inner.zero_gradient
            return from_unit(self.space, raw, inputs)

        aim = Aim(at, inner.logits, inner.zero_gradient, inner.forward, inner.backward)
        return aim

    def __call__(
        self,
        model: nn.Module,
        inputs: Tensor,
        goal: Goal | Labels,
        *,
        epsilon: float,
        batch_size: int = 256,
    ) -> AttackResult:
        """Attack with one ε; arguments and errors as in ``sweep``."""
        one = as_number(epsilon, "epsilon")
        return self.sweep(model, inputs, goal, epsilons=[one], batch_size=batch_size)[0]

    def sweep(
        self,
        model: nn.Module,
        inputs: Tensor,
        goal: Goal | Labels,
        *,
        epsilons: Iterable[float],
        batch_size: int = 256,
        progress: Progress | None = None,
    ) -> list[AttackResult]:
        """One result per ε, in the order given; what they share is computed once.

        Parameters
        ----------
        model : nn.Module
            (N, C, H, W) float32 in [0, 1] -> (N, classes) logits, at least 2 classes; or as
            ``space`` says, and vectors (N, F) or series (N, C, L).
        inputs : Tensor
            (N, C, H, W) float32 in [0, 1], or what else the model takes.
        goal : Goal or labels
            Labels alone, (N,) whole numbers as a tensor, an array or a list, mean
            ``Untargeted(labels)``.
        epsilons : numbers
            A list, a one-dimensional array or tensor, in ``norm``, in units of the input, in any
            order. ε = 0 perturbs
            nothing: its ``success`` are the inputs that are wrong from the start, so it is the
            clean accuracy.
        batch_size : int
            Images at a time, at least 1.

        Raises
        ------
        AttackError
            For input that makes no sense, in one line.
        """
        inputs, epsilons = as_inputs(inputs, self.space), as_epsilons(epsilons)
        check_batch_size(batch_size)
        goal = as_goal(goal)
        goal.check(len(inputs))
        applied = [self.effective(e) for e in epsilons]
        columns: list[list[tuple[Tensor, ...]]] = [[] for _ in epsilons]
        for start in range(0, len(inputs), batch_size):
            batch = slice(start, start + batch_size)
            x, part = self.space.snap(inputs[batch]), goal[batch]
            aim = self.aim(model, x, part)
            for column, epsilon in zip(columns, epsilons, strict=True):
                spent = aim.spend(epsilon, x)
                clipped = self.space.clip(spent.raw)
                success = part.is_adversarial(judge(model, clipped, batch_size=batch_size))
                forward = _per_example(spent.forward + 1, len(x))
                backward = _per_example(spent.backward, len(x))
                column.append(
                    (x, spent.raw, clipped, success, spent.zero_gradient, forward, backward)
                )
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
