"""What designs are compared by, and when one is better than another: where it can be told.

A value has an interval: of a count nothing but itself; of a share of images Wilson's 95% interval;
of an interpolated number of LUTs what the interpolation was off by where it could be tried, of an
extrapolated one no ends; of flips the range over three batches or more, without an end where a
search did not get there. Two designs are apart on an axis where their intervals are; equal where
they have the same value without an interval, or share the row that it is from; and else not
distinguishable, as are two that were measured on other terms.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from hwsim.attacks.evaluate.rates import Rate
from hwsim.studies.judge.claims import ENOUGH

Standing = Literal["better", "worse", "equal", "open"]


@dataclass(frozen=True)
class DesignGoal:
    """An axis of the comparison. head: of its column; unit: of its values as they are recorded."""

    name: str
    head: str
    unit: str
    lowest: bool


GOALS = {
    goal.name: goal
    for goal in (
        DesignGoal("cycles", "cycles", "of the mean image", True),
        DesignGoal("energy", "energy", "nJ an image", True),
        DesignGoal("memory", "memory", "bits on chip of weights and index", True),
        DesignGoal("luts", "LUTs", "LUT4s of an ECP5", True),
        DesignGoal("accuracy", "accuracy", "share of test images", False),
        DesignGoal("pgd", "PGD", "success, share of correct images", True),
        DesignGoal("flips", "flips", "bits until at most half are right", False),
    )
}


@dataclass(frozen=True)
class Measured:
    """A value on one axis with its interval. source: which row it is from, where designs share it.

    estimated: it was interpolated. terms: on which it was measured; of others nothing can be told.
    """

    value: float
    low: float
    high: float
    source: Any = None
    estimated: bool = False
    terms: Any = None

    @classmethod
    def exact(cls, value: float) -> Measured:
        """Counted, not sampled."""
        return cls(value, value, value)

    @classmethod
    def rate(cls, rate: Rate, source: Any, terms: Any = None) -> Measured:
        """A share of images."""
        return cls(rate.value, *rate.interval, source, terms=terms)

    @classmethod
    def batches(cls, counts: Sequence[int], reached: Sequence[bool], source: Any) -> Measured:
        """Counts of searches; one that did not get there needs more than it counts.

        Fewer than ENOUGH of them lie beyond others by chance too often: they have no ends at all.
        """
        ends = [count if done else math.inf for count, done in zip(counts, reached, strict=True)]
        low, high = float(min(counts)), max(ends)
        if len(counts) < ENOUGH:
            low, high = -math.inf, math.inf
        return cls(sum(counts) / len(counts), low, high, source)

    def against(self, other: Measured, lowest: bool) -> Standing:
        """How this stands beside another one on an axis that is to be low, or high."""
        if self.source is not None and self.source == other.source:
            return "equal"
        if self.terms != other.terms:
            return "open"
        if self.high < other.low:
            return "better" if lowest else "worse"
        if self.low > other.high:
            return "worse" if lowest else "better"
        exact = self.low == self.high == other.low == other.high
        return "equal" if exact else "open"


#: The values of a design by the names of the axes.
Profile = Mapping[str, Measured]


def standings(one: Profile, other: Profile, goals: Sequence[DesignGoal]) -> dict[str, Standing]:
    """How ``one`` stands beside ``other``, axis by axis."""
    return {g.name: one[g.name].against(other[g.name], g.lowest) for g in goals}


def beats(found: Mapping[str, Standing]) -> bool:
    """Better on every axis, and that can be told."""
    return all(state == "better" for state in found.values())


def no_worse(found: Mapping[str, Standing]) -> bool:
    """Better on at least one axis, and on none worse as far as that can be told."""
    return "better" in found.values() and "worse" not in found.values()


def matrix(profiles: Sequence[Profile], goals: Sequence[DesignGoal]) -> NDArray[np.float64]:
    """(designs, axes) values, all to be low."""
    signs = [1.0 if goal.lowest else -1.0 for goal in goals]
    rows = [
        [sign * one[g.name].value for g, sign in zip(goals, signs, strict=True)] for one in profiles
    ]
    return np.array(rows, np.float64).reshape(len(profiles), len(goals))


def front(values: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which rows of (N, axes), all to be low, no other row dominates: bool (N,).

    A row dominates another that it exceeds nowhere and undercuts somewhere; so equal rows do not
    dominate each other, and stay or go together. By values alone, without their intervals.
    """
    unique, inverse = np.unique(values, axis=0, return_inverse=True)
    kept = np.ones(len(unique), np.bool_)
    for number, row in enumerate(unique):
        # Sorted by the first axis, then the next: nothing behind a row dominates it.
        before = unique[:number][kept[:number]]
        kept[number] = not bool((before <= row).all(1).any())
    found: NDArray[np.bool_] = kept[inverse.reshape(-1)]
    return found
