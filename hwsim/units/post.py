"""Post-processing (twin: rtl/units/hne_post.v): COLS lanes that requantize one array row per cycle.

Hidden layers: y = clamp((acc · m_c + b_c) >> s_c, 0, 2^A − 1). The last layer: v = acc + b_c, in
the same number of cycles; its argmax compares in the cycle that writes the logit.
"""

from __future__ import annotations

import numpy as np
from numba import njit

#: Pipeline behind the cycle that selects an array row of the shadow bank and its {s, m} and b.
READ = 1  # scale and bias memories answer
BROADCAST = 1  # accumulators and m_c to the lanes
MULTIPLY = 2  # acc · m_c: partial products, then their sum
ADD = 1  # + b_c
SHIFT = 1  # arithmetic >> s_c
CLAMP = 1  # to 0 … 2^A − 1
WRITE = 1  # one line of the feature map, or one logit
FILL = READ + BROADCAST + MULTIPLY + ADD + SHIFT + CLAMP + WRITE


def cycles_drain(rows: int) -> int:
    """Cycles from a valid shadow bank until its ``rows`` array rows are written."""
    return rows + FILL


@njit(nogil=True, cache=True)
def requantize_pool(  # type: ignore[no-untyped-def]
    acc, multiplier, bias, shift, act_max, kernel, stride, has_negative, out
):
    """Post followed by max-pool, one pass: acc (N, H, W, C) exact integers -> out (N, OH, OW, C).

    Requantization is monotone in acc (falling where m_c < 0), so the window's winner is taken
    among the accumulators, the largest or the smallest, and only the winner is requantized.
    kernel = stride = 1 is post alone.
    """
    images, out_h, out_w, channels = out.shape
    top = np.empty(channels, acc.dtype)
    low = np.empty(channels, acc.dtype)
    for n in range(images):
        for y in range(out_h):
            for x in range(out_w):
                first = acc[n, y * stride, x * stride]
                for c in range(channels):
                    top[c] = first[c]
                if has_negative:
                    for c in range(channels):
                        low[c] = first[c]
                for dy in range(kernel):
                    for dx in range(kernel):
                        if dy + dx == 0:
                            continue
                        row = acc[n, y * stride + dy, x * stride + dx]
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
                    target[c] = min(max(value, 0), act_max)


#: Bits of a state byte: the window position that won, and why the gradient may pass it.
WINNER, POSITIVE, UNSATURATED = 0x0F, 0x10, 0x20


@njit(nogil=True, cache=True)
def requantize_pool_state(  # type: ignore[no-untyped-def]
    acc, multiplier, bias, shift, rounding, act_max, kernel, stride, out, state
):
    """As ``requantize_pool``, also recording what the backward pass needs, one byte an output.

    The winner is the first maximum in row-major order of the *requantized* integers, as the pool
    unit sees them. POSITIVE: p − rounding > 0; UNSATURATED: p >> s <= 2^A − 1.
    """
    images, out_h, out_w, channels = out.shape
    best = np.empty(channels, np.int64)
    mark = np.empty(channels, np.int64)
    for n in range(images):
        for y in range(out_h):
            for x in range(out_w):
                for c in range(channels):
                    best[c] = -1
                for dy in range(kernel):
                    for dx in range(kernel):
                        row = acc[n, y * stride + dy, x * stride + dx]
                        index = dy * kernel + dx
                        for c in range(channels):
                            p = np.int64(row[c]) * multiplier[c] + bias[c]
                            raw = p >> shift[c]
                            value = min(max(raw, 0), act_max)
                            code = index
                            if p > rounding[c]:  # p − rounding > 0, without leaving int64
                                code += 16
                            if raw <= act_max:
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
    for n in range(images):
        for y in range(out_h):
            for x in range(out_w):
                for c in range(channels):
                    code = state[n, y, x, c]
                    if code & mask == mask:
                        index = code & 15
                        dy = index // kernel
                        dx = index - dy * kernel
                        out[n, y * stride + dy, x * stride + dx, c] += gradient[n, y, x, c]
