"""A linear network and greys: what attacks find there is known in closed form."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from hwsim.attacks.core.base import judge
from hwsim.attacks.core.grid import Grid

CLASSES, PIXELS = 4, 18


def linear_network() -> nn.Module:
    """Two channels of 3 × 3 pixels, margins of several steps of the grid."""
    with torch.random.fork_rng():
        torch.manual_seed(3)
        model = nn.Sequential(nn.Flatten(), nn.Linear(PIXELS, CLASSES))
    with torch.no_grad():
        model[1].weight.mul_(4.0)
    return model.eval()


def greys(count: int) -> Tensor:
    """Images (N, 2, 3, 3) of greys, so that a small perturbation meets no edge of the box."""
    draw = torch.Generator().manual_seed(5)
    return Grid(255).snap(0.3 + 0.4 * torch.rand(count, 2, 3, 3, generator=draw))


def gaps(model: nn.Module, x: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Z_y − Z_i and w_i − w_y for every class i, (N, classes) and (N, classes, pixels)."""
    logits, weight = judge(model, x), model[1].weight.detach()  # type: ignore[index, union-attr]
    gap = logits.gather(1, labels[:, None]) - logits
    gap.scatter_(1, labels[:, None], math.inf)
    return gap, weight[None] - weight[labels][:, None]
