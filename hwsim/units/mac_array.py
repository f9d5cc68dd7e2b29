"""MAC array (twin: rtl/hne_mac_array.v): ROWS x COLS output-stationary accumulators.

A weight is broadcast along an array row (one output channel), an activation along an array column
(one output pixel). The accumulators of a finished pixel tile are copied to a shadow bank, from
which post drains them while the next pixel tile accumulates.
"""

from __future__ import annotations

import math
from functools import lru_cache
from itertools import pairwise
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from numba import njit
from numpy.typing import NDArray
from torch import Tensor

from hwsim.config import EngineConfig
from hwsim.program import MacLayer

Kernel = Literal["int8", "float32", "float64"]

#: Pipeline behind the cycle that issues a column. Weights are read at once and wait for the lanes.
ADDRESS = 2  # the column of each lane; the line of each bank of the activation buffer
READ = 1  # the activation buffer answers
ALIGN = 1  # its words are aligned and masked into the operand registers
BROADCAST = 1  # from the lanes to all rows
MULTIPLY = 1  # ROWS x COLS products, registered
ACCUMULATE = 1  # the first column of a tile loads, the others add
SHADOW = 1  # a marker behind the slot's last cycle copies the accumulators to the shadow bank
FILL = ADDRESS + READ + ALIGN + BROADCAST + MULTIPLY + ACCUMULATE + SHADOW


def cycles_column(stride: int, cols: int) -> int:
    """Cycles to read the COLS activations of one column; cols is a power of two.

    Feature maps are banked by x mod COLS. Lanes 0 … COLS/g − 1 at distance ``stride`` hit distinct
    banks for g = gcd(stride, COLS), so the column takes g cycles: 1 at stride 1, 2 at stride 2.
    """
    return math.gcd(stride, cols)


def cycles_slot(fan_in: int, stride: int, rows: int, cols: int) -> int:
    """Cycles T of one pixel tile of a convolution: max(fan-in · cycles per column, drain).

    rows: array rows in use, min(ROWS, output channels). The shadow bank must be drained (one
    array row per cycle) before the next copy, so a slot never is shorter than a drain. One length
    holds for the whole layer: the last, perhaps narrower, row-tile follows a full drain.
    """
    return max(fan_in * cycles_column(stride, cols), rows)


class Accumulate:
    """The accumulators of one layer for a batch of images, exactly.

    Calling it with a feature map (N, C, H, W), uint8 or int32, channels last, gives the sums
    Σ_j w·a as an array (N, OH, OW, n_out) of float32, int32 or float64 that holds exact integers.

    kernel: ``int8`` rides the CPU's u8×s8 dot products (oneDNN; sums come back as float32, so each
    chunk of the fan-in is kept below 2^24 and chunks are added as int32), ``float32`` a float
    convolution of integers below 2^24, ``float64`` one below 2^53, which every legal layer obeys.
    """

    def __init__(self, layer: MacLayer, act_max: int, kernel: Kernel) -> None:
        self.layer, self.kernel = layer, kernel
        channels, height, width = layer.in_shape
        k = layer.kernel
        weight: NDArray[np.int32]
        if layer.kind == "fc":
            # Feature maps stand channels last, so the columns follow them.
            weight = layer.virtual_weights.reshape(-1, channels, height, width)
            weight = weight.transpose(0, 2, 3, 1).reshape(layer.n_out, layer.fan_in)
            self._groups = weight.shape[1]
        else:
            weight = layer.virtual_weights.reshape(-1, channels, k, k)
            self._groups = channels
        self._parts = []
        for start, stop in _chunks(weight, act_max, kernel):
            piece = torch.from_numpy(np.ascontiguousarray(weight[:, start:stop]))
            self._parts.append((start, stop, self._pack(piece)))

    def _pack(self, weight: Tensor) -> Any:
        if self.kernel == "int8":
            ops = torch.ops.onednn
            if self.layer.kind == "fc":
                return ops.qlinear_prepack(weight.to(torch.int8), None)
            one = torch.ones(self.layer.n_out, dtype=torch.float32)
            stride, padding = [self.layer.stride] * 2, [self.layer.padding] * 2
            return ops.qconv_prepack(
                weight.to(torch.int8), one, 1.0, 0, stride, padding, [1, 1], 1, None
            )
        wide = weight.to(torch.float32 if self.kernel == "float32" else torch.float64)
        return wide if wide.ndim == 2 else wide.contiguous(memory_format=torch.channels_last)

    def __call__(self, maps: Tensor) -> NDArray[Any]:
        fc = self.layer.kind == "fc"
        source = maps.permute(0, 2, 3, 1).reshape(len(maps), -1) if fc else maps
        total: Tensor | None = None
        for start, stop, packed in self._parts:
            piece = source
            if stop - start != self._groups:
                piece = source[:, start:stop]
                piece = (
                    piece.contiguous()
                    if fc
                    else piece.contiguous(memory_format=torch.channels_last)
                )
            part = self._linear(piece, packed) if fc else self._conv(piece, packed)
            if len(self._parts) > 1:
                part = part.to(torch.int32)
            total = part if total is None else total.add_(part)
        assert total is not None
        if fc:
            return total.numpy().reshape(len(maps), 1, 1, -1)
        return total.permute(0, 2, 3, 1).contiguous().numpy()

    def _conv(self, maps: Tensor, packed: Any) -> Tensor:
        stride, padding = [self.layer.stride] * 2, [self.layer.padding] * 2
        if self.kernel == "int8":
            scale, zero = _unit(self.layer.n_out)
            return torch.ops.onednn.qconv2d_pointwise(
                maps, 1.0, 0, packed, scale, zero, None, stride, padding, [1, 1], 1,
                1.0, 0, torch.float32, "none", [], None,
            )  # fmt: skip
        return F.conv2d(maps.to(packed.dtype), packed, None, stride, padding)

    def _linear(self, maps: Tensor, packed: Any) -> Tensor:
        if self.kernel == "int8":
            scale, zero = _unit(self.layer.n_out)
            return torch.ops.onednn.qlinear_pointwise(
                maps, 1.0, 0, packed, scale, zero, None, 1.0, 0, torch.float32, "none", [], ""
            )
        return F.linear(maps.to(packed.dtype), packed)


