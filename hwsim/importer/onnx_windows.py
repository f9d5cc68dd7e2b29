"""ONNX's pools and the windows of its operators."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from hwsim.importer.graph import (
    AverageNode,
    PoolNode,
    Shape,
)
from hwsim.importer.limits import all_within, refuse
from hwsim.importer.onnx_file import OnnxNode
from hwsim.importer.onnx_values import OnnxValues
from hwsim.importer.tflite_values import same_sides
from hwsim.program.layers import Window

Array = NDArray[Any]


def max_pool(reader: OnnxValues, node: OnnxNode) -> None:
    """MaxPool; integers stay what they are."""
    source = reader.value(node)
    shape = reader.shapes[source]
    window = window_of(node, node.attributes.get("kernel_shape", []), shape)
    out = behind(shape, window)
    reader.moves(PoolNode(node.name, node.operator, (source,), node.outputs[0], out, window))


def average_pool(reader: OnnxValues, node: OnnxNode) -> None:
    """AveragePool inside the map."""
    source = reader.source(node)
    reader.add(average(reader, node, source, node.attributes.get("kernel_shape", [])))


def average(reader: OnnxValues, node: OnnxNode, source: str, kernel: Any) -> AverageNode:
    """The node of an average over windows."""
    shape = reader.shapes[source]
    window = window_of(node, kernel, shape)
    if any(window.padding):
        raise refuse(
            node.name,
            node.operator,
            "averages windows that reach beyond the map",
            "the engine averages inside of it: pad a convolution instead",
        )
    return AverageNode(
        node.name, node.operator, (source,), node.outputs[0], behind(shape, window), window
    )


def global_pool(reader: OnnxValues, node: OnnxNode) -> None:
    """GlobalAveragePool and GlobalMaxPool."""
    kind = AverageNode if "Average" in node.operator else PoolNode
    source = reader.source(node) if kind is AverageNode else reader.value(node)
    shape = reader.shapes[source]
    if len(shape) < 2:
        raise refuse(node.name, node.operator, f"works on the shape {shape}", "give it a map")
    made = kind(
        node.name,
        node.operator,
        (source,),
        node.outputs[0],
        (shape[0], *(1 for _ in shape[1:])),
        Window(map_of(shape)[1:]),
    )
    (reader.add if kind is AverageNode else reader.moves)(made)


def reduce_mean(reader: OnnxValues, node: OnnxNode) -> None:
    """ReduceMean over the whole map."""
    source = reader.source(node)
    shape = reader.shapes[source]
    axes = node.attributes.get("axes")
    if axes is None and node.get(1):
        axes = reader.need(node, 1).reshape(-1).tolist()
    wanted = list(range(2, len(shape) + 1))
    found = all_within(node.name, node.operator, axes or (), len(shape) + 1)
    if not wanted or sorted(found) != wanted:
        raise refuse(
            node.name,
            node.operator,
            f"averages the axes {axes}",
            "the engine averages whole maps, axes 2 and 3",
        )
    kept = node.attributes.get("keepdims", 1)
    out = (shape[0], *(1 for _ in shape[1:])) if kept else shape[:1]
    reader.add(
        AverageNode(
            node.name, node.operator, (source,), node.outputs[0], out, Window(map_of(shape)[1:])
        )
    )


def window_of(node: OnnxNode, kernel: Any, shape: Shape) -> Window:
    """The window that attributes say, for maps and series."""
    about, axes = node.attributes, len(shape) - 1
    kernel = list(kernel)
    strides = about.get("strides") or [1] * axes
    sides = about.get("pads") or [0] * (2 * axes)
    if axes not in (1, 2):
        raise refuse(
            node.name,
            node.operator,
            f"works on the shape {shape}",
            "the engine has it for maps and series",
        )
    if any(one != 1 for one in about.get("dilations") or []):
        raise refuse(
            node.name,
            node.operator,
            "has dilated windows",
            "the engine has windows without holes: use dilation 1",
        )
    if axes == 1:
        kernel, strides = [1, *kernel[-1:]], [1, *strides]
        sides = [0, sides[0], 0, sides[-1]]
    if len(kernel) != 2 or len(strides) != 2 or len(sides) != 4 or min(*kernel, *strides) < 1:
        raise refuse(
            node.name,
            node.operator,
            f"has a window of {kernel}, stride {strides} and padding {sides}",
            "export the network again",
        )
    top, left, bottom, right = sides
    auto = about.get("auto_pad", "NOTSET")
    if auto in ("SAME_UPPER", "SAME_LOWER"):
        pairs = [same_sides(*one) for one in zip(map_of(shape)[1:], kernel, strides, strict=True)]
        if auto == "SAME_LOWER":
            pairs = [(behind, before) for before, behind in pairs]
        (top, bottom), (left, right) = pairs
    elif auto == "VALID":
        top = left = bottom = right = 0
    if min(top, left, bottom, right) < 0:
        raise refuse(
            node.name,
            node.operator,
            "cuts the map by negative padding",
            "the engine pads: crop the input",
        )
    window = Window((kernel[0], kernel[1]), (strides[0], strides[1]), (top, left, bottom, right))
    if about.get("ceil_mode", 0):
        window = _ceiled(window, map_of(shape))
    return window


def _ceiled(window: Window, shape: tuple[int, int, int]) -> Window:
    """Padding at bottom and right so that windows which begin inside are counted, too."""
    top, left, bottom, right = window.padding
    far = []
    for side, k, step, before, behind in zip(
        shape[1:], window.kernel, window.stride, (top, left), (bottom, right), strict=True
    ):
        count = -(-(side + before + behind - k) // step) + 1
        if (count - 1) * step >= side + before:
            count -= 1
        far.append(max(behind, (count - 1) * step + k - side - before))
    return Window(window.kernel, window.stride, (top, left, far[0], far[1]))


def map_of(shape: Shape) -> tuple[int, int, int]:
    """(C, H, W) of a map or series."""
    return (shape[0], 1, shape[1]) if len(shape) == 2 else (shape[0], shape[1], shape[2])


def behind(shape: Shape, window: Window) -> Shape:
    """The shape behind a window."""
    sides = window.out_sides(*map_of(shape)[1:])
    return (shape[0], *sides) if len(shape) == 3 else (shape[0], sides[1])
