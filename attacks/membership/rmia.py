"""The robust attack of Zarifzadeh et al., "Low-cost high-power membership inference", ICML 2024.

A sample is a member if the target favours it more than it favours other samples z: the score is the
share of z that Λ(x, z) = (p(x | θ) / p(x)) / (p(z | θ) / p(z)) puts at least γ-fold behind.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from hwsim.attacks.core.checks import check_number
from hwsim.attacks.core.errors import AttackError
from hwsim.attacks.evaluate.roc import Scores
from hwsim.attacks.membership.lira import Inside

GAMMA = 2.0


def rmia(
    target: Scores,
    shadows: NDArray[np.float64],
    inside: Inside,
    population: NDArray[np.intp],
    gamma: float = GAMMA,
) -> Scores:
    """Scores (N,) in 0 … 1.

    Parameters
    ----------
    target : array (N,)
        ln p_y of the network under attack.
    shadows : array (K, N)
        ln p_y of K shadow models, whose mean p is p(x): half of those with and half of those
        without the sample, where there are both.
    inside : array (K, N) of bool
        Which samples each was trained on.
    population : array (M,) of int
        Samples z that are known to be no members.
    gamma : float
        γ > 0; the paper's is 2.

    Raises
    ------
    AttackError
        Where shapes differ, there is no population, or γ makes no sense.
    """
    check_number(gamma, "gamma", 0.0)
    if shadows.shape != inside.shape or shadows.shape[1:] != target.shape:
        raise AttackError(
            f"shadow models gave {shadows.shape} scores for {inside.shape} memberships and "
            f"{target.shape} samples"
        )
    if not len(population):
        raise AttackError("RMIA compares with samples known to be no members: there are none")
    chance = np.exp(shadows)
    means = [
        np.where(chosen, chance, 0.0).sum(0) / np.maximum(chosen.sum(0), 1)
        for chosen in (inside, ~inside)
    ]
    sides = inside.any(0).astype(np.int64) + (~inside).any(0)
    expected = (means[0] + means[1]) / sides
    favour = target - np.log(np.maximum(expected, np.finfo(np.float64).tiny))
    others = np.sort(favour[population])
    behind = np.searchsorted(others, favour - math.log(gamma), "right")
    return np.asarray(behind / len(others), np.float64)
