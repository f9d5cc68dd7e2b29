"""DDN: direction and norm of the change are found apart from each other."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from hwsim.attacks.core.balls import lengths, normalized
from hwsim.attacks.core.checks import check_number
from hwsim.attacks.core.descent import Descent, DescentLook, Trail, at_radius
from hwsim.attacks.core.grid import Space
from hwsim.attacks.core.losses import CrossEntropy, Loss


@dataclass(eq=False)
class _Sphere(Trail):
    """radius: (n,), of the sphere that the change is put on. most: what any change can be."""

    radius: Tensor
    most: Tensor


class DDN(Descent):
    """The direction follows the gradient, the length falls where that succeeds and grows elsewhere.

    Rony et al., "Decoupling direction and norm for efficient gradient-based L2 adversarial attacks
    and defenses", CVPR 2019, Algorithm 1: δ ← ε·(δ + α·g/‖g‖)/‖·‖, ε ← ε·(1 ± γ), α from 1 to
    0.01 on a cosine. Where the paper's code draws a direction for a gradient of 0, this keeps the
    old one: nothing here is random.

    steps: gradients. gamma: γ. first: ε at first, an L2 length in the unit box. loss:
    cross-entropy unless given.
    """

    def __init__(
        self,
        *,
        steps: int = 100,
        gamma: float = 0.05,
        first: float = 1.0,
        loss: Loss | None = None,
        space: Space | None = None,
    ) -> None:
        loss = CrossEntropy() if loss is None else loss
        super().__init__(steps=steps, norm="l2", norms=("l2",), loss=loss, space=space)
        check_number(gamma, "gamma", above=0.0, most=0.5)
        check_number(first, "first", above=0.0, most=1e3)
        self.gamma, self.first = gamma, first

    def begin(self, trail: Trail) -> Trail:
        """On the sphere of the first radius."""
        most = lengths(torch.maximum(trail.original, 1.0 - trail.original), "l2")
        return _Sphere(**vars(trail), radius=trail.fill(self.first), most=most)

    def move(self, trail: Trail, look: DescentLook) -> None:
        """A step, and then onto the sphere."""
        assert isinstance(trail, _Sphere)
        alpha = self.annealed(1.0, 0.01, look.step)
        moved = trail.change - alpha * normalized(look.gradient)
        factor = torch.where(look.reached, 1.0 - self.gamma, 1.0 + self.gamma)
        trail.radius = torch.minimum(trail.radius * factor, trail.most)
        trail.into_box(at_radius(moved, trail.radius, lengths(moved, "l2")))