@lru_cache(maxsize=64)
def _unit(channels: int) -> tuple[Tensor, Tensor]:
    """Weight scales of one and zero points of zero: oneDNN's descale becomes the identity."""
    return torch.ones(channels, dtype=torch.float32), torch.zeros(channels, dtype=torch.int64)


def _chunks(weight: NDArray[np.int32], act_max: int, kernel: Kernel) -> list[tuple[int, int]]:
    """Ranges of the fan-in (input channels, or columns) whose partial sums stay exact.

    weight: (n_out, groups, …). A range's worst |sum| over all inputs must stay below 2^24
    (``int8``, ``float32``) or 2^53.
    """
    flat = weight.reshape(weight.shape[0], weight.shape[1], -1)
    limit = 1 << (53 if kernel == "float64" else 24)
    ends = np.empty(flat.shape[1], np.int64)
    count = _range_ends(flat, act_max, limit, ends)
    if count < 0:
        raise ValueError(f"one input channel alone exceeds the exact range of {kernel}")
    return list(pairwise([0, *ends[:count].tolist()]))


@njit(nogil=True, cache=True)
def _range_ends(flat, act_max, limit, ends):  # type: ignore[no-untyped-def]
    """Ends of the longest ranges of groups that stay below ``limit``, first to last.

    flat: (n_out, groups, weights of a group). Returns how many there are, −1 if there are none.
    """
    neurons, groups, depth = flat.shape
    rise = np.zeros(neurons, np.int64)
    fall = np.zeros(neurons, np.int64)
    count = start = 0
    group = 0
    while group < groups:
        worst = 0
        for i in range(neurons):
            for k in range(depth):
                word = np.int64(flat[i, group, k])
                if word > 0:
                    rise[i] += word
                else:
                    fall[i] -= word
            worst = max(worst, rise[i], fall[i])
        if worst * act_max < limit:
            group += 1
            continue
        if group == start:
            return -1
        # This group begins the next range: counted again there.
        ends[count] = start = group
        count += 1
        rise[:] = 0
        fall[:] = 0
    ends[count] = groups
    return count + 1


def choose_kernel(layer: MacLayer, config: EngineConfig, trusted: frozenset[Kernel]) -> Kernel:
    """The fastest trusted kernel that is exact for this layer; ``float64`` always is."""
    narrow = config.act_w <= 8 and config.wgt_w <= 8
    if narrow and "int8" in trusted:
        return "int8"
    if "float32" in trusted and int(layer.accumulator_bound(config.act_max).max()) < 1 << 24:
        return "float32"
    return "float64"
