"""MI-FGSM: sign steps along an average of gradients, and what makes its images transfer."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from hwsim.attacks.core.base import input_gradient
from hwsim.attacks.core.errors import AttackError
from hwsim.attacks.core.grid import Space
from hwsim.attacks.core.iterated import IteratedAttack, Position
from hwsim.attacks.core.losses import Loss
from hwsim.attacks.transforms import Field, Transform


class MIFGSM(IteratedAttack):
    """Momentum iterative FGSM: steps along the sign of an average of past gradients.

    Dong et al., "Boosting adversarial attacks with momentum", CVPR 2018:
    g ← μ·g + ∇J/‖∇J‖₁, X ← X + α · sign(g). decay: μ >= 0. Default α = ε/steps. Made to transfer:
    by default every step is taken (``early_exit=False``). A zero gradient adds nothing to g.
    transforms: what the gradient is taken of instead of the image, outermost first; seed: of
    their random draws.
    """

    def __init__(
        self,
        *,
        steps: int = 10,
        step_size: float | None = None,
        decay: float = 1.0,
        transforms: Sequence[Transform] = (),
        seed: int = 0,
        early_exit: bool = False,
        loss: Loss | None = None,
        space: Space | None = None,
    ) -> None:
        super().__init__(
            steps=steps, step_size=step_size, restarts=1, random_start=False,
            early_exit=early_exit, seed=seed, loss=loss, space=space,
        )  # fmt: skip
        number = isinstance(decay, (int, float)) and not isinstance(decay, bool)
        if not number or not 0.0 <= decay < math.inf:
            raise AttackError(f"decay must be a number of at least 0, got {decay!r}")
        for transform in transforms:
            if not isinstance(transform, Transform):
                raise AttackError(
                    f"transforms must be instances such as Diverse(), got {transform!r}"
                )
        self.decay, self.transforms = decay, tuple(transforms)
        self.passes = math.prod(transform.passes for transform in transforms)

    def gradient(
        self, model: nn.Module, position: Position, image: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        """The transforms' gradient; then the image itself may not have been shown to the model."""
        if not self.transforms:
            return super().gradient(model, position, image)

        def at(point: Tensor) -> Tensor:
            return input_gradient(model, point, position.goal, self.loss)[0]

        field: Field = at
        for transform in reversed(self.transforms):
            field = transform.around(field, position)
        return field(image), None

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
