"""A layer as kernels take it: one group, the same zeros on opposite sides of the map.

Padding with anything else, or more on one side, is written around the map beforehand; a grouped
convolution becomes one of few channels for each group.
"""

from __future__ import annotations

import dataclasses
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwsim.numbers.hashing import HashSpec
from hwsim.program.layers import MacLayer, Shape, Window


def is_depthwise(layer: MacLayer) -> bool:
    """Whether each output sees one channel of several."""
    return layer.groups > 1 and layer.groups == layer.in_shape[0]


def even(layer: MacLayer) -> MacLayer:
    """The layer without the padding that ``surround`` writes; itself where that writes none."""
    if not _is_uneven(layer):
        return layer
    window = layer.window
    assert window is not None
    top, left, bottom, right = window.padding
    channels, height, width = layer.in_shape
    inside = dataclasses.replace(
        layer,
        in_shape=(channels, height + top + bottom, width + left + right),
        window=Window(window.kernel, window.stride),
        fill=0,
    )
    _hand_over(inside, layer.virtual_weights)
    return inside


def surround(layer: MacLayer, maps: NDArray[Any]) -> NDArray[Any]:
    """maps (N, H, W, C) with the padding around them that ``even`` took from the layer."""
    if not _is_uneven(layer):
        return maps
    top, left, bottom, right = layer.window_padding
    count, height, width, channels = maps.shape
    shape = (count, height + top + bottom, width + left + right, channels)
    around = np.full(shape, layer.fill, maps.dtype)
    around[:, top : top + height, left : left + width] = maps
    return around


def inside(layer: MacLayer, flow: NDArray[Any]) -> NDArray[Any]:
    """A gradient (N, H, W, C) by what ``surround`` gave -> by the maps that it took."""
    if not _is_uneven(layer):
        return flow
    top, left, _, _ = layer.window_padding
    _, height, width = layer.in_shape
    return flow[:, top : top + height, left : left + width]


def group_of(layer: MacLayer, number: int) -> MacLayer:
    """One group of a convolution as a layer of its own, dense, with the decoded weights."""
    rows = slice(number * layer.group_out, (number + 1) * layer.group_out)
    spec = HashSpec("dense", layer.group_out, layer.fan_in, layer.group_out * layer.fan_in)
    scale = layer.weight_scale
    one = dataclasses.replace(
        layer,
        name=f"{layer.name}, group {number}",
        in_shape=(layer.in_shape[0] // layer.groups, *layer.in_shape[1:]),
        out_shape=(layer.group_out, *layer.out_shape[1:]),
        spec=spec,
        weights=np.ascontiguousarray(layer.virtual_weights[rows].T).reshape(-1),
        multiplier=layer.multiplier[rows],
        shift=layer.shift[rows],
        bias=layer.bias[rows],
        weight_scale=scale if len(scale) == 1 else scale[rows],
        groups=1,
    )
    _hand_over(one, layer.virtual_weights[rows])
    return one


def sides(layer: MacLayer) -> tuple[tuple[int, int], tuple[int, int], tuple[int, int]]:
    """(kernel, stride, padding) of an ``even`` layer, vertical before horizontal."""
    if layer.window is None:
        return layer.in_shape[1:], (1, 1), (0, 0)
    return layer.window.kernel, layer.window.stride, layer.window.padding[:2]


def _is_uneven(layer: MacLayer) -> bool:
    if layer.window is None or not any(layer.window.padding):
        return False
    return _differs(layer.window, layer.fill, layer.in_shape, layer.out_shape)


@lru_cache(maxsize=1024)
def _differs(window: Window, fill: int, in_shape: Shape, out_shape: Shape) -> bool:
    # By shapes, not by layers: those would stay alive with all their weights.
    top, left, _, _ = window.padding
    alike = Window(window.kernel, window.stride, (top, left, top, left))
    return fill != 0 or alike.out_sides(*in_shape[1:]) != out_shape[1:]


def _hand_over(layer: MacLayer, weights: NDArray[np.int32]) -> None:
    """Decoded weights of a form: its hash would give others."""
    layer.__dict__["virtual_weights"] = weights
