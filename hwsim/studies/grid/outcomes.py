"""What attacks did, image by image, and the shares that are made of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from hwsim.attacks.evaluate.rates import Rate
from hwsim.studies.grid.attack_rows import unpack
from hwsim.studies.runner.task import Row

Flags = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Outcome:
    """One attack on N images at E budgets, rising.

    correct: (N,) clean answers that are the label. reached: (E, N) the goal was reached; where the
    machine is right, an untargeted goal is the same for its own answer and for the label. zero:
    (N,) never a nonzero gradient. l2: (E,) sums over the correct images that reached it; l2_all:
    over all images. backward: passes an image, all budgets together.
    """

    correct: Flags
    reached: Flags
    zero: Flags
    l2: NDArray[np.float64]
    l2_all: NDArray[np.float64]
    backward: float

    @classmethod
    def of(cls, rows: Sequence[Row]) -> Outcome:
        """From the rows of all parts of the images, in order."""
        sizes = [row["images"] for row in rows]
        pairs = list(zip(rows, sizes, strict=True))
        budgets = len(rows[0]["reached"])
        passes = sum(row["passes"][k][1] for row in rows for k in range(budgets))
        return cls(
            correct=np.concatenate([unpack(row["correct"], n) for row, n in pairs]),
            reached=np.stack(
                [
                    np.concatenate([unpack(row["reached"][k], n) for row, n in pairs])
                    for k in range(budgets)
                ]
            ),
            zero=np.concatenate([unpack(row["zero"], n) for row, n in pairs]),
            l2=np.sum([row["l2"] for row in rows], axis=0),
            l2_all=np.sum([row["l2_all"] for row in rows], axis=0),
            backward=passes / sum(sizes),
        )

    def spread(self, places: Sequence[int], budgets: int) -> Outcome:
        """The same with ``budgets`` budgets, its own at ``places``, nothing found at the others."""
        if len(places) == budgets:
            return self
        reached = np.zeros((budgets, self.images), np.bool_)
        l2, l2_all = np.zeros(budgets), np.zeros(budgets)
        reached[list(places)], l2[list(places)] = self.reached, self.l2
        l2_all[list(places)] = self.l2_all
        return replace(self, reached=reached, l2=l2, l2_all=l2_all)

    @property
    def images(self) -> int:
        return len(self.correct)

    @property
    def clean(self) -> Rate:
        return Rate(int(self.correct.sum()), self.images)

    def single(self, at: int) -> Rate:
        """Success at one budget, on the images that the machine gets right."""
        hits = self.reached[at] & self.correct
        return Rate(int(hits.sum()), int(self.correct.sum()))

    def escalated(self, at: int) -> Rate:
        """Algorithm 1 of Liu et al. 2018 up to a budget: any answer changed, of all images."""
        return Rate(int(self.reached[: at + 1].any(0).sum()), self.images)

    def mean_l2(self, at: int) -> float | None:
        """Mean L2 distance over the successes that ``single`` counts."""
        hits = int((self.reached[at] & self.correct).sum())
        return float(self.l2[at]) / hits if hits else None

    @property
    def blind(self) -> float:
        """Share of images without any gradient."""
        return float(self.zero.mean())


def judged(rows: Sequence[Row], judge: int) -> tuple[Flags, Flags]:
    """(correct (N,), reached (E, N)) of images crafted elsewhere, on the rows' ``judge``-th."""
    parts = [(row["judged"][judge], row["images"]) for row in rows]
    correct = np.concatenate([unpack(part["correct"], n) for part, n in parts])
    budgets = len(parts[0][0]["reached"])
    reached = [
        np.concatenate([unpack(part["reached"][k], n) for part, n in parts]) for k in range(budgets)
    ]
    return correct, np.stack(reached)


def worst(outcomes: Sequence[Outcome], at: int) -> Rate:
    """Images fooled by any of the attacks within a budget: the adaptive attacker's success.

    An image found within a smaller budget lies within the larger one. On the correct images.
    """
    hits = np.any([one.reached[: at + 1].any(0) for one in outcomes], axis=0)
    correct = outcomes[0].correct
    return Rate(int((hits & correct).sum()), int(correct.sum()))
