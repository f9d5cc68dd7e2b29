"""Where adversarial inputs may lie: the pixel grid of the engine, or the whole of [0, 1].

A perturbation that the pixel bus cannot carry does not count, so float and fixed-point models
are attacked on the same grid and differ by the datapath alone.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import torch
from torch import Tensor

from hwsim.attacks.core.checks import as_number
from hwsim.attacks.core.errors import AttackError

#: An ε this close (in LSB) below a whole number of LSB counts as that number: float64 makes
#: 28.999999999999996 of 0.29 · 100, float32 3.99999988 of 4/31 · 31, and 29 and 4 are meant.
LSB_TOLERANCE = 1e-4

#: Splits a float64 into 26 upper and 27 lower bits (Veltkamp 1968).
_SPLITTER = float((1 << 27) + 1)


def _checked(epsilon: float) -> float:
    epsilon = as_number(epsilon, "epsilon")
    if not 0.0 <= epsilon <= 1.0:  # NaN too
        raise AttackError(f"epsilon must lie between 0 and 1, got {epsilon}")
    return epsilon


@dataclass(frozen=True)
class Grid:
    """The multiples of 1/levels in [0, 1]; levels = 2^A − 1 for A-bit pixels (255 for 8).

    Everything is done in whole LSBs (1 LSB = 1/levels) and divided once at the end, so results
    are the float32 numbers nearest to k/levels, and snapping them again gives the same k.
    """

    levels: int = 255

    def __post_init__(self) -> None:
        if not isinstance(self.levels, int) or not 1 <= self.levels <= 65535:
            raise AttackError(f"grid levels must be an integer in 1 … 65535, got {self.levels!r}")

    @classmethod
    def of_bits(cls, bits: int) -> Grid:
        """The grid of ``bits``-wide pixels."""
        return cls((1 << bits) - 1)

    def lsb(self, x: Tensor) -> Tensor:
        """⌊x·levels + 1/2⌋ as int32, exactly, for every float dtype and x in [0, 1].

        In float64 the products of narrower dtypes lose nothing. A float64 x is split in two whose
        products lose nothing either: the upper one names the level, the lower one may move it by
        one.
        """
        wide = x.double()
        if x.dtype != torch.float64:
            return torch.floor(wide * self.levels + 0.5).to(torch.int32)
        scaled = wide * _SPLITTER
        upper = scaled - (scaled - wide)
        product, rest = upper * self.levels, (wide - upper) * self.levels
        level = torch.floor(product + 0.5)
        above = product - (level - 0.5)  # in [0, 1), exact as all before
        level = level - (above < -rest).double() + (rest >= 1.0 - above).double()
        return level.to(torch.int32)

    def snap(self, x: Tensor) -> Tensor:
        """⌊x·levels + 1/2⌋ / levels as float32."""
        return self.lsb(x).to(torch.float32) / self.levels

    def step(self, epsilon: float) -> int:
        """⌊ε·levels⌋ LSB in exact arithmetic; AttackError outside 0 … 1 or below one LSB.

        An ε that is the float32 nearest to a whole number of LSB means that number, and so does
        one within LSB_TOLERANCE below it.
        """
        epsilon = _checked(epsilon)
        exact = Fraction(epsilon) * self.levels
        step = math.floor(exact + Fraction(LSB_TOLERANCE))
        if step < self.levels and float(np.float32((step + 1) / self.levels)) == float(epsilon):
            step += 1
        if step < 1:
            raise AttackError(
                f"epsilon {epsilon:g} is below one step of the input grid, "
                f"1/{self.levels} = {1 / self.levels:.4g}: raise epsilon or the pixel width"
            )
        return step

    def effective(self, epsilon: float) -> float:
        """step(ε) / levels, the ε that is really applied."""
        return self.step(epsilon) / self.levels

    def move(self, x: Tensor, sign: Tensor, epsilon: float) -> Tensor:
        """(lsb(x) + sign·step(ε)) / levels as float32; can leave [0, 1]."""
        moved = self.lsb(x) + sign.to(torch.int32) * self.step(epsilon)
        return moved.to(torch.float32) / self.levels


@dataclass(frozen=True)
class Continuous:
    """All of [0, 1] in float32: the textbook setting, for float models only."""

    def snap(self, x: Tensor) -> Tensor:
        """The image itself."""
        return x

    def effective(self, epsilon: float) -> float:
        """ε itself; AttackError unless 0 < ε <= 1."""
        epsilon = _checked(epsilon)
        if epsilon == 0.0:
            raise AttackError("epsilon 0 perturbs nothing: give a positive number")
        return float(epsilon)

    def move(self, x: Tensor, sign: Tensor, epsilon: float) -> Tensor:
        """x + ε·sign in float32; can leave [0, 1]."""
        return x + self.effective(epsilon) * sign.to(x.dtype)


#: Every space can snap(x) to its nearest image, tell the effective(ε), and move(x, sign, ε).
Space = Grid | Continuous
