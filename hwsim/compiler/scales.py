"""What codes stand for: scale and zero point of every coding, steps for the rows of weights."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import torch
from torch import Tensor

from hwsim.compiler.operations import F64
from hwsim.compiler.stages import Coding, Samples
from hwsim.numbers.config import EngineConfig
from hwsim.numbers.fixedpoint import activation_frac, quantize, round_half_up

#: Values that the search for a zero point looks at: it tries tens of grids.
MAX_LOOKED_AT = 50_000
#: Weights whose rounding is tried at once, which bounds memory.
ROW_WEIGHTS = 1 << 22
#: Largest words that are tried for the largest weight of a row, in shares of what fits: what is
#: beyond saturates. The fewer bits, the more that pays.
_SHARES = (1.0, 0.95, 0.9, 0.85, 0.8, 0.75, 0.7, 0.65, 0.6, 0.5, 0.4, 0.3)


@dataclass(frozen=True)
class ExactNumbers:
    """A code a stands for (a − zero) · scale."""

    scale: Fraction
    zero: int

    def code(self, value: float, act_max: int) -> int:
        """The nearest code of a value, which may be infinite."""
        if math.isinf(value):
            return act_max if value > 0 else 0
        exact = Fraction(value) / self.scale + Fraction(1, 2)
        return min(max(self.zero + math.floor(exact), 0), act_max)


def image_numbers(images: Tensor, config: EngineConfig) -> ExactNumbers:
    """The codes of the input: pixels in [0, 1], or the range of the calibration data, with 0 in it.

    images: float32, finite.
    """
    low, high = float(images.min()), float(images.max())
    if low >= 0 and high <= 1:
        return ExactNumbers(Fraction(1, config.act_max), 0)
    low, high = min(low, 0.0), max(high, 0.0)
    scale = (Fraction(high) - Fraction(low)) / config.act_max
    zero = math.floor(Fraction(-low) / scale + Fraction(1, 2))
    return ExactNumbers(scale, zero)


def chosen(coding: Coding, config: EngineConfig) -> ExactNumbers:
    """The numbers of a coding with the least squared error over what is read from it.

    Without negative values these are a binary point and no zero point. What only tables read is
    judged by what they make of it.
    """
    samples = coding.samples[0] if len(coding.samples) == 1 else _all(coding.samples)
    through = coding.readers[0] if len(set(map(id, coding.readers))) == 1 else None
    if coding.low >= 0 and through is None:
        return _at(activation_frac(samples, config.act_w), 0)
    return _signed(samples, config.act_max, coding.low >= 0, through)


def _all(samples: Sequence[Samples]) -> Samples:
    return np.concatenate([np.zeros(0, np.float32), *samples])


def _at(frac: int, zero: int) -> ExactNumbers:
    return ExactNumbers(Fraction(2) ** -frac, zero)


def _signed(
    samples: Samples, top: int, positive: bool, through: Callable[[Tensor], Tensor] | None
) -> ExactNumbers:
    """The binary point and zero point with the least error, coarse to fine."""
    values = samples[:: max(1, samples.size // MAX_LOOKED_AT)].astype(np.float64)
    low, high = min(float(values.min(initial=0.0)), 0.0), max(float(values.max(initial=0.0)), 0.0)
    if low == high:
        return _at(top.bit_length(), 0 if positive else (top + 1) // 2)
    coarse = math.floor(math.log2(top / (high - low)))
    wanted = _through(through, values)
    best, least, worse = _at(coarse, 0), math.inf, 0
    for frac in range(coarse, coarse + 8 + top.bit_length()):
        found = min(
            ((_error(values, wanted, frac, zero, top, through), zero)
             for zero in _zeros(low, high, frac, top, positive)),
        )  # fmt: skip
        if found[0] < least:
            best, least, worse = _at(frac, found[1]), found[0], 0
        else:
            worse += 1
        if worse == 3 or least == 0:
            break
    return best


def _zeros(low: float, high: float, frac: int, top: int, positive: bool) -> set[int]:
    """Zero points worth a try: either end kept whole, both cut alike, and the middle."""
    if positive:
        return {0}
    up, down = round(math.ldexp(-low, frac)), round(math.ldexp(high, frac))
    found = {up, top - down, (up + top - down) // 2, (top + 1) // 2}
    return {min(max(zero, 0), top) for zero in found}


def _error(
    values: F64, wanted: F64, frac: int, zero: int, top: int,
    through: Callable[[Tensor], Tensor] | None,
) -> float:  # fmt: skip
    codes = np.clip(round_half_up(np.ldexp(values, frac)) + zero, 0, top)
    back = np.ldexp((codes - zero).astype(np.float64), -frac)
    return float(((_through(through, back) - wanted) ** 2).sum())


def _through(function: Callable[[Tensor], Tensor] | None, values: F64) -> F64:
    if function is None:
        return values
    return function(torch.from_numpy(values.astype(np.float32))).double().numpy()


def row_steps(matrix: F64, limit: int) -> F64:
    """Steps of words up to ``limit`` for the rows of (n_out, fan_in) weights: float64 (n_out,).

    Each the best of several by squared error. They scale with their row, so rows that differ by
    any factor get the same words. A row of zeros has 1.
    """
    peaks = np.abs(matrix).max(1, initial=0.0)
    peaks = np.where(peaks > 0, peaks, float(limit))
    best, least = peaks / limit, np.full(len(matrix), np.inf)
    rows = max(1, ROW_WEIGHTS // max(1, matrix.shape[1]))
    for first in range(0, len(matrix), rows):
        part = slice(first, first + rows)
        for share in _SHARES:
            # In units of the row's own peak, so that its size cannot matter.
            step = share / limit
            units = matrix[part] / peaks[part, None]
            words = quantize(units / step, 0, limit)
            error = ((words * step - units) ** 2).sum(1)
            better = error < least[part] * (1 - 1e-9)
            least[part] = np.where(better, error, least[part])
            best[part] = np.where(better, peaks[part] * step, best[part])
    return best
