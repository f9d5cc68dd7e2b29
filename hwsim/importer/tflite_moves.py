"""TFLite's operators that move values and change none."""

from __future__ import annotations

import math

import numpy as np

from hwsim.importer.graph import ConcatNode, PadNode, ReshapeNode, SoftmaxNode
from hwsim.importer.limits import refuse, within
from hwsim.importer.tflite_file import Operator, Tensor
from hwsim.importer.tflite_values import TfliteValues, channels_first


def concat(reader: TfliteValues, op: Operator, out: Tensor) -> None:
    """CONCATENATION of channels."""
    name = reader.name(op)
    sources = tuple(reader.source(op, number) for number in range(len(op.inputs)))
    shapes = [reader.shapes[source] for source in sources]
    axis = within(name, op.name, op.option("Axis"), max(1, len(out.shape)))
    same = len({shape[1:] for shape in shapes}) == 1
    if axis != len(out.shape) - 1 or not same or any(s in reader.flattened for s in sources):
        raise refuse(
            name,
            op.name,
            f"puts maps together along axis {axis}",
            "the engine has channels behind each other",
        )
    shape = (sum(one[0] for one in shapes), *shapes[0][1:])
    reader.end(
        op,
        out,
        op.option("FusedActivationFunction"),
        lambda target: ConcatNode(name, op.name, sources, target, shape),
    )


def pad(reader: TfliteValues, op: Operator, out: Tensor) -> None:
    """PAD around maps."""
    name, source = reader.name(op), reader.source(op)
    sides = reader.constant(op, 1, 2).constant_values.tolist()
    channels, height, width = reader.source_shape(op, 3)
    if len(sides) != 4 or any(min(pair) < 0 or len(pair) != 2 for pair in sides):
        raise refuse(name, op.name, "has sides that are no padding", "convert it again")
    if sides[0] != [0, 0] or sides[3] != [0, 0]:
        raise refuse(name, op.name, "pads channels or images", "pad height and width only")
    (top, bottom), (left, right) = sides[1:3]
    shape = (channels, height + top + bottom, width + left + right)
    around = (top, left, bottom, right)
    reader.end(
        op,
        out,
        0,
        lambda target: PadNode(name, op.name, (source,), target, shape, around),
        keeps=True,
    )


def softmax(reader: TfliteValues, op: Operator, out: Tensor) -> None:
    """SOFTMAX and LOG_SOFTMAX of all classes: kept for whoever reads the answers."""
    name, source, target = reader.name(op), reader.source(op), reader.names[out.index]
    shape = reader.shapes[source]
    if out.shape[-1:] != (math.prod(shape),):
        raise refuse(
            name,
            op.name,
            f"works along the last axis of {list(out.shape)}",
            "the engine has one vector of classes: flatten the map before it",
        )
    # Logits are multiplied by it first: its sign turns the order of the answers around.
    if op.name == "SOFTMAX" and not 0 < op.option("Beta") < math.inf:
        raise refuse(name, op.name, f"has a beta of {op.option('Beta'):g}", "make it 1")
    reader.add_node(SoftmaxNode(name, op.name, (source,), target, shape))


def reshape(reader: TfliteValues, op: Operator, out: Tensor) -> None:
    """RESHAPE and its kin, as long as every image keeps to itself."""
    name, source, target = reader.name(op), reader.source(op), reader.names[out.index]
    shape = channels_first(out)
    before = reader.shapes[source]
    if int(np.prod(shape)) != int(np.prod(before)):
        raise refuse(
            name,
            op.name,
            f"makes {shape} of {before}",
            "the engine keeps every image to itself",
        )
    if len(shape) == 3 and shape != before:
        spatial = shape[1] * shape[2]
        if spatial > 1 and (len(before) == 3 or shape[0] > 1):
            raise refuse(
                name,
                op.name,
                f"makes a map {shape} of {before}",
                "the engine flattens maps and nothing else",
            )
    if len(shape) == 1 and len(before) == 3 and before[1] * before[2] > 1:
        reader.flattened[target] = before
    if source in reader.flattened and len(shape) == 1:
        reader.flattened[target] = reader.flattened[source]
    reader.add_node(ReshapeNode(name, op.name, (source,), target, shape))
