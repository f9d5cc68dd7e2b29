"""When one attack is stronger than another, on the same images.

Attacks are compared image by image, because the images differ far more than the attacks do: an
interval around each success rate would hide what the pairs show.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

#: A flag may be raised by chance on one of a hundred networks where nothing is the matter.
ALPHA = 0.01


@dataclass(frozen=True)
class Comparison:
    """``weak`` against ``strong``, two names of attacks that should rank as they are called.

    above, below: images on which the weak one succeeds at more, or at fewer, of the epsilons.
    p: chance of at least that many above if both were equally strong (sign test, one-sided).
    weak_rates, strong_rates: success per ε, fractions.
    """

    weak: str
    strong: str
    epsilons: tuple[float, ...]
    weak_rates: tuple[float, ...]
    strong_rates: tuple[float, ...]
    above: int
    below: int
    p: float


def sign_test(above: int, below: int) -> float:
    """P(at least ``above`` heads of above + below fair coins); 1 where there is no coin."""
    coins = above + below
    tail = sum(math.comb(coins, heads) for heads in range(above, coins + 1))
    return tail / 2**coins


def compare(
    weak: str,
    strong: str,
    epsilons: Sequence[float],
    weak_success: NDArray[np.bool_],
    strong_success: NDArray[np.bool_],
) -> Comparison:
    """Two (E, N) tables of success on the same E epsilons and N images.

    One number per image, the count of epsilons, so that the epsilons need not be tested apart.
    """
    lead = weak_success.sum(0).astype(int) - strong_success.sum(0)
    above, below = int((lead > 0).sum()), int((lead < 0).sum())
    return Comparison(
        weak=weak,
        strong=strong,
        epsilons=tuple(epsilons),
        weak_rates=tuple(weak_success.mean(1).tolist()),
        strong_rates=tuple(strong_success.mean(1).tolist()),
        above=above,
        below=below,
        p=sign_test(above, below),
    )
