"""What stands between an attack and a model whose inputs are no pixels.

An attack sees images (N, C, H, W) in [0, 1] and nothing else. Vectors (N, F) are shown to it as
(N, F, 1, 1), series (N, C, L) as (N, C, 1, L), and of values of another range it sees where their
codes stand among all codes. So each attack is written once, and what it does with a network does
not depend on what the network calls its inputs.
"""

from __future__ import annotations

import math
from fractions import Fraction

import torch
from torch import Tensor, nn

from hwsim.attacks.core.budget import Norm
from hwsim.attacks.core.errors import AttackError
from hwsim.attacks.core.grid import CodeGrid, Grid, Space


def input_space(levels: int, scale: Fraction, zero: int) -> Grid | CodeGrid:
    """The space of a program's input codes: pixels where they are that, else of any range."""
    space = CodeGrid(levels, scale, zero)
    return space.unit if space.scale * levels == 1 and zero == 0 else space


def plain(space: Space, inputs: Tensor) -> bool:
    """Whether ``inputs`` are what an attack sees anyway."""
    return inputs.ndim == 4 and not isinstance(space, CodeGrid)


def as_images(inputs: Tensor) -> Tensor:
    """(N, C, H, W) from images, vectors (N, F) or series (N, C, L)."""
    count = len(inputs)
    if inputs.ndim == 2:
        return inputs.reshape(count, -1, 1, 1)
    return inputs[:, :, None, :] if inputs.ndim == 3 else inputs


def to_unit(space: Space, inputs: Tensor) -> Tensor:
    """Inputs on the grid as an attack sees them."""
    return as_images(space.to_unit(inputs) if isinstance(space, CodeGrid) else inputs)


def from_unit(space: Space, images: Tensor, like: Tensor) -> Tensor:
    """What an attack made, in units of the input and shaped as ``like``."""
    values = space.from_unit(images) if isinstance(space, CodeGrid) else images
    return values.reshape(like.shape)


def unit_budget(norm: Norm, space: Space, epsilon: float) -> float:
    """ε of the unit box; AttackError for one that makes no sense."""
    if not isinstance(space, CodeGrid) or norm == "l0" or epsilon == math.inf:
        return epsilon
    return space.step(epsilon) / space.levels if norm == "linf" else epsilon / space.span


class InUnits(nn.Module):
    """A model as an attack sees it, which gives it images (N, C, H, W) of the unit box.

    shape: of one input of the model.
    """

    def __init__(self, model: nn.Module, space: Space, shape: torch.Size) -> None:
        super().__init__()
        self.model, self.box, self.shape = model, space, shape
        # The model's own modules are in the mode that others want of them.
        self.training = False

    def forward(self, u: Tensor) -> Tensor:
        """The model's logits."""
        if isinstance(self.box, CodeGrid):
            # The value is that of the code, the slope that of the line through all of them.
            u = self.box.from_unit(u.detach()) + (u - u.detach()) * self.box.span
        answer: Tensor = self.model(u.reshape(len(u), *self.shape))
        return answer


def check_box(model: nn.Module, space: Space) -> None:
    """Refuse to look for inputs in a box that is not the engine's.

    Only an Engine says which codes it takes; of other models anything may be asked.
    """
    own = getattr(model, "space", None)
    # Whoever looks at pixels of another width has always been free to.
    pixels = isinstance(own, Grid) and not isinstance(space, CodeGrid)
    if isinstance(own, CodeGrid | Grid) and own != space and not pixels:
        (low, high), (least, most) = own.bounds, space.bounds
        raise AttackError(
            f"the engine takes inputs in [{low:g}, {high:g}] and the attack looks in "
            f"[{least:g}, {most:g}], or on other steps: give the attack space=engine.space"
        )
