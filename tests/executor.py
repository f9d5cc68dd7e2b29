"""A Program run in NumPy's int64, as docs/images.md says it: short, slow, and nobody's fast path.

For tests of the compiler, which need logits and nothing else of an engine.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hwsim.program.layers import (
    AddLayer,
    AffineLayer,
    AverageLayer,
    Layer,
    LutLayer,
    MacLayer,
    PoolLayer,
    Window,
)
from hwsim.program.program import Program

I64 = NDArray[np.int64]


def logits(program: Program, images: Tensor) -> NDArray[np.float64]:
    """What the logits of images (N, …) are worth: (N, classes)."""
    return integers(program, images) * program.logit_scale


def codes(program: Program, images: Tensor) -> I64:
    """Images (N, …) as codes (N, C, H, W)."""
    step, top = float(program.input.scale), program.input.last(program.config.act_max)
    pixels = images.double().numpy().reshape(len(images), *program.input_shape)
    found = np.floor(pixels / step + 0.5) + program.input.zero
    return np.clip(found, 0, top).astype(np.int64)


def integers(program: Program, images: Tensor) -> I64:
    """Logits (N, classes)."""
    maps: list[I64] = [np.full((len(images), *one.shape), -1, np.int64) for one in program.maps]
    maps[0] = codes(program, images)
    found = None
    for layer, wire in zip(program.layers, program.wires, strict=True):
        read = [
            maps[place.map][:, place.channel : place.channel + layer.in_shape[0]]
            for place in wire.sources
        ]
        assert all((one >= 0).all() for one in read), "read before it was written"
        found = _run(layer, read)
        assert found.shape[1:] == layer.out_shape
        if wire.target is not None:
            channel = wire.target.channel
            maps[wire.target.map][:, channel : channel + layer.out_shape[0]] = found
            assert found.min() >= 0
            assert found.max() <= program.config.act_max
    assert found is not None
    return found[:, :, 0, 0]


def _run(layer: Layer, read: list[I64]) -> I64:
    if isinstance(layer, PoolLayer):
        return _windows(read[0], layer.window, 0).max(-1)
    if isinstance(layer, LutLayer):
        return layer.table.astype(np.int64)[read[0]]
    if isinstance(layer, AddLayer):
        total = sum(one * int(m) for one, m in zip(read, layer.multiplier, strict=True)) + int(
            layer.bias[0]
        )
        return np.clip(total >> int(layer.shift[0]), layer.lo, layer.hi)
    if isinstance(layer, AverageLayer):
        acc = _windows(read[0], layer.window, 0).sum(-1)
    elif isinstance(layer, AffineLayer):
        acc = read[0]
    else:
        acc = _summed(layer, read[0])
    return _posted(layer, acc)


def _summed(layer: MacLayer, read: I64) -> I64:
    weights = layer.virtual_weights.astype(np.float64)
    if layer.window is None:
        flat = read.reshape(len(read), -1).astype(np.float64)
        return np.rint(flat @ weights.T).astype(np.int64)[:, :, None, None]
    top, left, bottom, right = layer.window.padding
    planes = np.pad(read, ((0, 0), (0, 0), (top, bottom), (left, right)),
                    constant_values=layer.fill)  # fmt: skip
    kernel = weights.reshape(layer.n_out, -1, *layer.window.kernel)
    # Doubles hold these sums exactly.
    found = torch.nn.functional.conv2d(
        torch.from_numpy(planes).double(), torch.from_numpy(kernel),
        stride=layer.window.stride, groups=layer.groups,
    )  # fmt: skip
    return np.rint(found.numpy()).astype(np.int64)


def _posted(layer: Any, acc: I64) -> I64:
    m, s, b = (
        np.asarray(words, np.int64)[None, :, None, None]
        for words in (layer.multiplier, layer.shift, layer.bias)
    )
    if layer.last:
        return acc + b
    return np.clip((acc * m + b) >> s, layer.lo, layer.hi)


def _windows(read: I64, window: Window, outside: int) -> I64:
    """(N, C, H', W', kernel) of a map."""
    top, left, bottom, right = window.padding
    planes = np.pad(read, ((0, 0), (0, 0), (top, bottom), (left, right)),
                    constant_values=outside)  # fmt: skip
    found = np.lib.stride_tricks.sliding_window_view(planes, window.kernel, (2, 3))
    found = found[:, :, :: window.stride[0], :: window.stride[1]]
    return found.reshape(*found.shape[:4], -1)
