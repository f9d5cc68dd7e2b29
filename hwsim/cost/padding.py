"""SKIP_PAD: a floor under the cycles of a skipping engine, so that its time tells less.

A layer, or the whole inference, that is ready before its floor waits for it; one that takes longer
is not stopped. With the worst case for a floor nothing is left to see; a quantile of calibration
images costs less and shows the images above it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from hwsim.errors import InputError

Cycles = NDArray[np.int64]
#: What waits: every layer for a floor of its own, or the answer for the floor of the whole.
Scope = Literal["layers", "total"]


@dataclass(frozen=True)
class Padding:
    """A choice of floors.

    quantile: share of the calibration images that are not above the floor, 0 … 1; None: no floor
    unless ``worst``. worst: the static bound over all inputs. scope: see ``Scope``.
    """

    quantile: float | None = None
    worst: bool = False
    scope: Scope = "layers"

    def __post_init__(self) -> None:
        if self.scope not in get_args(Scope):
            raise InputError(f"padding must be of layers or total, got {self.scope!r}")
        if self.quantile is not None and (self.worst or not 0 <= self.quantile <= 1):
            raise InputError(f"a quantile lies in 0 … 1, got {self.quantile}")

    @classmethod
    def of(cls, text: str, scope: Scope = "layers") -> Padding:
        """``none``, ``worst`` or ``q95``. Raises InputError for anything else."""
        if text in ("none", "worst"):
            return cls(worst=text == "worst", scope=scope)
        found = re.fullmatch(r"q(\d{1,3}(?:\.\d{1,6})?)", text, re.ASCII)
        if found is None or float(found[1]) > 100:
            raise InputError(f"unknown pad {text!r}: choose none, worst, or q0 … q100 as in q95")
        return cls(float(found[1]) / 100, scope=scope)

    @property
    def name(self) -> str:
        """What ``of`` reads."""
        if self.quantile is None:
            return "worst" if self.worst else "none"
        return f"q{round(100 * self.quantile, 6):g}"

    def floors(self, calibration: Cycles, worst: Cycles) -> Cycles:
        """The floor of every layer, (layers,), or of the whole, (1,); zeros without one.

        calibration: (M, layers) cycles of other images than those that are padded. worst: (layers,)
        bounds. The quantile is an observed number of cycles: the smallest that at least this share
        of the images does not exceed. Raises InputError for a quantile of no images.
        """
        seen, bound = calibration, worst
        if self.scope == "total":
            seen, bound = calibration.sum(1, keepdims=True), worst.sum(keepdims=True)
        if self.worst:
            return bound.astype(np.int64)
        if self.quantile is None:
            return np.zeros(len(bound), np.int64)
        if not len(seen):
            raise InputError(
                f"pad {self.name}: a quantile needs calibration images, there are none"
            )
        found: Cycles = np.quantile(seen, self.quantile, axis=0, method="inverted_cdf")
        return found.astype(np.int64)

    def apply(self, cycles: Cycles, floors: Cycles) -> tuple[Cycles, Cycles]:
        """What an observer of layers, (N, layers), and one of the whole, (N,), then see.

        cycles: (N, layers), unpadded. A floor of the whole hides nothing from who sees layers.
        """
        if self.scope == "total":
            return cycles, np.maximum(cycles.sum(1), floors)
        padded = np.maximum(cycles, floors)
        return padded, padded.sum(1)
