"""Square's random search in L∞, whose draws belong to the example and not to its batch.

``square.py`` is the attack of that name and searches with a library, whose stripes belong to the
place in the batch. A bundle that hands on who is left cannot have that.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from hwsim.attacks.core.base import judge
from hwsim.attacks.core.criteria import Goal
from hwsim.attacks.core.grid import Space
from hwsim.attacks.core.margin import margins
from hwsim.attacks.core.noise import Noise
from hwsim.attacks.sheet import Sheet

#: The share of the pixels in a square halves at these of 10,000 queries (section 3 of the paper).
HALVED = (10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000)
SHARE = 0.8


def side(query: int, queries: int, height: int, width: int) -> int:
    """Of the square at a query, 1 … the shorter side."""
    scaled = query * 10_000 / queries
    share = SHARE / 2 ** sum(scaled > at for at in HALVED)
    return min(max(round(math.sqrt(share * height * width)), 1), height, width)


def random_squares(
    model: nn.Module,
    space: Space,
    inputs: Tensor,
    goal: Goal,
    epsilon: float,
    *,
    queries: int,
    seed: int = 0,
) -> tuple[Tensor, Tensor]:
    """Images within ε, and how often the model ran on each.

    Andriushchenko, Croce, Flammarion, Hein, "Square Attack", ECCV 2020, Algorithms 1 and 2: from
    vertical stripes of ±ε; a square of one sign a channel at a random place is kept where the
    margin does not fall. Who reaches the goal leaves.

    Parameters
    ----------
    inputs : Tensor
        (n, C, H, W) in [0, 1], of the grid.
    epsilon : float
        L∞, a whole number of steps of the grid.
    """
    sheet = Sheet(model, inputs.shape[1:])
    start = sheet.fold(inputs)
    _, channels, height, width = start.shape
    noise = Noise(inputs, seed)
    noise.shape = (channels, height, width)
    found = start.clone()
    forward = torch.zeros(len(inputs), dtype=torch.int64)
    row = torch.arange(len(inputs))
    lead = torch.full((len(inputs),), -math.inf, dtype=torch.float64)
    for query in range(queries):
        if not len(row):
            break
        draws = noise[row]
        if query == 0:
            signs = draws.uniform()[:, :, :1, :].sign().expand(-1, -1, height, -1)
            change = epsilon * signs
        else:
            change = found[row] - start[row]
            _paint(change, draws, epsilon, side(query, queries, height, width))
        image = space.snap((start[row] + change).clamp(0.0, 1.0))
        logits = judge(model, sheet.unfold(image))
        forward[row] += 1
        seen = margins(logits, goal[row])
        won = goal[row].is_adversarial(logits)
        value = seen.value.double()
        better = won | (value >= lead[row])
        found[row[better]], lead[row[better]] = image[better], value[better]
        row = row[~won]
    return sheet.unfold(found), forward


def _paint(change: Tensor, noise: Noise, epsilon: float, length: int) -> None:
    """One square in each of (n, C, H, W), of ±ε by channel."""
    _, channels, height, width = change.shape
    top, left = noise.integers(height - length + 1), noise.integers(width - length + 1)
    bits = noise.integers(2**channels)
    for n, (y, x, sign) in enumerate(zip(top.tolist(), left.tolist(), bits.tolist(), strict=True)):
        for channel in range(channels):
            value = epsilon if sign >> channel & 1 else -epsilon
            change[n, channel, y : y + length, x : x + length] = value
