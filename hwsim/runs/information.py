"""Mutual information between what is observed and a class, with its bias and an interval.

The estimator is that of Ross, "Mutual information between discrete and continuous data sets", PLoS
ONE 2014: how many of all points lie as near as the k-th neighbour of the own class. Numbers of
cycles repeat, so points at equal distances are counted as Gao, Kannan, Oh and Viswanath do,
"Estimating mutual information for discrete-continuous mixtures", NeurIPS 2017: all of them. Without
ties it is scikit-learn's ``mutual_info_classif``, for several columns at once.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]
Labels = NDArray[np.int64]

#: Neighbours of a point in its class: those of Kraskov's and Ross's examples, and of scikit-learn.
NEIGHBOURS = 3
_Z95 = 1.959963984540054  # 97.5% quantile of the normal distribution


@dataclass(frozen=True)
class Information:
    """In bits. value: corrected, with its 95% interval, all within 0 … entropy of the class.

    baseline: mean of the estimate over permuted labels, where the truth is 0.
    """

    value: float
    interval: tuple[float, float]
    baseline: float
    entropy: float


def entropy(labels: Labels) -> float:
    """Of the class, in bits."""
    shares = np.unique(labels, return_counts=True)[1] / len(labels)
    return float(-(shares * np.log2(shares)).sum())


class _Line:
    """Points of one column, sorted: distances and counts without a tree."""

    def __init__(self, points: Points) -> None:
        self.points = points[:, 0]
        self.ordered = np.sort(self.points)

    def reach(self, k: int) -> Points:
        """(N,) distance to the k-th other point."""
        many = len(self.ordered)
        padded = np.concatenate([np.full(k, -np.inf), self.ordered, np.full(k, np.inf)])
        # Of the k + 1 windows of k + 1 sorted points around a point, that which ends nearest.
        ends = [
            np.maximum(
                self.ordered - padded[k - left : k - left + many],
                padded[2 * k - left : 2 * k - left + many] - self.ordered,
            )
            for left in range(k + 1)
        ]
        found = np.empty(many)
        found[np.argsort(self.points, kind="stable")] = np.minimum.reduce(ends)
        return found

    def within(self, centres: Points, radius: Points) -> NDArray[np.int64]:
        """How many points are not further from each centre (M, 1) than its radius (M,)."""
        # Centre plus radius may miss the point that the radius was measured to by a last bit.
        middle = centres[:, 0]
        far = radius + 2 * np.spacing(np.maximum(np.abs(middle), radius))
        low, high = middle - far, middle + far
        found = np.searchsorted(self.ordered, high, "right")
        return np.asarray(found - np.searchsorted(self.ordered, low, "left"), np.int64)


class _Space:
    """The same of several columns, in the maximum norm."""

    def __init__(self, points: Points) -> None:
        # SciPy's tree goes to every point that it counts, and half of all may wait for one floor.
        from sklearn.neighbors import KDTree

        self.points = points
        self.tree = KDTree(points, metric="chebyshev")

    def reach(self, k: int) -> Points:
        # The nearest neighbour of a point is itself.
        return np.asarray(self.tree.query(self.points, k + 1)[0][:, k], np.float64)

    def within(self, centres: Points, radius: Points) -> NDArray[np.int64]:
        return np.asarray(self.tree.query_radius(centres, radius, count_only=True), np.int64)


def local_information(points: Points, labels: Labels, k: int = NEIGHBOURS) -> Points:
    """What each point contributes, (N,) nats; their mean is the estimate.

    points: (N, D), distances are those of the maximum norm. labels: (N,); a class with one point
    contributes nothing, as in ``mutual_info_classif``.
    """
    from scipy.special import digamma

    counts = np.bincount(labels)
    several = counts[labels] > 1
    points, classes = points[several], labels[several]
    found = np.zeros(len(labels))
    if not len(points):
        return found
    kind = _Line if points.shape[1] == 1 else _Space
    radius, near = np.zeros(len(points)), np.zeros(len(points))
    for label in np.unique(classes):
        own = np.flatnonzero(classes == label)
        inner = kind(points[own])
        radius[own] = inner.reach(min(k, len(own) - 1))
        near[own] = inner.within(points[own], radius[own]) - 1
    around = kind(points).within(points, radius) - 1
    size = counts[classes]
    found[several] = digamma(len(points)) - digamma(size) + digamma(near) - digamma(around)
    return found


def scaled(observed: Points) -> Points:
    """(N, D) columns of a deviation between 0.7 and 1.5, those without any left out.

    By powers of two: whole numbers that are equally far apart stay so, to the last bit.
    """
    varying = observed[:, np.ptp(observed, axis=0) > 0].astype(np.float64)
    return np.ldexp(varying, -np.rint(np.log2(varying.std(0))).astype(np.int64))


def information(
    observed: Points, labels: Labels, random: np.random.Generator, permutations: int = 20
) -> Information:
    """Between ``observed`` (N, D) and the class ``labels`` (N,).

    The bias is that of the same estimator on the same numbers with labels permuted, I₀, and is
    taken off as in the adjusted mutual information of Vinh, Epps and Bailey (JMLR 2010),
    H · (I − I₀) / (H − I₀): 0 stays 0 and H stays H. The interval is ± 1.96 standard errors: that
    of the local contributions' mean, and, since neighbours share points, the spread over the
    permutations, as if the two were independent. A constant tells nothing: exactly 0.
    """
    most = entropy(labels)
    points = scaled(observed)
    if not points.shape[1] or most == 0:
        return Information(0.0, (0.0, 0.0), 0.0, most)
    local = local_information(points, labels) / math.log(2)
    null = np.array(
        [
            local_information(points, random.permutation(labels)).mean() / math.log(2)
            for _ in range(permutations)
        ]
    )
    baseline = float(null.mean())
    stretch = most / (most - baseline)
    value = (min(float(local.mean()), most) - baseline) * stretch
    error = math.hypot(float(local.std(ddof=1)) / math.sqrt(len(local)), float(null.std(ddof=1)))
    half = _Z95 * error * stretch
    low, middle, high = (min(max(one, 0.0), most) for one in (value - half, value, value + half))
    return Information(middle, (low, high), baseline, most)
