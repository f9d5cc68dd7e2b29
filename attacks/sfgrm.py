"""S-FGRM: rescaled gradients instead of their signs, averaged over sampled neighbours."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from hwsim.attacks.core.checks import check_number
from hwsim.attacks.core.grid import Space
from hwsim.attacks.core.iterated import Position
from hwsim.attacks.core.losses import Loss
from hwsim.attacks.mifgsm import MIFGSM
from hwsim.attacks.transforms import DepthFirst, Transform

#: Standard deviation of log₂|g| below which an image's gradients count as equally large.
EQUAL = 1e-6


def rescale(gradient: Tensor, factor: float = 2.0) -> Tensor:
    """factor · sign(g) ⊙ σ(norm(log₂|g|)), in −factor … factor; 0 where g is 0.

    gradient: (N, C, H, W). norm subtracts the mean over each image's nonzero pixels and divides by
    their standard deviation (that of the population); where all are equally large, to float32's
    rounding, the result is factor/2 · sign(g). log₂ 0 has no place in a mean, so zeros are left
    out of it.
    """
    axes = tuple(range(1, gradient.ndim))
    moving = gradient != 0
    count = moving.sum(axes, keepdim=True).clamp(min=1)
    logs = torch.where(moving, gradient.abs(), 1.0).double().log2()  # log₂ 1 = 0 adds nothing below
    mean = logs.sum(axes, keepdim=True) / count
    centred = torch.where(moving, logs - mean, 0.0)
    deviation = (centred.square().sum(axes, keepdim=True) / count).sqrt()
    norm = torch.where(deviation > EQUAL, centred / deviation, 0.0)
    return factor * gradient.sign() * torch.sigmoid(norm).to(gradient.dtype)


class SFGRM(MIFGSM):
    """Sampling-based fast gradient rescaling: g ← μ·g + ḡ/‖ḡ‖₁, X ← X + α · rescale(g).

    Han et al., "Sampling-based fast gradient rescaling method for highly transferable adversarial
    attacks", 2023. ḡ is the mean over depth-first samples. factor: c of ``rescale``; α·c bounds a
    pixel's step. samples, radius: of ``DepthFirst``; samples = 0 leaves out the sampling.
    transforms: further ones, applied to each sample. decay: μ, 0 for none (FGRM without MI).
    """

    def __init__(
        self,
        *,
        steps: int = 10,
        step_size: float | None = None,
        decay: float = 1.0,
        factor: float = 2.0,
        samples: int = 12,
        radius: float = 1.5,
        transforms: Sequence[Transform] = (),
        seed: int = 0,
        early_exit: bool = False,
        loss: Loss | None = None,
        space: Space | None = None,
    ) -> None:
        check_number(factor, "factor", above=0.0)
        sampling = [] if samples == 0 else [DepthFirst(samples=samples, radius=radius)]
        super().__init__(
            steps=steps, step_size=step_size, decay=decay, transforms=[*sampling, *transforms],
            seed=seed, early_exit=early_exit, loss=loss, space=space,
        )  # fmt: skip
        self.factor = factor

    def direction(self, gradient: Tensor, position: Position) -> Tensor:
        """rescale(g), after this gradient has been added to g."""
        super().direction(gradient, position)
        return rescale(position.memory, self.factor)
