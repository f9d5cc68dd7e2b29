"""Could any softmax have hidden the gradients that a published pair of success rates needs hidden?

A softmax that saturates has a wall: a lead of the winner, in nats, from which on the loss has no
gradient at all. Float32 has it at about 104, clipped at 1 − 1e-7 at 16, the engine's 16 bits at 11.
An attack that only follows the gradient can fool no more images than those whose lead is below the
wall. So a wall explains success before and after a defense only if enough leads are below it
before, and few enough after; and the least wall with enough before is the one with fewest after.
"""

from __future__ import annotations

import math
from collections.abc import Sequence


def below(leads: Sequence[float], wall: float) -> float:
    """Share of images that keep a gradient."""
    return sum(lead < wall for lead in leads) / len(leads)


def least(leads: Sequence[float], share: float) -> float:
    """The least wall that leaves at least ``share`` of the images a gradient, 0 < share <= 1."""
    count = math.ceil(share * len(leads) - 1e-9)
    return math.nextafter(sorted(leads)[count - 1], math.inf)
