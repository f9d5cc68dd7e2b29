"""Max-pool (twin: rtl/units/hne_pool.v): COLS lanes, each a comparator and the maximum so far.

Integer maximum over windows; what lies outside the map reads as 0 and so never wins. Loop order:
channel, output row, x-tile, ky, kx.
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


def cycles_pool(shape: tuple[int, int, int], elements: int, stride: int, cols: int) -> int:
    """Cycles to pool one map to ``shape``, (channels, height, width).

    Each line of COLS outputs reads the ``elements`` of a window, each as one column of the
    activation buffer at the horizontal ``stride`` (``act_buffer.cycles_column``).
    """
    channels, out_h, out_w = shape
    lines = channels * out_h * ceil(out_w / cols)
    return lines * elements * act_buffer.cycles_column(stride, cols) + FILL


@njit(nogil=True, cache=True)
def max_pool(maps, kernel, stride, corner, out, winner):  # type: ignore[no-untyped-def]
    """Integer max-pool of (N, H, W, C); winner: the first maximum's window position, uint8.

    kernel, stride: (vertical, horizontal). corner: padding (top, left); what lies outside the map
    never wins.
    """
    images, out_h, out_w, channels = out.shape
    _, height, width, _ = maps.shape
    rows, columns = kernel
    for n in range(images):
        for y in range(out_h):
            for x in range(out_w):
                fresh = True
                for dy in range(rows):
                    row = y * stride[0] + dy - corner[0]
                    if row < 0 or row >= height:
                        continue
                    for dx in range(columns):
                        column = x * stride[1] + dx - corner[1]
                        if column < 0 or column >= width:
                            continue
                        place = dy * columns + dx
                        if fresh:
                            fresh = False
                            for c in range(channels):
                                out[n, y, x, c] = maps[n, row, column, c]
                                winner[n, y, x, c] = place
                            continue
                        for c in range(channels):
                            value = maps[n, row, column, c]
                            if value > out[n, y, x, c]:
                                out[n, y, x, c] = value
                                winner[n, y, x, c] = place


@njit(nogil=True, cache=True)
def max_pool_gradient(  # type: ignore[no-untyped-def]
    gradient, winner, kernel, stride, corner, out
):
    """Backward of ``max_pool``: each output's gradient goes to its winner; out starts at zero."""
    images, out_h, out_w, channels = gradient.shape
    columns = kernel[1]
    for n in range(images):
        for y in range(out_h):
            for x in range(out_w):
                for c in range(channels):
                    dy = winner[n, y, x, c] // columns
                    dx = winner[n, y, x, c] - dy * columns
                    row = y * stride[0] + dy - corner[0]
                    column = x * stride[1] + dx - corner[1]
                    out[n, row, column, c] += gradient[n, y, x, c]
