"""Who sees the time of an inference: every layer's, only the whole, or the whole through noise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from hwsim.cost.padding import Cycles
from hwsim.errors import InputError

#: What is seen at all.
Observed = Literal["both", "layers", "total"]


@dataclass(frozen=True)
class Observer:
    """sees: cycles of every layer, or of the whole. noise: standard deviation in cycles of the
    Gaussian noise on it, drawn once an image.
    """

    sees: Literal["layers", "total"]
    noise: float = 0.0

    @property
    def name(self) -> str:
        """layers; total; total, σ 100."""
        return f"{self.sees}, σ {self.noise:g}" if self.noise else self.sees

    def observe(
        self, layers: Cycles, total: Cycles, random: np.random.Generator
    ) -> NDArray[np.float64]:
        """(N, columns) of cycles by layer (N, layers) and together (N,).

        What never varies stays constant: noise on a constant tells nothing, and no sample should
        make anybody believe that it does.
        """
        seen = layers.astype(np.float64) if self.sees == "layers" else total[:, None] * 1.0
        drawn = random.normal(0.0, self.noise, seen.shape) if self.noise else 0.0
        return np.where(np.ptp(seen, axis=0) > 0, seen + drawn, seen)


def observers(observed: Observed, noises: Sequence[float]) -> tuple[Observer, ...]:
    """The observers of a study; noises: deviations in cycles, on the whole only; 0 adds nobody.

    Raises InputError for an unknown ``observed`` and for noise that is negative or no number.
    """
    if observed not in get_args(Observed):
        raise InputError(f"observe must be one of {', '.join(get_args(Observed))}, got {observed}")
    if wrong := [noise for noise in noises if not 0 <= noise < np.inf]:
        raise InputError(f"noise must be a number of cycles, at least 0, got {wrong[0]:g}")
    found = [Observer("layers")] if observed != "total" else []
    if observed != "layers":
        distinct = sorted({float(noise) for noise in noises if noise})
        found += [Observer("total"), *(Observer("total", noise) for noise in distinct)]
    return tuple(found)
