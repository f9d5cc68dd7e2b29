"""ONNX's layers with weights: convolutions, fully connected layers, batch norm."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwsim.importer.graph import (
    AffineNode,
    Bias,
    ConvNode,
    LinearNode,
)
from hwsim.importer.limits import refuse
from hwsim.importer.onnx_file import OnnxNode
from hwsim.importer.onnx_values import OnnxValues
from hwsim.importer.onnx_windows import map_of, window_of

Array = NDArray[Any]


def conv(reader: OnnxValues, node: OnnxNode) -> None:
    """Conv of one or two dimensions."""
    source = reader.source(node)
    weights = reader.weights(node, node.get(1))
    bias = bias_of(reader, node, 2, len(weights.values))
    reader.add(convolution(reader, node, source, weights, bias))


def convolution(
    reader: OnnxValues, node: OnnxNode, source: str, weights: Any, bias: Bias | None
) -> ConvNode:
    """The node of a convolution with these weights."""
    shape = reader.shapes[source]
    axes = len(shape) - 1
    values = weights.values
    if axes not in (1, 2) or values.ndim != axes + 2:
        raise refuse(
            node.name,
            node.operator,
            f"works on the shape {shape}",
            "the engine has it for maps and series",
        )
    groups = node.attributes.get("group", 1)
    if values.shape[1] * groups != shape[0] or len(values) % max(groups, 1):
        raise refuse(
            node.name,
            node.operator,
            f"has weights for {values.shape[1] * groups} channels and gets {shape[0]}",
            "export the network again",
        )
    if axes == 1:
        weights = type(weights)(values[:, :, None], weights.scales)
    window = window_of(node, weights.values.shape[2:], shape)
    out = (len(values), *window.out_sides(*map_of(shape)[1:]))
    return ConvNode(
        node.name,
        node.operator,
        (source,),
        node.outputs[0],
        out if axes == 2 else (out[0], out[2]),
        weights,
        bias,
        window,
        groups,
    )


def matmul(reader: OnnxValues, node: OnnxNode) -> None:
    """A vector times a constant matrix."""
    reader.add(
        linear(reader, node, reader.source(node), reader.weights(node, node.get(1), True), None)
    )


def gemm(reader: OnnxValues, node: OnnxNode) -> None:
    """alpha · x · W + beta · c."""
    about = node.attributes
    if about.get("transA", 0) or about.get("alpha", 1.0) != 1.0:
        raise refuse(node.name, node.operator, "has alpha or transA", "export it without them")
    weights = reader.weights(node, node.get(1), not about.get("transB", 0))
    bias = bias_of(reader, node, 2, len(weights.values), about.get("beta", 1.0))
    reader.add(linear(reader, node, reader.source(node), weights, bias))


def linear(
    reader: OnnxValues, node: OnnxNode, source: str, weights: Any, bias: Bias | None
) -> LinearNode:
    """The node of a fully connected layer with these weights."""
    shape = reader.shapes[source]
    if len(shape) != 1 or weights.values.ndim != 2 or weights.values.shape[1] != shape[0]:
        raise refuse(
            node.name,
            node.operator,
            f"multiplies {shape} by a matrix for {weights.values.shape[1:]}",
            "the engine has it for one vector an image: flatten first",
        )
    return LinearNode(
        node.name, node.operator, (source,), node.outputs[0], (len(weights.values),), weights, bias
    )


def bias_of(
    reader: OnnxValues, node: OnnxNode, number: int, count: int, times: float = 1.0
) -> Bias | None:
    """A constant of a layer in real numbers, (O,) or one for all."""
    if not node.get(number):
        return None
    values = reader.need(node, number).astype(np.float64).reshape(-1)
    if values.size not in (1, count):
        raise refuse(
            node.name,
            node.operator,
            f"adds {values.size} constants to {count} channels",
            "the engine adds one a channel",
        )
    return Bias(np.broadcast_to(values * times, (count,)).copy())


def norm(reader: OnnxValues, node: OnnxNode) -> None:
    """BatchNormalization with its statistics."""
    source = reader.source(node)
    gamma, beta, mean, variance = (reader.need(node, n).astype(np.float64) for n in range(1, 5))
    if node.attributes.get("training_mode", 0):
        raise refuse(node.name, node.operator, "is in training", "export the network in eval()")
    root = np.sqrt(variance + node.attributes.get("epsilon", 1e-5))
    if not (root > 0).all():
        raise refuse(node.name, node.operator, "divides by 0", "give it an epsilon")
    scale = gamma / root
    reader.add(
        AffineNode(
            node.name,
            node.operator,
            (source,),
            node.outputs[0],
            reader.shapes[source],
            scale,
            beta - mean * scale,
        )
    )
