"""Receiver operating characteristic of a score that should be higher for positives."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Scores = NDArray[np.float64]

_Z95 = 1.959963984540054  # 97.5% quantile of the normal distribution


@dataclass(frozen=True)
class Auc:
    """Area under the curve with a 95% interval; None where one side is empty."""

    value: float | None
    interval: tuple[float, float] | None


def auc(positives: Scores, negatives: Scores) -> Auc:
    """P(positive > negative) + P(equal)/2 over all pairs, (M,) and (N,) scores."""
    m, n = len(positives), len(negatives)
    if not m or not n:
        return Auc(None, None)
    ordered = np.sort(negatives)
    below = np.searchsorted(ordered, positives, "left")
    up_to = np.searchsorted(ordered, positives, "right")
    area = float((below + up_to).sum() / (2 * m * n))
    return Auc(area, auc_interval(area, m, n))


def auc_interval(area: float, m: int, n: int) -> tuple[float, float]:
    """Newcombe's score interval for M positives and N negatives, also at areas of 0 and 1.

    Newcombe, "Confidence intervals for an effect size measure based on the Mann-Whitney
    statistic", Statistics in Medicine 2006, method 5: the θ with |area − θ| <= z·√V(θ), V that of
    Hanley and McNeil 1982 with both numbers replaced by their mean.
    """
    middle = (m + n) / 2

    def reaches(theta: float) -> bool:
        shape = 1 + (middle - 1) * ((1 - theta) / (2 - theta) + theta / (1 + theta))
        variance = theta * (1 - theta) * shape / (m * n)
        return abs(area - theta) <= _Z95 * math.sqrt(variance)

    def edge(outside: float) -> float:
        inside = area
        for _ in range(60):
            half = (inside + outside) / 2
            inside, outside = (half, outside) if reaches(half) else (inside, half)
        return inside

    return edge(0.0) if area > 0 else 0.0, edge(1.0) if area < 1 else 1.0


def curve(positives: Scores, negatives: Scores) -> tuple[Scores, Scores]:
    """(false positive rates, true positive rates), from (0, 0) to (1, 1), a point a threshold."""
    levels = np.unique(np.concatenate([positives, negatives]))[::-1]
    rates = [
        np.concatenate([[0.0], 1 - np.searchsorted(np.sort(side), levels, "left") / len(side)])
        for side in (negatives, positives)
    ]
    return rates[0], rates[1]


def threshold(negatives: Scores, rate: float) -> float:
    """The smallest observed score above which at most ``rate`` of the negatives lie."""
    ordered = np.sort(negatives)
    kept = math.ceil(len(ordered) * (1 - rate) - 1e-9)
    return float(ordered[max(kept, 1) - 1])
