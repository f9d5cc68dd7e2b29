"""Depthwise convolutions in integers of our own: libraries' kernels for them are slower or inexact.

One pass over a channels-last map, vectorized over channels by the compiler; nothing to be proved,
since no library has a part in it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray
from torch import Tensor

from hwsim.engine.forms import sides
from hwsim.program.layers import MacLayer


class Depthwise:
    """The accumulators of a depthwise layer, exactly.

    layer: ``even``. Called with maps (N, C, H, W), stored channels last, it gives sums
    (N, OH, OW, n_out): int32 where every one fits, else int64.
    """

    def __init__(self, layer: MacLayer, act_max: int) -> None:
        self.layer = layer
        (rows, columns), self._stride, self._padding = sides(layer)
        fits = int(layer.accumulator_bound(act_max).max()) < 1 << 31
        self._dtype: Any = np.int32 if fits else np.int64
        weight = layer.virtual_weights.reshape(layer.n_out, rows, columns).transpose(1, 2, 0)
        self._weight = np.ascontiguousarray(weight, self._dtype)
        self._tiled: NDArray[np.int32] | None = None
        if self._stride == (1, 1) and fits and layer.n_out < FEW:
            tiled = np.repeat(self._weight[:, :, None], layer.out_shape[2], 2)
            self._tiled = tiled.reshape(rows, columns, -1)
        #: Output channels of each input channel.
        self._copies = layer.group_out

    def __call__(self, maps: Tensor) -> NDArray[Any]:
        nhwc = maps.permute(0, 2, 3, 1).contiguous().numpy()
        _, height, width = self.layer.out_shape
        out = np.empty((len(nhwc), height, width, self.layer.n_out), self._dtype)
        if self._copies > 1:
            nhwc = np.repeat(nhwc, self._copies, 3)
        if self._tiled is not None:
            count, tall, wide, channels = nhwc.shape
            lines = nhwc.reshape(count, tall, wide * channels)
            sums = out.reshape(count, height, width * channels)
            _line_sums(lines, self._tiled, channels, self._padding, sums)
            return out
        _sums(nhwc, self._weight, self._stride, self._padding, out)
        return out


#: Channels below which a whole line of pixels is a better vector than the channels of one.
FEW = 64


@njit(nogil=True, cache=True)
def _line_sums(maps, weight, channels, padding, out):  # type: ignore[no-untyped-def]
    """As ``_sums`` at stride 1: maps (N, H, W·C), weight (k, k', OW·C), out (N, OH, OW·C), int32.

    A kernel's column meets the pixels of a line at one distance, so a line is one vector.
    """
    count, height, length = maps.shape
    _, out_h, out_length = out.shape
    rows, columns, _ = weight.shape
    for n in range(count):
        for y in range(out_h):
            target = out[n, y]
            target[:] = 0
            top = y - padding[0]
            for dy in range(max(0, -top), min(rows, height - top)):
                source = maps[n, top + dy]
                for dx in range(columns):
                    move = (dx - padding[1]) * channels
                    first = max(0, -move)
                    behind = min(out_length, length - move)
                    some, part = source[first + move : behind + move], target[first:behind]
                    factor = weight[dy, dx, first:behind]
                    for i in range(behind - first):
                        part[i] = np.int32(part[i] + np.int32(factor[i] * np.int32(some[i])))


@njit(nogil=True, cache=True)
def _sums(maps, weight, stride, padding, out):  # type: ignore[no-untyped-def]
    """out (N, OH, OW, C) of maps (N, H, W, C) and weight (k, k', C), of the type of ``out``."""
    count, height, width, channels = maps.shape
    _, out_h, out_w, _ = out.shape
    rows, columns, _ = weight.shape
    for n in range(count):
        for y in range(out_h):
            for x in range(out_w):
                target = out[n, y, x]
                for c in range(channels):
                    target[c] = 0
                for dy in range(rows):
                    row = y * stride[0] + dy - padding[0]
                    if row < 0 or row >= height:
                        continue
                    for dx in range(columns):
                        column = x * stride[1] + dx - padding[1]
                        if column < 0 or column >= width:
                            continue
                        source = maps[n, row, column]
                        factor = weight[dy, dx]
                        for c in range(channels):
                            target[c] += factor[c] * source[c]


@njit(nogil=True, cache=True)
def scatter(flow, weight, stride, padding, out):  # type: ignore[no-untyped-def]
    """Transpose of ``_sums``: flow (N, OH, OW, C) added to out (N, H, W, C), float32."""
    count, height, width, channels = out.shape
    _, out_h, out_w, _ = flow.shape
    rows, columns, _ = weight.shape
    for n in range(count):
        for y in range(out_h):
            for x in range(out_w):
                source = flow[n, y, x]
                for dy in range(rows):
                    row = y * stride[0] + dy - padding[0]
                    if row < 0 or row >= height:
                        continue
                    for dx in range(columns):
                        column = x * stride[1] + dx - padding[1]
                        if column < 0 or column >= width:
                            continue
                        target = out[n, row, column]
                        factor = weight[dy, dx]
                        for c in range(channels):
                            target[c] += factor[c] * source[c]
