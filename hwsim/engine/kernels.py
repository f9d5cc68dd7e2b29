"""Exact sums of a layer for a batch, by what this CPU computes fast."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from numba import njit
from numpy.typing import NDArray
from torch import Tensor

from hwsim.engine.forms import sides
from hwsim.engine.precision import full_float32
from hwsim.numbers.config import EngineConfig
from hwsim.program.layers import MacLayer

Kernel = Literal["int8", "float32", "float64", "int64"]


#: ``direct`` asks the library for a convolution, ``columns`` copies the windows and asks for a
#: matrix product. Fully connected layers are matrix products either way.
Route = Literal["direct", "columns"]


class Accumulate:
    """The accumulators of one layer for a batch of images, by one kernel.

    layer: ``even``, of one group (see ``forms``).

    Calling it with a feature map (N, C, H, W), uint8 or int32, gives the sums Σ_j w·a as an array
    (N, OH, OW, n_out) of float32, float64, int32 or int64 that holds exact integers, if the kernel
    is right on this CPU: ``mac_proof.Checked`` asks.

    kernel: ``int8`` rides the CPU's u8×s8 dot products (oneDNN; sums come back as float32, so each
    chunk of the fan-in is kept below 2^24; chunks are added as int32 where the accumulator bound
    is below 2^31, else as int64), ``float32`` a float convolution of integers below 2^24,
    ``float64`` one below 2^53, which every legal layer obeys, ``int64`` loops of our own.
    parts: the ranges of the fan-in; None finds the longest that are exact for these weights.
    """

    def __init__(
        self,
        layer: MacLayer,
        act_max: int,
        kernel: Kernel,
        route: Route = "direct",
        parts: Sequence[tuple[int, int]] | None = None,
    ) -> None:
        self.layer, self.kernel = layer, kernel
        self.columns = layer.kind == "conv" and route == "columns"
        self.route: Route = "columns" if self.columns else "direct"
        weight = window_weights(layer)  # (n_out, rows, columns, channels)
        flat = layer.kind == "fc" or self.columns
        if flat:
            weight = weight.reshape(layer.n_out, layer.fan_in)
        elif kernel != "int64":
            weight = weight.transpose(0, 3, 1, 2)
        self._groups = weight.shape[1]
        if kernel == "int64":
            self.parts = [(0, self._groups)]
            self._packed: list[Any] = [np.ascontiguousarray(window_weights(layer), np.int64)]
            return
        self.parts = list(parts or _chunks(weight, act_max, kernel))
        #: Constants of every call, not looked up again for one image.
        _, stride, padding = map(list, sides(layer))
        self._geometry, self._unit = (stride, padding), _unit(layer.n_out)
        self._matrix = self.columns or layer.kind == "fc"
        # The library's kernels see one layout only, the one that was proved.
        self._form = torch.contiguous_format if self._matrix else torch.channels_last
        # Partial sums of chunks never exceed the bound: it counts positive and negative apart.
        bound = int(layer.accumulator_bound(act_max).max()) if len(self.parts) > 1 else 0
        self._total = torch.int32 if bound < 1 << 31 else torch.int64
        self._packed = [
            self._pack(torch.from_numpy(np.ascontiguousarray(weight[:, start:stop])))
            for start, stop in self.parts
        ]

    def _pack(self, weight: Tensor) -> Any:
        if self.kernel == "int8":
            ops = torch.ops.onednn
            if weight.ndim == 2:
                return ops.qlinear_prepack(weight.to(torch.int8), None)
            one = torch.ones(self.layer.n_out, dtype=torch.float32)
            _, stride, padding = map(list, sides(self.layer))
            # Without a shape the library packs for another algorithm and packs again at each call.
            shape = [1, weight.shape[1], *self.layer.in_shape[1:]]
            return ops.qconv_prepack(
                weight.to(torch.int8), one, 1.0, 0, stride, padding, [1, 1], 1, shape
            )
        wide = weight.to(torch.float32 if self.kernel == "float32" else torch.float64)
        return wide if wide.ndim == 2 else wide.contiguous(memory_format=torch.channels_last)

    def __call__(self, maps: Tensor) -> NDArray[Any]:
        layer = self.layer
        count, (_, out_h, out_w) = maps.shape[0], layer.out_shape
        if self.kernel == "int64":
            nhwc = maps.permute(0, 2, 3, 1).contiguous().numpy()
            exact = np.empty((count, out_h, out_w, layer.n_out), np.int64)
            _, stride, padding = sides(layer)
            _integer_sums(nhwc, self._packed[0], stride, padding, exact)
            return exact
        matrix, form = self._matrix, self._form
        if self.columns:
            source = torch.from_numpy(windows(maps.permute(0, 2, 3, 1).numpy(), layer))
        elif matrix:
            source = maps.permute(0, 2, 3, 1).reshape(count, -1)
        else:
            source = maps
        product = self._linear if matrix else self._conv
        if len(self.parts) == 1:
            total = product(source.contiguous(memory_format=form), self._packed[0])
        else:
            parts = (
                product(source[:, start:stop].contiguous(memory_format=form), packed)
                for (start, stop), packed in zip(self.parts, self._packed, strict=True)
            )
            total = next(parts).to(self._total)
            for part in parts:
                total.add_(part.to(self._total))
        if matrix:
            return total.numpy().reshape(count, out_h, out_w, -1)
        return total.permute(0, 2, 3, 1).contiguous().numpy()

    def _conv(self, maps: Tensor, packed: Any) -> Tensor:
        stride, padding = self._geometry
        if self.kernel == "int8":
            scale, zero = self._unit
            return torch.ops.onednn.qconv2d_pointwise(
                maps, 1.0, 0, packed, scale, zero, None, stride, padding, [1, 1], 1,
                1.0, 0, torch.float32, "none", [], None,
            )  # fmt: skip
        with full_float32():
            return F.conv2d(maps.to(packed.dtype), packed, None, stride, padding)

    def _linear(self, maps: Tensor, packed: Any) -> Tensor:
        if self.kernel == "int8":
            scale, zero = self._unit
            return torch.ops.onednn.qlinear_pointwise(
                maps, 1.0, 0, packed, scale, zero, None, 1.0, 0, torch.float32, "none", [], ""
            )
        with full_float32():
            return F.linear(maps.to(packed.dtype), packed)


def window_weights(layer: MacLayer) -> NDArray[np.int32]:
    """The decoded weights as windows (n_out, rows, columns, channels) of a channels-last map.

    A fully connected layer is one window that covers the whole map.
    """
    channels, height, width = layer.in_shape
    rows, columns = layer.window.kernel if layer.window else (height, width)
    return layer.virtual_weights.reshape(-1, channels, rows, columns).transpose(0, 2, 3, 1)


def windows(maps: NDArray[Any], layer: MacLayer) -> NDArray[Any]:
    """What each output pixel of a convolution sees: (N, H, W, C) -> (N·OH·OW, k·k'·C), stored so.

    A copy, but where a window is a pixel of the map.
    """
    (rows, columns), (down, right), (top, left) = sides(layer)
    _, out_h, out_w = layer.out_shape
    if is_pointwise(layer):
        return np.ascontiguousarray(maps).reshape(-1, maps.shape[3])
    around = ((0, 0), (top, top), (left, left), (0, 0))
    padded = np.pad(maps, around) if top or left else maps
    n, dn = len(padded), padded.strides
    view = np.lib.stride_tricks.as_strided(
        padded,
        (n, out_h, out_w, rows, columns, padded.shape[3]),
        (dn[0], dn[1] * down, dn[2] * right, dn[1], dn[2], dn[3]),
        writeable=False,
    )
    return np.array(view, order="C").reshape(n * out_h * out_w, -1)


@njit(nogil=True, cache=True)
def _integer_sums(maps, weight, stride, padding, out):  # type: ignore[no-untyped-def]
    """out (N, OH, OW, n_out) int64 = maps (N, H, W, C) * weight (n_out, k, k', C), in integers."""
    count, height, width, channels = maps.shape
    _, out_h, out_w, neurons = out.shape
    _, rows, columns, _ = weight.shape
    for n in range(count):
        for y in range(out_h):
            for x in range(out_w):
                for o in range(neurons):
                    total = np.int64(0)
                    for dy in range(rows):
                        row = y * stride[0] + dy - padding[0]
                        if row < 0 or row >= height:
                            continue
                        for dx in range(columns):
                            column = x * stride[1] + dx - padding[1]
                            if column < 0 or column >= width:
                                continue
                            for c in range(channels):
                                total += weight[o, dy, dx, c] * np.int64(maps[n, row, column, c])
                    out[n, y, x, o] = total


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


def is_thin(layer: MacLayer) -> bool:
    """Whether the layer's map has a side of one pixel before or behind it.

    There libraries' convolutions switch to other blockings: oneDNN 3.12's int8 one on AMX reads
    memory that nobody wrote where the stride is 2 and the output one pixel wide.
    """
    return layer.kind == "conv" and 1 in (*layer.in_shape[1:], *layer.out_shape[1:])


def is_pointwise(layer: MacLayer) -> bool:
    """Whether each pixel of the map is a window: a matrix product that needs no columns."""
    kernel, stride, padding = sides(layer)
    return layer.kind == "conv" and kernel == stride == (1, 1) and not any(padding)


def candidates(
    layer: MacLayer, config: EngineConfig, trusted: frozenset[Kernel]
) -> list[tuple[Kernel, Route]]:
    """Ways to compute this layer that are exact if the CPU is, fastest first.

    The last needs no library. A thin convolution never is asked for as a convolution, but in
    float64, whose way through torch knows no blockings.
    """
    routes: list[Route] = ["columns"] if is_thin(layer) else ["direct", "columns"]
    if is_pointwise(layer):
        routes.reverse()
    if layer.kind == "fc":
        routes = ["direct"]
    ways: list[tuple[Kernel, Route]] = []
    if config.act_w <= 8 and config.wgt_w <= 8 and "int8" in trusted:
        ways += [("int8", route) for route in routes]
    if "float32" in trusted and int(layer.accumulator_bound(config.act_max).max()) < 1 << 24:
        ways += [("float32", route) for route in routes]
    return [*ways, ("float64", "direct"), ("int64", "direct")]
