"""Max-pool (twin: rtl/units/hne_pool.v): COLS lanes, each a comparator and the maximum so far.

Integer maximum, kernel k <= 3, any stride, no padding; leftovers at the right and the bottom are
dropped. Loop order: channel, output row, x-tile, ky, kx.
"""

from __future__ import annotations

from math import ceil

from numba import njit

from hwsim.units import act_buffer

#: Pipeline behind the lanes of the activation buffer.
COMPARE = 1  # the first element of a window loads, the others compare
WRITE = 1  # one line of the other feature map
#: Behind the cycle that issues the read of one window element for COLS outputs.
FILL = act_buffer.FILL + COMPARE + WRITE


def cycles_pool(channels: int, out_h: int, out_w: int, kernel: int, stride: int, cols: int) -> int:
    """Cycles to pool one map to (channels, out_h, out_w).

    Each line of COLS outputs reads kernel² window elements, each as one strided column of the
    activation buffer (``act_buffer.cycles_column``).
    """
    lines = channels * out_h * ceil(out_w / cols)
    return lines * kernel * kernel * act_buffer.cycles_column(stride, cols) + FILL


@njit(nogil=True, cache=True)
def max_pool(maps, kernel, stride, out, winner):  # type: ignore[no-untyped-def]
    """Integer max-pool of (N, H, W, C); winner: the first maximum's window position, uint8."""
    images, out_h, out_w, channels = out.shape
    for n in range(images):
        for y in range(out_h):
            for x in range(out_w):
                for c in range(channels):
                    out[n, y, x, c] = maps[n, y * stride, x * stride, c]
                    winner[n, y, x, c] = 0
                for dy in range(kernel):
                    for dx in range(kernel):
                        for c in range(channels):
                            value = maps[n, y * stride + dy, x * stride + dx, c]
                            if value > out[n, y, x, c]:
                                out[n, y, x, c] = value
                                winner[n, y, x, c] = dy * kernel + dx


@njit(nogil=True, cache=True)
def max_pool_gradient(gradient, winner, kernel, stride, out):  # type: ignore[no-untyped-def]
    """Backward of ``max_pool``: each output's gradient goes to its winner; out starts at zero."""
    images, out_h, out_w, channels = gradient.shape
    for n in range(images):
        for y in range(out_h):
            for x in range(out_w):
                for c in range(channels):
                    dy = winner[n, y, x, c] // kernel
                    dx = winner[n, y, x, c] - dy * kernel
                    out[n, y * stride + dy, x * stride + dx, c] += gradient[n, y, x, c]
