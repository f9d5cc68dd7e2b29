"""Layers that sum up, as steps that no quantizer has ended yet."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np

from hwsim.compiler.operations import as_map
from hwsim.compiler.stages import Rescaling
from hwsim.importer.graph import AddNode, AverageNode, ConvNode, LinearNode
from hwsim.importer.group_values import GroupValues
from hwsim.importer.limits import refuse
from hwsim.importer.pending import QUANTIZE_BEFORE, Pending, State, repeated
from hwsim.program.layers import Window


def weighted(values: GroupValues, node: ConvNode | LinearNode) -> State:
    """The sums of a convolution or fully connected layer."""
    value, sides, gain, shift = values.scaled(node, node.inputs[0])
    weights = node.weights
    if weights.scales is None:
        raise refuse(
            node.name,
            node.operator,
            "has weights that are not quantized",
            "quantize weights and activations when the file is made",
        )
    window = node.window if isinstance(node, ConvNode) else None
    if any(sides) and window is None:
        raise refuse(node.name, node.operator, "reads a padded map", "pad convolutions only")
    if window is not None and any(sides):
        both = [a + b for a, b in zip(window.padding, sides, strict=True)]
        window = replace(window, padding=(both[0], both[1], both[2], both[3]))
    words = weights.values.astype(np.int64)
    count = len(words)
    step = value.codes.scale * Fraction(gain)
    ratio = tuple(step * scale for scale in repeated(weights.scales, count))
    fields: dict[str, Any] = dict(
        weights=weights.values.astype(np.int32), steps=weights.scales, window=window
    )
    if isinstance(node, ConvNode):
        fields |= dict(groups=node.groups)
    post = Rescaling(np.ones(count), _offset(node, shift, window))
    if node.bias is not None and node.bias.integer and gain == 1:
        fields |= dict(bias=node.bias.values.astype(np.int64))
    elif node.bias is not None:
        unit = np.array([float(one) for one in ratio]) if node.bias.integer else 1.0
        post.offset = post.offset + node.bias.values * unit
    return Pending(
        node,
        "conv" if window is not None else "fc",
        (value,),
        as_map(node.shape),
        post,
        ratio,
        fields,
    )


def _offset(node: ConvNode | LinearNode, shift: np.ndarray, window: Window | None) -> np.ndarray:
    """What a shift of the map comes to in each sum: (O,)."""
    count = len(node.weights.values)
    if not np.any(shift):
        return np.zeros(count)
    if window is not None and any(window.padding):
        raise refuse(
            node.name, node.operator, "pads a map that something is added to", QUANTIZE_BEFORE
        )
    channels = node.weights.values.shape[1]
    by_channel = node.weights.real.astype(np.float64).reshape(count, channels, -1).sum(2)
    if len(shift) == 1:
        return by_channel.sum(1) * shift[0]
    if len(shift) == channels:
        return by_channel @ shift
    raise refuse(node.name, node.operator, "reads channels that are shifted apart", QUANTIZE_BEFORE)


def average(values: GroupValues, node: AverageNode) -> State:
    """The sums of an average's windows."""
    value, sides = values.coded(node, values.states[node.inputs[0]])
    if any(sides) or any(node.window.padding):
        raise refuse(
            node.name,
            node.operator,
            "averages over padding",
            "the engine averages inside of the map",
        )
    return Pending(
        node,
        "average",
        (value,),
        as_map(node.shape),
        Rescaling.nothing(1),
        (value.codes.scale / node.window.size,),
        dict(window=node.window),
    )


def add(values: GroupValues, node: AddNode) -> State:
    """The sum of two maps."""
    maps, gains = [], []
    for source, gain in zip(node.inputs, node.gains, strict=True):
        value, sides, more, shift = values.scaled(node, source)
        if np.any(shift):
            raise refuse(node.name, node.operator, "adds maps with constants", QUANTIZE_BEFORE)
        if any(sides):
            raise refuse(node.name, node.operator, "adds a padded map", "pad convolutions only")
        maps.append(value)
        gains.append(value.codes.scale * Fraction(gain * more))
    if maps[0].shape != maps[1].shape:
        raise refuse(
            node.name,
            node.operator,
            f"adds shapes {maps[0].shape} and {maps[1].shape}",
            "the engine adds maps of one shape",
        )
    return Pending(
        node, "add", (maps[0], maps[1]), maps[0].shape, Rescaling.nothing(1), tuple(gains)
    )
