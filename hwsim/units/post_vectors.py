"""Post-processing of whole vectors, to bytes, by float32 sums that bound the exact ones.

Loops as of ``post``, for accumulators that fit 32 bits.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from hwsim.numbers.vectors import (
    LANES,
    as_bytes,
    as_floats,
    floors,
    largest,
    load,
    requantized,
    requantized_state,
    store,
)
from hwsim.units.post import Words

Sides = tuple[int, int]


def requantize_bytes(
    acc: NDArray[Any], words: Words, lo: int, hi: int, out: NDArray[np.uint8]
) -> None:
    """Post alone, of accumulators (pixels · C,) that fit 32 bits, to bytes."""
    # Array by array: numba takes twice as long to unpack a tuple of names.
    m, b, s, _, factor, low, high = words
    _requantize_bytes(acc, m, b, s, factor, low, high, lo, hi, out)


@njit(nogil=True, cache=True)
def _requantize_bytes(  # type: ignore[no-untyped-def]
    acc, m, b, s, factor, low, high, lo, hi, out
):
    floor, top = np.float32(lo), np.float32(hi)
    whole = len(acc) // LANES * LANES
    c = 0
    for i in range(0, whole, LANES):
        code = codes(
            load(acc, i), load(m, c), load(b, c), load(s, c),
            load(factor, c), load(low, c), load(high, c), lo, hi, floor, top,
        )  # fmt: skip
        store(out, i, code)
        c += LANES
        if c == len(m):
            c = 0
    for i in range(whole, len(acc)):
        c = i % len(m)
        product = np.int64(np.int32(acc[i])) * np.int64(m[c])
        out[i] = min(max((product + b[c]) >> s[c], lo), hi)


def requantize_pool_bytes(
    acc: NDArray[Any], words: Words, lo: int, hi: int, kernel: Sides, stride: Sides,
    out: NDArray[np.uint8],
) -> None:  # fmt: skip
    """``post.requantize_pool`` of accumulators that fit 32 bits and channels that fill vectors.

    No multiplier is negative.
    """
    m, b, s, _, factor, low, high = words
    _requantize_pool_bytes(acc, m, b, s, factor, low, high, lo, hi, kernel, stride, out)


@njit(nogil=True, cache=True)
def _requantize_pool_bytes(  # type: ignore[no-untyped-def]
    acc, m, b, s, factor, low, high, lo, hi, kernel, stride, out
):
    floor, top = np.float32(lo), np.float32(hi)
    _, height, width, channels = acc.shape
    images, out_h, out_w, _ = out.shape
    rows, columns = kernel
    line = width * channels
    flat, target = acc.reshape(-1), out.reshape(-1)
    to = 0
    for n in range(images):
        for y in range(out_h):
            for x in range(out_w):
                first = (n * height + y * stride[0]) * line + x * stride[1] * channels
                for c in range(0, channels, LANES):
                    best = load(flat, first + c)
                    for dy in range(rows):
                        row = first + dy * line + c
                        for dx in range(columns):
                            best = largest(best, load(flat, row + dx * channels))
                    code = codes(
                        best, load(m, c), load(b, c), load(s, c),
                        load(factor, c), load(low, c), load(high, c), lo, hi, floor, top,
                    )  # fmt: skip
                    store(target, to, code)
                    to += LANES


@njit(nogil=True, cache=True)
def codes(  # type: ignore[no-untyped-def]
    acc, multiplier, bias, shift, factor, low, high, lo, hi, floor, top
):
    """A vector of accumulators requantized, by vectors of ``Words``; floor, top: lo, hi as float32.

    Float32 sums below and above the exact one mostly have the same floor, which then is the code;
    where one of a vector's does not, the vector is computed in 64 bits.
    """
    code, unsure = floors(as_floats(acc), factor, low, high, floor, top)
    if unsure:
        return requantized(acc, multiplier, bias, shift, lo, hi)
    return as_bytes(code)


@njit(nogil=True, cache=True)
def requantize_bytes_state(acc, words, lo, hi, out, state):  # type: ignore[no-untyped-def]
    """As ``requantize_bytes``, with the state bytes of ``post.requantize_pool_state``, all flat."""
    m, b, s, threshold, _, _, _ = words
    whole = len(acc) // LANES * LANES
    c = 0
    for i in range(0, whole, LANES):
        code, mark = requantized_state(
            load(acc, i), load(m, c), load(b, c), load(s, c), load(threshold, c), lo, hi
        )
        store(out, i, code)
        store(state, i, mark)
        c += LANES
        if c == len(m):
            c = 0
    for i in range(whole, len(acc)):
        c = i % len(m)
        p = np.int64(np.int32(acc[i])) * np.int64(m[c]) + b[c]
        raw = p >> s[c]
        out[i] = min(max(raw, lo), hi)
        state[i] = (16 if p > threshold[c] else 0) | (32 if raw <= hi else 0)
