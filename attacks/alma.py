"""ALMA: the nearest image by an augmented Lagrangian whose multiplier is found on the way."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from hwsim.attacks.core.balls import TINY, lengths, normalized, wide
from hwsim.attacks.core.budget import Norm
from hwsim.attacks.core.checks import check_number
from hwsim.attacks.core.descent import Descent, DescentLook, Trail
from hwsim.attacks.core.grid import Space

#: The constraint is looked at every so many steps (M of the paper), and must have fallen to this
#: share of what it was (τ), or the penalty grows by this factor (γ).
CHECK, FALLEN, GROWTH = 10, 0.95, 1.2
#: Bounds of the multiplier μ.
SMALLEST, LARGEST = 1e-6, 1e12
#: The last rate is this share of the first.
LAST = 0.01
#: Added to the difference, so that a tie is none (the paper's tolerance).
TIE = 1e-4
#: By norm: the first step's length (ε of the paper) and the weight of the averages (α; in L2 the
#: paper has 0.9 for 1,000 steps, and in 100 steps 0.7 comes nearer).
DEFAULTS: dict[Norm, tuple[float, float]] = {"l2": (1.0, 0.7), "l1": (10.0, 0.5)}


@dataclass(eq=False)
class _Lagrangian(Trail):
    """multiplier μ, penalty ρ, rate η and before (the constraint at the last look): (n,).

    square, momentum: of RMSProp, as images. since: (n,), step of the first success.
    """

    multiplier: Tensor
    penalty: Tensor
    rate: Tensor
    before: Tensor
    square: Tensor
    momentum: Tensor
    since: Tensor


class ALMA(Descent):
    """min D(δ) + P(y, ρ, μ) for the constraint y < 0, y the logits' difference over their spread.

    Rony, Granger, Pedersoli, Ben Ayed, "Augmented Lagrangian adversarial attacks", ICCV 2021,
    Algorithm 1 with the penalty P2, RMSProp with momentum. D is ‖δ‖₂ or ‖δ‖₁. y is the
    difference of logits ratio, z_y − max z_i over z_π1 − z_π3, of targets with the sign turned; of
    two classes, where it is always ±1, the difference alone. So it is where integer logits tie and
    the spread is 0. A gradient of 0 leaves that of the distance.

    steps: gradients. norm: ``l2`` or ``l1``. first: length of the first step, in the norm, in the
    unit box. average: weight of what was, in μ and in RMSProp. None of
    both: DEFAULTS.
    """

    def __init__(
        self,
        *,
        steps: int = 100,
        norm: Norm = "l2",
        first: float | None = None,
        average: float | None = None,
        space: Space | None = None,
    ) -> None:
        super().__init__(steps=steps, norm=norm, norms=("l2", "l1"), loss=None, space=space)
        known = DEFAULTS[norm]
        self.first = known[0] if first is None else first
        self.average = known[1] if average is None else average
        check_number(self.first, "first", above=0.0, most=1e6)
        check_number(self.average, "average", above=0.0, most=0.9999)
        self.loss = Spread()

    def begin(self, trail: Trail) -> Trail:
        """μ = ρ = 1, at rest."""
        never = trail.fill(self.steps + 1.0)
        return _Lagrangian(
            **vars(trail), multiplier=trail.fill(1.0), penalty=trail.fill(1.0),
            rate=trail.fill(0.0), before=trail.fill(math.inf), since=never,
            square=torch.ones_like(trail.change), momentum=torch.zeros_like(trail.change),
        )  # fmt: skip

    def move(self, trail: Trail, look: DescentLook) -> None:
        """The multiplier, then a step of RMSProp."""
        assert isinstance(trail, _Lagrangian)
        y, step = look.value + TIE, look.step
        if step == 0:
            trail.before = y
        elif (step + 1) % CHECK == 0:
            stuck = ~(trail.ever | (y < FALLEN * trail.before))
            trail.penalty = torch.where(stuck, GROWTH * trail.penalty, trail.penalty)
            trail.before = y
        if step:
            wanted = _slope(y, trail.penalty, trail.multiplier)
            moved = self.average * trail.multiplier + (1.0 - self.average) * wanted
            trail.multiplier = moved.clamp(SMALLEST, LARGEST)
        trail.since = torch.where(
            trail.ever, torch.minimum(trail.since, trail.fill(step)), trail.since
        )
        down = wide(_slope(y, trail.penalty, trail.multiplier), look.gradient) * look.gradient
        if step:
            change = trail.change
            down = down + (normalized(change) if self.norm == "l2" else change.sign())
        else:
            trail.rate = self._rate(trail, down)
        trail.square = self.average * trail.square + (1 - self.average) * down.square()
        trail.momentum = self.average * trail.momentum + down / (trail.square.sqrt() + 1e-8)
        passed = (step - trail.since).clamp(min=0.0) / (self.steps - trail.since)
        trail.into_box(trail.change - wide(trail.rate * LAST**passed, down) * trail.momentum)

    def _rate(self, trail: Trail, down: Tensor) -> Tensor:
        """(n,): η at which a plain step has the length ``first`` inside the box, by bisection."""

        def size(rate: Tensor) -> Tensor:
            moved = (trail.original - wide(rate, down) * down).clamp(0, 1) - trail.original
            return lengths(moved, self.norm)

        # The box may be too small for it; half of what there is in the way will do then.
        wanted = torch.minimum(trail.fill(self.first), size(trail.fill(LARGEST)) / 2)
        low, high = trail.fill(0.0), trail.fill(1.0)
        for _ in range(60):
            short = size(high) < wanted
            if not bool(short.any()):
                break
            low, high = torch.where(short, high, low), torch.where(short, 2 * high, high)
        for _ in range(20):
            middle = (low + high) / 2
            over = size(middle) > wanted
            low, high = torch.where(over, low, middle), torch.where(over, middle, high)
        return (low + high) / 2


class Spread:
    """(max_{i≠y} z_i − z_y) over the spread of the best logits, above 0 where y is left.

    dlr.py has the ratios proper; this one serves both kinds of goal and any number of classes.
    """

    def __call__(self, logits: Tensor, labels: Tensor) -> Tensor:
        """(N,) ratios; where the spread is 0, and of two classes, the difference."""
        own = labels[:, None]
        others = logits.scatter(1, own, -torch.inf).amax(1)
        lead = others - logits.gather(1, own).flatten()
        if logits.shape[1] < 3:
            return lead
        best = logits.topk(3, 1).values
        spread = best[:, 0] - best[:, 2]
        tie = spread.detach() == 0
        return lead / torch.where(tie, torch.ones_like(spread), spread)


def _slope(y: Tensor, penalty: Tensor, multiplier: Tensor) -> Tensor:
    """∂P2/∂y: μ + 2μρy + ρ²y²/2 where y >= 0, μ/(1 − ρy)² elsewhere."""
    above = multiplier + 2.0 * multiplier * penalty * y + penalty.square() * y.square() / 2.0
    below = multiplier / (1.0 - penalty * y.clamp(max=0.0)).square().clamp(min=TINY)
    return torch.where(y >= 0.0, above, below)
