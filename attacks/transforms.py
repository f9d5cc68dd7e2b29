"""What replaces the gradient at the image when images are to transfer: NI, SIM, DIM, TIM, sampling.

Each transform takes a gradient field, a function from points (N, C, H, W) in [0, 1] to gradients
of the loss there, and gives another one. They compose: ``(DepthFirst(), Scales(), Diverse())``
samples neighbours, scales each of them and resizes each of those. Where a point is transformed
linearly, the chain rule's factor, the transposed map, is applied to the gradient.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from hwsim.attacks.core.checks import check_count, check_number
from hwsim.attacks.core.errors import AttackError
from hwsim.attacks.core.iterated import Position

Field = Callable[[Tensor], Tensor]


class Transform(ABC):
    """A gradient field made from another. passes: how often it asks that one."""

    passes = 1

    @abstractmethod
    def around(self, field: Field, position: Position) -> Field:
        """The new field, for the examples at ``position``."""


class Nesterov(Transform):
    """The gradient where the momentum is about to lead: ∇J(x + α·μ·g).

    NI-FGSM: Lin et al., "Nesterov accelerated gradient and scale invariance for adversarial
    attacks", ICLR 2020. g is normalized by its mean |g|, as in their code. Clipped to [0, 1].
    """

    def around(self, field: Field, position: Position) -> Field:
        """Ahead by α·μ·memory."""
        ahead = position.alpha * position.decay * position.memory
        return lambda x: field((x + ahead).clamp(0.0, 1.0))


class DepthFirst(Transform):
    """The mean gradient over the point and a walk of ``samples`` neighbours.

    Depth-first sampling of S-FGRM (Han et al., "Sampling-based fast gradient rescaling method for
    highly transferable adversarial attacks", 2023): x⁰ = x, xⁱ uniform within radius·ε (L∞) of
    xⁱ⁻¹, clipped to [0, 1]; the mean is over samples + 1 gradients.
    """

    def __init__(self, *, samples: int = 12, radius: float = 1.5) -> None:
        check_count(samples, "samples")
        check_number(radius, "radius", above=0.0)
        self.samples, self.radius = samples, radius
        self.passes = samples + 1

    def around(self, field: Field, position: Position) -> Field:
        """Each call walks anew."""
        reach = self.radius * position.epsilon

        def mean(x: Tensor) -> Tensor:
            total = field(x)
            for _ in range(self.samples):
                x = (x + reach * position.noise.uniform().to(x)).clamp(0.0, 1.0)
                total = total + field(x)
            return total / (self.samples + 1)

        return mean


class Scales(Transform):
    """The mean of ∇ₓJ(x / 2ⁱ), i = 0 … copies − 1: scale invariance, SIM (Lin et al., as above)."""

    def __init__(self, *, copies: int = 5) -> None:
        check_count(copies, "copies")
        self.copies = self.passes = copies

    def around(self, field: Field, position: Position) -> Field:
        """The chain rule divides each gradient by 2ⁱ."""

        def mean(x: Tensor) -> Tensor:
            scales = [2.0**-i for i in range(self.copies)]
            return torch.stack([field(x * s) * s for s in scales]).sum(0) / self.copies

        return mean


class Diverse(Transform):
    """The gradient through a random resize and pad: input diversity, DIM.

    Xie et al., "Improving transferability of adversarial examples with input diversity", CVPR
    2019. With ``probability``, each example is shrunk (bilinear) to a random side of at least
    rate·H and below H, and padded with zeros to its old size at a random place. Theirs grows the
    image instead, which a network of fixed input size cannot take.
    """

    def __init__(self, *, rate: float = 0.9, probability: float = 0.5) -> None:
        check_number(rate, "rate", above=0.0, most=1.0)
        check_number(probability, "probability", above=0.0, most=1.0)
        self.rate, self.probability = rate, probability

    def around(self, field: Field, position: Position) -> Field:
        """Each call draws anew."""

        def through(x: Tensor) -> Tensor:
            rows, columns = self._draw(position, *x.shape[2:])
            rows, columns = rows.to(x)[:, None], columns.to(x)[:, None]
            gradient = field((rows @ x @ columns.mT).clamp(0.0, 1.0))
            return rows.mT @ gradient @ columns

        return through

    def _draw(self, position: Position, height: int, width: int) -> tuple[Tensor, Tensor]:
        """Matrices (N, H, H) and (N, W, W) that shrink and place rows and columns."""
        noise = position.noise
        die = 1 << 30
        kept = noise.integers(die) >= round(self.probability * die)
        share = noise.integers(die).double() / die  # how small, the same for rows and columns
        sides = []
        for size in (height, width):
            least = max(1, min(math.ceil(size * self.rate), size - 1))
            side = least + (share * (size - least)).long()
            place = noise.integers(die).double() / die
            offset = (place * (size - side + 1)).long()
            side, offset = side.where(~kept, size), offset.where(~kept, 0)
            sides.append(shrinking(size, side, offset))
        return sides[0], sides[1]


def shrinking(size: int, side: Tensor, offset: Tensor) -> Tensor:
    """(N, size, size) float32: rows resample a line to ``side`` pixels beginning at ``offset``.

    Bilinear with pixel centres at half integers (align_corners=False); rows outside are 0.
    """
    target = torch.arange(size)[None] - offset[:, None]  # (N, size), pixel of the small image
    # In float32 by name: whole numbers would divide into torch's default type.
    centre = ((target.float() + 0.5) * (size / side[:, None].float()) - 0.5).clamp(0, size - 1)
    # A hat function of width 1 around the centre picks its two neighbours.
    weight = (1 - (centre[:, :, None] - torch.arange(size)).abs()).clamp(min=0)
    inside = (target >= 0) & (target < side[:, None])
    return weight * inside[:, :, None]


class Smoothed(Transform):
    """The gradient convolved with a Gaussian: translation invariance, TIM.

    Dong et al., "Evading defenses to transferable adversarial examples by translation-invariant
    attacks", CVPR 2019. kernel: side in pixels, odd; it spans ± ``deviations`` standard
    deviations, as in their code. Zeros outside the image.
    """

    def __init__(self, *, kernel: int = 7, deviations: float = 3.0) -> None:
        check_count(kernel, "kernel")
        check_number(deviations, "deviations", above=0.0)
        if kernel % 2 == 0:
            raise AttackError(f"kernel must be odd, so that it has a middle, got {kernel}")
        line = torch.exp(
            -0.5 * torch.linspace(-deviations, deviations, kernel, dtype=torch.float32) ** 2
        )
        self.line = line / line.sum() if kernel > 1 else torch.ones(1, dtype=torch.float32)

    def around(self, field: Field, position: Position) -> Field:
        """Each channel by itself, rows and then columns: the Gaussian is their product."""

        def smooth(x: Tensor) -> Tensor:
            gradient = field(x)
            flat = gradient.flatten(0, 1)[:, None]
            line = self.line.to(gradient)
            flat = F.conv2d(flat, line[None, None, :, None], padding=(len(line) // 2, 0))
            flat = F.conv2d(flat, line[None, None, None, :], padding=(0, len(line) // 2))
            return flat.view_as(gradient)

        return smooth
