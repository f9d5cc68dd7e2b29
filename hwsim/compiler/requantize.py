"""The constants of requantization: (m, s, b) with (x · m + b) >> s next to what is wanted."""

from __future__ import annotations

import math
from fractions import Fraction

from hwsim.numbers.config import EngineConfig
from hwsim.numbers.fixedpoint import Real, multiplier_and_shift, nearest


def rounded(value: Real, step: Fraction, frac: int = 0) -> int:
    """value / step · 2^frac rounded half up, exact for every finite value and of any size."""
    return math.floor(Fraction(value) / step * Fraction(2) ** frac + Fraction(1, 2))


def multiplier_bits(config: EngineConfig) -> int:
    """Bits of a multiplier that rounds once: ``twice-away`` takes the largest ones for itself."""
    return config.mult_w - (config.requantization != "up")


def requantize(
    ratio: Real,
    offset: Real,
    step: Fraction,
    reach: int,
    config: EngineConfig,
    *,
    zero_sum: int = 0,
    zero: int = 0,
) -> tuple[int, int, int] | None:
    """(m, s, b): (acc · m + b) >> s rounds (acc − zero_sum) · ratio + offset / step + zero.

    reach: largest |acc|. Takes the largest shift, hence the finest multiplier, at which nothing
    can overflow; None if there is none.
    """
    width = config.acc_w + config.mult_w
    most = width - 1
    while most >= 0:
        found = multiplier_and_shift(ratio, multiplier_bits(config), most)
        if found is None:
            return None
        m, s = found
        b = rounded(offset, step, s) + (zero << s) - zero_sum * m + ((1 << (s - 1)) if s else 0)
        if reach * abs(m) + abs(b) < 1 << (width - 1):
            return m, s, b
        most = s - 1
    return None


def requantize_sum(
    ratios: tuple[Real, Real],
    offset: Real,
    step: Fraction,
    zeros: tuple[int, int, int],
    config: EngineConfig,
) -> tuple[tuple[int, int], int, int] | None:
    """(m₁, m₂), s, b: (a₁·m₁ + a₂·m₂ + b) >> s rounds the sum of (a − z) · ratio, and offset.

    zeros: of both sources and of the target. None if nothing fits.
    """
    width, limit = config.acc_w + config.mult_w, (1 << (multiplier_bits(config) - 1)) - 1
    for s in range(width - 1, -1, -1):
        one, two = (nearest(ratio, s) for ratio in ratios)
        if max(abs(one), abs(two)) > limit:
            continue
        b = rounded(offset, step, s) - zeros[0] * one - zeros[1] * two + (zeros[2] << s)
        b += (1 << (s - 1)) if s else 0
        if config.act_max * (abs(one) + abs(two)) + abs(b) < 1 << (width - 1):
            return (one, two), s, b
    return None
