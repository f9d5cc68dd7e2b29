"""The float network of an image that came without one: its own arithmetic, without rounding."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from hwsim.program.layers import (
    AddLayer,
    AffineLayer,
    AverageLayer,
    Layer,
    LutLayer,
    MacLayer,
    PoolLayer,
    Window,
    is_last,
    rounding_of,
)
from hwsim.program.program import Program
from hwsim.program.wires import Place


class Dequantized(nn.Module):
    """A Program in float32: (N, *input shape) -> logits (N, classes), differentiable.

    Maps hold codes as real numbers, clamped as the engine clamps them but rounded nowhere; between
    the entries of a table lie straight lines. So it differs from the engine by rounding alone.
    """

    def __init__(self, program: Program) -> None:
        super().__init__()
        self.program = program
        self.steps = nn.ModuleList([_step(layer) for layer in program.layers])
        self.eval().requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        """Vectors and series, too; values as the program's input says."""
        image = self.program.input
        codes = x.float().reshape(-1, *image.shape) / float(image.scale) + image.zero
        top = image.last(self.program.config.act_max)
        parts: dict[int, dict[int, Tensor]] = {0: {0: codes.clamp(0, top)}}
        for layer, wire, step in zip(
            self.program.layers, self.program.wires, self.steps, strict=True
        ):
            sources = [_read(parts, place, layer) for place in wire.sources]
            made = step(*sources)
            if wire.target is None:
                break
            parts.setdefault(wire.target.map, {})[wire.target.channel] = made
        logits: Tensor = made.flatten(1) * self.program.logit_scale
        return logits


def _read(parts: dict[int, dict[int, Tensor]], place: Place, layer: Layer) -> Tensor:
    pieces = parts[place.map]
    whole = torch.cat([pieces[first] for first in sorted(pieces)], 1)
    return whole[:, place.channel : place.channel + layer.in_shape[0]]


class _FloatRequantized(nn.Module):
    """Σ of a layer, already scaled -> codes: plus bias, clamped; of the last layer the sum itself.

    The term that rounds to the nearest is no part of the real number.
    """

    offset: Tensor
    gain: Tensor

    def __init__(self, layer: Any) -> None:
        super().__init__()
        last = is_last(layer)
        unit = np.ones(1) if last else np.ldexp(1.0, -layer.shift.astype(np.int64))
        bias = layer.bias if last else layer.bias - rounding_of(layer.shift)
        gain = unit if last else layer.multiplier * unit
        self.bounds = None if last else (layer.lo, layer.hi)
        self.register_buffer("gain", _tensor(gain))
        self.register_buffer("offset", _tensor(bias * unit).reshape(-1, 1, 1))

    def forward(self, sums: Tensor) -> Tensor:
        found = sums + self.offset
        return found if self.bounds is None else found.clamp(*self.bounds)


class _FloatMac(nn.Module):
    weight: Tensor

    def __init__(self, layer: MacLayer) -> None:
        super().__init__()
        self.layer, self.post = layer, _FloatRequantized(layer)
        gain = self.post.gain.reshape(-1, 1)
        self.register_buffer(
            "weight", torch.from_numpy(layer.virtual_weights.copy()).float() * gain
        )

    def forward(self, x: Tensor) -> Tensor:
        layer = self.layer
        if layer.window is None:
            return self.post((x.flatten(1) @ self.weight.T)[:, :, None, None])
        kernel = self.weight.reshape(layer.n_out, -1, *layer.window.kernel)
        padded = _padded(x, layer.window, layer.out_shape, layer.fill)
        return self.post(F.conv2d(padded, kernel, stride=layer.window.stride, groups=layer.groups))


class _FloatAverage(nn.Module):
    def __init__(self, layer: AverageLayer) -> None:
        super().__init__()
        self.window, self.post = layer.window, _FloatRequantized(layer)

    def forward(self, x: Tensor) -> Tensor:
        mean = F.avg_pool2d(x, self.window.kernel, self.window.stride)
        return self.post(mean * self.window.size * self.post.gain)


class _FloatAffine(nn.Module):
    def __init__(self, layer: AffineLayer) -> None:
        super().__init__()
        self.post = _FloatRequantized(layer)

    def forward(self, x: Tensor) -> Tensor:
        return self.post(x * self.post.gain.reshape(-1, 1, 1))


class _FloatAdd(nn.Module):
    def __init__(self, layer: AddLayer) -> None:
        super().__init__()
        self.post = _FloatRequantized(layer)

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        gain = self.post.gain
        return self.post(first * gain[0] + second * gain[1])


class _FloatLut(nn.Module):
    table: Tensor

    def __init__(self, layer: LutLayer) -> None:
        super().__init__()
        self.register_buffer("table", _tensor(layer.table))

    def forward(self, x: Tensor) -> Tensor:
        below = x.detach().floor().clamp(0, len(self.table) - 2)
        at = below.long()
        return self.table[at] + (self.table[at + 1] - self.table[at]) * (x - below)


class _FloatPool(nn.Module):
    def __init__(self, layer: PoolLayer) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        window = self.layer.window
        padded = _padded(x, window, self.layer.out_shape, 0)  # codes are at least 0: it never wins
        return F.max_pool2d(padded, window.kernel, window.stride)


def _step(layer: Layer) -> nn.Module:
    kinds: dict[type, Any] = {
        MacLayer: _FloatMac, AverageLayer: _FloatAverage, AffineLayer: _FloatAffine,
        AddLayer: _FloatAdd,
        LutLayer: _FloatLut, PoolLayer: _FloatPool,
    }  # fmt: skip
    made: nn.Module = kinds[type(layer)](layer)
    return made


def _padded(x: Tensor, window: Window, out_shape: tuple[int, ...], fill: float) -> Tensor:
    """The map with what its windows read around it; what none of them reads is cut off."""
    top, left = window.padding[:2]
    (kh, kw), (sh, sw), (_, height, width) = window.kernel, window.stride, out_shape
    bottom = (height - 1) * sh + kh - x.shape[2] - top
    right = (width - 1) * sw + kw - x.shape[3] - left
    return F.pad(x, (left, right, top, bottom), value=float(fill))


def _tensor(values: NDArray[Any]) -> Tensor:
    return torch.from_numpy(np.asarray(values, np.float64)).float()
