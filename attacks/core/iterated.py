"""Gradient steps inside an L∞ ball: the loop that BIM, PGD and their relatives share.

On a grid a step of α need not be a whole number of LSB: the position u is a float that
accumulates steps, and only the image shown to the model, snap(u), lies on the grid. So α = 0.3 LSB
moves a pixel in every third step or so instead of never, no step is lost to rounding, and every
gradient and every answer belongs to an image that could be returned. The ball is that of the
effective ε, whose faces are grid points, so rounding never leaves it. On ``Continuous()`` snap(u)
is u, and this is the textbook's iteration.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TypeVar

import torch
from torch import Tensor, nn

from hwsim.attacks.core.base import Aim, FixedBudgetAttack, input_gradient, judge
from hwsim.attacks.core.checks import check_count, check_number
from hwsim.attacks.core.criteria import Goal
from hwsim.attacks.core.grid import Space
from hwsim.attacks.core.losses import Loss, goal_loss
from hwsim.attacks.core.noise import Noise

_Iterated = TypeVar("_Iterated", bound="IteratedAttack")


@dataclass(eq=False)
class Position:
    """Where N examples are on their way.

    u: float32 images off the grid. low, high: the ball, cut at [0, 1]. memory:
    what ``direction`` carries from step to step, 0 at first. All (N, C, H, W). alpha: the step;
    decay: how much of the memory is kept; epsilon: effective. goal, noise: of these examples.
    """

    u: Tensor
    low: Tensor
    high: Tensor
    memory: Tensor
    goal: Goal
    noise: Noise
    alpha: float
    epsilon: float
    decay: float

    def __getitem__(self, index: Tensor) -> Position:
        u, low, high, memory = (t[index] for t in (self.u, self.low, self.high, self.memory))
        return replace(
            self, u=u, low=low, high=high, memory=memory,
            goal=self.goal[index], noise=self.noise[index],
        )  # fmt: skip


class _KeptImages:
    """The image kept for each example: a success, else the one with the best loss so far."""

    def __init__(self, inputs: Tensor, goal: Goal, loss: Loss, clean: Tensor) -> None:
        self.images, self.goal, self.loss = inputs.clone(), goal, loss
        self.success = goal.is_adversarial(clean)
        self.score = torch.full((len(inputs),), -torch.inf, dtype=torch.float64)

    def offer(self, index: Tensor, images: Tensor, logits: Tensor) -> None:
        goal = self.goal[index]
        with torch.no_grad():
            score = goal.direction * goal_loss(self.loss, logits, goal).double()
        success = goal.is_adversarial(logits)
        # A first image is taken even if its loss is −inf or NaN.
        better = success | ~(score <= self.score[index])
        chosen = index[better]
        self.images[chosen], self.score[chosen] = images[better], score[better]
        self.success[chosen] = success[better]


class IteratedAttack(FixedBudgetAttack):
    """x ← project(x + α · direction(∇J(x))), ``steps`` times, from each of ``restarts`` starts.

    steps: gradient steps per start, >= 1. step_size: α in units of the input, above 0 and at most
    the width of its range, 1 of pixels; None is
    reach · ε / steps. random_start: u begins uniformly in the ball instead of at the image.
    restarts: starts, >= 1; a successful example is not started again. seed: of the random draws,
    which belong to the example (hwsim.attacks.core.noise). early_exit: an example leaves with its
    first adversarial image, and one that never succeeds keeps its image of best loss; without it
    every step is taken and the image after the last one counts, as in the textbook, in Foolbox, and
    where images are to transfer to other models.

    zero_gradient of the result: there was a step, and none ever had a nonzero gradient.
    """

    #: α · steps / ε where no step size is given.
    reach = 1.0
    #: How much of the momentum is kept from step to step.
    decay = 0.0
    #: Passes of the model that one call of ``gradient`` takes.
    passes = 1

    def __init__(
        self,
        *,
        steps: int,
        step_size: float | None,
        restarts: int,
        random_start: bool,
        early_exit: bool,
        seed: int,
        loss: Loss | None,
        space: Space | None,
    ) -> None:
        super().__init__(loss=loss, space=space)
        check_count(steps, "steps")
        check_count(restarts, "restarts")
        check_count(seed, "seed", least=0)
        if step_size is not None:
            check_number(step_size, "step_size", above=0.0, most=self.space.span)
        self.steps, self.step_size, self.restarts = steps, step_size, restarts
        self.random_start, self.early_exit, self.seed = random_start, early_exit, seed

    def in_unit_box(self: _Iterated) -> _Iterated:
        """α, too."""
        twin = super().in_unit_box()
        if self.step_size is not None:
            twin.step_size = self.step_size / self.space.span
        return twin

    def gradient(
        self, model: nn.Module, position: Position, image: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        """(gradient, logits of ``image`` or None where they were not computed)."""
        return input_gradient(model, image, position.goal, self.loss)

    def direction(self, gradient: Tensor, position: Position) -> Tensor:
        """The step in units of α; ``gradient`` leads towards the goal."""
        return gradient.sign()

    def prepare(self, model: nn.Module, inputs: Tensor, goal: Goal) -> Aim:
        """The clean answer serves every ε; the iteration is made for each."""
        logits = judge(model, inputs, batch_size=len(inputs))

        def at(epsilon: float) -> Tensor:
            run = _Run(self, model, inputs, goal, epsilon, logits)
            images = run.images()
            aim.zero_gradient = ~run.moved & (run.backward > 0)
            aim.forward, aim.backward = aim.forward + run.forward, aim.backward + run.backward
            return images

        nothing = torch.zeros(len(inputs), dtype=torch.bool)
        aim = Aim(at, logits, nothing, forward=1, backward=0)
        return aim


class _Run:
    """One attack with one ε on one batch."""

    def __init__(
        self,
        attack: IteratedAttack,
        model: nn.Module,
        inputs: Tensor,
        goal: Goal,
        epsilon: float,
        clean: Tensor,
    ) -> None:
        self.attack, self.model, self.goal = attack, model, goal
        self.inputs, self.epsilon = inputs, attack.effective(epsilon)
        self.alpha = attack.step_size or attack.reach * self.epsilon / attack.steps
        self.best = _KeptImages(inputs, goal, attack.loss, clean)
        self.forward, self.backward = (torch.zeros(len(inputs), dtype=torch.int64) for _ in "fb")
        self.moved = torch.zeros(len(inputs), dtype=torch.bool)
        ones = torch.ones_like(inputs, dtype=torch.int8)
        self.low, self.high = (
            attack.space.move(inputs, sign, epsilon).clamp(0.0, 1.0) for sign in (-ones, ones)
        )
        self.noise = Noise(inputs, attack.seed)

    def images(self) -> Tensor:
        """The image kept for each example."""
        everyone = torch.arange(len(self.inputs))
        if not self.attack.early_exit:
            # The answer to the original says nothing about the image after the last step.
            self.best.success[:] = False
        for _ in range(self.attack.restarts):
            left = everyone[~self.best.success]
            if len(left):
                self._descend(left)
        return self.best.images

    def _start(self, left: Tensor) -> Position:
        noise, low, high = self.noise[left], self.low[left], self.high[left]
        u = self.inputs[left]
        if self.attack.random_start:
            draw = noise.uniform().to(u) * self.epsilon
            u = torch.clamp(u + draw, low, high)
        return Position(
            u, low, high, torch.zeros_like(u), self.goal[left], noise,
            alpha=self.alpha, epsilon=self.epsilon, decay=self.attack.decay,
        )  # fmt: skip

    def _descend(self, left: Tensor) -> None:
        attack, position = self.attack, self._start(left)
        for _ in range(attack.steps):
            image = attack.space.snap(position.u)
            gradient, logits = attack.gradient(self.model, position, image)
            self.forward[left] += attack.passes
            self.backward[left] += attack.passes
            self.moved[left] |= (gradient != 0).flatten(1).any(1)
            if attack.early_exit:
                stay = self._offer(left, position, image, logits)
                if not len(stay):
                    return
                if len(stay) < len(left):
                    left, position, gradient = left[stay], position[stay], gradient[stay]
            step = attack.direction(gradient * position.goal.direction, position)
            position.u = torch.clamp(position.u + self.alpha * step, position.low, position.high)
        image = attack.space.snap(position.u)
        if attack.early_exit or attack.restarts > 1:
            self._offer(left, position, image, None)
        else:
            self.best.images[left] = image

    def _offer(
        self, left: Tensor, position: Position, image: Tensor, logits: Tensor | None
    ) -> Tensor:
        """Judge the images; indices into ``left`` of those that are not adversarial."""
        if logits is None:
            logits = judge(self.model, image, batch_size=len(image))
            self.forward[left] += 1
        self.best.offer(left, image, logits)
        return torch.nonzero(~self.best.success[left]).flatten()
