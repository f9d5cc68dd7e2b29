"""Additions of two maps (twin: hne_post_lane.v): of two products, the sum is requantized."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from hwsim.numbers.vectors import LANES, as_bytes, as_floats, floors, fma, load, store


class AddWords(NamedTuple):
    """``post.Words`` of an addition, every number LANES times: a factor for each source."""

    one: NDArray[np.float32]
    two: NDArray[np.float32]
    low: NDArray[np.float32]
    high: NDArray[np.float32]


def add_words_of(
    multiplier: NDArray[Any], bias: NDArray[Any], shift: NDArray[Any], act_max: int
) -> AddWords:
    """As ``post.words_of``: a second product and its rounding are within the same slack.

    Maps of one scale are added by powers of two, and then half of the sums lie on a code's edge,
    where no slack but none tells the code: float32 is exact there.
    """
    step = -int(shift[0])
    one, two = np.ldexp(multiplier.astype(np.float64), step)
    middle = np.ldexp(float(bias[0]), step)
    slack = 2.0**-22 * (act_max * (abs(one) + abs(two)) + abs(middle) + 1)
    integers = [*multiplier.tolist(), int(bias[0])]
    common = math.gcd(*integers) or 1
    # A power of two: float32 holds no other unit together with 24 bits.
    unit = common & -common
    if act_max * sum(abs(each) // unit for each in integers) < 1 << 24:
        slack = 0.0  # every sum is an integer of units that float32 holds
    return AddWords(
        *(np.full(LANES, word, np.float32) for word in (one, two, middle - slack, middle + slack))
    )


@njit(nogil=True, cache=True)
def add(one, two, m1, m2, bias, shift, lo, hi, out):  # type: ignore[no-untyped-def]
    """out = clamp((one · m1 + two · m2 + bias) >> shift, lo, hi) of maps (N, H, W, C)."""
    images, height, width, channels = out.shape
    for n in range(images):
        for y in range(height):
            for x in range(width):
                for c in range(channels):
                    p = np.int64(one[n, y, x, c]) * m1 + np.int64(two[n, y, x, c]) * m2 + bias
                    out[n, y, x, c] = min(max(p >> shift, lo), hi)


@njit(nogil=True, cache=True)
def add_state(  # type: ignore[no-untyped-def]
    one, two, m1, m2, bias, shift, threshold, lo, hi, out, state
):
    """As ``add``, with the state bytes of ``post.requantize_pool_state``; the winner is 0."""
    images, height, width, channels = out.shape
    for n in range(images):
        for y in range(height):
            for x in range(width):
                for c in range(channels):
                    p = np.int64(one[n, y, x, c]) * m1 + np.int64(two[n, y, x, c]) * m2 + bias
                    raw = p >> shift
                    code = 0
                    if p > threshold:
                        code += 16
                    if raw <= hi:
                        code += 32
                    out[n, y, x, c] = min(max(raw, lo), hi)
                    state[n, y, x, c] = code


@njit(nogil=True, cache=True)
def add_bytes(one, two, words, m1, m2, bias, shift, lo, hi, out):  # type: ignore[no-untyped-def]
    """``add`` of bytes, all flat; float32 sums bound the exact one as in ``post_vectors.codes``."""
    first, second, low, high = words
    f1, f2, below, above = load(first, 0), load(second, 0), load(low, 0), load(high, 0)
    floor, top = np.float32(lo), np.float32(hi)
    whole = out.size // LANES * LANES
    for i in range(0, out.size, LANES):
        stop = out.size
        if i < whole:
            other = as_floats(load(two, i))
            code, unsure = floors(
                as_floats(load(one, i)), f1, fma(other, f2, below), fma(other, f2, above),
                floor, top,
            )  # fmt: skip
            if not unsure:
                store(out, i, as_bytes(code))
                continue
            stop = i + LANES
        for k in range(i, stop):
            p = np.int64(one[k]) * m1 + np.int64(two[k]) * m2 + bias
            out[k] = min(max(p >> shift, lo), hi)
