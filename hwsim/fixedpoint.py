"""Number formats of the datapath: quantize, round, saturate, and requantization constants.

Rounding is half up, floor(x + 1/2), everywhere: it is what an adder and a shift do.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray


def round_half_up(x: ArrayLike) -> NDArray[np.int64]:
    """floor(x + 1/2) as int64."""
    return np.floor(np.asarray(x, np.float64) + 0.5).astype(np.int64)


def quantize(x: ArrayLike, frac: int, limit: int) -> NDArray[np.int64]:
    """Round x · 2^frac half up and saturate to the symmetric range ±limit."""
    scaled = np.ldexp(np.asarray(x, np.float64), frac)
    return np.clip(np.floor(scaled + 0.5), -limit, limit).astype(np.int64)


def weight_frac(values: NDArray[np.floating], counts: NDArray[np.integer], limit: int) -> int:
    """Binary point fw of a layer: the one with the least squared error over the *virtual* weights.

    values: real weights; counts: how many virtual weights read each. Starts from the largest fw
    at which nothing saturates and tries up to 3 finer ones, which trade clipping for resolution.
    """
    used = values[counts > 0].astype(np.float64)
    weight = counts[counts > 0].astype(np.float64)
    peak = float(np.abs(used).max(initial=0.0))
    if peak == 0.0:
        return 0
    safe = math.floor(math.log2(limit / peak))
    best, best_error = safe, math.inf
    for frac in range(safe, safe + 4):
        back = np.ldexp(quantize(used, frac, limit).astype(np.float64), -frac)
        error = float((weight * (back - used) ** 2).sum())
        if error < best_error:
            best, best_error = frac, error
    return best


def activation_frac(samples: NDArray[np.floating], act_w: int) -> int:
    """Binary point fa of a feature map: least squared error over calibration values >= 0."""
    peak = float(samples.max(initial=0.0))
    if peak <= 0.0:
        return act_w
    limit = (1 << act_w) - 1
    safe = math.floor(math.log2(limit / peak))
    wide = samples.astype(np.float64)
    best, best_error = safe, math.inf
    for frac in range(safe, safe + 4):
        back = np.ldexp(np.clip(np.floor(np.ldexp(wide, frac) + 0.5), 0, limit), -frac)
        error = float(((back - wide) ** 2).sum())
        if error < best_error:
            best, best_error = frac, error
    return best


def multiplier_and_shift(ratio: float, mult_w: int, shift_max: int) -> tuple[int, int] | None:
    """(m, s) with m · 2^-s ≈ ratio, |m| < 2^(mult_w−1), 0 <= s <= shift_max, s as large as fits.

    Returns None if |ratio| is too large to represent even with s = 0.
    """
    limit = (1 << (mult_w - 1)) - 1
    if ratio == 0.0:
        return 0, 0
    shift = min(shift_max, math.floor(math.log2(limit / abs(ratio))))
    # The logarithm can be one ulp off at powers of two; the test below is exact.
    for s in range(min(shift + 1, shift_max), max(shift - 2, -1), -1):
        m = math.floor(math.ldexp(ratio, s) + 0.5)
        if abs(m) <= limit:
            return m, s
    return None
