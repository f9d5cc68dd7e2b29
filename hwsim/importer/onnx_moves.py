"""ONNX's operators that move values and change none."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwsim.importer.graph import (
    ConcatNode,
    PadNode,
    Shape,
    SliceNode,
    SoftmaxNode,
)
from hwsim.importer.limits import refuse
from hwsim.importer.onnx_axes import axis_of, split_axis
from hwsim.importer.onnx_file import OnnxNode
from hwsim.importer.onnx_fold import reshaped, slices
from hwsim.importer.onnx_values import OnnxValues

Array = NDArray[Any]


def reshape(reader: OnnxValues, node: OnnxNode) -> None:
    """Reshape, Flatten, Squeeze and Unsqueeze that keep every image to itself."""
    shape = reader.shapes[reader.value(node)]
    full = (1, *shape)
    if node.operator == "Reshape":
        wanted = reader.need(node, 1).reshape(-1).tolist()
        if wanted and wanted[0] == -1:
            wanted[0] = 1
        try:
            new = reshaped(full, wanted, bool(node.attributes.get("allowzero", 0)))
        except (ValueError, IndexError):
            new = [0]
    elif node.operator == "Flatten":
        axis = split_axis(node, len(full))
        new = [int(np.prod(full[:axis])), int(np.prod(full[axis:]))]
    else:
        axes = node.attributes.get("axes")
        if axes is None and node.get(1):
            axes = reader.need(node, 1).reshape(-1).tolist()
        values = np.broadcast_to(np.int8(0), full)
        try:
            if node.operator == "Unsqueeze":
                new = list(np.expand_dims(values, tuple(axes or ())).shape)
            else:
                chosen = [n for n in range(1, len(full)) if full[n] == 1] if axes is None else axes
                new = list(np.squeeze(values, tuple(chosen)).shape)
        except ValueError:
            new = [0]
    if new[0] != 1 or len(new) < 2:
        raise refuse(
            node.name,
            node.operator,
            f"makes {new} of {list(full)}",
            "the engine keeps every image to itself",
        )
    reader.same(node, tuple(new[1:]))


def transpose(reader: OnnxValues, node: OnnxNode) -> None:
    """Transpose of constants, or of the input from (N, H, W, C)."""
    name = node.get(0)
    order = node.attributes.get("perm")
    if name in reader.quantized:
        values = reader.quantized[name].values
        order = order or list(range(values.ndim))[::-1]
        reader.quantized[node.outputs[0]] = reader.quantized[name].transposed(list(order))
        return
    shape = reader.shapes[reader.value(node)]
    if order == list(range(len(shape) + 1)):
        reader.same(node)
        return
    first = name == reader.model.inputs[0][0] and reader.readers[name] == 1
    if first and order == [0, 3, 1, 2]:
        reader.channels_last = True
        reader.shapes[name] = (shape[2], shape[0], shape[1])
        reader.same(node)
        return
    if len(shape) == 3 and shape[1:] == (1, 1) and order in ([0, 2, 3, 1], [0, 3, 1, 2]):
        reader.same(node)
        return
    raise refuse(
        node.name,
        node.operator,
        f"turns a map by {order}",
        "the engine has channels first: export the network in NCHW",
    )


def same(reader: OnnxValues, node: OnnxNode) -> None:
    """What changes nothing in inference."""
    name = node.get(0)
    if name in reader.quantized:
        reader.quantized[node.outputs[0]] = reader.quantized[name]
        return
    reader.same(node)


def concat(reader: OnnxValues, node: OnnxNode) -> None:
    """Concat of channels."""
    names = tuple(reader.value(node, number) for number in range(len(node.inputs)))
    reader.moves(concatenation(reader, node, names))


def concatenation(reader: OnnxValues, node: OnnxNode, names: tuple[str, ...]) -> ConcatNode:
    """The node that puts the channels of these maps behind each other."""
    shapes = [reader.shapes[name] for name in names]
    axis = axis_of(node, len(shapes[0]) + 1, 1)
    if axis != 1 or len({one[1:] for one in shapes}) != 1:
        raise refuse(
            node.name,
            node.operator,
            f"puts {shapes} together along axis {axis}",
            "the engine has channels behind each other",
        )
    shape = (sum(one[0] for one in shapes), *shapes[0][1:])
    return ConcatNode(node.name, node.operator, names, node.outputs[0], shape)


def channel_slice(reader: OnnxValues, node: OnnxNode) -> None:
    """Slice of channels."""
    name = reader.value(node)
    shape = reader.shapes[name]
    pieces = slices(node, reader.given(node), len(shape) + 1)
    first, end, step = pieces.pop(1, slice(None)).indices(shape[0])
    whole = all(
        piece.indices((1, *shape)[axis]) == (0, (1, *shape)[axis], 1)
        for axis, piece in pieces.items()
    )
    if step != 1 or end <= first or not whole:
        raise refuse(
            node.name,
            node.operator,
            "cuts pixels or leaves channels out",
            "the engine takes neighbouring channels",
        )
    reader.moves(
        SliceNode(
            node.name, node.operator, (name,), node.outputs[0], (end - first, *shape[1:]), first
        )
    )


def split(reader: OnnxValues, node: OnnxNode) -> None:
    """Split of channels."""
    name = reader.value(node)
    shape = reader.shapes[name]
    sizes = node.attributes.get("split")
    if sizes is None and node.get(1):
        sizes = reader.need(node, 1).reshape(-1).tolist()
    if sizes is None:
        each = -(-shape[0] // len(node.outputs))
        sizes = [min(each, shape[0] - each * n) for n in range(len(node.outputs))]
    axis = axis_of(node, len(shape) + 1, 0)
    if axis != 1 or len(sizes) != len(node.outputs) or sum(sizes) != shape[0] or min(sizes) < 1:
        raise refuse(
            node.name,
            node.operator,
            f"splits {shape} along axis {axis}",
            "the engine splits channels, axis 1",
        )
    first = 0
    for output, size in zip(node.outputs, sizes, strict=True):
        reader.moves(
            SliceNode(node.name, node.operator, (name,), output, (size, *shape[1:]), first)
        )
        first += size


def pad(reader: OnnxValues, node: OnnxNode) -> None:
    """Pad with zeros around a map."""
    source = reader.source(node)
    shape = reader.shapes[source]
    sides = node.attributes.get("pads")
    if sides is None:
        sides = reader.need(node, 1).reshape(-1).tolist()
    value = node.attributes.get("value", 0.0)
    if node.get(2):
        value = float(reader.need(node, 2).reshape(-1)[0])
    plain = node.attributes.get("mode", "constant") == "constant" and value == 0
    if not plain or len(shape) != 3 or len(sides) != 8 or any(sides[n] for n in (0, 1, 4, 5)):
        raise refuse(
            node.name,
            node.operator,
            f"pads by {sides} in its own way",
            "the engine pads height and width with zeros",
        )
    top, left, bottom, right = sides[2], sides[3], sides[6], sides[7]
    if min(top, left, bottom, right) < 0:
        raise refuse(
            node.name,
            node.operator,
            "cuts the map by negative padding",
            "the engine pads: crop the input",
        )
    out = (shape[0], shape[1] + top + bottom, shape[2] + left + right)
    reader.add(
        PadNode(
            node.name, node.operator, (source,), node.outputs[0], out, (top, left, bottom, right)
        )
    )


def softmax(reader: OnnxValues, node: OnnxNode) -> None:
    """Softmax and LogSoftmax, integers or not."""
    name = reader.value(node)
    check_softmax(node, reader.shapes[name], reader.model.opset)
    reader.moves(
        SoftmaxNode(node.name, node.operator, (name,), node.outputs[0], reader.shapes[name])
    )


def check_softmax(node: OnnxNode, shape: Shape, opset: int) -> None:
    """Raises CompileError for a softmax of anything but the classes, all that a value holds.

    Up to version 12 it is over all axes from ``axis`` on, then over that axis alone.
    """
    axis = axis_of(node, len(shape) + 1, 1 if opset < 13 else -1)
    over = math.prod(shape[axis - 1 :]) if opset < 13 else shape[axis - 1]
    if axis == 0 or over != math.prod(shape):
        raise refuse(
            node.name, node.operator, f"works along axis {axis} of {[1, *shape]}",
            "the engine has one vector of classes: flatten the map before it",
        )  # fmt: skip
