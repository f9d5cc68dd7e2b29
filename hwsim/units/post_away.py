"""Post-processing that rounds twice, as TFLite's reference kernels do (twin: hne_post_lane.v).

Where m >= 2^30, behind the shift of p by s > 31, a half of multiples of 2^31 that is below the code
of real 0 goes down: docs/architecture.md, Requantization. Loops as of ``post``, one for all shapes
of the work.
"""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(nogil=True, cache=True, inline="always")
def down(p, raw, multiplier, shift, zero):  # type: ignore[no-untyped-def]
    """1 where raw = p >> shift is a half that goes down, else 0."""
    if multiplier < (1 << 30) or shift <= 31 or raw > zero:
        return 0
    return 0 if (p >> 31) & ((1 << (shift - 31)) - 1) else 1


@njit(nogil=True, cache=True)
def requantize_pool(  # type: ignore[no-untyped-def]
    acc, multiplier, bias, shift, threshold, zero, lo, hi, kernel, stride, out, state
):
    """Post and max-pool of exact integers (N, H, W, C), with state bytes: as in ``post``.

    kernel, stride (1, 1): post alone. state: of the shape of ``out``.
    """
    images, out_h, out_w, channels = out.shape
    rows, columns = kernel
    down_by, right = stride
    for n in range(images):
        for y in range(out_h):
            for x in range(out_w):
                for c in range(channels):
                    best, mark = -1, 0
                    for dy in range(rows):
                        for dx in range(columns):
                            sum_ = np.int64(acc[n, y * down_by + dy, x * right + dx, c])
                            p = sum_ * multiplier[c] + bias[c]
                            raw = p >> shift[c]
                            code = min(
                                max(raw - down(p, raw, multiplier[c], shift[c], zero), lo), hi
                            )
                            if code > best:
                                best, mark = code, dy * columns + dx
                                if p > threshold[c]:
                                    mark += 16
                                if raw <= hi:
                                    mark += 32
                    out[n, y, x, c] = best
                    state[n, y, x, c] = mark


@njit(nogil=True, cache=True)
def add(  # type: ignore[no-untyped-def]
    one, two, m1, m2, bias, shift, threshold, zero, lo, hi, out, state
):
    """``post_add.add_state`` so rounded."""
    images, height, width, channels = out.shape
    for n in range(images):
        for y in range(height):
            for x in range(width):
                for c in range(channels):
                    p = np.int64(one[n, y, x, c]) * m1 + np.int64(two[n, y, x, c]) * m2 + bias
                    raw = p >> shift
                    mark = 0
                    if p > threshold:
                        mark += 16
                    if raw <= hi:
                        mark += 32
                    out[n, y, x, c] = min(max(raw - down(p, raw, m2, shift, zero), lo), hi)
                    state[n, y, x, c] = mark
