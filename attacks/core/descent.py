"""What minimum-norm attacks share that take a fixed number of gradients from one start.

Every step shows the model an image of the grid, judges that very image, and moves a change that is
kept off the grid. The nearest adversarial image that was ever shown is returned. Who cannot come
nearer, because the change is the least that the grid knows, leaves the batch.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import dataclass, fields

import torch
from torch import Tensor, nn

from hwsim.attacks.core.balls import wide
from hwsim.attacks.core.base import input_gradient, judge
from hwsim.attacks.core.budget import Norm
from hwsim.attacks.core.checks import check_count
from hwsim.attacks.core.criteria import Goal
from hwsim.attacks.core.errors import AttackError
from hwsim.attacks.core.grid import Grid, Space
from hwsim.attacks.core.losses import Loss, Margin, goal_loss
from hwsim.attacks.core.margin import margins
from hwsim.attacks.core.minimizing import Found, MinimizingAttack
from hwsim.attacks.core.result import distances


@dataclass(eq=False)
class Trail:
    """Examples under way, one row each; attacks add what they remember.

    row: which of the batch. original: (n, C, H, W). change: what is added to it, off the grid.
    best: (n,) float32, distance of the nearest adversarial image so far, inf before the first.
    """

    row: Tensor
    original: Tensor
    change: Tensor
    best: Tensor

    def keep(self, chosen: Tensor) -> None:
        """Drop all rows but ``chosen``, (n,) bool."""
        for field in fields(self):
            setattr(self, field.name, getattr(self, field.name)[chosen])

    @property
    def ever(self) -> Tensor:
        """(n,) bool, an adversarial image has been seen."""
        return self.best < math.inf

    def fill(self, value: float) -> Tensor:
        """(n,) float32."""
        return torch.full_like(self.best, value)

    def into_box(self, change: Tensor) -> None:
        """Take ``change``, cut so that the image stays in [0, 1]."""
        self.change = (self.original + change).clamp(0.0, 1.0) - self.original


@dataclass(frozen=True, eq=False)
class DescentLook:
    """What one step saw, row by row as in Trail.

    step: which. logits: of the image. value: (n,) float32 of the loss, to be descended; gradient:
    its own, by the image. reached: (n,) bool. distance: (n,) float32 of the image.
    """

    step: int
    logits: Tensor
    value: Tensor
    gradient: Tensor
    reached: Tensor
    distance: Tensor


class Descent(MinimizingAttack):
    """Base of FMN, DDN, σ-zero and ALMA; they write ``move`` and may write ``begin``.

    steps: gradients, >= 1. loss: ``Margin()`` unless given.
    """

    def __init__(
        self, *, steps: int, norm: Norm, norms: tuple[Norm, ...], loss: Loss | None,
        space: Space | None,
    ) -> None:  # fmt: skip
        super().__init__(loss=Margin() if loss is None else loss, space=space)
        if norm not in norms:
            name = type(self).__name__
            raise AttackError(f"{name} minimizes {' or '.join(norms)}, not {norm!r}")
        check_count(steps, "steps")
        self.norm, self.steps = norm, steps

    def begin(self, trail: Trail) -> Trail:
        """The trail with what this attack remembers of each example."""
        return trail

    @abstractmethod
    def move(self, trail: Trail, look: DescentLook) -> None:
        """Set the changes that are looked at next."""

    def annealed(self, first: float, last: float, step: int) -> float:
        """From ``first`` to ``last`` on half a cosine."""
        return last + (first - last) * (1.0 + math.cos(math.pi * step / self.steps)) / 2.0

    def search(self, model: nn.Module, inputs: Tensor, goal: Goal) -> Found:
        """All examples side by side; each takes its own way."""
        logits = judge(model, inputs)
        goal.check(len(inputs), logits.shape[1])
        done = margins(logits, goal).reached
        images, found = inputs.clone(), done.clone()
        blind = ~done
        forward = torch.ones(len(inputs), dtype=torch.int64)
        backward = torch.zeros_like(forward)
        row = (~done).nonzero().flatten()
        far = torch.full((len(row),), math.inf, dtype=torch.float32)
        trail = self.begin(Trail(row, inputs[row], torch.zeros_like(inputs[row]), far))
        least = self._least()
        for step in range(self.steps):
            if not len(trail.row):
                break
            image = self.space.snap((trail.original + trail.change).clamp(0.0, 1.0))
            look = self._look(model, trail, goal[trail.row], image, step)
            row = trail.row
            forward[row] += 1
            backward[row] += 1
            blind[row] &= (look.gradient == 0).flatten(1).all(1)
            nearer = look.reached & (look.distance < trail.best)
            images[row[nearer]], found[row[nearer]] = image[nearer], True
            trail.best = torch.where(nearer, look.distance, trail.best)
            self.move(trail, look)
            left = trail.best > least
            if not bool(left.all()):
                trail.keep(left)
        return Found(images, found, logits, blind, forward, backward)

    def _look(
        self, model: nn.Module, trail: Trail, goal: Goal, image: Tensor, step: int
    ) -> DescentLook:
        gradient, logits = input_gradient(model, image, goal, self.loss)
        with torch.no_grad():
            value = -goal.direction * goal_loss(self.loss, logits, goal)
        return DescentLook(
            step, logits, value.float(), gradient * -goal.direction,
            margins(logits, goal).reached,
            distances(image, trail.original, self.norm).float(),
        )  # fmt: skip

    def _least(self) -> float:
        """No image but the original is nearer than this."""
        if self.norm == "l0":
            return 1.0
        # Whole steps are rounded in float32.
        return 1.0001 / self.space.levels if isinstance(self.space, Grid) else 0.0


def at_radius(change: Tensor, radius: Tensor, length: Tensor) -> Tensor:
    """Changes of L2 ``length`` made to be of L2 ``radius``, both (n,); what is 0 stays 0."""
    return change * wide(radius / length.clamp(min=1e-12), change)
