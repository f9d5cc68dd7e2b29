"""Gradients of a weighted layer by its input map: proved products, own loops otherwise."""

from __future__ import annotations

from functools import partial
from typing import Any, Literal, get_args

import numpy as np
import torch
import torch.nn.functional as F
from numba import njit
from numpy.typing import NDArray
from torch import Tensor

from hwsim.engine.depthwise import scatter
from hwsim.engine.float_proof import is_shown, proved_product
from hwsim.engine.flows import Bits
from hwsim.engine.forms import even, group_of, inside, is_depthwise, sides
from hwsim.engine.kernel_proof import geometry
from hwsim.engine.kernels import is_thin
from hwsim.engine.precision import full_float32
from hwsim.program.layers import MacLayer

F32 = NDArray[np.float32]
#: What the factors of a backward product are rounded to; sums are float32 always.
Precision = Literal["float32", "bfloat16"]
PRECISIONS: tuple[str, ...] = get_args(Precision)
#: Unit roundoff of bfloat16. A product rounds weight, flow and what comes out.
BFLOAT16_ROUNDOFF = 2.0**-8


class InputGradient:
    """Called with flow (N, OH, OW, n_out) at a layer's sums it gives (N, H, W, C) at its input.

    slope: float64 (n_out,), what a step of a sum does to the output, in real units by a step of the
    input. signed: with the weights as they are, else with their sizes. Weight and slope are one
    factor, because each alone may leave the range of float32 where their product does not.
    precision: ``bfloat16`` for convolutions in shapes where this processor's kernel was shown to
    lose no more than three roundings (of weight, flow and result), so that a sign may turn only
    where a gradient is smaller than 3.1 · 2^-8 of the sizes of its terms; float32 elsewhere.
    """

    def __init__(
        self,
        layer: MacLayer,
        slope: NDArray[np.float64],
        signed: bool = True,
        precision: Precision = "float32",
    ) -> None:
        self._layer, self._form = layer, even(layer)
        self._own: F32 | None = None
        self._parts: list[_GroupProduct] = []
        if is_depthwise(layer):
            (rows, columns), _, _ = sides(self._form)
            own = _real(layer, slope, signed).reshape(layer.n_out, rows, columns).transpose(1, 2, 0)
            self._own = np.ascontiguousarray(own)
        elif layer.groups > 1:
            for number in range(layer.groups):
                one = group_of(self._form, number)
                some = slope[number * layer.group_out :][: layer.group_out]
                self._parts.append(_GroupProduct(one, _real(one, some, signed), precision))
        else:
            self._parts.append(
                _GroupProduct(self._form, _real(self._form, slope, signed), precision)
            )

    def takes_bits(self, shape: tuple[int, ...]) -> bool:
        """Whether a flow of this shape may be the bits of bfloat16, and what comes out with it."""
        return len(self._parts) == 1 and self._parts[0].is_narrow(shape)

    def __call__(self, flow: F32 | Bits) -> F32 | Bits:
        form = self._form
        if flow.dtype == np.uint16:
            return inside(self._layer, self._parts[0].bits(flow))
        if self._own is None:
            pieces = np.split(flow, len(self._parts), 3)
            found = [
                part(np.ascontiguousarray(piece))
                for part, piece in zip(self._parts, pieces, strict=True)
            ]
            whole = found[0] if len(found) == 1 else np.concatenate(found, 3)
            return inside(self._layer, whole)
        _, stride, padding = sides(form)
        channels, height, width = form.in_shape
        out = np.zeros((len(flow), height, width, form.n_out), np.float32)
        scatter(np.ascontiguousarray(flow), self._own, stride, padding, out)
        if form.group_out > 1:
            out = out.reshape(len(flow), height, width, channels, -1).sum(4)
        return inside(self._layer, out)


class _GroupProduct:
    """A layer of one group, called with a contiguous flow. real: of each of its virtual weights."""

    def __init__(self, layer: MacLayer, real: F32, precision: Precision) -> None:
        self._layer = layer
        self._name = f"input gradient of {geometry(layer)}"
        self._terms = layer.n_out * (layer.window.size if layer.window else 1)
        self._full = _packed(layer, real)
        self._narrow: Tensor | None = None
        if precision == "bfloat16" and layer.kind != "fc" and not is_thin(layer):
            self._narrow = _as_kernel(layer, real).to(torch.bfloat16)

    def is_narrow(self, shape: tuple[int, ...]) -> bool:
        """Whether flows of this shape go through in bfloat16."""
        return self._narrow is not None and is_shown(
            f"{self._name} in bfloat16",
            partial(_by_library, self._layer, self._narrow),
            partial(_by_columns, self._layer),
            shape,
            partial(_matrix, self._layer, self._narrow),
            self._terms,
            # Of the flow and of what comes out: the matrix is of rounded weights.
            2.01 * BFLOAT16_ROUNDOFF,
        )

    def bits(self, flow: NDArray[Any]) -> Bits:
        """Through in bfloat16, in and out."""
        assert self._narrow is not None
        back = _transposed(self._layer, self._narrow, of_bits(flow))
        return back.contiguous().view(torch.int16).numpy().view(np.uint16)

    def __call__(self, flow: F32) -> F32:
        if self.is_narrow(flow.shape):
            assert self._narrow is not None
            return _by_library(self._layer, self._narrow, flow)
        return proved_product(
            self._name,
            partial(_by_library, self._layer, self._full),
            partial(_by_columns, self._layer),
            flow,
            partial(_matrix, self._layer, self._full),
            self._terms,
        )


