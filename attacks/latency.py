"""Latency: images that make a machine whose time depends on its input take as long as it can.

Sign steps along the gradient of a smooth stand-in for the work, as PGD takes them along a loss,
then a random search on the work itself. Sponge examples (Shumailov et al., EuroS&P 2021) and
sparsity attacks (Krithivasan et al. 2020) climb a density of activations alone; here the machine
counts, and what it counted is what decides.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from hwsim.attacks.core.base import input_gradient
from hwsim.attacks.core.checks import as_inputs, as_number, check_count, check_number
from hwsim.attacks.core.criteria import Untargeted
from hwsim.attacks.core.grid import Grid, Space
from hwsim.attacks.core.losses import Margin
from hwsim.attacks.core.noise import Noise
from hwsim.attacks.core.units import InUnits, from_unit, to_unit, unit_budget
from hwsim.attacks.sheet import Sheet

#: α · steps / ε where no step size is given, as PGD's.
REACH = 2.5
#: Side of the first squares, as a share of the image's shorter side; it falls to one value.
LARGEST = 1 / 7
#: Channels with a sign of their own in a square; further ones take those of the first again.
SIGNS = 62


@dataclass(frozen=True, eq=False)
class Observed:
    """What a machine did with N images.

    cost: float64 (N,), what is to rise. answers: int64 (N,), the classes. gradient: of a smooth
    stand-in for the cost, shaped as the images; None where it was not asked for.
    """

    cost: Tensor
    answers: Tensor
    gradient: Tensor | None = None


class Machine(Protocol):
    """What is to be slowed down."""

    @property
    def model(self) -> nn.Module:
        """Its logits, differentiable in the images; asked where the answer is to be kept."""
        ...

    def look(self, x: Tensor, gradient: bool = False) -> Observed:
        """What it does with images of the attack's space, of the shape of the inputs."""
        ...


@dataclass(frozen=True, eq=False)
class LatencyResult:
    """Of N inputs.

    images: float32, shaped as the inputs, in the space and within ε of the inputs. before: the same
    as the gradient left them, before the search. clean, climbed, cost: float64 (N,), of the inputs,
    of ``before`` and of ``images``; none is below the one before. kept: bool (N,), the answer to
    ``images`` is that to the input. looks: images that the machine saw of each.
    """

    images: Tensor
    before: Tensor
    clean: Tensor
    climbed: Tensor
    cost: Tensor
    kept: Tensor
    looks: int


class Latency:
    """The images of an L∞ ball that cost a machine most.

    steps: gradient steps, at least 0. step_size: α in units of the input, above 0 and at most the
    width of its range; None is 2.5 ε/steps. queries: squares that are tried behind them, at least
    0: each sets a square of pixels to faces of the ball, one sign a channel, at a random place, and
    stays where the cost does not fall (after Square, Andriushchenko et al., ECCV 2020; but small
    from the start, as large ones undo what the steps have found).
    keep_answer: only images with the answer of the input count, and an image that has lost it steps
    along the margin until it is back. seed: of the squares; draws belong to the example. space:
    where images may lie (default: 8-bit pixels).

    The best image by the machine's own count is returned, the input itself where nothing is better:
    no image costs less than its input, and none after the search less than after the steps.
    """

    norm = "linf"

    def __init__(
        self,
        *,
        steps: int = 10,
        step_size: float | None = None,
        queries: int = 100,
        keep_answer: bool = False,
        seed: int = 0,
        space: Space | None = None,
    ) -> None:
        check_count(steps, "steps", 0)
        check_count(queries, "queries", 0)
        check_count(seed, "seed", 0)
        self.space: Space = Grid(255) if space is None else space
        if step_size is not None:
            check_number(step_size, "step_size", above=0.0, most=self.space.span)
        self.steps, self.step_size, self.queries = steps, step_size, queries
        self.keep_answer, self.seed = keep_answer, seed

    def effective(self, epsilon: float) -> float:
        """The ε that is really applied, 0 for 0; AttackError for one that makes no sense."""
        epsilon = as_number(epsilon, "epsilon")
        return 0.0 if epsilon == 0.0 else self.space.effective(epsilon)

    def __call__(self, machine: Machine, inputs: Tensor, *, epsilon: float) -> LatencyResult:
        """Attack float32 inputs, (N, C, H, W), (N, F) or (N, C, L), within ``epsilon`` of each.

        Raises
        ------
        AttackError
            For inputs or an ε that make no sense, in one line.
        """
        inputs = self.space.snap(as_inputs(inputs, self.space))
        run = _Slowing(self, machine, inputs, self.effective(epsilon))
        if epsilon != 0.0:
            run.climb()
        before, climbed = run.best.clone(), run.cost.clone()
        if epsilon != 0.0:
            run.search()
        images, before = (from_unit(self.space, one, inputs) for one in (run.best, before))
        kept = run.answers == run.before
        return LatencyResult(images, before, run.clean, climbed, run.cost, kept, run.looks)


