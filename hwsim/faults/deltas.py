"""Accumulators of a layer of which a few virtual weights are others: what these add, exactly."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from hwsim.program.layers import MacLayer

I64 = NDArray[np.int64]


class Delta:
    """What changed virtual weights add to the sums of a layer.

    place: of the weights in (n_out, fan_in), flat and rising. change: what each is more than it
    was. rows: outputs that they belong to, rising.
    """

    def __init__(self, layer: MacLayer, place: I64, change: I64) -> None:
        self.layer = layer
        row, j = np.divmod(place, layer.fan_in)
        self.rows, self._row = np.unique(row, return_inverse=True)
        self._change = np.ascontiguousarray(change, np.int64)
        channels, height, width = layer.in_shape
        if layer.window is None:
            self._tap = np.stack(np.unravel_index(j, (channels, height, width)), 1).astype(np.int64)
            self._walk = np.array([[1, 1], [0, 0]], np.int64)
        else:
            kernel = layer.window.kernel
            c, ky, kx = np.unravel_index(j, (layer.fan_in // layer.window.size, *kernel))
            group = row // layer.group_out * (channels // layer.groups)
            self._tap = np.stack([c + group, ky, kx], 1).astype(np.int64)
            self._walk = np.array([layer.window.stride, layer.window.padding[:2]], np.int64)

    def add(self, source: NDArray[Any], channels: I64, sums: I64) -> None:
        """Add to ``sums`` (N, OH, OW, C) what the layer makes of ``source`` (N, H, W, C).

        channels: of the sums, one for each of ``rows``.
        """
        rows = channels[self._row]
        _add(source, rows, self._tap, self._change, self._walk, self.layer.fill, sums)


@njit(nogil=True, cache=True)
def _add(source, rows, taps, change, walk, fill, sums):  # type: ignore[no-untyped-def]
    count, height, width, _ = source.shape
    _, out_h, out_w, _ = sums.shape
    for n in range(count):
        for k in range(len(rows)):
            row, more = rows[k], change[k]
            c, dy, dx = taps[k, 0], taps[k, 1], taps[k, 2]
            for y in range(out_h):
                at_y = y * walk[0, 0] + dy - walk[1, 0]
                inside = 0 <= at_y < height
                for x in range(out_w):
                    at_x = x * walk[0, 1] + dx - walk[1, 1]
                    if inside and 0 <= at_x < width:
                        sums[n, y, x, row] += more * np.int64(source[n, at_y, at_x, c])
                    else:
                        sums[n, y, x, row] += more * fill
