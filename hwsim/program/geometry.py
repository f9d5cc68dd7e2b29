"""Geometry that the engine can run: sides, windows, groups, and the shapes that follow."""

from __future__ import annotations

import numpy as np

from hwsim.errors import CompileError
from hwsim.numbers.config import EngineConfig
from hwsim.program.layers import AverageLayer, Layer, MacLayer, PoolLayer, Shape, Window, is_last

#: Sides and channel counts are 16-bit fields of an instruction.
MAX_SIDE = (1 << 16) - 1
#: Sides of a kernel: of a convolution or max-pool, and of an average.
MAX_KERNEL, MAX_AVERAGE = 11, 15
#: Strides: of a convolution, and of a pool or average.
MAX_STRIDE, MAX_STEP = 4, 15


def check_geometry(config: EngineConfig, layer: Layer) -> None:
    """Raise CompileError unless the layer's shapes follow from each other and are supported."""
    for shape in (layer.in_shape, layer.out_shape):
        _check_shape(layer.name, shape)
    if isinstance(layer, MacLayer):
        expected = _behind_mac(config, layer)
    elif isinstance(layer, PoolLayer):
        expected = _behind_pool(layer)
    elif isinstance(layer, AverageLayer):
        expected = _behind_average(config, layer)
    else:
        expected = layer.in_shape
    if layer.out_shape != expected:
        raise CompileError(f"{layer.name}: output shape {layer.out_shape}, expected {expected}")
    if is_last(layer) and layer.out_shape[1:] != (1, 1):
        raise CompileError(
            f"{layer.name}: the last layer must give a vector, not a map {layer.out_shape}: end in "
            "a Linear layer or a global pool"
        )


def _check_shape(name: str, shape: Shape) -> None:
    whole = isinstance(shape, tuple) and all(isinstance(side, int | np.integer) for side in shape)
    if not whole or len(shape) != 3:
        raise CompileError(f"{name}: {shape} is not a shape (channels, height, width)")
    sides = [int(side) for side in shape]
    if min(sides) < 1:
        raise CompileError(
            f"{name}: the feature map {shape} is empty: use larger images, or less pooling"
        )
    if max(sides) > MAX_SIDE:
        raise CompileError(f"{name}: the feature map {shape} has a side beyond {MAX_SIDE}")


def _check_window(name: str, window: Window, kernel: int, stride: int, padded: bool) -> None:
    wrong = not all(1 <= side <= kernel for side in window.kernel)
    wrong |= not all(1 <= step <= stride for step in window.stride)
    (k_h, k_w), (top, left, bottom, right) = window.kernel, window.padding
    wrong |= not (min(window.padding) >= 0 and max(top, bottom) < k_h and max(left, right) < k_w)
    wrong |= not padded and any(window.padding)
    if wrong:
        most = ", padding below the kernel" if padded else ", no padding"
        raise CompileError(
            f"{name}: kernels of 1 to {kernel} and strides of 1 to {stride} a side{most} are "
            f"supported, got kernel {k_h}x{k_w}, stride {window.stride[0]}x{window.stride[1]}, "
            f"padding {window.padding}"
        )


def _behind_mac(config: EngineConfig, layer: MacLayer) -> Shape:
    """The output shape that follows from a layer's input and window, both of which it checks."""
    channels, height, width = layer.in_shape
    window = layer.window
    if (layer.kind == "conv") != (window is not None):
        raise CompileError(
            f"{layer.name}: a convolution has a window, a fully connected layer none"
        )
    groups = layer.groups
    if groups < 1 or channels % groups or layer.n_out % groups or (groups > 1 and window is None):
        raise CompileError(
            f"{layer.name}: {groups} groups do not divide {channels} and {layer.n_out} channels"
        )
    size = channels * height * width
    if window is not None:
        _check_window(layer.name, window, MAX_KERNEL, MAX_STRIDE, padded=True)
        size = channels // groups * window.size
    if layer.fan_in != size:
        raise CompileError(
            f"{layer.name}: fan-in {layer.fan_in} does not match its input {layer.in_shape}"
        )
    if window is None:
        return layer.n_out, 1, 1
    if size > config.tile_depth:
        raise CompileError(
            f"{layer.name}: fan-in {size} exceeds TILE_DEPTH {config.tile_depth} of configuration "
            f"{config.name}: use fewer input channels or a smaller kernel, or choose a "
            "configuration with a larger TILE_DEPTH"
        )
    return layer.n_out, *window.out_sides(height, width)


def _behind_pool(layer: PoolLayer) -> Shape:
    window, (channels, height, width) = layer.window, layer.in_shape
    # With padding below the kernel on every side, each window holds a pixel of the map.
    _check_window(layer.name, window, MAX_KERNEL, MAX_STEP, padded=True)
    return channels, *window.out_sides(height, width)


def _behind_average(config: EngineConfig, layer: AverageLayer) -> Shape:
    window, (channels, height, width) = layer.window, layer.in_shape
    if window.size > config.tile_depth:
        raise CompileError(
            f"{layer.name}: a window of {window.size} exceeds TILE_DEPTH {config.tile_depth} of "
            f"configuration {config.name}"
        )
    _check_window(layer.name, window, MAX_AVERAGE, MAX_STEP, padded=False)
    return channels, *window.out_sides(height, width)