def of_bits(flow: Bits) -> Tensor:
    """Bits as the numbers that they are; no copy."""
    return torch.from_numpy(flow.view(np.int16)).view(torch.bfloat16)


def _by_library(layer: MacLayer, weight: Tensor, flow: NDArray[np.float32]) -> NDArray[np.float32]:
    """Flow (N, OH, OW, n_out) back through a layer, (N, H, W, C): float32 sums of products in the
    type of ``weight``.
    """
    channels, height, width = layer.in_shape
    with full_float32():
        if layer.kind == "fc":
            back = torch.from_numpy(flow.reshape(len(flow), -1)) @ weight
            return back.numpy().reshape(len(flow), height, width, channels)
        (rows, columns), (down, right), (top, left) = sides(layer)
        _, out_h, out_w = layer.out_shape
        if weight.ndim == 2:
            # Few input channels: the library's transposed convolution would waste its vectors.
            spread = torch.from_numpy(flow.reshape(-1, layer.n_out)) @ weight
            out = np.zeros((len(flow), height, width, channels), np.float32)
            shape = (len(flow), out_h, out_w, rows, columns, channels)
            _scatter_columns(spread.numpy().reshape(shape), (down, right), (top, left), out)
            return out
        back = _transposed(layer, weight, torch.from_numpy(flow).to(weight.dtype))
        return back.float().contiguous().numpy()


def _transposed(layer: MacLayer, weight: Tensor, flow: Tensor) -> Tensor:
    """The library's transposed convolution (N, OH, OW, n_out) -> (N, H, W, C), one type."""
    _, height, width = layer.in_shape
    _, out_h, out_w = layer.out_shape
    (rows, columns), (down, right), (top, left) = sides(layer)
    extra = (
        height - ((out_h - 1) * down - 2 * top + rows),
        width - ((out_w - 1) * right - 2 * left + columns),
    )
    back = F.conv_transpose2d(
        flow.permute(0, 3, 1, 2), weight, None, (down, right), (top, left), extra
    )
    return back.permute(0, 2, 3, 1)


def _matrix(layer: MacLayer, weight: Tensor) -> NDArray[np.float64]:
    """The weights of ``_packed`` as one matrix (n_out, k·k'·C) or (n_out, H·W·C), float64."""
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
    (rows, across), stride, padding = sides(layer)
    _, out_h, out_w = layer.out_shape
    shape = (len(flow), out_h, out_w, rows, across, channels)
    _scatter_columns(columns.reshape(shape), stride, padding, out)
    return out


#: Up to here a convolution's input gradient is one matrix product and a scatter.
FEW_CHANNELS = 4


@njit(nogil=True, cache=True)
def _scatter_columns(columns, stride, padding, out):  # type: ignore[no-untyped-def]
    """Add (N, OH, OW, k, k', C) contributions to the input pixels (N, H, W, C) they belong to."""
    images, out_h, out_w, rows, across, channels = columns.shape
    _, height, width, _ = out.shape
    for n in range(images):
        for y in range(out_h):
            for x in range(out_w):
                for dy in range(rows):
                    row = y * stride[0] + dy - padding[0]
                    if row < 0 or row >= height:
                        continue
                    for dx in range(across):
                        column = x * stride[1] + dx - padding[1]
                        if column < 0 or column >= width:
                            continue
                        for c in range(channels):
                            out[n, row, column, c] += columns[n, y, x, dy, dx, c]


def _real(layer: MacLayer, slope: NDArray[np.float64], signed: bool) -> F32:
    """∂y/∂x of each weight, or its size."""
    real = (layer.virtual_weights * slope[:, None]).astype(np.float32)
    return real if signed else np.abs(real)


def _packed(layer: MacLayer, real: F32) -> Tensor:
    """Weights of a layer of one group, laid out for ``_by_library``."""
    channels, height, width = layer.in_shape
    if layer.kind == "fc":
        matrix = real.reshape(-1, channels, height, width).transpose(0, 2, 3, 1)
        return torch.from_numpy(np.ascontiguousarray(matrix.reshape(len(real), -1)))
    if channels <= FEW_CHANNELS or is_thin(layer):
        kernel = torch.from_numpy(real.reshape(-1, channels, *sides(layer)[0]))
        return kernel.permute(0, 2, 3, 1).reshape(len(real), -1).contiguous()
    return _as_kernel(layer, real)


def _as_kernel(layer: MacLayer, real: F32) -> Tensor:
    kernel = torch.from_numpy(real.reshape(-1, layer.in_shape[0], *sides(layer)[0]))
    return kernel.contiguous(memory_format=torch.channels_last)
