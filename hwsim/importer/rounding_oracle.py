"""Oracle: how runtimes bring an integer sum back to codes, one number at a time.

Python integers and floats only, written from the kernels' own definitions; ``rounding`` does the
same for arrays. Sources: gemmlowp's fixedpoint.h (saturating doubling multiply, division by a power
of two), TFLite's quantization_util.cc (multiplier and shift), XNNPACK's fp32 requantization.
"""

from __future__ import annotations

import math
import struct


def float32(x: float) -> float:
    """The nearest float32, ties to even."""
    found: float = struct.unpack("<f", struct.pack("<f", x))[0]
    return found


def half_even(total: int, s_x: float, s_w: float, s_y: float) -> int:
    """XNNPACK and ONNX Runtime: one float32 factor, the product rounded half to even.

    total: int32, bias included. The scales are float32 of the file.
    """
    factor = float32(float32(s_x * s_w) / s_y)
    # The product of two float32 has 48 bits, which float64 holds.
    return round(float32(float32(float(total)) * factor))


def multiplier_and_shift(factor: float) -> tuple[int, int]:
    """(m, e) with m · 2^(e − 31) next to a factor, 2^30 <= m < 2^31; (0, 0) of what is tiny."""
    if factor == 0:
        return 0, 0
    fraction, exponent = math.frexp(factor)
    m = math.floor(fraction * 2**31 + 0.5)
    if m == 2**31:
        m, exponent = m // 2, exponent + 1
    if exponent < -31:
        return 0, 0
    return m, exponent


def doubling_high(x: int, m: int) -> int:
    """x · m / 2^31, rounded to the nearest, ties up."""
    product = x * m
    nudge = 2**30 if product >= 0 else 1 - 2**30
    # C divides toward zero.
    whole = abs(product + nudge) // 2**31
    return whole if product + nudge >= 0 else -whole


def away(x: int, shift: int) -> int:
    """x / 2^shift rounded to the nearest, ties away from zero."""
    remainder = x & (2**shift - 1)
    threshold = (2**shift - 1) >> 1
    return (x >> shift) + (remainder > threshold + (x < 0))


def twice_away(total: int, factor: float) -> int:
    """The reference kernels: rounded behind the multiplication, and away behind the shift."""
    m, exponent = multiplier_and_shift(factor)
    product = doubling_high(total << max(exponent, 0), m)
    return away(product, max(-exponent, 0))


def twice_up(total: int, factor: float) -> int:
    """The optimized kernels without delegate: rounded in the same places, ties up both times."""
    m, exponent = multiplier_and_shift(factor)
    product = doubling_high(total << max(exponent, 0), m)
    shift = max(-exponent, 0)
    return (product + (2 ** (shift - 1) if shift else 0)) >> shift


def once_away(total: int, factor: float) -> int:
    """LiteRT's reference fully connected layers: the product in float64, halves away from zero."""
    product = total * factor
    whole = math.floor(abs(product) + 0.5)
    return whole if product > 0 else -whole


def once(total: int, factor: float) -> int:
    """A 31-bit multiplier and one rounding, ties up: the engine's own with a wider multiplier."""
    m, exponent = multiplier_and_shift(factor)
    shift = 31 - exponent
    return (total * m + 2 ** (shift - 1)) >> shift


def add_reference(
    q: tuple[int, int], zeros: tuple[int, int, int], scales: tuple[float, float, float]
) -> int:
    """TFLite's addition of two int8 numbers, before its clamp: scales, zeros of a, b, and the sum.

    Both are raised by 20 bits and multiplied by half of what their scale is of the larger one.
    """
    twice = 2 * max(scales[0], scales[1])
    raised = []
    for one, zero, scale in zip(q, zeros, scales, strict=False):
        raised.append(twice_away((one - zero) << 20, scale / twice))
    return twice_away(sum(raised), twice / (2**20 * scales[2])) + zeros[2]


def add_constants(scales: tuple[float, float, float]) -> tuple[int, int, int]:
    """(m₁, m₂, s) of XNNPACK's addition: 21-bit multipliers on one shift."""
    a, b = float32(scales[0] / scales[2]), float32(scales[1] / scales[2])
    shift = 20 - (math.frexp(max(a, b))[1] - 1)
    return round(math.ldexp(a, shift)), round(math.ldexp(b, shift)), shift


def add_delegate(
    q: tuple[int, int], zeros: tuple[int, int, int], scales: tuple[float, float, float]
) -> int:
    """XNNPACK's addition, before its clamp: the engine's own formula with these constants."""
    m, n, shift = add_constants(scales)
    return (((q[0] - zeros[0]) * m + (q[1] - zeros[1]) * n + 2 ** (shift - 1)) >> shift) + zeros[2]


def average(total: int, size: int) -> int:
    """The mean of ``size`` codes, zero point included, rounded half away from zero."""
    half = size // 2
    return (total + half) // size if total > 0 else -((half - total) // size)
