"""The likelihood ratio attack (LiRA) of Carlini et al. 2022, online and offline.

"Membership inference attacks from first principles", IEEE S&P.
Shadow models tell what a sample's log-odds φ = ln(p_y / (1 − p_y)) look like where it was trained
on and where it was not, each as a normal distribution; the target's φ is held against both.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from hwsim.attacks.core.errors import AttackError
from hwsim.attacks.evaluate.roc import Scores

#: Shadow models from which on each sample has variances of its own, as in the paper.
OWN_VARIANCES = 64
#: No distribution is narrower.
LEAST_SPREAD = 1e-6

Inside = NDArray[np.bool_]


def lira(
    target: Scores,
    shadows: NDArray[np.float64],
    inside: Inside,
    *,
    online: bool = True,
    own_variances: bool | None = None,
) -> Scores:
    """Scores (N,), higher for members.

    Parameters
    ----------
    target : array (N,)
        φ of the network under attack.
    shadows : array (K, N)
        φ of K shadow models for the same samples.
    inside : array (K, N) of bool
        Which samples each was trained on.
    online : bool
        ln N(φ; in) − ln N(φ; out). Offline, of shadow models that never saw the sample alone:
        (φ − μ_out) / σ_out, whose normal distribution the paper takes for the score.
    own_variances : bool, optional
        Of each sample, instead of one for all; where None with 64 shadow models or more.

    Raises
    ------
    AttackError
        Where shapes differ, or a sample has no shadow model inside (online) or outside.
    """
    if shadows.shape != inside.shape or shadows.shape[1:] != target.shape:
        raise AttackError(
            f"shadow models gave {shadows.shape} scores for {inside.shape} memberships and "
            f"{target.shape} samples"
        )
    own = len(shadows) >= OWN_VARIANCES if own_variances is None else own_variances
    out, out_spread = _normal(shadows, ~inside, own, "without")
    if not online:
        return (target - out) / out_spread
    mean, spread = _normal(shadows, inside, own, "with")
    return _log_density(target, mean, spread) - _log_density(target, out, out_spread)


def aligned(target: Scores, shadows: NDArray[np.float64]) -> Scores:
    """φ (N,) moved and stretched to the mean and deviation of the shadow models' (K, N).

    Of shadow models that are no networks of the target's kind, and so surer or less sure than it of
    everything: as they are, every sample would look like one side. Needs as many members among the
    samples as among each model's.
    """
    spread = max(float(target.std()), LEAST_SPREAD)
    return np.asarray(
        (target - target.mean()) / spread * shadows.std() + shadows.mean(), np.float64
    )


def _log_density(values: Scores, mean: Scores, spread: Scores) -> Scores:
    """Of a normal distribution, without the constant."""
    return np.asarray(-(((values - mean) / spread) ** 2) / 2 - np.log(spread), np.float64)


def _normal(
    shadows: NDArray[np.float64], chosen: Inside, own: bool, words: str
) -> tuple[Scores, Scores]:
    """Mean and deviation (N,) over the chosen models; the deviation is pooled unless ``own``."""
    count = chosen.sum(0)
    if (count == 0).any():
        raise AttackError(
            f"{int((count == 0).sum())} samples have no shadow model trained {words} them: train "
            "shadow models in pairs, one half of the samples each"
        )
    mean = np.where(chosen, shadows, 0.0).sum(0) / count
    squares = np.where(chosen, (shadows - mean) ** 2, 0.0).sum(0)
    if own:
        spread = np.sqrt(squares / count)
    else:
        # Deviations from each sample's own mean; what single models deviate says nothing.
        freedom = int((count - 1).sum())
        spread = np.full(len(mean), math.sqrt(squares.sum() / freedom) if freedom else 1.0)
    return mean, np.maximum(spread, LEAST_SPREAD)
