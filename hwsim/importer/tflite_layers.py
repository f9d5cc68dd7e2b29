"""TFLite's layers with weights: convolutions and fully connected layers."""

from __future__ import annotations

import numpy as np

from hwsim.importer.graph import ConvNode, LinearNode, ReshapeNode, Weights
from hwsim.importer.limits import refuse
from hwsim.importer.tflite_file import Operator, Tensor
from hwsim.importer.tflite_values import TfliteValues
from hwsim.program.layers import Window


def conv(reader: TfliteValues, op: Operator, out: Tensor) -> None:
    """CONV_2D; fewer input channels in its weights than in the map are groups."""
    weights = reader.constant(op, 1, 4)
    values = reader.weights(op, weights, weights.constant_values.transpose(0, 3, 1, 2), 0)
    shape = reader.source_shape(op, 3)
    groups, rest = divmod(shape[0], values.values.shape[1])
    if rest:
        raise refuse(
            reader.name(op),
            op.name,
            "has weights of other channels than its input",
            "the file is damaged: convert it again",
        )
    _convolution(reader, op, out, values, reader.window(op, values.values.shape[2:], shape), groups)


def depthwise(reader: TfliteValues, op: Operator, out: Tensor) -> None:
    """DEPTHWISE_CONV_2D, a group for each channel."""
    weights = reader.constant(op, 1, 4)
    turned = weights.constant_values.transpose(3, 0, 1, 2)
    values = reader.weights(op, weights, turned, 3)
    shape = reader.source_shape(op, 3)
    if turned.shape[0] % shape[0]:
        raise refuse(
            reader.name(op),
            op.name,
            "has weights of other channels than its input",
            "the file is damaged: convert it again",
        )
    window = reader.window(op, turned.shape[2:], shape)
    _convolution(reader, op, out, values, window, shape[0])


def _convolution(
    reader: TfliteValues, op: Operator, out: Tensor, values: Weights, window: Window, groups: int
) -> None:
    name = reader.name(op)
    source = reader.source(op)
    sides = window.out_sides(*reader.shapes[source][1:])
    bias = reader.bias(op, len(values.values), values)
    shape = (len(values.values), *sides)
    reader.end(
        op,
        out,
        op.option("FusedActivationFunction"),
        lambda target: ConvNode(
            name, op.name, (source,), target, shape, values, bias, window, groups
        ),
    )


def linear(reader: TfliteValues, op: Operator, out: Tensor) -> None:
    """FULLY_CONNECTED; of a flattened map, its columns turn to the order (C, H, W)."""
    weights = reader.constant(op, 1, 2)
    if op.option("WeightsFormat") != 0:
        raise refuse(reader.name(op), op.name, "has shuffled weights", "convert it again")
    source = reader.source(op)
    matrix = weights.constant_values
    was = reader.flattened.get(source)
    if was is None and len(reader.shapes[source]) == 3:
        was = reader.shapes[source]
    size = int(np.prod(reader.shapes[source]))
    if matrix.shape[1] != size:
        raise refuse(
            reader.name(op),
            op.name,
            f"has weights for {matrix.shape[1]} inputs and gets {size}",
            "run it on one vector an image",
        )
    if was is not None:
        channels, height, width = was
        matrix = matrix.reshape(-1, height, width, channels).transpose(0, 3, 1, 2)
        matrix = matrix.reshape(len(matrix), -1)
    if len(reader.shapes[source]) == 3:
        flat = f"{reader.names[out.index]}/flattened"
        reader.add_node(ReshapeNode(reader.name(op), op.name, (source,), flat, (size,)))
        source = flat
    values = reader.weights(op, weights, matrix, 0)
    bias = reader.bias(op, len(matrix), values)
    reader.end(
        op,
        out,
        op.option("FusedActivationFunction"),
        lambda target: LinearNode(
            reader.name(op), op.name, (source,), target, (len(matrix),), values, bias
        ),
    )
