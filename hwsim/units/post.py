"""Post-processing (twin: rtl/units/hne_post.v): COLS lanes that requantize one array row per cycle.

Hidden layers: y = clamp((acc · m_c + b_c) >> s_c, lo, hi). The last layer: v = acc + b_c, in
the same number of cycles; its argmax compares in the cycle that writes the logit. An addition of
two maps drains two rows, whose products are summed.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from hwsim.numbers.vectors import LANES

#: Pipeline behind the cycle that selects an array row of the shadow bank and its {s, m} and b.
READ = 1  # scale and bias memories answer
BROADCAST = 1  # accumulators and m_c to the lanes
MULTIPLY = 2  # acc · m_c: partial products, then their sum
ADD = 1  # + b_c
SHIFT = 1  # arithmetic >> s_c
CLAMP = 1  # to lo … hi
WRITE = 1  # one line of the feature map, or one logit
FILL = READ + BROADCAST + MULTIPLY + ADD + SHIFT + CLAMP + WRITE


def cycles_drain(rows: int) -> int:
    """Cycles from a valid shadow bank until its ``rows`` array rows are written."""
    return rows + FILL


class Words(NamedTuple):
    """Requantization words of the channels, over and over until whole vectors hold them.

    multiplier, shift: int32; bias, threshold: int64. factor, low, high: float32, m · 2^-s and
    b · 2^-s less and more than what the roundings of ``factor``, of an accumulator and of the
    product may come to.
    """

    # Caches of kernels name it by this module: where it moves, numba cannot read older ones.

    multiplier: NDArray[np.int32]
    bias: NDArray[np.int64]
    shift: NDArray[np.int32]
    threshold: NDArray[np.int64]
    factor: NDArray[np.float32]
    low: NDArray[np.float32]
    high: NDArray[np.float32]


def words_of(
    multiplier: NDArray[Any], bias: NDArray[Any], shift: NDArray[Any], threshold: NDArray[Any],
    bound: NDArray[Any],
) -> Words:  # fmt: skip
    """The words of a layer's channels; bound: the largest |acc| of each.

    With u = 2^-24, A = bound · |m| · 2^-s and B = |b| · 2^-s, the float32 sum of a clamped code is
    off by at most u(3A + 2B), and by no more than u times itself where bounds move it by 4u(A + B
    + 1): so ``low`` is never above the exact number and ``high`` never below it.
    """
    factor = np.ldexp(multiplier.astype(np.float64), -shift.astype(np.int64))
    middle = np.ldexp(bias.astype(np.float64), -shift.astype(np.int64))
    slack = 2.0**-22 * (bound * np.abs(factor) + np.abs(middle) + 1)
    again = np.lcm(len(multiplier), LANES) // len(multiplier)
    return Words(
        np.tile(multiplier.astype(np.int32), again),
        np.tile(bias.astype(np.int64), again),
        np.tile(shift.astype(np.int32), again),
        np.tile(threshold.astype(np.int64), again),
        *(
            np.tile(one.astype(np.float32), again)
            for one in (factor, middle - slack, middle + slack)
        ),
    )


@njit(nogil=True, cache=True)
def requantize(  # type: ignore[no-untyped-def]
    acc, multiplier, bias, shift, lo, hi, out
):
    """Post alone, of accumulators (pixels, C) that fit 32 bits; multiplier: int32.

    Products of 32-bit factors are what vector units have: this loop takes half of the time.
    """
    pixels, channels = acc.shape
    for i in range(pixels):
        for c in range(channels):
            product = np.int64(np.int32(acc[i, c])) * np.int64(multiplier[c])
            out[i, c] = min(max((product + bias[c]) >> shift[c], lo), hi)


@njit(nogil=True, cache=True)
def requantize_state(  # type: ignore[no-untyped-def]
    acc, multiplier, bias, shift, threshold, lo, hi, out, state
):
    """As ``requantize``, with the state bytes of ``requantize_pool_state``; the winner is 0."""
    pixels, channels = acc.shape
    for i in range(pixels):
        for c in range(channels):
            p = np.int64(np.int32(acc[i, c])) * np.int64(multiplier[c]) + bias[c]
            raw = p >> shift[c]
            out[i, c] = min(max(raw, lo), hi)
            state[i, c] = (16 if p > threshold[c] else 0) | (32 if raw <= hi else 0)


@njit(nogil=True, cache=True)
def requantize_pool(  # type: ignore[no-untyped-def]
    acc, multiplier, bias, shift, lo, hi, kernel, stride, has_negative, out
):
    """Post followed by max-pool, one pass: acc (N, H, W, C) exact integers -> out (N, OH, OW, C).

    Requantization is monotone in acc (falling where m_c < 0), so the window's winner is taken
    among the accumulators, the largest or the smallest, and only the winner is requantized.
    kernel, stride: (vertical, horizontal); both (1, 1) are post alone.
    """
    images, out_h, out_w, channels = out.shape
    rows, columns = kernel
    down, right = stride
    top = np.empty(channels, acc.dtype)
    low = np.empty(channels, acc.dtype)
    for n in range(images):
        for y in range(out_h):
            for x in range(out_w):
                first = acc[n, y * down, x * right]
                for c in range(channels):
                    top[c] = first[c]
                if has_negative:
                    for c in range(channels):
                        low[c] = first[c]
                for dy in range(rows):
                    for dx in range(columns):
                        if dy + dx == 0:
                            continue
                        row = acc[n, y * down + dy, x * right + dx]
                        for c in range(channels):
                            top[c] = max(top[c], row[c])
                        if has_negative:
                            for c in range(channels):
                                low[c] = min(low[c], row[c])
                if has_negative:
                    for c in range(channels):
                        if multiplier[c] < 0:
                            top[c] = low[c]
                target = out[n, y, x]
                for c in range(channels):
                    value = (np.int64(top[c]) * multiplier[c] + bias[c]) >> shift[c]
                    target[c] = min(max(value, lo), hi)


#: Bits of a state byte: the window position that won, and why the gradient may pass it.
WINNER, POSITIVE, UNSATURATED = 0x0F, 0x10, 0x20
#: Window positions that a state byte can name.
POSITIONS = WINNER + 1


@njit(nogil=True, cache=True)
def requantize_pool_state(  # type: ignore[no-untyped-def]
    acc, multiplier, bias, shift, threshold, lo, hi, kernel, stride, out, state
):
    """As ``requantize_pool``, also recording what the backward pass needs, one byte an output.

    The winner is the first maximum in row-major order of the *requantized* integers, as the pool
    unit sees them. POSITIVE: p > threshold; UNSATURATED: p >> s <= hi.
    """
    images, out_h, out_w, channels = out.shape
    rows, columns = kernel
    down, right = stride
    best = np.empty(channels, np.int64)
    mark = np.empty(channels, np.int64)
    for n in range(images):
        for y in range(out_h):
            for x in range(out_w):
                for c in range(channels):
                    best[c] = -1
                for dy in range(rows):
                    for dx in range(columns):
                        row = acc[n, y * down + dy, x * right + dx]
                        index = dy * columns + dx
                        for c in range(channels):
                            p = np.int64(row[c]) * multiplier[c] + bias[c]
                            raw = p >> shift[c]
                            value = min(max(raw, lo), hi)
                            code = index
                            if p > threshold[c]:
                                code += 16
                            if raw <= hi:
                                code += 32
                            if value > best[c]:
                                best[c] = value
                                mark[c] = code
                for c in range(channels):
                    out[n, y, x, c] = best[c]
                    state[n, y, x, c] = mark[c]


@njit(nogil=True, cache=True)
def requantize_pool_gradient(  # type: ignore[no-untyped-def]
    gradient, state, mask, kernel, stride, out
):
    """Backward of ``requantize_pool_state``: gradient (N, OH, OW, C) -> out (N, H, W, C), zeroed.

    mask: the state bits that must all be set to pass. The slope m_c · 2^-s_c is left to the caller.
    """
    images, out_h, out_w, channels = gradient.shape
    _, columns = kernel
    down, right = stride
    for n in range(images):
        for y in range(out_h):
            for x in range(out_w):
                for c in range(channels):
                    code = state[n, y, x, c]
                    if code & mask == mask:
                        index = code & 15
                        dy = index // columns
                        dx = index - dy * columns
                        out[n, y * down + dy, x * right + dx, c] += gradient[n, y, x, c]
