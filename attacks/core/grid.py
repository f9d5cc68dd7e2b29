"""Where adversarial inputs may lie: the pixel grid of the engine, or the whole of [0, 1].

A perturbation that the pixel bus cannot carry does not count, so float and fixed-point models
are attacked on the same grid and differ by the datapath alone. Inputs that are no pixels have
codes of another range (CodeGrid); attacks themselves always look in [0, 1].
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import TypeVar

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

_Unit = TypeVar("_Unit", bound="UnitBox")


def _checked(epsilon: float) -> float:
    epsilon = as_number(epsilon, "epsilon")
    if not 0.0 <= epsilon <= 1.0:  # NaN too
        raise AttackError(f"epsilon must lie between 0 and 1, got {epsilon}")
    return epsilon


class UnitBox:
    """What the spaces in [0, 1] share: they are the box that attacks look in."""

    #: The least and the largest value, and what lies between them.
    bounds = (0.0, 1.0)
    span = 1.0

    @property
    def unit(self: _Unit) -> _Unit:
        """This space."""
        return self

    def clip(self, x: Tensor) -> Tensor:
        """The nearest values within ``bounds``."""
        return x.clamp(0.0, 1.0)

    def takes(self, low: float, high: float) -> bool:
        """Whether values from ``low`` to ``high`` are inputs; NaN is none."""
        return low >= 0.0 and high <= 1.0


@dataclass(frozen=True)
class Grid(UnitBox):
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
class Continuous(UnitBox):
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


#: Off a code's value by more than this share of half a step is too near to the next one.
_INNER = 1.0 - 2.0**-6


@dataclass(frozen=True)
class CodeGrid:
    """The values that a program's input codes stand for: (k − zero)·scale, k = 0 … levels.

    For inputs that are no pixels: features of any range, images that were normalized before. ε, α
    and distances are in units of the input. Attacks look for it in the unit box, where code k
    stands at k/levels (``to_unit``, ``from_unit``): so they do with a network what they do with
    the same network on pixels.

    levels: 2^A − 1. scale: what a step is worth, exactly. zero: the code of 0, 0 … levels.
    """

    levels: int
    scale: Fraction
    zero: int = 0

    def __post_init__(self) -> None:
        if not self.scale > 0:
            raise AttackError(f"a step of the input must be above 0, got {self.scale}")
        if not 0 <= self.zero <= self.levels:
            raise AttackError(f"the code of 0 must lie in 0 … {self.levels}, got {self.zero}")
        _ = self.unit  # refuses levels

    @cached_property
    def unit(self) -> Grid:
        """The same codes, as pixels."""
        return Grid(self.levels)

    @property
    def bounds(self) -> tuple[float, float]:
        """The least and the largest value."""
        return float(-self.zero * self.scale), float((self.levels - self.zero) * self.scale)

    @property
    def span(self) -> float:
        """What lies between ``bounds``."""
        return float(self.levels * self.scale)

    def takes(self, low: float, high: float) -> bool:
        """Whether values from ``low`` to ``high`` are within half a step of ``bounds``."""
        reach = 0.50001 * float(self.scale)
        return low >= self.bounds[0] - reach and high <= self.bounds[1] + reach

    def clip(self, x: Tensor) -> Tensor:
        """The nearest values within ``bounds``."""
        low, high = self.value(torch.tensor([0, self.levels])).tolist()
        return x.clamp(low, high)

    def value(self, level: Tensor) -> Tensor:
        """What codes are worth, float32; also beyond 0 … levels."""
        return ((level.double() - self.zero) * float(self.scale)).float()

    def lsb(self, x: Tensor) -> Tensor:
        """⌊x/scale + 1/2⌋ + zero, saturated to 0 … levels, as int32: exactly, as the engine does.

        float64 names the code except next to a tie, which fractions settle.
        """
        raised = x.double() / float(self.scale) + 0.5
        level = raised.floor()
        near = (raised - raised.round()).abs() <= 2.0**-40 * (raised.abs() + 1.0)
        if bool(near.any()):
            values, place = x[near].unique(return_inverse=True)
            exact = [math.floor(Fraction(v) / self.scale + Fraction(1, 2)) for v in values.tolist()]
            level[near] = torch.tensor(exact, dtype=torch.float64)[place]
        return (level + self.zero).clamp(0, self.levels).to(torch.int32)

    def snap(self, x: Tensor) -> Tensor:
        """The value of the code that x gets."""
        return self.value(self.lsb(x))

    def step(self, epsilon: float) -> int:
        """⌊ε/scale⌋ codes, as ``Grid.step`` rounds; AttackError outside 0 … span or below one."""
        epsilon, (low, high) = as_number(epsilon, "epsilon"), self.bounds
        if not 0.0 <= epsilon <= self.span * (1.0 + 1e-6):  # NaN too
            raise AttackError(
                f"epsilon must lie between 0 and {self.span:g}, the width of the input's range "
                f"[{low:g}, {high:g}], got {epsilon:g}"
            )
        steps = math.floor(Fraction(epsilon) / self.scale + Fraction(LSB_TOLERANCE))
        steps = min(steps, self.levels)
        if steps < self.levels and np.float32(float((steps + 1) * self.scale)) == epsilon:
            steps += 1
        if steps < 1:
            raise AttackError(
                f"epsilon {epsilon:g} is below one step of the input grid, {float(self.scale):.4g} "
                f"in [{low:g}, {high:g}]: epsilon is in units of the input, raise it or the width"
            )
        return steps

    def effective(self, epsilon: float) -> float:
        """step(ε)·scale, the ε that is really applied."""
        return float(self.step(epsilon) * self.scale)

    def move(self, x: Tensor, sign: Tensor, epsilon: float) -> Tensor:
        """x, sign·step(ε) codes on, as float32; can leave ``bounds``."""
        return self.value(self.lsb(x) + sign.to(torch.int32) * self.step(epsilon))

    def to_unit(self, x: Tensor) -> Tensor:
        """Where the codes of x stand in the unit box: k/levels, float32."""
        return self.lsb(x).to(torch.float32) / self.levels

    def from_unit(self, u: Tensor) -> Tensor:
        """What points of the unit box, also beyond it and between codes, stand for; float32.

        Rounding never moves a point over to another code: k/levels becomes the value of k, and
        what is off it by r becomes off by a hair less. Not differentiable, see units.py.
        """
        level = self.unit.lsb(u)
        rest = (u.double() * self.levels - level) * _INNER
        rest = torch.where(u == level.to(torch.float32) / self.levels, 0.0, rest)
        return ((level.double() + rest - self.zero) * float(self.scale)).float()


#: Every space can snap(x) to its nearest image, tell the effective(ε), and move(x, sign, ε).
Space = Grid | Continuous | CodeGrid
