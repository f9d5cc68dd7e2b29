"""FMN: the fast minimum-norm attack in L0, L1, L2 and L∞."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from hwsim.attacks.core.balls import TINY, lengths, normalized, project
from hwsim.attacks.core.budget import Norm
from hwsim.attacks.core.checks import check_number
from hwsim.attacks.core.descent import Descent, DescentLook, Trail, at_radius
from hwsim.attacks.core.grid import Space

#: The norm in which a gradient is measured, to tell how far the boundary is.
DUAL: dict[Norm, Norm] = {"l1": "linf", "l2": "l2", "linf": "l1"}


@dataclass(eq=False)
class _Ball(Trail):
    """radius: (n,), of the ball that the change is kept in. most: what any change can be."""

    radius: Tensor
    most: Tensor


class FMN(Descent):
    """Steps along the gradient inside a ball that shrinks where they succeed and grows elsewhere.

    Pintor, Roli, Brendel, Biggio, "Fast minimum-norm adversarial attacks through adaptive norm
    constraints", NeurIPS 2021, Algorithm 1: δ ← project(δ − α·g/‖g‖₂, ε), ε ← ε·(1 ± γ); before the
    first success ε is where a linear model would have its boundary. α and γ fall on a cosine. In L2
    the change is put on the sphere, as public code does. A gradient of 0 is no step, and ε grows.

    steps: gradients. norm: ``l0``, ``l1``, ``l2`` or ``linf``. step_size: α at first, an L2 length
    in the unit box, and a hundredth of it at last. gamma: γ at first, a fiftieth of it at last.
    """

    def __init__(
        self,
        *,
        steps: int = 100,
        norm: Norm = "l2",
        step_size: float = 1.0,
        gamma: float = 0.05,
        space: Space | None = None,
    ) -> None:
        norms: tuple[Norm, ...] = ("l0", "l1", "l2", "linf")
        super().__init__(steps=steps, norm=norm, norms=norms, loss=None, space=space)
        check_number(step_size, "step_size", above=0.0, most=1e3)
        check_number(gamma, "gamma", above=0.0, most=0.5)
        self.step_size, self.gamma = step_size, gamma

    def begin(self, trail: Trail) -> Trail:
        """One value of l0; else no bound until a gradient tells one."""
        most = lengths(torch.maximum(trail.original, 1.0 - trail.original), self.norm)
        return _Ball(**vars(trail), radius=trail.fill(1.0 if self.norm == "l0" else 0.0), most=most)

    def move(self, trail: Trail, look: DescentLook) -> None:
        """The radius first, then a step within it."""
        assert isinstance(trail, _Ball)
        gamma = self.annealed(self.gamma, self.gamma / 50.0, look.step)
        trail.radius = torch.minimum(self._radius(trail, look, gamma), trail.most)
        step = self.annealed(self.step_size, self.step_size / 100.0, look.step)
        moved = trail.change - step * normalized(look.gradient)
        if self.norm == "l2":
            # On the sphere: a ball's inside is never nearer to the boundary than its surface.
            trail.into_box(at_radius(moved, trail.radius, lengths(moved, "l2")))
        else:
            trail.into_box(project(moved, trail.radius, self.norm))

    def _radius(self, trail: _Ball, look: DescentLook, gamma: float) -> Tensor:
        radius = trail.radius
        if self.norm == "l0":
            fewer = torch.minimum(radius - 1.0, (radius * (1.0 - gamma)).floor())
            more = torch.maximum(radius + 1.0, (radius * (1.0 + gamma)).floor())
            return torch.where(look.reached, torch.minimum(fewer, trail.best), more).clamp(min=1.0)
        slope = lengths(look.gradient, DUAL[self.norm])
        linear = lengths(trail.change, self.norm) + look.value.abs() / slope.clamp(min=TINY)
        less = torch.minimum(radius * (1.0 - gamma), trail.best)
        return torch.where(
            look.reached, less, torch.where(trail.ever, radius * (1.0 + gamma), linear)
        )
