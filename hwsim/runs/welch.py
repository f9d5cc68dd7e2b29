"""Welch's t-test of fixed classes against each other, as TVLA does for side channels.

Goodwill, Jun, Jaffe and Rohatgi, "A testing methodology for side-channel resistance validation",
NIST workshop 2011: two sets of runs that differ only in what should stay secret, |t| > 4.5 says
that time tells them apart. It says that there is a leak, not how much of one.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

#: |t| above which TVLA calls two sets different.
THRESHOLD = 4.5


@dataclass(frozen=True)
class Separation:
    """pairs: of classes that have two images and more. separated: those with |t| > 4.5 in some
    column. largest: the largest |t|; inf for two different constants.
    """

    pairs: int
    separated: int
    largest: float


def welch(first: NDArray[np.float64], second: NDArray[np.float64]) -> NDArray[np.float64]:
    """t of every column of (M, D) and (N, D), both of two rows and more; 0 of equal constants."""
    apart = first.mean(0) - second.mean(0)
    error = np.sqrt(first.var(0, ddof=1) / len(first) + second.var(0, ddof=1) / len(second))
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(apart == 0, 0.0, apart / error)


def separation(observed: NDArray[np.float64], labels: NDArray[np.int64]) -> Separation:
    """All pairs of classes; observed: (N, D), labels: (N,)."""
    classes, counts = np.unique(labels, return_counts=True)
    groups = [observed[labels == label] for label in classes[counts > 1]]
    found = [
        float(np.abs(welch(one, other)).max(initial=0.0))
        for one, other in itertools.combinations(groups, 2)
    ]
    separated = sum(size > THRESHOLD for size in found)
    return Separation(len(found), separated, max(found, default=0.0))
