"""Post-processing of words that no proof covers (twin: hne_post_lane.v): sums wrap at their widths.

A sum that is wider than its register keeps the low bits, as two's complement: accumulators ACC_W,
p = acc · m + b ACC_W + MULT_W, logits ACC_W. As ``post`` and ``post_add`` otherwise, state bytes
included, one loop for all shapes of the work.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from hwsim.numbers.config import EngineConfig


@njit(nogil=True, cache=True, inline="always")
def _wrap(value, spare):  # type: ignore[no-untyped-def]
    """The low 64 − ``spare`` bits of an int64 as two's complement."""
    return (value << spare) >> spare


@njit(nogil=True, cache=True, inline="always")
def _code(p, m, s, away, zero, lo, hi):  # type: ignore[no-untyped-def]
    """(code, raw) of a sum; ``away``: a half below the code of 0 goes down (post_away.down)."""
    raw = p >> s
    far = away and m >= (1 << 30) and s > 31 and raw <= zero
    half = far and (p >> 31) & ((np.int64(1) << (s - 31)) - 1) == 0
    return min(max(raw - 1 if half else raw, lo), hi), raw


@njit(nogil=True, cache=True)
def requantize(  # type: ignore[no-untyped-def]
    acc, multiplier, bias, shift, threshold, spare, away, zero, lo, hi, out, state
):
    """acc (N, H, W, C) int64 exact modulo 2^64 -> out and state, as large.

    spare: bits that an int64 has beyond (ACC_W, ACC_W + MULT_W).
    """
    images, height, width, channels = out.shape
    for n in range(images):
        for y in range(height):
            for x in range(width):
                for c in range(channels):
                    a = _wrap(acc[n, y, x, c], spare[0])
                    p = _wrap(a * multiplier[c] + bias[c], spare[1])
                    code, raw = _code(p, multiplier[c], shift[c], away, zero, lo, hi)
                    out[n, y, x, c] = code
                    state[n, y, x, c] = (16 if p > threshold[c] else 0) | (32 if raw <= hi else 0)


@njit(nogil=True, cache=True)
def add(  # type: ignore[no-untyped-def]
    one, two, m1, m2, bias, shift, threshold, spare, away, zero, lo, hi, out, state
):
    """The same of one · m1 + two · m2 + bias."""
    images, height, width, channels = out.shape
    for n in range(images):
        for y in range(height):
            for x in range(width):
                for c in range(channels):
                    total = np.int64(one[n, y, x, c]) * m1 + np.int64(two[n, y, x, c]) * m2
                    p = _wrap(total + bias, spare[1])
                    code, raw = _code(p, m2, shift, away, zero, lo, hi)
                    out[n, y, x, c] = code
                    state[n, y, x, c] = (16 if p > threshold else 0) | (32 if raw <= hi else 0)


@njit(nogil=True, cache=True, inline="always")
def _leaves(one, other, spare):  # type: ignore[no-untyped-def]
    """Whether the sum of two int64 is more than 64 − ``spare`` bits hold."""
    total = one + other
    beyond = ((one ^ total) & (other ^ total)) < 0  # 64 bits themselves
    return beyond or (total << spare) >> spare != total


@njit(nogil=True, cache=True)
def overflows(acc, multiplier, bias, spare, last):  # type: ignore[no-untyped-def]
    """(accumulators, p) of acc (N, H, W, C) that wrap; of the last layer, the logits for p."""
    sums = products = 0
    images, height, width, channels = acc.shape
    for n in range(images):
        for y in range(height):
            for x in range(width):
                for c in range(channels):
                    a = _wrap(acc[n, y, x, c], spare[0])
                    sums += a != acc[n, y, x, c]
                    if last:
                        products += _leaves(a, bias[c], spare[0])
                    else:
                        products += _leaves(a * multiplier[c], bias[c], spare[1])
    return sums, products


@njit(nogil=True, cache=True)
def add_overflows(one, two, m1, m2, bias, spare):  # type: ignore[no-untyped-def]
    """How many p of an addition wrap."""
    found = 0
    images, height, width, channels = one.shape
    for n in range(images):
        for y in range(height):
            for x in range(width):
                for c in range(channels):
                    total = np.int64(one[n, y, x, c]) * m1 + np.int64(two[n, y, x, c]) * m2
                    found += _leaves(total, bias, spare[1])
    return found


def spare_bits(config: EngineConfig) -> tuple[int, int]:
    """Bits that an int64 has beyond an accumulator, and beyond p."""
    return 64 - config.acc_w, 64 - config.acc_w - config.mult_w
