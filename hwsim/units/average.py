"""Sums over windows, on the MAC array with weights of one; post makes an average of them.

No unit of its own: a pool window is the fan-in of one array row (twin: rtl/units/hne_mac_path.v).
"""

from __future__ import annotations

from numba import njit


@njit(nogil=True, cache=True)
def window_sums(maps, kernel, stride, out):  # type: ignore[no-untyped-def]
    """Σ over each window of maps (N, H, W, C), inside the map: out (N, OH, OW, C), integers."""
    images, out_h, out_w, channels = out.shape
    rows, columns = kernel
    down, right = stride
    for n in range(images):
        for y in range(out_h):
            for x in range(out_w):
                target = out[n, y, x]
                for c in range(channels):
                    target[c] = 0
                for dy in range(rows):
                    for dx in range(columns):
                        row = maps[n, y * down + dy, x * right + dx]
                        for c in range(channels):
                            target[c] += row[c]


@njit(nogil=True, cache=True)
def window_sums_gradient(gradient, kernel, stride, out):  # type: ignore[no-untyped-def]
    """Backward of ``window_sums``: gradient (N, OH, OW, C) added to out (N, H, W, C), zeroed."""
    images, out_h, out_w, channels = gradient.shape
    rows, columns = kernel
    down, right = stride
    for n in range(images):
        for y in range(out_h):
            for x in range(out_w):
                for dy in range(rows):
                    for dx in range(columns):
                        for c in range(channels):
                            out[n, y * down + dy, x * right + dx, c] += gradient[n, y, x, c]