class _Slowing:
    """One attack on one batch; images are those of the unit box, (N, C, H, W)."""

    def __init__(self, attack: Latency, machine: Machine, inputs: Tensor, epsilon: float) -> None:
        self.attack, self.machine, self.inputs = attack, machine, inputs
        self.start = to_unit(attack.space, inputs)
        self.looks = 0
        seen = self._look(self.start)
        self.clean, self.before = seen.cost, seen.answers
        self.best, self.cost, self.answers = (
            one.clone() for one in (self.start, seen.cost, seen.answers)
        )
        radius = unit_budget("linf", attack.space, epsilon) if epsilon else 0.0
        #: The steps' length in the unit box.
        self.alpha = REACH * radius / max(attack.steps, 1)
        if attack.step_size is not None:
            self.alpha = attack.step_size / attack.space.span
        box = attack.space.unit
        ones = torch.ones_like(self.start, dtype=torch.int8)
        if radius:
            self.low, self.high = (
                box.move(self.start, sign, radius).clamp(0.0, 1.0) for sign in (-ones, ones)
            )

    def _look(self, images: Tensor, gradient: bool = False) -> Observed:
        self.looks += 1
        return self.machine.look(from_unit(self.attack.space, images, self.inputs), gradient)

    def _offer(self, images: Tensor, seen: Observed) -> None:
        """Keep what costs no less, and where that is asked for, is answered as the input was."""
        better = seen.cost >= self.cost
        if self.attack.keep_answer:
            better &= seen.answers == self.before
        self.best[better] = images[better]
        self.cost[better], self.answers[better] = seen.cost[better], seen.answers[better]

    def climb(self) -> None:
        """Sign steps from the inputs."""
        u, box = self.start, self.attack.space.unit
        for _ in range(self.attack.steps):
            image = box.snap(u)
            seen = self._look(image, gradient=True)
            assert seen.gradient is not None
            self._offer(image, seen)
            uphill = seen.gradient.reshape(u.shape)
            lost = seen.answers != self.before
            if self.attack.keep_answer and bool(lost.any()):
                uphill = uphill.clone()
                uphill[lost] = self._back(image[lost], self.before[lost])
            u = torch.clamp(u + self.alpha * uphill.sign(), self.low, self.high)
        if self.attack.steps:
            image = box.snap(u)
            self._offer(image, self._look(image))

    def _back(self, images: Tensor, answers: Tensor) -> Tensor:
        """The direction in which the answers come back."""
        seen = InUnits(self.machine.model, self.attack.space, self.inputs.shape[1:])
        gradient, _ = input_gradient(seen, images, Untargeted(answers), Margin())
        return -gradient

    def search(self) -> None:
        """Squares at random places."""
        attack = self.attack
        # What has no two dimensions is one sheet of values, as for Square.
        sheet = Sheet(nn.Identity(), self.start.shape[1:])
        low, high = sheet.fold(self.low), sheet.fold(self.high)
        _, channels, height, width = low.shape
        noise = Noise(self.start, attack.seed)
        for query in range(attack.queries):
            image = sheet.fold(self.best).clone()
            left_over = 1 - query / attack.queries
            length = max(1, round(min(height, width) * LARGEST * left_over))
            top, left = noise.integers(height - length + 1), noise.integers(width - length + 1)
            bits = noise.integers(2 ** min(channels, SIGNS))
            for n, (y, x) in enumerate(zip(top.tolist(), left.tolist(), strict=True)):
                square = (n, slice(None), slice(y, y + length), slice(x, x + length))
                signs = (bits[n] >> torch.arange(channels) % SIGNS & 1).bool()[:, None, None]
                image[square] = torch.where(signs, high[square], low[square])
            image = sheet.unfold(image)
            self._offer(image, self._look(image))
