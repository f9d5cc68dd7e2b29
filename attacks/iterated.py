"""Gradient steps inside an L∞ ball: the loop that BIM, PGD and their relatives share.

On a grid a step of α need not be a whole number of LSB: the position u is a float that
accumulates steps, and only the image shown to the model, snap(u), lies on the grid. So α = 0.3 LSB
moves a pixel in every third step or so instead of never, no step is lost to rounding, and every
gradient and every answer belongs to an image that could be returned. The ball is that of the
effective ε, whose faces are grid points, so rounding never leaves it. On ``Continuous()`` snap(u)
is u, and this is the textbook's iteration.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from attacks.base import Aim, FixedBudgetAttack, input_gradient, judge
from attacks.checks import check_count, check_number
from attacks.criteria import Goal
from attacks.errors import AttackError
from attacks.grid import Space
from attacks.losses import Loss
from attacks.noise import Noise


@dataclass(eq=False)
class Position:
    """Where N examples are on their way.

    u: float32 images off the grid. image: snap(u). low, high: the ball, cut at [0, 1]. memory:
    what ``direction`` carries from step to step, 0 at first. All (N, C, H, W). alpha: the step.
    goal, noise: of these examples.
    """

    u: Tensor
    low: Tensor
    high: Tensor
    memory: Tensor
    alpha: float
    epsilon: float
    goal: Goal
    noise: Noise

    def __getitem__(self, index: Tensor) -> Position:
        u, low, high, memory = (t[index] for t in (self.u, self.low, self.high, self.memory))
        goal, noise = self.goal[index], self.noise[index]
        return Position(u, low, high, memory, self.alpha, self.epsilon, goal, noise)


class _Best:
    """The image kept for each example: a success, else the one with the best loss so far."""

    def __init__(self, inputs: Tensor, goal: Goal, loss: Loss, clean: Tensor) -> None:
        self.images, self.goal, self.loss = inputs.clone(), goal, loss
        self.success = goal.is_adversarial(clean)
        self.score = torch.full((len(inputs),), -torch.inf, dtype=torch.float64)

    def offer(self, index: Tensor, images: Tensor, logits: Tensor) -> None:
        goal = self.goal[index]
        with torch.no_grad():
            score = goal.direction * self.loss(logits, goal.loss_labels).double()
        success = goal.is_adversarial(logits)
        # A first image is taken even if its loss is −inf or NaN.
        better = success | ~(score <= self.score[index])
        chosen = index[better]
        self.images[chosen], self.score[chosen] = images[better], score[better]
        self.success[chosen] = success[better]


class IteratedAttack(FixedBudgetAttack):
    """x ← project(x + α · direction(∇J(x))), ``steps`` times, from each of ``restarts`` starts.

    steps: gradient steps per start, >= 1. step_size: α in pixel units, 0 < α <= 1; None is
    reach · ε / steps. random_start: u begins uniformly in the ball instead of at the image.
    restarts: starts, >= 1; a successful example is not started again. seed: of the random draws,
    which belong to the example (attacks.noise). early_exit: an example leaves with its first
    adversarial image, and one that never succeeds keeps its image of best loss; without it every
    step is taken and the image after the last one counts, as in the textbook, in Foolbox, and
    where images are to transfer to other models.

    zero_gradient of the result: no step ever had a nonzero gradient.
    """

    #: α · steps / ε where no step size is given.
    reach = 1.0

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
            check_number(step_size, "step_size", above=0.0, most=1.0)
        self.steps, self.step_size, self.restarts = steps, step_size, restarts
        self.random_start, self.early_exit, self.seed = random_start, early_exit, seed

    def gradient(
        self, model: nn.Module, position: Position, image: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        """(gradient, logits of ``image`` or None where they were not computed)."""
        return input_gradient(model, image, position.goal, self.loss)

    #: Passes of the model that one call of ``gradient`` takes.
    passes = 1

    def direction(self, gradient: Tensor, position: Position) -> Tensor:
        """The step in units of α, in −1 … 1 per pixel; ``gradient`` climbs the goal."""
        return gradient.sign()

    def aim(self, model: nn.Module, inputs: Tensor, goal: Goal) -> Aim:
        """The clean answer serves every ε; the iteration is made for each."""
        logits = judge(model, inputs, batch_size=len(inputs))

        def at(epsilon: float) -> Tensor:
            run = _Run(self, model, inputs, goal, epsilon, logits)
            images = run.images()
            aim.zero_gradient = ~run.moved
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
        self.best = _Best(inputs, goal, attack.loss, clean)
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
        goal = self.goal[left]
        return Position(u, low, high, torch.zeros_like(u), self.alpha, self.epsilon, goal, noise)

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


class BIM(IteratedAttack):
    """Basic iterative method, FGSM in small steps; aimed at a target it descends its loss.

    Kurakin, Goodfellow, Bengio, "Adversarial examples in the physical world", 2016:
    X_{k+1} = clip_{X, ε}(X_k + α · sign(∇J(X_k))). Default α = 2ε/steps (Foolbox's 0.2 ε for 10).
    """

    reach = 2.0

    def __init__(
        self,
        *,
        steps: int = 10,
        step_size: float | None = None,
        early_exit: bool = True,
        loss: Loss | None = None,
        space: Space | None = None,
    ) -> None:
        super().__init__(
            steps=steps, step_size=step_size, restarts=1, random_start=False,
            early_exit=early_exit, seed=0, loss=loss, space=space,
        )  # fmt: skip


class PGD(IteratedAttack):
    """Projected gradient descent: BIM from random starts in the ball.

    Madry et al., "Towards deep learning models resistant to adversarial attacks", ICLR 2018.
    Default α = 2.5ε/steps, enough to reach any face of the ball from any start.
    """

    reach = 2.5

    def __init__(
        self,
        *,
        steps: int = 40,
        step_size: float | None = None,
        restarts: int = 1,
        random_start: bool = True,
        early_exit: bool = True,
        seed: int = 0,
        loss: Loss | None = None,
        space: Space | None = None,
    ) -> None:
        if not random_start and restarts != 1:
            raise AttackError(
                f"{restarts} restarts without a random start take the same way: "
                "give random_start=True or restarts=1"
            )
        super().__init__(
            steps=steps, step_size=step_size, restarts=restarts, random_start=random_start,
            early_exit=early_exit, seed=seed, loss=loss, space=space,
        )  # fmt: skip


class MIFGSM(IteratedAttack):
    """Momentum iterative FGSM: steps along the sign of an average of past gradients.

    Dong et al., "Boosting adversarial attacks with momentum", CVPR 2018:
    g ← μ·g + ∇J/‖∇J‖₁, X ← X + α · sign(g). decay: μ >= 0. Default α = ε/steps. Made to transfer:
    by default every step is taken (``early_exit=False``). A zero gradient adds nothing to g.
    """

    def __init__(
        self,
        *,
        steps: int = 10,
        step_size: float | None = None,
        decay: float = 1.0,
        early_exit: bool = False,
        loss: Loss | None = None,
        space: Space | None = None,
    ) -> None:
        super().__init__(
            steps=steps, step_size=step_size, restarts=1, random_start=False,
            early_exit=early_exit, seed=0, loss=loss, space=space,
        )  # fmt: skip
        if isinstance(decay, bool) or not isinstance(decay, (int, float)) or not decay >= 0.0:
            raise AttackError(f"decay must be a number of at least 0, got {decay!r}")
        self.decay = decay

    def direction(self, gradient: Tensor, position: Position) -> Tensor:
        """sign(g), after this gradient has been added to g."""
        position.memory = self.decay * position.memory + normalized(gradient)
        return position.memory.sign()


def normalized(gradient: Tensor) -> Tensor:
    """Each example's gradient over its mean absolute value; 0 stays 0.

    The mean instead of the sum changes g by a factor that its sign does not see. The largest
    entry is divided out first, since a sum of tiny float32 entries could be denormal.
    """
    axes = tuple(range(1, gradient.ndim))
    largest = gradient.abs().amax(axes, keepdim=True)
    unit = gradient / largest
    unit = unit / unit.abs().mean(axes, keepdim=True)
    return torch.where(largest > 0, unit, torch.zeros_like(unit))
