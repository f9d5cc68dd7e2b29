"""The backward pass through the fixed-point datapath (Liu et al. 2018 eq. 4 and 6).

Gradients of the input; ``weight_gradient.py`` makes those of the weights from what passes by here.
Weights are the decoded fixed-point ones and the gates are those of the *fixed-point* forward.
Values are in real units (∂y/∂x near the float network's), so that float32 underflows here where
it would underflow in the float network.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, get_args

import numpy as np
import torch
import torch.nn.functional as F
from numba import njit
from numpy.typing import NDArray
from torch import Tensor

from hwsim.engine.float_proof import proved_product
from hwsim.engine.forward import Datapath, Stage, Tape
from hwsim.engine.kernel_proof import geometry
from hwsim.engine.kernels import is_thin
from hwsim.engine.precision import full_float32
from hwsim.program.program import MacLayer
from hwsim.units import pool as pool_unit
from hwsim.units import post as post_unit

GradientMode = Literal["ste", "ste-unclamped", "finite-difference"]
OnLayer = Callable[[int, NDArray[np.float32]], None]
GRADIENT_MODES: tuple[str, ...] = get_args(GradientMode)


class Backward:
    """Vector-Jacobian products of a Datapath from its recorded states."""

    def __init__(self, datapath: Datapath, mode: GradientMode) -> None:
        self.datapath = datapath
        self.mask = post_unit.POSITIVE
        if mode == "ste":
            self.mask |= post_unit.UNSATURATED
        self._weights = [_weight(stage.layer) for stage in datapath.stages]
        self._names = [
            f"input gradient of {geometry(stage.layer)}" if stage.layer else ""
            for stage in datapath.stages
        ]

    def run(self, seed: NDArray[np.float32], tape: Tape) -> NDArray[np.float32]:
        """∂(Σ seed · logits)/∂x of a batch: seed (N, classes) -> (N, C, H, W), x in [0, 1].

        tape: of a run of the same datapath that kept its states.
        """
        none = np.zeros((0, *self.datapath.program.input_shape), np.float32)
        parts = tape.each(lambda chunk: self.chunk(seed[chunk.piece], chunk.states))
        return np.concatenate([none, *parts])

    def chunk(
        self, seed: NDArray[np.float32], states: list[Any], on_layer: OnLayer | None = None
    ) -> NDArray[np.float32]:
        """The same of one chunk, from its states.

        on_layer(stage number, flow): sees ∂/∂(output before ReLU and pool) of each layer,
        (N, OH, OW, out_c), last layer first.
        """
        flow: NDArray[np.float32] = seed.reshape(len(seed), 1, 1, -1)
        stages = self.datapath.stages
        for index in range(len(stages) - 1, -1, -1):
            stage = stages[index]
            if stage.layer is None:
                flow = self._unpool(stage, index, flow, states[index])
                continue
            if not stage.layer.last:
                flow = self._unpost(stage, index, flow, states[index])
            if on_layer is not None:
                on_layer(index, flow)
            flow = self._unmac(stage.layer, index, flow)
        act_max, act_w = self.datapath.config.act_max, self.datapath.config.act_w
        # Pixels are worth a · 2^-A, and a = x · (2^A − 1).
        images = flow.transpose(0, 3, 1, 2) * np.float32(act_max / 2.0**act_w)
        return np.ascontiguousarray(images)

    def _unpool(
        self, stage: Stage, index: int, flow: NDArray[np.float32], winner: NDArray[np.uint8]
    ) -> NDArray[np.float32]:
        pool = stage.pool
        assert pool is not None
        channels, height, width = pool.in_shape
        out = np.zeros((len(flow), height, width, channels), np.float32)
        pool_unit.max_pool_gradient(flow, winner, pool.kernel, pool.stride, out)
        return out

    def _unpost(
        self, stage: Stage, index: int, flow: NDArray[np.float32], state: NDArray[np.uint8]
    ) -> NDArray[np.float32]:
        layer, pool = stage.layer, stage.pool
        assert layer is not None
        channels, height, width = layer.out_shape
        kernel, stride = (pool.kernel, pool.stride) if pool else (1, 1)
        out = np.zeros((len(flow), height, width, channels), np.float32)
        post_unit.requantize_pool_gradient(flow, state, self.mask, kernel, stride, out)
        return out

    def _unmac(self, layer: MacLayer, index: int, flow: NDArray[np.float32]) -> Any:
        weight = self._weights[index]

        def exact(some: NDArray[Any], matrix: NDArray[Any]) -> NDArray[Any]:
            return _by_columns(layer, some, matrix)

        return proved_product(
            self._names[index],
            lambda some: _by_library(layer, weight, some),
            exact,
            flow,
            lambda: _matrix(layer, weight),
            layer.n_out * max(1, layer.kernel) ** 2,
        )


def _by_library(layer: MacLayer, weight: Tensor, flow: NDArray[np.float32]) -> NDArray[np.float32]:
    """Flow (N, OH, OW, n_out) back through a layer, (N, H, W, C), in full float32."""
    channels, height, width = layer.in_shape
    with full_float32():
        if layer.kind == "fc":
            back = torch.from_numpy(flow.reshape(len(flow), -1)) @ weight
            return back.numpy().reshape(len(flow), height, width, channels)
        k, s, p = layer.kernel, layer.stride, layer.padding
        _, out_h, out_w = layer.out_shape
        if weight.ndim == 2:
            # Few input channels: the library's transposed convolution would waste its vectors.
            columns = torch.from_numpy(flow.reshape(-1, layer.n_out)) @ weight
            out = np.zeros((len(flow), height, width, channels), np.float32)
            shape = (len(flow), out_h, out_w, k, k, channels)
            _scatter_columns(columns.numpy().reshape(shape), s, p, out)
            return out
        extra = (
            height - ((out_h - 1) * s - 2 * p + k),
            width - ((out_w - 1) * s - 2 * p + k),
        )
        back = F.conv_transpose2d(
            torch.from_numpy(flow).permute(0, 3, 1, 2), weight, None, s, p, extra
        )
        return back.permute(0, 2, 3, 1).contiguous().numpy()


def _matrix(layer: MacLayer, weight: Tensor) -> NDArray[np.float64]:
    """The weights of ``_weight`` as one matrix (n_out, k·k·C) or (n_out, H·W·C), float64."""
    if weight.ndim == 4:
        weight = weight.permute(0, 2, 3, 1).reshape(layer.n_out, -1)
    return weight.double().numpy()


def _by_columns(layer: MacLayer, flow: NDArray[Any], matrix: NDArray[Any]) -> NDArray[Any]:
    """The same in float64 by NumPy and a loop of our own, which know no blockings by shape."""
    channels, height, width = layer.in_shape
    columns = flow.reshape(-1, layer.n_out).astype(np.float64) @ matrix
    if layer.kind == "fc":
        return columns.reshape(len(flow), height, width, channels)
    out = np.zeros((len(flow), height, width, channels))
    k, (_, out_h, out_w) = layer.kernel, layer.out_shape
    shape = (len(flow), out_h, out_w, k, k, channels)
    _scatter_columns(columns.reshape(shape), layer.stride, layer.padding, out)
    return out


#: Up to here a convolution's input gradient is one matrix product and a scatter.
FEW_CHANNELS = 4


@njit(nogil=True, cache=True)
def _scatter_columns(columns, stride, padding, out):  # type: ignore[no-untyped-def]
    """Add (N, OH, OW, k, k, C) contributions to the input pixels (N, H, W, C) they belong to."""
    images, out_h, out_w, kernel, _, channels = columns.shape
    _, height, width, _ = out.shape
    for n in range(images):
        for y in range(out_h):
            for x in range(out_w):
                for dy in range(kernel):
                    row = y * stride + dy - padding
                    if row < 0 or row >= height:
                        continue
                    for dx in range(kernel):
                        column = x * stride + dx - padding
                        if column < 0 or column >= width:
                            continue
                        for c in range(channels):
                            out[n, row, column, c] += columns[n, y, x, dy, dx, c]


def _weight(layer: MacLayer | None) -> Tensor:
    """∂y/∂x of a layer in real units, float32, laid out for ``_unmac``; empty for a pool.

    Weight and requantization slope in one factor, w · m · 2^(fa_in − fa_out − s), because each
    alone may leave the range of float32 where their product does not.
    """
    if layer is None:
        return torch.empty(0, dtype=torch.float32)
    channels, height, width = layer.in_shape
    exponent: NDArray[np.int64] = np.full(layer.n_out, -layer.fw, np.int64)
    multiplier: NDArray[np.float64] = np.ones(layer.n_out)
    if not layer.last:
        exponent = layer.fa_in - layer.fa_out - layer.shift.astype(np.int64)
        multiplier = layer.multiplier.astype(np.float64)
    wide = layer.virtual_weights * multiplier[:, None]
    real = np.ldexp(wide, exponent[:, None]).astype(np.float32)
    if layer.kind == "fc":
        matrix = real.reshape(-1, channels, height, width).transpose(0, 2, 3, 1)
        return torch.from_numpy(np.ascontiguousarray(matrix.reshape(len(real), -1)))
    kernel = torch.from_numpy(real.reshape(-1, channels, layer.kernel, layer.kernel))
    if channels <= FEW_CHANNELS or is_thin(layer):
        return kernel.permute(0, 2, 3, 1).reshape(len(real), -1).contiguous()
    return kernel.contiguous(memory_format=torch.channels_last)


def finite_difference(
    evaluate: Callable[[NDArray[Any]], NDArray[np.float64]],
    maps: NDArray[Any],
    seed: NDArray[np.float32],
    act_max: int,
    step: int = 1,
    batch: int = 512,
) -> NDArray[np.float32]:
    """The same product measured on the real datapath, one pixel at a time.

    evaluate: gridded images (B, H, W, C) -> real logits (B, classes). maps: (N, H, W, C) integers.
    step: how far a pixel is moved either way, in LSB, 1 … 2^A − 1. Differences are central where
    both neighbours lie in 0 … 2^A − 1, and over what is left of the step where they do not, at 0
    and 2^A − 1 one-sided. Costs 2·C·H·W forward passes an image.
    """
    count, height, width, channels = maps.shape
    pixels = height * width * channels
    out = np.zeros((count, pixels), np.float64)
    for n in range(count):
        flat = maps[n].reshape(-1)
        for start in range(0, pixels, batch):
            chosen = np.arange(start, min(start + batch, pixels))
            up = np.repeat(flat[None], len(chosen), 0)
            down = up.copy()
            row = np.arange(len(chosen))
            up[row, chosen] = np.minimum(up[row, chosen].astype(np.int64) + step, act_max)
            down[row, chosen] = np.maximum(down[row, chosen].astype(np.int64) - step, 0)
            moved = up[row, chosen].astype(np.float64) - down[row, chosen]
            both = np.concatenate([up, down]).reshape(-1, height, width, channels)
            value = evaluate(both) @ seed[n].astype(np.float64)
            out[n, chosen] = (value[: len(chosen)] - value[len(chosen) :]) / moved
    images = out.reshape(count, height, width, channels).transpose(0, 3, 1, 2) * act_max
    return np.ascontiguousarray(images, dtype=np.float32)
