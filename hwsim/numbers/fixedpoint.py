"""Number formats of the datapath: quantize, round, saturate, and requantization constants.

Rounding is half up, floor(x + 1/2), everywhere: it is what an adder and a shift do. It is exact
here too: x + 0.5 in floating point would round 0.49999999999999994 up.
"""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
from numpy.typing import ArrayLike, NDArray

#: A number to compute with exactly.
Real = float | Fraction


def _half_up(x: NDArray[np.float64]) -> NDArray[np.float64]:
    floor = np.floor(x)
    # Exact where it matters: x − floor(x) only rounds for tiny negative x, to 1.
    return floor + (x - floor >= 0.5)


def round_half_up(x: ArrayLike) -> NDArray[np.int64]:
    """floor(x + 1/2) as int64."""
    return _half_up(np.asarray(x, np.float64)).astype(np.int64)


def nearest(x: Real, frac: int) -> int:
    """x · 2^frac rounded half up, exact for every finite x and of any size."""
    return math.floor(Fraction(x) * Fraction(2) ** frac + Fraction(1, 2))


def wrapped(values: NDArray[np.int64], bits: int) -> NDArray[np.int64]:
    """The low ``bits`` <= 64 of each as two's complement: what a register of that width holds."""
    spare = np.int64(64 - bits)
    found: NDArray[np.int64] = (values << spare) >> spare
    return found


def quantize(x: ArrayLike, frac: int, limit: int) -> NDArray[np.int64]:
    """Round x · 2^frac half up and saturate to the symmetric range ±limit."""
    scaled = np.ldexp(np.asarray(x, np.float64), frac)
    return np.clip(_half_up(scaled), -limit, limit).astype(np.int64)


def weight_frac(values: NDArray[np.floating], counts: NDArray[np.integer], limit: int) -> int:
    """Binary point fw of a layer: the one with the least squared error over the *virtual* weights.

    values: real weights; counts: how many virtual weights read each; limit: 2^(bits−1) − 1.
    """
    used = counts > 0
    found = _least_error(values[used].astype(np.float64), counts[used].astype(np.float64), limit)
    return 0 if found is None else found


def activation_frac(samples: NDArray[np.floating], act_w: int) -> int:
    """Binary point fa of a feature map: least squared error over calibration values.

    Negative values count as the 0 that ReLU makes of them. A map without a positive one gets act_w.
    """
    positive = samples[samples > 0].astype(np.float64)
    found = _least_error(positive, np.ones_like(positive), (1 << act_w) - 1)
    return act_w if found is None else found


def _least_error(
    values: NDArray[np.float64], weight: NDArray[np.float64], limit: int
) -> int | None:
    """The binary point at which words up to ``limit`` carry ``values`` with least squared error.

    Starts from the largest at which nothing saturates: coarser ones are never better. Finer ones
    trade clipping for resolution; the search ends where clipping alone exceeds the best error,
    which it then does for all that follow. None if all values are 0.
    """
    peak = float(np.abs(values).max(initial=0.0))
    if peak == 0.0:
        return None
    if not math.isfinite(peak):
        raise ValueError("NaN and infinity have no binary point")
    # The largest frac with peak · 2^frac <= limit = 2^bits − 1, without a logarithm's rounding.
    frac = limit.bit_length() - math.frexp(peak)[1]
    if math.ldexp(peak, frac) > limit:
        frac -= 1
    best, best_error = frac, math.inf
    while True:
        scaled = np.ldexp(values, frac)
        unit = math.ldexp(1.0, -frac)
        words = np.clip(_half_up(scaled), -limit, limit)
        error = float((weight * ((words - scaled) * unit) ** 2).sum())
        if error < best_error:
            best, best_error = frac, error
        clipped = np.maximum(np.abs(scaled) - limit, 0)
        if float((weight * (clipped * unit) ** 2).sum()) >= best_error or error == 0:
            return best
        frac += 1


def multiplier_and_shift(ratio: Real, mult_w: int, shift_max: int) -> tuple[int, int] | None:
    """(m, s) with m · 2^-s nearest to ratio, |m| < 2^(mult_w−1), 0 <= s <= shift_max.

    s is as large as fits, so the relative error is at most 2^-(mult_w−1) unless shift_max cuts it
    short. Returns None if |ratio| is too large to represent even with s = 0.
    """
    limit = (1 << (mult_w - 1)) - 1
    if ratio == 0:
        return 0, 0
    # At this shift |ratio| · 2^s is below 2^(mult_w−1), and at least half of that.
    shift = min(mult_w - 1 - math.frexp(ratio)[1], shift_max)
    if shift < 0:
        return None
    m = nearest(ratio, shift)
    if abs(m) > limit:  # rounded up to 2^(mult_w−1)
        if shift == 0:
            return None
        shift -= 1
        m = nearest(ratio, shift)
    return m, shift


def clog2(n: int) -> int:
    """Bits that count ``n`` values, as Verilog's $clog2."""
    return (n - 1).bit_length()
