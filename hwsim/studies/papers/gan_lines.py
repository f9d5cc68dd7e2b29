"""What the rows of the study ``gan`` say: one training with all its seeds."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hwsim.attacks.evaluate.rates import Rate
from hwsim.studies.grid.attack_rows import unpack
from hwsim.studies.grid.gan_rows import METHODS
from hwsim.studies.grid.outcomes import Flags

#: Of an image.
VALUES = 784


@dataclass(frozen=True)
class GanLine:
    """One training, all its seeds, a row for each."""

    name: str
    seeds: Sequence[int]
    rows: Sequence[Mapping[str, Any]]

    def accuracy(self, machine: str) -> list[float]:
        """Share of the tested images, seed by seed."""
        return [row[machine]["right"] / row["tested"] for row in self.rows]

    def success(self, machine: str, method: str) -> list[Rate]:
        """Targets reached, of the images that the machine has right, seed by seed."""
        found = []
        for row in self.rows:
            correct, reached = _flags(row, machine, method)
            found.append(Rate(int((reached & correct).sum()), int(correct.sum())))
        return found

    def adaptive(self, machine: str) -> list[Rate]:
        """The same of any of the methods."""
        found = []
        for row in self.rows:
            pairs = [_flags(row, machine, method) for method in METHODS]
            any_ = np.any([reached for _, reached in pairs], axis=0)
            correct = pairs[0][0]
            found.append(Rate(int((any_ & correct).sum()), int(correct.sum())))
        return found

    def changed(self, machine: str, method: str) -> list[float]:
        """Mean share of values changed by the successes that count; NaN where there is none."""
        found = []
        for row in self.rows:
            correct, reached = _flags(row, machine, method)
            counts = np.asarray(row[machine]["methods"][method]["changed"], np.float64)
            some = counts[reached & correct]
            found.append(float(some.mean()) / VALUES if len(some) else math.nan)
        return found


def _flags(row: Mapping[str, Any], machine: str, method: str) -> tuple[Flags, Flags]:
    """(correct, reached) of the attacked images."""
    one, count = row[machine], row["attacked"]
    return unpack(one["correct"], count), unpack(one["methods"][method]["reached"], count)
